//! A chain of frames turned as a whole, whose score is a sum over rotations: docs/maths.md (9.7).

use std::f64::consts::{PI, TAU};
use std::path::Path;

use feynkac::kernels::models::igso3::oracle::{angle_density, density, pull};
use feynkac::kernels::prims::so3::oracle::{
    Quaternion, between, compose, exp, length, normalised, rotate, uniform,
};
use feynkac::weights::Weights;
use rand::Rng;
use rand::rngs::StdRng;

type Position = [f64; 3];

/// The law of clean chains.
pub struct Turned {
    pub rotations: Vec<Quaternion>,
    pub positions: Vec<Position>,
    pub spread: f64,
    pub variance: f64,
}

/// Rotations about z, then y, then z, and their shares, which integrate products of degree below n.
fn grid(n: usize) -> Vec<(Quaternion, f64)> {
    let about = |angle: f64, axis: usize| exp([0, 1, 2].map(|k| if k == axis { angle } else { 0.0 }));
    let turns: Vec<f64> = (0..n).map(|i| TAU * i as f64 / n as f64).collect();
    let mut all = Vec::with_capacity(n * n * n / 2);
    for (node, share) in legendre(n / 2) {
        for (first, last) in turns.iter().flat_map(|a| turns.iter().map(move |b| (a, b))) {
            let q = compose(compose(about(*first, 2), about(node.acos(), 1)), about(*last, 2));
            all.push((q, share));
        }
    }
    all
}

