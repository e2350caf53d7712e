//! The main job: digits of every class by Feynman-Kac corrected guidance, and a 40-mode mixture
//! annealed to its square, both with trained networks read from `weights/`; once with the weights
//! and once without, which is what most samplers do.
//!
//! `cargo run --release --example demo -- --every-device --output out`

use std::path::{Path, PathBuf};

use clap::Parser;
use feynkac::classifier::Classifier;
use feynkac::cli::picture::{Samples, draw};
use feynkac::kernels::device::{Backend, Device, Request};
use feynkac::weights::write_atomically;
use feynkac::{Error, Method, Model, Options, Outcome, Policy, Result, Target, sample};

#[derive(Parser)]
struct Arguments {
    /// Device to run on.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// After the CPU, run again on the best other device.
    #[arg(long)]
    every_device: bool,
    /// Folder with the networks.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/weights"))]
    weights: PathBuf,
    /// Folder for pictures.
    #[arg(long, default_value = "out")]
    output: PathBuf,
    /// Particles of the mixture, a group.
    #[arg(long, default_value_t = 4000)]
    particles: usize,
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    match everything(&arguments) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::from(error.exit_code())
        }
    }
}

fn everything(arguments: &Arguments) -> Result<()> {
    let mut devices = vec![Device::open(arguments.device.parse::<Request>()?)?];
    if arguments.every_device {
        let best = Device::open(Request::Auto)?;
        if !matches!(best.backend(), Backend::Cpu(_)) && best.backend() != devices[0].backend() {
            devices.push(best);
        }
    }
    for device in &devices {
        let backend = device.backend().to_string().replace(':', "-");
        let folder = arguments.output.join(format!("demo-{backend}"));
        std::fs::create_dir_all(&folder).map_err(|e| Error::write(&folder, e))?;
        println!("device {} ({})", device.backend(), device.name());
        digits(device, &arguments.weights, &folder)?;
        mixture(device, arguments, &folder)?;
    }
    Ok(())
}

/// Guidance weight of the digits.
const GUIDANCE: f64 = 2.0;

fn digits(device: &Device, weights: &Path, folder: &Path) -> Result<()> {
    let (judge, _) = Classifier::open(device, &weights.join("digits8-classifier"))?;
    println!("  digits, guidance {GUIDANCE}: 10 classes, 16 groups of 16 particles, 100 steps");
    println!("  {:<24} {:>15} {:>14} {:>12}", "", "judge agrees", "mean ESS", "steps/s");
    for (name, weighted) in [("guidance alone", false), ("Feynman-Kac corrected", true)] {
        let mut all = Vec::new();
        let (mut right, mut ess, mut speed) = (0.0, 0.0, 0.0);
        for class in 0..10 {
            let folder = weights.join("digits8-mlp");
            let models = [Model::open(&folder, None)?.0, Model::open(&folder, Some(class))?.0];
            let (schedule, t_max, t_min) =
                models[0].schedule().unwrap_or_else(|| unreachable!("a network has a schedule"));
            let mut options = Options::new(Method::FkcGuidance, schedule);
            (options.t_max, options.t_min, options.beta) = (t_max, t_min, GUIDANCE);
            (options.groups, options.particles, options.steps) = (16, 16, 100);
            (options.weights, options.seed) = (weighted, class as u64);
            let drawn = sample(device, &models, &options, None)?;
            let classes = judge.classes(device, &drawn.x)?;
            let shares = shares(&drawn, options.groups);
            right +=
                classes.iter().zip(&shares).filter(|(c, _)| **c == class).map(|(_, w)| w).sum::<f64>() / 10.0;
            ess += drawn.ess.iter().map(|e| e.last().copied().unwrap_or(0.0)).sum::<f64>()
                / (10 * options.groups) as f64;
            speed += drawn.timings.particle_steps_per_s / 10.0;
            all.extend(favourites(&drawn, options.groups, 6));
        }
        println!("  {name:<24} {:>13.1} % {ess:>14.1} {speed:>12.0}", 100.0 * right);
        let file = if weighted { "digits-corrected" } else { "digits-guidance-alone" };
        picture(folder, file, &all, 64)?;
    }
    Ok(())
}

