//! What both kernels share: a group's total, the decision, and where slots meet prefix sums.

use cubecl::prelude::*;

use crate::passes::weights::{BAD_WEIGHT, NO_WEIGHT, RECORD};
use crate::prims::fixed::{Fixed, fraction, reaches, rounded};
use crate::prims::math::two_to;
use crate::prims::monoid::One;
use crate::prims::philox::{Stream, lanes, purpose, tag, words};
use crate::prims::state::Shape;

/// A group: its largest exponent, and its weights in all.
#[derive(CubeType, Clone, Copy)]
pub struct Whole {
    /// Largest exponent of a block.
    pub top: i32,
    /// Sum of the blocks' integers at one scale.
    pub total: Fixed,
    /// Sum of the squares in units of 4^top.
    pub square: f32,
}

/// A block's record.
#[derive(CubeType, Clone, Copy)]
pub struct BlockRecord {
    /// Exponent of its largest weight.
    pub top: i32,
    /// Sum of its integers.
    pub sum: Fixed,
    /// Sum of the squares.
    pub square: f32,
}

/// Record number `index`.
#[cube]
pub fn block_record(records: &[u32], index: u32) -> BlockRecord {
    let at = RECORD * index as usize;
    BlockRecord {
        top: i32::reinterpret(records[at]),
        sum: Fixed { hi: records[at + 1], lo: records[at + 2] },
        square: f32::reinterpret(records[at + 3]),
    }
}

/// Bits by which a block's integers are shifted to its group's scale.
#[cube]
pub fn shift_of(top_of_block: i32, top: i32, shape: &Shape) -> u32 {
    u32::cast_from(apart(top_of_block, top)) + shape.spare
}

/// How far a block lies below its group, 63 at most; no difference overflows.
#[cube]
fn apart(top_of_block: i32, top: i32) -> i32 {
    let far = top_of_block < NO_WEIGHT / 2i32 || top - 63i32 > top_of_block;
    select(far, 63i32, top - top_of_block)
}

/// A block's squares in units of its group's largest weight.
#[cube]
pub fn square_of(record: &BlockRecord, top: i32) -> f32 {
    let below = apart(record.top, top);
    record.square * two_to::<One>(Vector::new(-2i32 * below)).extract(0usize)
}

/// What is decided of a group: see the page.
#[cube]
pub fn decide(whole: &Whole, share: f32, shape: &Shape) -> f32 {
    let sum = sum_of(whole, shape);
    let few = sum * sum < share * f32::cast_from(shape.slots) * whole.square;
    if whole.top == BAD_WEIGHT {
        -2.0f32.runtime()
    } else if whole.top == NO_WEIGHT {
        -1.0f32.runtime()
    } else if few {
        1.0f32.runtime()
    } else {
        0.0f32.runtime()
    }
}

/// The sum of the weights in units of 2^top.
#[cube]
fn sum_of(whole: &Whole, shape: &Shape) -> f32 {
    // Both factors are powers of two.
    let spare = two_to::<One>(Vector::new(i32::cast_from(shape.spare))).extract(0usize);
    rounded(&whole.total) / shape.unit * spare
}

/// Books the record of group `group` at step `step`.
#[cube]
pub fn book(
    norms: &mut [f32],
    history: &mut [f32],
    shape: &Shape,
    group: u32,
    step: u32,
    whole: &Whole,
    decision: f32,
) {
    let sum = sum_of(whole, shape);
    let at = RECORD * group as usize;
    norms[at] = f32::cast_from(whole.top);
    norms[at + 1] = sum;
    norms[at + 2] = whole.square;
    norms[at + 3] = decision;
    let row = RECORD * (step * shape.groups + group) as usize;
    history[row] = f32::cast_from(whole.top);
    history[row + 1] = sum;
    history[row + 2] = whole.square;
    history[row + 3] = decision;
}

/// The teeth of a group's comb: slot j lies at (j `total` + `offset`) / `slots`.
#[derive(CubeType, Clone, Copy)]
pub struct Comb {
    /// Sum of the weights.
    pub total: Fixed,
    /// Below it.
    pub offset: Fixed,
    /// Slots of the group.
    pub slots: u32,
    /// Slots a unit of weight, about.
    pub density: f32,
}

/// The comb of a group at a step.
#[cube]
pub fn comb(seeds: &[u32], group: u32, step: u32, whole: &Whole, shape: &Shape) -> Comb {
    let stream = Stream::<One> {
        slot: lanes::<One>(0u32.runtime()),
        step,
        tag: comptime!(tag(purpose::RESAMPLE, 0)).runtime(),
        key0: seeds[2 * group as usize],
        key1: seeds[2 * group as usize + 1],
    };
    let word = words::<One>(&stream, stream.slot, 0u32.runtime()).w0.extract(0usize);
    let offset = fraction(&whole.total, word);
    let density = f32::cast_from(shape.slots) / rounded(&whole.total);
    let total = Fixed { hi: whole.total.hi, lo: whole.total.lo };
    Comb { total, offset, slots: shape.slots, density }
}

/// Whether slot `slot` lies at `prefix` or after it.
#[cube]
pub fn after(teeth: &Comb, slot: u32, prefix: &Fixed) -> bool {
    slot >= teeth.slots || reaches(&teeth.total, slot, &teeth.offset, prefix, teeth.slots)
}

/// The first slot at `prefix` or after it; `guess` may be wrong by a few.
#[cube]
pub fn first_after(teeth: &Comb, prefix: &Fixed, guess: u32) -> u32 {
    let mut slot = select(guess < teeth.slots, guess, teeth.slots);
    while !after(teeth, slot, prefix) {
        slot += 1u32;
    }
    let mut found = false.runtime();
    while slot > 0u32 && !found {
        if after(teeth, slot - 1u32, prefix) {
            slot -= 1u32;
        } else {
            found = true;
        }
    }
    slot
}
