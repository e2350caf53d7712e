//! Drawn schemes where every unit works alone, on whole groups or on shares of their leaves or slots.

use cubecl::prelude::*;

use super::kernel::{Whole, block_record, book, decide, shift_of};
use super::kernel_draws::{
    Draw, DrawKey, Draws, Line, Side, Span, drawn, draws_of, even_span, first_above, lefts, line, line_of,
    parts_of, point, seat,
};
use super::kernel_lay::{Ruler, first_of, lay_alone, ruler_of};
use super::kernel_local::wander;
use super::kernel_serial::add_up;
use super::scheme::iteration;
use crate::methods::{ESS_SHARE, ROW};
use crate::passes::number;
use crate::prims::fixed::{Fixed, add, below, copied, shift_right};
use crate::prims::monoid::{FixedSum, Monoid};
use crate::prims::philox::lanes;
use crate::prims::state::Shape;

/// A group is cut into `pieces`; each unit takes whole pieces.
#[cube(launch)]
pub fn draw_serial_kernel<N: Size>(
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
    pieces: u32,
    #[comptime] key: DrawKey,
) {
    let step = number(step, clock);
    let mut piece = ABSOLUTE_POS as u32;
    while piece < shape.groups * pieces {
        let group = piece / pieces;
        let own = piece - group * pieces;
        let share = coeffs[step as usize * ROW + ESS_SHARE];
        let whole = add_up(records, &shape, group);
        let decision = decide(&whole, share, &shape);
        if own == 0u32 {
            book(norms, history, &shape, group, step, &whole, decision);
        }
        if decision > 0.5f32 {
            let draws = draws_of(seeds, group, step);
            if comptime!(key.draw.searches()) {
                let leaves = 1u32 << depth;
                let from = leaves / pieces * own + leaves % pieces * own / pieces;
                let to = leaves / pieces * (own + 1u32) + leaves % pieces * (own + 1u32) / pieces;
                search_alone::<N>(
                    values, records, parts, ancestors, &shape, &whole, &draws, group, from, to, depth, key,
                );
            } else {
                let vectors = shape.padded / N::value() as u32;
                let from = vectors / pieces * own + vectors % pieces * own / pieces;
                let to = vectors / pieces * (own + 1u32) + vectors % pieces * (own + 1u32) / pieces;
                for v in from..to {
                    let slot = v * N::value() as u32;
                    let parents =
                        wander::<N>(values, records, &shape, &whole, &draws, group, slot, steps, key);
                    #[unroll]
                    for lane in 0..N::value() {
                        if slot + (lane as u32) < shape.slots {
                            let at = (group * shape.padded + slot) as usize + lane;
                            ancestors[at] = parents.extract(lane);
                        }
                    }
                }
            }
        }
        piece += CUBE_COUNT as u32 * comptime!(key.tally.sharing.units);
    }
}

/// Leaves `from` to `to` of a group, on both sides where there are two.
#[cube]
#[allow(clippy::too_many_arguments)]
fn search_alone<N: Size>(
    values: &[f32],
    records: &[u32],
    parts: &[u32],
    ancestors: &mut [u32],
    shape: &Shape,
    whole: &Whole,
    draws: &Draws,
    group: u32,
    from: u32,
    to: u32,
    depth: u32,
    #[comptime] key: DrawKey,
) {
    let zero = 0u32.runtime();
    if comptime!(key.draw == Draw::Residual) {
        let copies = sum_parts(parts, shape, group, Side::Copies);
        let copied = line(&copies, copies.lo, zero, depth, Side::Copies);
        place_alone::<N>(
            values,
            records,
            parts,
            ancestors,
            shape,
            whole,
            draws,
            group,
            &copied,
            from,
            to,
            Side::Copies,
            key,
        );
        let left = sum_parts(parts, shape, group, Side::Remainders);
        let left = line(&left, shape.slots - copies.lo, copies.lo, depth, Side::Remainders);
        place_alone::<N>(
            values,
            records,
            parts,
            ancestors,
            shape,
            whole,
            draws,
            group,
            &left,
            from,
            to,
            Side::Remainders,
            key,
        );
    } else {
        let side = key.draw.side();
        let first = first_of::<N>(values, records, shape, whole, group, key);
        let all = line_of(whole, shape, draws, &first, depth, key.draw);
        place_alone::<N>(
            values, records, parts, ancestors, shape, whole, draws, group, &all, from, to, side, key,
        );
        if comptime!(key.draw.conditional()) {
            // So it does already, unless it weighs next to nothing.
            if from == 0u32 {
                ancestors[(group * shape.padded) as usize] = 0u32;
            }
        }
    }
}

