//! What the trainers computed in f64, every device must give in f32: each shipped folder as `feynkac eval` asks it, which
//! is a list of layers, and dense networks by the kernels of samplers too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use feynkac::classifier::Classifier;
use feynkac::eval::{Answers, Memory, Points, evaluate};
use feynkac::kernels::device::Device;
use feynkac::kernels::passes::mlp::Compute;
use feynkac::layered::{self, Kind, Layered, Loaded};
use feynkac::model::{dense_network, shape};
use feynkac::netconfig;
use feynkac::schedule::NetCoeffs;
use feynkac::unet::Scheduler;
use feynkac::weights::Weights;

on_every_device! {
    dense, energies, particles, frames, images, classifiers, kernels_of_dense_networks, kernels_of_a_classifier
}

/// The largest fault allowed.
pub const WITHIN: f32 = 1e-3;

/// Folders, and the tensors of their golden files that a device must give.
pub type Table = [(&'static str, &'static [&'static str])];

pub const DENSE: &Table = &[
    ("gmm40-mlp", &["denoised", "output"]),
    ("digits8-mlp", &["denoised", "output"]),
    ("composition2d/ring-score", &["output", "score"]),
    ("composition2d/bar-score", &["output", "score"]),
    ("composition2d/outer-score", &["output", "score"]),
    ("composition2d/inner-score", &["output", "score"]),
];
pub const ENERGIES: &Table = &[
    ("digits8-energy", &["energy", "output", "score"]),
    ("composition2d/ring-energy", &["energy", "output", "score"]),
    ("composition2d/bar-energy", &["energy", "output", "score"]),
    ("composition2d/outer-energy", &["energy", "output", "score"]),
    ("composition2d/inner-energy", &["energy", "output", "score"]),
];
pub const PARTICLES: &Table =
    &[("dw4-egnn", &["denoised", "output", "vjp"]), ("lj13-egnn", &["denoised", "output", "vjp"])];
const FRAMES: &Table = &[("frames-chain", &["output", "vjp"])];
const IMAGES: &Table = &[("mnist-ddpm", &["output", "vjp"])];
const CLASSIFIERS: &Table = &[
    ("digits8-classifier", &["output"]),
    ("mnist-classifier", &["output", "vjp"]),
    ("mnist-classifier-noisy", &["output", "vjp"]),
    ("mnist-judge", &["output", "vjp"]),
];

/// What a network is asked with.
const ASKED: [&str; 8] = ["x", "sample", "t", "timestep", "class", "class_labels", "cotangent", "tangent"];
/// No answer of the network: the score of its law, which the tests of framenet.rs hold it to.
const LAW: (&str, &str) = ("frames-chain", "score");

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("weights").join(name)
}

/// The largest difference in a row over the largest number of that row, or over a hundredth of the largest of all where
/// that is more: a row that nearly vanishes is a difference of larger numbers.
pub fn fault(found: &[f32], wanted: &[f32], width: usize) -> f32 {
    assert_eq!(found.len(), wanted.len());
    assert!(found.iter().chain(wanted).all(|v| v.is_finite()), "numbers");
    let largest = |of: &[f32]| of.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let least = 0.01 * largest(wanted);
    let rows = found.chunks(width).zip(wanted.chunks(width)).map(|(found, wanted)| {
        let off: Vec<f32> = found.iter().zip(wanted).map(|(f, w)| f - w).collect();
        largest(&off) / largest(wanted).max(least)
    });
    rows.fold(0.0, f32::max)
}

/// Holds rows, one for each of `count` points, to those wanted, and sees that those of the next point would not do.
pub fn hold(what: &str, found: &[f32], wanted: &[f32], count: usize, within: f32) {
    let width = wanted.len() / count;
    let off = fault(found, wanted, width);
    println!("{what} is off by {off:.1e}");
    assert!(off <= within, "{what} is off by {off}, more than {within}");
    let mut next = wanted.to_vec();
    next.rotate_left(width);
    assert!(fault(found, &next, width) > 10.0 * WITHIN, "{what}: no point differs from the next");
}

/// A shipped network, and the points that its golden values are of.
pub struct Shipped {
    pub net: Loaded,
    golden: Weights,
    /// As they are stored.
    pub states: Vec<f32>,
    /// As they are stored: what diffusers calls the network with, sigma/alpha of a classifier, t of others.
    pub times: Vec<f64>,
    pub classes: Vec<Option<usize>>,
}

impl Shipped {
    pub fn open(name: &str) -> Self {
        let (net, warnings) = layered::open(&folder(name)).unwrap_or_else(|e| panic!("{e}"));
        assert!(warnings.is_empty(), "{name}: {warnings:?}");
        let golden = Weights::open(&folder(name).join("golden.safetensors")).expect("golden values");
        let one_of = |names: [&'static str; 2]| names.into_iter().find(|name| golden.has(name));
        let numbers = |name: &str| golden.plain_f32(name).expect("golden values");
        let states = one_of(["x", "sample"]).map(numbers).expect("states");
        let count = states.len() / net.net.input().numbers();
        let times = one_of(["t", "timestep"]).map_or(vec![0.0; count], numbers);
        let classes = one_of(["class", "class_labels"]).map_or(vec![None; count], |name| {
            let labels = golden.i32(name).expect("classes");
            labels.into_iter().map(|class| usize::try_from(class).ok()).collect()
        });
        Self { net, states, times: times.into_iter().map(f64::from).collect(), classes, golden }
    }

    pub fn tensor(&self, name: &str) -> Vec<f32> {
        self.golden.plain_f32(name).expect("golden values")
    }

    /// Numbers of a state.
    pub fn dim(&self) -> usize {
        self.net.net.input().numbers()
    }

    /// One row for each point.
    pub fn rows(&self) -> impl Iterator<Item = (&[f32], f64)> {
        self.states.chunks(self.states.len() / self.times.len()).zip(self.times.iter().copied())
    }

    /// The states as the network itself is shown them, c_in x.
    fn shown(&self) -> Vec<f32> {
        match (&self.net.kind, &self.net.scheduler) {
            (Kind::Unet(_), _) | (_, None) => self.states.clone(),
            (_, Some(of)) => {
                let row = |(x, t): (&[f32], f64)| -> Vec<f32> {
                    let input = denoiser(of, t).input;
                    x.iter().map(|x| (input * f64::from(*x)) as f32).collect()
                };
                self.rows().flat_map(row).collect()
            }
        }
    }

    /// c_x x + c_out f, of rows that the network gave at c_in x.
    fn made(&self, f: &[f32], by: fn(&Scheduler, f64) -> NetCoeffs) -> Vec<f32> {
        let of = self.net.scheduler.as_ref().expect("a scheduler");
        let rows = self.rows().zip(f.chunks(f.len() / self.times.len()));
        let row = |((x, t), f): ((&[f32], f64), &[f32])| -> Vec<f32> {
            let c = by(of, t);
            x.iter().zip(f).map(|(x, f)| (c.x * f64::from(*x) + c.out * f64::from(*f)) as f32).collect()
        };
        rows.flat_map(row).collect()
    }

    /// The answers of a device at the golden points, whatever the states there.
    fn ask(&self, device: &Device, net: &Loaded, rows: Vec<f32>, cotangent: Option<Vec<f32>>) -> Answers {
        // Those of particles and frames count in sigma/alpha.
        let time = |t: &f64| match (&net.kind, &net.scheduler) {
            (Kind::Particles(_) | Kind::Frames(_), Some(of)) => of.schedule.log_noise_ratio(*t).exp(),
            _ => *t,
        };
        let times = self.times.iter().map(time).collect();
        let points = Points { rows, times, classes: self.classes.clone(), cotangent };
        evaluate(device, net, &points, Memory::default()).expect("answers")
    }

    /// The output of the network that an energy is made of.
    fn inside(&self, device: &Device) -> Vec<f32> {
        let net = Layered { energy: None, ..self.net.net.clone() };
        self.ask(device, &Loaded { net, ..self.net.clone() }, self.shown(), None).output
    }

    /// What a device says for a tensor of the golden file, `said` being its answers at c_in x.
    fn found(&self, device: &Device, said: &Answers, tensor: &str) -> Vec<f32> {
        match tensor {
            "output" if self.net.net.energy.is_some() => self.inside(device),
            "output" => said.output.clone(),
            "energy" => said.energy.clone().expect("an energy"),
            "denoised" => self.made(&said.output, denoiser),
            "score" => self.made(&said.output, score),
            "vjp" => {
                // Of the network at the states as they are stored, whatever its c_in.
                let answers =
                    self.ask(device, &self.net, self.states.clone(), Some(self.tensor("cotangent")));
                answers.vjp.expect("slopes")
            }
            other => panic!("{other} is nothing that a network says"),
        }
    }
}

fn denoiser(of: &Scheduler, t: f64) -> NetCoeffs {
    of.preconditioning.denoiser_coeffs(of.prediction, &of.schedule, t)
}

fn score(of: &Scheduler, t: f64) -> NetCoeffs {
    of.preconditioning.score_coeffs(of.prediction, &of.schedule, t)
}

/// Holds a device to every folder of a table.
fn check(device: &Device, table: &Table) {
    for (name, tensors) in table {
        let shipped = Shipped::open(name);
        let said = shipped.ask(device, &shipped.net, shipped.shown(), None);
        for tensor in *tensors {
            let what = format!("{name} on {}: {tensor}", device.backend());
            let found = shipped.found(device, &said, tensor);
            hold(&what, &found, &shipped.tensor(tensor), shipped.times.len(), WITHIN);
        }
    }
}

fn dense(device: &Device) {
    check(device, DENSE);
}

fn energies(device: &Device) {
    check(device, ENERGIES);
}

fn particles(device: &Device) {
    check(device, PARTICLES);
}

fn frames(device: &Device) {
    check(device, FRAMES);
}

fn images(device: &Device) {
    check(device, IMAGES);
}

fn classifiers(device: &Device) {
    check(device, CLASSIFIERS);
}

/// The outputs of a dense network by the kernels that samplers run it with, each point at a level of its own.
fn by_kernels(device: &Device, name: &str, shipped: &Shipped) -> Vec<f32> {
    let (config, weights, _) = netconfig::load(&folder(name)).expect("a network");
    let (dim, count) = (config.trunk.dim, shipped.times.len());
    let (mut cond, mut levels) = (Vec::new(), Vec::new());
    for (t, class) in shipped.times.iter().zip(&shipped.classes) {
        let class = class.filter(|class| Some(*class) != config.classes);
        cond.push(weights.conditioning(&config, *t, class).expect("conditioning"));
        let c = config.preconditioning.denoiser_coeffs(config.prediction, &config.schedule, *t);
        levels.push([c.input as f32, 0.0, 1.0]);
    }
    let shape = shape(&config.trunk, dim);
    let network =
        dense_network(device, shape, &weights.trunk, &cond, &levels, Compute::F32).expect("an upload");
    let rows = device.upload("rows", &shipped.states).expect("an upload");
    let out = device.empty("out", count * dim).expect("a buffer");
    let one = |level: usize| -> Vec<f32> {
        network.launch(device, &rows, &out, 0, count, level).expect("a launch");
        device.download(&out).expect("outputs")[level * dim..][..dim].to_vec()
    };
    (0..count).flat_map(one).collect()
}

fn kernels_of_dense_networks(device: &Device) {
    for (name, _) in DENSE {
        let shipped = Shipped::open(name);
        let found = by_kernels(device, name, &shipped);
        // The noise in a square is nearly nothing, of which rounding is a larger part.
        let within = if name.ends_with("-score") { WITHIN } else { 0.1 * WITHIN };
        let what = format!("{name} on {}: output of its kernels", device.backend());
        hold(&what, &found, &shipped.tensor("output"), shipped.times.len(), within);
    }
}

fn kernels_of_a_classifier(device: &Device) {
    let name = "digits8-classifier";
    let shipped = Shipped::open(name);
    let (classifier, _) = Classifier::open(device, &folder(name)).expect("a classifier");
    let found = classifier.logits(device, &shipped.states).expect("logits");
    let what = format!("{name} on {}: logits of its kernels", device.backend());
    hold(&what, &found, &shipped.tensor("output"), shipped.times.len(), 0.1 * WITHIN);
}

/// The folders of networks below a folder.
fn networks(below: &Path) -> Vec<PathBuf> {
    if ["config.json", "model_index.json"].iter().any(|name| below.join(name).exists()) {
        return vec![below.to_path_buf()];
    }
    let entries = fs::read_dir(below).expect("a folder").map(|entry| entry.expect("an entry").path());
    let folders = entries.filter(|path| path.is_dir() && !path.ends_with("train"));
    folders.flat_map(|path| networks(&path)).collect()
}

#[test]
fn every_golden_value_of_every_shipped_network_is_held() {
    let names = |path: PathBuf| {
        let name = path.strip_prefix(folder("")).expect("a folder of weights").to_string_lossy().into_owned();
        let golden = Weights::open(&path.join("golden.safetensors")).unwrap_or_else(|e| panic!("{e}"));
        let said = |tensor: &String| !ASKED.contains(&tensor.as_str()) && (&name[..], &tensor[..]) != LAW;
        let said: Vec<String> = golden.names().into_iter().filter(said).collect();
        (name, said)
    };
    let shipped: BTreeMap<String, Vec<String>> = networks(&folder("")).into_iter().map(names).collect();
    // Those that slopes.rs holds.
    let (fields, energies) = (&["jvp", "rate", "divergence"][..], &["jvp", "rate", "energy_rate"][..]);
    let tables: [(&Table, &[&str]); 6] = [
        (DENSE, fields),
        (ENERGIES, energies),
        (PARTICLES, fields),
        (FRAMES, &[]),
        (IMAGES, &[]),
        (CLASSIFIERS, &[]),
    ];
    let held = tables.iter().flat_map(|(table, slopes)| {
        table.iter().map(|(name, tensors)| {
            let mut all: Vec<String> = tensors.iter().chain(*slopes).map(|name| name.to_string()).collect();
            all.sort();
            (name.to_string(), all)
        })
    });
    assert_eq!(shipped, held.collect());
}

#[test]
fn faults_are_those_of_the_worst_row() {
    let wanted = [10.0, -1000.0, 20.0, 5.0, 0.0, 0.5];
    let moved = |at: usize, by: f32| {
        let mut found = wanted;
        found[at] += by;
        fault(&found, &wanted, 2)
    };
    assert_eq!([moved(0, 1.0), moved(3, 1.0), moved(4, -1.0)], [1.0 / 1000.0, 1.0 / 20.0, 1.0 / 10.0]);
    assert_eq!(fault(&wanted, &wanted, 2), 0.0);
}
