//! The units of a cube share a piece of the path: for GPUs, and groups of 8 slots and more.

use cubecl::prelude::*;

use super::kernel::{
    BlockRecord, Comb, Whole, after, block_record, book, comb, decide, first_after, shift_of, square_of,
};
use crate::methods::{ESS_SHARE, ROW};
use crate::passes::number;
use crate::passes::weights::NO_WEIGHT;
use crate::passes::weights::kernel::{TallyKey, integer, scale_of, weights_at};
use crate::prims::cube;
use crate::prims::fixed::{Fixed, add, rounded, shift_right};
use crate::prims::monoid::{FixedSum, MaxInt, Monoid, One, Sum};
use crate::prims::state::{MAX_BLOCKS, Shape};

/// Consecutive particles of a unit in a turn.
pub const EACH: u32 = 4;

/// One cube a piece, of `pieces` of a group.
#[cube(launch)]
pub fn resample_kernel(
    values: &[f32],
    records: &[u32],
    coeffs: &[f32],
    norms: &mut [f32],
    history: &mut [f32],
    seeds: &[u32],
    ancestors: &mut [u32],
    clock: &[u32],
    shape: Shape,
    step: u32,
    pieces: u32,
    #[comptime] key: TallyKey,
) {
    let units = comptime!(key.sharing.units);
    let mut memory = Shared::<[u32]>::new_slice(comptime!(4 * units as usize));
    let mut offsets = Shared::<[u32]>::new_slice(comptime!(2 * MAX_BLOCKS));
    let mut ends = Shared::<[u32]>::new_slice(comptime!((EACH * units) as usize));
    let step = number(step, clock);
    let total = shape.groups * pieces;
    let mut piece = CUBE_POS as u32;
    while piece < total {
        let group = piece / pieces;
        let own = piece - group * pieces;
        resample_piece(
            values,
            records,
            coeffs,
            norms,
            history,
            seeds,
            ancestors,
            &shape,
            step,
            group,
            own,
            pieces,
            &mut memory,
            &mut offsets,
            &mut ends,
            key,
        );
        sync_cube();
        piece += CUBE_COUNT as u32;
    }
}

/// Piece `own` of `pieces` of a group. `memory`: four words a unit; `offsets`: two a block;
/// `ends`: [`EACH`] a unit.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn resample_piece(
    values: &[f32],
    records: &[u32],
    coeffs: &[f32],
    norms: &mut [f32],
    history: &mut [f32],
    seeds: &[u32],
    ancestors: &mut [u32],
    shape: &Shape,
    step: u32,
    group: u32,
    own: u32,
    pieces: u32,
    memory: &mut [u32],
    offsets: &mut [u32],
    ends: &mut [u32],
    #[comptime] key: TallyKey,
) {
    let share = coeffs[step as usize * ROW + ESS_SHARE];
    let whole = gather_group(records, shape, group, memory, offsets, key.sharing.units);
    let decision = decide(&whole, share, shape);
    if own == 0u32 && UNIT_POS == 0u32 {
        book(norms, history, shape, group, step, &whole, decision);
    }
    if decision > 0.5f32 {
        let teeth = comb(seeds, group, step, &whole, shape);
        let length = shape.blocks * shape.block + shape.slots;
        let from = along(&*offsets, &teeth, shape, piece_start(length, own, pieces));
        let to = along(&*offsets, &teeth, shape, piece_start(length, own + 1u32, pieces));
        let mut block = last_at(&*offsets, &teeth, shape.blocks, from);
        let mut first = from;
        while first < to {
            let next = block_end(&*offsets, &teeth, shape.blocks, block, first);
            if next > first {
                let end = select(next < to, next, to);
                let record = block_record(records, group * shape.blocks + block);
                emit(
                    values, &*offsets, memory, ends, ancestors, shape, &teeth, group, block, &record,
                    whole.top, first, end, key,
                );
            }
            first = next;
            block += 1u32;
        }
    }
}

