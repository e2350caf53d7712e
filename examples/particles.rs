//! Systems of particles learnt at temperature 2 and annealed to lower ones: four in the plane (DW-4) to 1, thirteen of
//! Lennard-Jones (LJ-13) to 1.5 and 0.8; with Feynman-Kac weights and without, with the target's noise and tempered noise.
//!
//! `cargo run --release --example particles -- --output out/particles` writes particles.md.

mod experiments;

use std::path::PathBuf;

use clap::Parser;
use experiments::particles::{LEARNT, System};
use experiments::{Size, pages, particles};
use feynkac::Result;
use feynkac::kernels::device::{Device, Request};

#[derive(Parser)]
struct Arguments {
    /// Device to run on.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Folder with the networks and what they are judged by.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/weights"))]
    weights: PathBuf,
    /// Folder for the table.
    #[arg(long, default_value = "out/particles")]
    output: PathBuf,
    /// Systems: dw4, lj13.
    #[arg(long, value_delimiter = ',', default_value = "dw4,lj13")]
    systems: Vec<String>,
    /// Particles of a run.
    #[arg(long, default_value_t = 1000)]
    particles: usize,
    /// Steps.
    #[arg(long, default_value_t = 400)]
    steps: usize,
    /// Independent runs of which each figure is the mean.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..))]
    runs: u16,
    /// Also weights of which this quantile cuts what a step adds, in (0, 1).
    #[arg(long)]
    cut: Option<f64>,
    /// Seed.
    #[arg(long, default_value_t = 10)]
    seed: u64,
}

fn main() -> std::process::ExitCode {
    pages::exit(everything(&Arguments::parse()))
}

fn everything(arguments: &Arguments) -> Result<()> {
    let device = Device::open(arguments.device.parse::<Request>()?)?;
    let size = Size {
        particles: arguments.particles,
        steps: arguments.steps,
        runs: usize::from(arguments.runs),
        seed: arguments.seed,
    };
    let wanted = |name: &str| arguments.systems.iter().any(|system| system == name);
    let mut what = Vec::new();
    if wanted("dw4") {
        what.extend([LEARNT, 1.0].map(|t| (System::Dw4, t)));
    }
    if wanted("lj13") {
        what.extend([LEARNT, 1.5, 0.8].map(|t| (System::Lj13, t)));
    }
    particles::write(&device, &arguments.weights, &what, arguments.cut, size, &arguments.output).map(|_| ())
}
