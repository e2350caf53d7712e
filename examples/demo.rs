//! The main job: digits of every class by Feynman-Kac corrected guidance, and a 40-mode mixture
//! annealed to its square, both with trained networks read from `weights/`; once with the weights
//! and once without, which is what most samplers do.
//!
//! `cargo run --release --example demo -- --every-device --output out`

mod experiments;

use std::path::{Path, PathBuf};

use clap::Parser;
use experiments::digits::heaviest;
use experiments::{plane, shares};
use feynkac::classifier::Classifier;
use feynkac::cli::picture::{Samples, draw};
use feynkac::kernels::device::{Backend, Device, Request};
use feynkac::weights::write_atomically;
use feynkac::{Error, Method, Model, Options, Policy, Result, sample};

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
            let shares = shares(&drawn.log_w, options.groups);
            right +=
                classes.iter().zip(&shares).filter(|(c, _)| **c == class).map(|(_, w)| w).sum::<f64>() / 10.0;
            ess += drawn.ess.iter().map(|e| e.last().copied().unwrap_or(0.0)).sum::<f64>()
                / (10 * options.groups) as f64;
            speed += drawn.timings.particle_steps_per_s / 10.0;
            all.extend(heaviest(&drawn, options.groups, 6));
        }
        println!("  {name:<24} {:>13.1} % {ess:>14.1} {speed:>12.0}", 100.0 * right);
        let file = if weighted { "digits-corrected" } else { "digits-guidance-alone" };
        picture(folder, file, &all, 64)?;
    }
    Ok(())
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
    let target = plane::open(&arguments.weights.join("gmm40.toml"))?;
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
    let truth = plane::Truth::new(&target, 2, 0.05);
    for (name, weighted) in [("annealed score alone", false), ("Feynman-Kac corrected", true)] {
        options.weights = weighted;
        let drawn = sample(device, &model, &options, None)?;
        let [(tv, _), (w1, _), _] = plane::averages(&truth.of_groups(&drawn, options.groups));
        // Energies of the square are twice those of the mixture.
        let w1 = 2.0 * w1;
        println!("  {name:<24} {tv:>15.3} {w1:>14.3} {:>12.0}", drawn.timings.particle_steps_per_s);
        let file = if weighted { "mixture-corrected" } else { "mixture-score-alone" };
        picture(folder, file, &drawn.x, 2)?;
    }
    Ok(())
}
