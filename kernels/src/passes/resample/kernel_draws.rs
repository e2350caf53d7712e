//! What the kernels of the drawn schemes share: random words of a slot, and the points that slots lie at.

use cubecl::prelude::*;

use super::kernel::Whole;
use super::scheme::iteration;
use crate::passes::weights::kernel::TallyKey;
use crate::prims::cube;
use crate::prims::fixed::{
    Fixed, Quotient, add, along, copied, digits, divide, fraction, rounded, scale, subtract,
};
use crate::prims::fixed::{below, shift_right};
use crate::prims::monoid::{FixedSum, Monoid, One};
use crate::prims::philox::{Stream, Words, lanes, purpose, tag, words};
use crate::prims::state::Shape;

/// Which scheme the code is for; systematic resampling has kernels of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Draw {
    /// A point a stratum.
    Stratified,
    /// Independent points.
    Multinomial,
    /// Copies, then independent points.
    Residual,
    /// Metropolis, own proposals.
    Metropolis,
    /// Metropolis, shared distances.
    Megopolis,
    /// Trials.
    Rejection,
    /// Independent points, given that slot 0 keeps its particle.
    ConditionalMultinomial,
    /// A turned comb, given that slot 0 keeps its particle.
    ConditionalSystematic,
}

impl Draw {
    /// Every one.
    #[cfg(feature = "ptx")]
    pub const ALL: [Draw; 8] = [
        Draw::Stratified,
        Draw::Multinomial,
        Draw::Residual,
        Draw::Metropolis,
        Draw::Megopolis,
        Draw::Rejection,
        Draw::ConditionalMultinomial,
        Draw::ConditionalSystematic,
    ];

    /// What its points lie on, where that is the weights.
    pub fn side(self) -> Side {
        match self {
            Draw::Multinomial | Draw::ConditionalMultinomial => Side::Weights,
            Draw::ConditionalSystematic => Side::Comb,
            _ => Side::Strata,
        }
    }

    /// Slot 0 keeps its particle.
    pub fn conditional(self) -> bool {
        matches!(self, Draw::ConditionalMultinomial | Draw::ConditionalSystematic)
    }

    /// Slots search among prefix sums.
    pub fn searches(self) -> bool {
        matches!(self, Draw::Stratified | Draw::Multinomial | Draw::Residual) || self.conditional()
    }
}

/// What changes the generated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DrawKey {
    /// The scheme.
    pub draw: Draw,
    /// Weights and units.
    pub tally: TallyKey,
}

/// What slots search on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The weights, a point a stratum.
    Strata,
    /// The weights, evenly spaced points, whose slots begin at one of them and go around.
    Comb,
    /// The weights, independent points.
    Weights,
    /// Whole copies.
    Copies,
    /// What is left of the weights, independent points.
    Remainders,
}

impl Side {
    /// Points are independent.
    pub fn independent(self) -> bool {
        matches!(self, Side::Weights | Side::Remainders)
    }

    /// Particles count by their parts.
    pub fn parted(self) -> bool {
        matches!(self, Side::Copies | Side::Remainders)
    }
}

/// Where a group's random words come from at a step.
#[derive(CubeType, Clone, Copy)]
pub struct Draws {
    key0: u32,
    key1: u32,
    step: u32,
}

/// Those of group `group`.
#[cube]
pub fn draws_of(seeds: &[u32], group: u32, step: u32) -> Draws {
    Draws { key0: seeds[2 * group as usize], key1: seeds[2 * group as usize + 1], step }
}

/// The words of `slots` for one use.
#[cube]
pub fn drawn<N: Size>(
    draws: &Draws,
    slots: Vector<u32, N>,
    block: u32,
    #[comptime] iteration: u32,
) -> Words<N> {
    let stream = Stream::<N> {
        slot: slots,
        step: draws.step,
        tag: comptime!(tag(purpose::RESAMPLE, iteration)).runtime(),
        key0: draws.key0,
        key1: draws.key1,
    };
    words::<N>(&stream, slots, block)
}

/// What the points of one side of a group lie on.
#[derive(CubeType, Clone, Copy)]
pub struct Line {
    /// Its length.
    pub total: Fixed,
    /// Strata: the whole of a slot's share of it.
    each: Fixed,
    /// What is left of all.
    left: u32,
    /// Points.
    pub slots: u32,
    /// Slots of the group before the first point.
    pub before: u32,
    /// Halvings.
    pub depth: u32,
    /// A comb: how far its points lie from the beginnings of their strata, in units of 1 / `slots`.
    offset: Fixed,
    /// A comb: the point of slot 0.
    turn: u32,
}