/// Weights of all particles, each group's summing to 1 / groups.
fn shares(drawn: &Outcome, groups: usize) -> Vec<f64> {
    let each = drawn.log_w.len() / groups;
    drawn
        .log_w
        .chunks(each)
        .flat_map(|group| {
            let top = group.iter().copied().fold(f32::MIN, f32::max);
            let w: Vec<f64> = group.iter().map(|l| f64::from(l - top).exp()).collect();
            let sum: f64 = w.iter().sum::<f64>() * groups as f64;
            w.into_iter().map(move |w| w / sum)
        })
        .collect()
}

/// The heaviest particle of each of the first `count` groups.
fn favourites(drawn: &Outcome, groups: usize, count: usize) -> Vec<f32> {
    let each = drawn.log_w.len() / groups;
    let heaviest = |g: usize| {
        let own = g * each..(g + 1) * each;
        own.max_by(|&a, &b| drawn.log_w[a].total_cmp(&drawn.log_w[b])).unwrap_or(g * each)
    };
    (0..count.min(groups))
        .flat_map(|g| drawn.x[heaviest(g) * drawn.dim..(heaviest(g) + 1) * drawn.dim].to_vec())
        .collect()
}

fn picture(folder: &Path, name: &str, x: &[f32], dim: usize) -> Result<()> {
    let log_w = vec![0.0; x.len() / dim];
    let failed = |why: String| Error::input("picture", why, "samples that can be drawn");
    let canvas = draw(Samples { x, dim, log_w: &log_w, groups: 1 }).map_err(failed)?;
    let (png, svg) = (folder.join(format!("{name}.png")), folder.join(format!("{name}.svg")));
    write_atomically(&png, &canvas.png().map_err(failed)?)?;
    write_atomically(&svg, canvas.svg().map_err(failed)?.as_bytes())?;
    println!("  wrote {}", png.display());
    Ok(())
}

fn mixture(device: &Device, arguments: &Arguments, folder: &Path) -> Result<()> {
    let (Target::Mixture(target), _) = Target::open(&arguments.weights.join("gmm40.toml"))? else {
        return Err(Error::input("weights/gmm40.toml", "no mixture", "a mixture"));
    };
    let model = [Model::open(&arguments.weights.join("gmm40-mlp"), None)?.0];
    let (schedule, ..) = model[0].schedule().unwrap_or_else(|| unreachable!("a network has a schedule"));
    let mut options = Options::new(Method::FkcAnneal, schedule);
    options.beta = 2.0;
    (options.t_max, options.t_min) = (1.0, schedule.time_at(0.05_f64.ln()));
    (options.groups, options.particles, options.steps) = (3, arguments.particles, 400);
    options.resample = Policy::Every;
    println!(
        "  40-mode mixture squared: {} groups of {} particles, {} steps, network score",
        options.groups, options.particles, options.steps
    );
    println!("  {:<24} {:>15} {:>14} {:>12}", "", "occupancy TV", "energy W1", "steps/s");
    let truth = square(&target, 0.05);
    for (name, weighted) in [("annealed score alone", false), ("Feynman-Kac corrected", true)] {
        options.weights = weighted;
        let drawn = sample(device, &model, &options, None)?;
        let (tv, w1) = errors(&target, &truth, &drawn, options.groups);
        println!("  {name:<24} {tv:>15.3} {w1:>14.3} {:>12.0}", drawn.timings.particle_steps_per_s);
        let file = if weighted { "mixture-corrected" } else { "mixture-score-alone" };
        picture(folder, file, &drawn.x, 2)?;
    }
    Ok(())
}

