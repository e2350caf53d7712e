//! A group a worker; see the page.

use cubecl::prelude::*;

use super::{HALVINGS, RUNG};
use crate::methods::{ROW, SCHEDULED};
use crate::passes::weights::LARGEST_LOG_WEIGHT;
use crate::passes::weights::kernel::{TallyKey, record_block};
use crate::passes::{block_stride, first_block, first_vector, number, vector_stride};
use crate::prims::cube;
use crate::prims::math::{exp, larger};
use crate::prims::monoid::{Max, Monoid, Sum, ZERO_WEIGHT};
use crate::prims::philox::lanes;
use crate::prims::state::{Shape, block_at, load, occupied, store};

/// What is asked of the weight.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub struct Climb {
    /// The ESS that must be left, as a share of the particles.
    pub share: f32,
    /// Steps of the run.
    pub steps: u32,
}

/// Writes what the page says.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
pub fn ladder_kernel<N: Size>(
    log_w: &mut [f32],
    rewards: &[f32],
    coeffs: &[f32],
    records: &mut [u32],
    rungs: &mut [f32],
    clock: &[u32],
    shape: Shape,
    climb: Climb,
    step: u32,
    #[comptime] key: TallyKey,
) {
    let units = comptime!(if key.sharing.together { 4 * key.sharing.units as usize } else { 1 });
    let mut memory = Shared::<[u32]>::new_slice(units);
    let step = number(step, clock);
    let mut group = first_block(key.sharing);
    while group < shape.groups {
        let at = RUNG * (step * shape.groups + group) as usize;
        let old = rungs[at];
        let before = ess::<N>(&*log_w, rewards, &shape, group, 0.0f32.runtime(), &mut memory, key);
        let wanted = coeffs[(step + 1u32) as usize * ROW + SCHEDULED];
        let mut next = wanted;
        if step + 1u32 < climb.steps && old != wanted {
            let least = climb.share * f32::cast_from(shape.slots);
            let part = search::<N>(&*log_w, rewards, &shape, group, wanted - old, least, &mut memory, key);
            next = select(part < 1.0f32, fma(part, wanted - old, old), wanted);
        }
        if comptime!(!key.sharing.together) || UNIT_POS == 0u32 {
            let row = at + RUNG * shape.groups as usize;
            rungs[row] = next;
            rungs[row + 1] = before;
        }
        for b in 0..shape.blocks {
            let index = group * shape.blocks + b;
            let block = block_at::<N>(&shape, index);
            let mut v = first_vector(key.sharing);
            while v < block.vectors {
                let slot = block.first + v * N::value() as u32;
                let own = raised::<N>(&*log_w, rewards, &shape, group, slot, next - old);
                let at = (group * shape.padded + slot) as usize;
                let was = load::<f32, N>(&*log_w, at);
                store::<f32, N>(log_w, at, select_many(own.alive, own.log_w, was));
                v += vector_stride(key.sharing);
            }
            record_block::<N>(&*log_w, &shape, &block, index, records, &mut memory, key);
        }
        group += block_stride(key.sharing);
    }
}

/// Particles side by side: their log-weights, and whether they have any.
#[derive(CubeType, Clone, Copy)]
struct Raised<N: Size> {
    log_w: Vector<f32, N>,
    alive: Vector<bool, N>,
}

/// The particles from slot `slot` on, if the weight of the reward gains `gained`.
#[cube]
fn raised<N: Size>(
    log_w: &[f32],
    rewards: &[f32],
    shape: &Shape,
    group: u32,
    slot: u32,
    gained: f32,
) -> Raised<N> {
    let at = (group * shape.padded + slot) as usize;
    let none = Vector::new(ZERO_WEIGHT);
    let old = select_many(occupied::<N>(shape, lanes::<N>(slot)), load::<f32, N>(log_w, at), none);
    // A NaN is above nothing, and stays one.
    let alive = old.greater_than(&Vector::new(-LARGEST_LOG_WEIGHT));
    let reward = select_many(alive, load::<f32, N>(rewards, at), Vector::new(0.0f32));
    Raised::<N> { log_w: fma(Vector::new(gained), reward, old), alive }
}

/// The ESS of a group, if the weight of the reward gains `gained`; 0 where every weight is zero.
#[cube]
#[allow(clippy::too_many_arguments)]
fn ess<N: Size>(
    log_w: &[f32],
    rewards: &[f32],
    shape: &Shape,
    group: u32,
    gained: f32,
    memory: &mut [u32],
    #[comptime] key: TallyKey,
) -> f32 {
    let none = Vector::new(ZERO_WEIGHT);
    let mut most = Vector::<f32, N>::new(ZERO_WEIGHT);
    for b in 0..shape.blocks {
        let block = block_at::<N>(shape, group * shape.blocks + b);
        let mut v = first_vector(key.sharing);
        while v < block.vectors {
            let slot = block.first + v * N::value() as u32;
            let own = raised::<N>(log_w, rewards, shape, group, slot, gained);
            most = larger::<N>(most, select_many(own.alive, own.log_w, none));
            v += vector_stride(key.sharing);
        }
    }
    let most = all::<Max>(cube::across::<Max, N>(most), memory, key);
    let mut sums = Vector::<f32, N>::new(0.0f32);
    let mut squares = Vector::<f32, N>::new(0.0f32);
    for b in 0..shape.blocks {
        let block = block_at::<N>(shape, group * shape.blocks + b);
        let mut v = first_vector(key.sharing);
        while v < block.vectors {
            let slot = block.first + v * N::value() as u32;
            let own = raised::<N>(log_w, rewards, shape, group, slot, gained);
            let weight = exp::<N>(own.log_w - Vector::new(most));
            let weight = select_many(own.alive, weight, Vector::new(0.0f32));
            sums += weight;
            squares = fma(weight, weight, squares);
            v += vector_stride(key.sharing);
        }
    }
    let sum = all::<Sum>(cube::across::<Sum, N>(sums), memory, key);
    let square = all::<Sum>(cube::across::<Sum, N>(squares), memory, key);
    let some = square > 0.0f32;
    select(some, sum * sum / select(some, square, 1.0f32), 0.0f32)
}

/// Of all units that share a group.
#[cube]
fn all<M: Monoid<Item = f32>>(own: f32, memory: &mut [u32], #[comptime] key: TallyKey) -> f32 {
    if comptime!(key.sharing.together) { cube::reduce::<M>(own, memory, key.sharing.units) } else { own }
}

/// The share of `left` that the weight of a group may gain, so that an ESS of `least` is left.
#[cube]
#[allow(clippy::too_many_arguments)]
fn search<N: Size>(
    log_w: &[f32],
    rewards: &[f32],
    shape: &Shape,
    group: u32,
    left: f32,
    least: f32,
    memory: &mut [u32],
    #[comptime] key: TallyKey,
) -> f32 {
    let mut low = 1.0f32.runtime();
    if ess::<N>(log_w, rewards, shape, group, left, memory, key) < least {
        low = 0.0f32.runtime();
        let mut high = 1.0f32.runtime();
        for _ in 0..HALVINGS {
            let middle = 0.5f32 * (low + high);
            let stays = ess::<N>(log_w, rewards, shape, group, middle * left, memory, key) >= least;
            low = select(stays, middle, low);
            high = select(stays, high, middle);
        }
    }
    low
}
