//! Residual resampling, first launch: what the particles of a block are worth in whole copies, and what is left.

use cubecl::prelude::*;

use super::kernel::decide;
use super::kernel_cube::gather_group;
use super::kernel_draws::{DrawKey, Side};
use super::kernel_lay::{EACH, lay, lay_alone, ruler_of};
use super::kernel_serial::add_up;
use crate::methods::{ESS_SHARE, ROW};
use crate::passes::weights::RECORD;
use crate::passes::{block_stride, first_block, number};
use crate::prims::fixed::Fixed;
use crate::prims::monoid::{FixedSum, Monoid};
use crate::prims::state::{MAX_BLOCKS, Shape};

/// A block a cube.
#[cube(launch)]
pub fn copies_kernel(
    values: &[f32],
    records: &[u32],
    parts: &mut [u32],
    coeffs: &[f32],
    clock: &[u32],
    shape: Shape,
    step: u32,
    #[comptime] key: DrawKey,
) {
    let step = number(step, clock);
    let units = comptime!(key.tally.sharing.units);
    let mut memory = Shared::<[u32]>::new_slice(comptime!(2 * units as usize));
    let mut offsets = Shared::<[u32]>::new_slice(comptime!(2 * MAX_BLOCKS));
    let mut sums = Shared::<[u32]>::new_slice(comptime!((2 * EACH * units) as usize));
    let mut index = CUBE_POS as u32;
    while index < shape.total_blocks() {
        let group = index / shape.blocks;
        let whole = gather_group(records, &shape, group, &mut memory, &mut offsets, units);
        if decide(&whole, coeffs[step as usize * ROW + ESS_SHARE], &shape) > 0.5f32 {
            let begin = (index - group * shape.blocks) * shape.block;
            let finish = begin + shape.block;
            let finish = select(finish < shape.slots, finish, shape.slots);
            let ruler = ruler_of(records, &shape, &whole, group, index - group * shape.blocks);
            let mut before = FixedSum::identity();
            let mut copies = FixedSum::identity();
            let mut left = FixedSum::identity();
            let mut start = begin;
            while start < finish {
                lay(
                    values,
                    &shape,
                    &whole,
                    &ruler,
                    &copies,
                    &before,
                    start,
                    finish,
                    &mut memory,
                    &mut sums,
                    Side::Copies,
                    key,
                );
                copies = FixedSum::load(&sums, comptime!((EACH * units) as usize - 1));
                sync_cube();
                before = lay(
                    values,
                    &shape,
                    &whole,
                    &ruler,
                    &left,
                    &before,
                    start,
                    finish,
                    &mut memory,
                    &mut sums,
                    Side::Remainders,
                    key,
                );
                left = FixedSum::load(&sums, comptime!((EACH * units) as usize - 1));
                sync_cube();
                start += comptime!(EACH * units);
            }
            if UNIT_POS == 0u32 {
                store(parts, index, &copies, &left);
            }
        }
        sync_cube();
        index += CUBE_COUNT as u32;
    }
}

#[cube]
fn store(parts: &mut [u32], index: u32, copies: &Fixed, left: &Fixed) {
    let at = RECORD * index as usize;
    parts[at] = copies.lo;
    parts[at + 1] = left.hi;
    parts[at + 2] = left.lo;
    parts[at + 3] = 0u32.runtime();
}

/// A block a unit.
#[cube(launch)]
pub fn copies_serial_kernel<N: Size>(
    values: &[f32],
    records: &[u32],
    parts: &mut [u32],
    coeffs: &[f32],
    clock: &[u32],
    shape: Shape,
    step: u32,
    #[comptime] key: DrawKey,
) {
    let step = number(step, clock);
    let turn = key.turn();
    let mut sums = Array::<u32>::new(comptime!(2 * turn as usize));
    let mut index = first_block(key.tally.sharing);
    while index < shape.total_blocks() {
        let group = index / shape.blocks;
        let whole = add_up(records, &shape, group);
        if decide(&whole, coeffs[step as usize * ROW + ESS_SHARE], &shape) > 0.5f32 {
            let begin = (index - group * shape.blocks) * shape.block;
            let finish = begin + shape.block;
            let finish = select(finish < shape.padded, finish, shape.padded);
            let ruler = ruler_of(records, &shape, &whole, group, index - group * shape.blocks);
            let mut before = FixedSum::identity();
            let mut copies = FixedSum::identity();
            let mut left = FixedSum::identity();
            let mut start = begin;
            while start < finish {
                lay_alone::<N>(
                    values,
                    &shape,
                    &whole,
                    &ruler,
                    &copies,
                    &before,
                    start,
                    finish,
                    sums.as_mut_slice(),
                    Side::Copies,
                    key,
                );
                copies = FixedSum::load(sums.as_slice(), comptime!(turn as usize - 1));
                before = lay_alone::<N>(
                    values,
                    &shape,
                    &whole,
                    &ruler,
                    &left,
                    &before,
                    start,
                    finish,
                    sums.as_mut_slice(),
                    Side::Remainders,
                    key,
                );
                left = FixedSum::load(sums.as_slice(), comptime!(turn as usize - 1));
                start += turn;
            }
            store(parts, index, &copies, &left);
        }
        index += block_stride(key.tally.sharing);
    }
}
