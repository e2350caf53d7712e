//! The reverse SDE of one model, no correction: the baseline.

use cubecl::prelude::*;

use super::{Coeffs, Method, Move, Needs};

/// Samples the model itself; every weight stays as it began.
pub struct Plain;

impl Plain {
    /// One score, no weights.
    pub const NEEDS: Needs = Needs { models: (1, 1), vjp: false, weights: false };
}

#[cube]
impl Method for Plain {
    fn coordinate<N: Size>(
        scores: &Sequence<Vector<f32, N>>,
        _c: &Coeffs,
        #[comptime] _models: usize,
    ) -> Move<N> {
        Move::<N> { score: scores[0], rate: Vector::new(0.0f32) }
    }
}

pub mod oracle {
    //! The same in f64.

    /// (score to follow, weight rate) of one coordinate.
    pub fn coordinate(scores: &[f64], _beta: &[f64]) -> (f64, f64) {
        (scores[0], 0.0)
    }
}
