//! The shipped dense networks as layers, energies by differences, folders told apart.

use std::path::{Path, PathBuf};

use super::*;
use crate::netconfig;
use crate::weights::{Data, Tensor, Weights, save};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("weights").join(name)
}

/// Numbers of order one, other ones for every `of`.
fn some(count: usize, of: f64) -> Vec<f64> {
    (0..count).map(|k| (1.7 * k as f64 + of).sin() + 0.3 * (0.9 * k as f64 * of).cos()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The largest difference over the largest number wanted.
fn relative(got: &[f64], wanted: &[f64]) -> f64 {
    assert_eq!(got.len(), wanted.len());
    let largest = wanted.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    got.iter().zip(wanted).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs())) / largest
}

/// The slope of `f` at 0, by differences of the fourth order.
pub(crate) fn difference(f: impl Fn(f64) -> f64) -> f64 {
    let h = 3e-5;
    (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h)
}

pub(crate) fn largest(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |m, v| v.abs().max(m))
}

pub(crate) fn same(got: &[f64], wanted: &[f64], within: f64) {
    let off: Vec<f64> = got.iter().zip(wanted).map(|(a, b)| a - b).collect();
    assert!(got.len() == wanted.len() && largest(&off) <= within * largest(wanted), "{got:?}\n{wanted:?}");
}

/// Whether the slopes of a network at `x` are those of differences and of each other: back of `u`, along `v` and along its time.
pub(crate) fn slopes_agree(net: &Layered, x: &[f64], u: &[f64], v: &[f64]) {
    let at = |x: &[f64], time| net.forward(x, time, None).unwrap();
    let (value, back) = net.vjp(x, 0.7, None, u).unwrap();
    let (same_value, along) = net.jvp(x, 0.7, None, v, 0.0).unwrap();
    assert_eq!((&value, &value), (&at(x, 0.7), &same_value));
    let size = dot(u, u).sqrt() * dot(&along, &along).sqrt();
    assert!((dot(u, &along) - dot(&back, v)).abs() < 1e-12 * size);
    let differences = |at: &dyn Fn(f64) -> Vec<f64>| -> Vec<f64> {
        (0..u.len()).map(|k| difference(|s| at(s)[k])).collect()
    };
    let moved = |s: f64| at(&x.iter().zip(v).map(|(x, v)| x + s * v).collect::<Vec<_>>(), 0.7);
    same(&along, &differences(&moved), 1e-8);
    let (_, in_time) = net.jvp(x, 0.7, None, &vec![0.0; x.len()], 1.0).unwrap();
    same(&in_time, &differences(&|s| at(x, 0.7 + s)), 1e-8);
    assert!(largest(&in_time) > 1e-3, "it looks at its time");
}

/// Writes the file of a network that is so laid out, but not the tensor `without`.
pub(crate) fn write(folder: &Path, layout: &Layout, net: &Layered, without: &str) {
    let kept = layout.tensors.iter().zip(&net.tensors).filter(|((name, _), _)| name != without);
    let all: Vec<(String, Tensor)> = kept
        .map(|((name, shape), data)| (name.clone(), Tensor { shape: shape.clone(), data: Data::F32(data) }))
        .collect();
    save(&folder.join("model.safetensors"), &all, &Default::default()).unwrap();
}

/// Slope of `f` along `v` at `x`, by central differences of step 1e-5.
fn slope(f: impl Fn(&[f64]) -> f64, x: &[f64], v: &[f64]) -> f64 {
    let at = |s: f64| f(&x.iter().zip(v).map(|(x, v)| x + s * v).collect::<Vec<f64>>());
    difference(at)
}

