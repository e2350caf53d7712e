//! An energy sampled along a transport that need not be its own: p = q_1^gamma, carried by the score of q_2:
//! docs/maths.md (7.7). M. Skreta et al., "Feynman-Kac Correctors in Diffusion", 2025 (arXiv 2503.02819); the form with
//! a separate field is that of T. Akhound-Sadegh et al., "Progressive Inference-Time Annealing", 2025.
//!
//! v = (zeta^2 g^2/2) gamma s_1 + b with b = -a x + gamma (g^2/2) s_2; R needs the Laplacian of both log-densities.
//! Numbers of a level: zeta^2.

use cubecl::prelude::*;

use super::{Coeffs, Joint, Method, Move, Needs, powers};

/// See the page.
pub struct Transport;

impl Transport {
    /// An energy and a transport, with their densities and Laplacians.
    pub const NEEDS: Needs = Needs { models: (2, 2), vjp: false, weights: true, densities: true };
}

#[cube]
impl Method for Transport {
    fn coordinate<N: Size>(
        scores: &Sequence<Vector<f32, N>>,
        _shares: &Sequence<Vector<f32, N>>,
        _x: Vector<f32, N>,
        c: &Coeffs,
        #[comptime] _models: usize,
    ) -> Move<N> {
        let gamma = Vector::new(c.beta(0usize));
        let (own, other) = (scores[0], scores[1]);
        let noisy = Vector::new(c.side0) * own;
        Move::<N> {
            score: gamma * (noisy + other),
            rate: gamma * own * (gamma * other - own),
            back: gamma * (noisy - other),
        }
    }

    fn joint<N: Size>(log_q: &Sequence<Vector<f32, N>>, c: &Coeffs, #[comptime] models: usize) -> Joint<N> {
        powers::<N>(log_q, c, models)
    }

    fn whole<N: Size>(
        laplacians: &Sequence<Vector<f32, N>>,
        c: &Coeffs,
        #[comptime] _models: usize,
    ) -> Vector<f32, N> {
        Vector::new(c.beta(0usize)) * (laplacians[1] - laplacians[0])
    }
}

pub mod oracle {
    //! The same in f64.

    use crate::methods::StepCoeffs;
    use crate::methods::oracle::{Law, Local, Turn, powers};

    /// All of it.
    pub const LAW: Law = Law { coordinate, log_p: powers, whole };

    /// One coordinate: the energy's model first, the transport's second.
    pub fn coordinate(at: &Local) -> Turn {
        let (gamma, zeta2) = (at.c.beta[0], at.c.side[0]);
        let (own, other) = (at.scores[0], at.scores[1]);
        Turn {
            score: zeta2 * gamma * own + gamma * other,
            rate: gamma * gamma * own * other - gamma * own * own,
            back: zeta2 * gamma * own - gamma * other,
        }
    }

    /// gamma (lap ln q_2 - lap ln q_1).
    pub fn whole(laplacians: &[f64], c: &StepCoeffs) -> f64 {
        c.beta[0] * (laplacians[1] - laplacians[0])
    }
}
