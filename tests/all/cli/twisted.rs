//! tds from the command line: tasks from files, what it reports, what it refuses.

use std::collections::BTreeMap;

use feynkac::weights::{Data, Tensor, save};

use super::Scratch;
use super::refused::refuses;

/// Numbers of a file by name and shape; whole ones as integers.
fn put(scratch: &Scratch, name: &str, tensors: &[(&str, &[usize], &[f32])]) {
    let whole: Vec<Vec<i32>> =
        tensors.iter().map(|(_, _, v)| v.iter().map(|v| *v as i32).collect()).collect();
    let all: Vec<(String, Tensor)> = tensors
        .iter()
        .zip(&whole)
        .map(|((name, shape, values), whole)| {
            let data = if ["offsets", "image", "stride"].contains(name) {
                Data::I32(whole)
            } else {
                Data::F32(values)
            };
            (name.to_string(), Tensor { shape: shape.to_vec(), data })
        })
        .collect();
    save(&scratch.path(name), &all, &BTreeMap::new()).expect("a file");
}

/// A file for each task in the plane, and bad ones.
fn scratch(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    put(&scratch, "linear", &[("A", &[1, 2], &[1.0, 0.5]), ("y", &[1], &[0.8])]);
    put(&scratch, "noisy", &[("A", &[1, 2], &[1.0, 0.5]), ("y", &[1], &[0.8]), ("noise", &[1], &[0.3])]);
    put(&scratch, "inpaint", &[("mask", &[2], &[1.0, 0.0]), ("y", &[2], &[0.8, 0.0])]);
    put(&scratch, "placement", &[("motif", &[1], &[0.8]), ("offsets", &[2], &[0.0, 1.0])]);
    put(&scratch, "inequalities", &[("A", &[1, 2], &[1.0, 0.0]), ("b", &[1], &[0.0])]);
    put(&scratch, "bounds", &[("lower", &[2], &[-0.5, f32::NEG_INFINITY])]);
    put(&scratch, "crossed", &[("lower", &[2], &[0.5, 0.0]), ("upper", &[2], &[1.0, -1.0])]);
    put(&scratch, "unbounded", &[("upper", &[2], &[0.5, f32::NAN])]);
    put(&scratch, "three-bounds", &[("upper", &[3], &[0.5; 3])]);
    put(&scratch, "reward", &[("slope", &[2], &[0.5, 0.0])]);
    put(&scratch, "short", &[("mask", &[3], &[1.0; 3]), ("y", &[3], &[0.0; 3])]);
    put(&scratch, "unmasked", &[("mask", &[2], &[0.0; 2]), ("y", &[2], &[0.0; 2])]);
    put(&scratch, "nan", &[("A", &[1, 2], &[1.0, f32::NAN]), ("y", &[1], &[0.8])]);
    put(&scratch, "nowhere", &[("motif", &[1], &[0.8]), ("offsets", &[0], &[])]);
    put(&scratch, "outside", &[("motif", &[1], &[0.8]), ("offsets", &[1], &[2.0])]);
    put(&scratch, "before", &[("motif", &[1], &[0.8]), ("offsets", &[1], &[-1.0])]);
    let (mask, known) = (Data::I32(&[1, 0]), Data::F32(&[0.8, 0.0]));
    let whole =
        [("mask", mask), ("y", known)].map(|(name, data)| (name.into(), Tensor { shape: vec![2], data }));
    save(&scratch.path("whole-mask"), &whole, &BTreeMap::new()).expect("a file");
    filters(&scratch);
    scratch
}

/// Filters of images of 1 x 2 pixels, good and bad.
fn filters(scratch: &Scratch) {
    let image: (&str, &[usize], &[f32]) = ("image", &[3], &[1.0, 1.0, 2.0]);
    let kernel: (&str, &[usize], &[f32]) = ("kernel", &[1, 3], &[0.25, 0.5, 0.25]);
    let y: (&str, &[usize], &[f32]) = ("y", &[2], &[0.8, 0.4]);
    put(scratch, "blur", &[kernel, image, y]);
    put(scratch, "blurred", &[("A", &[2, 2], &[0.5, 0.25, 0.25, 0.5]), y]);
    let both: (&str, &[usize], &[f32]) = ("kernel", &[1, 2], &[0.5, 0.5]);
    put(scratch, "smaller", &[both, image, ("stride", &[1], &[2.0]), ("y", &[1], &[0.8])]);
    put(scratch, "mean", &[("A", &[1, 2], &[0.5, 0.5]), ("y", &[1], &[0.8])]);
    put(scratch, "two-operators", &[kernel, image, y, ("A", &[2, 2], &[1.0; 4])]);
    put(scratch, "no-operator", &[y]);
    put(scratch, "no-image", &[kernel, y]);
    put(scratch, "flat-image", &[kernel, y, ("image", &[2], &[1.0, 2.0])]);
    put(scratch, "another-image", &[kernel, y, ("image", &[3], &[1.0, 2.0, 2.0])]);
    put(scratch, "negative-image", &[kernel, y, ("image", &[3], &[1.0, -1.0, -2.0])]);
    put(scratch, "flat-kernel", &[("kernel", &[3], &[0.5; 3]), image, y]);
    put(scratch, "empty-kernel", &[("kernel", &[0, 3], &[]), image, y]);
    put(scratch, "no-stride", &[kernel, image, ("stride", &[1], &[0.0]), y]);
    put(scratch, "two-strides", &[kernel, image, ("stride", &[2], &[1.0, 1.0]), y]);
    put(scratch, "long-stride", &[kernel, image, ("stride", &[1], &[3.0]), y]);
    put(scratch, "three-values", &[kernel, image, ("y", &[3], &[0.8, 0.4, 0.1])]);
}