#[cube]
fn sum_parts(parts: &[u32], shape: &Shape, group: u32, #[comptime] side: Side) -> Fixed {
    let mut sum = FixedSum::identity();
    for b in 0..shape.blocks {
        sum = add(&sum, &parts_of(parts, group * shape.blocks + b, side));
    }
    sum
}

/// What block `block` of a group holds on a side.
#[cube]
fn length_of(
    records: &[u32],
    parts: &[u32],
    shape: &Shape,
    whole: &Whole,
    group: u32,
    block: u32,
    #[comptime] side: Side,
) -> Fixed {
    let index = group * shape.blocks + block;
    if comptime!(side.parted()) {
        parts_of(parts, index, side)
    } else {
        let record = block_record(records, index);
        shift_right(&record.sum, shift_of(record.top, whole.top, shape))
    }
}

/// A walk down the binomial tree: level by level the points of the node, those before it, those of its left.
#[cube]
fn descend<N: Size>(walk: &mut [u32], draws: &Draws, line: &Line, leaf: u32, fresh: bool) -> Span {
    // Levels above the last common node of this leaf and the one before stay as they are.
    let mut level = 0u32.runtime();
    if fresh {
        walk[0] = line.slots;
        walk[1] = 0u32.runtime();
        if line.depth > 0u32 {
            walk[2] = lefts::<N>(draws, line.slots, 1u32.runtime(), 0u32.runtime(), 1u32.runtime());
        }
    } else {
        let mut turned = leaf;
        level = line.depth - 1u32;
        while turned & 1u32 == 0u32 {
            turned >>= 1u32;
            level -= 1u32;
        }
    }
    while level < line.depth {
        let at = 3 * level as usize;
        let right = (leaf >> (line.depth - level - 1u32)) & 1u32;
        let points = select(right == 1u32, walk[at] - walk[at + 2], walk[at + 2]);
        walk[at + 3] = points;
        walk[at + 4] = walk[at + 1] + right * walk[at + 2];
        level += 1u32;
        if level < line.depth {
            let node = (1u32 << level) + (leaf >> (line.depth - level));
            walk[at + 5] = lefts::<N>(draws, points, node, 0u32.runtime(), 1u32.runtime());
        }
    }
    let at = 3 * line.depth as usize;
    Span { first: walk[at + 1], end: walk[at + 1] + walk[at] }
}

