//! Particle-steps a second by the number of coordinates, resampled after every step: a standard normal, so that
//! memory is what counts; by the rule that carries no scores, and by the one that does.

use criterion::Criterion;
use feynkac::target::{Mixture, Scales};
use feynkac::{Model, Options, Policy, Rule, Target};

use super::{annealed, steps_of};
use crate::{device, group};

/// Steps that are timed.
const STEPS: usize = 4;
/// Coordinates, and particles: about as many numbers each time.
const SIZES: [(usize, usize); 3] = [(2, 1 << 18), (64, 1 << 14), (784, 1 << 10)];

/// A standard normal in `dim` dimensions.
pub(crate) fn standard(dim: usize) -> Model {
    let (weights, means, scales) = (vec![1.0], vec![0.0; dim], Scales::Isotropic(vec![1.0]));
    Model::Analytic(Target::Mixture(Mixture { dim, weights, means, scales }))
}

/// Asks.
pub fn ask(criterion: &mut Criterion) {
    let device = device();
    let mut group = group(criterion, &device, "dims");
    for (name, rule) in [("left", Rule::Left), ("trap", Rule::Trap)] {
        for (dim, particles) in SIZES {
            let options = Options { rule, roots: false, ..annealed(particles, Policy::Every) };
            steps_of(&mut group, &device, (name, dim), (&[standard(dim)], &options), STEPS);
        }
    }
    group.finish();
}
