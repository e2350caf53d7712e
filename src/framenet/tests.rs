//! Golden outputs, symmetries, slopes against differences, and what is refused.

use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use feynkac_kernels::prims::so3::oracle::{compose, rotate, uniform};

use super::*;
use crate::layered::tests::{largest, same, slopes_agree, write};
use crate::weights::Weights;
use crate::weights::tests::Folder;

fn config_text() -> Value {
    json!({
        "_class_name": "FrameNetwork", "frames": 3, "hidden": 7, "layers": 2, "places": 2, "cond": 4,
        "time_features": 6, "activation": "silu", "prediction": "eps",
        "schedule": {"kind": "ve", "sigma_min": 0.1, "sigma_max": 2.0}
    })
}

fn numbers(rng: &mut StdRng, count: usize) -> Vec<f64> {
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn network() -> (FrameNetwork, StdRng) {
    let mut rng = StdRng::seed_from_u64(3);
    let (config, warnings) = FrameConfig::parse(Path::new("c"), &config_text().to_string()).unwrap();
    assert_eq!(warnings, [""; 0]);
    let crate::layered::Layout { layers, tensors } = build::layout(&config).unwrap();
    let one = |(_, shape): &(String, Vec<usize>)| -> Vec<f32> {
        numbers(&mut rng, shape.iter().product()).into_iter().map(|v| v as f32).collect()
    };
    let tensors = tensors.iter().map(one).collect();
    (FrameNetwork { config, net: Layered::new(layers, tensors, None) }, rng)
}

#[test]
fn the_shipped_network_gives_its_golden_outputs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/frames-chain");
    let (FrameNetwork { config, net }, warnings) = load(&folder).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(warnings, [""; 0]);
    let golden = Weights::open(&folder.join("golden.safetensors")).unwrap_or_else(|e| panic!("{e}"));
    let wide = |name| -> Vec<f64> {
        golden.plain_f32(name).expect("golden values").into_iter().map(f64::from).collect()
    };
    let [x, t, output, cotangent, slopes] = ["x", "t", "output", "cotangent", "vjp"].map(wide);
    let (state, six) = (7 * config.frames, 6 * config.frames);
    assert_eq!((x.len(), t.len()), (32 * state, 32));
    // Half a unit of the last place of f32, and what two f64 programs differ by.
    let close = |got: &[f64], wanted: &[f64]| same(got, wanted, 2f64.powi(-23) + 1e5 * f64::EPSILON);
    for (i, t) in t.into_iter().enumerate() {
        let (x, u) = (&x[i * state..][..state], &cotangent[i * six..][..six]);
        let (found, back) = net.vjp(x, config.schedule.sigma(t), None, u).unwrap();
        close(&found, &output[i * six..][..six]);
        close(&back, &slopes[i * state..][..state]);
    }
}

#[test]
fn what_is_done_to_the_whole_chain_is_done_to_the_positions_score() {
    let (net, mut rng) = network();
    let chain: Vec<f64> = (0..3)
        .flat_map(|_| {
            let all = numbers(&mut rng, 7);
            [&uniform([all[0], all[1], all[2], all[3]])[..], &all[4..]].concat()
        })
        .collect();
    let output = |x: &[f64]| net.net.forward(x, 0.7, None).unwrap();
    let turn = uniform([0.3, -0.8, 0.5, 0.4]);
    let turned = |x: &[f64]| -> Vec<f64> {
        let one = |f: &[f64]| {
            let at = rotate(turn, [f[4], f[5], f[6]]);
            // The other of the two quaternions of the rotation.
            let q = compose(turn, [f[0], f[1], f[2], f[3]]).map(|q| -q);
            [&q[..], &[at[0] + 2.0, at[1] - 0.5, at[2] + 1.0]].concat()
        };
        x.chunks(7).flat_map(one).collect()
    };
    let f = output(&chain);
    let wanted: Vec<f64> =
        f.chunks(6).flat_map(|s| [&s[..3], &rotate(turn, [s[3], s[4], s[5]])].concat()).collect();
    // 1e-12: some thousand rounding errors
    same(&output(&turned(&chain)), &wanted, 1e-12);
    assert!(largest(&f) > 0.05, "the network does something: {f:?}");
    // Control: positions turn, and frames are not alike.
    let differs = |a: &[f64], b: &[f64]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-3);
    assert!(differs(&f, &wanted) && differs(&f[..6], &f[6..12]));
}

#[test]
fn slopes_are_those_of_differences_and_of_each_other() {
    let (net, mut rng) = network();
    let (x, v, u) = (numbers(&mut rng, 21), numbers(&mut rng, 21), numbers(&mut rng, 18));
    slopes_agree(&net.net, &x, &u, &v);
}

#[test]
fn folders_are_loaded_and_their_faults_are_named() {
    let folder = Folder::new("framenet");
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
    says(&changed("_class_name", json!("Frames")), &["_class_name: found \"Frames\", wanted one of"]);
    says(&changed("frames", json!(0)), &["frames: found 0, wanted a whole number in 1 to 256"]);
    says(&changed("prediction", json!("x0")), &["prediction: found \"x0\", wanted one of \"eps\""]);
    says(&changed("time_features", json!(5)), &["time_features: found 5, wanted an even number"]);
    says(&changed("schedule", json!({"kind": "vp-cosine"})), &["schedule: found vp-cosine", "ve or edm"]);
    says(&changed("frames", json!(4)), &["model.safetensors", "places", "[2, 4, 4]"]);
    says("{", &["config.json", "not JSON"]);
    write(&folder.0, &build::layout(&net.config).unwrap(), &net.net, "frames.time.bias");
    says(&config_text().to_string(), &["1 missing (frames.time.bias [14])"]);
}
