//! A block's weights as integers, and their sums.

use cubecl::prelude::*;

use super::{BAD_WEIGHT, LARGEST_LOG_WEIGHT, NO_WEIGHT, RECORD};
use crate::passes::{Sharing, block_stride, first_block, first_vector, vector_stride};
use crate::prims::cube;
use crate::prims::fixed::{self, Fixed};
use crate::prims::math::{Shift, exp_shifted, exponent_of, larger, not_finite, shift_by, two_to};
use crate::prims::monoid::{FixedSum, Max, MaxInt, Monoid, Sum};
use crate::prims::philox::lanes;
use crate::prims::state::{Block, Shape, block_at, load, occupied};

/// What the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weights {
    /// Log-weights; -1e30, or anything below -9e7, is weight zero.
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

/// A block's largest weight, as weights are measured by it.
#[derive(CubeType, Clone, Copy)]
pub struct Scale {
    /// Its exponent.
    top: i32,
    /// The same for log-weights.
    shift: Shift,
}

/// The scale of a block whose record says `top`.
#[cube]
pub fn scale_of(top: i32) -> Scale {
    // Without a weight to measure by, what is there measures as nothing.
    let odd = top == NO_WEIGHT || top == BAD_WEIGHT;
    Scale { top, shift: shift_by(select(odd, 0i32, top)) }
}

/// The weights of the slots from `slot` on, which lie at `at`, in units of 2^top; none outside of the group.
#[cube]
pub fn weights_at<N: Size>(
    values: &[f32],
    shape: &Shape,
    scale: &Scale,
    slot: u32,
    at: usize,
    #[comptime] kind: Weights,
) -> Vector<f32, N> {
    let w = measured::<N>(load::<f32, N>(values, at), scale, kind);
    select_many(occupied::<N>(shape, lanes::<N>(slot)), w, Vector::new(0.0f32))
}

/// Weights in units of 2^top, at least 2^-100 where they are log-weights.
#[cube]
pub fn measured<N: Size>(value: Vector<f32, N>, scale: &Scale, #[comptime] kind: Weights) -> Vector<f32, N> {
    match comptime!(kind) {
        Weights::Log => {
            let least = Vector::new(-LARGEST_LOG_WEIGHT);
            let w = exp_shifted::<N>(larger::<N>(value, least), &scale.shift);
            select_many(value.less_than(&least), Vector::new(0.0f32), w)
        }
        Weights::Linear => {
            // Digits, and an exponent that is at most top.
            let bits = Vector::<u32, N>::reinterpret(value);
            let field = Vector::<i32, N>::cast_from((bits >> Vector::new(23u32)) & Vector::new(0xffu32));
            let digits = (bits & Vector::new(0x007f_ffffu32)) | Vector::new(0x3f80_0000u32);
            let below = field - Vector::new(scale.top + 127i32);
            let kept = field.greater_than(&Vector::new(0i32));
            let near = below.greater_than(&Vector::new(-126i32));
            let below = select_many(near, below, Vector::new(-126i32));
            let w = Vector::<f32, N>::reinterpret(digits) * two_to::<N>(below);
            select_many(kept, w, Vector::new(0.0f32))
        }
    }
}

/// The largest exponent of this unit's share of a block, [`NO_WEIGHT`] or [`BAD_WEIGHT`].
#[cube]
fn top_of<N: Size>(values: &[f32], shape: &Shape, block: &Block, #[comptime] key: TallyKey) -> i32 {
    let base = block.group * shape.padded;
    let mut most = Vector::<f32, N>::new(-2.0f32 * LARGEST_LOG_WEIGHT);
    let bad = Vector::new(2.0f32 * LARGEST_LOG_WEIGHT);
    let none = Vector::new(-2.0f32 * LARGEST_LOG_WEIGHT);
    let mut v = first_vector(key.sharing);
    while v < block.vectors {
        let slot = block.first + v * N::value() as u32;
        let value = load::<f32, N>(values, (base + slot) as usize);
        let odd = not_finite::<N>(value);
        let bits = Vector::<u32, N>::reinterpret(value);
        let own = match comptime!(key.kind) {
            Weights::Log => {
                let own = select_many(odd, bad, value);
                select_many(bits.equal(&Vector::new(0xff80_0000u32)), none, own)
            }
            Weights::Linear => {
                // The exponent field, which is as good an order.
                let field = (bits >> Vector::new(23u32)) & Vector::new(0xffu32);
                let own = Vector::<f32, N>::cast_from(field);
                let own = select_many(field.equal(&Vector::new(0u32)), none, own);
                let own = select_many(value.less_than(&Vector::new(0.0f32)), bad, own);
                select_many(odd, bad, own)
            }
        };
        let own = select_many(occupied::<N>(shape, lanes::<N>(slot)), own, none);
        most = larger::<N>(most, own);
        v += vector_stride(key.sharing);
    }
    let top = cube::across::<Max, N>(most);
    if top > LARGEST_LOG_WEIGHT {
        BAD_WEIGHT.runtime()
    } else if top < -LARGEST_LOG_WEIGHT {
        NO_WEIGHT.runtime()
    } else {
        match comptime!(key.kind) {
            Weights::Log => exponent_of(top),
            Weights::Linear => i32::cast_from(top - 127.0f32),
        }
    }
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
    let mut top = top_of::<N>(values, shape, block, key);
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
fn sums<N: Size>(values: &[f32], shape: &Shape, block: &Block, top: i32, #[comptime] key: TallyKey) -> Sums {
    let base = block.group * shape.padded;
    let scale = scale_of(top);
    let mut squares = Vector::<f32, N>::new(0.0f32);
    let mut total = FixedSum::identity();
    if comptime!(key.wide) {
        let mut wide = Vector::<u64, N>::new(0u64);
        let mut v = first_vector(key.sharing);
        while v < block.vectors {
            let slot = block.first + v * N::value() as u32;
            let w = weights_at::<N>(values, shape, &scale, slot, (base + slot) as usize, key.kind);
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
            let w = weights_at::<N>(values, shape, &scale, slot, (base + slot) as usize, key.kind);
            squares = fma(w, w, squares);
            #[unroll]
            for lane in 0..N::value() {
                total = fixed::add(&total, &integer(w.extract(lane), shape));
            }
            v += vector_stride(key.sharing);
        }
    }
    Sums { total, square: cube::across::<Sum, N>(squares) }
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