/// A line of length `total` with `slots` points.
#[cube]
pub fn line(total: &Fixed, slots: u32, before: u32, depth: u32, #[comptime] side: Side) -> Line {
    let share = if comptime!(side == Side::Strata) {
        divide(total, slots)
    } else {
        let zero = 0u32.runtime();
        Quotient { whole: Fixed { hi: zero, lo: zero }, rest: Fixed { hi: zero, lo: zero } }
    };
    let zero = 0u32.runtime();
    Line {
        total: copied(total),
        each: share.whole,
        left: share.rest.lo,
        slots,
        before,
        depth,
        offset: Fixed { hi: zero, lo: zero },
        turn: zero,
    }
}

/// A comb through the points at (i `total` + `offset`) / `slots`, of which slot 0 has number `turn`.
#[cube]
fn turned(total: &Fixed, slots: u32, depth: u32, offset: Fixed, turn: u32) -> Line {
    let share = divide(total, slots);
    let before = 0u32.runtime();
    Line { total: copied(total), each: share.whole, left: share.rest.lo, slots, before, depth, offset, turn }
}

/// The line of a scheme with one side; `first` is the integer of the group's first particle.
#[cube]
pub fn line_of(
    whole: &Whole,
    shape: &Shape,
    draws: &Draws,
    first: &Fixed,
    depth: u32,
    #[comptime] draw: Draw,
) -> Line {
    let zero = 0u32.runtime();
    if comptime!(draw == Draw::ConditionalMultinomial) {
        line(&whole.total, shape.slots - 1u32, 1u32.runtime(), depth, Side::Weights)
    } else if comptime!(draw == Draw::ConditionalSystematic) {
        // A point of the first particle: the comb through it, and the tooth that it is.
        let word = drawn::<One>(draws, lanes::<One>(zero), zero, iteration::OFFSET);
        let at = along(first, word.w0.extract(0usize), word.w1.extract(0usize), 32u32.runtime());
        let tooth = part(&at, whole, shape.slots, zero);
        turned(&whole.total, shape.slots, depth, tooth.remainder, tooth.copies)
    } else {
        line(&whole.total, shape.slots, zero, depth, comptime!(draw.side()))
    }
}

/// The slot of point `own` of a comb.
#[cube]
pub fn seat(line: &Line, own: u32) -> u32 {
    let slot = own + line.slots - line.turn;
    select(slot < line.slots, slot, slot - line.slots)
}

/// Where point `own` of a line lies, by its word; `leaf` is its leaf where points are independent.
#[cube]
pub fn point(line: &Line, own: u32, leaf: u32, word: u32, #[comptime] side: Side) -> Fixed {
    let zero = 0u32.runtime();
    if comptime!(side == Side::Copies) {
        Fixed { hi: zero, lo: own }
    } else if comptime!(side == Side::Strata) {
        let low = scale(&Fixed { hi: zero, lo: line.left }, own);
        let over = divide(&add(&low, &fraction(&line.total, word)), line.slots);
        add(&scale(&line.each, own), &over.whole)
    } else if comptime!(side == Side::Comb) {
        let low = scale(&Fixed { hi: zero, lo: line.left }, own);
        let over = divide(&add(&low, &line.offset), line.slots);
        add(&scale(&line.each, own), &over.whole)
    } else {
        along(&line.total, leaf, word, line.depth)
    }
}

/// Points of a line in consecutive slots.
#[derive(CubeType, Clone, Copy)]
pub struct Span {
    /// The first of them.
    pub first: u32,
    /// Behind the last.
    pub end: u32,
}

/// Points of leaf `leaf` where every leaf has as many.
#[cube]
pub fn even_span(line: &Line, leaf: u32) -> Span {
    let each = (line.slots + (1u32 << line.depth) - 1u32) >> line.depth;
    let first = each * leaf;
    let first = select(first < line.slots, first, line.slots);
    let end = first + each;
    Span { first, end: select(end < line.slots, end, line.slots) }
}

/// Points among `points` that fall to the left at node `node`: fair bits, counted from bit 128 `first` on,
/// every `stride` vectors of 128 `N`.
#[cube]
pub fn lefts<N: Size>(draws: &Draws, points: u32, node: u32, first: u32, stride: u32) -> u32 {
    let mut sum = Vector::<u32, N>::new(0u32);
    let mut counter = first;
    while 128u32 * counter < points {
        let own = lanes::<N>(counter);
        let w = drawn::<N>(draws, own, node, iteration::TREE);
        let at = own * Vector::new(128u32);
        sum += bits::<N>(w.w0, at, points);
        sum += bits::<N>(w.w1, at + Vector::new(32u32), points);
        sum += bits::<N>(w.w2, at + Vector::new(64u32), points);
        sum += bits::<N>(w.w3, at + Vector::new(96u32), points);
        counter += stride * N::value() as u32;
    }
    let mut all = sum.extract(0usize);
    #[unroll]
    for lane in 1..N::value() {
        all += sum.extract(lane);
    }
    all
}

