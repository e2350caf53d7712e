//! Networks on disk that are not what they should be.

use std::collections::BTreeMap;

use feynkac::weights::{Data, Tensor, Weights, save};

use super::refused::refuses;
use super::{Scratch, golden, root};

/// A tensor by name.
pub struct Named {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
    whole: bool,
}

/// Copies the shipped network of the plane to `folder`, its tensors changed by `change`.
pub fn network(scratch: &Scratch, folder: &str, change: impl FnOnce(&mut Vec<Named>)) {
    let shipped = root().join("weights/gmm40-mlp");
    let config = std::fs::read(shipped.join("config.json")).expect("shipped weights");
    scratch.put(&format!("{folder}/config.json"), config);
    let weights = Weights::open(&shipped.join("model.safetensors")).expect("shipped weights");
    let tensor = |name: String| {
        let shape = weights.shape(&name).expect("a tensor").to_vec();
        let values = weights.f32(&name, &shape).expect("numbers");
        Named { name, shape, values, whole: false }
    };
    let mut tensors: Vec<Named> = weights.names().into_iter().map(tensor).collect();
    change(&mut tensors);
    let integers: Vec<Vec<i32>> =
        tensors.iter().map(|t| t.values.iter().map(|&v| v as i32).collect()).collect();
    let all: Vec<(String, Tensor)> = tensors
        .iter()
        .zip(&integers)
        .map(|(t, integers)| {
            let data = if t.whole { Data::I32(integers) } else { Data::F32(&t.values) };
            (t.name.clone(), Tensor { shape: t.shape.clone(), data })
        })
        .collect();
    save(&scratch.path(folder).join("model.safetensors"), &all, &BTreeMap::new()).expect("a file");
}

fn find<'a>(tensors: &'a mut [Named], name: &str) -> &'a mut Named {
    tensors.iter_mut().find(|t| t.name == name).expect("a tensor of this name")
}

/// Replaces a text of `folder`/config.json.
pub fn configure(scratch: &Scratch, folder: &str, from: &str, to: &str) {
    let path = format!("{folder}/config.json");
    let text = String::from_utf8(scratch.read(&path)).expect("UTF-8");
    assert!(text.contains(from), "{text}");
    scratch.put(&path, text.replacen(from, to, 1));
}

#[test]
fn damaged_weights_are_refused() {
    let scratch = Scratch::new("weights");
    network(&scratch, "short", |_| ());
    let whole = scratch.read("short/model.safetensors");
    scratch.put("short/model.safetensors", &whole[..whole.len() / 2]);
    network(&scratch, "stub", |_| ());
    scratch.put("stub/model.safetensors", b"PK");
    network(&scratch, "magic", |_| ());
    scratch.put("magic/model.safetensors", [b"\x80\x02}q\x00X\x05\x00".as_slice(), &[7; 100]].concat());
    network(&scratch, "empty", |_| ());
    scratch.put("empty/model.safetensors", b"");
    network(&scratch, "shape", |all| find(all, "in.weight").shape.reverse());
    network(&scratch, "type", |all| find(all, "in.bias").whole = true);
    network(&scratch, "nan", |all| find(all, "out.bias").values[1] = f32::NAN);
    network(&scratch, "missing", |all| all.retain(|t| t.name != "out.bias"));
    network(&scratch, "extra", |all| {
        all.push(Named { name: "stray".to_string(), shape: vec![1], values: vec![0.0], whole: false });
    });
    network(&scratch, "renamed", |all| all.iter_mut().for_each(|t| t.name.insert_str(0, "net.")));
    network(&scratch, "value", |_| ());
    configure(&scratch, "value", "\"hidden\": ", "\"hidden\": 1e9, \"was\": ");
    network(&scratch, "text", |_| ());
    scratch.put("text/config.json", "class: mlp");
    network(&scratch, "bare", |_| ());
    std::fs::remove_file(scratch.path("bare/config.json")).expect("it was there");
    let cases = [
        ("half a file", "short"),
        ("two bytes", "stub"),
        ("something else", "magic"),
        ("nothing in it", "empty"),
        ("a tensor of another shape", "shape"),
        ("a tensor of another type", "type"),
        ("a tensor with a NaN", "nan"),
        ("a tensor missing", "missing"),
        ("a tensor too many", "extra"),
        ("tensors of other names", "renamed"),
        ("a configuration of a bad value", "value"),
        ("a configuration that is no JSON", "text"),
        ("no configuration", "bare"),
    ]
    .map(|(what, folder)| (what, format!("sample --model {folder} --method plain --device cpu:1")));
    let cases: Vec<(&str, &str)> = cases.iter().map(|(what, line)| (*what, line.as_str())).collect();
    refuses("refused-weights", &scratch, &cases);
}

#[test]
fn an_unknown_key_of_a_configuration_is_a_warning() {
    let scratch = Scratch::new("warning");
    network(&scratch, "net", |_| ());
    configure(&scratch, "net", "\"class\": ", "\"colour\": \"red\", \"class\": ");
    scratch.put("odd.toml", "kind = \"gaussian\"\nmean = [0.0]\ncovariance = [[1.0]]\ncolour = \"red\"\n");
    let mut text = String::new();
    for model in ["net", "odd.toml"] {
        let ran = scratch.run(&format!("plan --model {model} --method plain --device cpu:1"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        text.push_str(&format!("$ {}\n{}\n", ran.line, ran.stderr));
    }
    golden("warnings", &text);
}