/// Where piece `own` of `pieces` starts on a path of `length`: both below 2^29, so in two parts.
#[cube]
fn piece_start(length: u32, own: u32, pieces: u32) -> u32 {
    let each = length / pieces;
    each * own + (length - each * pieces) * own / pieces
}

/// The group's total, and the exclusive prefix of every block in `offsets`.
#[cube]
pub(super) fn gather_group(
    records: &[u32],
    shape: &Shape,
    group: u32,
    memory: &mut [u32],
    offsets: &mut [u32],
    #[comptime] units: u32,
) -> Whole {
    let base = group * shape.blocks;
    let each = (shape.blocks + comptime!(units - 1)) / comptime!(units);
    let first = UNIT_POS * each;
    let first = select(first < shape.blocks, first, shape.blocks);
    let last = first + each;
    let last = select(last < shape.blocks, last, shape.blocks);
    let mut top = NO_WEIGHT.runtime();
    for b in first..last {
        let record = block_record(records, base + b);
        top = MaxInt::combine(&top, &record.top);
    }
    let top = cube::reduce::<MaxInt>(top, memory, units);
    let mut sum = FixedSum::identity();
    let mut square = 0.0f32.runtime();
    for b in first..last {
        let record = block_record(records, base + b);
        sum = add(&sum, &shift_right(&record.sum, shift_of(record.top, top, shape)));
        square += square_of(&record, top);
    }
    let through = cube::scan::<FixedSum>(sum, memory, units);
    let square = cube::reduce::<Sum>(square, memory, units);
    FixedSum::store(memory, UNIT_POS as usize, &through);
    sync_cube();
    let total = FixedSum::load(&*memory, comptime!(units as usize - 1));
    let mut before = FixedSum::identity();
    if UNIT_POS > 0u32 {
        before = FixedSum::load(&*memory, UNIT_POS as usize - 1);
    }
    for b in first..last {
        FixedSum::store(offsets, b as usize, &before);
        let record = block_record(records, base + b);
        before = add(&before, &shift_right(&record.sum, shift_of(record.top, top, shape)));
    }
    sync_cube();
    Whole { top, total, square }
}

/// The last block that starts at or before slot `slot`: the one that has it, unless it is empty.
#[cube]
fn last_at(offsets: &[u32], teeth: &Comb, blocks: u32, slot: u32) -> u32 {
    let mut low = 0u32.runtime();
    let mut high = blocks - 1u32;
    while low < high {
        let middle = (low + high).div_ceil(2u32);
        if after(teeth, slot, &FixedSum::load(offsets, middle as usize)) {
            low = middle;
        } else {
            high = middle - 1u32;
        }
    }
    low
}

/// The first slot behind block `block`, of which some slot from `first` on may be.
#[cube]
fn block_end(offsets: &[u32], teeth: &Comb, blocks: u32, block: u32, first: u32) -> u32 {
    // The last block ends with the group.
    let mut end = teeth.slots;
    if block + 1u32 < blocks {
        let prefix = FixedSum::load(offsets, block as usize + 1);
        end = first_after(teeth, &prefix, guess(teeth, &prefix));
    }
    select(end > first, end, first)
}

/// About the first slot at `prefix`.
#[cube]
fn guess(teeth: &Comb, prefix: &Fixed) -> u32 {
    u32::cast_from(rounded(prefix) * teeth.density)
}

/// The slots that lie before distance `d` on the path.
#[cube]
fn along(offsets: &[u32], teeth: &Comb, shape: &Shape, d: u32) -> u32 {
    // The last block whose own stretch starts at or before d: block + F(block) <= d.
    let mut low = 0u32.runtime();
    let mut high = shape.blocks - 1u32;
    while low < high {
        let middle = (low + high).div_ceil(2u32);
        let reached = middle * shape.block;
        let fits = d >= reached && after(teeth, d - reached, &FixedSum::load(offsets, middle as usize));
        if fits {
            low = middle;
        } else {
            high = middle - 1u32;
        }
    }
    let prefix = FixedSum::load(offsets, low as usize);
    let start = first_after(teeth, &prefix, guess(teeth, &prefix));
    let inside = d - low * shape.block - start;
    let slots = start + select(inside > shape.block, inside - shape.block, 0u32);
    select(slots < shape.slots, slots, shape.slots)
}

