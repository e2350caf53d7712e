//! A product of powers tilted by a reward, p = prod q_i^beta_i exp(lambda r): docs/maths.md (7.6). M. Skreta et al.,
//! "Feynman-Kac Correctors in Diffusion", 2025 (arXiv 2503.02819), Prop. 3.4 and D.6.
//!
//! The last model is the reward: its "log-density" is r, its "score" grad r, its exponent lambda. A particle
//! follows (1 + zeta^2) S + 2 c F with S = sum beta_i s_i and the force F = lambda grad r, times g^2/2. The common
//! c = zeta^2/2 needs no Laplacian of r.
//! Numbers of a level: zeta^2, 2 c, 2 a/g^2.

use cubecl::prelude::*;

use super::{Coeffs, Compose, Joint, Method, Move, powers};

/// See the page.
pub struct Tilted;

#[cube]
impl Method for Tilted {
    fn coordinate<N: Size>(
        scores: &Sequence<Vector<f32, N>>,
        shares: &Sequence<Vector<f32, N>>,
        x: Vector<f32, N>,
        c: &Coeffs,
        #[comptime] models: usize,
    ) -> Move<N> {
        let last = comptime!(models - 1);
        let own = Compose::coordinate::<N>(scores, shares, x, c, last);
        let force = Vector::new(c.beta(last)) * scores[last];
        // How much more than the noise's half the force pulls.
        let more = Vector::new(c.side1 - c.side0);
        let along = fma(more, own.score + force, own.score) - Vector::new(c.side2) * x;
        Move::<N> {
            score: fma(Vector::new(1.0f32 + c.side0), own.score, Vector::new(c.side1) * force),
            rate: fma(force, along, own.rate),
            back: fma(
                Vector::new(c.side0 - 1.0f32),
                own.score,
                Vector::new(2.0f32 * c.side0 - c.side1) * force,
            ),
        }
    }

    fn joint<N: Size>(log_q: &Sequence<Vector<f32, N>>, c: &Coeffs, #[comptime] models: usize) -> Joint<N> {
        powers::<N>(log_q, c, models)
    }

    fn whole<N: Size>(
        laplacians: &Sequence<Vector<f32, N>>,
        c: &Coeffs,
        #[comptime] models: usize,
    ) -> Vector<f32, N> {
        let last = comptime!(models - 1);
        Vector::new((c.side1 - c.side0) * c.beta(last)) * laplacians[last]
    }
}

pub mod oracle {
    //! The same in f64.

    use crate::methods::oracle::{Law, Local, Turn, powers};
    use crate::methods::{StepCoeffs, compose};

    /// All of it.
    pub const LAW: Law = Law { coordinate, log_p: powers, whole };

    /// One coordinate, the reward being the last model.
    pub fn coordinate(at: &Local) -> Turn {
        let last = at.scores.len() - 1;
        let product = compose::oracle::coordinate(&Local { scores: &at.scores[..last], ..*at });
        let [zeta2, twice, pull, _] = at.c.side;
        let force = at.c.beta[last] * at.scores[last];
        let half = product.score - pull * at.x;
        Turn {
            score: (1.0 + zeta2) * product.score + twice * force,
            rate: product.rate + force * half + (twice - zeta2) * force * (product.score + force),
            back: (zeta2 - 1.0) * product.score + (2.0 * zeta2 - twice) * force,
        }
    }

    /// (2 c - zeta^2) lambda lap r.
    pub fn whole(laplacians: &[f64], c: &StepCoeffs) -> f64 {
        let last = laplacians.len() - 1;
        (c.side[1] - c.side[0]) * c.beta[last] * laplacians[last]
    }
}
