//! Schemes that need no sums: a slot compares its own particle with others, one after the other.

use cubecl::prelude::*;

use super::kernel::{Whole, block_record, shift_of};
use super::kernel_draws::{Draw, DrawKey, Draws, drawn};
use super::scheme::{SEGMENT, TRIALS, iteration};
use crate::passes::weights::kernel::{Scale, Weights, integer, measured, scale_of, weights_at};
use crate::prims::fixed::{add, along, below, shift_right};
use crate::prims::monoid::{FixedSum, Monoid, One};
use crate::prims::philox::lanes;
use crate::prims::state::{Shape, gather};

/// Ancestors of the slots from `slot` on.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn wander<N: Size>(
    values: &[f32],
    records: &[u32],
    shape: &Shape,
    whole: &Whole,
    draws: &Draws,
    group: u32,
    slot: u32,
    steps: u32,
    #[comptime] key: DrawKey,
) -> Vector<u32, N> {
    let scale = scale_of(whole.top);
    let kind = comptime!(key.tally.kind);
    if comptime!(key.draw == Draw::Metropolis) {
        metropolis::<N>(values, shape, &scale, draws, group, slot, steps, kind)
    } else if comptime!(key.draw == Draw::Megopolis) {
        megopolis::<N>(values, shape, &scale, draws, group, slot, steps, kind)
    } else {
        rejection::<N>(values, records, shape, whole, &scale, draws, group, slot, kind)
    }
}

/// Weights in units of the group's 2^E; zero where they are below 2^-80 of it, so that products with them
/// are clear of the subnormal numbers.
#[cube]
fn compared<N: Size>(
    values: &[f32],
    shape: &Shape,
    scale: &Scale,
    group: u32,
    own: Vector<u32, N>,
    #[comptime] kind: Weights,
) -> Vector<f32, N> {
    let found = gather::<f32, N>(values, (group * shape.padded) as usize, own);
    let w = measured::<N>(found, scale, kind);
    // 2^-80.
    select_many(w.less_than(&Vector::new(8.271_806e-25f32)), Vector::new(0.0f32), w)
}

/// floor((w0 2^32 + w1) K / 2^64).
#[cube]
fn index<N: Size>(w0: Vector<u32, N>, w1: Vector<u32, N>, slots: u32) -> Vector<u32, N> {
    let k = Vector::<u32, N>::new(slots);
    let low = w0 * k;
    let sum = low + w1.mul_hi(k);
    w0.mul_hi(k) + select_many(sum.less_than(&low), Vector::new(1u32), Vector::new(0u32))
}

/// Words as numbers in [0, 1): their first 24 digits, so that nothing is rounded.
#[cube]
fn unit<N: Size>(word: Vector<u32, N>) -> Vector<f32, N> {
    let small = word.less_than(&Vector::new(0x0100_0000u32));
    let kept = select_many(small, word, word & Vector::new(0xffff_ff00u32));
    Vector::<f32, N>::cast_from(kept) * Vector::new(2.328_306_4e-10f32)
}

/// Where a lane stands, and what it weighs.
#[derive(CubeType, CubeTypeMut, Clone, Copy)]
struct Walker<N: Size> {
    own: Vector<u32, N>,
    weight: Vector<f32, N>,
}

/// One comparison: goes to `other` where u w < w'.
#[cube]
fn compare<N: Size>(
    walker: &mut Walker<N>,
    other: Vector<u32, N>,
    weight: Vector<f32, N>,
    word: Vector<u32, N>,
) {
    let goes = (unit::<N>(word) * walker.weight).less_than(&weight);
    walker.own = select_many(goes, other, walker.own);
    walker.weight = select_many(goes, weight, walker.weight);
}

#[cube]
#[allow(clippy::too_many_arguments)]
fn metropolis<N: Size>(
    values: &[f32],
    shape: &Shape,
    scale: &Scale,
    draws: &Draws,
    group: u32,
    slot: u32,
    steps: u32,
    #[comptime] kind: Weights,
) -> Vector<u32, N> {
    let slots = lanes::<N>(slot);
    let own = inside::<N>(slots, shape);
    let mut walker = Walker::<N> { own, weight: compared::<N>(values, shape, scale, group, own, kind) };
    for b in 0..steps {
        let w = drawn::<N>(draws, slots, b, iteration::CHAIN);
        let other = index::<N>(w.w0, w.w1, shape.slots);
        let weight = compared::<N>(values, shape, scale, group, other, kind);
        compare::<N>(&mut walker, other, weight, w.w2);
    }
    walker.own
}

/// Lanes behind the group do as its last slot does.
#[cube]
fn inside<N: Size>(slots: Vector<u32, N>, shape: &Shape) -> Vector<u32, N> {
    let end = Vector::<u32, N>::new(shape.slots);
    select_many(slots.less_than(&end), slots, end - Vector::new(1u32))
}

