//! The positions of a group, and the search for each.

use cubecl::prelude::*;

use crate::passes::{Sharing, block_stride, first_block};
use crate::prims::fixed::{Fixed, add, divide, less, scale};
use crate::prims::monoid::{FixedSum, Monoid, One};
use crate::prims::philox::{Stream, lanes, purpose, tag, words};
use crate::prims::state::{Shape, block_at};

/// How slots and units meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SearchKey {
    /// Walk from one slot's parent to the next (in all no longer than the group), instead of
    /// searching for each: for units with long runs of slots.
    pub walk: bool,
    /// Units share a block.
    pub sharing: Sharing,
}

/// The position of slot j is j a + b + floor((j r + c) / K), with S = K a + r and u = K b + c.
#[derive(CubeType, Clone, Copy)]
struct Comb {
    a: Fixed,
    r: u32,
    b: Fixed,
    c: u32,
}

#[cube]
fn comb(total: Fixed, word: u32, slots: u32) -> Comb {
    // u = floor(word S / 2^32).
    let zero = 0u32.runtime();
    let high = scale(&Fixed { hi: zero, lo: total.hi }, word);
    let u = add(&high, &Fixed { hi: zero, lo: total.lo.mul_hi(word) });
    let tooth = divide(&total, slots);
    let start = divide(&u, slots);
    Comb { a: tooth.quotient, r: tooth.remainder, b: start.quotient, c: start.remainder }
}

/// Writes the ancestors of every group that is to be resampled.
#[cube(launch)]
pub fn ancestors_kernel(
    prefix: &[u32],
    offsets: &[u32],
    norms: &[f32],
    seeds: &[u32],
    ancestors: &mut [u32],
    shape: Shape,
    step: u32,
    #[comptime] key: SearchKey,
) {
    let count = shape.total_blocks();
    let mut index = first_block(key.sharing);
    while index < count {
        let block = block_at::<One>(&shape, index);
        if norms[4 * block.group as usize + 3] > 0.5f32 {
            let end = block.first + block.vectors;
            let end = if end < shape.slots { end } else { shape.slots };
            let stream = Stream::<One> {
                slot: lanes::<One>(0u32.runtime()),
                step,
                tag: comptime!(tag(purpose::RESAMPLE, 0)).runtime(),
                key0: seeds[2 * block.group as usize],
                key1: seeds[2 * block.group as usize + 1],
            };
            let word = words::<One>(&stream, stream.slot, 0u32.runtime()).w0.extract(0usize);
            let total = FixedSum::load(offsets, (count + block.group) as usize);
            let teeth = comb(total, word, shape.slots);
            let base = block.group * shape.padded;
            if comptime!(key.sharing.together) {
                let each = (block.vectors + comptime!(key.sharing.units - 1)) / comptime!(key.sharing.units);
                let first = block.first + UNIT_POS * each;
                let last = first + each;
                search(
                    prefix,
                    ancestors,
                    &shape,
                    &teeth,
                    base,
                    first,
                    if last < end { last } else { end },
                    key.walk,
                );
            } else {
                search(prefix, ancestors, &shape, &teeth, base, block.first, end, key.walk);
            }
        }
        index += block_stride(key.sharing);
    }
}

/// Parents of slots `first` to `last` of the group at `base`.
#[cube]
#[allow(clippy::too_many_arguments)]
fn search(
    prefix: &[u32],
    ancestors: &mut [u32],
    shape: &Shape,
    teeth: &Comb,
    base: u32,
    first: u32,
    last: u32,
    #[comptime] walk: bool,
) {
    let zero = 0u32.runtime();
    let walked = scale(&Fixed { hi: zero, lo: first }, teeth.r);
    let start = add(&walked, &Fixed { hi: zero, lo: teeth.c });
    let carried = divide(&start, shape.slots);
    let whole = add(&scale(&teeth.a, first), &teeth.b);
    let from = add(&whole, &carried.quotient);
    let mut hi = from.hi;
    let mut lo = from.lo;
    let mut rest = carried.remainder;
    let mut parent = zero;
    for slot in first..last {
        let position = Fixed { hi, lo };
        if walk && slot > first {
            while !less(&position, &FixedSum::load(prefix, (base + parent) as usize)) {
                parent += 1u32;
            }
        } else {
            parent = bisect(prefix, base, parent, shape.slots - 1u32, &position);
        }
        ancestors[(base + slot) as usize] = parent;
        // The next position: a further on, and one more whenever the remainders fill K.
        rest += teeth.r;
        let over = rest >= shape.slots;
        rest -= select(over, shape.slots, 0u32);
        let further = add(&position, &teeth.a);
        let next = add(&further, &Fixed { hi: zero, lo: u32::cast_from(over) });
        hi = next.hi;
        lo = next.lo;
    }
}

/// The first i in `[low, high]` whose prefix exceeds `position`; `high` has it.
#[cube]
fn bisect(prefix: &[u32], base: u32, low: u32, high: u32, position: &Fixed) -> u32 {
    let mut low = low;
    let mut high = high;
    while low < high {
        let middle = (low + high) / 2u32;
        if less(position, &FixedSum::load(prefix, (base + middle) as usize)) {
            high = middle;
        } else {
            low = middle + 1u32;
        }
    }
    low
}
