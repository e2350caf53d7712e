//! A step of one particle in f64, from the formulas of docs/maths.md (7) and (8). No kernel code
//! is shared.

use crate::methods::StepCoeffs;
use crate::prims::philox::oracle::{Stream, normal};
use crate::prims::philox::{purpose, tag};

/// (S, R) of one coordinate from the scores of the models there.
pub type Coordinate = fn(scores: &[f64], beta: &[f64]) -> (f64, f64);

/// One particle.
#[derive(Clone, Debug, PartialEq)]
pub struct Particle {
    /// Position `[dim]`.
    pub x: Vec<f64>,
    /// Score of each model there `[models][dim]`.
    pub scores: Vec<Vec<f64>>,
    /// Log-weight.
    pub log_w: f64,
    /// Log-density of the target there (only the exact rule uses it).
    pub log_p: f64,
}

/// Where and as whom the particle moves.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// The group's seed.
    pub seed: u64,
    /// Slot within the group.
    pub slot: usize,
    /// Step.
    pub step: usize,
}

#[allow(clippy::needless_range_loop)] // coordinates run over five vectors at once
/// Moves `parent` to the next level. `evaluate` gives (scores, log-densities) of the models at x'.
pub fn step(
    parent: &Particle,
    at: At,
    c: &StepCoeffs,
    method: Coordinate,
    exact: bool,
    evaluate: impl Fn(&[f64]) -> (Vec<Vec<f64>>, Vec<f64>),
) -> Particle {
    let dim = parent.x.len();
    let stream =
        Stream { seed: at.seed, slot: at.slot as u32, step: at.step as u32, tag: tag(purpose::MOVE, 0) };
    let column = |scores: &[Vec<f64>], k: usize| scores.iter().map(|s| s[k]).collect::<Vec<_>>();
    let mut x = vec![0.0; dim];
    let (mut rate_old, mut forward) = (0.0, 0.0);
    for k in 0..dim {
        let (follow, rate) = method(&column(&parent.scores, k), &c.beta);
        let z = normal(stream, k, dim);
        x[k] = c.shrink * parent.x[k] + c.drift * follow + c.noise * z;
        rate_old += rate;
        forward += 0.5 * z * z;
    }
    let (scores, log_q) = evaluate(&x);
    let log_p = log_q.iter().zip(&c.beta).map(|(q, b)| b * q).sum::<f64>();
    let (mut rate_new, mut backward) = (0.0, 0.0);
    for k in 0..dim {
        let (follow, rate) = method(&column(&scores, k), &c.beta);
        rate_new += rate;
        let back = parent.x[k] - c.back_shrink * x[k] - c.back_drift * follow;
        backward -= 0.5 * c.back_precision * back * back;
    }
    let mut log_w = parent.log_w + c.rate_old * rate_old + c.rate_new * rate_new + c.constant;
    if exact {
        log_w += c.exact * (log_p - parent.log_p + forward + backward);
    }
    Particle { x, scores, log_w, log_p }
}
