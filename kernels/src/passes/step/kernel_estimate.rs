//! Log-densities of models that give scores alone, carried along each particle: docs/maths.md (7.9).

use cubecl::prelude::*;

use super::key::{Carry, StepKey};
use crate::methods::Coeffs;
use crate::models::{Here, extent};
use crate::prims::state::{Past, load_row, recall_row, store_row};

/// What one coordinate does in a step.
#[derive(CubeType, Clone, Copy)]
pub struct Shifted<N: Size> {
    /// Where it was.
    pub from: Vector<f32, N>,
    /// Where it is.
    pub to: Vector<f32, N>,
    /// Drift and noise, all but the shrinking.
    pub by: Vector<f32, N>,
}

/// Adds to `gains` what coordinate `k` brings to the log-density of each model, from the scores of the old state.
#[cube]
pub fn gain<E: Float, N: Size>(
    gains: &mut Array<Vector<f32, N>>,
    before: &Carry<E>,
    here: &Here<N>,
    past: &Past<N>,
    c: &Coeffs,
    moved: &Shifted<N>,
    k: usize,
    #[comptime] key: StepKey,
) {
    let half = Vector::new(-0.5f32 * c.noise * c.noise);
    // Of the Gaussian that is taken off the models, what its density says and what its score would.
    let own = -moved.from * Vector::new(c.lean_old);
    let said = (moved.from * moved.from * Vector::new(c.lean_old)
        - moved.to * moved.to * Vector::new(c.lean_new))
        * Vector::new(0.5f32);
    let taken = said - own * fma(half, own, moved.by);
    let dim = extent(here.dim, key.models.registers);
    #[unroll]
    for m in 0..key.models.count {
        let row = (1usize + m) * dim + k;
        let s = recall_row::<E, N>(&before.scores, &here.score_grid, row, past, key.models.layout);
        gains[m] = fma(s, fma(half, s, moved.by), gains[m] + taken);
    }
}

/// The log-densities of the new state: those of the ancestor, and what the step brought.
#[cube]
pub fn keep<E: Float, N: Size>(
    gains: &Array<Vector<f32, N>>,
    before: &Carry<E>,
    after: &mut Carry<E>,
    here: &Here<N>,
    past: &Past<N>,
    c: &Coeffs,
    #[comptime] key: StepKey,
) {
    let layout = key.models.layout;
    let first = (1usize + key.models.count) * here.dim;
    #[unroll]
    for m in 0..key.models.count {
        let old = recall_row::<E, N>(&before.scores, &here.score_grid, first + m, past, layout);
        let new = old + (gains[m] + Vector::new(c.stretch));
        store_row::<E, N>(&mut after.scores, &here.score_grid, first + m, here.at, new, layout);
    }
}

/// The log-density of model `index` at the state of `carry`.
#[cube]
pub fn estimate<E: Float, N: Size>(
    carry: &Carry<E>,
    here: &Here<N>,
    #[comptime] index: usize,
    #[comptime] key: StepKey,
) -> Vector<f32, N> {
    let row = (1usize + key.models.count) * here.dim + index;
    load_row::<E, N>(&carry.scores, &here.score_grid, row, here.at, key.models.layout)
}
