//! Networks at given points: the values of diffusers on every device, points of many times and classes, bad input.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use feynkac::weights::{Data, Tensor, Weights, save};

use super::folders::copy;
use super::refused::refuses;
use super::{Scratch, root};

const FOLDERS: [&str; 4] = ["pipeline", "shards", "half", "old-names"];

fn tensor(file: &Path, name: &str) -> Vec<f32> {
    let file = Weights::open(file).expect("a file");
    let shape = file.shape(name).unwrap_or_else(|e| panic!("{e}")).to_vec();
    file.f32(name, &shape).unwrap_or_else(|e| panic!("{e}"))
}

/// The largest difference over the largest number wanted.
fn relative(got: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(got.len(), wanted.len());
    assert!(got.iter().all(|v| v.is_finite()));
    let largest = wanted.iter().fold(0.0, |m: f32, v| m.max(v.abs()));
    got.iter().zip(wanted).fold(0.0, |m: f32, (a, b)| m.max((a - b).abs())) / largest
}

/// Writes tensors of the scratch folder.
fn put(scratch: &Scratch, file: &str, tensors: &[(&str, &[usize], Data)]) {
    let all: Vec<(String, Tensor)> = tensors
        .iter()
        .map(|(name, shape, data)| (name.to_string(), Tensor { shape: shape.to_vec(), data: *data }))
        .collect();
    save(&scratch.path(file), &all, &BTreeMap::new()).expect("a file");
}

/// Numbers of order one.
fn some(count: usize) -> Vec<f32> {
    (0..count).map(|k| (1.7 * k as f32).sin() + 0.3 * (0.37 * k as f32).cos()).collect()
}

#[test]
fn the_values_of_diffusers_on_every_device() {
    let scratch = Scratch::new("eval");
    for folder in FOLDERS {
        copy(&scratch, folder, folder);
        let wanted = scratch.path(&format!("{folder}/golden.safetensors"));
        for by in ["--oracle", "--device cpu", "--device wgpu"] {
            let line = format!("eval --model {folder} --input {folder}/golden.safetensors {by} -o out");
            let said = scratch.run(&line).fine();
            assert!(said.starts_with("out: output and vjp of 2 points by "), "{said}");
            for name in ["output", "vjp"] {
                let fault = relative(&tensor(&scratch.path("out"), name), &tensor(&wanted, name));
                println!("{folder} {by}: {name} {fault:.1e}");
                assert!(fault < 1e-3, "{folder} {by}: {name} is off by {fault}");
            }
        }
    }
}

#[test]
fn a_network_of_frames_is_asked_and_not_sampled_from() {
    let scratch = Scratch::new("eval-frames");
    let folder = root().join("weights/frames-chain");
    let golden = folder.join("golden.safetensors");
    let [x, output, t] = ["x", "output", "t"].map(|name| tensor(&golden, name));
    // sigma of the schedule of its config.json
    let sigma: Vec<f32> = t.iter().map(|t| 0.1 * 15f32.powf(*t)).collect();
    for (states, wanted) in
        [(&[32, 28][..], &[32, 24][..]), (&[32, 4, 7], &[32, 4, 6]), (&[32, 1, 4, 7], &[32, 1, 4, 6])]
    {
        put(&scratch, "in", &[("sample", states, Data::F32(&x)), ("timestep", &[32], Data::F32(&sigma))]);
        scratch.run(&format!("eval --model {} --input in --device cpu -o out", folder.display())).fine();
        let found = Weights::open(&scratch.path("out")).expect("a file");
        assert_eq!(found.shape("output").expect("the output"), wanted);
        assert!(relative(&tensor(&scratch.path("out"), "output"), &output) < 1e-3);
    }
    let said = scratch.run(&format!("inspect {}", folder.display())).fine();
    assert!(said.contains("network of frames of ") && said.contains("[1, 4, 7], output [1, 4, 6]"), "{said}");
    for command in [
        "sample --method plain",
        "sample --method fkc-anneal",
        "verify --method plain",
        "plan --method plain",
    ] {
        let ran = scratch.run(&format!("{command} --model {} --device cpu", folder.display()));
        assert!(
            ran.code == Some(2) && ran.stderr.contains("model: found network of frames ("),
            "{command}: {ran:?}"
        );
    }
}

