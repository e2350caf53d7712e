//! What a method that follows does at a state: all models are asked, and both the step that ends there and the one
//! that starts there are told what concerns them. docs/maths.md (7.4).

use cubecl::prelude::*;

use super::kernel::fall_back;
use super::kernel_estimate::estimate;
use super::key::{Carry, Stage, StepKey, Tables};
use crate::methods::{Coeffs, Method, coeffs, with_beta};
use crate::models::{Here, Models, Score, coordinate, extent, scores_of};
use crate::passes::ladder::RUNG;
use crate::prims::state::{Past, store, store_row};

/// What all models together say of the particles, beside their scores.
#[derive(CubeType)]
pub struct Told<N: Size> {
    /// Log-density of the target.
    pub log_p: Vector<f32, N>,
    /// Share of each model.
    pub shares: Sequence<Vector<f32, N>>,
    /// Sum of the log-densities by what each exponent gains over the step that starts here.
    pub ahead: Vector<f32, N>,
    /// The same over the step that ends here.
    pub behind: Vector<f32, N>,
    /// The particle's part of R.
    pub whole: Vector<f32, N>,
    /// Log-density of the last model.
    pub last: Vector<f32, N>,
}

/// Nobody was asked.
#[cube]
pub fn nothing<N: Size>() -> Told<N> {
    Told::<N> {
        log_p: Vector::new(0.0f32),
        shares: Sequence::new(),
        ahead: Vector::new(0.0f32),
        behind: Vector::new(0.0f32),
        whole: Vector::new(0.0f32),
        last: Vector::new(0.0f32),
    }
}

/// The numbers of the level at `here`, the last exponent being the group's own where there is a ladder: that of the
/// step which ends there, or else of the one that begins.
#[cube]
fn aimed<N: Size>(here: &Here<N>, tables: &Tables, #[comptime] key: StepKey) -> Coeffs {
    let now = coeffs(&tables.coeffs, here.level);
    if comptime!(key.ladder) {
        let row = if comptime!(key.ends()) { here.level - 1u32 } else { here.level };
        let weight = tables.rungs[RUNG * (row * here.groups + here.group) as usize];
        with_beta(&now, comptime!(key.models.count - 1), weight)
    } else {
        now
    }
}

/// Asks the models at `here`, which puts their scores. Estimates of log-densities are those of `carry`.
#[cube]
pub fn ask<S: Score, M: Method, E: Float, N: Size>(
    carry: &Carry<E>,
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    tables: &Tables,
    #[comptime] key: StepKey,
) -> Told<N> {
    let mut log_q = Sequence::<Vector<f32, N>>::new();
    let mut laplacians = Sequence::<Vector<f32, N>>::new();
    #[unroll]
    for m in 0..key.models.count {
        let told = S::evaluate::<N>(here, scratch, models, m, key.models);
        if comptime!(key.estimates(m)) {
            log_q.push(estimate::<E, N>(carry, &*here, m, key));
        } else {
            log_q.push(told);
        }
        if comptime!(key.laplacians) {
            laplacians.push(S::laplacian::<N>(here, &*scratch, models, m, key.models));
        }
    }
    if comptime!(!key.follows) {
        nothing::<N>()
    } else {
        // Of a ladder no step sees the last exponent change: in the table it does not.
        let now = coeffs(&tables.coeffs, here.level);
        let next = coeffs(&tables.coeffs, here.level + 1u32);
        let last = coeffs(&tables.coeffs, select(here.level > 0u32, here.level - 1u32, 0u32));
        let mut ahead = Vector::<f32, N>::new(0.0f32);
        let mut behind = Vector::<f32, N>::new(0.0f32);
        #[unroll]
        for m in 0..key.models.count {
            ahead = fma(Vector::new(next.beta(m) - now.beta(m)), log_q[m], ahead);
            behind = fma(Vector::new(now.beta(m) - last.beta(m)), log_q[m], behind);
        }
        let now = aimed::<N>(&*here, tables, key);
        let joint = M::joint::<N>(&log_q, &now, key.models.count);
        let whole = if comptime!(key.laplacians) {
            M::whole::<N>(&laplacians, &now, key.models.count)
        } else {
            Vector::new(0.0f32)
        };
        let last = log_q[comptime!(key.models.count - 1)];
        Told::<N> { log_p: joint.log_p, shares: joint.shares, ahead, behind, whole, last }
    }
}

/// Evaluate at x', finish the weight of the step that ends there, and keep what the next one needs of it.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn reach<S: Score, M: Method, E: Float, N: Size>(
    before: &Carry<E>,
    after: &mut Carry<E>,
    scratch: &mut [f32],
    models: &Models,
    tables: &Tables,
    here: &mut Here<N>,
    past: &Past<N>,
    c: &Coeffs,
    log_w: Vector<f32, N>,
    #[comptime] key: StepKey,
) -> Vector<f32, N> {
    let registers = comptime!(key.models.registers);
    let now = aimed::<N>(&*here, tables, key);
    let told = ask::<S, M, E, N>(&*after, here, scratch, models, tables, key);
    let mut rate = told.whole;
    let mut residual = Vector::<f32, N>::new(0.0f32);
    #[unroll(registers > 0)]
    for k in 0..extent(here.dim, registers) {
        let scores = scores_of::<N>(&*here, &*scratch, k, key.models);
        let x = if comptime!(key.looks) {
            coordinate::<N>(&*here, &*scratch, k, key.models)
        } else {
            Vector::new(0.0f32)
        };
        let moved = M::coordinate::<N>(&scores, &told.shares, x, &now, key.models.count);
        rate += moved.rate;
        if comptime!(key.carried && !key.leaves_reward()) {
            let layout = key.models.layout;
            store_row::<E, N>(&mut after.scores, &here.score_grid, k, here.at, moved.score, layout);
            if comptime!(key.estimated > 0) {
                #[unroll]
                for m in 0..key.models.count {
                    let row = (1usize + m) * extent(here.dim, registers) + k;
                    store_row::<E, N>(&mut after.scores, &here.score_grid, row, here.at, scores[m], layout);
                }
            }
        }
        if comptime!(key.exact && key.ends()) {
            residual = fall_back::<E, N>(before, &*here, &*scratch, past, c, &moved, k, residual, key);
        }
    }
    if comptime!(key.leaves_reward()) {
        store::<f32, N>(&mut after.log_p, here.at, told.last);
    } else if comptime!(key.exact) {
        store::<f32, N>(&mut after.log_p, here.at, told.log_p);
    } else if comptime!(key.carried && key.weighed) {
        let owed = fma(Vector::new(now.rate_old), rate, Vector::new(now.swing_old) * told.ahead);
        store::<f32, N>(&mut after.log_p, here.at, owed);
    }
    if comptime!(matches!(key.stage, Stage::Start)) {
        if comptime!(key.weighted_start) { log_w + told.log_p } else { log_w }
    } else if comptime!(!key.ends()) {
        log_w
    } else {
        let ends = fma(Vector::new(c.rate_new), rate, Vector::new(c.swing_new) * told.behind);
        let log_w = log_w + ends + Vector::new(c.constant);
        if comptime!(key.exact) {
            let backward = residual * Vector::new(c.back_precision * -0.5f32);
            log_w + Vector::new(c.exact) * (told.log_p + backward)
        } else {
            log_w
        }
    }
}
