//! Handwritten digits by guidance of exponent 1 to 4, as usual and with Feynman-Kac weights: a judge of its own, the
//! classes' mean images and spreads.
//!
//! `cargo run --release --example digits_sweep -- --output out/digits-sweep` writes digits-sweep.md and a picture a
//! sampler; with `--set mnist` of the images of 28x28.

mod experiments;

use std::path::PathBuf;

use clap::Parser;
use experiments::{Size, digits, pages};
use feynkac::Result;
use feynkac::kernels::device::{Device, Request};

#[derive(Parser)]
struct Arguments {
    /// Which digits.
    #[arg(long, value_enum, default_value = "digits8")]
    set: digits::Set,
    /// Device to run on.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Folder with the networks.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/weights"))]
    weights: PathBuf,
    /// Folder for the table and pictures.
    #[arg(long, default_value = "out/digits-sweep")]
    output: PathBuf,
    /// Guidance exponents.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3,4")]
    exponents: Vec<f64>,
    /// Particles of a group.
    #[arg(long, default_value_t = 16)]
    particles: usize,
    /// Groups of each class.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    groups: u16,
    /// Steps.
    #[arg(long, default_value_t = 100)]
    steps: usize,
    /// Seed.
    #[arg(long, default_value_t = 0)]
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
        runs: usize::from(arguments.groups),
        seed: arguments.seed,
    };
    let digits = digits::Digits::open(&device, &arguments.weights, arguments.set)?;
    digits::write(&device, &digits, &arguments.exponents, 10, size, &arguments.output).map(|_| ())
}
