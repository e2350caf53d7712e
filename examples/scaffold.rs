//! A motif of known shape somewhere in a chain of sixteen frames, turned somehow: the twisted sampler beside clean chains of
//! the prior, weighted.
//!
//! `cargo run --release --example scaffold` prints ln E psi by both, and by particles of the model's own chain of steps.

use std::ops::Range;
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use feynkac::frames::{Chain, Component, Lean, Motif, Search, levels, search};
use feynkac::kernels::device::{Device, Request};
use feynkac::kernels::models::igso3::angles::{Angles, KNOTS, REACH, SPACING, normal_below};
use feynkac::kernels::passes::scaffold::{oracle, twist_numbers};
use feynkac::kernels::prims::philox::purpose;
use feynkac::kernels::prims::so3::oracle::{Quaternion, compose, exp, length, rotate, uniform};
use feynkac::{Error, Result};

#[derive(Parser)]
struct Arguments {
    /// Device to run on.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Frames of the chain.
    #[arg(long, default_value_t = 16)]
    frames: usize,
    /// Rotations by which the motif may be turned.
    #[arg(long, default_value_t = 20)]
    turns: usize,
    /// Clean chains of the prior.
    #[arg(long, default_value_t = 400_000)]
    samples: usize,
    /// Particles of a group.
    #[arg(long, default_value_t = 64)]
    particles: usize,
    /// Groups.
    #[arg(long, default_value_t = 200)]
    groups: usize,
    /// Steps.
    #[arg(long, default_value_t = 100)]
    steps: usize,
    /// Seed.
    #[arg(long, default_value_t = 8)]
    seed: u64,
}