#[test]
fn a_dense_network_is_the_same_as_layers() {
    for name in ["digits8-mlp", "gmm40-mlp"] {
        let (config, weights, _) = netconfig::load(&shipped(name)).unwrap();
        let (loaded, _) = open(&shipped(name)).unwrap();
        let net = &loaded.net;
        assert_eq!((net.input(), net.output()), (Extent::vector(config.trunk.dim), net.input()));
        let classes = if config.classes.is_some() { vec![None, Some(3), Some(0)] } else { vec![None] };
        for (i, share) in [0.0, 0.3, 1.0].into_iter().enumerate() {
            let t = config.t_max.powf(share) * config.t_min.max(0.01).powf(1.0 - share);
            let x = some(config.trunk.dim, i as f64 + 0.5);
            let class = classes[i % classes.len()];
            let wanted = weights.forward(&config, &x, t, class).unwrap();
            let c = config.preconditioning.score_coeffs(config.prediction, &config.schedule, t);
            let shown: Vec<f64> = x.iter().map(|x| c.input * x).collect();
            let time = loaded.time(t).unwrap();
            // sums of up to 320 products in f64, in another order, 4 layers deep
            let got = net.forward(&shown, time, class).unwrap();
            assert!(
                relative(&got, &wanted.output) < 1e-12,
                "{name}, {t}: {}",
                relative(&got, &wanted.output)
            );
            let u = some(got.len(), 9.0);
            let (output, back) = net.vjp(&shown, time, class, &u).unwrap();
            assert_eq!(output, got);
            let v = some(x.len(), 4.0);
            let along = slope(|x| dot(&u, &net.forward(x, time, class).unwrap()), &shown, &v);
            let size = dot(&back, &back).sqrt() * dot(&v, &v).sqrt();
            assert!((along - dot(&back, &v)).abs() < 1e-7 * size, "{name}, {t}: {along}");
            // <u, J v> = <J' u, v>, and the time's own tangent
            let (_, moved) = net.jvp(&shown, time, class, &v, 0.0).unwrap();
            assert!((dot(&u, &moved) - dot(&back, &v)).abs() < 1e-12 * size, "{name}, {t}");
            let (_, moved) = net.jvp(&shown, time, class, &v, 0.7).unwrap();
            let h = 1e-6;
            let at = |s: f64| -> f64 {
                let x: Vec<f64> = shown.iter().zip(&v).map(|(x, v)| x + s * h * v).collect();
                dot(&u, &net.forward(&x, time + 0.7 * s * h, class).unwrap())
            };
            let along = (at(1.0) - at(-1.0)) / (2.0 * h);
            assert!((along - dot(&u, &moved)).abs() < 1e-6 * (size + along.abs()), "{name}, {t}: {along}");
            // the coefficients of its scheduler at the run's lambda are its own
            let scheduler = loaded.scheduler.as_ref().unwrap();
            let lambda = config.schedule.log_noise_ratio(t);
            let own = scheduler.score_coeffs(lambda);
            assert!(relative(&[own.input, own.x, own.out], &[c.input, c.x, c.out]) < 1e-9);
            assert!((scheduler.time_at(lambda).unwrap() - time).abs() < 1e-9 * time.abs().max(1.0));
        }
    }
}

#[test]
fn a_classifier_is_the_same_as_layers() {
    let (config, weights, _) = netconfig::load_classifier(&shipped("digits8-classifier")).unwrap();
    let (loaded, _) = open(&shipped("digits8-classifier")).unwrap();
    assert!(!loaded.net.timed() && loaded.scheduler.is_none());
    let x = some(config.trunk.dim, 2.0);
    let (got, back) = loaded.net.vjp(&x, 0.0, None, &some(config.outputs, 1.0)).unwrap();
    assert!(relative(&got, &weights.forward(&config, &x).unwrap()) < 1e-12);
    let (u, v) = (some(config.outputs, 1.0), some(x.len(), 5.0));
    let along = slope(|x| dot(&u, &loaded.net.forward(x, 0.0, None).unwrap()), &x, &v);
    assert!((along - dot(&back, &v)).abs() < 1e-7 * dot(&back, &back).sqrt() * dot(&v, &v).sqrt());
}

