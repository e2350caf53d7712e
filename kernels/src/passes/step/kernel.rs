//! The step kernel, written once over (Score, Method, Space).

use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::kernel_follow::{ask, nothing, reach};
use super::kernel_move::advance;
use super::kernel_twist::{reach_twisted, show};
use super::key::{Carry, Common, Scratch, Stage, StepKey, Tables};
use crate::methods::{Coeffs, Method, Move, coeffs};
use crate::models::{Here, Models, Score, coordinate, extent, put_coordinate, score_of};
use crate::passes::weights::kernel::record_block;
use crate::passes::{block_stride, first_block, first_vector, number, vector_stride};
use crate::prims::monoid::ZERO_WEIGHT;
use crate::prims::philox::{Stream, lanes, purpose, tag};
use crate::prims::space::Space;
use crate::prims::state::{
    Grid, Past, Shape, block_at, load, load_row, occupied, recall_row, store, store_row,
};

/// One launch of a step; see the module page. `H` is half of `N` where 64-bit integers are there.
#[cube(launch)]
pub fn step_kernel<S: Score, M: Method, P: Space, E: Float, N: Size, H: Size>(
    before: Carry<E>,
    mut after: Carry<E>,
    mut common: Common,
    scratch: &mut [f32],
    models: Models,
    tables: Tables,
    shape: Shape,
    step: u32,
    #[comptime] key: StepKey,
    #[define(E)] _element: ElemType,
) {
    if comptime!(key.shared() > 0) {
        let mut own = Shared::<[f32]>::new_slice(comptime!(key.shared()));
        all_blocks::<S, M, P, E, N, H>(
            &before,
            &mut after,
            &mut common,
            &mut own,
            &models,
            &tables,
            &shape,
            step,
            key,
        );
    } else {
        all_blocks::<S, M, P, E, N, H>(
            &before,
            &mut after,
            &mut common,
            scratch,
            &models,
            &tables,
            &shape,
            step,
            key,
        );
    }
}

/// The blocks of this worker.
#[cube]
#[allow(clippy::too_many_arguments)]
fn all_blocks<S: Score, M: Method, P: Space, E: Float, N: Size, H: Size>(
    before: &Carry<E>,
    after: &mut Carry<E>,
    common: &mut Common,
    scratch: &mut [f32],
    models: &Models,
    tables: &Tables,
    shape: &Shape,
    step: u32,
    #[comptime] key: StepKey,
) {
    let step = number(step, &before.clock);
    if comptime!(key.moves()) {
        // Nobody reads it before the next step: this one's number is in the other cell.
        if ABSOLUTE_POS == 0usize {
            after.clock[0] = step + 1u32;
        }
    }
    let total = shape.total_blocks();
    let mut index = first_block(key.sharing);
    if comptime!(key.records() && key.sharing.together) {
        let mut memory = Shared::<[u32]>::new_slice(comptime!(4 * key.sharing.units as usize));
        while index < total {
            step_block::<S, M, P, E, N, H>(
                before,
                after,
                common,
                scratch,
                models,
                tables,
                shape,
                index,
                step,
                &mut memory,
                key,
            );
            index += block_stride(key.sharing);
        }
    } else {
        let mut memory = Array::<u32>::new(1usize);
        let memory = memory.as_mut_slice();
        while index < total {
            step_block::<S, M, P, E, N, H>(
                before, after, common, scratch, models, tables, shape, index, step, memory, key,
            );
            index += block_stride(key.sharing);
        }
    }
}

/// Block number `index` of all. `memory`: four words a unit, where units share a block.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn step_block<S: Score, M: Method, P: Space, E: Float, N: Size, H: Size>(
    before: &Carry<E>,
    after: &mut Carry<E>,
    common: &mut Common,
    scratch: &mut [f32],
    models: &Models,
    tables: &Tables,
    shape: &Shape,
    index: u32,
    step: u32,
    memory: &mut [u32],
    #[comptime] key: StepKey,
) {
    let block = block_at::<N>(shape, index);
    let mut v = first_vector(key.sharing);
    while v < block.vectors {
        let slot = block.first + v * N::value() as u32;
        particles::<S, M, P, E, N, H>(
            before,
            after,
            common,
            scratch,
            models,
            tables,
            shape,
            block.group,
            slot,
            step,
            key,
        );
        v += vector_stride(key.sharing);
    }
    if comptime!(key.records()) {
        let tally = comptime!(key.tally());
        record_block::<N>(&after.log_w, shape, &block, index, &mut common.blocks, memory, tally);
    }
}

