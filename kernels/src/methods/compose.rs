//! Products of powers q_1^beta_1 ... q_M^beta_M of models that share one forward equation, by any exponents
//! whose sum is above 0: annealing, products, the geometric average that is classifier-free guidance sampled
//! exactly, negation. M. Skreta et al., "Feynman-Kac Correctors in Diffusion", 2025 (arXiv 2503.02819),
//! Prop. 3.1 to 3.3 and D.5. Drift and weight: docs/maths.md (7).
//!
//! With B the sum of the exponents, S = sum beta_i s_i and R = |S|^2 - sum beta_i |s_i|^2, both taken from
//! the first score, from which the others differ by d_i: with D = sum beta_i d_i,
//! S = B s_1 + D and R = (B - 1) s_1 (B s_1 + 2 D) + D^2 - sum beta_i d_i^2. Where B = 1 the large terms are
//! gone instead of cancelling.

use cubecl::prelude::*;

use super::{Coeffs, Joint, Method, Move, Needs, powers};
use crate::models::MAX_MODELS;

/// See the page.
pub struct Compose;

impl Compose {
    /// Scores of one model.
    pub const ONE: Needs = Needs { models: (1, 1), vjp: false, weights: true, densities: false };
    /// Scores of two models or more.
    pub const SEVERAL: Needs = Needs { models: (2, MAX_MODELS), vjp: false, weights: true, densities: false };
    /// Scores of any number of models.
    pub const ANY: Needs = Needs { models: (1, MAX_MODELS), vjp: false, weights: true, densities: false };
}

#[cube]
impl Method for Compose {
    fn coordinate<N: Size>(
        scores: &Sequence<Vector<f32, N>>,
        _shares: &Sequence<Vector<f32, N>>,
        _x: Vector<f32, N>,
        c: &Coeffs,
        #[comptime] models: usize,
    ) -> Move<N> {
        let first = scores[0];
        let mut total = c.beta(0usize);
        let mut apart = Vector::<f32, N>::new(0.0f32);
        let mut square = Vector::<f32, N>::new(0.0f32);
        #[unroll]
        for m in 1..models {
            let beta = c.beta(m);
            total += beta;
            let own = scores[m] - first;
            let pulled = Vector::new(beta) * own;
            apart += pulled;
            square = fma(pulled, own, square);
        }
        let score = fma(Vector::new(total), first, apart);
        let shared = Vector::new(total - 1.0f32) * first * (score + apart);
        Move::<N> { score, rate: fma(apart, apart, shared) - square, back: score }
    }

    fn joint<N: Size>(log_q: &Sequence<Vector<f32, N>>, c: &Coeffs, #[comptime] models: usize) -> Joint<N> {
        powers::<N>(log_q, c, models)
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
    //! The same in f64, term by term.

    use crate::methods::oracle::{Law, Local, Turn, nothing, powers};

    /// All of it.
    pub const LAW: Law = Law { coordinate, log_p: powers, whole: nothing };

    /// One coordinate.
    pub fn coordinate(at: &Local) -> Turn {
        let pairs = || at.scores.iter().zip(&at.c.beta);
        let score: f64 = pairs().map(|(s, b)| b * s).sum();
        let rate = score * score - pairs().map(|(s, b)| b * s * s).sum::<f64>();
        Turn { score, rate, back: score }
    }
}
