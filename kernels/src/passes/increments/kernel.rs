//! A group a worker; see the page.

use cubecl::prelude::*;

use crate::passes::weights::kernel::{TallyKey, record_block};
use crate::passes::weights::{LARGEST_LOG_WEIGHT, RECORD};
use crate::passes::{block_stride, first_block, first_vector, number, vector_stride};
use crate::prims::cube;
use crate::prims::fixed::Fixed;
use crate::prims::math::larger;
use crate::prims::monoid::{FixedSum, Sum};
use crate::prims::philox::lanes;
use crate::prims::state::{Shape, block_at, gather, load, occupied, store};

/// What is done to increments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MildKey {
    /// They are cut at a quantile.
    pub quantile: bool,
    /// Their mean is taken off.
    pub centre: bool,
    /// They are cut to an interval.
    pub clamp: bool,
    /// Survivors began with a weight that was handed on.
    pub handed: bool,
    /// Records.
    pub tally: TallyKey,
}

/// Where log-weights began.
#[derive(CubeLaunch, CubeType)]
pub struct Began {
    /// Before the step, `[stride]`.
    pub log_w: Box<[f32]>,
    /// What parents hand on, `[stride]`, where the key says that they do.
    pub handed: Box<[f32]>,
    /// Parents.
    pub ancestors: Box<[u32]>,
    /// Group records, which say who was resampled.
    pub norms: Box<[f32]>,
}

/// Particles side by side: where they began, what they got, and whether they count.
#[derive(CubeType, Clone, Copy)]
struct Gains<N: Size> {
    began: Vector<f32, N>,
    gain: Vector<f32, N>,
    alive: Vector<bool, N>,
}

/// Writes what the page says.
#[cube(launch)]
pub fn increments_kernel<N: Size>(
    began: Began,
    after: &mut [f32],
    records: &mut [u32],
    centres: &mut [f32],
    clock: &[u32],
    shape: Shape,
    quantile: f32,
    most: f32,
    step: u32,
    #[comptime] key: MildKey,
) {
    let units = comptime!(if key.tally.sharing.together { 4 * key.tally.sharing.units as usize } else { 1 });
    let mut memory = Shared::<[u32]>::new_slice(units);
    let step = number(step, clock);
    let mut group = first_block(key.tally.sharing);
    while group < shape.groups {
        let mut cap = 3.0e38f32.runtime();
        if comptime!(key.quantile) {
            cap = value_at::<N>(&began, &*after, &shape, group, quantile, &mut memory, key);
        }
        let mut centre = 0.0f32.runtime();
        if comptime!(key.centre) {
            centre = mean::<N>(&began, &*after, &shape, group, cap, &mut memory, key);
        }
        if comptime!(!key.tally.sharing.together) || UNIT_POS == 0u32 {
            centres[(step * shape.groups + group) as usize] = centre;
        }
        for b in 0..shape.blocks {
            let index = group * shape.blocks + b;
            let block = block_at::<N>(&shape, index);
            let mut v = first_vector(key.tally.sharing);
            while v < block.vectors {
                let slot = block.first + v * N::value() as u32;
                let own = gains::<N>(&began, &*after, &shape, group, slot, key);
                let mut gain = smaller::<N>(own.gain, Vector::new(cap)) - Vector::new(centre);
                if comptime!(key.clamp) {
                    gain = larger::<N>(smaller::<N>(gain, Vector::new(most)), Vector::new(-most));
                }
                let at = (group * shape.padded + slot) as usize;
                let old = load::<f32, N>(&*after, at);
                store::<f32, N>(after, at, select_many(own.alive, own.began + gain, old));
                v += vector_stride(key.tally.sharing);
            }
            record_block::<N>(&*after, &shape, &block, index, records, &mut memory, key.tally);
        }
        group += block_stride(key.tally.sharing);
    }
}

#[cube]
fn smaller<N: Size>(a: Vector<f32, N>, b: Vector<f32, N>) -> Vector<f32, N> {
    select_many(a.less_than(&b), a, b)
}

/// The particles from slot `slot` on.
#[cube]
fn gains<N: Size>(
    began: &Began,
    after: &[f32],
    shape: &Shape,
    group: u32,
    slot: u32,
    #[comptime] key: MildKey,
) -> Gains<N> {
    let base = (group * shape.padded) as usize;
    let at = base + slot as usize;
    let resampled = began.norms[RECORD * group as usize + 3] > 0.5f32;
    let first = if resampled {
        if comptime!(key.handed) {
            gather::<f32, N>(&began.handed, base, load::<u32, N>(&began.ancestors, at))
        } else {
            Vector::new(0.0f32)
        }
    } else {
        load::<f32, N>(&began.log_w, at)
    };
    let now = load::<f32, N>(after, at);
    let least = Vector::new(-LARGEST_LOG_WEIGHT);
    // In this order a NaN stays one, and is above nothing.
    let lower = smaller::<N>(first, now);
    let lower = select_many(occupied::<N>(shape, lanes::<N>(slot)), lower, least);
    let alive = lower.greater_than(&least);
    Gains::<N> { began: first, gain: now - first, alive }
}