#[test]
fn the_gradient_of_an_energy_is_its_slope() {
    let (loaded, _) = open(&shipped("gmm40-mlp")).unwrap();
    let (x, v) = (some(2, 0.3), [0.6, -0.8]);
    assert!(loaded.net.energy(&x, 0.1, None).unwrap_err().to_string().contains("wanted an energy network"));
    let f = loaded.net.forward(&x, 0.1, None).unwrap();
    for (name, energy) in Energy::NAMES {
        let net = Layered { energy: Some(energy), ..loaded.net.clone() };
        let (value, gradient) = net.energy(&x, 0.1, None).unwrap();
        let by_hand = match energy {
            Energy::Square => 0.5 * dot(&f, &f),
            Energy::Residual => (f[0] - x[0]).powi(2) + (f[1] - x[1]).powi(2),
            Energy::Dot => dot(&x, &f),
        };
        assert!((value - by_hand).abs() < 1e-12 * by_hand.abs(), "{name}");
        let along = slope(|x| net.energy(x, 0.1, None).unwrap().0, &x, &v);
        let size = dot(&gradient, &gradient).sqrt();
        assert!((along - dot(&gradient, &v)).abs() < 1e-7 * size, "{name}: {along}, {gradient:?}");
        assert_eq!(net.field(&x, 0.1, None).unwrap(), gradient);
        let (rate, again) = net.energy_rate(&x, 0.1, None).unwrap();
        let at = |time: f64| net.energy(&x, time, None).unwrap().0;
        let along = difference(|s| at(0.1 + 0.1 * s)) / 0.1;
        assert_eq!(again, value);
        assert!((along - rate).abs() < 1e-6 * rate.abs().max(1.0), "{name}: {along}, {rate}");
    }
}

fn read(golden: &Weights, name: &str) -> Vec<f64> {
    let shape = golden.shape(name).expect("the golden file holds it").to_vec();
    golden.f32(name, &shape).expect("golden values are finite").into_iter().map(f64::from).collect()
}

/// Golden values are f64 results for f32 weights and inputs, rounded once.
#[test]
fn shipped_energies_and_predictors_of_noise_give_their_golden_values() {
    let shapes = ["ring", "bar", "outer", "inner"];
    let plane =
        shapes.iter().flat_map(|shape| ["score", "energy"].map(|k| format!("composition2d/{shape}-{k}")));
    for name in plane.chain(["digits8-energy".to_string()]) {
        let (loaded, warnings) = open(&shipped(&name)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(warnings, [""; 0]);
        let (net, dim) = (&loaded.net, loaded.net.input().numbers());
        let golden = Weights::open(&shipped(&name).join("golden.safetensors")).unwrap();
        let [x, t, output, score] = ["x", "t", "output", "score"].map(|what| read(&golden, what));
        let classes = net.classes.map(|_| golden.i32("class").unwrap());
        let schedule = loaded.scheduler.as_ref().unwrap().schedule;
        assert_eq!((x.len(), t.len(), net.energy.is_some()), (64 * dim, 64, name.contains("energy")));
        let mut energies = Vec::new();
        for (i, x) in x.chunks(dim).enumerate() {
            let own = i * dim..(i + 1) * dim;
            let (time, class) = (loaded.time(t[i]).unwrap(), classes.as_ref().map(|c| c[i] as usize));
            let found = net.forward(x, time, class).unwrap();
            assert!(relative(&found, &output[own.clone()]) < 1.2e-7, "{name}, output {i}");
            // eps = -sigma score
            let sigma = schedule.sigma(t[i]);
            let found: Vec<f64> = net.field(x, time, class).unwrap().iter().map(|e| -e / sigma).collect();
            assert!(relative(&found, &score[own]) < 1.2e-7, "{name}, score {i}");
            if net.energy.is_some() {
                energies.push(net.energy(x, time, class).unwrap().0);
            }
        }
        if net.energy.is_some() {
            assert!(relative(&energies, &read(&golden, "energy")) < 1.2e-7, "{name}");
        }
    }
}

#[test]
fn folders_are_told_apart() {
    let kind = |path: &Path| open(path).map(|(loaded, _)| loaded.kind);
    assert!(matches!(kind(&shipped("digits8-mlp")), Ok(Kind::Dense(_))));
    assert!(matches!(kind(&shipped("digits8-classifier/model.safetensors")), Ok(Kind::Classifier(_))));
    assert!(matches!(kind(&shipped("mnist-judge")), Ok(Kind::Images(_))));
    let diffusers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/diffusers");
    for name in ["pipeline", "pipeline/unet", "half", "half/diffusion_pytorch_model.fp16.safetensors"] {
        assert!(matches!(kind(&diffusers.join(name)), Ok(Kind::Unet(_))), "{name}");
    }
    let error = |path: &Path| open(path).unwrap_err().to_string();
    assert!(error(&shipped("nowhere")).contains("nowhere: cannot read it"));
    assert!(error(&shipped("")).contains("model.safetensors: cannot read it"), "{}", error(&shipped("")));
}
