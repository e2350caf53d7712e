//! A block's weights as integers, and their sums.

use cubecl::prelude::*;

use super::{BAD_WEIGHT, LARGEST_LOG_WEIGHT, NO_WEIGHT, RECORD};
use crate::passes::{Sharing, block_stride, first_block, first_vector, vector_stride};
use crate::prims::cube;
use crate::prims::fixed::{self, Fixed};
use crate::prims::math::{larger_of, not_finite, power, two_to};
use crate::prims::monoid::{FixedSum, MaxInt, Monoid, Sum};
use crate::prims::philox::lanes;
use crate::prims::state::{Block, Shape, block_at, load, occupied};

/// What the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weights {
    /// Log-weights; -1e30, or anything below -1e9, is weight zero.
    Log,
    /// Weights, not negative; below 2^-126 they count as zero.
    Linear,
}

/// What changes the generated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TallyKey {
    /// What the numbers are.
    pub kind: Weights,
    /// 64-bit integers and f64 are there, and worth using.
    pub wide: bool,
    /// How units share blocks.
    pub sharing: Sharing,
}

/// A weight: mantissa 2^exponent.
#[derive(CubeType, Clone, Copy)]
pub struct Scaled<N: Size> {
    /// Below 2; 0 where the weight is zero or bad.
    pub mantissa: Vector<f32, N>,
    /// A whole number, [`NO_WEIGHT`] or [`BAD_WEIGHT`].
    pub exponent: Vector<i32, N>,
}

/// The weights of the slots from `slot` on, which lie at `at`; none outside of the group.
#[cube]
pub fn weights_at<N: Size>(
    values: &[f32],
    shape: &Shape,
    slot: u32,
    at: usize,
    #[comptime] kind: Weights,
) -> Scaled<N> {
    let value = load::<f32, N>(values, at);
    let own = match comptime!(kind) {
        Weights::Log => from_log::<N>(value),
        Weights::Linear => from_linear::<N>(value),
    };
    let inside = occupied::<N>(shape, lanes::<N>(slot));
    let none = Vector::new(NO_WEIGHT);
    let exponent = select_many(inside, own.exponent, none);
    // Neither zero nor bad weights have digits.
    let odd = exponent.greater_than(&Vector::new(BAD_WEIGHT - 1));
    let zero = Vector::new(0.0f32);
    let digits = select_many(odd, zero, own.mantissa);
    let odd = exponent.less_than(&Vector::new(NO_WEIGHT + 1));
    Scaled::<N> { mantissa: select_many(odd, zero, digits), exponent }
}

#[cube]
fn from_log<N: Size>(value: Vector<f32, N>) -> Scaled<N> {
    let (limit, lowest) = (Vector::new(LARGEST_LOG_WEIGHT), Vector::new(-LARGEST_LOG_WEIGHT));
    let odd = not_finite::<N>(value);
    let infinite = Vector::<u32, N>::reinterpret(value).equal(&Vector::new(0xff80_0000u32));
    let value = select_many(odd, Vector::new(2.0f32 * LARGEST_LOG_WEIGHT), value);
    let value = select_many(infinite, Vector::new(-2.0f32 * LARGEST_LOG_WEIGHT), value);
    let dead = value.less_than(&lowest);
    let bad = value.greater_than(&limit);
    let clean = select_many(dead, lowest, value);
    let y = power::<N>(select_many(bad, limit, clean));
    let exponent = select_many(dead, Vector::new(NO_WEIGHT), y.exponent);
    Scaled::<N> { mantissa: y.mantissa, exponent: select_many(bad, Vector::new(BAD_WEIGHT), exponent) }
}

#[cube]
fn from_linear<N: Size>(value: Vector<f32, N>) -> Scaled<N> {
    let bits = Vector::<u32, N>::reinterpret(value);
    let field = (bits >> Vector::new(23u32)) & Vector::new(0xffu32);
    let digits = (bits & Vector::new(0x007f_ffffu32)) | Vector::new(0x3f80_0000u32);
    let exponent = Vector::<i32, N>::cast_from(field) - Vector::new(127i32);
    let dead = field.equal(&Vector::new(0u32));
    let exponent = select_many(dead, Vector::new(NO_WEIGHT), exponent);
    let bad = Vector::new(BAD_WEIGHT);
    let exponent = select_many(field.equal(&Vector::new(0xffu32)), bad, exponent);
    let exponent = select_many(value.less_than(&Vector::new(0.0f32)), bad, exponent);
    Scaled::<N> { mantissa: Vector::<f32, N>::reinterpret(digits), exponent }
}

/// Weights in units of 2^`top`, where `top` is at least every exponent.
#[cube]
pub fn relative<N: Size>(w: &Scaled<N>, top: i32) -> Vector<f32, N> {
    let lowest = Vector::new(-126i32);
    // Neither end of the range is near: no difference overflows.
    let capped = larger_of::<N>(w.exponent, Vector::new(select(top > 0i32, top - 200i32, NO_WEIGHT)));
    let below = capped - Vector::new(top);
    w.mantissa * two_to::<N>(select_many(below.less_than(&lowest), lowest, below))
}