/// The square of an isotropic mixture at noise sigma, itself a mixture of all pairs: (normalised
/// weight, mean, variance) of each.
fn square(q: &feynkac::target::Mixture, sigma: f64) -> Vec<(f64, [f64; 2], f64)> {
    let variance = |k: usize| q.scale(k, 0).powi(2) + sigma * sigma;
    let mut pairs = Vec::new();
    for k in 0..q.components() {
        for l in 0..q.components() {
            let (a, b, u, v) = (q.mean(k), q.mean(l), variance(k), variance(l));
            let apart = (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
            let weight = q.weights[k] * q.weights[l] * (-0.5 * apart / (u + v)).exp() / (u + v);
            let joint = u * v / (u + v);
            pairs.push((weight, [joint * (a[0] / u + b[0] / v), joint * (a[1] / u + b[1] / v)], joint));
        }
    }
    let total: f64 = pairs.iter().map(|p| p.0).sum();
    pairs.into_iter().map(|(w, m, v)| (w / total, m, v)).collect()
}

/// Total variation of the mode occupancy and 1-Wasserstein distance of the energies, averaged over
/// groups, against 100,000 exact draws on an even grid of quantiles.
fn errors(
    q: &feynkac::target::Mixture,
    truth: &[(f64, [f64; 2], f64)],
    drawn: &Outcome,
    groups: usize,
) -> (f64, f64) {
    let energy = |x: &[f64]| -2.0 * q.log_density(x, 1.0, 0.05);
    let mode = |x: &[f64]| {
        let shares = q.responsibilities(x, 1.0, 0.05);
        (0..shares.len()).max_by(|&a, &b| shares[a].total_cmp(&shares[b])).unwrap_or(0)
    };
    let mut exact = Vec::new();
    let mut occupancy = vec![0.0; q.components()];
    for (weight, mean, variance) in truth {
        // Radius by quantiles, angle by the golden section: an even cover of each Gaussian.
        let points = (weight * 100_000.0).round() as usize;
        for i in 0..points {
            let radius = (-2.0 * variance * ((i as f64 + 0.5) / points as f64).ln()).sqrt();
            let angle = i as f64 * 2.399_963_229_728_653;
            let x = [mean[0] + radius * angle.cos(), mean[1] + radius * angle.sin()];
            exact.push((energy(&x), weight / points as f64));
            occupancy[mode(&x)] += weight / points as f64;
        }
    }
    let each = drawn.log_w.len() / groups;
    let all = shares(drawn, groups);
    let (mut tv, mut w1) = (0.0, 0.0);
    for g in 0..groups {
        let mut own = vec![0.0; q.components()];
        let mut energies = Vec::new();
        let range = g * each..(g + 1) * each;
        for (x, w) in drawn.x.chunks(2).zip(&all).skip(range.start).take(range.len()) {
            let x = [f64::from(x[0]), f64::from(x[1])];
            let w = w * groups as f64;
            own[mode(&x)] += w;
            energies.push((energy(&x), w));
        }
        tv += 0.5 * own.iter().zip(&occupancy).map(|(a, b)| (a - b).abs()).sum::<f64>() / groups as f64;
        w1 += wasserstein(&mut energies, &mut exact) / groups as f64;
    }
    (tv, w1)
}

/// Area between two weighted distribution functions.
fn wasserstein(a: &mut [(f64, f64)], b: &mut [(f64, f64)]) -> f64 {
    let mut steps: Vec<(f64, f64)> = a.to_vec();
    let (total_a, total_b): (f64, f64) = (a.iter().map(|p| p.1).sum(), b.iter().map(|p| p.1).sum());
    steps.iter_mut().for_each(|p| p.1 /= total_a);
    steps.extend(b.iter().map(|(x, w)| (*x, -w / total_b)));
    steps.sort_by(|p, q| p.0.total_cmp(&q.0));
    let mut gap = 0.0;
    steps
        .windows(2)
        .map(|pair| {
            gap += pair[0].1;
            gap.abs() * (pair[1].0 - pair[0].0)
        })
        .sum()
}
