//! What a particle does. A method turns the scores of its models into the score to follow and the
//! rate at which log-weight accrues, one coordinate at a time; the step kernel does the rest.
//!
//! A particle follows dx = (-a x + (1 + zeta^2)/2 g^2 S) dr + zeta g dW in reverse time and accrues
//! (g^2/2) R + (B - 1) d a, with S and R from the method: docs/maths.md (7).
//!
//! Where exponents change on the way, or a method asks more of its models than their scores, it *follows*
//! (7.4): densities and both ends' numbers are at hand, and what a step owes its old state is settled when
//! that state is reached.

pub mod compose;
pub mod mixture;
pub mod numbers;
pub mod plain;
pub mod tilted;
pub mod transport;
pub mod twisted;

use cubecl::prelude::*;

pub use compose::Compose;
pub use mixture::Mixture;
pub use numbers::{Coeffs, ESS_SHARE, RANGE, ROW, SCHEDULED, SIDE, StepCoeffs, coeffs, with_beta};
pub use plain::Plain;
pub use tilted::Tilted;
pub use transport::Transport;

/// What one coordinate contributes.
#[derive(CubeType, Clone, Copy)]
pub struct Move<N: Size> {
    /// The target's score, to follow.
    pub score: Vector<f32, N>,
    /// The coordinate's part of R.
    pub rate: Vector<f32, N>,
    /// What stands for the score in the backward kernel of the exact rule.
    pub back: Vector<f32, N>,
}

/// What the log-densities of the models say of a particle.
#[derive(CubeType)]
pub struct Joint<N: Size> {
    /// Log-density of the target.
    pub log_p: Vector<f32, N>,
    /// Share of each model in this particle, for [`Method::coordinate`]; none where the method has none.
    pub shares: Sequence<Vector<f32, N>>,
}

/// What a method asks of its surroundings; the plan is made from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Fewest and most models.
    pub models: (usize, usize),
    /// A vector-Jacobian product of the network.
    pub vjp: bool,
    /// The method weighs particles at all.
    pub weights: bool,
    /// The log-densities of the models, beside their scores: of closed forms, or estimated.
    pub densities: bool,
}

/// A sampler. `c` holds the numbers of the level that the particle is at.
#[cube]
pub trait Method: 'static + Send + Sync {
    /// One coordinate's score to follow and weight rate, from the scores of the models there and from the
    /// coordinate `x`; `shares` are those of [`Method::joint`]. Only methods that follow may look at the last two.
    fn coordinate<N: Size>(
        scores: &Sequence<Vector<f32, N>>,
        shares: &Sequence<Vector<f32, N>>,
        x: Vector<f32, N>,
        c: &Coeffs,
        #[comptime] models: usize,
    ) -> Move<N>;

    /// The target's log-density from those of the models.
    fn joint<N: Size>(log_q: &Sequence<Vector<f32, N>>, c: &Coeffs, #[comptime] models: usize) -> Joint<N>;

    /// The part of R that is the particle's as a whole, from the Laplacians of the models' log-densities.
    fn whole<N: Size>(
        laplacians: &Sequence<Vector<f32, N>>,
        c: &Coeffs,
        #[comptime] models: usize,
    ) -> Vector<f32, N>;
}

/// ln p = sum beta_i ln q_i; no shares.
#[cube]
pub fn powers<N: Size>(log_q: &Sequence<Vector<f32, N>>, c: &Coeffs, #[comptime] models: usize) -> Joint<N> {
    let mut log_p = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for m in 0..models {
        log_p = fma(Vector::new(c.beta(m)), log_q[m], log_p);
    }
    Joint::<N> { log_p, shares: Sequence::new() }
}

pub mod oracle {
    //! The seam in f64.

    use super::StepCoeffs;

    /// What one coordinate contributes: see [`super::Move`].
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct Turn {
        /// The score to follow.
        pub score: f64,
        /// The coordinate's part of R.
        pub rate: f64,
        /// The score of the backward kernel.
        pub back: f64,
    }

    /// What a method looks at.
    #[derive(Clone, Copy, Debug)]
    pub struct Local<'a> {
        /// Scores of the models at one coordinate.
        pub scores: &'a [f64],
        /// Log-densities of the models.
        pub log_q: &'a [f64],
        /// The coordinate.
        pub x: f64,
        /// Numbers of the level.
        pub c: &'a StepCoeffs,
    }

    /// A method, in plain functions.
    #[derive(Clone, Copy, Debug)]
    pub struct Law {
        /// One coordinate.
        pub coordinate: fn(&Local) -> Turn,
        /// Log-density of the target from those of the models.
        pub log_p: fn(log_q: &[f64], c: &StepCoeffs) -> f64,
        /// The particle's part of R from the Laplacians of the log-densities.
        pub whole: fn(laplacians: &[f64], c: &StepCoeffs) -> f64,
    }

    /// sum beta_i ln q_i.
    pub fn powers(log_q: &[f64], c: &StepCoeffs) -> f64 {
        log_q.iter().zip(&c.beta).map(|(q, b)| b * q).sum()
    }

    /// Nothing is the particle's as a whole.
    pub fn nothing(_: &[f64], _: &StepCoeffs) -> f64 {
        0.0
    }
}
