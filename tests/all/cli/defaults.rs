//! Known mistake 10: the path of an option that nobody named is wrong while every named one is right.

use serde_json::Value;

use super::Scratch;

const RUN: &str = "sample --model line.toml --method fkc-anneal --beta 1.5 --particles 300 --steps 20 --device cpu:1 --json";

/// What a run came to, by numbers that everything enters: evidence, ESS of every step, resamplings, means.
fn outcome(scratch: &Scratch, more: &str) -> String {
    let report: Value =
        serde_json::from_str(&scratch.run(&format!("{RUN} {more}")).fine()).expect("a report");
    ["log_z", "ess", "resampled_at", "trust"].map(|key| report[key].to_string()).join("\n")
}

/// Each default by its name is the default, to the bit; and each named otherwise is another run.
#[test]
fn a_default_is_what_its_name_says() {
    let scratch = Scratch::new("defaults");
    let silent = outcome(&scratch, "");
    let mut all = String::new();
    for (default, other) in [
        ("--rule trap", "--rule left"),
        ("--resample ess:0.5", "--resample every"),
        ("--scheme systematic", "--scheme stratified"),
        ("--sde target-score", "--sde tempered-noise"),
        ("--grid log-snr", "--grid edm-rho"),
        ("--schedule ve", "--schedule edm"),
        ("--state f32", "--state f16"),
        ("--seed 0", "--seed 1"),
    ] {
        assert_ne!(outcome(&scratch, other), silent, "the control must differ: {other}");
        all = format!("{all} {default}");
    }
    let rest = "--sigma-min 0.01 --sigma-max 50 --t-max 1 --t-min 0 --groups 1 --block 1024 --final weighted \
                --compute auto --micro-batch 1 --steps-per-launch 1";
    assert_eq!(outcome(&scratch, &format!("{all} {rest}")), silent, "all by name");
    // The same keys in a file.
    scratch.put(
        "run.toml",
        "rule = 'trap'\nresample = 'ess:0.5'\nscheme = 'systematic'\nsde = 'target-score'\ngrid = 'log-snr'\nseed = 0\n",
    );
    assert_eq!(outcome(&scratch, "--config run.toml"), silent);
}
