//! What a run leaves behind.

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use super::Scratch;
use super::weights::{configure, network};

const SMALL: &str = "--model two.toml --method fkc-anneal --beta 1.5 --particles 200 --steps 20";

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// The numbers of a list.
fn list(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

/// A tensor's shape and 32-bit words, checked to be of type `dtype`.
fn tensor(bytes: &[u8], name: &str, dtype: Dtype) -> (Vec<usize>, Vec<u32>) {
    let file = SafeTensors::deserialize(bytes).expect("a safetensors file");
    let view = file.tensor(name).expect("a tensor of this name");
    assert_eq!(view.dtype(), dtype, "{name}");
    let words = view.data().as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    (view.shape().to_vec(), words)
}

fn floats(bytes: &[u8], name: &str) -> Vec<f32> {
    tensor(bytes, name, Dtype::F32).1.into_iter().map(f32::from_bits).collect()
}

#[test]
fn samples_a_report_and_pictures() {
    let scratch = Scratch::new("written");
    let table = scratch.run(&format!("sample {SMALL} --device cpu:1 -o a/b")).fine();
    for row in ["method ", "device ", "log Z ", "ESS at the end ", "distinct roots ", "verdict ", "written "]
    {
        assert!(table.lines().any(|line| line.starts_with(row)), "{row}:\n{table}");
    }
    let files = ["report.json", "samples.png", "samples.safetensors", "samples.svg"];
    assert_eq!(scratch.names("a/b"), files);
    assert!(scratch.read("a/b/samples.png").starts_with(b"\x89PNG\r\n"));
    assert!(scratch.read("a/b/samples.svg").starts_with(b"<svg"));

    let samples = scratch.read("a/b/samples.safetensors");
    let file = SafeTensors::deserialize(&samples).expect("a safetensors file");
    assert_eq!(file.len(), 3);
    assert_eq!(tensor(&samples, "x", Dtype::F32).0, [200, 2]);
    assert_eq!(tensor(&samples, "log_w", Dtype::F32).0, [200]);
    assert!(["x", "log_w"].iter().all(|name| floats(&samples, name).iter().all(|v| v.is_finite())));
    let (shape, ancestors) = tensor(&samples, "ancestors", Dtype::U32);
    assert_eq!(shape, [200]);
    assert!(ancestors.is_sorted() && ancestors.iter().all(|&a| a < 200), "{ancestors:?}");

    let report = json(&scratch.read("a/b/report.json"));
    let fields = [
        "compute",
        "config",
        "counters",
        "device",
        "distinct_roots",
        "ess",
        "log_z",
        "over_groups",
        "refined",
        "resampled_at",
        "schema_version",
        "steady_state",
        "timings",
        "trust",
        "verdict",
    ];
    assert_eq!(keys(&report), fields);
    assert_eq!(report["schema_version"], 1);
    assert_eq!(keys(&report["device"]), ["backend", "driver", "name"]);
    assert_eq!(report["device"]["backend"], "cpu:1");
    assert!(report["log_z"].as_f64().expect("a number").is_finite());
    let ess = list(&report["ess"]);
    assert!(ess.len() == 20 && ess.iter().all(|e| (0.999..200.001).contains(e)), "{ess:?}");
    let resampled = list(&report["resampled_at"]);
    // Resampled at a step, counted from 0, where the ESS was below half, and only there.
    let low: Vec<f64> = (0..19).filter(|&i| ess[i] < 100.0).map(|i| i as f64).collect();
    assert_eq!(resampled, low);
    assert!(!low.is_empty(), "the case must resample");
    assert!((1..=200).contains(&report["distinct_roots"].as_u64().expect("a count")));
    let trust = &report["trust"];
    let fields = [
        "effective_roots",
        "families_tail",
        "increments_tail",
        "lag",
        "log_z_se",
        "mean",
        "mean_se",
        "reasons",
        "verdict",
        "weights_tail",
    ];
    assert_eq!(keys(trust), fields);
    assert!(trust["log_z_se"].as_f64().expect("a number") > 0.0);
    assert!(list(&trust["mean_se"]).len() == 2 && list(&trust["mean_se"]).iter().all(|se| *se > 0.0));
    assert_eq!(trust["verdict"], report["verdict"]);
    assert!(report["over_groups"].is_null(), "one group has no spread");
    let counters = &report["counters"];
    let fields = [
        "allocations_in_loop",
        "bytes_per_particle_step",
        "downloads_in_loop",
        "launches",
        "launches_per_step",
        "replays",
    ];
    assert_eq!(keys(counters), fields);
    assert_eq!(counters["downloads_in_loop"], 0);
    assert_eq!(counters["launches_per_step"], 2.0);
    assert_eq!(counters["launches"], 2 + 20 * 2);
    assert_eq!(counters["allocations_in_loop"], 0);
    assert_eq!(counters["replays"], 0);
    assert_eq!(report["steady_state"], "launches: the CPU runtime records no graphs");
    assert!(counters["bytes_per_particle_step"].as_f64().expect("a number") > 0.0);
    assert_eq!(keys(&report["timings"]), ["compile_s", "loop_s", "particle_steps_per_s", "total_s"]);
    let timing = |key: &str| report["timings"][key].as_f64().expect("a time");
    assert!(timing("compile_s") > 0.0 && timing("loop_s") > 0.0 && timing("particle_steps_per_s") > 0.0);
    assert!(timing("total_s") >= timing("compile_s") + timing("loop_s"));

    // The settings beside the samples are the report's, less how the run was carried out.
    let (_, metadata) = SafeTensors::read_metadata(&samples).expect("a header");
    let beside = json(metadata.metadata().as_ref().expect("free text")["config"].as_bytes());
    let mut config = report["config"].clone();
    config.as_object_mut().expect("an object").retain(|key, _| {
        let how = [
            "device",
            "no-roots",
            "genealogy",
            "tails",
            "paths",
            "unfused",
            "steps-per-launch",
            "no-graph",
            "micro-batch",
            "recompute",
        ];
        !how.contains(&key.as_str())
    });
    assert_eq!(beside, config);
    assert_eq!(
        (&config["beta"], &config["steps"], &config["rule"]),
        (&1.5.into(), &20.into(), &"trap".into())
    );
}

#[test]
fn groups_are_lists() {
    let scratch = Scratch::new("groups");
    let few = SMALL.replace("200", "17");
    scratch.run(&format!("sample {few} --groups 3 --device cpu:1 -o out")).fine();
    let samples = scratch.read("out/samples.safetensors");
    assert_eq!(tensor(&samples, "x", Dtype::F32).0, [51, 2]);
    let (_, ancestors) = tensor(&samples, "ancestors", Dtype::U32);
    for group in ancestors.chunks(17) {
        assert!(group.is_sorted() && group.iter().all(|&a| a < 17), "{ancestors:?}");
    }
    let report = json(&scratch.read("out/report.json"));
    assert_eq!(list(&report["log_z"]).len(), 3);
    assert_eq!(list(&report["distinct_roots"]).len(), 3);
    for key in ["ess", "resampled_at"] {
        assert_eq!(report[key].as_array().expect("a list").len(), 3, "{key}");
    }
    assert!(report["ess"].as_array().expect("a list").iter().all(|ess| list(ess).len() == 20));
    // The first group is what a run of one group draws.
    scratch.run(&format!("sample {few} --device cpu:1 -o one")).fine();
    let alone = scratch.read("one/samples.safetensors");
    assert_eq!(floats(&samples, "x")[..34], floats(&alone, "x"));
    assert_eq!(floats(&samples, "log_w")[..17], floats(&alone, "log_w"));
}

/// With the genealogy the parents of all steps are written, the rest does not change.
#[test]
fn a_genealogy_is_written() {
    let scratch = Scratch::new("genealogy");
    let few = SMALL.replace("200", "30");
    scratch.run(&format!("sample {few} --groups 2 --genealogy --device cpu:1 --no-picture -o out")).fine();
    scratch.run(&format!("sample {few} --groups 2 --device cpu:1 --no-picture -o without")).fine();
    let (with, without) =
        (scratch.read("out/samples.safetensors"), scratch.read("without/samples.safetensors"));
    assert_eq!(floats(&with, "x"), floats(&without, "x"));
    let (shape, parents) = tensor(&with, "ancestors", Dtype::U32);
    assert_eq!(shape, [20, 2, 30]);
    let report = json(&scratch.read("out/report.json"));
    for (at, row) in parents.chunks(30).enumerate() {
        let resampled = list(&report["resampled_at"][at % 2]).contains(&((at / 2) as f64));
        assert_eq!(row.iter().enumerate().any(|(i, &p)| p != i as u32), resampled, "row {at}");
    }
    assert_eq!(list(&report["over_groups"]["mean"]).len(), 2);
    let plan = scratch.run(&format!("plan {few} --groups 2 --genealogy --device cpu:1")).fine();
    assert!(plan.lines().any(|line| line.starts_with("genealogy ")), "{plan}");
}

/// Paths lead to the particles, and a chain begins at one of each group; the run itself does not change.
#[test]
fn paths_and_sweeps_are_written() {
    let scratch = Scratch::new("paths");
    let few = SMALL.replace("200", "30");
    let run = format!("sample {few} --groups 2 --device cpu:1 --no-picture");
    let told = scratch.run(&format!("{run} --paths --refine 3 -o out")).fine();
    assert!(told.lines().any(|line| line.starts_with("refined ")), "{told}");
    scratch.run(&format!("{run} -o without")).fine();
    let (with, without) =
        (scratch.read("out/samples.safetensors"), scratch.read("without/samples.safetensors"));
    let x = floats(&with, "x");
    assert_eq!(x, floats(&without, "x"));
    assert_eq!(tensor(&with, "paths", Dtype::F32).0, [21, 60, 2]);
    assert_eq!(floats(&with, "paths")[20 * 120..], x[..]);
    assert_eq!(tensor(&with, "refined", Dtype::F32).0, [4, 2, 2]);
    let refined = floats(&with, "refined");
    for g in 0..2 {
        let own = &refined[2 * g..2 * g + 2];
        assert!(x[60 * g..60 * (g + 1)].chunks(2).any(|particle| particle == own), "group {g}");
    }
    assert!(refined.iter().all(|x| x.is_finite()) && refined[..4] != refined[12..]);
    let report = json(&scratch.read("out/report.json"));
    assert_eq!(report["refined"]["sweeps"], 3);
    let renewed = list(&report["refined"]["renewed"]);
    assert!(renewed.len() == 21 && renewed.iter().all(|share| (0.0..=1.0).contains(share)), "{renewed:?}");
    assert!(json(&scratch.read("without/report.json"))["refined"].is_null());
    let plan = scratch.run(&format!("plan {few} --groups 2 --paths --device cpu:1")).fine();
    assert!(plan.lines().any(|line| line.starts_with("positions of all steps ")), "{plan}");
}

/// How the weight of a reward went up, over groups; the config says how it was asked to.
#[test]
fn a_ladder_is_reported() {
    let scratch = Scratch::new("ladder");
    scratch.put("reward.toml", "kind = 'mixture'\nweights = [1.0]\nmeans = [[6.0, -4.0]]\nscales = [1.5]\n");
    let run = format!("sample {SMALL} --groups 3 --device cpu:1 --no-picture --reward reward.toml");
    let told = scratch.run(&format!("{run} --resample every --reward-growth ess:0.9 -o out")).fine();
    let wanted = "its weight was held back by the ESS after ";
    assert!(told.lines().any(|line| line.starts_with("reward ") && line.contains(wanted)), "{told}");
    let report = json(&scratch.read("out/report.json"));
    assert_eq!(report["config"]["reward-growth"], "ess:0.9");
    let ladder = &report["ladder"];
    assert_eq!(keys(ladder), ["ess_after", "ess_before", "held", "left", "steps", "weights"]);
    let weights = ladder["weights"].as_array().expect("a list");
    assert_eq!(weights.len(), 20);
    for spread in weights.iter().chain([&ladder["held"], &ladder["steps"], &ladder["ess_before"]]) {
        let [min, median, max] = ["min", "median", "max"].map(|key| spread[key].as_f64().expect("a number"));
        assert!(0.0 <= min && min <= median && median <= max, "{spread}");
    }
    assert!(ladder["held"]["min"].as_f64().expect("a number") > 0.0, "{ladder}");
    assert_eq!(weights[19]["min"], 1.0);
    assert_eq!(ladder["steps"]["min"], 20.0);
    scratch.run(&format!("{run} -o usual")).fine();
    assert!(json(&scratch.read("usual/report.json")).get("ladder").is_none());
    let refused = scratch.run(&format!("{run} --reward-growth ess:0.9 -o refused"));
    let wanted = "resample ess: found 0.5, wanted at least reward-growth's 0.9";
    assert!(refused.stderr.contains(wanted), "{}", refused.stderr);
}

#[test]
fn a_seed_decides_every_byte() {
    let scratch = Scratch::new("seed");
    // 3000 particles are several blocks; the threads share them.
    let many = SMALL.replace("200", "3000");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let how = ["cpu:1", "cpu:1", "cpu:1 --unfused", "cpu:2", "cpu:2 --unfused"];
    let how = if cores > 1 { &how } else { &how[..3] };
    for method in ["fkc-anneal", "plain"] {
        let line = many.replace("fkc-anneal", method);
        let samples: Vec<Vec<u8>> = how
            .iter()
            .map(|how| {
                scratch.run(&format!("sample {line} --seed 7 --device {how} --no-picture -o out")).fine();
                assert_eq!(scratch.names("out"), ["report.json", "samples.safetensors"]);
                scratch.read("out/samples.safetensors")
            })
            .collect();
        assert!(samples.iter().all(|other| *other == samples[0]), "{method}: {how:?} differ");
    }
    scratch.run(&format!("sample {many} --seed 8 --device cpu:1 --no-picture -o other")).fine();
    let [a, b] = ["out", "other"].map(|o| floats(&scratch.read(&format!("{o}/samples.safetensors")), "x"));
    assert_ne!(a, b);
}

#[test]
fn a_last_resampling_leaves_equal_weights() {
    let scratch = Scratch::new("final");
    for (last, equal) in [("resample", true), ("weighted", false)] {
        scratch.run(&format!("sample {SMALL} --final {last} --device cpu:1 -o {last}")).fine();
        let log_w = floats(&scratch.read(&format!("{last}/samples.safetensors")), "log_w");
        assert_eq!(log_w.iter().all(|w| *w == 0.0), equal, "{last}: {log_w:?}");
        let report = json(&scratch.read(&format!("{last}/report.json")));
        assert_eq!(list(&report["resampled_at"]).last() == Some(&19.0), equal, "{last}");
    }
}

/// A run whose weights overflow dies after it has begun: exit code 1, and what was there stays.
#[test]
fn a_run_that_dies_leaves_old_files_alone() {
    let scratch = Scratch::new("dies");
    let old = [("samples.safetensors", "old samples"), ("report.json", "old report"), ("notes", "mine")];
    for (name, text) in old {
        scratch.put(&format!("out/{name}"), text);
    }
    let deadly = SMALL.replace("1.5", "1e30");
    let ran = scratch.run(&format!("sample {deadly} --device cpu:1 -o out"));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    super::golden("dies", &format!("$ {}\n{}", ran.line, ran.stderr));
    let refused = scratch.run(&format!("sample {SMALL} --rule simpson --device cpu:1 -o out"));
    assert_eq!(refused.code, Some(2));
    assert_eq!(scratch.names("out"), ["notes", "report.json", "samples.safetensors"]);
    for (name, text) in old {
        assert_eq!(scratch.read(&format!("out/{name}")), text.as_bytes(), "{name}");
    }
    // A run that goes well replaces them whole.
    scratch.run(&format!("sample {SMALL} --device cpu:1 --no-picture -o out")).fine();
    assert_eq!(tensor(&scratch.read("out/samples.safetensors"), "x", Dtype::F32).0, [200, 2]);
    assert_eq!(scratch.names("out"), ["notes", "report.json", "samples.safetensors"]);
}

#[test]
fn a_run_file_and_flags_over_it() {
    let scratch = Scratch::new("config");
    scratch.put(
        "run.toml",
        "model = \"two.toml\"\nmethod = \"fkc-anneal\"\nbeta = 1.5\nparticles = 200\nsteps = 20\n\
         device = \"cpu:1\"\noutput = \"by-file\"\nno-picture = true\n",
    );
    scratch.run("sample --config run.toml").fine();
    scratch.run(&format!("sample {SMALL} --device cpu:1 --no-picture -o by-flags")).fine();
    assert_eq!(scratch.read("by-file/samples.safetensors"), scratch.read("by-flags/samples.safetensors"));
    scratch.run("sample --config run.toml --steps 9 --beta 0.5 -o over").fine();
    let config = json(&scratch.read("over/report.json"))["config"].clone();
    assert_eq!((&config["steps"], &config["beta"]), (&9.into(), &0.5.into()));
    assert_eq!((&config["particles"], &config["device"]), (&200.into(), &"cpu:1".into()));
    assert_eq!(scratch.names("over"), ["report.json", "samples.safetensors"]);
}

#[test]
fn json_is_one_object_and_nothing_else() {
    let scratch = Scratch::new("json");
    let text = scratch.run(&format!("sample {SMALL} --device cpu:1 --json --no-picture -o out")).fine();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(json(text.as_bytes()), json(&scratch.read("out/report.json")));
    // Nothing weighed: no number where there is none to give.
    let plain = SMALL.replace("fkc-anneal --beta 1.5", "plain");
    let text = scratch.run(&format!("sample {plain} --device cpu:1 --json")).fine();
    assert!(json(text.as_bytes())["log_z"].is_null(), "{text}");
}

#[test]
fn networks_are_sampled() {
    let scratch = Scratch::new("network");
    network(&scratch, "net", |_| ());
    let line = "sample --model net --method fkc-anneal --beta 2 --particles 50 --steps 4 --device cpu:1";
    scratch.run(&format!("{line} -o out")).fine();
    assert_eq!(tensor(&scratch.read("out/samples.safetensors"), "x", Dtype::F32).0, [50, 2]);
    let report = json(&scratch.read("out/report.json"));
    assert_eq!(report["counters"]["downloads_in_loop"], 0);
    assert_eq!(report["counters"]["launches_per_step"], 4.0);
    // Beside a closed form and a copy of itself that says to be of another schedule; the run goes as far as all of them.
    network(&scratch, "flow", |_| ());
    let ve = "\"kind\": \"ve\",\n    \"sigma_min\": 0.01,\n    \"sigma_max\": 60.0,\n    \"t_min\": 0.0,\n    \"t_max\": 1.0";
    configure(&scratch, "flow", ve, "\"kind\": \"rectified-flow\", \"t_min\": 0.05, \"t_max\": 0.975");
    scratch.put(
        "wide.toml",
        "kind = \"gaussian\"\nmean = [0.0, 0.0]\ncovariance = [[400.0, 0.0], [0.0, 400.0]]\n",
    );
    let line = "sample --model net --model wide.toml --model flow --method fkc-product --beta 0.5 --particles 50 --steps 4";
    scratch.run(&format!("{line} --device cpu:1 -o mixed")).fine();
    let report = json(&scratch.read("mixed/report.json"));
    assert_eq!(report["counters"]["launches_per_step"], 5.0);
    let sigma = |t: &str| 0.01 * 6000.0_f64.powf(report["config"][t].as_f64().expect("a time"));
    assert!((sigma("t-max") - 39.0).abs() < 1e-6 && (sigma("t-min") - 0.05 / 0.95).abs() < 1e-9, "{report}");
    // Targets that need log-densities, which networks do not give; weighed or not.
    for more in
        ["--method fkc-mixture", "--method fkc-mixture --no-weights", "--method fkc-product --beta-from 0.2"]
    {
        let line =
            "sample --model net --model wide.toml --model flow --particles 50 --steps 4 --device cpu:1";
        scratch.run(&format!("{line} {more} -o estimated")).fine();
        let (shape, x) = tensor(&scratch.read("estimated/samples.safetensors"), "x", Dtype::F32);
        assert_eq!(shape, [50, 2], "{more}");
        let report = json(&scratch.read("estimated/report.json"));
        assert_eq!(report["counters"]["downloads_in_loop"], 0, "{more}");
        assert!(x.iter().all(|bits| f32::from_bits(*bits).is_finite()), "{more}");
    }
}