#[cube]
#[allow(clippy::too_many_arguments)]
fn megopolis<N: Size>(
    values: &[f32],
    shape: &Shape,
    scale: &Scale,
    draws: &Draws,
    group: u32,
    slot: u32,
    steps: u32,
    #[comptime] kind: Weights,
) -> Vector<u32, N> {
    let slots = lanes::<N>(slot);
    let own = inside::<N>(slots, shape);
    let segment = select(shape.slots.is_multiple_of(SEGMENT), SEGMENT, 1u32);
    let mut walker = Walker::<N> { own, weight: compared::<N>(values, shape, scale, group, own, kind) };
    let mut b = 0u32.runtime();
    while b < steps {
        // Four tests a block of words, two distances.
        let tests = drawn::<N>(draws, slots, b / 4u32, iteration::CHAIN);
        #[unroll]
        for pair in 0..2u32 {
            let at = lanes::<One>(b / 2u32 + pair);
            let shared = drawn::<One>(draws, at, 0u32.runtime(), iteration::SHARED);
            #[unroll]
            for half in 0..2u32 {
                let distance = if comptime!(half == 0) {
                    index::<One>(shared.w0, shared.w1, shape.slots)
                } else {
                    index::<One>(shared.w2, shared.w3, shape.slots)
                };
                let word = match comptime!(2 * pair + half) {
                    0 => tests.w0,
                    1 => tests.w1,
                    2 => tests.w2,
                    _ => tests.w3,
                };
                if b + comptime!(2 * pair + half) < steps {
                    let other = rotated::<N>(own, distance.extract(0usize), segment, shape.slots);
                    let weight = compared::<N>(values, shape, scale, group, other, kind);
                    compare::<N>(&mut walker, other, weight, word);
                }
            }
        }
        b += 4u32;
    }
    walker.own
}

/// Slots `distance` further on, segments first and then inside their segments.
#[cube]
fn rotated<N: Size>(own: Vector<u32, N>, distance: u32, segment: u32, slots: u32) -> Vector<u32, N> {
    let size = Vector::<u32, N>::new(segment);
    let inner = distance % segment;
    let aligned = own - own % size + Vector::new(distance - inner);
    let end = Vector::<u32, N>::new(slots);
    let wrapped = select_many(aligned.less_than(&end), aligned, aligned - end);
    wrapped + (own + Vector::new(distance)) % size
}

#[cube]
#[allow(clippy::too_many_arguments)]
fn rejection<N: Size>(
    values: &[f32],
    records: &[u32],
    shape: &Shape,
    whole: &Whole,
    scale: &Scale,
    draws: &Draws,
    group: u32,
    slot: u32,
    #[comptime] kind: Weights,
) -> Vector<u32, N> {
    let slots = lanes::<N>(slot);
    let (one, zero) = (Vector::<u32, N>::new(1u32), Vector::<u32, N>::new(0u32));
    let own = inside::<N>(slots, shape);
    let mut parents = own;
    let mut open = one;
    let mut trial = 0u32.runtime();
    let mut left = N::value() as u32;
    while left > 0u32 && trial < TRIALS {
        let w = drawn::<N>(draws, slots, trial, iteration::CHAIN);
        let other = index::<N>(w.w0, w.w1, shape.slots);
        let candidate = if trial == 0u32 { own } else { other };
        let weight = compared::<N>(values, shape, scale, group, candidate, kind);
        // A weight is below two units.
        let share = Vector::<u32, N>::cast_from(weight * Vector::new(2_147_483_648.0f32));
        let hit = w.w2.less_than(&select_many(open.equal(&one), share, zero));
        parents = select_many(hit, candidate, parents);
        open = select_many(hit, zero, open);
        left = open.extract(0usize);
        #[unroll]
        for lane in 1..N::value() {
            left += open.extract(lane);
        }
        trial += 1u32;
    }
    if left > 0u32 {
        let w = drawn::<N>(draws, slots, comptime!(TRIALS).runtime(), iteration::CHAIN);
        #[unroll]
        for lane in 0..N::value() {
            if open.extract(lane) == 1u32 {
                let (high, low) = (w.w0.extract(lane), w.w1.extract(lane));
                parents.insert(lane, seek(values, records, shape, whole, group, high, low, kind));
            }
        }
    }
    parents
}

/// The particle at an independent point, found from the group's beginning by one unit.
#[cube]
#[allow(clippy::too_many_arguments)]
fn seek(
    values: &[f32],
    records: &[u32],
    shape: &Shape,
    whole: &Whole,
    group: u32,
    high: u32,
    low: u32,
    #[comptime] kind: Weights,
) -> u32 {
    let point = along(&whole.total, high, low, 32u32.runtime());
    let mut offset = FixedSum::identity();
    let mut block = 0u32.runtime();
    let mut found = false.runtime();
    while !found && block + 1u32 < shape.blocks {
        let record = block_record(records, group * shape.blocks + block);
        let next = add(&offset, &shift_right(&record.sum, shift_of(record.top, whole.top, shape)));
        if below(&point, &next) {
            found = true;
        } else {
            offset = next;
            block += 1u32;
        }
    }
    let record = block_record(records, group * shape.blocks + block);
    let shift = shift_of(record.top, whole.top, shape);
    let scale = scale_of(record.top);
    let mut slot = block * shape.block;
    let last = slot + shape.block;
    let last = select(last < shape.slots, last, shape.slots) - 1u32;
    let mut through = FixedSum::identity();
    let mut here = false.runtime();
    while !here && slot < last {
        let at = (group * shape.padded + slot) as usize;
        let w = weights_at::<One>(values, shape, &scale, slot, at, kind);
        through = add(&through, &integer(w.extract(0usize), shape));
        if below(&point, &add(&offset, &shift_right(&through, shift))) {
            here = true;
        } else {
            slot += 1u32;
        }
    }
    slot
}
