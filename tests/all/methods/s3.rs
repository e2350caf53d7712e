//! Forty modes in the plane, annealed to the square: closed form and network against the exact square.
//! Acceptance: the correction brings the energy distance to at most 0.3 and the mode occupancy error to at most
//! 0.65 of what they are without weights, on average over the runs.

use std::path::Path;

use feynkac::kernels::device::Device;
use feynkac::verify::verify;
use feynkac::{Model, Options, sample};

use super::s1::{seed, slow};
use crate::experiments::Size;
use crate::experiments::plane::{self, Truth, averages};

on_every_device! { closed_form, network }

fn weights(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("weights").join(name)
}

fn closed_form(device: &Device) {
    judge(device, "closed form", &weights("gmm40.toml"), if slow(device) { 3 } else { 8 });
}

fn network(device: &Device) {
    if slow(device) {
        eprintln!(
            "skipped: the network takes minutes on {}; four steps against the oracles instead",
            device.backend()
        );
        let model = [Model::open(&weights("gmm40-mlp"), None).expect("the model").0];
        let mut options = options(1);
        options.steps = 4;
        let verdict = verify(device, &model, &options).expect("a walk");
        assert!(verdict.agrees(), "{verdict}");
        return;
    }
    judge(device, "network", &weights("gmm40-mlp"), 5);
}

/// The runs that are judged.
fn options(runs: usize) -> Options {
    plane::options(2, Size { particles: 4000, steps: 400, runs, seed: seed(8) })
}

/// Mean over groups of (occupancy error, energy distance).
fn errors(device: &Device, model: &[Model], options: &Options, truth: &Truth) -> [f64; 2] {
    let out = sample(device, model, options, None).expect("a run");
    let weighted = if options.weights { "weighted" } else { "unweighted" };
    println!("S3 {} {weighted}: {:.1} s", device.backend(), out.timings.total_s);
    let [tv, w1, _] = averages(&truth.of_groups(&out, options.groups));
    [tv.0, w1.0]
}

fn judge(device: &Device, name: &str, path: &Path, runs: usize) {
    let model = [Model::open(path, None).expect("the model").0];
    let mixture = plane::open(&weights("gmm40.toml")).expect("the target");
    let truth = Truth::new(&mixture, 2, plane::SCHEDULE.sigma(0.0));
    let mut options = options(runs);
    let [tv, w1] = errors(device, &model, &options, &truth);
    // The figures without weights hardly vary between runs: one will do.
    options.weights = false;
    options.groups = 1;
    let [plain_tv, plain_w1] = errors(device, &model, &options, &truth);
    let [floor_tv, floor_w1, _] = averages(&truth.floor(options.particles, 4));
    println!(
        "S3 {} {name}: energy W1 {w1:.4} for {plain_w1:.4} without weights, {:.2}x (floor {:.4}); occupancy TV \
         {tv:.4} for {plain_tv:.4}, {:.2}x (floor {:.4})",
        device.backend(),
        w1 / plain_w1,
        floor_w1.0,
        tv / plain_tv,
        floor_tv.0
    );
    assert!(w1 <= 0.3 * plain_w1, "energy W1 {w1} for {plain_w1}");
    assert!(tv <= 0.65 * plain_tv, "occupancy TV {tv} for {plain_tv}");
}
