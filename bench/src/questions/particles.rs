//! Particle-steps a second of the whole step: the 40-mode mixture annealed to its square, closed
//! form, in populations of 2^10 to 2^22; with no resampling, and resampled after every step.

use criterion::Criterion;
use feynkac::Policy;

use super::{annealed, forty_modes, steps_of};
use crate::{device, group};

/// Steps that are timed, the first of a run of 400.
const STEPS: usize = 8;

/// Asks.
pub fn ask(criterion: &mut Criterion) {
    let device = device();
    let models = [forty_modes()];
    let mut group = group(criterion, &device, "particles");
    for (name, policy) in [("keep", Policy::Never), ("resample", Policy::Every)] {
        for power in (10..=22).step_by(2) {
            let options = annealed(1 << power, policy);
            steps_of(&mut group, &device, (name, options.particles), (&models, &options), STEPS);
        }
    }
    group.finish();
}