/// Bits of a word that are set, those before `points`; the word's own begin at `at`.
#[cube]
fn bits<N: Size>(word: Vector<u32, N>, at: Vector<u32, N>, points: u32) -> Vector<u32, N> {
    let zero = Vector::<u32, N>::new(0u32);
    let end = Vector::<u32, N>::new(points);
    let left = select_many(at.less_than(&end), end - at, zero);
    let part = (Vector::new(1u32) << (left & Vector::new(31u32))) - Vector::new(1u32);
    let kept = select_many(left.less_than(&Vector::new(32u32)), word & part, word);
    kept.count_ones()
}

/// [`lefts`] by all units of a cube.
#[cube]
fn lefts_together(draws: &Draws, points: u32, node: u32, memory: &mut [u32], #[comptime] units: u32) -> u32 {
    let own = lefts::<One>(draws, points, node, UNIT_POS, comptime!(units).runtime());
    let own = Fixed { hi: 0u32.runtime(), lo: own };
    cube::reduce::<FixedSum>(own, memory, units).lo
}

/// Points of leaf `leaf` where points are independent.
#[cube]
pub fn leaf_span(line: &Line, leaf: u32, draws: &Draws, memory: &mut [u32], #[comptime] units: u32) -> Span {
    let mut first = 0u32.runtime();
    let mut points = line.slots;
    for level in 0..line.depth {
        let node = (1u32 << level) + (leaf >> (line.depth - level));
        let left = lefts_together(draws, points, node, memory, units);
        let right = (leaf >> (line.depth - level - 1u32)) & 1u32;
        first += right * left;
        points = select(right == 1u32, points - left, left);
    }
    Span { first, end: first + points }
}

/// What a particle of integer weight a is worth to residual resampling.
#[derive(CubeType, Clone, Copy)]
pub struct Parts {
    /// floor(K a / S).
    pub copies: u32,
    /// floor((K a mod S) / 2^drop).
    pub remainder: Fixed,
}

/// Digits by which remainders are shortened so that their sum fits.
#[cube]
pub fn drop_of(total: &Fixed, slots: u32) -> u32 {
    let all = digits(total) + 32u32 - slots.leading_zeros();
    select(all > 62u32, all - 62u32, 0u32)
}

/// The parts of weight `a`. K in two halves of 14 bits, so that an f32 guesses either quotient to one.
#[cube]
pub fn part(a: &Fixed, whole: &Whole, slots: u32, drop: u32) -> Parts {
    let ratio = rounded(a) / rounded(&whole.total);
    let high = slots >> 14u32;
    let low = slots & 0x3fffu32;
    let guess = u32::cast_from(ratio * f32::cast_from(high));
    let first = settle(&scale(a, high), guess, &whole.total);
    let value = add(&scale(&first.rest, 16_384u32), &scale(a, low));
    let ratio = rounded(&first.rest) / rounded(&whole.total) * 16_384.0f32 + ratio * f32::cast_from(low);
    let second = settle(&value, u32::cast_from(ratio), &whole.total);
    Parts { copies: first.whole.lo * 16_384u32 + second.whole.lo, remainder: shift_right(&second.rest, drop) }
}

/// The quotient of a product, known modulo 2^64, by `total`, below 2^62; `guess` is off by one at most.
#[cube]
fn settle(product: &Fixed, guess: u32, total: &Fixed) -> Quotient {
    let rest = subtract(product, &scale(total, guess));
    let negative = rest.hi >= 0x8000_0000u32;
    let lower = add(&rest, total);
    let upper = subtract(&rest, total);
    let over = !negative && !below(&rest, total);
    let whole = select(negative, guess - 1u32, select(over, guess + 1u32, guess));
    let hi = select(negative, lower.hi, select(over, upper.hi, rest.hi));
    let lo = select(negative, lower.lo, select(over, upper.lo, rest.lo));
    Quotient { whole: Fixed { hi: 0u32.runtime(), lo: whole }, rest: Fixed { hi, lo } }
}

/// What block `index` holds on one side, from the records of its parts.
#[cube]
pub fn parts_of(parts: &[u32], index: u32, #[comptime] side: Side) -> Fixed {
    let at = 4 * index as usize;
    if comptime!(side == Side::Copies) {
        Fixed { hi: 0u32.runtime(), lo: parts[at] }
    } else {
        Fixed { hi: parts[at + 1], lo: parts[at + 2] }
    }
}

/// The first of `count` prefixes above `point`, the last one at the latest.
#[cube]
pub fn first_above(prefixes: &[u32], count: u32, point: &Fixed) -> u32 {
    let mut low = 0u32.runtime();
    let mut high = count - 1u32;
    while low < high {
        let middle = (low + high) / 2u32;
        if below(point, &FixedSum::load(prefixes, middle as usize)) {
            high = middle;
        } else {
            low = middle + 1u32;
        }
    }
    low
}

/// Items of a group: leaves, or blocks of slots.
#[cube]
pub fn items(shape: &Shape, depth: u32, #[comptime] key: DrawKey) -> u32 {
    if comptime!(key.draw.searches()) { 1u32 << depth } else { shape.blocks }
}
