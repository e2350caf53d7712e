//! Annealed target q^beta. M. Skreta et al., "Feynman-Kac Correctors in Diffusion", 2025
//! (arXiv 2503.02819), Prop. 3.2. Drift and weight: docs/maths.md (7.1).

use cubecl::prelude::*;

use super::{Coeffs, Method, Move, Needs};

/// S = beta s, R = beta (beta - 1) |s|^2.
pub struct Anneal;

impl Anneal {
    /// One score, weighted.
    pub const NEEDS: Needs = Needs { scores: 1, vjp: false, weights: true };
}

#[cube]
impl Method for Anneal {
    fn coordinate<N: Size>(scores: &Sequence<Vector<f32, N>>, c: &Coeffs) -> Move<N> {
        let s = scores[0];
        Move::<N> { score: Vector::new(c.beta0) * s, rate: Vector::new(c.beta0 * (c.beta0 - 1.0f32)) * s * s }
    }
}

pub mod oracle {
    //! The same in f64.

    /// (score to follow, weight rate) of one coordinate.
    pub fn coordinate(scores: &[f64], beta: &[f64]) -> (f64, f64) {
        let (s, b) = (scores[0], beta[0]);
        (b * s, b * (b - 1.0) * s * s)
    }
}
