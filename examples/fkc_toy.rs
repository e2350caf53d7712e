//! Feynman-Kac correctors on the line against quadrature: annealing, guidance, the geometric average, a product and a
//! negation, on four schedules, with weights and without.
//!
//! `cargo run --release --example fkc_toy -- --output out/fkc-toy` writes fkc-toy.md and histograms.

mod experiments;

use std::path::PathBuf;

use clap::Parser;
use experiments::{Size, line, pages};
use feynkac::Result;
use feynkac::kernels::device::{Device, Request};

#[derive(Parser)]
struct Arguments {
    /// Device to run on.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Folder for the table and pictures.
    #[arg(long, default_value = "out/fkc-toy")]
    output: PathBuf,
    /// Particles of a run.
    #[arg(long, default_value_t = 10_000)]
    particles: usize,
    /// Steps.
    #[arg(long, default_value_t = 200)]
    steps: usize,
    /// Independent runs of which each figure is the mean.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..))]
    runs: u16,
    /// Seed.
    #[arg(long, default_value_t = 40)]
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
    line::write(&device, &line::SCHEDULES, size, &arguments.output).map(|_| ())
}