/// `N` particles from slot `slot` of `group` on.
#[cube]
#[allow(clippy::too_many_arguments)]
fn particles<S: Score, M: Method, P: Space, E: Float, N: Size, H: Size>(
    before: &Carry<E>,
    after: &mut Carry<E>,
    common: &mut Common,
    scratch: &mut [f32],
    models: &Models,
    tables: &Tables,
    shape: &Shape,
    group: u32,
    slot: u32,
    step: u32,
    #[comptime] key: StepKey,
) {
    let slots = lanes::<N>(slot);
    let base = group * shape.padded;
    let at = (base + slot) as usize;
    let c = coeffs(&tables.coeffs, step);
    let resampled = common.norms[group as usize * 4 + 3] > 0.5f32;
    let parents = if resampled { load::<u32, N>(&common.ancestors, at) + Vector::new(base) } else { slots };
    let past = Past::<N> { at, resampled, parents };
    let mut here = here::<N>(shape, group, slot, at, step, key);
    let stream = Stream::<N> {
        slot: slots,
        step,
        tag: comptime!(tag(purpose::MOVE, 0)).runtime(),
        key0: tables.seeds[2 * group as usize],
        key1: tables.seeds[2 * group as usize + 1],
    };
    if comptime!(key.moves() && !key.carried) {
        fetch::<E, N>(before, scratch, &mut here, &past, key);
    }
    let told = if comptime!(key.moves() && !key.carried) {
        ask::<S, M, E, N>(before, &mut here, scratch, models, tables, key)
    } else {
        nothing::<N>()
    };
    let mut log_w = if comptime!(key.moves()) {
        advance::<M, P, E, N, H>(
            before, after, common, scratch, models, &mut here, shape, &past, &c, &told, &stream, key,
        )
    } else {
        recover::<E, N>(&*after, scratch, &mut here, key)
    };
    if comptime!(key.shows()) {
        show::<S, N>(common, scratch, models, &mut here, shape, key);
    } else if comptime!(key.settles() && key.twist.is_some()) {
        log_w = reach_twisted::<S, E, N>(before, after, scratch, models, &mut here, &past, log_w, key);
    } else if comptime!(key.settles() && key.follows) {
        log_w = reach::<S, M, E, N>(before, after, scratch, models, tables, &mut here, &past, &c, log_w, key);
    } else if comptime!(key.settles()) {
        log_w = settle::<S, M, E, N>(before, after, scratch, models, &mut here, &past, &c, log_w, key);
    }
    if comptime!(key.weighed && !key.shows() && !matches!(key.stage, Stage::Aim)) {
        log_w = select_many(here.occupied, log_w, Vector::new(ZERO_WEIGHT));
        store::<f32, N>(&mut after.log_w, at, log_w);
    }
}

/// Where these particles are, for a model.
#[cube]
fn here<N: Size>(
    shape: &Shape,
    group: u32,
    slot: u32,
    at: usize,
    step: u32,
    #[comptime] key: StepKey,
) -> Here<N> {
    let registers = comptime!(key.models.registers);
    let dim = shape.dim as usize;
    let stride = shape.stride();
    let rows = comptime!(1 + key.slots()) * dim;
    let units = comptime!(key.sharing.units as usize);
    let scratch_at = match comptime!(key.scratch) {
        Scratch::Workers => ABSOLUTE_POS * N::value(),
        Scratch::Shared(_) => UNIT_POS as usize,
        _ => at,
    };
    let scratch_stride = match comptime!(key.scratch) {
        Scratch::Workers => CUBE_COUNT * units * N::value(),
        Scratch::Shared(_) => comptime!(units).runtime(),
        _ => stride,
    };
    let level = if comptime!(key.first()) {
        0u32.runtime()
    } else if comptime!(matches!(key.stage, Stage::Fused) && !key.carried) {
        step
    } else {
        step + 1u32
    };
    Here::<N> {
        point: Array::new(comptime!(registers.max(1))),
        score: Array::new(comptime!((registers * key.slots()).max(1))),
        at,
        grid: Grid { rows: dim, stride },
        score_grid: Grid {
            rows: comptime!(key.carried_scores()) * dim + comptime!(key.carried_logs()),
            stride,
        },
        scratch_at,
        scratch_grid: Grid { rows, stride: scratch_stride },
        dim,
        level,
        group,
        groups: shape.groups,
        slot,
        particle: group * shape.slots + slot,
        occupied: occupied::<N>(shape, lanes::<N>(slot)),
    }
}

