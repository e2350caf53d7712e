//! Drawn schemes where the units of a cube share an item: a leaf of points, or a block of slots.

use cubecl::prelude::*;

use super::kernel::{Whole, book, decide};
use super::kernel_cube::gather_group;
use super::kernel_draws::{
    Draw, DrawKey, Draws, Line, Side, drawn, draws_of, even_span, first_above, items, leaf_span, line,
    line_of, parts_of, point, seat,
};
use super::kernel_lay::{EACH, first_of, lay, ruler_of};
use super::kernel_local::wander;
use super::scheme::iteration;
use crate::methods::{ESS_SHARE, ROW};
use crate::passes::number;
use crate::prims::cube;
use crate::prims::fixed::{Fixed, add, below, copied, subtract};
use crate::prims::monoid::{FixedSum, MaxInt, Monoid, One};
use crate::prims::philox::lanes;
use crate::prims::state::{MAX_BLOCKS, Shape};

/// Points of a unit at a time.
pub const POINTS: u32 = 4;

/// One cube an item.
#[cube(launch)]
pub fn draw_kernel(
    values: &[f32],
    records: &[u32],
    parts: &[u32],
    coeffs: &[f32],
    norms: &mut [f32],
    history: &mut [f32],
    seeds: &[u32],
    ancestors: &mut [u32],
    clock: &[u32],
    shape: Shape,
    step: u32,
    steps: u32,
    depth: u32,
    #[comptime] key: DrawKey,
) {
    let step = number(step, clock);
    let units = comptime!(key.tally.sharing.units);
    let mut memory = Shared::<[u32]>::new_slice(comptime!(2 * units as usize));
    let mut offsets = Shared::<[u32]>::new_slice(comptime!(2 * MAX_BLOCKS));
    let mut sums = Shared::<[u32]>::new_slice(comptime!((2 * EACH * units) as usize));
    let each = items(&shape, depth, key);
    let mut item = CUBE_POS as u32;
    while item < each * shape.groups {
        let group = item / each;
        let own = item - group * each;
        let share = coeffs[step as usize * ROW + ESS_SHARE];
        let whole = gather_group(records, &shape, group, &mut memory, &mut offsets, units);
        let decision = decide(&whole, share, &shape);
        if own == 0u32 && UNIT_POS == 0u32 {
            book(norms, history, &shape, group, step, &whole, decision);
        }
        if decision > 0.5f32 {
            let draws = draws_of(seeds, group, step);
            if comptime!(key.draw.searches()) {
                search(
                    values,
                    records,
                    parts,
                    ancestors,
                    &shape,
                    &whole,
                    &draws,
                    group,
                    own,
                    depth,
                    &mut memory,
                    &mut offsets,
                    &mut sums,
                    key,
                );
            } else {
                let first = own * shape.block;
                let end = first + shape.block;
                let end = select(end < shape.slots, end, shape.slots);
                let mut slot = first + UNIT_POS;
                while slot < end {
                    let parent =
                        wander::<One>(values, records, &shape, &whole, &draws, group, slot, steps, key);
                    ancestors[(group * shape.padded + slot) as usize] = parent.extract(0usize);
                    slot += units;
                }
            }
        }
        sync_cube();
        item += CUBE_COUNT as u32;
    }
}

