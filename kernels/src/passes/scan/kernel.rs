//! Three kernels over one idea; what an element is, a [`Source`] says.

use cubecl::prelude::*;

use crate::passes::{Sharing, block_stride, first_block};
use crate::prims::cube;
use crate::prims::fixed::{Fixed, from_weight};
use crate::prims::monoid::{FixedSum, LogSumExp, Lse, Max, Monoid, One, Sum, lse_item};
use crate::prims::state::{Shape, block_at};

/// How elements of a monoid are made from the numbers in memory.
#[cube]
pub trait Source<M: Monoid>: 'static + Send + Sync {
    /// The element of `value`.
    fn item(value: f32) -> M::Item;
}

/// The numbers themselves, summed.
pub struct Values;

#[cube]
impl Source<Sum> for Values {
    fn item(value: f32) -> f32 {
        value
    }
}

/// The numbers themselves, maximised.
pub struct Maxima;

#[cube]
impl Source<Max> for Maxima {
    fn item(value: f32) -> f32 {
        value
    }
}

/// Log-weights, summed as weights with their squares.
pub struct LogWeights;

#[cube]
impl Source<LogSumExp> for LogWeights {
    fn item(value: f32) -> Lse<One> {
        lse_item::<One>(Vector::new(value))
    }
}

/// Numbers in [0, 1] as integers, in units of 2^-40.
pub struct Integers;

#[cube]
impl Source<FixedSum> for Integers {
    fn item(value: f32) -> Fixed {
        from_weight(value, 256.0f32)
    }
}

/// A unit's share of a block: consecutive elements.
#[derive(CubeType, Clone, Copy)]
struct Share {
    group: u32,
    first: u32,
    last: u32,
}

#[cube]
fn share(shape: &Shape, index: u32, #[comptime] sharing: Sharing) -> Share {
    let block = block_at::<One>(shape, index);
    let end = block.first + block.vectors;
    let end = if end < shape.slots { end } else { shape.slots };
    if comptime!(sharing.together) {
        let each = (block.vectors + comptime!(sharing.units - 1)) / comptime!(sharing.units);
        let first = block.first + UNIT_POS * each;
        let first = if first < end { first } else { end };
        let last = first + each;
        Share { group: block.group, first, last: if last < end { last } else { end } }
    } else {
        Share { group: block.group, first: block.first, last: end }
    }
}

/// Writes one element a block.
#[cube(launch)]
pub fn totals_kernel<M: Monoid, S: Source<M>>(
    input: &[f32],
    totals: &mut [u32],
    shape: Shape,
    #[comptime] sharing: Sharing,
) {
    let mut memory = Shared::<[u32]>::new_slice(comptime!(words(sharing)));
    let count = shape.total_blocks();
    let mut index = first_block(sharing);
    while index < count {
        let part = share(&shape, index, sharing);
        let at = index as usize;
        M::store(totals, at, &M::identity());
        if comptime!(sharing.together) {
            let slot = UNIT_POS as usize;
            M::store(&mut memory, slot, &M::identity());
            for i in part.first..part.last {
                let item = S::item(input[(part.group * shape.padded + i) as usize]);
                let so_far = M::load(&memory, slot);
                M::store(&mut memory, slot, &M::combine(&so_far, &item));
            }
            let mine = M::load(&memory, slot);
            let all = cube::reduce::<M>(mine, &mut memory, sharing.units);
            if UNIT_POS == 0u32 {
                M::store(totals, at, &all);
            }
        } else {
            for i in part.first..part.last {
                let item = S::item(input[(part.group * shape.padded + i) as usize]);
                let so_far = M::load(&*totals, at);
                M::store(totals, at, &M::combine(&so_far, &item));
            }
        }
        index += block_stride(sharing);
    }
}

/// Words of shared memory: an element of the largest monoid a unit.
fn words(sharing: Sharing) -> usize {
    if sharing.together { 4 * sharing.units as usize } else { 1 }
}

