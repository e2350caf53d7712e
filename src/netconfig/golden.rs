//! Whole folders: our own through a round trip, and the shipped ones against the golden outputs their
//! trainers wrote.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::weights::tests::Folder;
use crate::weights::{Data, Tensor, Weights, save};

const CONFIG: &str = r#"{"class": "classifier", "dim": 3, "hidden": 16, "layers": 1, "activation": "tanh",
    "norm": "none", "skip": false, "outputs": 2}"#;

/// Writes the tensors `config` needs, filled with small numbers, except `without`.
fn write(path: &Path, config: &ClassifierConfig, without: &str, metadata: &[(&str, &str)]) {
    let list: Vec<(String, Vec<usize>, Vec<f32>)> = config
        .tensors()
        .into_iter()
        .filter(|(name, _)| name != without)
        .map(|(name, shape)| {
            let size = shape.iter().product::<usize>();
            let values = (0..size).map(|i| 0.01 * (i % 17) as f32).collect();
            (name, shape, values)
        })
        .collect();
    let tensors: Vec<(String, Tensor)> = list
        .iter()
        .map(|(name, shape, values)| {
            let (shape, data) = (shape.clone(), Data::F32(values));
            (name.clone(), Tensor { shape, data })
        })
        .collect();
    let metadata = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    save(path, &tensors, &metadata).expect("the temporary folder can be written");
}

#[test]
fn folders_and_files_are_loaded_and_their_faults_are_named() {
    let folder = Folder::new("netconfig");
    let model = folder.0.join("model.safetensors");
    let json = folder.0.join("config.json");
    let (config, _) = ClassifierConfig::parse(Path::new("c"), CONFIG).unwrap();
    let refused = |path: &Path| load_classifier(path).unwrap_err().to_string();

    assert!(refused(&folder.0).contains("model.safetensors: cannot read it"));
    write(&model, &config, "", &[]);
    let message = refused(&folder.0);
    assert!(
        message.contains("the configuration: found none, wanted") && message.contains("config.json"),
        "{message}"
    );

    fs::write(&json, CONFIG).unwrap();
    let (found, weights, warnings) = load_classifier(&folder.0).unwrap();
    assert_eq!((found, warnings.len()), (config, 0));
    assert_eq!(weights.trunk.out.weight.len(), 32);
    assert_eq!(load_classifier(&model).unwrap().1, weights);
    assert!(load(&folder.0).unwrap_err().to_string().contains("class: found \"classifier\", wanted \"mlp\""));

    write(&model, &config, "out.bias", &[]);
    let message = refused(&folder.0);
    assert!(message.contains("model.safetensors: tensors: found 1 missing (out.bias [2])"), "{message}");

    // the configuration in the file itself, and the one beside it goes first
    write(&model, &config, "", &[("config", CONFIG)]);
    fs::write(&json, "{}").unwrap();
    assert!(refused(&folder.0).contains("config.json: class: found no such key"));
    fs::remove_file(&json).unwrap();
    assert_eq!(load_classifier(&folder.0).unwrap().1, weights);
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("weights").join(name)
}

fn read(golden: &Weights, name: &str) -> (usize, Vec<f32>) {
    let shape = golden.shape(name).expect("the golden file holds it").to_vec();
    let width = shape[1..].iter().product();
    (width, golden.f32(name, &shape).expect("golden values are finite"))
}

/// The golden outputs are f64 results for f32 weights and inputs, rounded once to f32: half a unit of the last
/// place, plus what two f64 programs that sum in other orders may differ by, some thousand rounding errors of
/// the largest output.
fn assert_close(name: &str, got: &[Vec<f64>], wanted: &[f32]) {
    let got: Vec<f64> = got.iter().flatten().copied().collect();
    assert_eq!(got.len(), wanted.len(), "{name}");
    let largest = wanted.iter().fold(0f32, |m, v| m.max(v.abs()));
    for (i, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        let wanted = f64::from(*wanted);
        let slack = wanted.abs() * 2f64.powi(-24) + 1e4 * f64::EPSILON * f64::from(largest);
        assert!((got - wanted).abs() <= slack, "{name}[{i}]: {got}, wanted {wanted} within {slack:e}");
    }
}

fn check_denoiser(name: &str) {
    let folder = shipped(name);
    let (config, net, warnings) = load(&folder).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(warnings, [""; 0]);
    let golden = Weights::open(&folder.join("golden.safetensors")).unwrap_or_else(|e| panic!("{e}"));
    let (dim, x) = read(&golden, "x");
    let (_, t) = read(&golden, "t");
    assert_eq!((dim, x.len() / dim, t.len()), (config.trunk.dim, 64, 64));
    let classes: Vec<Option<usize>> = match config.classes {
        None => vec![None; t.len()],
        Some(n) => {
            let list = golden.i32("class").expect("a network with classes has golden classes");
            list.iter().map(|c| usize::try_from(*c).ok().filter(|c| *c != n)).collect()
        }
    };
    let all: Vec<Forward> = x
        .chunks(dim)
        .zip(&t)
        .zip(classes)
        .map(|((x, t), class)| {
            let x: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
            net.forward(&config, &x, f64::from(*t), class).unwrap_or_else(|e| panic!("{e}"))
        })
        .collect();
    let output: Vec<Vec<f64>> = all.iter().map(|f| f.output.clone()).collect();
    let denoised: Vec<Vec<f64>> = all.iter().map(|f| f.denoised.clone()).collect();
    assert_close("output", &output, &read(&golden, "output").1);
    assert_close("denoised", &denoised, &read(&golden, "denoised").1);
    let (low, high) = t.iter().fold((f32::MAX, f32::MIN), |(l, h), t| (l.min(*t), h.max(*t)));
    assert!(f64::from(low) >= config.t_min * 0.99 && f64::from(high) <= config.t_max * 1.01);
}

#[test]
fn the_gmm40_network_gives_its_golden_outputs() {
    check_denoiser("gmm40-mlp");
}

#[test]
fn the_digits_network_gives_its_golden_outputs() {
    check_denoiser("digits8-mlp");
}

#[test]
fn the_digits_classifier_gives_its_golden_outputs() {
    let folder = shipped("digits8-classifier");
    let (config, net, warnings) = load_classifier(&folder).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(warnings, [""; 0]);
    let golden = Weights::open(&folder.join("golden.safetensors")).unwrap_or_else(|e| panic!("{e}"));
    let (dim, x) = read(&golden, "x");
    assert_eq!((dim, x.len() / dim), (config.trunk.dim, 64));
    let logits: Vec<Vec<f64>> = x
        .chunks(dim)
        .map(|x| {
            let x: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
            net.forward(&config, &x).unwrap_or_else(|e| panic!("{e}"))
        })
        .collect();
    assert_close("output", &logits, &read(&golden, "output").1);
}
