//! The shipped classifiers against what torch computed in f64, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::weights::tests::Folder;
use crate::weights::{Data, Tensor, Weights, save};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("weights").join(name)
}

fn wide(file: &Weights, name: &str) -> Vec<f64> {
    let shape = file.shape(name).expect("the golden file holds it").to_vec();
    file.f32(name, &shape).expect("golden values are finite").into_iter().map(f64::from).collect()
}

/// Golden values are f64 results for f32 weights and inputs, rounded once: half a unit of the last place, and some
/// thousand rounding errors of f64 of the largest number, as the two sum in other orders.
fn assert_close(what: &str, got: &[f64], wanted: &[f64]) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    let largest = wanted.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    for (i, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        let slack = wanted.abs() * 2f64.powi(-24) + 1e4 * f64::EPSILON * largest;
        assert!((got - wanted).abs() <= slack, "{what}[{i}]: {got}, wanted {wanted} within {slack:e}");
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn check(name: &str, noisy: bool) {
    let folder = shipped(name);
    let (net, warnings) = ConvClassifier::load(&folder).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((warnings, net.config.noise.is_some()), (Vec::new(), noisy));
    let golden = Weights::open(&folder.join("golden.safetensors")).unwrap_or_else(|e| panic!("{e}"));
    let [x, cotangent, output, slopes] =
        ["sample", "cotangent", "output", "vjp"].map(|name| wide(&golden, name));
    let s = noisy.then(|| wide(&golden, "timestep"));
    let (numbers, classes) = (net.config.image().numbers(), net.config.classes);
    assert_eq!((x.len(), output.len()), (16 * numbers, 16 * classes));
    for (i, (x, u)) in x.chunks(numbers).zip(cotangent.chunks(classes)).enumerate() {
        let s = s.as_ref().map(|s| s[i]);
        let (got, back) = net.vjp(x, s, u).unwrap();
        assert_eq!(net.logits(x, s).unwrap(), got);
        assert_close("output", &got, &output[i * classes..(i + 1) * classes]);
        assert_close("vjp", &back, &slopes[i * numbers..(i + 1) * numbers]);
    }
}

#[test]
fn the_classifier_of_images_gives_its_golden_outputs() {
    check("mnist-classifier", false);
}

#[test]
fn the_classifier_of_noisy_images_gives_its_golden_outputs() {
    check("mnist-classifier-noisy", true);
}

#[test]
fn the_judge_of_images_gives_its_golden_outputs() {
    check("mnist-judge", false);
}

const CONFIG: &str = r#"{"_class_name": "ConvClassifier", "in_channels": 2, "sample_size": [5, 4], "classes": 3,
    "activation": "silu", "norm_num_groups": 2, "norm_eps": 1e-5,
    "blocks": [{"out_channels": 4, "stride": 1}, {"out_channels": 6, "stride": 2}],
    "time": {"features": 4, "hidden": 5}}"#;

fn config(change: &str, to: &str) -> String {
    assert!(CONFIG.contains(change), "{change} is there to be changed");
    CONFIG.replace(change, to)
}

/// Writes the tensors that `text` needs, of numbers without a pattern, but the one called `without`.
fn write(folder: &Path, text: &str, without: &str) {
    fs::write(folder.join("config.json"), text).unwrap();
    let (config, _) = ConvConfig::parse(Path::new("c"), text).unwrap();
    let layout = layout::Layout::new(Path::new("c"), &config).unwrap();
    let list: Vec<(String, Vec<usize>, Vec<f32>)> = layout
        .tensors
        .into_iter()
        .filter(|(name, _)| name != without)
        .enumerate()
        .map(|(at, (name, shape))| {
            let number = |i: usize| (1.3 * (i * i + 7 * at) as f32).sin();
            let values = (0..shape.iter().product()).map(number).collect();
            (name, shape, values)
        })
        .collect();
    let tensors: Vec<(String, Tensor)> = list
        .iter()
        .map(|(name, shape, values)| (name.clone(), Tensor { shape: shape.clone(), data: Data::F32(values) }))
        .collect();
    save(&folder.join("model.safetensors"), &tensors, &Default::default()).unwrap();
}

