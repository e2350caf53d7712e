//! Every unit works alone, on whole groups or on pieces of a group's path: for the CPU, and for groups
//! of fewer than 8 slots.

use cubecl::prelude::*;

use super::kernel::{
    BlockRecord, Comb, Whole, after, block_record, book, comb, decide, first_after, shift_of, square_of,
};
use crate::methods::{ESS_SHARE, ROW};
use crate::passes::number;
use crate::passes::weights::NO_WEIGHT;
use crate::passes::weights::kernel::{TallyKey, integer, scale_of, weights_at};
use crate::prims::fixed::{Fixed, add, rounded, shift_right};
use crate::prims::monoid::{FixedSum, MaxInt, Monoid};
use crate::prims::state::Shape;

/// A group is cut into `pieces`; each unit takes whole pieces.
#[cube(launch)]
pub fn resample_serial_kernel<N: Size>(
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
    let step = number(step, clock);
    let total = shape.groups * pieces;
    let mut piece = ABSOLUTE_POS as u32;
    while piece < total {
        let group = piece / pieces;
        let own = piece - group * pieces;
        resample_alone::<N>(
            values, records, coeffs, norms, history, seeds, ancestors, &shape, step, group, own, pieces, key,
        );
        piece += CUBE_COUNT as u32 * comptime!(key.sharing.units);
    }
}

/// Piece `own` of `pieces` of a group, by one unit.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn resample_alone<N: Size>(
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
    #[comptime] key: TallyKey,
) {
    let share = coeffs[step as usize * ROW + ESS_SHARE];
    let whole = add_up(records, shape, group);
    let decision = decide(&whole, share, shape);
    if own == 0u32 {
        book(norms, history, shape, group, step, &whole, decision);
    }
    if decision > 0.5f32 {
        let teeth = comb(seeds, group, step, &whole, shape);
        resample_piece::<N>(values, records, ancestors, shape, &teeth, &whole, group, own, pieces, key);
    }
}

#[cube]
pub fn add_up(records: &[u32], shape: &Shape, group: u32) -> Whole {
    let base = group * shape.blocks;
    let mut top = NO_WEIGHT.runtime();
    for b in 0..shape.blocks {
        let record = block_record(records, base + b);
        top = MaxInt::combine(&top, &record.top);
    }
    let mut total = FixedSum::identity();
    let mut square = 0.0f32.runtime();
    for b in 0..shape.blocks {
        let record = block_record(records, base + b);
        total = add(&total, &shift_right(&record.sum, shift_of(record.top, top, shape)));
        square += square_of(&record, top);
    }
    Whole { top, total, square }
}

/// The slots of one piece: those at distances `[begin, end)` on the path, block after block.
#[cube]
#[allow(clippy::too_many_arguments)]
fn resample_piece<N: Size>(
    values: &[f32],
    records: &[u32],
    ancestors: &mut [u32],
    shape: &Shape,
    teeth: &Comb,
    whole: &Whole,
    group: u32,
    own: u32,
    pieces: u32,
    #[comptime] key: TallyKey,
) {
    let length = shape.blocks * shape.block + shape.slots;
    let each = length / pieces;
    let begin = each * own;
    let end = select(own + 1u32 < pieces, begin + each, length);
    let mut offset = FixedSum::identity();
    let mut first = 0u32.runtime();
    for block in 0..shape.blocks {
        let record = block_record(records, group * shape.blocks + block);
        let next = add(&offset, &shift_right(&record.sum, shift_of(record.top, whole.top, shape)));
        let guess = u32::cast_from(rounded(&next) * teeth.density);
        let last = select(block + 1u32 < shape.blocks, first_after(teeth, &next, guess), shape.slots);
        // The block's stretch of the path: its length, then its slots.
        let slots_at = (block + 1u32) * shape.block;
        let from = select(begin > slots_at + first, begin - slots_at, first);
        let to = select(end > slots_at, end - slots_at, 0u32);
        let to = select(to < last, to, last);
        if from < to {
            let reach = if comptime!(key.wide) {
                emit::<N>(
                    values, ancestors, shape, teeth, group, block, &record, &offset, whole.top, from, to, key,
                )
            } else {
                walk::<N>(
                    values, ancestors, shape, teeth, group, block, &record, &offset, whole.top, from, to, key,
                )
            };
            // A block's last particle closes it.
            let parent = (block + 1u32) * shape.block;
            let parent = select(parent < shape.slots, parent, shape.slots) - 1u32;
            for slot in reach..to {
                ancestors[(group * shape.padded + slot) as usize] = parent;
            }
        }
        offset = next;
        first = last;
    }
}