/// Leaf `leaf` of a group, on both sides where there are two. `offsets` holds the prefixes of the blocks'
/// weights.
#[cube]
#[allow(clippy::too_many_arguments)]
fn search(
    values: &[f32],
    records: &[u32],
    parts: &[u32],
    ancestors: &mut [u32],
    shape: &Shape,
    whole: &Whole,
    draws: &Draws,
    group: u32,
    leaf: u32,
    depth: u32,
    memory: &mut [u32],
    offsets: &mut [u32],
    sums: &mut [u32],
    #[comptime] key: DrawKey,
) {
    let units = comptime!(key.tally.sharing.units);
    let zero = 0u32.runtime();
    if comptime!(key.draw == Draw::Residual) {
        let copies = gather_parts(parts, shape, group, memory, offsets, units, Side::Copies);
        let copied = line(&copies, copies.lo, zero, depth, Side::Copies);
        place(
            values,
            records,
            ancestors,
            shape,
            whole,
            draws,
            group,
            leaf,
            &copied,
            memory,
            &*offsets,
            sums,
            Side::Copies,
            key,
        );
        let left = gather_parts(parts, shape, group, memory, offsets, units, Side::Remainders);
        let left = line(&left, shape.slots - copies.lo, copies.lo, depth, Side::Remainders);
        place(
            values,
            records,
            ancestors,
            shape,
            whole,
            draws,
            group,
            leaf,
            &left,
            memory,
            &*offsets,
            sums,
            Side::Remainders,
            key,
        );
    } else {
        let side = key.draw.side();
        let first = first_of::<One>(values, records, shape, whole, group, key);
        let all = line_of(whole, shape, draws, &first, depth, key.draw);
        place(
            values, records, ancestors, shape, whole, draws, group, leaf, &all, memory, &*offsets, sums,
            side, key,
        );
        if comptime!(key.draw.conditional()) {
            sync_cube();
            // So it does already, unless it weighs next to nothing.
            if leaf == 0u32 && UNIT_POS == 0u32 {
                ancestors[(group * shape.padded) as usize] = 0u32;
            }
        }
    }
}

/// One side's total over a group, and the exclusive prefix of every block in `offsets`.
#[cube]
fn gather_parts(
    parts: &[u32],
    shape: &Shape,
    group: u32,
    memory: &mut [u32],
    offsets: &mut [u32],
    #[comptime] units: u32,
    #[comptime] side: Side,
) -> Fixed {
    let base = group * shape.blocks;
    let each = (shape.blocks + comptime!(units - 1)) / comptime!(units);
    let first = UNIT_POS * each;
    let first = select(first < shape.blocks, first, shape.blocks);
    let last = first + each;
    let last = select(last < shape.blocks, last, shape.blocks);
    let mut sum = FixedSum::identity();
    for b in first..last {
        sum = add(&sum, &parts_of(parts, base + b, side));
    }
    let through = cube::scan::<FixedSum>(copied(&sum), memory, units);
    let mut before = subtract(&through, &sum);
    let total = cube::reduce::<FixedSum>(sum, memory, units);
    for b in first..last {
        FixedSum::store(offsets, b as usize, &before);
        before = add(&before, &parts_of(parts, base + b, side));
    }
    sync_cube();
    total
}

/// The particles at the points of a leaf, into the slots of these points.
#[cube]
#[allow(clippy::too_many_arguments)]
fn place(
    values: &[f32],
    records: &[u32],
    ancestors: &mut [u32],
    shape: &Shape,
    whole: &Whole,
    draws: &Draws,
    group: u32,
    leaf: u32,
    line: &Line,
    memory: &mut [u32],
    offsets: &[u32],
    sums: &mut [u32],
    #[comptime] side: Side,
    #[comptime] key: DrawKey,
) {
    let units = comptime!(key.tally.sharing.units);
    let span = if comptime!(side.independent()) {
        leaf_span(line, leaf, draws, memory, units)
    } else {
        even_span(line, leaf)
    };
    let mut points = Array::<u32>::new(comptime!(2 * POINTS as usize));
    let mut homes = Array::<u32>::new(comptime!(POINTS as usize));
    let mut done = span.first;
    while done < span.end {
        #[unroll]
        for i in 0..POINTS {
            let own = done + i * units + UNIT_POS;
            homes[i as usize] = shape.blocks;
            if own < span.end {
                let slot = lanes::<One>(line.before + own);
                let word = drawn::<One>(draws, slot, 0u32.runtime(), iteration::OFFSET).w0.extract(0usize);
                let at = point(line, own, leaf, word, side);
                points[2 * i as usize] = at.hi;
                points[2 * i as usize + 1] = at.lo;
                homes[i as usize] = home(offsets, shape.blocks, &at);
            }
        }
        let mut block = nearest(homes.as_slice(), memory, units);
        while block < shape.blocks {
            let first = group * shape.padded + line.before + done + UNIT_POS;
            let own = done + UNIT_POS;
            place_in(
                values,
                records,
                ancestors,
                shape,
                whole,
                group,
                block,
                points.as_slice(),
                homes.as_slice(),
                line,
                own,
                first,
                memory,
                offsets,
                sums,
                side,
                key,
            );
            #[unroll]
            for i in 0..POINTS as usize {
                homes[i] = select(homes[i] == block, shape.blocks, homes[i]);
            }
            block = nearest(homes.as_slice(), memory, units);
        }
        done += comptime!(POINTS * units);
    }
}

