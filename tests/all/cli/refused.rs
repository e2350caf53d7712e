//! Input that cannot run: exit code 2, a message that says what to change, and nothing written.

use super::weights::{configure, network};
use super::{Scratch, golden};

/// Runs every case, each of which must be refused, and compares their messages with the golden file.
/// A case is what it shows and its arguments, before `-o out`.
pub fn refuses(name: &str, scratch: &Scratch, cases: &[(&str, &str)]) {
    let mut text = String::new();
    for (what, arguments) in cases {
        let ran = scratch.run(&format!("{arguments} -o out"));
        assert_eq!(ran.code, Some(2), "{what}: {ran:?}");
        assert_eq!(ran.stdout, "", "{what}");
        assert!(scratch.names("out").is_empty(), "{what}: {:?} was written", scratch.names("out"));
        text.push_str(&format!("# {what}\n$ {}\n{}\n\n", ran.line, ran.stderr.trim_end()));
    }
    golden(name, &text);
}

const ANNEAL: &str = "sample --model two.toml --method fkc-anneal --device cpu:1";

/// [`refuses`], each case after `base`.
fn refuses_after(base: &str, name: &str, scratch: &Scratch, cases: &[(&str, &str)]) {
    let lines: Vec<String> = cases.iter().map(|(_, more)| format!("{base} {more}")).collect();
    let cases: Vec<(&str, &str)> =
        cases.iter().zip(&lines).map(|((what, _), line)| (*what, line.as_str())).collect();
    refuses(name, scratch, &cases);
}

#[test]
fn options() {
    refuses_after(
        ANNEAL,
        "refused-options",
        &Scratch::new("options"),
        &[
            ("no particles", "--particles 0"),
            ("more particles than there can be", "--particles 999999999999"),
            ("beta is no number", "--beta NaN"),
            ("beta without end", "--beta inf"),
            ("beta below zero", "--beta -1"),
            ("beta zero", "--beta 0"),
            ("steps below zero", "--steps -3"),
            ("no steps", "--steps 0"),
            ("part of a step", "--steps 2.5"),
            ("no groups", "--groups 0"),
            ("an empty block", "--block 0"),
            ("a share above 1", "--resample ess:2"),
            ("a share that is no number", "--resample ess:NaN"),
            ("an interval of nothing", "--resample interval:0"),
            ("a window back to front", "--resample window:5:1"),
            ("an unknown time to resample", "--resample sometimes"),
            ("an unknown scheme", "--scheme roulette"),
            ("an unknown rule", "--rule simpson"),
            ("an unknown schedule", "--schedule linear"),
            ("an unknown grid", "--grid random"),
            ("an unknown type to multiply in", "--compute f8"),
            ("an unknown end", "--final thrown"),
            ("an unknown noise", "--sde brown"),
            ("noise below zero", "--sde zeta:-1"),
            ("resampling without noise", "--sde ode --resample every"),
            ("the exact rule without noise", "--sde ode --rule exact"),
            ("sweeps by a scheme that has no condition", "--refine 2 --scheme residual"),
            ("sweeps of one particle", "--refine 2 --particles 1"),
            ("sweeps without weights", "--refine 2 --no-weights"),
            ("too many sweeps", "--refine 1000000"),
            ("sweeps below zero", "--refine -1"),
            ("a class of a closed form", "--class 1"),
            ("sigma of another schedule", "--schedule edm --sigma-max 5"),
            ("sigma back to front", "--sigma-min 5 --sigma-max 1"),
            ("a start after the end", "--t-max 0.1 --t-min 0.5"),
            ("an unknown flag", "--partikles 5"),
            ("a flag without its value", "--seed"),
        ],
    );
}

