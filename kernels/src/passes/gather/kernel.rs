//! Pieces of rows, a vector each.

use cubecl::prelude::*;

/// A row is `pieces` vectors. Each worker takes a run of slots on the CPU, neighbours take neighbouring
/// pieces on a GPU.
#[cube(launch)]
pub fn gather_kernel<N: Size>(
    rows: &[Vector<f32, N>],
    ancestors: &[u32],
    out: &mut [Vector<f32, N>],
    slots: u32,
    padded: u32,
    groups: u32,
    pieces: u32,
    #[comptime] runs: bool,
) {
    let workers = CUBE_COUNT as u32 * CUBE_DIM;
    let own = ABSOLUTE_POS as u32;
    let particles = groups * slots;
    if comptime!(runs) {
        let each = particles.div_ceil(workers);
        let first = own * each;
        let first = select(first < particles, first, particles);
        let last = first + each;
        let last = select(last < particles, last, particles);
        let mut group = first / slots;
        let mut at = first;
        while at < last {
            // One group's share of the run.
            let row = group * slots;
            let end = select(row + slots < last, row + slots, last);
            gather_run::<N>(rows, ancestors, out, row, group * padded, at - row, end - row, pieces);
            at = end;
            group += 1u32;
        }
    } else {
        let mut item = own;
        while item < particles * pieces {
            let particle = item / pieces;
            let group = particle / slots;
            let parent = group * slots + ancestors[(group * padded + particle - group * slots) as usize];
            move_piece::<N>(rows, out, parent * pieces + item - particle * pieces, item);
            item += workers;
        }
    }
}

/// Rows of slots `first` to `last` of a group whose rows start at row `row` and whose ancestors at `at`.
#[cube]
#[allow(clippy::too_many_arguments)]
pub(crate) fn gather_run<N: Size>(
    rows: &[Vector<f32, N>],
    ancestors: &[u32],
    out: &mut [Vector<f32, N>],
    row: u32,
    at: u32,
    first: u32,
    last: u32,
    pieces: u32,
) {
    let mut slot = first;
    // Short rows: several at a time.
    while pieces == 1u32 && slot + 8u32 <= last {
        let from = (at + slot) as usize;
        #[unroll]
        for i in 0..8usize {
            move_piece::<N>(rows, out, row + ancestors[from + i], row + slot + i as u32);
        }
        slot += 8u32;
    }
    for slot in slot..last {
        let parent = row + ancestors[(at + slot) as usize];
        for piece in 0..pieces {
            move_piece::<N>(rows, out, parent * pieces + piece, (row + slot) * pieces + piece);
        }
    }
}

/// Pieces `first` to `last` of such a group's rows, `stride` apart.
#[cube]
#[allow(clippy::too_many_arguments)]
pub(crate) fn gather_pieces<N: Size>(
    rows: &[Vector<f32, N>],
    ancestors: &[u32],
    out: &mut [Vector<f32, N>],
    row: u32,
    at: u32,
    first: u32,
    last: u32,
    stride: u32,
    pieces: u32,
) {
    let mut item = first;
    while item < last {
        let slot = item / pieces;
        let parent = row + ancestors[(at + slot) as usize];
        let piece = item - slot * pieces;
        move_piece::<N>(rows, out, parent * pieces + piece, (row + slot) * pieces + piece);
        item += stride;
    }
}

#[cube]
fn move_piece<N: Size>(rows: &[Vector<f32, N>], out: &mut [Vector<f32, N>], from: u32, to: u32) {
    out[to as usize] = rows[from as usize];
}