#[test]
fn the_gradient_is_the_slope_of_the_logits() {
    let folder = Folder::new("conv-classifier-slope");
    write(&folder.0, CONFIG, "");
    let (net, _) = ConvClassifier::load(&folder.0).unwrap();
    let x: Vec<f64> = (0..40).map(|i| (0.9 * i as f64).cos()).collect();
    let v: Vec<f64> = (0..40).map(|i| (0.7 * i as f64).sin()).collect();
    let u = [0.3, -1.1, 0.8];
    let (logits, back) = net.vjp(&x, Some(0.4), &u).unwrap();
    let h = 1e-5;
    let at = |step: f64| {
        let moved: Vec<f64> = x.iter().zip(&v).map(|(x, v)| x + step * v).collect();
        dot(&u, &net.logits(&moved, Some(0.4)).unwrap())
    };
    let (along, slope) = ((at(h) - at(-h)) / (2.0 * h), dot(&back, &v));
    let size = dot(&back, &back).sqrt() * dot(&v, &v).sqrt();
    assert!((along - slope).abs() <= 1e-7 * size, "{along}, {slope}");
    assert_ne!(net.logits(&x, Some(0.5)).unwrap(), logits);
}

#[test]
fn what_cannot_be_run_is_refused_by_name() {
    for (change, to, wanted) in [
        (
            "ConvClassifier",
            "UNet2DModel",
            "_class_name: found \"UNet2DModel\", wanted one of \"ConvClassifier\"",
        ),
        ("[5, 4]", "[5, 4, 3]", "sample_size: found [5,4,3], wanted a whole number in 1 to 4096, or two"),
        ("\"stride\": 2", "\"stride\": 3", "blocks[1].stride: found 3, wanted a whole number in 1 to 2"),
        ("\"features\": 4", "\"features\": 5", "time.features: found 5, wanted an even number in 2 to 4096"),
        ("silu", "swish", "activation: found \"swish\", wanted one of"),
        ("1e-5", "-1", "norm_eps: found -1, wanted 0 to 1"),
        ("\"norm_num_groups\": 2", "\"norm_num_groups\": 0", "norm_num_groups: found 0, wanted"),
    ] {
        let error = ConvConfig::parse(Path::new("c.json"), &config(change, to)).unwrap_err().to_string();
        assert!(error.starts_with("c.json: ") && error.contains(wanted), "{error}");
    }
    let (five, _) =
        ConvConfig::parse(Path::new("c.json"), &config("\"norm_num_groups\": 2", "\"norm_num_groups\": 4"))
            .unwrap();
    let error = layout::Layout::new(Path::new("c.json"), &five).unwrap_err().to_string();
    assert!(error.contains("blocks.1.norm: groups of a norm: found 4, wanted a divisor of 6"), "{error}");
    let (_, warnings) =
        ConvConfig::parse(Path::new("c.json"), &config("\"classes\"", "\"colour\": 1, \"classes\"")).unwrap();
    assert_eq!(warnings, ["c.json: the key colour is not known, and ignored"]);

    let folder = Folder::new("conv-classifier-refused");
    write(&folder.0, CONFIG, "blocks.1.time.bias");
    let error = ConvClassifier::load(&folder.0).unwrap_err().to_string();
    assert!(error.contains("1 missing (blocks.1.time.bias [6])"), "{error}");
    write(&folder.0, CONFIG, "");
    fs::write(folder.0.join("config.json"), config("\"classes\": 3", "\"classes\": 4")).unwrap();
    let error = ConvClassifier::load(&folder.0).unwrap_err().to_string();
    assert!(error.contains("2 of another shape (out.weight [3, 6] instead of [4, 6]"), "{error}");
    write(&folder.0, CONFIG, "");
    let (net, _) = ConvClassifier::load(&folder.0).unwrap();
    for (s, wanted) in [(None, "found none"), (Some(0.0), "found 0"), (Some(f64::NAN), "found NaN")] {
        let error = net.logits(&[0.0; 40], s).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    assert!(net.logits(&[0.0; 39], Some(1.0)).is_err() && net.vjp(&[0.0; 40], Some(1.0), &[1.0]).is_err());
}
