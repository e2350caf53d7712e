//! A vector a turn.

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
