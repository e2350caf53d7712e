//! The step kernel, written once over (Score, Method, Space).

use cubecl::prelude::*;

use crate::methods::{Coeffs, Method, coeffs};
use crate::models::{Here, ModelKey, Models, Score, extent};
use crate::passes::{Sharing, block_stride, first_block, first_vector, vector_stride};
use crate::prims::cube;
use crate::prims::monoid::{
    LogSumExp, Lse, Monoid, One, ZERO_WEIGHT, lse_absorb, lse_fold, lse_identity, lse_item,
};
use crate::prims::philox::{Stream, draw, lanes, purpose, tag};
use crate::prims::space::Space;
use crate::prims::state::{Past, Shape, block_at, load, occupied, recall, scatter, store};

/// Which part of a step a launch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Everything, the score being evaluated in between.
    Fused,
    /// Gather and move; the score is evaluated elsewhere next.
    Move,
    /// Take the new score and finish the weight.
    Weigh,
    /// The first evaluation, before any move.
    Start,
}

/// What changes the generated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StepKey {
    /// Part of the step.
    pub stage: Stage,
    /// Weights from log-densities instead of rates (and log-densities at the start).
    pub exact: bool,
    /// The models.
    pub models: ModelKey,
    /// Dimension 1 or 2: two slots share a random block.
    pub paired: bool,
    /// Write x' also as rows `[particles, dim]`, for a model outside.
    pub rows: bool,
    /// How units share blocks.
    pub sharing: Sharing,
}

impl StepKey {
    fn moves(&self) -> bool {
        matches!(self.stage, Stage::Fused | Stage::Move)
    }

    fn weighs(&self) -> bool {
        !matches!(self.stage, Stage::Move)
    }
}

/// What a step reads of the particles.
#[derive(CubeLaunch, CubeType)]
pub struct Before {
    /// Positions, `[dim, stride]`.
    pub x: Box<[f32]>,
    /// Scores there, `[models, dim, stride]`.
    pub scores: Box<[f32]>,
    /// `[log-weight, log-density of the target]`, each `[stride]`.
    pub logs: Box<[f32]>,
    /// First ancestor of each particle at the start of the run.
    pub roots: Box<[u32]>,
    /// Parents within the group.
    pub ancestors: Box<[u32]>,
    /// A record a group: (max, sum, square, resampled).
    pub norms: Box<[f32]>,
}

/// What a step leaves.
#[derive(CubeLaunch, CubeType)]
pub struct After {
    /// See [`Before::x`].
    pub x: Box<[f32]>,
    /// See [`Before::scores`].
    pub scores: Box<[f32]>,
    /// See [`Before::logs`].
    pub logs: Box<[f32]>,
    /// See [`Before::roots`].
    pub roots: Box<[u32]>,
    /// Rows `[particles, dim]`, where the key asks for them.
    pub rows: Box<[f32]>,
    /// A log-sum-exp record a block.
    pub blocks: Box<[u32]>,
}

/// Tables of the run.
#[derive(CubeLaunch, CubeType)]
pub struct Tables {
    /// A row a step, see [`crate::methods::StepCoeffs`].
    pub coeffs: Box<[f32]>,
    /// Two words a group.
    pub seeds: Box<[u32]>,
}

/// One launch of a step; see the module page.
#[cube(launch)]
pub fn step_kernel<S: Score, M: Method, P: Space, N: Size>(
    before: Before,
    mut after: After,
    models: Models,
    tables: Tables,
    shape: Shape,
    step: u32,
    #[comptime] key: StepKey,
) {
    let mut memory = Shared::<[u32]>::new_slice(comptime!(shared_words(&key)));
    let total = shape.total_blocks();
    let mut index = first_block(key.sharing);
    while index < total {
        let block = block_at::<N>(&shape, index);
        let mut sums = lse_identity::<N>();
        let mut v = first_vector(key.sharing);
        while v < block.vectors {
            let slot = block.first + v * N::value() as u32;
            let log_w = particles::<S, M, P, N>(
                &before,
                &mut after,
                &models,
                &tables,
                &shape,
                block.group,
                slot,
                step,
                key,
            );
            if comptime!(key.weighs()) {
                lse_absorb::<N>(&mut sums, &lse_item::<N>(log_w));
            }
            v += vector_stride(key.sharing);
        }
        if comptime!(key.weighs()) {
            let mine = lse_fold::<N>(sums);
            leave(&mut after, mine, &mut memory, index, key.sharing);
        }
        index += block_stride(key.sharing);
    }
}

/// Words of shared memory of the reduce; one where nobody cooperates.
fn shared_words(key: &StepKey) -> usize {
    if key.sharing.together { 4 * key.sharing.units as usize } else { 1 }
}

