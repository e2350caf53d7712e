//! Handwritten digits by the twisted sampler: of a class, as a classifier says, and with half or a quarter of the pixels
//! known; by 1, 4, 16 and 64 particles.
//!
//! `cargo run --release --example mnist_twisted -- --output out/mnist-twisted` writes classes.md, known.md
//! and pictures; `--images 10 --particles 1,4` is a small one.

mod experiments;

use std::path::PathBuf;

use clap::Parser;
use experiments::{Size, conditioned, pages};
use feynkac::Result;
use feynkac::kernels::device::{Device, Request};

#[derive(Parser)]
struct Arguments {
    /// Device to run on.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Folder with the networks.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/weights"))]
    weights: PathBuf,
    /// Folder for the tables and pictures.
    #[arg(long, default_value = "out/mnist-twisted")]
    output: PathBuf,
    /// Particles of an image.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64", value_parser = clap::value_parser!(u16).range(1..))]
    particles: Vec<u16>,
    /// Images of each row, ten classes in turn.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(10..))]
    images: u16,
    /// Images of which a part is known.
    #[arg(long, default_value_t = 20)]
    known: u16,
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
    let particles: Vec<usize> = arguments.particles.iter().map(|k| usize::from(*k)).collect();
    let size = Size {
        particles: 0,
        steps: arguments.steps,
        runs: usize::from(arguments.images),
        seed: arguments.seed,
    };
    let digits = conditioned::Digits::open(&device, &arguments.weights)?;
    conditioned::by_class(&device, &digits, 10, &particles, size, &arguments.output)?;
    let size = Size { runs: usize::from(arguments.known), ..size };
    conditioned::by_pixels(&device, &digits, &particles, size, &arguments.output).map(|_| ())
}
