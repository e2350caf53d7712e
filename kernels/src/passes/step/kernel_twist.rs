//! What a step of the twisted sampler does beside the moves of others: docs/maths.md (13).

use cubecl::prelude::*;

use super::key::{Carry, Common, Stage, StepKey};
use crate::methods::Coeffs;
use crate::methods::twisted::{Lean, lean, lean_within, width};
use crate::models::twist::{
    Numbers, Potential, evaluate, look, numbers, pull_of, put_widths, seen_of, width_of,
};
use crate::models::{Here, Models, Score, Twist, extent, score_of};
use crate::prims::math::{exp2_below, larger, ln};
use crate::prims::monoid::ZERO_WEIGHT;
use crate::prims::philox::{Stream, purpose, tag, uniform, words};
use crate::prims::state::{Past, Shape, gather, recall, recall_row, scatter, store, store_row};

/// What the gradient of log psi at the old state makes of coordinate `k`, whose score there is `score`.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn leant<E: Float, N: Size>(
    before: &Carry<E>,
    here: &Here<N>,
    past: &Past<N>,
    c: &Coeffs,
    noise: Vector<f32, N>,
    width: Vector<f32, N>,
    score: Vector<f32, N>,
    k: usize,
    #[comptime] key: StepKey,
) -> Lean<N> {
    let row = extent(here.dim, key.models.registers) + k;
    let pull = recall_row::<E, N>(&before.scores, &here.score_grid, row, past, key.models.layout);
    if comptime!(key.ranged()) {
        let x = recall_row::<E, N>(&before.x, &here.grid, k, past, key.models.layout);
        lean_within::<N>(pull, noise, width, x, score, c)
    } else {
        lean::<N>(pull, noise, width, c)
    }
}

/// The factor of the noise of coordinate `k`, where the model says how broad a step is.
#[cube]
pub fn breadth<E: Float, N: Size>(
    before: &Carry<E>,
    here: &Here<N>,
    past: &Past<N>,
    c: &Coeffs,
    k: usize,
    #[comptime] key: StepKey,
) -> Vector<f32, N> {
    if comptime!(key.broad()) {
        let row = 2usize * extent(here.dim, key.models.registers) + k;
        let said = recall_row::<E, N>(&before.scores, &here.score_grid, row, past, key.models.layout);
        width::<N>(said, c)
    } else {
        Vector::new(1.0f32)
    }
}

/// Writes rows of what is denoised, or of the gradient of log psi with respect to it: see [`look()`].
#[cube]
pub fn show<S: Score, N: Size>(
    common: &mut Common,
    scratch: &mut [f32],
    models: &Models,
    here: &mut Here<N>,
    shape: &Shape,
    #[comptime] key: StepKey,
) {
    S::evaluate::<N>(here, scratch, models, 0usize, key.models);
    look::<N>(here, scratch, models, key.twist(), key.models);
    #[unroll(key.models.registers > 0)]
    for k in 0..extent(here.dim, key.models.registers) {
        let seen = seen_of::<N>(&*here, &*scratch, k, key.twist(), key.models);
        scatter::<N>(&mut common.rows, shape, here.group, here.slot, k, seen);
    }
}

/// Evaluate at x': log psi and its gradient there, which are carried, and the new state's part of the weight.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn reach_twisted<S: Score, E: Float, N: Size>(
    before: &Carry<E>,
    after: &mut Carry<E>,
    scratch: &mut [f32],
    models: &Models,
    here: &mut Here<N>,
    past: &Past<N>,
    log_w: Vector<f32, N>,
    #[comptime] key: StepKey,
) -> Vector<f32, N> {
    let registers = comptime!(key.models.registers);
    let layout = comptime!(key.models.layout);
    let dim = extent(here.dim, registers);
    let log_q = S::evaluate::<N>(here, scratch, models, 0usize, key.models);
    let leans = comptime!(key.steers().is_none());
    let log_psi = evaluate::<S, N>(here, scratch, models, key.twist(), leans, key.models);
    let steered = steered::<E, N>(before, &*here, models, past, log_psi, key);
    let log_psi = steered.log_psi;
    #[unroll(registers > 0)]
    for k in 0..dim {
        let score = score_of::<N>(&*here, &*scratch, 0usize, k, key.models);
        let pull = if comptime!(leans) {
            pull_of::<N>(&*here, &*scratch, k, key.models)
        } else {
            // The first row of what would be a gradient.
            Vector::new(select(k == 0usize, 1.0f32, 0.0f32)) * steered.so_far
        };
        store_row::<E, N>(&mut after.scores, &here.score_grid, k, here.at, score, layout);
        store_row::<E, N>(&mut after.scores, &here.score_grid, dim + k, here.at, pull, layout);
    }
    if comptime!(key.broad()) {
        put_widths::<N>(here, scratch, models, key.models);
        #[unroll(registers > 0)]
        for k in 0..dim {
            let said = width_of::<N>(&*here, &*scratch, k, key.models);
            store_row::<E, N>(&mut after.scores, &here.score_grid, 2usize * dim + k, here.at, said, layout);
        }
    }
    if comptime!(key.weighed) {
        store::<f32, N>(&mut after.log_p, here.at, log_psi);
    }
    if comptime!(matches!(key.stage, Stage::Start) && key.weighted_start) {
        log_w + log_psi + log_q
    } else {
        log_w + log_psi
    }
}

