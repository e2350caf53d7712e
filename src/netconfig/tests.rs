//! Configurations: what is understood, what is warned of, what is refused and why.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::error::Result;

pub(super) fn sample_config() -> Value {
    json!({
        "class": "mlp", "dim": 2, "hidden": 64, "layers": 2, "cond": 3, "activation": "silu",
        "norm": "layer", "skip": true,
        "time": {"embedding": "fourier", "dim": 4, "feature": "log_snr", "max_period": 10000.0, "scale": 1000.0},
        "classes": 10,
        "schedule": {"kind": "vp-linear", "b0": 0.1, "b1": 19.0, "t_min": 0.001, "t_max": 0.9},
        "prediction": "eps", "preconditioning": {"kind": "none"}, "data": {"mean": 0.5, "std": 2.0}
    })
}

pub(super) fn parse(config: &Value) -> Result<(NetConfig, Vec<String>)> {
    NetConfig::parse(Path::new("w/config.json"), &config.to_string())
}

/// `config` with the value under `path` (a JSON pointer) replaced, or taken out.
fn with(mut config: Value, path: &str, value: Option<Value>) -> Value {
    let (parent, key) = path.rsplit_once('/').expect("a pointer");
    let parent = config.pointer_mut(parent).expect("a parent").as_object_mut().expect("an object");
    match value {
        Some(value) => parent.insert(key.to_string(), value),
        None => parent.remove(key),
    };
    config
}

#[test]
fn a_full_configuration_is_understood() {
    let (config, warnings) = parse(&sample_config()).unwrap();
    assert_eq!(warnings, [""; 0]);
    let wanted = NetConfig {
        trunk: TrunkConfig {
            dim: 2,
            hidden: 64,
            layers: 2,
            activation: Activation::Silu,
            norm: Norm::Layer,
            skip: true,
        },
        cond: 3,
        time: TimeConfig { embedding: Embedding::Fourier, dim: 4, feature: TimeFeature::LogSnr },
        classes: Some(10),
        schedule: Schedule::VpLinear { b0: 0.1, b1: 19.0 },
        t_max: 0.9,
        t_min: 0.001,
        prediction: Prediction::Eps,
        preconditioning: Preconditioning::None,
        energy: None,
        data: Some(DataMoments { mean: 0.5, std: 2.0 }),
    };
    assert_eq!(config, wanted);

    // what may be left out
    let mut short = sample_config();
    for key in ["/classes", "/data", "/preconditioning", "/schedule/t_min", "/schedule/t_max", "/time/scale"]
    {
        short = with(short, key, None);
    }
    let (config, warnings) = parse(&short).unwrap();
    assert_eq!((config.classes, config.data, config.t_max, config.t_min), (None, None, 1.0, 1e-3));
    assert_eq!(warnings, [""; 0]);
    let null = with(sample_config(), "/classes", Some(Value::Null));
    assert_eq!(parse(&null).unwrap().0.classes, None);
}

#[test]
fn tensors_are_those_of_the_format() {
    let (config, _) = parse(&sample_config()).unwrap();
    let list: BTreeMap<String, Vec<usize>> = config.tensors().into_iter().collect();
    let mut wanted: BTreeMap<&str, &[usize]> = BTreeMap::from([
        ("in.weight", &[64, 2][..]),
        ("in.bias", &[64]),
        ("out.weight", &[2, 64]),
        ("out.bias", &[2]),
        ("time.0.weight", &[3, 4]),
        ("time.0.bias", &[3]),
        ("time.2.weight", &[3, 3]),
        ("time.2.bias", &[3]),
        ("time.freqs", &[2]),
        ("class.weight", &[11, 3]),
    ]);
    wanted.extend([
        ("layers.0.weight", &[64, 64][..]),
        ("layers.0.bias", &[64]),
        ("layers.0.cond.weight", &[64, 3]),
        ("layers.0.norm.weight", &[64]),
        ("layers.0.norm.bias", &[64]),
        ("layers.1.weight", &[64, 64]),
        ("layers.1.bias", &[64]),
        ("layers.1.cond.weight", &[64, 3]),
        ("layers.1.norm.weight", &[64]),
        ("layers.1.norm.bias", &[64]),
    ]);
    assert_eq!(list.len(), config.tensors().len());
    assert!(list.iter().map(|(k, v)| (k.as_str(), v.as_slice())).eq(wanted));

    let mut bare = with(sample_config(), "/norm", Some(json!("none")));
    bare = with(bare, "/time/embedding", Some(json!("sinusoidal")));
    bare = with(bare, "/classes", None);
    let names: Vec<String> = parse(&bare).unwrap().0.tensors().into_iter().map(|(n, _)| n).collect();
    assert_eq!(names.len(), 20 - 4 - 2);
    assert!(!names.iter().any(|n| n.contains("norm") || n == "time.freqs" || n.contains("class")));

    let classifier = r#"{"class":"classifier","dim":3,"hidden":16,"layers":1,"activation":"relu","norm":"none",
        "skip":false,"outputs":5,"extra":1}"#;
    let (config, warnings) = ClassifierConfig::parse(Path::new("c.json"), classifier).unwrap();
    assert_eq!(warnings, ["c.json: the key extra is not known, and ignored"]);
    let list: Vec<String> = config.tensors().iter().map(|(n, s)| format!("{n}{s:?}")).collect();
    assert_eq!(
        list.join(" "),
        "in.weight[16, 3] in.bias[16] layers.0.weight[16, 16] layers.0.bias[16] out.weight[5, 16] out.bias[5]"
    );
}

