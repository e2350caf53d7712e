//! A vector a turn; or a number.

use cubecl::prelude::*;

use crate::passes::own_items;

/// `count` vectors of `from` into `to`, from vector `first` on.
#[cube(launch)]
pub fn copy_kernel<N: Size>(
    from: &[Vector<f32, N>],
    to: &mut [Vector<f32, N>],
    first: u32,
    count: u32,
    #[comptime] runs: bool,
) {
    let own = own_items(count, runs);
    let mut at = own.first;
    while at < own.last {
        to[(first + at) as usize] = from[at as usize];
        at += own.turn;
    }
}

/// `rows` rows of `dim` numbers of `from`, from element `first` on, into `to`, each with as many zeros behind it.
#[cube(launch)]
pub fn widen_kernel(from: &[f32], to: &mut [f32], first: u32, rows: u32, dim: u32, #[comptime] runs: bool) {
    let own = own_items(rows * dim, runs);
    let mut at = own.first;
    while at < own.last {
        let place = (at + at / dim * dim) as usize;
        to[place] = from[(first + at) as usize];
        to[place + dim as usize] = 0.0f32;
        at += own.turn;
    }
}
