//! A block a worker; see the page.

use cubecl::prelude::*;

use super::ORDER;
use crate::methods::{ESS_SHARE, ROW};
use crate::passes::resample::kernel::{block_record, book, decide};
use crate::passes::resample::kernel_serial::add_up;
use crate::passes::weights::kernel::{TallyKey, Weights, record_block, scale_of, weights_at};
use crate::passes::weights::{BAD_WEIGHT, LARGEST_LOG_WEIGHT, NO_WEIGHT};
use crate::passes::{block_stride, first_block, first_vector, number, vector_stride};
use crate::prims::fixed::rounded;
use crate::prims::math::{exponent_of, ln, two_to};
use crate::prims::monoid::{MaxInt, Monoid, One, ZERO_WEIGHT};
use crate::prims::philox::lanes;
use crate::prims::state::{Block, Shape, block_at, load, store};

/// What priorities a row asks for.
#[derive(CubeType, Clone, Copy)]
struct Order {
    /// Power of the weights.
    power: f32,
    /// First slot of the window.
    first: u32,
    /// Its slots: all where there is none.
    count: u32,
}

/// Writes what the page says.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
pub fn priority_kernel<N: Size>(
    log_w: &[f32],
    records: &[u32],
    coeffs: &[f32],
    table: &[u32],
    norms: &mut [f32],
    history: &mut [f32],
    priorities: &mut [f32],
    handed: &mut [f32],
    own_records: &mut [u32],
    clock: &[u32],
    shape: Shape,
    step: u32,
    #[comptime] key: TallyKey,
) {
    let units = comptime!(if key.sharing.together { 4 * key.sharing.units as usize } else { 1 });
    let mut memory = Shared::<[u32]>::new_slice(units);
    let step = number(step, clock);
    let row = ORDER * step as usize;
    let order = Order { power: f32::reinterpret(table[row]), first: table[row + 1], count: table[row + 2] };
    let total = shape.total_blocks();
    let mut index = first_block(key.sharing);
    while index < total {
        let block = block_at::<N>(&shape, index);
        let whole = add_up(records, &shape, block.group);
        let mut level = Level { top: 0i32.runtime(), mean: 1.0f32.runtime() };
        let part = order.count < shape.slots;
        if part {
            level = window(log_w, records, &shape, &order, block.group, key.kind);
        }
        let asked = decide(&whole, coeffs[step as usize * ROW + ESS_SHARE], &shape);
        // A window of particles that are all dead has nobody to choose from.
        let empty = part && (level.top == NO_WEIGHT || level.top == BAD_WEIGHT);
        let decision = select(asked > 0.5f32 && empty, 0.0f32, asked);
        if index == block.group * shape.blocks && (comptime!(!key.sharing.together) || UNIT_POS == 0u32) {
            book(norms, history, &shape, block.group, step, &whole, decision);
        }
        let level = log_of(&level);
        assign::<N>(log_w, priorities, handed, &shape, &block, &order, level, decision, key);
        record_block::<N>(&*priorities, &shape, &block, index, own_records, &mut memory, key);
        index += block_stride(key.sharing);
    }
}

/// The logarithm of a level that is not zero.
#[cube]
fn log_of(level: &Level) -> f32 {
    let odd = level.top == NO_WEIGHT || level.top == BAD_WEIGHT;
    let top = select(odd, 0i32, level.top);
    let mean = select(odd, 1.0f32, level.mean);
    f32::cast_from(top) * core::f32::consts::LN_2 + ln::<One>(Vector::new(mean)).extract(0usize)
}

/// ln v, and ln(w/v), of the particles of a block.
#[cube]
#[allow(clippy::too_many_arguments)]
fn assign<N: Size>(
    log_w: &[f32],
    priorities: &mut [f32],
    handed: &mut [f32],
    shape: &Shape,
    block: &Block,
    order: &Order,
    level: f32,
    decision: f32,
    #[comptime] key: TallyKey,
) {
    let mut v = first_vector(key.sharing);
    while v < block.vectors {
        let slot = block.first + v * N::value() as u32;
        let at = (block.group * shape.padded + slot) as usize;
        let own = load::<f32, N>(log_w, at);
        let chosen = own * Vector::new(order.power);
        let inside = distance::<N>(lanes::<N>(slot), shape, order).less_than(&Vector::new(order.count));
        let chosen = select_many(inside, chosen, Vector::new(level));
        let none = Vector::new(ZERO_WEIGHT);
        store::<f32, N>(priorities, at, if decision > 0.5f32 { chosen } else { none });
        store::<f32, N>(handed, at, own - chosen);
        v += vector_stride(key.sharing);
    }
}

