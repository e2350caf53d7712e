//! Births: a group a worker. Deaths: a vector of slots a worker.

use cubecl::prelude::*;

use crate::methods::{ESS_SHARE, ROW};
use crate::passes::resample::iteration;
use crate::passes::resample::kernel::{book, decide};
use crate::passes::resample::kernel_serial::add_up;
use crate::passes::weights::kernel::{TallyKey, record_block};
use crate::passes::weights::{LARGEST_LOG_WEIGHT, RECORD};
use crate::passes::{block_stride, first_block, first_vector, number, vector_stride};
use crate::prims::cube;
use crate::prims::math::{larger, ln, ln_fraction};
use crate::prims::monoid::{Max, Sum, ZERO_WEIGHT};
use crate::prims::philox::{Stream, lanes, purpose, tag, words};
use crate::prims::state::{Shape, block_at, load, occupied, store};

/// Slots that are alive.
#[cube]
fn alive<N: Size>(shape: &Shape, slot: u32, log_w: Vector<f32, N>) -> Vector<bool, N> {
    let least = Vector::new(-LARGEST_LOG_WEIGHT);
    let own = select_many(occupied::<N>(shape, lanes::<N>(slot)), log_w, least);
    own.greater_than(&least)
}

/// Mean log-weight of a group's particles that are alive; `memory`: four words a unit.
#[cube]
fn mean<N: Size>(
    log_w: &[f32],
    shape: &Shape,
    group: u32,
    memory: &mut [u32],
    #[comptime] key: TallyKey,
) -> f32 {
    let mut sums = Vector::<f32, N>::new(0.0f32);
    let mut counts = Vector::<f32, N>::new(0.0f32);
    for b in 0..shape.blocks {
        let block = block_at::<N>(shape, group * shape.blocks + b);
        let mut v = first_vector(key.sharing);
        while v < block.vectors {
            let slot = block.first + v * N::value() as u32;
            let own = load::<f32, N>(log_w, (group * shape.padded + slot) as usize);
            let counted = alive::<N>(shape, slot, own);
            sums += select_many(counted, own, Vector::new(0.0f32));
            counts += select_many(counted, Vector::new(1.0f32), Vector::new(0.0f32));
            v += vector_stride(key.sharing);
        }
    }
    let mut sum = cube::across::<Sum, N>(sums);
    let mut count = cube::across::<Sum, N>(counts);
    if comptime!(key.sharing.together) {
        sum = cube::reduce::<Sum>(sum, memory, key.sharing.units);
        count = cube::reduce::<Sum>(count, memory, key.sharing.units);
    }
    sum / select(count > 0.5f32, count, 1.0f32)
}

/// Decides, and writes priorities, deficits and records; see the page.
#[cube(launch)]
pub fn births_kernel<N: Size>(
    log_w: &[f32],
    records: &[u32],
    coeffs: &[f32],
    norms: &mut [f32],
    history: &mut [f32],
    priorities: &mut [f32],
    deficits: &mut [f32],
    own_records: &mut [u32],
    clock: &[u32],
    shape: Shape,
    step: u32,
    #[comptime] key: TallyKey,
) {
    let units = comptime!(if key.sharing.together { 4 * key.sharing.units as usize } else { 1 });
    let mut memory = Shared::<[u32]>::new_slice(units);
    let step = number(step, clock);
    let mut group = first_block(key.sharing);
    while group < shape.groups {
        let whole = add_up(records, &shape, group);
        let decision = decide(&whole, coeffs[step as usize * ROW + ESS_SHARE], &shape);
        if comptime!(!key.sharing.together) || UNIT_POS == 0u32 {
            book(norms, history, &shape, group, step, &whole, decision);
        }
        let centre = mean::<N>(log_w, &shape, group, &mut memory, key);
        let most =
            spread::<N>(log_w, priorities, deficits, &shape, group, centre, decision, &mut memory, key);
        // Without a birth nobody may die: rounding of the mean alone could ask for it.
        if most <= 0.0f32 {
            clear::<N>(deficits, &shape, group, key);
        }
        for b in 0..shape.blocks {
            let index = group * shape.blocks + b;
            let block = block_at::<N>(&shape, index);
            record_block::<N>(&*priorities, &shape, &block, index, own_records, &mut memory, key);
        }
        group += block_stride(key.sharing);
    }
}

