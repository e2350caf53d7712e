//! The shipped network of frames on a device: what its trainer computed, symmetry, and its score against the law's.

use std::path::{Path, PathBuf};

use feynkac::eval::{Answers, Memory, Points, evaluate};
use feynkac::kernels::device::Device;
use feynkac::kernels::models::igso3::angles::Angles;
use feynkac::kernels::passes::frames::{self, Follow};
use feynkac::kernels::passes::layers::{Level, Network, Settings};
use feynkac::kernels::prims::so3::oracle::{between, compose, exp, inverse, length, rotate, uniform};
use feynkac::layered::{self, Loaded};
use feynkac::weights::Weights;
use feynkac::{Method, Model, Noise, Options, Schedule, sample};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::turned::Turned;
use crate::passes::frames::{FAR, distance};

on_every_device! {
    trainers_values, chains_turned_as_a_whole, the_score_is_that_of_the_law, walks_by_its_score_end_in_the_law,
    samplers_refuse_it
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/frames-chain")
}

fn network() -> Loaded {
    let (loaded, warnings) = layered::open(&folder()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(warnings, [""; 0]);
    loaded
}

/// What the network says at `times`, which are its sigma.
fn ask(device: &Device, net: &Loaded, rows: &[f32], times: &[f64], cotangent: Option<&[f32]>) -> Answers {
    let (rows, classes) = (rows.to_vec(), vec![None; times.len()]);
    let points = Points { rows, times: times.to_vec(), classes, cotangent: cotangent.map(<[f32]>::to_vec) };
    evaluate(device, net, &points, Memory::default()).expect("answers")
}

/// Rows of `found` against rows of `wanted`, each within a part of the row's largest number.
fn close(what: &str, found: &[f32], wanted: &[f32], width: usize, within: f32) {
    assert_eq!(found.len(), wanted.len());
    for (row, (found, wanted)) in found.chunks(width).zip(wanted.chunks(width)).enumerate() {
        let size = wanted.iter().map(|w| w.abs()).fold(0.0, f32::max);
        let off = found.iter().zip(wanted).map(|(f, w)| (f - w).abs());
        assert!(off.clone().all(|off| off <= within * size), "{what}, row {row}: {found:?} for {wanted:?}");
    }
}

fn trainers_values(device: &Device) {
    let net = network();
    let golden = Weights::open(&folder().join("golden.safetensors")).expect("golden values");
    let [x, t, output, cotangent, slopes] =
        ["x", "t", "output", "cotangent", "vjp"].map(|name| golden.plain_f32(name).expect("golden values"));
    let schedule = net.scheduler.as_ref().expect("a schedule").schedule;
    let times: Vec<f64> = t.into_iter().map(|t| schedule.sigma(f64::from(t))).collect();
    let answers = ask(device, &net, &x, &times, Some(&cotangent));
    // Networks of five layers of 128: 1e-5 of rounding, and 1e-4 where a row is small.
    close("output", &answers.output, &output, 24, 1e-4);
    close("vjp", &answers.vjp.expect("slopes"), &slopes, 28, 1e-4);
}

fn chains_turned_as_a_whole(device: &Device) {
    let (net, law, mut rng) = (network(), Turned::open(&folder()), StdRng::seed_from_u64(5));
    let turn = uniform([0.3, -0.8, 0.5, 0.4]);
    let turned = |f: &[f64]| {
        let at = rotate(turn, [f[4], f[5], f[6]]);
        let q = compose(turn, [f[0], f[1], f[2], f[3]]);
        [&q[..], &[at[0] + 1.0, at[1] - 0.5, at[2] + 0.25]].concat()
    };
    let narrow = |x: Vec<f64>| -> Vec<f32> { x.into_iter().map(|v| v as f32).collect() };
    let chains: Vec<f64> = (0..20).flat_map(|_| law.draw(0.4, &mut rng)).collect();
    let whole: Vec<f64> = chains.chunks(7).flat_map(turned).collect();
    let times = vec![0.5; 20];
    let one = ask(device, &net, &narrow(chains), &times, None).output;
    let other = ask(device, &net, &narrow(whole), &times, None).output;
    let expected = one.chunks(6).flat_map(|s| {
        let [a, b, c] = rotate(turn, [s[3], s[4], s[5]].map(f64::from));
        [s[0], s[1], s[2], a as f32, b as f32, c as f32]
    });
    // Positions of order 3 round by 2e-7, and the layers behind them a few times as much.
    close("turned", &other, &expected.collect::<Vec<_>>(), 24, 3e-5);
    // Control: the score of positions is not the same before and after.
    let gap = one.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(gap > 0.1, "{gap}");
}

/// E |said - s|^2 / E |s|^2 of rotations and of positions.
fn relative(said: &[f64], wanted: &[f64]) -> [f64; 2] {
    [0, 3].map(|first| {
        let (mut off, mut size) = (0.0, 0.0);
        for at in (0..wanted.len()).filter(|at| at % 6 / 3 == first / 3) {
            off += (said[at] - wanted[at]).powi(2);
            size += wanted[at].powi(2);
        }
        off / size
    })
}

fn the_score_is_that_of_the_law(device: &Device) {
    let (net, law, mut rng) = (network(), Turned::open(&folder()), StdRng::seed_from_u64(7));
    let count = 12;
    // Grids as fine as the law needs, and three times what the trainer found for rotations and positions.
    for (sigma, other, grid, allowed) in
        [(0.1, 0.2, 48, [0.0015, 0.003]), (0.3, 0.5, 32, [0.002, 0.0025]), (1.0, 0.6, 16, [0.07, 0.015])]
    {
        let chains: Vec<Vec<f64>> = (0..count).map(|_| law.draw(sigma, &mut rng)).collect();
        let wanted: Vec<f64> = chains.iter().flat_map(|chain| law.score(chain, sigma, grid)).collect();
        let rows: Vec<f32> = chains.concat().into_iter().map(|v| v as f32).collect();
        let said = |level: f64| -> Vec<f64> {
            let f = ask(device, &net, &rows, &vec![level; count], None).output;
            f.into_iter().map(|f| -f64::from(f) / level).collect()
        };
        let (own, elsewhere) = (relative(&said(sigma), &wanted), relative(&said(other), &wanted));
        println!("sigma {sigma}: {own:?}, as of {other} {elsewhere:?}");
        for (part, allowed) in allowed.into_iter().enumerate() {
            assert!(own[part] < allowed, "sigma {sigma}: {own:?}");
            // The score of another level.
            assert!(elsewhere[part] > 3.0 * allowed, "sigma {sigma}, as of {other}: {elsewhere:?}");
        }
    }
}

/// Walks of `count` chains from the law at sigma 1.5 to that at 0.1, along the network's scores times `share`.
fn walked(device: &Device, law: &Turned, count: usize, share: f64) -> Vec<f32> {
    let (Model::Layered(asked), _) = Model::open(&folder(), None).unwrap_or_else(|e| panic!("{e}")) else {
        panic!("a list of layers")
    };
    let steps = 80;
    let sigma = |i: usize| 1.5 * (0.1f64 / 1.5).powf(i as f64 / steps as f64);
    let level = |i: usize| frames::Level { rotation: sigma(i).powi(2), alpha: 1.0, sigma: sigma(i) };
    let shown = |i: usize| {
        let (time, [input, own, out]) = asked.shown(Noise { t: 0.0, alpha: 1.0, sigma: sigma(i) }).unwrap();
        Level { time, rate: 0.0, class: 0, c: [input, own, share * out] }
    };
    let (net, levels) = (&asked.loaded.net, (0..steps).map(shown).collect::<Vec<_>>());
    let network = Network::new(device, &net.layers, &net.tensors, &levels, 1, Settings::default()).unwrap();
    let levels: Vec<_> = (0..=steps).map(level).collect();
    let follow = Follow::new(device, 4, &levels, 1.0).expect("a walk");
    let mut rng = StdRng::seed_from_u64(9);
    let start: Vec<f32> = (0..count).flat_map(|_| law.draw(1.5, &mut rng)).map(|v| v as f32).collect();
    let rows = device.upload("chains", &start).expect("an upload");
    let scores = device.empty("scores", 24 * count).expect("a buffer");
    let seeds = device.upload("seeds", &[7, 11]).expect("an upload");
    for step in 0..steps {
        network.launch(device, &rows, &scores, 0, count, step).expect("a launch");
        follow.step(device, &rows, &scores, &seeds, count, step).expect("a launch");
    }
    device.download(&rows).expect("chains")
}

/// Two frames' rotations, each of variance t about U M_i, have M_01^-1 R_0^-1 R_1 of IGSO(3) of variance 2 t; a gap of
/// positions has the mean U (m_j - m_i) and the variance 2 v a coordinate, so its square is known on average.
fn walks_by_its_score_end_in_the_law(device: &Device) {
    let (law, count, few) = (Turned::open(&folder()), 300, 150);
    let (t, v) = (law.spread + 0.01, law.variance + 0.01);
    let angles = |chains: &[f32], i: usize, j: usize| -> Vec<f64> {
        let wanted = between(law.rotations[i], law.rotations[j]);
        let one = |chain: &[f32]| {
            let q = |f: usize| [0, 1, 2, 3].map(|k| f64::from(chain[7 * f + k]));
            length(between(exp(wanted), compose(inverse(q(i)), q(j))))
        };
        chains.chunks(28).map(one).collect()
    };
    let squares = |chains: &[f32]| -> f64 {
        let one =
            |chain: &[f32]| (0..3).map(|k| f64::from(chain[25 + k] - chain[4 + k]).powi(2)).sum::<f64>();
        chains.chunks(28).map(one).sum::<f64>() / (chains.len() / 28) as f64
    };
    let far = |angles: Vec<f64>, t: f64| {
        let law = Angles::new(t);
        distance(angles, |w| law.below(w))
    };
    let ends = walked(device, &law, count, 1.0);
    let cold = walked(device, &law, few, 0.7);
    let gap: f64 = (0..3).map(|k| (law.positions[3][k] - law.positions[0][k]).powi(2)).sum();
    let mean = gap + 6.0 * v;
    let error = |count: usize| ((8.0 * v * gap + 24.0 * v * v) / count as f64).sqrt();
    let off = [(&ends, count), (&cold, few)].map(|(chains, n)| (squares(chains) - mean).abs() / error(n));
    println!("squares of gaps are {off:?} standard errors off, the second along weaker scores");
    for (i, j) in [(0, 1), (1, 3), (0, 3)] {
        let found = far(angles(&ends, i, j), 2.0 * t);
        let weaker = far(angles(&cold, i, j), 2.0 * t);
        println!("frames {i}, {j}: {found}, along weaker scores {weaker}");
        assert!(found < FAR, "frames {i}, {j}: {found}");
        assert!(weaker > FAR, "frames {i}, {j}: {weaker}");
    }
    assert!(off[0] < 5.0 && off[1] > 5.0, "{off:?}");
}

fn samplers_refuse_it(device: &Device) {
    let open = || Model::open(&folder(), None).unwrap_or_else(|e| panic!("{e}"));
    let (model, warnings) = open();
    assert_eq!((model.dim(), warnings), (28, Vec::new()));
    for (method, count) in [(Method::Plain, 1), (Method::FkcAnneal, 1), (Method::FkcProduct, 2)] {
        let mut options = Options::new(method, Schedule::Ve { sigma_min: 0.1, sigma_max: 1.5 });
        options.models = count;
        let models: Vec<Model> = (0..count).map(|_| open().0).collect();
        let message = sample(device, &models, &options, None).expect_err("frames are no numbers").to_string();
        assert!(message.starts_with("model: found network of frames ("), "{method:?}: {message}");
        assert!(message.contains("wanted one whose states are numbers, not rotations"), "{message}");
    }
}
