//! One vector of particles a turn.

use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::passes::{Sharing, block_stride, first_block, first_vector, vector_stride};
use crate::prims::monoid::ZERO_WEIGHT;
use crate::prims::philox::{Stream, draw, lanes, purpose, tag};
use crate::prims::state::{Grid, Layout, Shape, block_at, occupied, rounded, scatter, store, store_row};

/// What is kept of the particles, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kept {
    /// Log-weights.
    pub weighed: bool,
    /// Root ancestors.
    pub roots: bool,
    /// Scores, each of dim rows, in front of estimated log-densities, each of one.
    pub scores: usize,
    /// Estimated log-densities.
    pub logs: usize,
    /// How coordinates lie.
    pub layout: Layout,
}

/// Where the numbers of model `index` begin.
#[cube]
fn first_of(dim: usize, #[comptime] index: usize) -> usize {
    3usize + dim + index * (2usize + dim)
}

/// The first log-densities of all models, from the squares of the distances to their means.
#[cube]
#[allow(clippy::too_many_arguments)]
fn log_densities<E: Float, N: Size>(
    scores: &mut [E],
    off: &Array<Vector<f32, N>>,
    start: &[f32],
    dim: usize,
    grid: &Grid,
    at: usize,
    #[comptime] keeps: Kept,
) {
    let rows = Grid { rows: comptime!(keeps.scores) * dim + comptime!(keeps.logs), stride: grid.stride };
    #[unroll]
    for m in 0..keeps.logs {
        let first = first_of(dim, m);
        let log_q = fma(off[m], Vector::new(start[first + 1usize]), Vector::new(start[first]));
        store_row::<E, N>(scores, &rows, comptime!(keeps.scores) * dim + m, at, log_q, keeps.layout);
    }
}

/// Draws the coordinates of `N` particles and leaves in `off` the squares of their distances to the models' means; returns
/// the squares of what was drawn, summed.
#[cube]
#[allow(clippy::too_many_arguments)]
fn coordinates<E: Float, N: Size>(
    x: &mut [E],
    rows: &mut [f32],
    off: &mut Array<Vector<f32, N>>,
    start: &[f32],
    shape: &Shape,
    stream: &Stream<N>,
    group: u32,
    slot: u32,
    #[comptime] paired: bool,
    #[comptime] with_rows: bool,
    #[comptime] keeps: Kept,
) -> Vector<f32, N> {
    let dim = shape.dim as usize;
    let grid = Grid { rows: dim, stride: shape.stride() };
    let at = (group * shape.padded + slot) as usize;
    let mut energy = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for m in 0..keeps.logs {
        off[m] = Vector::new(0.0f32);
    }
    for j in 0..dim.div_ceil(4usize) {
        let z = draw::<N, N>(stream, j as u32, paired, false);
        #[unroll]
        for i in 0..4usize {
            let k = 4usize * j + i;
            if k < dim {
                let own = match comptime!(i) {
                    0usize => z.z0,
                    1usize => z.z1,
                    2usize => z.z2,
                    _ => z.z3,
                };
                energy = fma(own, own, energy);
                let value = fma(own, Vector::new(start[0]), Vector::new(start[3 + k]));
                let value = rounded::<E, N>(value);
                store_row::<E, N>(x, &grid, k, at, value, keeps.layout);
                #[unroll]
                for m in 0..keeps.logs {
                    let from = value - Vector::new(start[first_of(dim, m) + 2usize + k]);
                    off[m] = fma(from, from, off[m]);
                }
                if comptime!(with_rows) {
                    scatter::<N>(rows, shape, group, slot, k, value);
                }
            }
        }
    }
    energy
}

/// Draws every slot, padding included.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
pub fn init_kernel<E: Float, N: Size>(
    x: &mut [E],
    log_w: &mut [f32],
    scores: &mut [E],
    ancestors: &mut [u32],
    roots: &mut [u32],
    clock: &mut [u32],
    norms: &mut [f32],
    rows: &mut [f32],
    start: &[f32],
    seeds: &[u32],
    shape: Shape,
    #[comptime] paired: bool,
    #[comptime] with_rows: bool,
    #[comptime] keeps: Kept,
    #[comptime] sharing: Sharing,
    #[define(E)] _element: ElemType,
) {
    if ABSOLUTE_POS == 0usize {
        clock[0] = 0u32;
    }
    let total = shape.total_blocks();
    let dim = shape.dim as usize;
    let grid = Grid { rows: dim, stride: shape.stride() };
    let mut index = first_block(sharing);
    while index < total {
        let block = block_at::<N>(&shape, index);
        if block.first == 0u32 && first_vector(sharing) == 0u32 {
            // Nothing has been resampled, whatever an earlier run in these buffers did.
            norms[4 * block.group as usize + 3] = 0.0f32;
        }
        let mut v = first_vector(sharing);
        while v < block.vectors {
            let slot = block.first + v * N::value() as u32;
            let at = (block.group * shape.padded + slot) as usize;
            let slots = lanes::<N>(slot);
            let stream = Stream::<N> {
                slot: slots,
                step: 0u32.runtime(),
                tag: comptime!(tag(purpose::INIT, 0)).runtime(),
                key0: seeds[2 * block.group as usize],
                key1: seeds[2 * block.group as usize + 1],
            };
            let mut off = Array::<Vector<f32, N>>::new(comptime!(keeps.logs.max(1)));
            let energy = coordinates::<E, N>(
                x,
                rows,
                &mut off,
                start,
                &shape,
                &stream,
                block.group,
                slot,
                paired,
                with_rows,
                keeps,
            );
            if comptime!(keeps.weighed) {
                let first = fma(energy, Vector::new(start[2]), Vector::new(start[1]));
                let first = select_many(occupied::<N>(&shape, slots), first, Vector::new(ZERO_WEIGHT));
                store::<f32, N>(log_w, at, first);
            }
            log_densities::<E, N>(scores, &off, start, dim, &grid, at, keeps);
            store::<u32, N>(ancestors, at, slots);
            if comptime!(keeps.roots) {
                store::<u32, N>(roots, at, slots);
            }
            v += vector_stride(sharing);
        }
        index += block_stride(sharing);
    }
}
