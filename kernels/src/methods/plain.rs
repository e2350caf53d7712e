//! The reverse SDE of one model, no correction: the baseline.

use cubecl::prelude::*;

use super::{Coeffs, Joint, Method, Move, Needs, powers};

/// Samples the model itself; every weight stays as it began.
pub struct Plain;

impl Plain {
    /// One score, no weights.
    pub const NEEDS: Needs = Needs { models: (1, 1), vjp: false, weights: false, densities: false };
}

#[cube]
impl Method for Plain {
    fn coordinate<N: Size>(
        scores: &Sequence<Vector<f32, N>>,
        _shares: &Sequence<Vector<f32, N>>,
        _x: Vector<f32, N>,
        _c: &Coeffs,
        #[comptime] _models: usize,
    ) -> Move<N> {
        Move::<N> { score: scores[0], rate: Vector::new(0.0f32), back: scores[0] }
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
    //! The same in f64.

    use crate::methods::oracle::{Law, Local, Turn, nothing, powers};

    /// All of it.
    pub const LAW: Law = Law { coordinate, log_p: powers, whole: nothing };

    /// One coordinate.
    pub fn coordinate(at: &Local) -> Turn {
        Turn { score: at.scores[0], rate: 0.0, back: at.scores[0] }
    }
}