/// Ancestors of slots `from` to `to` of one block, in 32-bit arithmetic; returns the first slot left.
#[cube]
#[allow(clippy::too_many_arguments)]
fn walk<N: Size>(
    values: &[f32],
    ancestors: &mut [u32],
    shape: &Shape,
    teeth: &Comb,
    group: u32,
    block: u32,
    record: &BlockRecord,
    offset: &Fixed,
    top: i32,
    from: u32,
    to: u32,
    #[comptime] key: TallyKey,
) -> u32 {
    let base = group * shape.padded;
    let shift = shift_of(record.top, top, shape);
    let scale = scale_of(record.top);
    let mut through = FixedSum::identity();
    let mut slot = from;
    let begin = block * shape.block;
    let finish = begin + shape.block;
    let finish = select(finish < shape.padded, finish, shape.padded);
    let mut own = begin;
    while own < finish && slot < to {
        let w = weights_at::<N>(values, shape, &scale, own, (base + own) as usize, key.kind);
        #[unroll]
        for lane in 0..N::value() {
            through = add(&through, &integer(w.extract(lane), shape));
            let prefix = add(offset, &shift_right(&through, shift));
            while slot < to && !after(teeth, slot, &prefix) {
                ancestors[(base + slot) as usize] = own + (lane as u32);
                slot += 1u32;
            }
        }
        own += N::value() as u32;
    }
    slot
}

/// Slots written at once, whether a particle has that many or not; those after it overwrite the rest.
const AT_ONCE: u32 = 16;

/// [`walk`] for processors: prefix sums in 64-bit integers, slots by f64. Where f64 comes so close to a whole
/// number that it cannot tell, the block is walked once more.
#[cube]
#[allow(clippy::too_many_arguments)]
fn emit<N: Size>(
    values: &[f32],
    ancestors: &mut [u32],
    shape: &Shape,
    teeth: &Comb,
    group: u32,
    block: u32,
    record: &BlockRecord,
    offset: &Fixed,
    top: i32,
    from: u32,
    to: u32,
    #[comptime] key: TallyKey,
) -> u32 {
    let base = group * shape.padded;
    let shift = shift_of(record.top, top, shape);
    let scale = scale_of(record.top);
    // The first slot at prefix c or after it is ceil((c K - u) / S).
    let density = f64::cast_from(teeth.slots) / wide(&teeth.total);
    let origin = (wide(offset) * f64::cast_from(teeth.slots) - wide(&teeth.offset)) / wide(&teeth.total);
    let unit = density / f64::cast_from(1u64 << u64::cast_from(shift));
    // Rounding, and the bits that the shift drops.
    let close = Vector::<f64, N>::new(2.0f64 * density + 1.0e-6f64);
    let far = Vector::new(1.0f64) - close;
    let one = Vector::new(1u32);
    let mut doubts = Vector::<u32, N>::new(0u32);
    let mut through = 0u64.runtime();
    let mut slot = from;
    let begin = block * shape.block;
    let finish = begin + shape.block;
    let finish = select(finish < shape.padded, finish, shape.padded);
    let mut own = begin;
    while own < finish && slot < to {
        let w = weights_at::<N>(values, shape, &scale, own, (base + own) as usize, key.kind);
        let whole = Vector::<u64, N>::cast_from(w * Vector::new(shape.unit));
        let lanes = N::value();
        let prefix = prefix_sums::<N>(whole, lanes) + Vector::new(through);
        through = prefix.extract(comptime!(lanes - 1));
        let position = fma(Vector::<f64, N>::cast_from(prefix), Vector::new(unit), Vector::new(origin));
        let end = position.ceil();
        let above = end - position;
        let doubtful = above.less_than(&close).or(above.greater_than(&far));
        doubts += select_many(doubtful, one, Vector::new(0u32));
        slot = spread::<N>(ancestors, Vector::<u32, N>::cast_from(end), base, own, slot, to, lanes);
        own += N::value() as u32;
    }
    let mut doubt = doubts.extract(0usize);
    #[unroll]
    for lane in 1..N::value() {
        doubt += doubts.extract(lane);
    }
    if doubt > 0u32 {
        slot = walk::<N>(values, ancestors, shape, teeth, group, block, record, offset, top, from, to, key);
    }
    slot
}

