//! A group a turn.

use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::methods::{Coeffs, Method, coeffs};
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
    /// Write x' also as rows `[particles, dim]`.
    pub rows: bool,
    /// How coordinates lie.
    pub layout: Layout,
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
        let mut energy = 0.0f32.runtime();
        for k in 0..dim {
            let mut x = load_row::<E, N>(&after.x, &grid, k, at, key.layout);
            x.insert(0usize, path[row + k]);
            let x = rounded::<E, N>(x);
            store_row::<E, N>(&mut after.x, &grid, k, at, x, key.layout);
            if comptime!(key.rows) {
                rows[(group * shape.slots) as usize * dim + k] = x.extract(0usize);
            }
            if comptime!(key.weighs) {
                let z = if comptime!(key.start) {
                    (x.extract(0usize) - start[3 + k]) / start[0]
                } else {
                    noise::<M, E, N>(&before, x, &grid, k, at, &c, key)
                };
                energy = fma(z, z, energy);
            }
        }
        if comptime!(key.weighs) {
            let first = if comptime!(key.start) {
                fma(energy, start[2], start[1])
            } else {
                let resampled = norms[4 * group as usize + 3] > 0.5f32;
                let old = load::<f32, N>(&before.log_w, at).extract(0usize);
                let log_p = load::<f32, N>(&before.log_p, at).extract(0usize);
                select(resampled, 0.0f32, old) + c.exact * fma(energy, 0.5f32, -log_p)
            };
            let mut log_w = load::<f32, N>(&after.log_w, at);
            log_w.insert(0usize, first);
            store::<f32, N>(&mut after.log_w, at, log_w);
        }
        group += CUBE_COUNT as u32 * CUBE_DIM;
    }
}

/// The noise that leads the particle in slot 0 to `x`, along coordinate `k`.
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
) -> f32 {
    let score_grid = Grid { rows: comptime!(key.models) * grid.rows, stride: grid.stride };
    let mut scores = Sequence::<Vector<f32, N>>::new();
    #[unroll]
    for m in 0..key.models {
        scores.push(load_row::<E, N>(&before.scores, &score_grid, m * grid.rows + k, at, key.layout));
    }
    let shares = Sequence::<Vector<f32, N>>::new();
    let moved = M::coordinate::<N>(&scores, &shares, Vector::new(0.0f32), c, key.models);
    let old = load_row::<E, N>(&before.x, grid, k, at, key.layout);
    let mean = fma(Vector::new(c.drift), moved.score, Vector::new(c.shrink) * old);
    (x - mean).extract(0usize) / c.noise
}
