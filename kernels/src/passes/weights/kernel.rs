//! Combine a group's block records; decide.

use cubecl::prelude::*;

use crate::methods::{ESS_SHARE, ROW};
use crate::passes::{Sharing, block_stride, first_block};
use crate::prims::cube;
use crate::prims::monoid::{LogSumExp, Lse, Monoid, One, ZERO_BELOW, lse_absorb, lse_identity};
use crate::prims::state::Shape;

/// One record a group.
#[cube(launch)]
pub fn normalise_kernel(
    blocks: &[u32],
    coeffs: &[f32],
    norms: &mut [f32],
    history: &mut [f32],
    shape: Shape,
    step: u32,
    #[comptime] sharing: Sharing,
) {
    let words = comptime!(if sharing.together { 4 * sharing.units as usize } else { 1 });
    let mut memory = Shared::<[u32]>::new_slice(words);
    let share = coeffs[step as usize * ROW + ESS_SHARE];
    let mut group = first_block(sharing);
    while group < shape.groups {
        let base = group * shape.blocks;
        if comptime!(sharing.together) {
            let mine = fold(blocks, base + UNIT_POS, base + shape.blocks, comptime!(sharing.units).runtime());
            let all = cube::reduce::<LogSumExp>(mine, &mut memory, sharing.units);
            if UNIT_POS == 0u32 {
                record(norms, history, &shape, group, step, share, &all);
            }
        } else {
            let all = fold(blocks, base, base + shape.blocks, 1u32.runtime());
            record(norms, history, &shape, group, step, share, &all);
        }
        group += block_stride(sharing);
    }
}

/// The product of every `stride`-th record from `first` on.
#[cube]
fn fold(blocks: &[u32], first: u32, end: u32, stride: u32) -> Lse<One> {
    let mut sums = lse_identity::<One>();
    let mut b = first;
    while b < end {
        lse_absorb::<One>(&mut sums, &LogSumExp::load(blocks, b as usize));
        b += stride;
    }
    sums
}

#[cube]
fn record(
    norms: &mut [f32],
    history: &mut [f32],
    shape: &Shape,
    group: u32,
    step: u32,
    share: f32,
    all: &Lse<One>,
) {
    let max = all.max.extract(0usize);
    let sum = all.sum.extract(0usize);
    let square = all.square.extract(0usize);
    let few = sum * sum < share * f32::cast_from(shape.slots) * square;
    let decision = if all.bad.extract(0usize) > 0.5f32 {
        -2.0f32.runtime()
    } else if max < ZERO_BELOW {
        -1.0f32.runtime()
    } else if few {
        1.0f32.runtime()
    } else {
        0.0f32.runtime()
    };
    let at = 4 * group as usize;
    norms[at] = max;
    norms[at + 1] = sum;
    norms[at + 2] = square;
    norms[at + 3] = decision;
    let row = 4 * (step * shape.groups + group) as usize;
    history[row] = max;
    history[row + 1] = sum;
    history[row + 2] = square;
    history[row + 3] = decision;
}
