//! The same, plainly.

use crate::methods::StepCoeffs;
use crate::methods::oracle::Law;
use crate::passes::init::Start;
use crate::passes::step::oracle::{Particle, Point, follow};
use crate::passes::step::oracle_twist::{Twisted, ratio};

/// The first log-weight of a particle that starts at `x`, before the target's density is added.
pub fn begin(start: &Start, x: &[f64]) -> f64 {
    let minus_log_density = |x: f64, mean: f64| {
        let z = (x - mean) / start.std;
        0.5 * z * z + start.std.ln() + 0.5 * std::f64::consts::TAU.ln()
    };
    let sum: f64 = x.iter().zip(&start.mean).map(|(&x, &mean)| minus_log_density(x, mean)).sum();
    start.offset + if start.weighted { sum } else { 0.0 }
}

/// The noise that leads from `parent` to `x`.
pub fn noise(parent: &Particle, x: &[f64], c: &StepCoeffs, law: Law) -> Vec<f64> {
    let point = Point { scores: parent.scores.clone(), ..Point::default() };
    let score = follow(parent, Some(&point), c, &law);
    (0..x.len()).map(|k| (x[k] - c.shrink * parent.x[k] - c.drift * score[k]) / c.noise).collect()
}

/// The log-weight of a twisted particle that goes from `parent` to `x`, before log psi there is added. Where a step puts
/// coordinates in their place it is what the step says. The step is as broad as the model has `said`, if it did.
pub fn twisted(parent: &Twisted, x: &[f64], c: &StepCoeffs, said: &[f64]) -> f64 {
    parent.log_w + ratio(parent, x, c, said) - parent.told.log_psi
}