/// What a particle has gained by the rewards on its way.
#[derive(CubeType, Clone, Copy)]
struct Steered<N: Size> {
    /// ln of the product of its potentials, in the place of log psi.
    log_psi: Vector<f32, N>,
    /// What the next potential is made of: the largest reward, or their sum.
    so_far: Vector<f32, N>,
}

/// The same at a state where log psi is `reward`: docs/maths.md (13.6).
#[cube]
fn steered<E: Float, N: Size>(
    before: &Carry<E>,
    here: &Here<N>,
    models: &Models,
    past: &Past<N>,
    reward: Vector<f32, N>,
    #[comptime] key: StepKey,
) -> Steered<N> {
    let carries = comptime!(key.weighed && matches!(key.steers(), Some(Potential::Max | Potential::Sum)));
    if comptime!(!carries) {
        Steered::<N> { log_psi: reward, so_far: Vector::new(0.0f32) }
    } else if comptime!(key.first()) {
        Steered::<N> { log_psi: reward, so_far: reward }
    } else {
        let row = extent(here.dim, key.models.registers);
        let so_far = recall_row::<E, N>(&before.scores, &here.score_grid, row, past, key.models.layout);
        let so_far = if comptime!(matches!(key.steers(), Some(Potential::Max))) {
            larger::<N>(so_far, reward)
        } else {
            so_far + reward
        };
        // At the clean state the product is what was wanted.
        let told = numbers(models, here.level, key.models.count);
        let clean = models.levels[told.row + 1usize] == 0.0f32;
        let log_psi = recall::<f32, N>(&before.log_p, past) + so_far;
        Steered::<N> { log_psi: if clean { reward } else { log_psi }, so_far }
    }
}

/// Where particles are put in their place, and what that adds to their log-weights.
#[derive(CubeType, Clone, Copy)]
pub struct Placed<N: Size> {
    /// First coordinate of the place.
    pub place: Vector<u32, N>,
    /// Of the density of what is wanted under the model's kernel, but for its constant.
    pub log_w: Vector<f32, N>,
}

/// Nobody is.
#[cube]
pub fn unplaced<N: Size>() -> Placed<N> {
    Placed::<N> { place: Vector::new(0u32), log_w: Vector::new(0.0f32) }
}

/// Where what replaces coordinates of this group has its numbers at the level that is reached.
#[cube]
fn replaced<N: Size>(here: &Here<N>, told: &Numbers) -> usize {
    told.params + here.dim + (here.level * here.groups + here.group) as usize * (here.dim + 1usize)
}

/// What is put in its place was drawn, which takes the density of the draw off the log-weight.
#[cube]
pub fn drawn<N: Size>(here: &Here<N>, models: &Models, #[comptime] key: StepKey) -> Placed<N> {
    let told = numbers(models, here.level, key.models.count);
    let log_w = Vector::new(models.params[replaced::<N>(here, &told) + here.dim]);
    Placed::<N> { place: Vector::new(0u32), log_w }
}

