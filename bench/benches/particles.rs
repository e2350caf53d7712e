//! Particle-steps a second of the whole step: the 40-mode mixture annealed to its square, closed
//! form, in populations of 2^10 to 2^18; with no resampling, and resampled after every step.

use std::path::Path;

use criterion::Criterion;
use feynkac::kernels::device::{Counts, Device};
use feynkac::run::Run;
use feynkac::verify::verify;
use feynkac::{Method, Model, Options, Policy, Schedule};
use feynkac_bench::{Work, criterion, device, group, measure};

/// Steps that are timed, the first of a run of 400.
const STEPS: usize = 8;
/// Particles of the run that is checked, and its steps.
const CHECKED: (usize, usize) = (600, 40);

fn main() {
    let mut criterion = criterion();
    particles(&mut criterion);
    criterion.final_summary();
}

fn particles(criterion: &mut Criterion) {
    let device = device();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../weights/gmm40.toml");
    let models = [Model::open(&path, None).expect("the mixture").0];
    let mut group = group(criterion, &device, "particles");
    for (name, policy) in [("keep", Policy::Never), ("resample", Policy::Every)] {
        let mut options = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 0.05, sigma_max: 60.0 });
        (options.beta, options.resample) = (2.0, policy);
        (options.particles, options.steps) = CHECKED;
        let verdict = verify(&device, &models, &options).map_err(|error| error.to_string());
        options.steps = 400;
        for power in (10..=18).step_by(2) {
            options.particles = 1 << power;
            let run = Run::new(&device, &models, &options).expect("a run");
            let check = || match &verdict {
                Ok(verdict) if verdict.agrees() => Ok(()),
                Ok(verdict) => Err(verdict.to_string()),
                Err(error) => Err(error.clone()),
            };
            let begin = || {
                run.begin().expect("a start");
                device.sync().expect("a start that ends");
            };
            let steps = || {
                (0..STEPS).try_for_each(|step| run.advance(step)).expect("steps");
                device.sync().expect("steps that end");
            };
            measure(&mut group, (name, options.particles), work(&device, &run), check, begin, steps);
        }
    }
    group.finish();
}

/// What the launches of the timed steps must move, as the device layer counts it.
fn work(device: &Device, run: &Run) -> Work {
    run.begin().and_then(|()| run.advance(0)).expect("a step");
    let entered = device.counts();
    (1..=STEPS).try_for_each(|step| run.advance(step)).expect("steps");
    let left = device.counts();
    let moved = |of: Counts| of.bytes_read + of.bytes_written;
    Work { elements: (run.of.particles() * STEPS) as u64, bytes: moved(left) - moved(entered) }
}