/// How far slots lie behind the first of the window, around the end of the group.
#[cube]
fn distance<N: Size>(slots: Vector<u32, N>, shape: &Shape, order: &Order) -> Vector<u32, N> {
    let all = Vector::new(shape.slots);
    let raised = slots + Vector::new(shape.slots - order.first);
    select_many(raised.less_than(&all), raised, raised - all)
}

/// The mean weight of a window: `mean` 2^`top`, where `top` is [`NO_WEIGHT`] if all are zero.
#[derive(CubeType, CubeTypeMut, Clone, Copy)]
struct Level {
    top: i32,
    mean: f32,
}

/// A block beside the window.
#[derive(CubeType, Clone, Copy)]
struct Beside {
    /// First slot, and the one behind the last.
    begin: u32,
    end: u32,
    /// All of it lies inside.
    whole: bool,
    /// Some of it may lie inside.
    some: bool,
}

#[cube]
fn beside(shape: &Shape, order: &Order, b: u32) -> Beside {
    let begin = b * shape.block;
    let end = begin + shape.block;
    let end = select(end < shape.slots, end, shape.slots);
    let from = distance::<One>(Vector::new(begin), shape, order).extract(0usize);
    let to = distance::<One>(Vector::new(end - 1u32), shape, order).extract(0usize);
    // Else the window begins in the middle of it.
    let straight = from <= to;
    let whole = straight && to < order.count;
    Beside { begin, end, whole, some: !straight || from < order.count }
}

/// The level of a window that is not the whole group; blocks that lie in it whole by their records. Every worker adds up
/// the same in the same order. Weights are measured by the largest in the window, which may be far below the group's.
#[cube]
fn window(
    log_w: &[f32],
    records: &[u32],
    shape: &Shape,
    order: &Order,
    group: u32,
    #[comptime] kind: Weights,
) -> Level {
    let base = group * shape.padded;
    let mut most = (-2.0f32 * LARGEST_LOG_WEIGHT).runtime();
    let mut top = NO_WEIGHT.runtime();
    for b in 0..shape.blocks {
        let block = beside(shape, order, b);
        if block.whole {
            let record = block_record(records, group * shape.blocks + b);
            top = MaxInt::combine(&top, &record.top);
        } else if block.some {
            for slot in block.begin..block.end {
                let own = log_w[(base + slot) as usize];
                let inside = distance::<One>(Vector::new(slot), shape, order).extract(0usize) < order.count;
                most = select(inside && own > most, own, most);
            }
        }
    }
    if most > -LARGEST_LOG_WEIGHT {
        top = MaxInt::combine(&top, &exponent_of(most));
    }
    let scale = scale_of(top);
    let mut sum = 0.0f32.runtime();
    for b in 0..shape.blocks {
        let block = beside(shape, order, b);
        if block.whole {
            let record = block_record(records, group * shape.blocks + b);
            let below = top - record.top;
            let near = record.top > NO_WEIGHT / 2i32 && below < 120i32;
            let unit = two_to::<One>(Vector::new(select(near, -below, -120i32))).extract(0usize);
            sum += select(near, rounded(&record.sum) / shape.unit * unit, 0.0f32);
        } else if block.some {
            for slot in block.begin..block.end {
                let at = (base + slot) as usize;
                let own = weights_at::<One>(log_w, shape, &scale, slot, at, kind).extract(0usize);
                let inside = distance::<One>(Vector::new(slot), shape, order).extract(0usize) < order.count;
                sum += select(inside, own, 0.0f32);
            }
        }
    }
    Level { top, mean: sum / f32::cast_from(order.count) }
}
