//! What the trainers wrote, every device must give to 1e-4.

use std::path::{Path, PathBuf};

use feynkac::classifier::Classifier;
use feynkac::kernels::device::Device;
use feynkac::kernels::passes::mlp::Compute;
use feynkac::model::{dense_network, shape};
use feynkac::netconfig;
use feynkac::weights::Weights;

on_every_device! { denoisers, judge }

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("weights").join(name)
}

/// Rows of `found` against rows of `wanted`, each to 1e-4 of the row's largest number.
fn close(what: &str, found: &[f32], wanted: &[f32], width: usize) {
    for (row, (found, wanted)) in found.chunks(width).zip(wanted.chunks(width)).enumerate() {
        let size = wanted.iter().map(|w| w.abs()).fold(0.0, f32::max);
        for (f, w) in found.iter().zip(wanted) {
            assert!((f - w).abs() <= 1.0e-4 * size, "{what}, row {row}: {f} for {w}");
        }
    }
}

fn denoisers(device: &Device) {
    for name in ["gmm40-mlp", "digits8-mlp"] {
        let (config, weights, warnings) = netconfig::load(&folder(name)).expect("a network");
        assert!(warnings.is_empty(), "{warnings:?}");
        let golden = Weights::open(&folder(name).join("golden.safetensors")).expect("golden values");
        let count = golden.shape("x").expect("x")[0];
        let dim = config.trunk.dim;
        let x = golden.f32("x", &[count, dim]).expect("x");
        let times = golden.f32("t", &[count]).expect("t");
        let wanted = golden.f32("output", &[count, dim]).expect("output");
        let classes = golden.has("class").then(|| golden.i32("class").expect("class"));
        let mut cond = Vec::new();
        let mut levels = Vec::new();
        for (i, &t) in times.iter().enumerate() {
            let class = classes.as_ref().map(|c| c[i] as usize).filter(|c| Some(*c) != config.classes);
            cond.push(weights.conditioning(&config, f64::from(t), class).expect("conditioning"));
            let c = config.preconditioning.denoiser_coeffs(config.prediction, &config.schedule, f64::from(t));
            levels.push([c.input as f32, 0.0, 1.0]);
        }
        let shape = shape(&config.trunk, dim);
        let network =
            dense_network(device, shape, &weights.trunk, &cond, &levels, Compute::F32).expect("an upload");
        let rows = device.upload("rows", &x).expect("an upload");
        let out = device.empty("out", count * dim).expect("a buffer");
        let mut found = Vec::new();
        for level in 0..count {
            network.launch(device, &rows, &out, 0, count, level).expect("a launch");
            found.extend(&device.download(&out).expect("outputs")[level * dim..(level + 1) * dim]);
        }
        close(name, &found, &wanted, dim);
    }
}

fn judge(device: &Device) {
    let path = folder("digits8-classifier");
    let (classifier, _) = Classifier::open(device, &path).expect("a classifier");
    let golden = Weights::open(&path.join("golden.safetensors")).expect("golden values");
    let count = golden.shape("x").expect("x")[0];
    let (dim, outputs) = (classifier.config.trunk.dim, classifier.config.outputs);
    let x = golden.f32("x", &[count, dim]).expect("x");
    let wanted = golden.f32("output", &[count, outputs]).expect("output");
    close("classifier", &classifier.logits(device, &x).expect("logits"), &wanted, outputs);
}
