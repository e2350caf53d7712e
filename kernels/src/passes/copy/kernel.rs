//! A vector a turn.

use cubecl::prelude::*;

/// `count` vectors of `from` into `to`. Each worker takes a run of its own on the CPU, neighbours take
/// neighbours on a GPU.
#[cube(launch)]
pub fn copy_kernel<N: Size>(
    from: &[Vector<f32, N>],
    to: &mut [Vector<f32, N>],
    count: u32,
    #[comptime] runs: bool,
) {
    let workers = CUBE_COUNT as u32 * CUBE_DIM;
    let own = ABSOLUTE_POS as u32;
    let each = count.div_ceil(workers);
    let first = if comptime!(runs) { own * each } else { own };
    let last = if comptime!(runs) { first + each } else { count };
    let last = select(last < count, last, count);
    let stride = if comptime!(runs) { 1u32.runtime() } else { workers };
    let mut at = first;
    while at < last {
        to[at as usize] = from[at as usize];
        at += stride;
    }
}