#[cube]
fn leave(
    after: &mut After,
    mine: Lse<One>,
    memory: &mut Shared<[u32]>,
    index: u32,
    #[comptime] sharing: Sharing,
) {
    if comptime!(sharing.together) {
        let all = cube::reduce::<LogSumExp>(mine, memory, sharing.units);
        if UNIT_POS == 0u32 {
            LogSumExp::store(&mut after.blocks, index as usize, &all);
        }
    } else {
        LogSumExp::store(&mut after.blocks, index as usize, &mine);
    }
}

/// `N` particles from slot `slot` of `group` on; returns their log-weights.
#[cube]
#[allow(clippy::too_many_arguments)]
fn particles<S: Score, M: Method, P: Space, N: Size>(
    before: &Before,
    after: &mut After,
    models: &Models,
    tables: &Tables,
    shape: &Shape,
    group: u32,
    slot: u32,
    step: u32,
    #[comptime] key: StepKey,
) -> Vector<f32, N> {
    let registers = comptime!(key.models.registers);
    let slots = lanes::<N>(slot);
    let stride = shape.stride();
    let at = (group * shape.padded + slot) as usize;
    let c = coeffs(&tables.coeffs, step);
    let resampled = before.norms[group as usize * 4 + 3] > 0.5f32;
    let past = Past::<N> {
        base: (group * shape.padded) as usize,
        first: slot,
        resampled,
        ancestors: if resampled { load::<u32, N>(&before.ancestors, at) } else { slots },
    };
    let mut here = Here::<N> {
        point: Array::new(comptime!(if registers > 0 { registers } else { 1 })),
        at,
        stride,
        dim: shape.dim as usize,
        level: if comptime!(matches!(key.stage, Stage::Start)) { 0u32.runtime() } else { step + 1u32 },
        group,
        slot,
        particle: group * shape.slots + slot,
        occupied: occupied::<N>(shape, slots),
    };
    let stream = Stream::<N> {
        slot: slots,
        step,
        tag: comptime!(tag(purpose::MOVE, 0)).runtime(),
        key0: tables.seeds[2 * group as usize],
        key1: tables.seeds[2 * group as usize + 1],
    };
    let mut log_w = if comptime!(key.moves()) {
        advance::<M, P, N>(before, after, &mut here, shape, &past, &c, &stream, key)
    } else {
        recover::<N>(&*after, &mut here, key)
    };
    if comptime!(key.weighs()) {
        log_w = settle::<S, M, N>(before, after, models, &here, &past, &c, log_w, key);
        log_w = select_many(here.occupied, log_w, Vector::new(ZERO_WEIGHT));
    }
    store::<f32, N>(&mut after.logs, at, log_w);
    log_w
}

/// A later part of a split step takes up what the first one left.
#[cube]
fn recover<N: Size>(after: &After, here: &mut Here<N>, #[comptime] key: StepKey) -> Vector<f32, N> {
    let registers = comptime!(key.models.registers);
    #[unroll]
    for k in 0..registers {
        here.point[k] = load::<f32, N>(&after.x, k * here.stride + here.at);
    }
    load::<f32, N>(&after.logs, here.at)
}