/// Writes priorities and deficits; the largest g.
#[cube]
#[allow(clippy::too_many_arguments)]
fn spread<N: Size>(
    log_w: &[f32],
    priorities: &mut [f32],
    deficits: &mut [f32],
    shape: &Shape,
    group: u32,
    centre: f32,
    decision: f32,
    memory: &mut [u32],
    #[comptime] key: TallyKey,
) -> f32 {
    let zero = Vector::<f32, N>::new(0.0f32);
    let none = Vector::<f32, N>::new(ZERO_WEIGHT);
    let mut largest = zero;
    for b in 0..shape.blocks {
        let block = block_at::<N>(shape, group * shape.blocks + b);
        let mut v = first_vector(key.sharing);
        while v < block.vectors {
            let slot = block.first + v * N::value() as u32;
            let at = (group * shape.padded + slot) as usize;
            let own = load::<f32, N>(log_w, at);
            // Who is dead dies.
            let g = select_many(alive::<N>(shape, slot, own), own - Vector::new(centre), none);
            let born = g.greater_than(&zero);
            let chosen = select_many(born, ln::<N>(larger::<N>(g, Vector::new(1.0e-30f32))), none);
            largest = larger::<N>(largest, g);
            store::<f32, N>(priorities, at, if decision > 0.5f32 { chosen } else { none });
            store::<f32, N>(deficits, at, larger::<N>(zero - g, zero));
            v += vector_stride(key.sharing);
        }
    }
    let mut most = cube::across::<Max, N>(largest);
    if comptime!(key.sharing.together) {
        most = cube::reduce::<Max>(most, memory, key.sharing.units);
    }
    most
}

#[cube]
fn clear<N: Size>(deficits: &mut [f32], shape: &Shape, group: u32, #[comptime] key: TallyKey) {
    for b in 0..shape.blocks {
        let block = block_at::<N>(shape, group * shape.blocks + b);
        let mut v = first_vector(key.sharing);
        while v < block.vectors {
            let slot = block.first + v * N::value() as u32;
            store::<f32, N>(deficits, (group * shape.padded + slot) as usize, Vector::new(0.0f32));
            v += vector_stride(key.sharing);
        }
    }
}

/// Parents: the candidate where a slot dies, itself where it does not.
#[cube(launch)]
pub fn deaths_kernel<N: Size>(
    norms: &[f32],
    deficits: &[f32],
    seeds: &[u32],
    ancestors: &mut [u32],
    clocks: &mut [f32],
    clock: &[u32],
    shape: Shape,
    step: u32,
    #[comptime] runs_on: bool,
) {
    let step = number(step, clock);
    let vectors = shape.padded / N::value() as u32;
    let mut v = ABSOLUTE_POS as u32;
    while v < shape.groups * vectors {
        let group = v / vectors;
        let slots = lanes::<N>((v - group * vectors) * N::value() as u32);
        let at = v as usize * N::value();
        let zero = Vector::<f32, N>::new(0.0f32);
        if comptime!(runs_on) && step == 0u32 {
            store::<f32, N>(clocks, at, zero);
        }
        if norms[RECORD * group as usize + 3] > 0.5f32 {
            let stream = Stream::<N> {
                slot: slots,
                step,
                tag: comptime!(tag(purpose::RESAMPLE, iteration::DEATH)).runtime(),
                key0: seeds[2 * group as usize],
                key1: seeds[2 * group as usize + 1],
            };
            let drawn = words::<N>(&stream, slots, 0u32.runtime());
            let mut left = zero - ln_fraction::<N>(drawn.w0);
            if comptime!(runs_on) {
                let kept = load::<f32, N>(&*clocks, at);
                // A clock that was never set.
                left = select_many(kept.greater_than(&zero), kept, left);
            }
            left -= load::<f32, N>(deficits, at);
            let lives = left.greater_than(&zero);
            if comptime!(runs_on) {
                store::<f32, N>(clocks, at, select_many(lives, left, zero - ln_fraction::<N>(drawn.w1)));
            }
            let candidates = load::<u32, N>(&*ancestors, at);
            store::<u32, N>(ancestors, at, select_many(lives, slots, candidates));
        }
        v += CUBE_COUNT as u32 * CUBE_DIM;
    }
}