#[test]
fn unknown_keys_are_warned_of_by_name() {
    let mut config = with(sample_config(), "/dropout", Some(json!(0.1)));
    config = with(config, "/time/learned", Some(json!(true)));
    config = with(config, "/schedule/c", Some(json!(1)));
    let (_, warnings) = parse(&config).unwrap();
    assert_eq!(warnings.len(), 3);
    for key in ["dropout", "time.learned", "schedule.c"] {
        let warning = format!("w/config.json: the key {key} is not known, and ignored");
        assert!(warnings.contains(&warning), "{warnings:?}");
    }
    let edm = json!({"kind": "edm", "sigma_data": 0.5});
    let (config, warnings) = parse(&with(sample_config(), "/preconditioning", Some(edm))).unwrap();
    assert_eq!(config.preconditioning, Preconditioning::Edm { sigma_data: 0.5 });
    assert!(warnings[0].contains("prediction eps is not used"), "{warnings:?}");
}

#[test]
fn bad_values_are_named_with_file_and_key() {
    let range = "a whole number in";
    for (path, value, wanted) in [
        ("/dim", Some(json!(0)), format!("dim: found 0, wanted {range} 1 to 4096")),
        ("/dim", Some(json!(-1)), "dim: found -1".into()),
        ("/dim", Some(json!(2.5)), "dim: found 2.5".into()),
        ("/dim", Some(json!("2")), "dim: found \"2\"".into()),
        ("/dim", None, "dim: found no such key".into()),
        ("/hidden", Some(json!(63)), format!("hidden: found 63, wanted {range} 64 to 512")),
        ("/hidden", Some(json!(513)), "hidden: found 513".into()),
        ("/layers", Some(json!(17)), format!("layers: found 17, wanted {range} 1 to 16")),
        ("/cond", Some(json!(0)), "cond: found 0".into()),
        ("/classes", Some(json!(0)), "classes: found 0, wanted a whole number in 1 to 100000 or null".into()),
        (
            "/activation",
            Some(json!("swish")),
            "activation: found \"swish\", wanted one of \"silu\", \"gelu\"".into(),
        ),
        ("/norm", Some(json!(null)), "norm: found null".into()),
        ("/skip", Some(json!(1)), "skip: found 1, wanted true or false".into()),
        ("/time", Some(json!([])), "time: found [], wanted an object".into()),
        ("/time/dim", Some(json!(5)), "time.dim: found 5, wanted an even number in 2 to 4096".into()),
        (
            "/time/feature",
            Some(json!("s")),
            "time.feature: found \"s\", wanted one of \"log_snr\", \"t\"".into(),
        ),
        ("/time/scale", Some(json!("1")), "time.scale: found \"1\", wanted a number".into()),
        ("/schedule/kind", Some(json!("vp")), "schedule.kind: found \"vp\"".into()),
        ("/schedule/b0", Some(json!(-1.0)), "b0 of the vp-linear schedule: found -1".into()),
        ("/schedule/t_min", Some(json!(0)), "t_min of the vp-linear schedule: found 0".into()),
        ("/schedule/t_max", Some(json!(1.5)), "t_max of the vp-linear schedule: found 1.5".into()),
        (
            "/schedule",
            Some(json!({"kind": "ve", "sigma_min": 0.1})),
            "schedule.sigma_max: found no such key".into(),
        ),
        ("/prediction", Some(json!("noise")), "prediction: found \"noise\"".into()),
        (
            "/preconditioning",
            Some(json!({"kind": "edm"})),
            "preconditioning.sigma_data: found no such key".into(),
        ),
        (
            "/preconditioning",
            Some(json!({"kind": "edm", "sigma_data": 0})),
            "sigma_data of the edm preconditioning: found 0".into(),
        ),
        ("/data/std", Some(json!(-1)), "data.std: found -1, wanted a number in 0 to 1e9".into()),
        ("/class", Some(json!("unet")), "class: found \"unet\", wanted \"mlp\"".into()),
        ("/class", None, "class: found no such key, wanted \"mlp\"".into()),
    ] {
        let error = parse(&with(sample_config(), path, value)).expect_err(path);
        assert_eq!(error.exit_code(), 2);
        let message = error.to_string();
        assert!(message.starts_with(&format!("w/config.json: {wanted}")), "{message}");
    }
    let mut period = with(sample_config(), "/time/embedding", Some(json!("sinusoidal")));
    period = with(period, "/time/max_period", Some(json!(1.0)));
    assert!(parse(&period).unwrap_err().to_string().contains("time.max_period: found 1.0, wanted above 1"));
    for text in ["", "[1]", "{\"class\":", "nul", "{\"class\":\"mlp\",\"dim\":1e999}"] {
        let message = NetConfig::parse(Path::new("c.json"), text).unwrap_err().to_string();
        assert!(message.starts_with("c.json: the text: found"), "{message}");
    }
}

proptest! {
    #[test]
    fn any_text_is_an_answer_not_a_panic(at in 0usize..600, cut in 0usize..8, put in "[-0-9.,\\[\\]{}\":a-z]{0,4}") {
        let mut text = sample_config().to_string();
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        text.replace_range(at..end, &put);
        match NetConfig::parse(Path::new("c.json"), &text) {
            Ok((config, _)) => {
                prop_assert!(config.schedule.check_range(config.t_max, config.t_min).is_ok());
                prop_assert!(config.tensors().len() > 10);
            }
            Err(e) => prop_assert!(e.to_string().starts_with("c.json: "), "{}", e),
        }
    }
}