/// Turns the totals of each group's blocks into exclusive offsets; the group's total is written
/// behind all offsets. One cube a group, units in order.
#[cube(launch)]
pub fn offsets_kernel<M: Monoid>(
    totals: &[u32],
    offsets: &mut [u32],
    shape: Shape,
    #[comptime] sharing: Sharing,
) {
    let mut memory = Shared::<[u32]>::new_slice(comptime!(words(sharing)));
    let mut group = first_block(sharing);
    while group < shape.groups {
        let base = group * shape.blocks;
        let whole = (shape.total_blocks() + group) as usize;
        if comptime!(sharing.together) {
            let each = (shape.blocks + comptime!(sharing.units - 1)) / comptime!(sharing.units);
            let first = UNIT_POS * each;
            let first = if first < shape.blocks { first } else { shape.blocks };
            let last = first + each;
            let last = if last < shape.blocks { last } else { shape.blocks };
            let slot = UNIT_POS as usize;
            M::store(&mut memory, slot, &M::identity());
            for b in first..last {
                let so_far = M::load(&memory, slot);
                M::store(&mut memory, slot, &M::combine(&so_far, &M::load(totals, (base + b) as usize)));
            }
            let mine = M::load(&memory, slot);
            let through = cube::scan::<M>(mine, &mut memory, sharing.units);
            M::store(&mut memory, slot, &through);
            sync_cube();
            if first < last {
                let at = (base + first) as usize;
                if UNIT_POS == 0u32 {
                    M::store(offsets, at, &M::identity());
                } else {
                    M::store(offsets, at, &M::load(&memory, slot - 1));
                }
                for b in first + 1u32..last {
                    let at = (base + b) as usize;
                    let so_far = M::load(&*offsets, at - 1);
                    M::store(offsets, at, &M::combine(&so_far, &M::load(totals, at - 1)));
                }
            }
            if UNIT_POS == comptime!(sharing.units - 1) {
                M::store(offsets, whole, &through);
            }
            sync_cube();
        } else {
            M::store(offsets, whole, &M::identity());
            for b in 0..shape.blocks {
                let at = (base + b) as usize;
                let so_far = M::load(&*offsets, whole);
                M::store(offsets, at, &so_far);
                M::store(offsets, whole, &M::combine(&so_far, &M::load(totals, at)));
            }
        }
        group += block_stride(sharing);
    }
}

/// Writes the inclusive prefix of every element.
#[cube(launch)]
pub fn prefix_kernel<M: Monoid, S: Source<M>>(
    input: &[f32],
    offsets: &[u32],
    prefix: &mut [u32],
    shape: Shape,
    #[comptime] sharing: Sharing,
) {
    let mut memory = Shared::<[u32]>::new_slice(comptime!(words(sharing)));
    let count = shape.total_blocks();
    let mut index = first_block(sharing);
    while index < count {
        let part = share(&shape, index, sharing);
        let base = part.group * shape.padded;
        // Inside the unit's own share first, from the identity.
        for i in part.first..part.last {
            let at = (base + i) as usize;
            let item = S::item(input[at]);
            if i == part.first {
                M::store(prefix, at, &item);
            } else {
                let so_far = M::load(&*prefix, at - 1);
                M::store(prefix, at, &M::combine(&so_far, &item));
            }
        }
        if comptime!(sharing.together) {
            let slot = UNIT_POS as usize;
            M::store(&mut memory, slot, &M::identity());
            if part.first < part.last {
                M::store(&mut memory, slot, &M::load(&*prefix, (base + part.last - 1u32) as usize));
            }
            let mine = M::load(&memory, slot);
            let through = cube::scan::<M>(mine, &mut memory, sharing.units);
            M::store(&mut memory, slot, &through);
            sync_cube();
        }
        for i in part.first..part.last {
            let at = (base + i) as usize;
            let own = M::load(&*prefix, at);
            let offset = M::load(offsets, index as usize);
            if comptime!(sharing.together) {
                if UNIT_POS > 0u32 {
                    let earlier = M::combine(&offset, &M::load(&memory, UNIT_POS as usize - 1));
                    M::store(prefix, at, &M::combine(&earlier, &own));
                } else {
                    M::store(prefix, at, &M::combine(&offset, &own));
                }
            } else {
                M::store(prefix, at, &M::combine(&offset, &own));
            }
        }
        if comptime!(sharing.together) {
            sync_cube();
        }
        index += block_stride(sharing);
    }
}