/// Inclusive prefix sums of the lanes: each round adds the lanes half as many as it has added up (W. Hillis, G. Steele, 1986). Moves of
/// lanes by a constant become shuffles.
#[cube]
fn prefix_sums<N: Size>(v: Vector<u64, N>, #[comptime] lanes: usize) -> Vector<u64, N> {
    let mut sums = v;
    #[unroll]
    for round in 0..comptime!(lanes.trailing_zeros()) {
        let by = comptime!(1usize << round);
        let mut moved = Vector::<u64, N>::new(0u64);
        #[unroll]
        for lane in by..lanes {
            moved.insert(lane, sums.extract(lane - by));
        }
        sums += moved;
    }
    sums
}

/// Gives each of `N` particles from `own` on the slots up to its end; returns the first slot left. Ends never
/// decrease.
#[cube]
fn spread<N: Size>(
    ancestors: &mut [u32],
    ends: Vector<u32, N>,
    base: u32,
    own: u32,
    slot: u32,
    to: u32,
    #[comptime] lanes: usize,
) -> u32 {
    let last = Vector::new(to);
    let ends = select_many(ends.less_than(&last), ends, last);
    let first = Vector::new(slot);
    let ends = select_many(ends.greater_than(&first), ends, first);
    let mut starts = first;
    #[unroll]
    for lane in 1..lanes {
        starts.insert(lane, ends.extract(lane - 1));
    }
    let reach = ends.extract(comptime!(lanes - 1));
    let mut many = (ends - starts).greater_than(&Vector::new(AT_ONCE));
    // Lanes that are counted at run time are read from memory, which is cheaper than taking each out of its vector.
    let count = comptime!(lanes as u32).runtime();
    let mut from = Array::<u32>::new(lanes);
    #[unroll]
    for lane in 0..lanes {
        from[lane] = starts.extract(lane);
    }
    if reach + AT_ONCE <= to {
        for four in 0..count / 4u32 {
            #[unroll]
            for i in 0..4u32 {
                let lane = 4u32 * four + i;
                let at = (base + from[lane as usize]) as usize;
                #[unroll]
                for slot in 0..AT_ONCE as usize {
                    ancestors[at + slot] = own + lane;
                }
            }
        }
    } else {
        many = ends.greater_than(&starts);
    }
    if any::<N>(many) {
        for lane in 0..count {
            let end = if lane + 1u32 < count { from[lane as usize + 1] } else { reach };
            for slot in from[lane as usize]..end {
                ancestors[(base + slot) as usize] = own + lane;
            }
        }
    }
    reach
}

/// Whether any lane is true.
#[cube]
fn any<N: Size>(lanes: Vector<bool, N>) -> bool {
    let mut any = lanes.extract(0usize);
    #[unroll]
    for lane in 1..N::value() {
        any = any || lanes.extract(lane);
    }
    any
}

#[cube]
fn wide(a: &Fixed) -> f64 {
    fma(f64::cast_from(a.hi), 4_294_967_296.0f64, f64::cast_from(a.lo))
}
