//! Pieces of rows, a vector each.

use cubecl::prelude::*;

use crate::prims::state::{load, store};

/// A row is `pieces` vectors. Each worker takes a run of slots on the CPU, neighbours take neighbouring
/// pieces on a GPU.
#[cube(launch)]
pub fn gather_kernel<N: Size>(
    rows: &[f32],
    ancestors: &[u32],
    out: &mut [f32],
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
            let mut particle = at;
            // Short rows: several at a time.
            while pieces == 1u32 && particle + 8u32 <= end {
                let from = (group * padded + particle - row) as usize;
                #[unroll]
                for i in 0..8usize {
                    move_piece::<N>(rows, out, row + ancestors[from + i], particle + i as u32);
                }
                particle += 8u32;
            }
            for particle in particle..end {
                let parent = row + ancestors[(group * padded + particle - row) as usize];
                for piece in 0..pieces {
                    move_piece::<N>(rows, out, parent * pieces + piece, particle * pieces + piece);
                }
            }
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

#[cube]
fn move_piece<N: Size>(rows: &[f32], out: &mut [f32], from: u32, to: u32) {
    let value = load::<f32, N>(rows, from as usize * N::value());
    store::<f32, N>(out, to as usize * N::value(), value);
}
