//! A slot a turn.

use cubecl::prelude::*;

use crate::passes::weights::RECORD;
use crate::passes::{number, own_items};

/// Row `step` of `rows` `[steps, stride]`.
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
    let own = own_items(stride, runs);
    let row = step as usize * stride as usize;
    let mut at = own.first;
    while at < own.last {
        let group = at / padded;
        let resampled = norms[RECORD * group as usize + 3] > 0.5f32;
        rows[row + at as usize] = select(resampled, ancestors[at as usize], at - group * padded);
        at += own.turn;
    }
}
