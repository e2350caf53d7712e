//! Symmetries, slopes against differences, and what is refused, of networks of random numbers.

use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::*;
use crate::layered::tests::{largest, same, slopes_agree, write};
use crate::weights::tests::Folder;

fn config_text() -> Value {
    json!({
        "_class_name": "EGNN", "atoms": 5, "space": 3, "hidden": 7, "radial": 6, "layers": 3, "cond": 4,
        "time_features": 6, "activation": "silu",
        "schedule": {"kind": "ve", "sigma_min": 0.01, "sigma_max": 10.0},
        "prediction": "x0", "preconditioning": {"kind": "edm", "sigma_data": 0.9}, "data": {"mean": 0.0, "std": 0.9}
    })
}

fn numbers(rng: &mut StdRng, count: usize) -> Vec<f64> {
    (0..count).map(|_| rng.random_range(-1.5..1.5)).collect()
}

/// A network of random numbers; bumps of distances need sharpness above 0.
fn random(config: EgnnConfig, rng: &mut StdRng) -> Egnn {
    let crate::layered::Layout { layers, tensors } = build::layout(&config).unwrap();
    let one = |(name, shape): &(String, Vec<usize>)| -> Vec<f32> {
        let all = numbers(rng, shape.iter().product()).into_iter().map(|v| v as f32);
        if name == "radial.sharpness" { all.map(f32::abs).collect() } else { all.collect() }
    };
    let tensors = tensors.iter().map(one).collect();
    Egnn { config, net: Layered::new(layers, tensors, None) }
}

fn network() -> (Egnn, StdRng) {
    let mut rng = StdRng::seed_from_u64(3);
    let (config, warnings) = EgnnConfig::parse(Path::new("c"), &config_text().to_string()).unwrap();
    assert_eq!(warnings, [""; 0]);
    (random(config, &mut rng), rng)
}

fn output(net: &Egnn, x: &[f64]) -> Vec<f64> {
    net.net.forward(x, 0.7, None).unwrap()
}

/// Every atom through `f`.
fn each(x: &[f64], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    x.chunks(3).flat_map(f).collect()
}

#[test]
fn what_is_done_to_all_atoms_is_done_to_the_output() {
    let (net, mut rng) = network();
    let x = numbers(&mut rng, 15);
    let f = output(&net, &x);
    assert!(largest(&f) > 0.1, "the network does something: {f:?}");
    // two rotations and a reflection
    let turn = |p: &[f64]| {
        let ((s, c), (t, d)) = (0.8f64.sin_cos(), 2.1f64.sin_cos());
        let q = [c * p[0] - s * p[1], s * p[0] + c * p[1], p[2]];
        vec![q[0], d * q[1] - t * q[2], -(t * q[1] + d * q[2])]
    };
    // 1e-12: some thousand rounding errors
    same(&output(&net, &each(&x, turn)), &each(&f, turn), 1e-12);
    let moved = each(&x, |p| vec![p[0] + 3.0, p[1] - 1.0, p[2] + 0.5]);
    same(&output(&net, &moved), &f, 1e-12);
    let order = [2, 0, 4, 1, 3];
    let permuted = |x: &[f64]| order.iter().flat_map(|i| x[3 * i..3 * i + 3].to_vec()).collect::<Vec<_>>();
    same(&output(&net, &permuted(&x)), &permuted(&f), 1e-12);
    for k in 0..3 {
        let mean: f64 = f.iter().skip(k).step_by(3).sum();
        assert!(mean.abs() < 1e-12 * largest(&f), "the output is mean-free: {mean}");
    }
    // Control: atoms are not taken for each other's places.
    let (a, b) = (permuted(&f), &f);
    assert!(a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-3));
}

#[test]
fn slopes_are_those_of_differences_and_of_each_other() {
    let (net, mut rng) = network();
    let [x, u, v] = [0, 1, 2].map(|_| numbers(&mut rng, 15));
    slopes_agree(&net.net, &x, &u, &v);
}

#[test]
fn two_atoms_in_one_place_have_finite_slopes() {
    let (net, mut rng) = network();
    let mut x = numbers(&mut rng, 15);
    x.copy_within(0..3, 3);
    let (value, back) = net.net.vjp(&x, 0.7, None, &numbers(&mut rng, 15)).unwrap();
    assert!(value.iter().chain(&back).all(|v| v.is_finite()));
}

#[test]
fn folders_are_loaded_and_their_faults_are_named() {
    let folder = Folder::new("egnn");
    let (net, _) = network();
    let says = |text: &str, parts: &[&str]| {
        fs::write(folder.0.join("config.json"), text).unwrap();
        let message = load(&folder.0).expect_err("it is spoilt").to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}\nwanted {parts:?}");
    };
    let changed = |key: &str, value: Value| {
        let mut config = config_text();
        config[key] = value;
        config.to_string()
    };
    write(&folder.0, &build::layout(&net.config).unwrap(), &net.net, "");
    fs::write(folder.0.join("config.json"), changed("more", json!(1))).unwrap();
    let (found, warnings) = load(&folder.0).unwrap();
    assert_eq!((found.config, &found.net), (net.config, &net.net));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    says(&changed("_class_name", json!("GNN")), &["_class_name: found \"GNN\", wanted one of \"EGNN\""]);
    says(&changed("atoms", json!(1)), &["atoms: found 1, wanted a whole number in 2 to 256"]);
    says(&changed("time_features", json!(5)), &["time_features: found 5, wanted an even number"]);
    says(&changed("schedule", json!({"kind": "x"})), &["schedule.kind: found \"x\""]);
    // an atom more changes no tensor; a bump more does
    says(&changed("radial", json!(7)), &["model.safetensors", "radial.centres", "[7]"]);
    says("{", &["config.json", "not JSON"]);
    write(&folder.0, &build::layout(&net.config).unwrap(), &net.net, "pairs.1.atoms.bias");
    says(&config_text().to_string(), &["1 missing (pairs.1.atoms.bias [7])"]);
}