/// Writes the record of block number `index`: exponent, two words of the sum, squares. Reads only what
/// this unit's own turns of the block wrote. `memory`: four words a unit, where units share a block.
#[cube]
pub fn record_block<N: Size>(
    values: &[f32],
    shape: &Shape,
    block: &Block,
    index: u32,
    records: &mut [u32],
    memory: &mut [u32],
    #[comptime] key: TallyKey,
) {
    let base = block.group * shape.padded;
    let mut tops = Vector::<i32, N>::new(NO_WEIGHT);
    let mut v = first_vector(key.sharing);
    while v < block.vectors {
        let slot = block.first + v * N::value() as u32;
        let own = weights_at::<N>(values, shape, slot, (base + slot) as usize, key.kind);
        tops = larger_of::<N>(tops, own.exponent);
        v += vector_stride(key.sharing);
    }
    let mut top = tops.extract(0usize);
    #[unroll]
    for lane in 1..N::value() {
        top = MaxInt::combine(&top, &tops.extract(lane));
    }
    if comptime!(key.sharing.together) {
        top = cube::reduce::<MaxInt>(top, memory, key.sharing.units);
    }
    let sums = sums::<N>(values, shape, block, top, key);
    let at = RECORD * index as usize;
    if comptime!(key.sharing.together) {
        let total = cube::reduce::<FixedSum>(sums.total, memory, key.sharing.units);
        let square = cube::reduce::<Sum>(sums.square, memory, key.sharing.units);
        if UNIT_POS == 0u32 {
            store_record(records, at, top, &total, square);
        }
    } else {
        store_record(records, at, top, &sums.total, sums.square);
    }
}

#[cube]
fn store_record(records: &mut [u32], at: usize, top: i32, total: &Fixed, square: f32) {
    records[at] = u32::reinterpret(top);
    records[at + 1] = total.hi;
    records[at + 2] = total.lo;
    records[at + 3] = u32::reinterpret(square);
}

/// What weights add up to.
#[derive(CubeType, Clone, Copy)]
struct Sums {
    total: Fixed,
    square: f32,
}

/// The sums of this unit's share of a block.
#[cube]
fn sums<N: Size>(
    values: &[f32],
    shape: &Shape,
    block: &Block,
    top: i32,
    #[comptime] key: TallyKey,
) -> Sums {
    let base = block.group * shape.padded;
    let mut squares = Vector::<f32, N>::new(0.0f32);
    let mut total = FixedSum::identity();
    if comptime!(key.wide) {
        let mut wide = Vector::<u64, N>::new(0u64);
        let mut v = first_vector(key.sharing);
        while v < block.vectors {
            let slot = block.first + v * N::value() as u32;
            let own = weights_at::<N>(values, shape, slot, (base + slot) as usize, key.kind);
            let w = relative::<N>(&own, top);
            squares = fma(w, w, squares);
            wide += Vector::<u64, N>::cast_from(w * Vector::new(shape.unit));
            v += vector_stride(key.sharing);
        }
        let mut all = wide.extract(0usize);
        #[unroll]
        for lane in 1..N::value() {
            all += wide.extract(lane);
        }
        total = fixed::split(all);
    } else {
        let mut v = first_vector(key.sharing);
        while v < block.vectors {
            let slot = block.first + v * N::value() as u32;
            let own = weights_at::<N>(values, shape, slot, (base + slot) as usize, key.kind);
            let w = relative::<N>(&own, top);
            squares = fma(w, w, squares);
            #[unroll]
            for lane in 0..N::value() {
                total = fixed::add(&total, &integer(w.extract(lane), shape));
            }
            v += vector_stride(key.sharing);
        }
    }
    let mut square = squares.extract(0usize);
    #[unroll]
    for lane in 1..N::value() {
        square += squares.extract(lane);
    }
    Sums { total, square }
}

/// A weight in units of its block's largest as an integer.
#[cube]
pub fn integer(w: f32, shape: &Shape) -> Fixed {
    fixed::from_weight(w, shape.unit * 2.328_306_4e-10f32)
}

/// Records of all blocks of weights that came from elsewhere.
#[cube(launch)]
pub fn tally_kernel<N: Size>(values: &[f32], records: &mut [u32], shape: Shape, #[comptime] key: TallyKey) {
    let total = shape.total_blocks();
    let mut index = first_block(key.sharing);
    while index < total {
        let block = block_at::<N>(&shape, index);
        if comptime!(key.sharing.together) {
            let mut memory = Shared::<[u32]>::new_slice(comptime!(4 * key.sharing.units as usize));
            record_block::<N>(values, &shape, &block, index, records, &mut memory, key);
        } else {
            let mut memory = Array::<u32>::new(1usize);
            record_block::<N>(values, &shape, &block, index, records, memory.as_mut_slice(), key);
        }
        index += block_stride(key.sharing);
    }
}