const TDS: &str = "sample --model two.toml --method tds --device cpu:1";

/// Every task runs, and what is reported runs again.
#[test]
fn tasks_run_and_report() {
    let scratch = scratch("tasks");
    for (task, more) in [
        ("linear", "--noise 0.3 --twist-variance tau:0.5 --twist-scale 1.1"),
        ("inpaint", "--schedule vp-cosine"),
        ("placement", "--twist-lean 0.5"),
        ("inequalities", "--chain posterior --schedule rectified-flow"),
        ("reward", "--proposal-variance 1.2 --resample never"),
        ("linear", "--noise 0.3 --twist-range -2:2 --chain truncated --t-min 0.2"),
        ("inpaint", "--noise 0 --proposal replacement"),
        ("bounds", "--twist-scale 2"),
        ("reward", "--twist-lean 0 --potential max --resample interval:3"),
        ("reward", "--twist-lean 0 --potential sum --resample interval:2"),
    ] {
        let line = format!("{TDS} --task {task} --operator {task} {more} --particles 200 --steps 20");
        scratch.run(&format!("{line} -o out --no-picture")).fine();
        let read = || -> serde_json::Value {
            serde_json::from_slice(&scratch.read("out/report.json")).expect("a report")
        };
        let first = read();
        assert_eq!(first["config"]["task"], task);
        let log_z = |report: &serde_json::Value| report["log_z"].clone();
        assert!(log_z(&first).as_f64().is_some_and(f64::is_finite), "{task}: {first}");
        let keys: toml::Table = serde_json::from_value(first["config"].clone()).expect("keys");
        scratch.put("again.toml", toml::to_string(&keys).expect("a run file"));
        scratch.run("sample --config again.toml -o out --no-picture").fine();
        assert_eq!(log_z(&read()), log_z(&first), "{task}");
    }
}

/// Levels that the network was trained at, all of them too, by any spacing; what is reported runs again.
#[test]
fn training_steps_are_levels() {
    let scratch = Scratch::new("respaced");
    let learned = super::root().join("tests/data/diffusers/learned");
    let files = ["config.json", "diffusion_pytorch_model.safetensors", "scheduler_config.json"];
    for (name, spacing) in [("leading", "leading"), ("trailing", "trailing"), ("linspace", "linspace")] {
        for file in files {
            let bytes = std::fs::read(learned.join(file)).expect("a file");
            let text = || String::from_utf8_lossy(&bytes).replace("\"leading\"", &format!("\"{spacing}\""));
            let bytes = if file == "scheduler_config.json" { text().into_bytes() } else { bytes.clone() };
            scratch.put(&format!("{name}/{file}"), bytes);
        }
    }
    for (method, steps, more) in [
        ("plain", 19, "--model leading"),
        ("plain", 4, "--model trailing"),
        ("fkc-anneal", 3, "--model linspace --beta 1.2"),
    ] {
        let line = format!(
            "sample {more} --method {method} --respaced --steps {steps} --particles 3 --device cpu:1"
        );
        scratch.run(&format!("{line} -o out --no-picture")).fine();
        let read = || scratch.read("out/report.json");
        let report: serde_json::Value = serde_json::from_slice(&read()).expect("a report");
        assert_eq!(
            (&report["config"]["respaced"], report["config"].get("grid")),
            (&true.into(), None),
            "{line}"
        );
        let keys: toml::Table = serde_json::from_value(report["config"].clone()).expect("keys");
        scratch.put("again.toml", toml::to_string(&keys).expect("a run file"));
        let first = scratch.read("out/samples.safetensors");
        scratch.run("sample --config again.toml -o out --no-picture").fine();
        assert_eq!(scratch.read("out/samples.safetensors"), first, "{line}");
    }
}