fn main() -> ExitCode {
    match everything(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn everything(arguments: &Arguments) -> Result<()> {
    let device = Device::open(arguments.device.parse::<Request>()?)?;
    let of = problem(arguments)?;
    let line = |what: &str, logs: &[f64]| {
        let (log, error) = log_mean(logs);
        println!("{what:<44} {log:9.4} +- {error:.4}");
    };
    println!("{:<44} {:>9}", "", "ln E psi");
    line(&format!("twisted, {} groups of {}", of.groups, of.particles), &search(&device, &of)?.log_z);
    let alone = Search { lean: Lean::NONE, ess_share: 0.0, seed: of.seed + 1, ..of.clone() };
    let found = search(&device, &alone)?;
    let logs: Vec<f64> = found.log_w.iter().map(|l| f64::from(*l)).collect();
    line(&format!("the model's chain, {} particles", logs.len()), &logs);
    line(
        "resampled, proposals from the model",
        &search(&device, &Search { lean: Lean::NONE, ..of.clone() })?.log_z,
    );
    line(&format!("clean chains, {}", arguments.samples), &prior(&of, arguments.samples));
    Ok(())
}

/// ln of the mean of what has these logarithms, and its standard error.
fn log_mean(logs: &[f64]) -> (f64, f64) {
    let (n, most) = (logs.len() as f64, logs.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    let mean = logs.iter().map(|l| (l - most).exp()).sum::<f64>() / n;
    let square = logs.iter().map(|l| ((l - most).exp() - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (most + mean.ln(), (square / n).sqrt() / mean)
}

fn matrix(q: Quaternion) -> [[f64; 3]; 3] {
    let columns = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(|axis| rotate(q, axis));
    std::array::from_fn(|i| std::array::from_fn(|j| columns[j][i]))
}

/// A chain that winds, two ways a frame may be turned, and a motif that winds the other way.
fn problem(arguments: &Arguments) -> Result<Search> {
    const RESIDUES: usize = 3;
    let frames = arguments.frames;
    if frames < RESIDUES {
        return Err(Error::input("frames", frames, format!("at least {RESIDUES}, those of the motif")));
    }
    let mixture = |f: usize| {
        let about = |angle: f64| exp([0.0, 0.0, angle]);
        let one = |weight, turn: Quaternion| Component { weight, rotation: turn, spread: 0.2 };
        vec![one(0.7, about(0.6 * f as f64)), one(0.3, compose(about(0.6 * f as f64), exp([2.0, 0.0, 0.0])))]
    };
    let winding = |f: usize, way: f64| {
        let angle = 0.6 * way * f as f64;
        [angle.cos(), angle.sin(), 0.5 * f as f64]
    };
    let turn = |i: usize| uniform(oracle::normals(arguments.seed, i, 0, purpose::PLACE)(0, 0));
    Ok(Search {
        chain: Chain {
            rotations: (0..frames).map(mixture).collect(),
            positions: (0..frames).map(|f| winding(f, 1.0)).collect(),
            links: vec![0.3; frames - 1],
        },
        motif: Motif {
            rotations: (0..RESIDUES).map(|m| matrix(exp([0.0, 0.9 * m as f64, 0.0]))).collect(),
            positions: (0..RESIDUES).map(|m| winding(m, -1.0)).collect(),
            offsets: (0..=frames - RESIDUES).collect(),
            turns: (0..arguments.turns).map(turn).collect(),
            noise: [0.2, 0.2],
            breadth: [0.5, 0.5],
        },
        levels: levels(arguments.steps, (9.0, 5.0e-3), (1.0e4, 2.0e-3)),
        particles: arguments.particles,
        groups: arguments.groups,
        seed: arguments.seed,
        ess_share: 0.5,
        lean: Lean::FULL,
    })
}

/// log psi of clean chains, by as many threads as there are processors.
fn prior(of: &Search, samples: usize) -> Vec<f64> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let table = Angles::new(of.chain.rotations[0][0].spread).table();
    let numbers = twist_numbers(&of.levels, &of.motif, of.lean)[of.levels.len() - 1];
    let own = |range: Range<usize>| -> Vec<f64> {
        range.map(|i| oracle::psi(&of.motif, &numbers, &clean(&of.chain, &table, of.seed + 2, i)).0).collect()
    };
    let each = samples.div_ceil(threads);
    thread::scope(|scope| {
        let parts: Vec<_> =
            (0..threads).map(|t| scope.spawn(move || own(t * each..((t + 1) * each).min(samples)))).collect();
        parts.into_iter().flat_map(|part| part.join().expect("a thread that ends")).collect()
    })
}

/// A clean chain; all components have the spread that `table` is of.
fn clean(chain: &Chain, table: &[f32], seed: u64, slot: usize) -> Vec<f64> {
    let z = oracle::normals(seed, slot, 0, purpose::INIT);
    let means = chain.means();
    let mut walk = [0.0; 3];
    let mut frames = Vec::with_capacity(7 * chain.frames());
    for (f, mixture) in chain.rotations.iter().enumerate() {
        let (turned, moved) = (z(f, 0), z(f, 1));
        let mut left = normal_below(moved[3]) * mixture.iter().map(|c| c.weight).sum::<f64>();
        let component = mixture.iter().find(|c| {
            left -= c.weight;
            left <= 0.0
        });
        let mean = component.unwrap_or(&mixture[mixture.len() - 1]).rotation;
        let axis = [turned[0], turned[1], turned[2]];
        let scale = angle(table, turned[3]) / length(axis);
        frames.extend(compose(mean, exp(axis.map(|v| v * scale))));
        if f > 0 {
            (0..3).for_each(|k| walk[k] += chain.links[f - 1].sqrt() * moved[k]);
        }
        frames.extend((0..3).map(|k| means[f][k] + walk[k]));
    }
    frames
}

/// The table's cubic at a normal number.
fn angle(table: &[f32], z: f64) -> f64 {
    let place = ((z + f64::from(REACH)) / f64::from(SPACING)).clamp(0.0, (KNOTS - 1) as f64);
    let knot = (place as usize).min(KNOTS - 2);
    let [a, slope_a, b, slope_b] = [0, 1, 2, 3].map(|k| f64::from(table[2 * knot + k]));
    let (s, r) = (place - knot as f64, 1.0 - (place - knot as f64));
    a + s * (b - a) + s * r * ((slope_a - (b - a)) * r + ((b - a) - slope_b) * s)
}