/// Numbers whose order as integers is that of f32.
#[cube]
fn ordered<N: Size>(x: Vector<f32, N>) -> Vector<u32, N> {
    let bits = Vector::<u32, N>::reinterpret(x);
    let negative = bits.greater_than(&Vector::new(0x7fff_ffffu32));
    let flipped = Vector::new(0xffff_ffffu32) - bits;
    select_many(negative, flipped, bits + Vector::new(0x8000_0000u32))
}

/// How many of those that count lie below `bound` in that order; all of them below 2^32 - 1.
#[cube]
fn below<N: Size>(
    began: &Began,
    after: &[f32],
    shape: &Shape,
    group: u32,
    bound: u32,
    memory: &mut [u32],
    #[comptime] key: MildKey,
) -> u32 {
    let mut counts = Vector::<u32, N>::new(0u32);
    for b in 0..shape.blocks {
        let block = block_at::<N>(shape, group * shape.blocks + b);
        let mut v = first_vector(key.tally.sharing);
        while v < block.vectors {
            let slot = block.first + v * N::value() as u32;
            let own = gains::<N>(began, after, shape, group, slot, key);
            let none = Vector::new(0xffff_ffffu32);
            let key_of = select_many(own.alive, ordered::<N>(own.gain), none);
            counts +=
                select_many(key_of.less_than(&Vector::new(bound)), Vector::new(1u32), Vector::new(0u32));
            v += vector_stride(key.tally.sharing);
        }
    }
    let mut count = counts.extract(0usize);
    #[unroll]
    for lane in 1..N::value() {
        count += counts.extract(lane);
    }
    if comptime!(key.tally.sharing.together) {
        let item = Fixed { hi: 0u32.runtime(), lo: count };
        count = cube::reduce::<FixedSum>(item, memory, key.tally.sharing.units).lo;
    }
    count
}

/// The least increment that a share `quantile` of them does not exceed: found bit by bit.
#[cube]
fn value_at<N: Size>(
    began: &Began,
    after: &[f32],
    shape: &Shape,
    group: u32,
    quantile: f32,
    memory: &mut [u32],
    #[comptime] key: MildKey,
) -> f32 {
    let all = below::<N>(began, after, shape, group, 0xffff_ffffu32.runtime(), memory, key);
    let wanted = u32::cast_from((quantile * f32::cast_from(all)).ceil());
    let wanted = select(wanted > 0u32, wanted, 1u32);
    let mut found = 0u32.runtime();
    for i in 0..32u32 {
        let trial = found + (1u32 << (31u32 - i));
        let count = below::<N>(began, after, shape, group, trial, memory, key);
        found = select(count < wanted, trial, found);
    }
    let positive = found > 0x7fff_ffffu32;
    let bits = select(positive, found - 0x8000_0000u32, 0xffff_ffffu32 - found);
    f32::reinterpret(bits)
}

/// Mean increment, none counted above `cap`.
#[cube]
fn mean<N: Size>(
    began: &Began,
    after: &[f32],
    shape: &Shape,
    group: u32,
    cap: f32,
    memory: &mut [u32],
    #[comptime] key: MildKey,
) -> f32 {
    let mut sums = Vector::<f32, N>::new(0.0f32);
    for b in 0..shape.blocks {
        let block = block_at::<N>(shape, group * shape.blocks + b);
        let mut v = first_vector(key.tally.sharing);
        while v < block.vectors {
            let slot = block.first + v * N::value() as u32;
            let own = gains::<N>(began, after, shape, group, slot, key);
            let gain = smaller::<N>(own.gain, Vector::new(cap));
            sums += select_many(own.alive, gain, Vector::new(0.0f32));
            v += vector_stride(key.tally.sharing);
        }
    }
    let mut sum = cube::across::<Sum, N>(sums);
    if comptime!(key.tally.sharing.together) {
        sum = cube::reduce::<Sum>(sum, memory, key.tally.sharing.units);
    }
    let all = below::<N>(began, after, shape, group, 0xffff_ffffu32.runtime(), memory, key);
    sum / f32::cast_from(select(all > 0u32, all, 1u32))
}