/// A later part of a split step takes up what the first one left.
#[cube]
fn recover<E: Float, N: Size>(
    after: &Carry<E>,
    scratch: &mut [f32],
    here: &mut Here<N>,
    #[comptime] key: StepKey,
) -> Vector<f32, N> {
    if comptime!(key.looks) {
        #[unroll(key.models.registers > 0)]
        for k in 0..extent(here.dim, key.models.registers) {
            let x = load_row::<E, N>(&after.x, &here.grid, k, here.at, key.models.layout);
            put_coordinate::<N>(here, scratch, k, x, key.models);
        }
    }
    if comptime!(key.weighed) { load::<f32, N>(&after.log_w, here.at) } else { Vector::new(0.0f32) }
}

/// Gathers x where the models will look for it.
#[cube]
fn fetch<E: Float, N: Size>(
    before: &Carry<E>,
    scratch: &mut [f32],
    here: &mut Here<N>,
    past: &Past<N>,
    #[comptime] key: StepKey,
) {
    #[unroll(key.models.registers > 0)]
    for k in 0..extent(here.dim, key.models.registers) {
        let x = recall_row::<E, N>(&before.x, &here.grid, k, past, key.models.layout);
        put_coordinate::<N>(here, scratch, k, x, key.models);
    }
}

/// One coordinate of a method that looks at scores alone.
#[cube]
pub fn coordinate_of<M: Method, N: Size>(
    scores: &Sequence<Vector<f32, N>>,
    c: &Coeffs,
    #[comptime] key: StepKey,
) -> Move<N> {
    let shares = Sequence::<Vector<f32, N>>::new();
    M::coordinate::<N>(scores, &shares, Vector::new(0.0f32), c, key.models.count)
}

/// Adds what coordinate `k` of the old state is off the backward kernel's mean, squared.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn fall_back<E: Float, N: Size>(
    before: &Carry<E>,
    here: &Here<N>,
    scratch: &[f32],
    past: &Past<N>,
    c: &Coeffs,
    moved: &Move<N>,
    k: usize,
    residual: Vector<f32, N>,
    #[comptime] key: StepKey,
) -> Vector<f32, N> {
    let old = recall_row::<E, N>(&before.x, &here.grid, k, past, key.models.layout);
    let new = coordinate::<N>(here, scratch, k, key.models);
    let back = fma(Vector::new(c.back_shrink), new, Vector::new(c.back_drift) * moved.back);
    fma(old - back, old - back, residual)
}

/// Evaluate at x', and the part of the weight that belongs to the new state.
#[cube]
#[allow(clippy::too_many_arguments)]
fn settle<S: Score, M: Method, E: Float, N: Size>(
    before: &Carry<E>,
    after: &mut Carry<E>,
    scratch: &mut [f32],
    models: &Models,
    here: &mut Here<N>,
    past: &Past<N>,
    c: &Coeffs,
    log_w: Vector<f32, N>,
    #[comptime] key: StepKey,
) -> Vector<f32, N> {
    let registers = comptime!(key.models.registers);
    let dim = extent(here.dim, registers);
    let mut log_p = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for m in 0..key.models.count {
        let log_q = S::evaluate::<N>(here, scratch, models, m, key.models);
        log_p = fma(Vector::new(c.beta(m)), log_q, log_p);
    }
    let mut rate = Vector::<f32, N>::new(0.0f32);
    let mut residual = Vector::<f32, N>::new(0.0f32);
    #[unroll(registers > 0)]
    for k in 0..dim {
        let mut scores = Sequence::<Vector<f32, N>>::new();
        #[unroll]
        for m in 0..key.models.count {
            let own = score_of::<N>(&*here, &*scratch, m, k, key.models);
            if comptime!(key.carried) {
                let (row, layout) = (m * dim + k, key.models.layout);
                store_row::<E, N>(&mut after.scores, &here.score_grid, row, here.at, own, layout);
            }
            scores.push(own);
        }
        let moved = coordinate_of::<M, N>(&scores, c, key);
        rate += moved.rate;
        if comptime!(key.exact && !matches!(key.stage, Stage::Start)) {
            residual = fall_back::<E, N>(before, &*here, &*scratch, past, c, &moved, k, residual, key);
        }
    }
    if comptime!(key.exact) {
        store::<f32, N>(&mut after.log_p, here.at, log_p);
    }
    if comptime!(matches!(key.stage, Stage::Start)) {
        if comptime!(key.weighted_start) { log_w + log_p } else { log_w }
    } else {
        let log_w = fma(Vector::new(c.rate_new), rate, log_w) + Vector::new(c.constant);
        if comptime!(key.exact) {
            let backward = residual * Vector::new(c.back_precision * -0.5f32);
            log_w + Vector::new(c.exact) * (log_p + backward)
        } else {
            log_w
        }
    }
}