/// The last block that begins at or before `at`.
#[cube]
fn home(offsets: &[u32], blocks: u32, at: &Fixed) -> u32 {
    let mut low = 0u32.runtime();
    let mut high = blocks - 1u32;
    while low < high {
        let middle = (low + high).div_ceil(2u32);
        if below(at, &FixedSum::load(offsets, middle as usize)) {
            high = middle - 1u32;
        } else {
            low = middle;
        }
    }
    low
}

/// The first block in which a point of any unit lies.
#[cube]
#[allow(clippy::needless_range_loop)] // a kernel has no iterators over slices
fn nearest(homes: &[u32], memory: &mut [u32], #[comptime] units: u32) -> u32 {
    let mut first = homes[0];
    #[unroll]
    for i in 1..POINTS as usize {
        first = select(homes[i] < first, homes[i], first);
    }
    let all = cube::reduce::<MaxInt>(0i32 - i32::cast_from(first), memory, units);
    u32::cast_from(0i32 - all)
}

/// The points that lie in block `block`. `first`: where the ancestor of this unit's first point goes.
#[cube]
#[allow(clippy::too_many_arguments)]
fn place_in(
    values: &[f32],
    records: &[u32],
    ancestors: &mut [u32],
    shape: &Shape,
    whole: &Whole,
    group: u32,
    block: u32,
    points: &[u32],
    homes: &[u32],
    line: &Line,
    own: u32,
    first: u32,
    memory: &mut [u32],
    offsets: &[u32],
    sums: &mut [u32],
    #[comptime] side: Side,
    #[comptime] key: DrawKey,
) {
    let units = comptime!(key.tally.sharing.units);
    let turn = comptime!(EACH * units).runtime();
    let begin = block * shape.block;
    let finish = begin + shape.block;
    let finish = select(finish < shape.slots, finish, shape.slots);
    let ruler = ruler_of(records, shape, whole, group, block);
    let mut from = FixedSum::load(offsets, block as usize);
    let mut before = FixedSum::identity();
    let mut start = begin;
    while start < finish {
        before = lay(values, shape, whole, &ruler, &from, &before, start, finish, memory, sums, side, key);
        let through = FixedSum::load(&*sums, comptime!((EACH * units) as usize - 1));
        // A block's last particle closes it.
        let closes = start + turn >= finish;
        #[unroll]
        for i in 0..POINTS {
            let at = Fixed { hi: points[2 * i as usize], lo: points[2 * i as usize + 1] };
            let here = homes[i as usize] == block && !below(&at, &from);
            if here && (closes || below(&at, &through)) {
                let parent = start + first_above(&*sums, turn, &at);
                let parent = select(parent < finish, parent, finish - 1u32);
                if comptime!(side == Side::Comb) {
                    let slot = seat(line, own + i * units);
                    ancestors[(group * shape.padded + slot) as usize] = parent;
                } else {
                    ancestors[(first + i * units) as usize] = parent;
                }
            }
        }
        from = copied(&through);
        start += turn;
        sync_cube();
    }
}
