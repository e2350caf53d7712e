//! Geometric average q1^(1 - beta) q2^beta: classifier-free guidance sampled exactly, and
//! autoguidance. M. Skreta et al., "Feynman-Kac Correctors in Diffusion", 2025 (arXiv 2503.02819),
//! Prop. 3.1; J. Ho, T. Salimans, "Classifier-Free Diffusion Guidance", 2022 (arXiv 2207.12598).
//! Drift and weight: docs/maths.md (7.2).

use cubecl::prelude::*;

use super::{Coeffs, Method, Move, Needs};

/// S = (1 - beta) s1 + beta s2, R = beta (beta - 1) |s1 - s2|^2.
pub struct Guidance;

impl Guidance {
    /// Two scores, weighted.
    pub const NEEDS: Needs = Needs { scores: 2, vjp: false, weights: true };
}

#[cube]
impl Method for Guidance {
    fn coordinate<N: Size>(scores: &Sequence<Vector<f32, N>>, c: &Coeffs) -> Move<N> {
        let first = scores[0];
        let apart = scores[1] - first;
        Move::<N> {
            score: fma(Vector::new(c.beta1), apart, first),
            rate: Vector::new(c.beta1 * (c.beta1 - 1.0f32)) * apart * apart,
        }
    }
}

pub mod oracle {
    //! The same in f64.

    /// (score to follow, weight rate) of one coordinate; `beta[1]` is the guidance weight.
    pub fn coordinate(scores: &[f64], beta: &[f64]) -> (f64, f64) {
        let (first, second, b) = (scores[0], scores[1], beta[1]);
        ((1.0 - b) * first + b * second, b * (b - 1.0) * (first - second).powi(2))
    }
}
