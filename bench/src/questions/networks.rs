//! Particle-steps a second with a dense network of four layers as the denoiser, by its width; resampled after every
//! step.

use criterion::Criterion;
use feynkac::{Grid, Options, Policy, Rule, Schedule};

use super::{annealed, steps_of};
use crate::peers::{SIGMA, network};
use crate::{device, group};

/// Steps that are timed.
const STEPS: usize = 2;
/// Coordinates and widths.
const SHAPES: [(usize, usize); 4] = [(2, 64), (2, 128), (2, 256), (64, 256)];

/// Options of a run on the network's own schedule.
pub(crate) fn on_its_schedule(particles: usize) -> Options {
    Options {
        schedule: Schedule::Edm,
        grid: Grid::LogSnr,
        t_max: SIGMA.0,
        t_min: SIGMA.1,
        rule: Rule::Left,
        roots: false,
        steps: 10,
        ..annealed(particles, Policy::Every)
    }
}

/// Asks.
pub fn ask(criterion: &mut Criterion) {
    let device = device();
    let mut group = group(criterion, &device, "networks");
    let options = on_its_schedule(1 << 12);
    for (dim, width) in SHAPES {
        let name = format!("dim-{dim}");
        steps_of(&mut group, &device, (&name, width), (&[network(dim, width)], &options), STEPS);
    }
    group.finish();
}
