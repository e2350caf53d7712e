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
        let last = first + each;
        for particle in first..select(last < particles, last, particles) {
            let group = particle / slots;
            let parent = group * slots + ancestors[(group * padded + particle - group * slots) as usize];
            for piece in 0..pieces {
                move_piece::<N>(rows, out, parent * pieces + piece, particle * pieces + piece);
            }
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