#[test]
fn models() {
    let scratch = Scratch::new("models");
    for folder in ["net", "low", "high"] {
        network(&scratch, folder, |_| ());
    }
    // The same network as if it had been trained on another schedule and on less.
    let ve = "\"kind\": \"ve\",\n    \"sigma_min\": 0.01,\n    \"sigma_max\": 60.0,\n    \"t_min\": 0.0,\n    \"t_max\": 1.0";
    configure(&scratch, "low", ve, "\"kind\": \"vp-cosine\", \"c\": 0.008, \"t_min\": 0.01, \"t_max\": 0.5");
    configure(&scratch, "high", ve, "\"kind\": \"edm\", \"t_min\": 2.0, \"t_max\": 60.0");
    scratch.put("broken.toml", "kind = \"mixture\"\nweights = [0.5,\n");
    scratch.put("strange.toml", "kind = \"banana\"\n");
    scratch
        .put("short.toml", "kind = \"mixture\"\nweights = [1.0]\nmeans = [[0.0], [1.0]]\nscales = [1.0]\n");
    scratch.put("flat.toml", "kind = \"mixture\"\nweights = [1.0]\nmeans = [[0.0]]\nscales = [0.0]\n");
    scratch.put(
        "indefinite.toml",
        "kind = \"gaussian\"\nmean = [0.0, 0.0]\ncovariance = [[1.0, 2.0], [2.0, 1.0]]\n",
    );
    refuses_after(
        "sample --device cpu:1 --method",
        "refused-models",
        &scratch,
        &[
            ("an unknown method", "metropolis --model two.toml"),
            ("no model", "fkc-anneal"),
            ("one model of two", "fkc-guidance --model two.toml"),
            ("two models of one", "fkc-anneal --model two.toml --model two.toml"),
            ("a model of another dimension", "fkc-guidance --model two.toml --model line.toml"),
            ("an energy that is none", "fkc-transport --model net --model two.toml"),
            (
                "estimated log-densities with other noise",
                "fkc-mixture --model two.toml --model net --sde zeta:0.5",
            ),
            (
                "estimated log-densities in the exact rule",
                "fkc-mixture --model two.toml --model two.toml --densities ito --rule exact",
            ),
            ("estimated log-densities and moves", "fkc-anneal --model net --beta-from 0.5 --langevin 2"),
            ("estimated log-densities of rounded moves", "fkc-mixture --model net --model net --state f16"),
            ("log-densities that nobody needs", "fkc-anneal --model two.toml --densities ito"),
            ("log-densities from nowhere", "fkc-mixture --model two.toml --model two.toml --densities guess"),
            ("a target that is not there", "plain --model none.toml"),
            ("a folder that is not there", "plain --model nowhere"),
            ("a folder without weights", "plain --model ."),
            ("a target that is no TOML", "plain --model broken.toml"),
            ("a target of no kind", "plain --model strange.toml"),
            ("lists of different lengths", "plain --model short.toml"),
            ("a scale of zero", "plain --model flat.toml"),
            ("a covariance that is none", "plain --model indefinite.toml"),
            ("a class of a network without", "plain --model net --class 3"),
            ("the exact rule with a network", "fkc-anneal --model net --rule exact"),
            (
                "exponents that cancel",
                "fkc-compose --model two.toml --model two.toml --exponent=1 --exponent=-1",
            ),
            ("an exponent that is no number", "fkc-compose --model two.toml --exponent NaN"),
            ("noise the network has not seen", "fkc-anneal --model net --schedule edm --t-max 1e6"),
            (
                "noise one of two has not seen",
                "fkc-product --model net --model low --schedule ve --t-max 1.0",
            ),
            ("networks without a common noise", "fkc-product --model high --model low"),
        ],
    );
}

#[test]
fn devices() {
    refuses(
        "refused-devices",
        &Scratch::new("devices"),
        &[
            ("an unknown device", "sample --model two.toml --method plain --device tpu"),
            ("a device of no threads", "sample --model two.toml --method plain --device cpu:0"),
            ("a device of a name for a number", "sample --model two.toml --method plain --device wgpu:first"),
            ("the same flag twice", "sample --model two.toml --method plain --device cpu --device cpu"),
            ("no method", "sample --model two.toml"),
        ],
    );
}

#[test]
fn a_class_out_of_range() {
    let scratch = Scratch::new("class");
    let digits = super::root().join("weights/digits8-mlp");
    for name in ["config.json", "model.safetensors"] {
        scratch.put(&format!("digits/{name}"), std::fs::read(digits.join(name)).expect("shipped weights"));
    }
    refuses(
        "refused-class",
        &scratch,
        &[
            ("the first class too many", "sample --model digits --method plain --class 10 --device cpu:1"),
            ("a class below zero", "sample --model digits --method plain --class -1 --device cpu:1"),
        ],
    );
}

#[test]
fn run_files() {
    let scratch = Scratch::new("run-files");
    let good = "model = 'two.toml'\nmethod = 'fkc-anneal'\n";
    for (name, line) in [
        ("unknown", "partikles = 5"),
        ("wrong", "steps = 'many'"),
        ("below", "steps = -3"),
        ("list", "beta = [1, 2]"),
        ("flag", "unfused = 1"),
        ("broken", "beta ="),
        ("late", "particles = 0"),
    ] {
        scratch.put(&format!("{name}.toml"), format!("{good}{line}\n"));
    }
    refuses(
        "refused-run-files",
        &scratch,
        &[
            ("an unknown key", "sample --config unknown.toml"),
            ("a text for a number", "sample --config wrong.toml"),
            ("a number below zero", "sample --config below.toml"),
            ("a list for a number", "sample --config list.toml"),
            ("a number for a yes or no", "sample --config flag.toml"),
            ("no TOML", "sample --config broken.toml"),
            ("a value out of range", "sample --config late.toml"),
            ("a file that is not there", "sample --config nowhere.toml"),
        ],
    );
}

#[test]
fn output_folders() {
    let scratch = Scratch::new("folders");
    scratch.put("file", "precious");
    scratch.put("taken/samples.safetensors/mine", "precious");
    let mut text = String::new();
    for (what, folder) in [
        ("a file in its place", "file"),
        ("a folder below a file", "file/below"),
        ("a folder in the place of a file", "taken"),
    ] {
        let ran = scratch.run(&format!("{ANNEAL} --particles 10 --steps 2 -o {folder}"));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{what}: {ran:?}");
        text.push_str(&format!("# {what}\n$ {}\n{}\n\n", ran.line, ran.stderr.trim_end()));
    }
    golden("refused-folders", &text);
    assert_eq!(scratch.read("file"), b"precious");
    assert_eq!(scratch.read("taken/samples.safetensors/mine"), b"precious");
    assert_eq!(scratch.names("taken"), ["samples.safetensors"]);
}
