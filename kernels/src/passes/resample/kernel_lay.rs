//! Prefix sums of a turn of particles of a block: by weight, by whole copies, or by what is left.

use cubecl::prelude::*;

use super::kernel::{Whole, block_record, shift_of};
use super::kernel_draws::{DrawKey, Side, drop_of, part};
use crate::passes::weights::kernel::{Scale, integer, scale_of, weights_at};
use crate::prims::cube;
use crate::prims::fixed::{Fixed, add, copied, shift_right, subtract};
use crate::prims::monoid::{FixedSum, Monoid, One};
use crate::prims::state::Shape;

/// Consecutive particles of a unit in a turn of a cube.
pub const EACH: u32 = 2;

impl DrawKey {
    /// Particles whose prefixes a unit keeps, and points: few where groups have fewer than 8 slots.
    pub fn turn(&self) -> u32 {
        if self.tally.wide { 256 } else { 8 }
    }
}

/// How a block's weights are measured.
#[derive(CubeType, Clone, Copy)]
pub struct Ruler {
    /// Position of the group's first slot.
    pub base: u32,
    /// What weights are measured by.
    pub scale: Scale,
    /// Bits to the group's scale.
    pub shift: u32,
    /// Digits that remainders lose.
    pub drop: u32,
}

/// The ruler of a block.
#[cube]
pub fn ruler_of(records: &[u32], shape: &Shape, whole: &Whole, group: u32, block: u32) -> Ruler {
    let record = block_record(records, group * shape.blocks + block);
    Ruler {
        base: group * shape.padded,
        scale: scale_of(record.top),
        shift: shift_of(record.top, whole.top, shape),
        drop: drop_of(&whole.total, shape.slots),
    }
}

/// The integer of a group's first particle.
#[cube]
pub fn first_of<N: Size>(
    values: &[f32],
    records: &[u32],
    shape: &Shape,
    whole: &Whole,
    group: u32,
    #[comptime] key: DrawKey,
) -> Fixed {
    let zero = 0u32.runtime();
    if comptime!(key.draw.conditional()) {
        let ruler = ruler_of(records, shape, whole, group, zero);
        let w = weights_at::<N>(values, shape, &ruler.scale, zero, ruler.base as usize, key.tally.kind);
        shift_right(&integer(w.extract(0usize), shape), ruler.shift)
    } else {
        Fixed { hi: zero, lo: zero }
    }
}

/// Prefixes of a turn of particles from `start` on into `sums`, above `from`; returns the block's integers
/// through it, `before` it what it was given. To be followed by a barrier before `sums` is written again.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn lay(
    values: &[f32],
    shape: &Shape,
    whole: &Whole,
    ruler: &Ruler,
    from: &Fixed,
    before: &Fixed,
    start: u32,
    finish: u32,
    memory: &mut [u32],
    sums: &mut [u32],
    #[comptime] side: Side,
    #[comptime] key: DrawKey,
) -> Fixed {
    let units = comptime!(key.tally.sharing.units);
    let first = start + UNIT_POS * EACH;
    let mut own = Array::<u32>::new(comptime!(2 * EACH as usize));
    let mut sum = FixedSum::identity();
    #[unroll]
    for i in 0..EACH {
        let slot = first + i;
        if slot < finish {
            let at = (ruler.base + slot) as usize;
            let w = weights_at::<One>(values, shape, &ruler.scale, slot, at, key.tally.kind);
            sum = add(&sum, &integer(w.extract(0usize), shape));
        }
        FixedSum::store(own.as_mut_slice(), i as usize, &sum);
    }
    let earlier = add(before, &subtract(&cube::scan::<FixedSum>(copied(&sum), memory, units), &sum));
    let after = add(before, &cube::reduce::<FixedSum>(sum, memory, units));
    let zero = shift_right(before, ruler.shift);
    let mut last = shift_right(&earlier, ruler.shift);
    if comptime!(side.parted()) {
        let mut sum = FixedSum::identity();
        #[unroll]
        for i in 0..EACH {
            let mine = FixedSum::load(own.as_slice(), i as usize);
            let prefix = shift_right(&add(&earlier, &mine), ruler.shift);
            let parts = part(&subtract(&prefix, &last), whole, shape.slots, ruler.drop);
            if comptime!(side == Side::Copies) {
                sum = add(&sum, &Fixed { hi: 0u32.runtime(), lo: parts.copies });
            } else {
                sum = add(&sum, &parts.remainder);
            }
            FixedSum::store(own.as_mut_slice(), i as usize, &sum);
            last = copied(&prefix);
        }
        let others = subtract(&cube::scan::<FixedSum>(copied(&sum), memory, units), &sum);
        #[unroll]
        for i in 0..EACH {
            let prefix = add(from, &add(&others, &FixedSum::load(own.as_slice(), i as usize)));
            FixedSum::store(sums, (UNIT_POS * EACH + i) as usize, &prefix);
        }
    } else {
        #[unroll]
        for i in 0..EACH {
            let through = add(&earlier, &FixedSum::load(own.as_slice(), i as usize));
            // `from` holds what lies before the turn.
            let prefix = add(from, &subtract(&shift_right(&through, ruler.shift), &zero));
            FixedSum::store(sums, (UNIT_POS * EACH + i) as usize, &prefix);
        }
    }
    sync_cube();
    after
}

/// Prefixes of the particles from `start` on into `sums`, as many as it has, above `from`; returns the
/// block's integers through the last of them, where `before` are those before `start`.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn lay_alone<N: Size>(
    values: &[f32],
    shape: &Shape,
    whole: &Whole,
    ruler: &Ruler,
    from: &Fixed,
    before: &Fixed,
    start: u32,
    finish: u32,
    sums: &mut [u32],
    #[comptime] side: Side,
    #[comptime] key: DrawKey,
) -> Fixed {
    let turn = comptime!(key.turn());
    let mut through = copied(before);
    let mut last = shift_right(before, ruler.shift);
    let mut sum = copied(from);
    let mut i = 0u32.runtime();
    while i < turn {
        let slot = start + i;
        if slot < finish {
            let at = (ruler.base + slot) as usize;
            let w = weights_at::<N>(values, shape, &ruler.scale, slot, at, key.tally.kind);
            #[unroll]
            for lane in 0..N::value() {
                through = add(&through, &integer(w.extract(lane), shape));
                let prefix = shift_right(&through, ruler.shift);
                let own = subtract(&prefix, &last);
                if comptime!(side.parted()) {
                    let parts = part(&own, whole, shape.slots, ruler.drop);
                    if comptime!(side == Side::Copies) {
                        sum = add(&sum, &Fixed { hi: 0u32.runtime(), lo: parts.copies });
                    } else {
                        sum = add(&sum, &parts.remainder);
                    }
                } else {
                    sum = add(&sum, &own);
                }
                last = copied(&prefix);
                FixedSum::store(sums, i as usize + lane, &sum);
            }
        } else {
            #[unroll]
            for lane in 0..N::value() {
                FixedSum::store(sums, i as usize + lane, &sum);
            }
        }
        i += N::value() as u32;
    }
    through
}