/// The particles at the points of leaves `from` to `to`.
#[cube]
#[allow(clippy::too_many_arguments)]
fn place_alone<N: Size>(
    values: &[f32],
    records: &[u32],
    parts: &[u32],
    ancestors: &mut [u32],
    shape: &Shape,
    whole: &Whole,
    draws: &Draws,
    group: u32,
    line: &Line,
    from: u32,
    to: u32,
    #[comptime] side: Side,
    #[comptime] key: DrawKey,
) {
    let turn = comptime!(key.turn());
    let mut walk = Array::<u32>::new(96usize);
    let mut points = Array::<u32>::new(comptime!(2 * turn as usize));
    let mut sums = Array::<u32>::new(comptime!(2 * turn as usize));
    let mut block = 0u32.runtime();
    let mut offset = FixedSum::identity();
    for leaf in from..to {
        let span = if comptime!(side.independent()) {
            descend::<N>(walk.as_mut_slice(), draws, line, leaf, leaf == from)
        } else {
            even_span(line, leaf)
        };
        let mut done = span.first;
        while done < span.end {
            let count = span.end - done;
            let count = select(count < turn, count, turn);
            let high = throw::<N>(points.as_mut_slice(), draws, line, leaf, done, count, side);
            // To the block in which the leaf begins: later leaves begin further on.
            let low = point(line, span.first, leaf, 0u32.runtime(), side);
            let mut next = add(&offset, &length_of(records, parts, shape, whole, group, block, side));
            while block + 1u32 < shape.blocks && !below(&low, &next) {
                block += 1u32;
                offset = copied(&next);
                next = add(&offset, &length_of(records, parts, shape, whole, group, block, side));
            }
            let mut here = block;
            let mut before = copied(&offset);
            while here < shape.blocks && !below(&high, &before) {
                let end = add(&before, &length_of(records, parts, shape, whole, group, here, side));
                if below(&before, &end) && below(&low, &end) {
                    let ruler = ruler_of(records, shape, whole, group, here);
                    let first = (group * shape.padded + line.before + done) as usize;
                    place_in_block::<N>(
                        values,
                        ancestors,
                        shape,
                        whole,
                        &ruler,
                        here,
                        &before,
                        &end,
                        &high,
                        line,
                        group * shape.padded,
                        done,
                        first,
                        count,
                        points.as_slice(),
                        sums.as_mut_slice(),
                        side,
                        key,
                    );
                }
                before = copied(&end);
                here += 1u32;
            }
            done += count;
        }
    }
}

/// Writes `count` points of a leaf from point `done` on into `points`; returns the last along the line.
#[cube]
fn throw<N: Size>(
    points: &mut [u32],
    draws: &Draws,
    line: &Line,
    leaf: u32,
    done: u32,
    count: u32,
    #[comptime] side: Side,
) -> Fixed {
    let mut high = FixedSum::identity();
    let mut i = 0u32.runtime();
    while i < count {
        let slots = lanes::<N>(line.before + done + i);
        let w = drawn::<N>(draws, slots, 0u32.runtime(), iteration::OFFSET).w0;
        #[unroll]
        for lane in 0..N::value() {
            let own = i + lane as u32;
            if own < count {
                let at = point(line, done + own, leaf, w.extract(lane), side);
                FixedSum::store(points, own as usize, &at);
                if below(&high, &at) {
                    high = copied(&at);
                }
            }
        }
        i += N::value() as u32;
    }
    high
}

/// The points that lie in one block, which has `[before, end)` of the line.
#[cube]
#[allow(clippy::too_many_arguments)]
fn place_in_block<N: Size>(
    values: &[f32],
    ancestors: &mut [u32],
    shape: &Shape,
    whole: &Whole,
    ruler: &Ruler,
    block: u32,
    before: &Fixed,
    end: &Fixed,
    high: &Fixed,
    line: &Line,
    base: u32,
    done: u32,
    first: usize,
    count: u32,
    points: &[u32],
    sums: &mut [u32],
    #[comptime] side: Side,
    #[comptime] key: DrawKey,
) {
    let turn = comptime!(key.turn());
    let begin = block * shape.block;
    let finish = begin + shape.block;
    let finish = select(finish < shape.padded, finish, shape.padded);
    let last = select(finish < shape.slots, finish, shape.slots) - 1u32;
    let mut from = copied(before);
    let mut inside = FixedSum::identity();
    let mut start = begin;
    while start < finish && !below(high, &from) {
        inside = lay_alone::<N>(values, shape, whole, ruler, &from, &inside, start, finish, sums, side, key);
        let through = FixedSum::load(&*sums, comptime!(turn as usize - 1));
        // A block's last particle closes it.
        let closes = start + turn >= finish;
        let reach = Fixed { hi: select(closes, end.hi, through.hi), lo: select(closes, end.lo, through.lo) };
        for i in 0..count {
            let at = FixedSum::load(points, i as usize);
            if !below(&at, &from) && below(&at, &reach) {
                let parent = start + first_above(&*sums, comptime!(turn).runtime(), &at);
                let parent = select(parent < last, parent, last);
                if comptime!(side == Side::Comb) {
                    ancestors[(base + seat(line, done + i)) as usize] = parent;
                } else {
                    ancestors[first + i as usize] = parent;
                }
            }
        }
        from = through;
        start += turn;
    }
}
