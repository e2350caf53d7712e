//! The chain that is twisted: the model's own kernels from level to level, the last of them to the clean state.
//! docs/maths.md (13.4).

use feynkac_kernels::methods::{RANGE, StepCoeffs};

use super::{Chain, Task, Twisting};
use crate::model::Noise;
use crate::schedule::Schedule;

/// The time of the clean state, below all noise times: where a schedule ends there is still noise.
pub(crate) const CLEAN: f64 = -1.0;

/// The level at time `t`, which may be [`CLEAN`].
pub(crate) fn noise(schedule: &Schedule, t: f64) -> Noise {
    if t == CLEAN {
        return Noise { t, alpha: 1.0, sigma: 0.0 };
    }
    Noise { t, alpha: schedule.alpha(t), sigma: schedule.sigma(t) }
}

/// The variance that the forward chain adds between `next` and `now`.
pub(super) fn added(now: Noise, next: Noise) -> f64 {
    now.sigma.powi(2) - (now.alpha / next.alpha * next.sigma).powi(2)
}

/// Factors of x and of the score in the mean of the model's kernel from level `at`, and its variance.
fn kernel(chain: Chain, levels: &[Noise], at: usize) -> (f64, f64, f64) {
    let (now, next) = (levels[at], levels[at + 1]);
    let (kept, forward) = (now.alpha / next.alpha, added(now, next));
    let posterior = |now: Noise, next: Noise| added(now, next) * (next.sigma / now.sigma).powi(2);
    let variance = match chain {
        Chain::Truncated | Chain::Learned if next.sigma == 0.0 => 0.0,
        Chain::Forward | Chain::Truncated | Chain::Learned => forward,
        Chain::Clipped if next.sigma == 0.0 && at > 0 => posterior(levels[at - 1], now),
        Chain::Posterior | Chain::Clipped => posterior(now, next),
    };
    (1.0 / kept, forward / kept, variance)
}

/// See [`StepCoeffs::range`].
fn range((low, high): (f64, f64), now: Noise, drift: f64, variance: f64) -> [f64; RANGE] {
    // With s = (alpha D - x)/sigma^2 the mean gains this with D.
    let gain = drift * now.alpha / now.sigma.powi(2);
    let noise = now.sigma.powi(2);
    [gain / now.alpha, gain * noise / now.alpha, gain * low, gain * high, 1.0 / variance.sqrt()]
}

/// The numbers of the step from level `at`, over those of the level.
pub(crate) fn row(
    twisting: &Twisting,
    (levels, at): (&[Noise], usize),
    dim: usize,
    level: StepCoeffs,
) -> StepCoeffs {
    let (now, next) = (levels[at], levels[at + 1]);
    let (shrink, drift, variance) = kernel(twisting.chain, levels, at);
    let pins = twisting.task.pins() && (twisting.replaces() || next.sigma == 0.0);
    // What is put in its place is drawn by the model, and so is a step without noise.
    let (lean, broader) = match variance {
        _ if pins => (0.0, 1.0),
        0.0 => (0.0, 1.0),
        _ => (twisting.lean, twisting.proposal_variance),
    };
    let log_normaliser = -0.5 * (std::f64::consts::TAU * variance).ln();
    let constant = match &twisting.task {
        Task::Inpaint { mask, .. } if pins => mask.iter().filter(|m| **m).count() as f64 * log_normaliser,
        Task::Placement { motif, offsets, .. } if pins => {
            motif.len() as f64 * log_normaliser - (offsets.len() as f64).ln()
        }
        _ => 0.5 * dim as f64 * broader.ln(),
    };
    let precision = if pins { 1.0 / variance } else { 0.0 };
    StepCoeffs {
        shrink,
        drift,
        noise: (broader * variance).sqrt(),
        constant,
        range: match twisting.range {
            Some(bounds) if lean > 0.0 => range(bounds, now, drift, variance),
            // Nothing to cut off.
            Some(_) => [0.0, 0.0, f64::from(f32::MIN), f64::from(f32::MAX), 0.0],
            None => [0.0; RANGE],
        },
        width: match (twisting.chain, next.sigma / now.sigma) {
            // A network that predicts the noise is told apart from its score by -1/sigma, and so is what it says beside it.
            (Chain::Learned, ratio) if ratio > 0.0 => [0.5 * ratio.ln(), 0.5 * ratio.ln() * now.sigma],
            _ => [0.0; 2],
        },
        side: [lean * variance, lean * variance.sqrt(), broader.sqrt() - 1.0, precision],
        ..level
    }
}
