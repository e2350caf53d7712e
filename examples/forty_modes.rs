//! Forty modes in the plane, annealed to the square and the cube: the score alone, Feynman-Kac correctors that resample at
//! every step, by the ESS, by birth and death or by clocks, with the target's noise and tempered noise.
//!
//! `cargo run --release --example forty_modes -- --output out/forty-modes` writes forty-modes.md and a picture a sampler.

mod experiments;

use std::path::PathBuf;

use clap::Parser;
use experiments::{Size, pages, plane};
use feynkac::Result;
use feynkac::kernels::device::{Device, Request};

#[derive(Parser)]
struct Arguments {
    /// Device to run on.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Folder for the table and pictures.
    #[arg(long, default_value = "out/forty-modes")]
    output: PathBuf,
    /// The mixture.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/gmm40.toml"))]
    model: PathBuf,
    /// Particles of a run.
    #[arg(long, default_value_t = 4000)]
    particles: usize,
    /// Steps.
    #[arg(long, default_value_t = 400)]
    steps: usize,
    /// Independent runs of which each figure is the mean.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..))]
    runs: u16,
    /// Seed.
    #[arg(long, default_value_t = 8)]
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
    plane::write(&device, &plane::open(&arguments.model)?, &[2, 3], size, &arguments.output).map(|_| ())
}
