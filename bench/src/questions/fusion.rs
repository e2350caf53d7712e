//! What fusing saves: the step in one launch, and as move and weigh with everything between them in memory.

use criterion::Criterion;
use feynkac::{Options, Policy};

use super::{annealed, forty_modes, steps_of};
use crate::{device, group};

/// Steps that are timed.
const STEPS: usize = 8;

/// Asks.
pub fn ask(criterion: &mut Criterion) {
    let device = device();
    let models = [forty_modes()];
    let mut group = group(criterion, &device, "fusion");
    for (name, unfused) in [("fused", false), ("unfused", true)] {
        for power in [12, 16, 20] {
            let options = Options { unfused, ..annealed(1 << power, Policy::Every) };
            steps_of(&mut group, &device, (name, options.particles), (&models, &options), STEPS);
        }
    }
    group.finish();
}
