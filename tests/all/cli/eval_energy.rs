//! `feynkac eval` of networks that are energies: the energy and its gradient as the trainers computed them.

use std::collections::BTreeMap;
use std::path::Path;

use feynkac::Schedule;
use feynkac::weights::{Data, Tensor, Weights, save};

use super::{Scratch, root};

const CASES: [(&str, Schedule); 2] = [
    ("digits8-energy", Schedule::VpLinear { b0: 0.1, b1: 20.0 }),
    ("composition2d/ring-energy", Schedule::VpCosine { c: 0.008 }),
];

/// The golden points of an energy, and what its network says of them.
struct Golden {
    shape: Vec<usize>,
    x: Vec<f32>,
    t: Vec<f32>,
    classes: Option<Vec<i32>>,
    energy: Vec<f32>,
    gradient: Vec<f32>,
}

impl Golden {
    /// The network predicts noise, which is -sigma times the score, by the gradient of its energy.
    fn open(folder: &Path, schedule: Schedule) -> Self {
        let file = Weights::open(&folder.join("golden.safetensors")).expect("golden values");
        let [x, t, energy, score] =
            ["x", "t", "energy", "score"].map(|name| file.plain_f32(name).expect("golden values"));
        let noise = |(t, score): (&f32, &[f32])| -> Vec<f32> {
            let sigma = schedule.sigma(f64::from(*t));
            score.iter().map(|s| (-sigma * f64::from(*s)) as f32).collect()
        };
        let gradient = t.iter().zip(score.chunks(score.len() / t.len())).flat_map(noise).collect();
        let classes = file.has("class").then(|| file.i32("class").expect("classes"));
        let shape = file.shape("x").expect("states").to_vec();
        Self { shape, x, t, classes, energy, gradient }
    }

    /// Writes the points as an input, a cotangent beside them where there is one.
    fn put(&self, file: &Path, cotangent: Option<&[f32]>) {
        let tensor = |shape: &[usize], data| Tensor { shape: shape.to_vec(), data };
        let mut all = vec![
            ("sample".to_string(), tensor(&self.shape, Data::F32(&self.x))),
            ("timestep".to_string(), tensor(&self.shape[..1], Data::F32(&self.t))),
        ];
        let classes =
            self.classes.as_ref().map(|classes| ("class_labels", &self.shape[..1], Data::I32(classes)));
        let cotangent = cotangent.map(|values| ("cotangent", &self.shape[..], Data::F32(values)));
        let more = [classes, cotangent].into_iter().flatten();
        all.extend(more.map(|(name, shape, data)| (name.to_string(), tensor(shape, data))));
        save(file, &all, &BTreeMap::new()).expect("a file");
    }
}

/// The largest difference over the largest number wanted.
fn relative(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    assert!(found.iter().all(|v| v.is_finite()));
    let largest = wanted.iter().fold(0.0, |m: f32, v| m.max(v.abs()));
    found.iter().zip(wanted).fold(0.0, |m: f32, (f, w)| m.max((f - w).abs())) / largest
}

#[test]
fn an_energy_and_its_gradient_are_written_on_every_device() {
    let scratch = Scratch::new("eval-energy");
    for (name, schedule) in CASES {
        let folder = root().join("weights").join(name);
        let golden = Golden::open(&folder, schedule);
        golden.put(&scratch.path("in"), None);
        let line = format!("eval --model {} --input in -o out", folder.display());
        for by in ["--oracle", "--device cpu", "--device wgpu"] {
            let said = scratch.run(&format!("{line} {by}")).fine();
            assert!(said.starts_with("out: output and energy of 64 points by "), "{said}");
            let out = Weights::open(&scratch.path("out")).expect("a file");
            assert_eq!(out.names(), ["energy", "output"]);
            for (tensor, shape, wanted) in [
                ("output", &golden.shape[..], &golden.gradient),
                ("energy", &golden.shape[..1], &golden.energy),
            ] {
                let off = relative(&out.f32(tensor, shape).expect("an answer"), wanted);
                println!("{name} {by}: {tensor} is off by {off:.1e}");
                assert!(off < 1e-3, "{name} {by}: {tensor} is off by {off}");
            }
        }
    }
}

#[test]
fn a_cotangent_of_an_energy_is_refused() {
    let scratch = Scratch::new("eval-energy-back");
    let (name, schedule) = CASES[1];
    let folder = root().join("weights").join(name);
    let golden = Golden::open(&folder, schedule);
    golden.put(&scratch.path("in"), Some(&golden.x));
    for by in ["--oracle", "--device cpu:1"] {
        let ran = scratch.run(&format!("eval --model {} --input in {by} -o out", folder.display()));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.stderr.contains("what an energy network gives is a gradient already"), "{}", ran.stderr);
        assert!(!scratch.path("out").exists(), "something was written");
    }
}