/// Writes the ancestors of slots `from` to `to`, which all lie in block `block`.
#[cube]
#[allow(clippy::too_many_arguments)]
fn emit(
    values: &[f32],
    offsets: &[u32],
    memory: &mut [u32],
    ends: &mut [u32],
    ancestors: &mut [u32],
    shape: &Shape,
    teeth: &Comb,
    group: u32,
    block: u32,
    record: &BlockRecord,
    top: i32,
    from: u32,
    to: u32,
    #[comptime] key: TallyKey,
) {
    let units = comptime!(key.sharing.units);
    let turn = comptime!(EACH * key.sharing.units).runtime();
    let base = group * shape.padded;
    let shift = shift_of(record.top, top, shape);
    let scale = scale_of(record.top);
    let offset = FixedSum::load(offsets, block as usize);
    let begin = block * shape.block;
    let finish = begin + shape.block;
    let finish = select(finish < shape.slots, finish, shape.slots);
    let mut before = FixedSum::identity();
    let mut done = from;
    let mut start = begin;
    while start < finish && done < to {
        // Inclusive sums of this unit's own particles, then of those before them.
        let own = start + UNIT_POS * EACH;
        let mut sums = Array::<u32>::new(comptime!(2 * EACH as usize));
        let mut sum = FixedSum::identity();
        #[unroll]
        for i in 0..EACH {
            let slot = own + i;
            if slot < finish {
                let w = weights_at::<One>(values, shape, &scale, slot, (base + slot) as usize, key.kind);
                sum = add(&sum, &integer(w.extract(0usize), shape));
            }
            sums[2 * i as usize] = sum.hi;
            sums[2 * i as usize + 1] = sum.lo;
        }
        let through = cube::scan::<FixedSum>(sum, memory, units);
        FixedSum::store(memory, UNIT_POS as usize, &through);
        sync_cube();
        let mut others = FixedSum::identity();
        if UNIT_POS > 0u32 {
            others = FixedSum::load(&*memory, UNIT_POS as usize - 1);
        }
        let earlier = add(&before, &others);
        #[unroll]
        for i in 0..EACH {
            let own = Fixed { hi: sums[2 * i as usize], lo: sums[2 * i as usize + 1] };
            let prefix = add(&offset, &shift_right(&add(&earlier, &own), shift));
            let end = first_after(teeth, &prefix, guess(teeth, &prefix));
            ends[(UNIT_POS * EACH + i) as usize] = end;
        }
        before = add(&before, &FixedSum::load(&*memory, comptime!(units as usize - 1)));
        sync_cube();
        // A block's last particle closes it.
        let closes = start + turn >= finish;
        let reach = select(closes, to, ends[turn as usize - 1]);
        let reach = select(reach < to, reach, to);
        let mut slot = done + UNIT_POS;
        while slot < reach {
            let parent = start + bisect(&*ends, turn - 1u32, slot);
            ancestors[(base + slot) as usize] = select(parent < finish, parent, finish - 1u32);
            slot += comptime!(units);
        }
        done = select(reach > done, reach, done);
        start += turn;
        sync_cube();
    }
}

/// The first of `ends` above `slot`, `last` at the latest.
#[cube]
fn bisect(ends: &[u32], last: u32, slot: u32) -> u32 {
    let mut low = 0u32.runtime();
    let mut high = last;
    while low < high {
        let middle = (low + high) / 2u32;
        if ends[middle as usize] > slot {
            high = middle;
        } else {
            low = middle + 1u32;
        }
    }
    low
}
