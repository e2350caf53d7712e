//! A mixture sum w_i q_i of models, by its exact score: docs/maths.md (7.5). M. Skreta et al., "Feynman-Kac
//! Correctors in Diffusion", 2025 (arXiv 2503.02819); the score of a mixture by densities: Y. Du et al., "Reduce,
//! Reuse, Recycle", 2023 (arXiv 2302.11552).
//!
//! The rows of the coefficient table hold ln w_i where others have exponents. The mixture obeys the models' own
//! forward equation, so R = 0: all that the weights have to correct is the length of a step (exact rule).

use cubecl::prelude::*;

use super::{Coeffs, Joint, Method, Move, Needs};
use crate::models::MAX_MODELS;
use crate::prims::math::{exp2_below, larger, ln};
use crate::prims::monoid::ZERO_WEIGHT;

/// See the page.
pub struct Mixture;

impl Mixture {
    /// Scores and log-densities of two models or more.
    pub const NEEDS: Needs = Needs { models: (2, MAX_MODELS), vjp: false, weights: true, densities: true };
}

#[cube]
impl Method for Mixture {
    fn coordinate<N: Size>(
        scores: &Sequence<Vector<f32, N>>,
        shares: &Sequence<Vector<f32, N>>,
        _x: Vector<f32, N>,
        _c: &Coeffs,
        #[comptime] models: usize,
    ) -> Move<N> {
        // From the first score, as the others may be close to it.
        let first = scores[0];
        let mut score = first;
        #[unroll]
        for m in 1..models {
            score = fma(shares[m], scores[m] - first, score);
        }
        Move::<N> { score, rate: Vector::new(0.0f32), back: score }
    }

    fn joint<N: Size>(log_q: &Sequence<Vector<f32, N>>, c: &Coeffs, #[comptime] models: usize) -> Joint<N> {
        let log2_e = Vector::new(std::f32::consts::LOG2_E);
        let mut max = Vector::<f32, N>::new(ZERO_WEIGHT);
        #[unroll]
        for m in 0..models {
            max = larger::<N>(max, log_q[m] + Vector::new(c.beta(m)));
        }
        let mut sum = Vector::<f32, N>::new(0.0f32);
        let mut parts = Sequence::<Vector<f32, N>>::new();
        #[unroll]
        for m in 0..models {
            let part = exp2_below::<N>((log_q[m] + Vector::new(c.beta(m)) - max) * log2_e);
            sum += part;
            parts.push(part);
        }
        let mut shares = Sequence::<Vector<f32, N>>::new();
        #[unroll]
        for m in 0..models {
            shares.push(parts[m] / sum);
        }
        Joint::<N> { log_p: max + ln::<N>(sum), shares }
    }

    fn whole<N: Size>(
        _laplacians: &Sequence<Vector<f32, N>>,
        _c: &Coeffs,
        #[comptime] _models: usize,
    ) -> Vector<f32, N> {
        Vector::new(0.0f32)
    }
}

pub mod oracle {
    //! The same in f64.

    use crate::methods::StepCoeffs;
    use crate::methods::oracle::{Law, Local, Turn, nothing};

    /// All of it.
    pub const LAW: Law = Law { coordinate, log_p, whole: nothing };

    /// ln sum w_i q_i.
    pub fn log_p(log_q: &[f64], c: &StepCoeffs) -> f64 {
        let terms = || log_q.iter().zip(&c.beta).map(|(q, w)| q + w);
        let top = terms().fold(f64::NEG_INFINITY, f64::max);
        top + terms().map(|t| (t - top).exp()).sum::<f64>().ln()
    }

    /// The score, sum of r_i s_i with r_i = w_i q_i / p.
    pub fn coordinate(at: &Local) -> Turn {
        let log_p = log_p(at.log_q, at.c);
        let share = |i: usize| (at.log_q[i] + at.c.beta[i] - log_p).exp();
        let score: f64 = at.scores.iter().enumerate().map(|(i, s)| share(i) * s).sum();
        Turn { score, rate: 0.0, back: score }
    }
}
