//! `feynkac resample`: what it writes, and what it refuses.

use std::collections::BTreeMap;

use feynkac::kernels::device::{Device, Request};
use feynkac::registry::SCHEMES;
use feynkac::weights::{Data, Tensor, Weights, save};
use feynkac::{Given, resample};

use super::refused::refuses;
use super::{Scratch, golden};

/// A file of these tensors.
fn file(scratch: &Scratch, name: &str, tensors: &[(&str, &[usize], Data<'_>)]) {
    let all: Vec<(String, Tensor<'_>)> = tensors
        .iter()
        .map(|(name, shape, data)| ((*name).to_owned(), Tensor { shape: shape.to_vec(), data: *data }))
        .collect();
    save(&scratch.path(name), &all, &BTreeMap::new()).expect("a file");
}

fn written(scratch: &Scratch, name: &str) -> Vec<u32> {
    let bytes = scratch.read(name);
    let header = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    bytes[8 + header..].as_chunks().0.iter().map(|chunk| u32::from_le_bytes(*chunk)).collect()
}

#[test]
fn ancestors_are_written() {
    let scratch = Scratch::new("resample");
    let weights: Vec<f32> = (0..100).map(|i| ((i * 37) % 100) as f32).collect();
    let logs: Vec<f32> = weights.iter().map(|w| w.ln()).collect();
    file(&scratch, "w.safetensors", &[("w", &[100], Data::F32(&weights))]);
    file(&scratch, "l.safetensors", &[("log_w", &[100], Data::F32(&logs))]);
    file(&scratch, "g.safetensors", &[("w", &[4, 25], Data::F32(&weights)), ("x", &[1], Data::F32(&[0.0]))]);
    let device = Device::open("cpu:1".parse::<Request>().expect("a name")).expect("the CPU");
    let mut text = String::new();
    for (scheme, spelling, _) in SCHEMES {
        let name = spelling.split(':').next().expect("a name");
        for (input, given, groups) in [
            ("w", Given::Weights(&weights), 1),
            ("l", Given::LogWeights(&logs), 1),
            ("g", Given::Weights(&weights), 4),
        ] {
            // Each run compiles its kernels anew.
            if input != "w" && ["stratified", "multinomial", "metropolis", "megopolis"].contains(&name) {
                continue;
            }
            let line = format!(
                "resample --weights {input}.safetensors --scheme {name} --seed 9 --device cpu:1 -o a.safetensors"
            );
            text.push_str(&format!("$ feynkac {line}\n{}", scratch.run(&line).fine()));
            let wanted = resample(&device, given, groups, *scheme, 9).expect("ancestors");
            assert_eq!(written(&scratch, "a.safetensors"), wanted, "{line}");
            let file = Weights::open(&scratch.path("a.safetensors")).expect("a file");
            assert_eq!(file.names(), ["ancestors"]);
            assert_eq!(file.shape("ancestors").expect("a shape").iter().product::<usize>(), 100);
            assert_eq!(file.metadata()["scheme"], scheme.to_string());
        }
    }
    golden("resampled", &text);
}

#[test]
fn bad_weights_are_refused() {
    let scratch = Scratch::new("resample-refused");
    let all: &[(&str, &str, &[usize], Data<'_>)] = &[
        ("other", "x", &[2], Data::F32(&[1.0, 2.0])),
        ("double", "w", &[2], Data::F64(&[1.0, 2.0])),
        ("negative", "w", &[3], Data::F32(&[1.0, -2.0, 0.0])),
        ("nan", "log_w", &[2], Data::F32(&[f32::NAN, 0.0])),
        ("infinite", "w", &[2], Data::F32(&[1.0, f32::INFINITY])),
        ("zero", "w", &[2], Data::F32(&[0.0, 0.0])),
        ("dead", "log_w", &[2, 2], Data::F32(&[0.0, 0.0, f32::NEG_INFINITY, f32::NEG_INFINITY])),
        ("empty", "w", &[0], Data::F32(&[])),
        ("none", "w", &[0, 5], Data::F32(&[])),
        ("cube", "w", &[1, 1, 2], Data::F32(&[1.0, 2.0])),
        ("good", "w", &[2], Data::F32(&[1.0, 2.0])),
    ];
    for (name, tensor, shape, data) in all {
        file(&scratch, &format!("{name}.safetensors"), &[(*tensor, *shape, *data)]);
    }
    file(&scratch, "both.safetensors", &[("w", &[1], Data::F32(&[1.0])), ("log_w", &[1], Data::F32(&[1.0]))]);
    scratch.put("broken.safetensors", "no tensors");
    let lines: Vec<(&str, String)> = [
        ("no such tensor", "other", ""),
        ("both tensors", "both", ""),
        ("another type", "double", ""),
        ("a weight below zero", "negative", ""),
        ("a log-weight that is no number", "nan", ""),
        ("a weight without end", "infinite", ""),
        ("weights of zero", "zero", ""),
        ("a group of zeros", "dead", ""),
        ("no weights", "empty", ""),
        ("no groups", "none", ""),
        ("three axes", "cube", ""),
        ("no safetensors", "broken", ""),
        ("a file that is not there", "nowhere", ""),
        ("an unknown scheme", "good", "--scheme roulette"),
        ("steps of a scheme without", "good", "--scheme systematic:3"),
        ("no steps", "good", "--scheme metropolis:0"),
        ("too many steps", "good", "--scheme megopolis:99999999"),
        ("a seed below zero", "good", "--seed -1"),
        ("an unknown device", "good", "--device tpu"),
    ]
    .into_iter()
    .map(|(what, name, more)| {
        let device = if more.contains("--device") { "" } else { " --device cpu:1" };
        (what, format!("resample --weights {name}.safetensors{device} {more}").trim_end().to_owned())
    })
    .collect();
    let cases: Vec<(&str, &str)> = lines.iter().map(|(what, line)| (*what, line.as_str())).collect();
    refuses("refused-resample", &scratch, &cases);
    assert!(!scratch.path("out").exists(), "nothing is written");
    // What is there stays where the input is refused, and where the output cannot be.
    scratch.put("out", "precious");
    let ran = scratch.run("resample --weights nan.safetensors --device cpu:1 -o out");
    assert_eq!((ran.code, scratch.read("out").as_slice()), (Some(2), b"precious".as_slice()), "{ran:?}");
    let ran = scratch.run("resample --weights good.safetensors --device cpu:1 -o nowhere/out");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("nowhere/out"), "{}", ran.stderr);
}
