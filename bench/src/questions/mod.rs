//! What the benchmarks ask, a file a question. `make bench` asks all of them.

pub mod convolutions;
pub mod dims;
pub mod fusion;
pub mod networks;
pub mod overhead;
pub mod particles;
pub mod resample;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use feynkac::kernels::device::{Counts, Device};
use feynkac::run::Run;
use feynkac::verify::verify;
use feynkac::{Method, Model, Options, Policy, Schedule, Target};

use crate::{Work, measure};

/// A question by its name.
pub type Question = (&'static str, fn(&mut Criterion));

/// All of them.
pub const QUESTIONS: &[Question] = &[
    ("particles", particles::ask),
    ("dims", dims::ask),
    ("resample", resample::ask),
    ("fusion", fusion::ask),
    ("overhead", overhead::ask),
    ("networks", networks::ask),
    ("convolutions", convolutions::ask),
];

/// Particles of the run that is checked, and its steps, at most.
const CHECKED: (usize, usize) = (600, 20);

/// The forty-mode mixture in the plane that the README draws.
pub(crate) fn forty_modes() -> Model {
    let text = include_str!("../../../weights/gmm40.toml");
    Model::Analytic(Target::parse("weights/gmm40.toml".as_ref(), text).expect("the mixture").0)
}

/// A run of `particles` annealed to the square of its model.
pub(crate) fn annealed(particles: usize, policy: Policy) -> Options {
    let schedule = Schedule::Ve { sigma_min: 0.05, sigma_max: 60.0 };
    Options {
        beta: 2.0,
        particles,
        steps: 400,
        resample: policy,
        ..Options::new(Method::FkcAnneal, schedule)
    }
}

/// Walks a short run of a few particles beside its oracles.
pub(crate) fn walked(device: &Device, models: &[Model], options: &Options) -> Result<(), String> {
    let (particles, steps) = (options.particles.min(CHECKED.0), options.steps.min(CHECKED.1));
    let few = Options { particles, steps, at_once: 1, ..options.clone() };
    let verdict = verify(device, models, &few).map_err(|error| error.to_string())?;
    if verdict.agrees() { Ok(()) } else { Err(verdict.to_string()) }
}

/// Times the first `steps` steps of a run, once its like has been walked beside the oracles.
pub(crate) fn steps_of(
    group: &mut BenchmarkGroup<WallTime>,
    device: &Device,
    (name, size): (&str, usize),
    (models, options): (&[Model], &Options),
    steps: usize,
) {
    let run = Run::new(device, models, options).expect("a run");
    let begin = || {
        run.begin().expect("a start");
        device.sync().expect("a start that ends");
    };
    let advance = || {
        run.advance_through(0..steps).expect("steps");
        device.sync().expect("steps that end");
    };
    let check = || walked(device, models, options);
    measure(group, (name, size), work(device, &run, steps), check, begin, advance);
}

/// What the launches of the first steps must move, as the device layer counts it; kernels are compiled after it.
fn work(device: &Device, run: &Run, steps: usize) -> Work {
    let moved = |of: Counts| of.bytes_read + of.bytes_written;
    // Where steps are replayed, this records them.
    run.open().expect("an opening");
    run.begin().expect("a start");
    let entered = device.counts();
    run.advance_through(0..steps).expect("steps");
    let left = device.counts();
    Work { elements: (run.of.particles() * steps) as u64, bytes: moved(left) - moved(entered) }
}
