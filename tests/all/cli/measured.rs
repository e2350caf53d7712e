//! What is measured: that every combination and every pass is there, with figures. None of it asks how fast.

use std::collections::BTreeMap;

use feynkac::plan::Plan;
use feynkac::{Method, Model, Options, Schedule};
use serde_json::Value;

use super::weights::network;
use super::{Scratch, root, run};

const TINY: &str = "bench --device cpu:1 --steps 24 --repeats 2 --components 3";
const FIGURES: [&str; 5] =
    ["particle_steps_per_s", "ns_per_particle_step", "gb_per_s", "share_of_copy", "launches_per_step"];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn entries<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("{key} of {value}"))
}

/// Quartiles in order, finite and above zero.
fn is_a_figure(value: &Value) -> bool {
    let [lower, median, upper] =
        ["lower", "median", "upper"].map(|end| value[end].as_f64().unwrap_or(f64::NAN));
    0.0 < lower && lower <= median && median <= upper && upper.is_finite()
}

#[test]
fn a_benchmark_has_figures_of_every_combination() {
    let line = format!("{TINY} --particles 5,33 --dim 1,3 --method fkc-anneal,fkc-guidance -o json");
    let text = run(root(), &line).fine();
    assert_eq!(text.lines().count(), 1, "{text}");
    let report = json(&text);
    let head = &report["head"];
    assert_eq!(head["feynkac"], env!("CARGO_PKG_VERSION"));
    assert!(
        ["cubecl", "commit"].iter().all(|key| head[key].as_str().is_some_and(|v| !v.is_empty())),
        "{head}"
    );
    let [device] = entries(head, "devices") else { panic!("one device: {head}") };
    assert_eq!(device["device"], "cpu:1");
    assert!(is_a_figure(&device["copy_gb_per_s"]), "{device}");
    let mut wanted = Vec::new();
    for (method, beta) in [("fkc-anneal", 2.0), ("fkc-guidance", 0.5)] {
        for dim in [1, 3] {
            wanted.extend([5, 33].map(|particles| (method, beta, dim, particles)));
        }
    }
    let rows = entries(&report, "rows");
    assert_eq!(rows.len(), wanted.len(), "{text}");
    for (row, (method, beta, dim, particles)) in rows.iter().zip(wanted) {
        assert_eq!((&row["method"], &row["beta"]), (&method.into(), &beta.into()), "{row}");
        assert_eq!((&row["dim"], &row["particles"]), (&dim.into(), &particles.into()), "{row}");
        assert_eq!((&row["rule"], &row["resample"]), (&"trap".into(), &"ess:0.5".into()), "{row}");
        assert!(FIGURES.iter().all(|figure| is_a_figure(&row[figure])), "{row}");
    }
}

#[test]
fn a_benchmark_as_tables() {
    let lists = "--method fkc-anneal,fkc-guidance --rule left,exact --resample every";
    let text = run(root(), &format!("{TINY} --particles 17 --dim 2 {lists}")).fine();
    assert!(text.starts_with("# feynkac bench\n"), "{text}");
    for method in ["fkc-anneal | 2", "fkc-guidance | 0.5"] {
        for rule in ["left", "exact"] {
            let row = format!("| cpu:1 | {method} | {rule} | every | 2 | 17 | ");
            assert_eq!(text.lines().filter(|line| line.starts_with(&row)).count(), 1, "{row}\n{text}");
        }
    }
    assert_eq!(text.matches("| every |").count(), 4, "{text}");
    // What is not weighed is not resampled.
    let csv = run(root(), &format!("{TINY} --particles 17,4 --dim 2 --method plain -o csv")).fine();
    assert_eq!(csv.lines().count(), 3, "{csv}");
    assert!(csv.starts_with("feynkac,cubecl,commit,device,"), "{csv}");
    assert_eq!(csv.matches(",plain,1,trap,never,").count(), 2, "{csv}");
}

#[test]
fn bad_lists_are_refused() {
    for (flag, value, wanted) in [
        ("--particles", "64,0", "found \"0\" in \"64,0\", wanted a whole number, 1 to 268435456"),
        ("--particles", "64,,128", "found \"\" in \"64,,128\", wanted a whole number"),
        ("--particles", "many", "found \"many\", wanted a whole number"),
        ("--particles", "-5", "found \"-5\", wanted a whole number"),
        ("--dim", "2,4097", "found \"4097\" in \"2,4097\", wanted a whole number, 1 to 4096"),
        (
            "--method",
            "fkc-anneal,metropolis",
            "found \"metropolis\" in \"fkc-anneal,metropolis\", wanted one of plain",
        ),
        ("--device", "cpu:1,tpu", "found \"tpu\" in \"cpu:1,tpu\", wanted auto, cpu[:threads]"),
        (
            "--rule",
            "trap,simpson",
            "found \"simpson\" in \"trap,simpson\", wanted one of left, right, trap, exact",
        ),
        ("--resample", "never,sometimes", "found \"sometimes\" in \"never,sometimes\", wanted one of never"),
        ("--repeats", "0", "found 0, wanted a whole number, 1 to"),
        ("--warmup", "0", "found 0, wanted a whole number, 1 to"),
        ("--components", "0", "found 0, wanted a whole number, 1 to"),
    ] {
        let ran = run(root(), &format!("bench {flag} {value}"));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.stderr.contains(&format!("{flag}: {wanted}")), "{ran:?}");
    }
    let ran = run(root(), "bench -o yaml");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
    assert!(ran.stderr.contains("--output") && ran.stderr.contains("wanted one of md, json, csv"), "{ran:?}");
}

