//! A group a turn.

use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::methods::twisted::{lean, lean_within, width};
use crate::methods::{Coeffs, Method, coeffs};
use crate::models::TwistKey;
use crate::passes::number;
use crate::passes::step::key::Carry;
use crate::prims::state::{Grid, Layout, Shape, load, load_row, rounded, store, store_row};

/// What changes the generated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RetainKey {
    /// The start, not a step.
    pub start: bool,
    /// The log-weight owes something to the noise.
    pub weighs: bool,
    /// Models whose scores are carried.
    pub models: usize,
    /// Behind them is the gradient of log psi, which leans the step.
    pub twisted: Option<TwistKey>,
    /// Write x' also as rows `[particles, dim]`.
    pub rows: bool,
    /// How coordinates lie.
    pub layout: Layout,
}

impl RetainKey {
    /// Rows of carried scores for each coordinate.
    fn carried(&self) -> usize {
        self.twisted.map_or(self.models, TwistKey::rows)
    }
}

/// Slot 0 of every group onto its path.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
pub fn retain_kernel<M: Method, E: Float, N: Size>(
    path: &[f32],
    before: Carry<E>,
    mut after: Carry<E>,
    rows: &mut [f32],
    norms: &[f32],
    table: &[f32],
    start: &[f32],
    shape: Shape,
    step: u32,
    #[comptime] key: RetainKey,
    #[define(E)] _element: ElemType,
) {
    let step = number(step, &before.clock);
    let level = if comptime!(key.start) { 0u32.runtime() } else { step + 1u32 };
    let c = coeffs(table, step);
    let dim = shape.dim as usize;
    let grid = Grid { rows: dim, stride: shape.stride() };
    let mut group = ABSOLUTE_POS as u32;
    while group < shape.groups {
        let at = (group * shape.padded) as usize;
        let row = (level * shape.groups + group) as usize * dim;
        // Of the noise: the sum of its squares, or under a twist what the proposal ratio is but for its constant.
        let mut owed = 0.0f32.runtime();
        for k in 0..dim {
            let mut x = load_row::<E, N>(&after.x, &grid, k, at, key.layout);
            x.insert(0usize, path[row + k]);
            let x = rounded::<E, N>(x);
            store_row::<E, N>(&mut after.x, &grid, k, at, x, key.layout);
            if comptime!(key.rows) {
                rows[(group * shape.slots) as usize * dim + k] = x.extract(0usize);
            }
            if comptime!(key.weighs) {
                if comptime!(key.start) {
                    let z = (x.extract(0usize) - start[3 + k]) / start[0];
                    owed = fma(z, z, owed);
                } else if comptime!(key.twisted.is_some()) {
                    owed += ratio::<M, E, N>(&before, x, &grid, k, at, &c, key);
                } else {
                    let z = noise::<M, E, N>(&before, x, &grid, k, at, &c, key).extract(0usize);
                    owed = fma(z, z, owed);
                }
            }
        }
        if comptime!(key.weighs) {
            let mut log_w = load::<f32, N>(&after.log_w, at);
            let first = if comptime!(key.start) {
                fma(owed, start[2], start[1])
            } else {
                let resampled = norms[4 * group as usize + 3] > 0.5f32;
                let old = select(resampled, 0.0f32, load::<f32, N>(&before.log_w, at).extract(0usize));
                let log_p = load::<f32, N>(&before.log_p, at).extract(0usize);
                if comptime!(key.twisted.is_some()) {
                    // What a step puts in its place it weighs by the old state alone, as the move already did.
                    select(c.side3 > 0.0f32, log_w.extract(0usize), old + owed + c.constant - log_p)
                } else {
                    old + c.exact * fma(owed, 0.5f32, -log_p)
                }
            };
            log_w.insert(0usize, first);
            store::<f32, N>(&mut after.log_w, at, log_w);
        }
        group += CUBE_COUNT as u32 * CUBE_DIM;
    }
}

/// Coordinate `k`'s part of log p(x|old) - log q(x|old) of the twisted particle in slot 0, but for its constant. A step
/// without noise is its own proposal, and has none.
#[cube]
#[allow(clippy::too_many_arguments)]
fn ratio<M: Method, E: Float, N: Size>(
    before: &Carry<E>,
    x: Vector<f32, N>,
    grid: &Grid,
    k: usize,
    at: usize,
    c: &Coeffs,
    #[comptime] key: RetainKey,
) -> f32 {
    let score_grid = Grid { rows: comptime!(key.carried()) * grid.rows, stride: grid.stride };
    let pull = load_row::<E, N>(&before.scores, &score_grid, grid.rows + k, at, key.layout);
    let width = if comptime!(key.twisted.is_some_and(|twist| twist.broad)) {
        let said = load_row::<E, N>(&before.scores, &score_grid, 2usize * grid.rows + k, at, key.layout);
        width::<N>(said, c)
    } else {
        Vector::new(1.0f32)
    };
    if comptime!(key.twisted.is_some_and(|twist| twist.ranged)) {
        let score = load_row::<E, N>(&before.scores, &score_grid, k, at, key.layout);
        let old = load_row::<E, N>(&before.x, grid, k, at, key.layout);
        let by = lean_within::<N>(pull, Vector::new(0.0f32), width, old, score, c).by;
        let z = noise::<M, E, N>(before, x - by, grid, k, at, c, key) / width;
        lean_within::<N>(pull, z, width, old, score, c).rate.extract(0usize)
    } else {
        let by = lean::<N>(pull, Vector::new(0.0f32), width, c).by;
        let z = noise::<M, E, N>(before, x - by, grid, k, at, c, key) / width;
        lean::<N>(pull, z, width, c).rate.extract(0usize)
    }
}

/// The noise that leads the particle in slot 0 to `x`, along coordinate `k`; where a step has none, what it is off.
#[cube]
#[allow(clippy::too_many_arguments)]
fn noise<M: Method, E: Float, N: Size>(
    before: &Carry<E>,
    x: Vector<f32, N>,
    grid: &Grid,
    k: usize,
    at: usize,
    c: &Coeffs,
    #[comptime] key: RetainKey,
) -> Vector<f32, N> {
    let score_grid = Grid { rows: comptime!(key.carried()) * grid.rows, stride: grid.stride };
    let mut scores = Sequence::<Vector<f32, N>>::new();
    #[unroll]
    for m in 0..key.models {
        scores.push(load_row::<E, N>(&before.scores, &score_grid, m * grid.rows + k, at, key.layout));
    }
    let shares = Sequence::<Vector<f32, N>>::new();
    let moved = M::coordinate::<N>(&scores, &shares, Vector::new(0.0f32), c, key.models);
    let old = load_row::<E, N>(&before.x, grid, k, at, key.layout);
    let mean = fma(Vector::new(c.drift), moved.score, Vector::new(c.shrink) * old);
    (x - mean) / Vector::new(select(c.noise > 0.0f32, c.noise, 1.0f32))
}
