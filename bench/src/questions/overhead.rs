//! What a step costs before it does anything: 64 particles, for which the work is nothing. Elements are steps times
//! 64; a launch or two each, and many in one launch.

use criterion::Criterion;
use feynkac::{Options, Policy};

use super::{annealed, forty_modes, steps_of};
use crate::{device, group};

const PARTICLES: usize = 64;
/// Steps that are timed.
const STEPS: usize = 256;

/// Asks.
pub fn ask(criterion: &mut Criterion) {
    let device = device();
    let models = [forty_modes()];
    let mut group = group(criterion, &device, "overhead");
    for (name, at_once) in [("launches", 1), ("together", 0)] {
        for (policy, resample) in [("never", Policy::Never), ("every", Policy::Every)] {
            let options = Options { at_once, ..annealed(PARTICLES, resample) };
            let name = format!("{name}-{policy}");
            steps_of(&mut group, &device, (&name, STEPS), (&models, &options), STEPS);
        }
    }
    group.finish();
}
