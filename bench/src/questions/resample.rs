//! Particles a second of systematic resampling alone, of one group: records of the blocks, decision, prefix sums and
//! ancestors. By size, and at 2^20 by the shape of the weights, which must not matter. Then of whole steps, by the
//! scheme and by when it resamples.

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use feynkac::kernels::device::Device;
use feynkac::kernels::passes::resample::oracle::{systematic, word};
use feynkac::kernels::passes::weights::Weights;
use feynkac::kernels::passes::weights::oracle::integers;
use feynkac::registry::SCHEMES;
use feynkac::{Options, Policy};

use super::{annealed, forty_modes, steps_of};
use crate::problem::{Problem, SEED};
use crate::{Work, device, group, measure};

/// Particles and steps of the runs.
const RUN: (usize, usize) = (1 << 16, 16);

/// Asks.
pub fn ask(criterion: &mut Criterion) {
    let device = device();
    let mut sizes = group(criterion, &device, "resample");
    for power in (10..=22).step_by(2) {
        one(&mut sizes, &device, "spread", &spread(1 << power));
    }
    sizes.finish();
    let mut shapes = group(criterion, &device, "resample-shapes");
    for (name, weights) in shaped(1 << 20) {
        one(&mut shapes, &device, name, &weights);
    }
    shapes.finish();
    let models = [forty_modes()];
    let mut runs = group(criterion, &device, "resample-runs");
    for &(scheme, name, _) in SCHEMES {
        for (policy, when) in [("every", Policy::Every), ("ess", Policy::Ess(0.5)), ("never", Policy::Never)]
        {
            let options = Options { scheme, ..annealed(RUN.0, when) };
            let name = format!("{name}-{policy}");
            steps_of(&mut runs, &device, (&name, options.particles), (&models, &options), RUN.1);
        }
    }
    runs.finish();
}

/// In [0, 1), in no order.
fn fraction(i: usize) -> f64 {
    (i as f64 * 0.618_033_988_749_895).fract()
}

/// Weights of a spread of e^8.
fn spread(n: usize) -> Vec<f32> {
    (0..n).map(|i| (-8.0 * fraction(i)).exp() as f32).collect()
}

fn shaped(n: usize) -> Vec<(&'static str, Vec<f32>)> {
    let random = spread(n);
    let mut one_hot = vec![0.0; n];
    one_hot[n / 3] = 1.0;
    let mut heavy = vec![1.0e-9; n];
    heavy[n - 1024..].copy_from_slice(&random[n - 1024..]);
    let (mut leading, mut trailing) = (random.clone(), random.clone());
    leading[..n / 2].fill(0.0);
    trailing[n / 2..].fill(0.0);
    vec![
        ("spread", random),
        ("uniform", vec![0.5; n]),
        ("one-hot", one_hot),
        ("heavy-last-block", heavy),
        ("leading-zeros", leading),
        ("trailing-zeros", trailing),
    ]
}

fn one(group: &mut BenchmarkGroup<WallTime>, device: &Device, name: &str, weights: &[f32]) {
    let problem = Problem::new(device.clone(), Weights::Linear, weights, 1).expect("buffers");
    let particles = weights.len();
    let work = Work { elements: particles as u64, bytes: 8 * particles as u64 };
    let launch = || problem.resample().expect("a resampling that ends");
    measure(group, (name, particles), work, || check(&problem, weights), || {}, launch);
}

/// Ancestors as the oracle has them, all of them.
fn check(problem: &Problem, weights: &[f32]) -> Result<(), String> {
    problem.resample().map_err(|error| error.to_string())?;
    let found = problem.device.download(&problem.group.ancestors).map_err(|error| error.to_string())?;
    let wanted = systematic(&integers(weights, problem.group.of.block()), word(SEED, 0));
    match found.iter().zip(&wanted).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(i) => Err(format!("slot {i} descends from {}, wanted {}", found[i], wanted[i])),
    }
}