/// A classifier behind a network; the class is the classifier's.
#[test]
fn a_classifier_stands_behind_a_network() {
    let scratch = with_digits("classifier");
    let line = "sample --model mlp --method tds --task classifier --classifier judge --class 3 --classifier-scale 1.5 \
                --particles 6 --groups 2 --steps 4 --device cpu:1 -o out --no-picture";
    scratch.run(line).fine();
    let read = || -> serde_json::Value {
        serde_json::from_slice(&scratch.read("out/report.json")).expect("a report")
    };
    let first = read();
    let config = &first["config"];
    assert_eq!((&config["task"], &config["classifier"]), (&"classifier".into(), &"judge".into()));
    assert_eq!((&config["class"][0], &config["classifier-scale"]), (&3.into(), &1.5.into()));
    let keys: toml::Table = serde_json::from_value(config.clone()).expect("keys");
    scratch.put("again.toml", toml::to_string(&keys).expect("a run file"));
    scratch.run("sample --config again.toml -o out --no-picture").fine();
    assert_eq!(read()["log_z"], first["log_z"]);
}

/// The shipped networks of digits.
fn with_digits(name: &str) -> Scratch {
    let scratch = scratch(name);
    for (to, from) in [("mlp", "digits8-mlp"), ("judge", "digits8-classifier")] {
        for file in ["config.json", "model.safetensors"] {
            let path = super::root().join("weights").join(from).join(file);
            scratch.put(&format!("{to}/{file}"), std::fs::read(path).expect("shipped weights"));
        }
    }
    scratch
}

#[test]
fn classifiers_that_are_refused() {
    const TASK: &str = "sample --model mlp --method tds --device cpu:1 --task classifier";
    let lines: Vec<(&str, String)> = [
        ("no classifier", "--class 3"),
        ("no class", "--classifier judge"),
        ("two classes", "--classifier judge --class 3 --class 4"),
        ("a class too many", "--classifier judge --class 10"),
        ("a network of scores", "--classifier mlp --class 3"),
        ("a folder that is not there", "--classifier none --class 3"),
        ("a file for a classifier", "--classifier judge --class 3 --operator reward"),
        ("noise of a classifier", "--classifier judge --class 3 --noise 0.1"),
        ("a power of zero", "--classifier judge --class 3 --classifier-scale 0"),
    ]
    .iter()
    .map(|(what, more)| (*what, format!("{TASK} {more}")))
    .chain([
        ("states of another size", TASK.replace("mlp", "two.toml") + " --classifier judge --class 3"),
        ("a classifier of another task", format!("{TDS} --task reward --operator reward --classifier judge")),
        (
            "a classifier of another method",
            "sample --model two.toml --method plain --classifier judge".into(),
        ),
    ])
    .collect();
    let cases: Vec<(&str, &str)> = lines.iter().map(|(what, line)| (*what, line.as_str())).collect();
    refuses("refused-classifiers", &with_digits("refused-classifiers"), &cases);
}

/// The file may know the noise of each component.
#[test]
fn a_file_brings_its_noise() {
    let scratch = scratch("noise");
    let run = |more: &str| {
        scratch
            .run(&format!("{TDS} --task linear {more} --particles 50 --steps 5 -o out --no-picture"))
            .fine();
        let report: serde_json::Value =
            serde_json::from_slice(&scratch.read("out/report.json")).expect("a report");
        report["log_z"].clone()
    };
    // 0.3 as an f32, which is what the file has.
    assert_eq!(run("--operator noisy"), run("--operator linear --noise 0.30000001192092896"));
}

/// What is known needs no noise, and its mask may be of whole numbers.
#[test]
fn what_is_known_is_known_without_noise() {
    let scratch = scratch("known");
    let run = |more: &str| {
        scratch.run(&format!("{TDS} --task {more} --particles 50 --steps 5 -o out --no-picture")).fine();
        scratch.read("out/report.json")
    };
    let log_z = |report: Vec<u8>| -> serde_json::Value {
        serde_json::from_slice::<serde_json::Value>(&report).expect("a report")["log_z"].clone()
    };
    let known = log_z(run("inpaint --operator inpaint --noise 0"));
    for same in ["inpaint --operator inpaint", "inpaint --operator whole-mask"] {
        assert_eq!(log_z(run(same)), known, "{same}");
    }
    assert_ne!(log_z(run("inpaint --operator inpaint --noise 0.5")), known);
    let placed = log_z(run("placement --operator placement"));
    assert_eq!(log_z(run("placement --operator placement --noise 0")), placed);
}