/// Nodes and weights of Gauss and Legendre, by Newton's method.
fn legendre(n: usize) -> Vec<(f64, f64)> {
    let values = |x: f64| {
        let (mut before, mut at) = (1.0, x);
        for k in 2..=n {
            let next = ((2 * k - 1) as f64 * x * at - (k - 1) as f64 * before) / k as f64;
            (before, at) = (at, next);
        }
        (at, n as f64 * (x * at - before) / (x * x - 1.0))
    };
    let one = |i: usize| {
        let mut x = (PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
        for _ in 0..20 {
            let (value, slope) = values(x);
            x -= value / slope;
        }
        let slope = values(x).1;
        (x, 2.0 / ((1.0 - x * x) * slope * slope))
    };
    (0..n).map(one).collect()
}

fn centred(x: &[Position]) -> Vec<Position> {
    let mean = [0, 1, 2].map(|k| x.iter().map(|x| x[k]).sum::<f64>() / x.len() as f64);
    x.iter().map(|x| [0, 1, 2].map(|k| x[k] - mean[k])).collect()
}

impl Turned {
    /// Of the folder of its network.
    pub fn open(folder: &Path) -> Self {
        let file = Weights::open(&folder.join("reference.safetensors")).expect("the law");
        let wide = |name| -> Vec<f64> {
            file.plain_f32(name).expect("numbers").into_iter().map(f64::from).collect()
        };
        Turned {
            rotations: wide("rotation").chunks(4).map(|q| normalised([q[0], q[1], q[2], q[3]])).collect(),
            positions: wide("position").chunks(3).map(|x| [x[0], x[1], x[2]]).collect(),
            spread: wide("spread")[0],
            variance: wide("variance")[0],
        }
    }

    /// A chain at noise sigma, turned and moved somehow.
    pub fn draw(&self, sigma: f64, rng: &mut StdRng) -> Vec<f64> {
        let (t, v) = (self.spread + sigma * sigma, self.variance + sigma * sigma);
        // Box and Muller.
        let mut normal =
            || (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt() * (TAU * rng.random::<f64>()).cos();
        let turn = uniform([0; 4].map(|_| normal()));
        let away = [0; 3].map(|_| normal());
        let mut chain = Vec::new();
        let noise: Vec<Position> = self.positions.iter().map(|_| [0; 3].map(|_| normal())).collect();
        let axes: Vec<Position> = self.positions.iter().map(|_| [0; 3].map(|_| normal())).collect();
        let shares: Vec<f64> = self.positions.iter().map(|_| rng.random()).collect();
        for ((((mean, at), noise), axis), share) in
            self.rotations.iter().zip(&self.positions).zip(centred(&noise)).zip(axes).zip(shares)
        {
            let angle = angle(share, t);
            let by = exp(axis.map(|a| a * angle / length(axis)));
            let at = rotate(turn, [0, 1, 2].map(|k| at[k] + v.sqrt() * noise[k]));
            chain.extend(compose(compose(turn, *mean), by));
            chain.extend([0, 1, 2].map(|k| at[k] + away[k]));
        }
        chain
    }

    /// The score of a chain at noise sigma by a grid of n^3/2 rotations, six numbers a frame: rotations in the axes of the
    /// frame, positions in those of the world.
    pub fn score(&self, chain: &[f64], sigma: f64, n: usize) -> Vec<f64> {
        let (t, v) = (self.spread + sigma * sigma, self.variance + sigma * sigma);
        let rotations: Vec<Quaternion> =
            chain.chunks(7).map(|f| normalised([f[0], f[1], f[2], f[3]])).collect();
        let positions = centred(&chain.chunks(7).map(|f| [f[4], f[5], f[6]]).collect::<Vec<_>>());
        let (mut sum, mut all, mut most) = (vec![0.0; 6 * rotations.len()], 0.0, f64::MIN);
        for (turn, share) in grid(n) {
            let (mut ln, mut each) = (0.0, Vec::with_capacity(sum.len()));
            for ((mean, at), (q, x)) in
                self.rotations.iter().zip(&self.positions).zip(rotations.iter().zip(&positions))
            {
                let log = between(compose(turn, *mean), *q);
                // The images of the angle have no value at 0.
                let w = length(log).max(1e-9);
                let there = rotate(turn, *at);
                let gap = [0, 1, 2].map(|k| there[k] - x[k]);
                ln += density(w, t).ln() - gap.iter().map(|g| g * g).sum::<f64>() / (2.0 * v);
                let pull = pull(w, t);
                each.extend(log.map(|l| pull * l));
                each.extend(gap.map(|g| g / v));
            }
            if ln > most {
                let scale = (most - ln).exp();
                sum.iter_mut().for_each(|s| *s *= scale);
                (all, most) = (all * scale, ln);
            }
            let weight = share * (ln - most).exp();
            all += weight;
            sum.iter_mut().zip(each).for_each(|(s, e)| *s += weight * e);
        }
        sum.into_iter().map(|s| s / all).collect()
    }
}

/// The angle below which a share `u` of IGSO(3) of variance `t` is.
fn angle(u: f64, t: f64) -> f64 {
    let n = 2000;
    let at = |i: usize| PI * (i as f64 + 0.5) / n as f64;
    let mass: Vec<f64> = (0..n).map(|i| angle_density(at(i), t)).collect();
    let (wanted, mut below) = (u * mass.iter().sum::<f64>(), 0.0);
    for (i, m) in mass.iter().enumerate() {
        if below + m >= wanted {
            return PI * (i as f64 + (wanted - below) / m) / n as f64;
        }
        below += m;
    }
    PI
}

/// The grid against that of the trainer, at its levels from the lowest to the highest.
#[test]
fn the_trainers_scores_are_those_of_the_law() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/frames-chain");
    let (law, golden) = (Turned::open(&folder), Weights::open(&folder.join("golden.safetensors")).unwrap());
    let wide = |name| -> Vec<f64> {
        golden.plain_f32(name).expect("golden values").into_iter().map(f64::from).collect()
    };
    let [x, t, score] = ["x", "t", "score"].map(wide);
    for (at, n) in [(2, 48), (16, 32), (30, 20)] {
        // sigma of the schedule of its config.json
        let sigma = 0.1 * 15f64.powf(t[at]);
        let found = law.score(&x[28 * at..][..28], sigma, n);
        let wanted = &score[24 * at..][..24];
        let largest = wanted.iter().fold(0.0, |m: f64, s| m.max(s.abs()));
        for (found, wanted) in found.iter().zip(wanted) {
            // The grid's own error, 1e-5 of sigma rounded to f32, and rounding of the score.
            assert!((found - wanted).abs() < 2e-5 * largest, "row {at}: {found}, wanted {wanted}");
        }
    }
}