/// The names of the passes of a plan: before the first step, and of every step.
fn passes(scratch: &Scratch, method: Method, models: &[&str], unfused: bool) -> [Vec<&'static str>; 2] {
    let mut options = Options::new(method, Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 });
    (options.beta, options.unfused) = (1.5, unfused);
    let open = |name: &&str| Model::open(&scratch.path(name), None).expect("a model").0;
    let models: Vec<Model> = models.iter().map(open).collect();
    let plan = Plan::of(&options, &models).expect("a plan");
    [plan.start, plan.step].map(|passes| passes.iter().map(|pass| pass.describe().0).collect())
}

#[test]
fn a_profile_names_every_pass() {
    const STEPS: usize = 4;
    let scratch = Scratch::new("profile");
    network(&scratch, "net", |_| ());
    let run = format!("--beta 1.5 --particles 33 --steps {STEPS} --device cpu:1");
    for (name, method, models, unfused) in [
        ("fkc-anneal", Method::FkcAnneal, vec!["two.toml"], false),
        ("fkc-anneal", Method::FkcAnneal, vec!["two.toml"], true),
        ("fkc-guidance", Method::FkcGuidance, vec!["net", "net"], false),
    ] {
        let [start, step] = passes(&scratch, method, &models, unfused);
        let models: String = models.iter().map(|model| format!("--model {model} ")).collect();
        let unfused = if unfused { "--unfused" } else { "" };
        let line = format!("profile {models}--method {name} {run} {unfused} --trace trace.json");
        let text = scratch.run(&line).fine();
        assert!(text.contains("commit ") && text.contains("sync after") && text.contains("GB/s"), "{text}");
        let named =
            |name: &str| text.lines().filter(|line| line.split_whitespace().next() == Some(name)).count();
        for name in start.iter().chain(&step) {
            let wanted = start.iter().chain(&step).filter(|other| *other == name).count();
            assert_eq!(named(name), wanted, "{name}\n{text}");
        }
        assert_eq!(named("all"), 1, "{text}");

        let trace = json(&String::from_utf8(scratch.read("trace.json")).expect("UTF-8"));
        let mut tracks: BTreeMap<u64, (String, Vec<String>)> = BTreeMap::new();
        for event in entries(&trace, "traceEvents") {
            let text = |value: &Value| value.as_str().expect("a text").to_string();
            let track = event["tid"].as_u64().expect("a track");
            if event["ph"] == "M" && event["name"] == "thread_name" {
                tracks.entry(track).or_default().0 = text(&event["args"]["name"]);
            } else if event["ph"] == "X" {
                let time = |key: &str| event[key].as_f64().is_some_and(|t| t.is_finite() && t >= 0.0);
                assert!(time("ts") && time("dur"), "{event}");
                let name = text(&event["name"]);
                let name = name.split(' ').next().unwrap_or_default().to_string();
                tracks.entry(track).or_default().1.push(name);
            }
        }
        let steps = std::iter::repeat_n(&step, STEPS).flatten();
        let wanted: Vec<String> = start.iter().chain(steps).map(ToString::to_string).collect();
        let names: Vec<&str> = tracks.values().map(|track| track.0.as_str()).collect();
        assert_eq!(names, ["host", "device"]);
        assert!(tracks.values().all(|track| track.1 == wanted), "{tracks:?}");
    }
}

#[test]
fn a_trace_without_a_place_is_refused() {
    let scratch = Scratch::new("trace");
    scratch.put("taken/mine", "precious");
    for path in ["taken", "nowhere/trace.json"] {
        let ran =
            scratch.run(&format!("profile --model two.toml --method plain --device cpu:1 --trace {path}"));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.stderr.contains(&format!("--trace: found {path} (")), "{ran:?}");
    }
    assert_eq!(scratch.names("taken"), ["mine"]);
}

#[test]
fn a_profile_of_a_network_of_layers_has_its_launches() {
    let scratch = Scratch::new("profile-layers");
    super::folders::copy(&scratch, "pipeline", "net");
    let text =
        scratch.run("profile --model net --method plain --particles 24 --steps 3 --device cpu:1").fine();
    let (_, layers) = text.split_once("launches of net at the last level, 24 particles").expect(&text);
    let rows: Vec<Vec<&str>> = layers.lines().skip(2).map(|line| line.split_whitespace().collect()).collect();
    let count = |row: &[&str]| row[0].parse::<usize>().expect("a count");
    let (all, parts) = rows.split_last().expect("rows");
    assert_eq!((all.last(), count(all)), (Some(&"all"), parts.iter().map(|row| count(row)).sum()), "{text}");
    assert!(
        parts.iter().any(|row| row.contains(&"conv")) && parts.iter().any(|row| row.contains(&"norm")),
        "{text}"
    );
}