#[test]
fn points_of_many_times_and_classes_at_once_and_one_by_one() {
    let scratch = Scratch::new("eval-many");
    copy(&scratch, "shards", "net");
    let (count, each) = (7, 3 * 8 * 8);
    let (sample, cotangent) = (some(count * each), some(count * each + 5)[5..].to_vec());
    let times = [3.0, 8.0, 3.0, 3.0, 0.0, 8.0, 3.0];
    let labels = [0, 1, 4, 0, 2, 1, 0];
    let shape = [count, 3, 8, 8];
    put(
        &scratch,
        "in",
        &[
            ("sample", &shape, Data::F32(&sample)),
            ("timestep", &[count], Data::F32(&times)),
            ("class_labels", &[count], Data::I32(&labels)),
            ("cotangent", &shape, Data::F32(&cotangent)),
        ],
    );
    scratch.run("eval --model net --input in --oracle -o wanted").fine();
    for more in ["", " --micro-batch 1", " --micro-batch 2", " --recompute"] {
        scratch.run(&format!("eval --model net --input in --device cpu{more} -o out")).fine();
        for name in ["output", "vjp"] {
            let [got, wanted] = ["out", "wanted"].map(|file| tensor(&scratch.path(file), name));
            assert!(relative(&got, &wanted) < 1e-3, "{name}{more}: {}", relative(&got, &wanted));
        }
    }
    // without labels the null class, where the folder names one, or that of the line
    put(
        &scratch,
        "bare",
        &[("sample", &shape, Data::F32(&sample)), ("timestep", &[count], Data::F32(&times))],
    );
    scratch.run("eval --model net --input bare --class 4 --oracle -o four").fine();
    scratch.put("net/feynkac.json", "{\"null_class\": 4}");
    scratch.run("eval --model net --input bare --oracle -o null").fine();
    let of = |file: &str| tensor(&scratch.path(file), "output");
    assert_eq!(of("four"), of("null"));
    let row = |values: &[f32], i: usize| values[i * each..(i + 1) * each].to_vec();
    assert_eq!(row(&of("four"), 2), row(&of("wanted"), 2));
    assert_ne!(row(&of("four"), 0), row(&of("wanted"), 0));
}

#[test]
fn dense_networks_and_classifiers() {
    let scratch = Scratch::new("eval-dense");
    for (model, read, written) in
        [("digits8-mlp", 64, 64), ("digits8-classifier", 64, 10), ("gmm40-mlp", 2, 2)]
    {
        let path = root().join("weights").join(model);
        let path = path.display();
        let (sample, cotangent) = (some(5 * read), some(5 * written));
        let times = [0.5, 1.0, 0.5, 0.1, 0.5];
        let mut tensors = vec![
            ("sample", vec![5, read], Data::F32(&sample)),
            ("cotangent", vec![5, written], Data::F32(&cotangent)),
        ];
        if model != "digits8-classifier" {
            tensors.push(("timestep", vec![5], Data::F32(&times)));
        }
        let all: Vec<(&str, &[usize], Data)> = tensors.iter().map(|(n, s, d)| (*n, &s[..], *d)).collect();
        put(&scratch, "in", &all);
        scratch.run(&format!("eval --model {path} --input in --oracle -o wanted")).fine();
        for device in ["cpu", "wgpu"] {
            scratch.run(&format!("eval --model {path} --input in --device {device} -o out")).fine();
            for name in ["output", "vjp"] {
                let [got, wanted] = ["out", "wanted"].map(|file| tensor(&scratch.path(file), name));
                assert!(
                    relative(&got, &wanted) < 1e-3,
                    "{model} on {device}: {name} {}",
                    relative(&got, &wanted)
                );
            }
        }
    }
}

