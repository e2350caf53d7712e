//! A slot a turn.

use cubecl::prelude::*;

use crate::passes::number;
use crate::passes::weights::RECORD;

/// Row `step` of `rows` `[steps, stride]`. Each worker takes a run of its own on the CPU, neighbours take neighbours
/// on a GPU.
#[cube(launch)]
pub fn genealogy_kernel(
    ancestors: &[u32],
    norms: &[f32],
    rows: &mut [u32],
    stride: u32,
    padded: u32,
    step: u32,
    clock: &[u32],
    #[comptime] runs: bool,
) {
    let step = number(step, clock);
    let workers = CUBE_COUNT as u32 * CUBE_DIM;
    let own = ABSOLUTE_POS as u32;
    let each = stride.div_ceil(workers);
    let first = if comptime!(runs) { own * each } else { own };
    let last = if comptime!(runs) { first + each } else { stride };
    let last = select(last < stride, last, stride);
    let turn = if comptime!(runs) { 1u32.runtime() } else { workers };
    let row = step as usize * stride as usize;
    let mut at = first;
    while at < last {
        let group = at / padded;
        let resampled = norms[RECORD * group as usize + 3] > 0.5f32;
        rows[row + at as usize] = select(resampled, ancestors[at as usize], at - group * padded);
        at += turn;
    }
}