/// A filter is the matrix that it stands for.
#[test]
fn a_kernel_stands_for_its_rows() {
    let scratch = scratch("filters");
    let run = |file: &str| {
        let line = format!("{TDS} --task linear --operator {file} --noise 0.3 --particles 50 --steps 5");
        scratch.run(&format!("{line} -o out --no-picture")).fine();
        let report: serde_json::Value =
            serde_json::from_slice(&scratch.read("out/report.json")).expect("a report");
        report["log_z"].as_f64().expect("log Z")
    };
    let (blur, smaller) = (run("blur"), run("smaller"));
    assert_eq!(blur, run("blurred"));
    assert_eq!(smaller, run("mean"));
    assert!((blur - smaller).abs() > 0.1, "{blur} and {smaller}");
}

#[test]
fn filters_that_are_refused() {
    let lines: Vec<(String, String)> = [
        ("two operators", "two-operators"),
        ("no operator", "no-operator"),
        ("no image", "no-image"),
        ("an image of two sizes", "flat-image"),
        ("an image of another size", "another-image"),
        ("an image of sizes below 0", "negative-image"),
        ("a kernel of one dimension", "flat-kernel"),
        ("an empty kernel", "empty-kernel"),
        ("no stride", "no-stride"),
        ("two strides", "two-strides"),
        ("a stride beyond the image", "long-stride"),
        ("more values than the filter gives", "three-values"),
    ]
    .map(|(what, file)| (what.into(), format!("{TDS} --task linear --operator {file} --noise 0.3")))
    .to_vec();
    let cases: Vec<(&str, &str)> = lines.iter().map(|(what, line)| (&**what, &**line)).collect();
    refuses("refused-filters", &scratch("refused-filters"), &cases);
}

#[test]
fn what_is_refused() {
    let cases = [
        ("no task", "--operator linear"),
        ("no file", "--task linear --noise 0.3"),
        ("an unknown task", "--task guess --operator linear"),
        ("no noise", "--task linear --operator linear"),
        ("noise twice", "--task linear --operator noisy --noise 0.3"),
        ("noise of a reward", "--task reward --operator reward --noise 0.3"),
        ("noise below zero", "--task inpaint --operator inpaint --noise -1"),
        ("no noise at all, of a measurement", "--task linear --operator linear --noise 0"),
        ("the file of another task", "--task linear --operator inpaint --noise 0.3"),
        ("a file that is not there", "--task linear --operator none --noise 0.3"),
        ("a mask of another shape", "--task inpaint --operator short --noise 0.3"),
        ("a mask of nothing", "--task inpaint --operator unmasked --noise 0.3"),
        ("a number that is none", "--task linear --operator nan --noise 0.3"),
        ("no places", "--task placement --operator nowhere --noise 0.3"),
        ("a place outside", "--task placement --operator outside --noise 0.3"),
        ("a place before the first", "--task placement --operator before --noise 0.3"),
        ("bounds that cross", "--task bounds --operator crossed"),
        ("a bound that is no number", "--task bounds --operator unbounded"),
        ("bounds of another shape", "--task bounds --operator three-bounds"),
        ("no bounds", "--task bounds --operator reward"),
        ("an empty reward", "--task reward --operator linear"),
        ("an unknown variance", "--task reward --operator reward --twist-variance tau"),
        ("an unknown chain", "--task reward --operator reward --chain daisy"),
        ("a proposal narrower than the model", "--task reward --operator reward --proposal-variance 0.5"),
        ("a chain that ends without noise", "--task inpaint --operator inpaint --noise 0 --chain posterior"),
        ("a range of one number", "--task reward --operator reward --twist-range 1"),
        ("a range that is none", "--task reward --operator reward --twist-range 1:-1"),
        ("an unknown proposal", "--task reward --operator reward --proposal guess"),
        ("replacement of what is not known", "--task reward --operator reward --proposal replacement"),
        ("training steps of a closed form", "--task reward --operator reward --respaced"),
        ("training steps and a grid", "--task reward --operator reward --respaced --grid uniform"),
        ("a weight rule", "--task reward --operator reward --rule exact"),
        ("a window", "--task reward --operator reward --resample window:0.1:0.5"),
    ];
    let mut lines: Vec<(&str, String)> =
        cases.iter().map(|(what, more)| (*what, format!("{TDS} {more}"))).collect();
    lines.push((
        "a task of another method",
        "sample --model two.toml --method fkc-anneal --device cpu:1 --task reward --operator reward".into(),
    ));
    let cases: Vec<(&str, &str)> = lines.iter().map(|(what, line)| (*what, line.as_str())).collect();
    refuses("refused-tds", &scratch("refused-tds"), &cases);
}