#[test]
fn bad_points_are_refused() {
    let scratch = Scratch::new("eval-bad");
    copy(&scratch, "shards", "net");
    copy(&scratch, "old-names", "fourier");
    let (sample, numbers, nan) = (some(2 * 192), some(2 * 192), vec![f32::NAN; 2 * 192]);
    let (shape, times, labels) = ([2, 3, 8, 8], [1.0f32, 2.0], [0, 1]);
    let (sample, times) =
        (("sample", &shape[..], Data::F32(&sample)), ("timestep", &[2][..], Data::F32(&times)));
    let classes = ("class_labels", &[2][..], Data::I32(&labels));
    let good = [sample, times, classes];
    let with = |name: &str, tensors: &[(&str, &[usize], Data)]| put(&scratch, name, tensors);
    let in_place = |name: &str, other: (&str, &[usize], Data)| {
        let mut all: Vec<_> = good.iter().filter(|(n, ..)| *n != other.0).copied().collect();
        all.push(other);
        with(name, &all);
    };
    with("no-sample", &[times, classes]);
    in_place("flat", ("sample", &[2, 3, 64], Data::F32(&numbers)));
    in_place("wide", ("sample", &[2, 3, 8, 9], Data::F32(&some(2 * 3 * 72))));
    in_place("none", ("sample", &[0, 3, 8, 8], Data::F32(&[])));
    in_place("nan", ("sample", &shape, Data::F32(&nan)));
    in_place("whole", ("sample", &shape, Data::I32(&vec![1; 2 * 192])));
    with("no-times", &[sample, classes]);
    in_place("times", ("timestep", &[3], Data::F32(&[1.0, 2.0, 3.0])));
    with("no-classes", &[sample, times]);
    in_place("classes", ("class_labels", &[2, 1], Data::I32(&labels)));
    in_place("beyond", ("class_labels", &[2], Data::I32(&[1, 5])));
    in_place("below", ("class_labels", &[2], Data::I32(&[-1, 0])));
    in_place("float", ("class_labels", &[2], Data::F32(&[0.0, 1.0])));
    in_place("back", ("cotangent", &[2, 192], Data::F32(&numbers)));
    in_place("typo", ("cotangents", &shape, Data::F32(&numbers)));
    in_place("zero", ("timestep", &[2], Data::F32(&[1.0, 0.0])));
    with("zero", &[sample, ("timestep", &[2], Data::F32(&[1.0, 0.0]))]);
    with("good", &good);
    let whole = scratch.read("good");
    scratch.put("short", &whole[..whole.len() - 1]);
    let cases = [
        ("no states", "net", "no-sample"),
        ("states of another rank", "net", "flat"),
        ("states of another shape", "net", "wide"),
        ("no state at all", "net", "none"),
        ("states that are no numbers", "net", "nan"),
        ("states of another type", "net", "whole"),
        ("no times", "net", "no-times"),
        ("more times than states", "net", "times"),
        ("a time that has no features", "fourier", "zero"),
        ("no classes where there is no null class", "net", "no-classes"),
        ("classes of another shape", "net", "classes"),
        ("a class that is not there", "net", "beyond"),
        ("a class below zero", "net", "below"),
        ("classes of another type", "net", "float"),
        ("classes of a network that knows none", "fourier", "good"),
        ("a cotangent of another shape", "net", "back"),
        ("a tensor of another name", "net", "typo"),
        ("a file cut short", "net", "short"),
        ("no such file", "net", "nowhere"),
    ]
    .map(|(what, model, file)| (what, format!("eval --model {model} --input {file} --device cpu:1")));
    let mut cases: Vec<(&str, &str)> = cases.iter().map(|(what, line)| (*what, line.as_str())).collect();
    cases.push(("both classes and a class", "eval --model net --input good --class 1 --device cpu:1"));
    cases.push(("a class that is not there", "eval --model net --input no-classes --class 9 --device cpu:1"));
    refuses("refused-eval", &scratch, &cases);
    fs::create_dir(scratch.path("taken")).expect("a folder");
    let ran = scratch.run("eval --model net --input good --oracle -o taken");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
}

#[test]
fn what_has_no_room_says_how_many_bytes_it_needs_and_how_many_there_are() {
    let scratch = Scratch::new("eval-room");
    copy(&scratch, "pipeline", "net");
    let input = "net/golden.safetensors";
    for (device, points) in [("cpu", 1 << 34), ("wgpu", 1 << 34), ("cpu", usize::MAX)] {
        let line =
            format!("eval --model net --input {input} --device {device} --micro-batch {points} -o out");
        let ran = scratch.run(&line);
        assert_eq!((ran.code.is_some_and(|code| code > 0), ran.stdout.as_str()), (true, ""), "{ran:?}");
        assert!(!scratch.path("out").exists(), "something was written");
        println!("{device}, {points} points: {}", ran.stderr.trim_end());
        let numbers: Vec<u64> = ran.stderr.split(' ').filter_map(|word| word.parse().ok()).collect();
        assert!(numbers.len() == 2 && numbers[0] > numbers[1] && numbers[1] > 0, "{}", ran.stderr);
        assert!(ran.stderr.contains("smaller micro-batch"), "{}", ran.stderr);
    }
}