/// Gather, move, and the part of the weight that belongs to the old state.
#[cube]
#[allow(clippy::too_many_arguments)]
fn advance<M: Method, P: Space, N: Size>(
    before: &Before,
    after: &mut After,
    here: &mut Here<N>,
    shape: &Shape,
    past: &Past<N>,
    c: &Coeffs,
    stream: &Stream<N>,
    #[comptime] key: StepKey,
) -> Vector<f32, N> {
    let ambient = P::ambient();
    let tangent = P::tangent();
    let registers = comptime!(key.models.registers);
    let elements = here.dim / ambient;
    let at_once = comptime!(if registers > 0 { registers / ambient } else { 4 });
    let mut rate = Vector::<f32, N>::new(0.0f32);
    let mut energy = Vector::<f32, N>::new(0.0f32);
    let mut point = Array::<Vector<f32, N>>::new(ambient);
    let mut shift = Array::<Vector<f32, N>>::new(tangent);
    let mut z = Array::<Vector<f32, N>>::new(comptime!(4 * tangent));
    // Four elements at a time: they use `tangent` whole blocks of four normals.
    #[unroll(registers > 0)]
    for chunk in 0..extent(elements.div_ceil(4usize), comptime!(usize::from(registers > 0))) {
        #[unroll]
        for b in 0..tangent {
            let drawn = draw::<N>(stream, (chunk * tangent + b) as u32, key.paired);
            z[4 * b] = drawn.z0;
            z[4 * b + 1] = drawn.z1;
            z[4 * b + 2] = drawn.z2;
            z[4 * b + 3] = drawn.z3;
        }
        #[unroll]
        for i in 0..at_once {
            let element = chunk * 4usize + i;
            if comptime!(registers > 0) || element < elements {
                #[unroll]
                for t in 0..tangent {
                    let k = element * tangent + t;
                    let scores = recall_scores::<N>(before, &*here, past, k, key);
                    let moved = M::coordinate::<N>(&scores, c);
                    rate += moved.rate;
                    let noise = z[i * tangent + t];
                    energy = fma(noise, noise, energy);
                    shift[t] = fma(Vector::new(c.drift), moved.score, Vector::new(c.noise) * noise);
                }
                #[unroll]
                for a in 0..ambient {
                    point[a] = recall::<f32, N>(&before.x, (element * ambient + a) * here.stride, past);
                }
                P::retract::<N>(&mut point, &shift, Vector::new(c.shrink));
                #[unroll]
                for a in 0..ambient {
                    put::<N>(after, here, shape, element * ambient + a, point[a], key);
                }
            }
        }
    }
    store::<u32, N>(&mut after.roots, here.at, recall::<u32, N>(&before.roots, 0usize, past));
    let carried = if past.resampled { Vector::new(0.0f32) } else { load::<f32, N>(&before.logs, here.at) };
    let log_w = fma(Vector::new(c.rate_old), rate, carried);
    if comptime!(key.exact) {
        let log_p = recall::<f32, N>(&before.logs, here.stride, past);
        log_w + Vector::new(c.exact) * fma(energy, Vector::new(0.5f32), -log_p)
    } else {
        log_w
    }
}

#[cube]
fn recall_scores<N: Size>(
    before: &Before,
    here: &Here<N>,
    past: &Past<N>,
    k: usize,
    #[comptime] key: StepKey,
) -> Sequence<Vector<f32, N>> {
    let mut scores = Sequence::<Vector<f32, N>>::new();
    let dim = extent(here.dim, key.models.registers);
    #[unroll]
    for m in 0..key.models.count {
        scores.push(recall::<f32, N>(&before.scores, (m * dim + k) * here.stride, past));
    }
    scores
}

/// Coordinate `k` of x': memory, registers, and rows where a model outside wants them.
#[cube]
fn put<N: Size>(
    after: &mut After,
    here: &mut Here<N>,
    shape: &Shape,
    k: usize,
    value: Vector<f32, N>,
    #[comptime] key: StepKey,
) {
    store::<f32, N>(&mut after.x, k * here.stride + here.at, value);
    if comptime!(key.models.registers > 0) {
        here.point[k] = value;
    }
    if comptime!(key.rows) {
        scatter::<N>(&mut after.rows, shape, here.group, here.slot, k, value);
    }
}

/// Evaluate at x', and the part of the weight that belongs to the new state.
#[cube]
#[allow(clippy::too_many_arguments)]
fn settle<S: Score, M: Method, N: Size>(
    before: &Before,
    after: &mut After,
    models: &Models,
    here: &Here<N>,
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
        let log_q = S::evaluate::<N>(here, &after.x, &mut after.scores, models, m, key.models);
        log_p = fma(Vector::new(c.beta(m)), log_q, log_p);
    }
    let mut rate = Vector::<f32, N>::new(0.0f32);
    let mut residual = Vector::<f32, N>::new(0.0f32);
    #[unroll(registers > 0)]
    for k in 0..dim {
        let mut scores = Sequence::<Vector<f32, N>>::new();
        #[unroll]
        for m in 0..key.models.count {
            scores.push(load::<f32, N>(&after.scores, (m * dim + k) * here.stride + here.at));
        }
        let moved = M::coordinate::<N>(&scores, c);
        rate += moved.rate;
        if comptime!(key.exact && matches!(key.stage, Stage::Fused)) {
            let old = recall::<f32, N>(&before.x, k * here.stride, past);
            let new = load::<f32, N>(&after.x, k * here.stride + here.at);
            let back = fma(Vector::new(c.back_shrink), new, Vector::new(c.back_drift) * moved.score);
            residual = fma(old - back, old - back, residual);
        }
    }
    let log_w = if comptime!(matches!(key.stage, Stage::Start)) {
        log_w
    } else {
        fma(Vector::new(c.rate_new), rate, log_w) + Vector::new(c.constant)
    };
    if comptime!(key.exact) {
        store::<f32, N>(&mut after.logs, here.stride + here.at, log_p);
        if comptime!(matches!(key.stage, Stage::Start)) {
            log_w + log_p
        } else {
            let backward = residual * Vector::new(c.back_precision * -0.5f32);
            log_w + Vector::new(c.exact) * (log_p + backward)
        }
    } else {
        log_w
    }
}