/// A place for the motif, where this step ends in one: drawn by the density that the model's kernel has for it there.
#[cube]
pub fn choose<E: Float, N: Size>(
    before: &Carry<E>,
    here: &Here<N>,
    models: &Models,
    past: &Past<N>,
    c: &Coeffs,
    stream: &Stream<N>,
    #[comptime] key: StepKey,
) -> Placed<N> {
    let mut placed = unplaced::<N>();
    if c.side3 > 0.0f32 {
        let told = numbers(models, here.level, key.models.count);
        let log2_e = Vector::<f32, N>::new(std::f32::consts::LOG2_E);
        let mut max = Vector::<f32, N>::new(ZERO_WEIGHT);
        for p in 0..told.count {
            max = larger::<N>(max, fits::<E, N>(before, here, models, past, c, &told, p, key));
        }
        let mut sum = Vector::<f32, N>::new(0.0f32);
        for p in 0..told.count {
            let own = fits::<E, N>(before, here, models, past, c, &told, p, key);
            sum += exp2_below::<N>((own - max) * log2_e);
        }
        let own_stream = Stream::<N> {
            slot: stream.slot,
            step: stream.step,
            tag: comptime!(tag(purpose::PLACE, 0)).runtime(),
            key0: stream.key0,
            key1: stream.key1,
        };
        let drawn = uniform::<N>(words::<N>(&own_stream, stream.slot, 0u32).w0) * sum;
        // The first place where the running sum reaches what was drawn, else the last.
        let mut reached = Vector::<f32, N>::new(0.0f32);
        for p in 0..told.count {
            let own = fits::<E, N>(before, here, models, past, c, &told, p, key);
            let here_yet = reached.less_than(&drawn);
            placed.place = select_many(here_yet, Vector::new(models.map[told.places + p]), placed.place);
            reached += exp2_below::<N>((own - max) * log2_e);
        }
        placed.log_w = max + ln::<N>(sum);
    }
    placed
}

/// Minus half the square by which the mean of the model's kernel misses the motif at place number `p`, over its variance.
#[cube]
#[allow(clippy::too_many_arguments)]
fn fits<E: Float, N: Size>(
    before: &Carry<E>,
    here: &Here<N>,
    models: &Models,
    past: &Past<N>,
    c: &Coeffs,
    told: &Numbers,
    p: usize,
    #[comptime] key: StepKey,
) -> Vector<f32, N> {
    let layout = comptime!(key.models.layout);
    let offset = models.map[told.places + p] as usize;
    let mut square = Vector::<f32, N>::new(0.0f32);
    for j in 0..told.rows {
        let x = recall_row::<E, N>(&before.x, &here.grid, offset + j, past, layout);
        let score = recall_row::<E, N>(&before.scores, &here.score_grid, offset + j, past, layout);
        let mean = fma(Vector::new(c.shrink), x, Vector::new(c.drift) * score);
        let left = Vector::new(models.params[told.params + j]) - mean;
        square = fma(left, left, square);
    }
    square * Vector::new(-0.5f32 * c.side3)
}

/// Where a family has its mask.
#[cube]
fn mask<N: Size>(here: &Here<N>, #[comptime] key: StepKey) -> usize {
    if comptime!(matches!(key.twist(), Twist::Replaced)) { 0usize.runtime() } else { here.dim }
}

/// A coordinate that a step leaves.
#[derive(CubeType, Clone, Copy)]
pub struct Left<N: Size> {
    /// Where.
    pub value: Vector<f32, N>,
    /// What it adds to the log-weight.
    pub log_w: Vector<f32, N>,
}

/// Coordinate `k` of x', `drawn` by the model's kernel of mean `mean`, as this step leaves it: what is known is put in its
/// place, and weighed by its density there.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn pinned<N: Size>(
    here: &Here<N>,
    models: &Models,
    c: &Coeffs,
    placed: &Placed<N>,
    mean: Vector<f32, N>,
    drawn: Vector<f32, N>,
    k: usize,
    #[comptime] key: StepKey,
) -> Left<N> {
    let mut left = Left::<N> { value: drawn, log_w: Vector::new(0.0f32) };
    if c.side3 > 0.0f32 {
        let told = numbers(models, here.level, key.models.count);
        if comptime!(matches!(key.twist(), Twist::Placement)) {
            let own = Vector::<u32, N>::new(k as u32);
            let after = Vector::<u32, N>::new(k as u32 + 1u32);
            let last = placed.place + Vector::new(told.rows as u32);
            let within = select_many(
                placed.place.less_than(&after),
                select_many(own.less_than(&last), Vector::new(1u32), Vector::new(0u32)),
                Vector::new(0u32),
            );
            let is = within.equal(&Vector::new(1u32));
            let index = select_many(is, own - placed.place, Vector::new(0u32));
            let wanted = gather::<f32, N>(&models.params, told.params, index);
            left.value = select_many(is, wanted, drawn);
        } else if models.params[told.params + mask::<N>(here, key) + k] > 0.0f32 {
            let first = if comptime!(matches!(key.twist(), Twist::Replaced)) {
                replaced::<N>(here, &told)
            } else {
                told.params
            };
            let wanted = Vector::new(models.params[first + k]);
            let off = wanted - mean;
            left.value = wanted;
            left.log_w = off * off * Vector::new(-0.5f32 * c.side3);
        }
    }
    left
}
