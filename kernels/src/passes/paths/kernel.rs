//! A vector of cells, or a path, a turn.

use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::passes::{number, own_items};
use crate::prims::state::{Layout, Shape, load, store};

/// The `length` cells of a level into row `level` of `rows`.
#[cube(launch)]
pub fn keep_kernel<E: Float, N: Size>(
    x: &[E],
    rows: &mut [E],
    length: u32,
    level: u32,
    clock: &[u32],
    #[comptime] runs: bool,
    #[define(E)] _element: ElemType,
) {
    let level = number(level, clock);
    let own = own_items(length / N::value() as u32, runs);
    let row = level as usize * length as usize;
    let mut v = own.first;
    while v < own.last {
        let at = v as usize * N::value();
        store::<E, N>(rows, row + at, load::<E, N>(x, at));
        v += own.turn;
    }
}

/// The paths that end in `ends`, `paths` of each group, as slots within it.
#[cube(launch)]
pub fn trace_kernel<E: Float, N: Size>(
    rows: &[E],
    parents: &[u32],
    ends: &[u32],
    out: &mut [f32],
    shape: Shape,
    paths: u32,
    steps: u32,
    #[comptime] layout: Layout,
    #[define(E)] _element: ElemType,
) {
    let count = shape.groups * paths;
    let dim = shape.dim as usize;
    let stride = shape.stride();
    let mut path = ABSOLUTE_POS as u32;
    while path < count {
        let base = path / paths * shape.padded;
        let mut slot = ends[path as usize];
        // Levels from the last to the first.
        for back in 0..steps + 1u32 {
            let level = steps - back;
            if level > 0u32 && level < steps {
                slot = parents[(level - 1u32) as usize * stride + (base + slot) as usize];
            }
            let at = (base + slot) as usize;
            let lane = at % N::value();
            let row = level as usize * dim * stride;
            let to = (level as usize * count as usize + path as usize) * dim;
            for k in 0..dim {
                let own = if comptime!(layout == Layout::Tiles) {
                    rows[row + (at - lane) * dim + k * N::value() + lane]
                } else {
                    rows[row + k * stride + at]
                };
                out[to + k] = f32::cast_from(own);
            }
        }
        path += CUBE_COUNT as u32 * CUBE_DIM;
    }
}
