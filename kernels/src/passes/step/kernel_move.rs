//! The move of a step, and what it owes to the old state.

use cubecl::prelude::*;

use super::kernel::coordinate_of;
use super::kernel_estimate::{Shifted, gain, keep};
use super::kernel_follow::Told;
use super::kernel_twist::{breadth, choose, drawn, leant, pinned, unplaced};
use super::key::{Carry, Common, StepKey};
use crate::methods::{Coeffs, Method, Move};
use crate::models::{Here, Models, Twist, coordinate, extent, put_coordinate, scores_of};
use crate::prims::philox::{Stream, draw};
use crate::prims::space::Space;
use crate::prims::state::{Past, Shape, load, recall, recall_row, rounded, scatter, store, store_row};

/// Move, and the part of the weight that belongs to the old state.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn advance<M: Method, P: Space, E: Float, N: Size, H: Size>(
    before: &Carry<E>,
    after: &mut Carry<E>,
    common: &mut Common,
    scratch: &mut [f32],
    models: &Models,
    here: &mut Here<N>,
    shape: &Shape,
    past: &Past<N>,
    c: &Coeffs,
    told: &Told<N>,
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
    let mut pulled = Array::<Vector<f32, N>>::new(tangent);
    let mut z = Array::<Vector<f32, N>>::new(comptime!(4 * tangent));
    let mut gains = Array::<Vector<f32, N>>::new(comptime!(key.carried_logs().max(1)));
    #[unroll]
    for m in 0..comptime!(key.carried_logs()) {
        gains[m] = Vector::new(0.0f32);
    }
    let placed = if comptime!(key.pins() && matches!(key.twist(), Twist::Placement)) {
        choose::<E, N>(before, &*here, models, past, c, stream, key)
    } else if comptime!(key.pins() && matches!(key.twist(), Twist::Replaced)) {
        drawn::<N>(&*here, models, key)
    } else {
        unplaced::<N>()
    };
    // Four elements at a time: they use `tangent` whole blocks of four normals.
    #[unroll(registers > 0)]
    for chunk in 0..extent(elements.div_ceil(4usize), comptime!(usize::from(registers > 0))) {
        #[unroll]
        for b in 0..tangent {
            let four = draw::<N, H>(stream, (chunk * tangent + b) as u32, key.paired, key.wide);
            z[4 * b] = four.z0;
            z[4 * b + 1] = four.z1;
            z[4 * b + 2] = four.z2;
            z[4 * b + 3] = four.z3;
        }
        #[unroll]
        for i in 0..at_once {
            let element = chunk * 4usize + i;
            if comptime!(registers > 0) || element < elements {
                #[unroll]
                for t in 0..tangent {
                    let k = element * tangent + t;
                    let moved = old_move::<M, E, N>(before, &*scratch, &*here, past, c, told, k, key);
                    rate += moved.rate;
                    let noise = z[i * tangent + t];
                    energy = fma(noise, noise, energy);
                    pulled[t] = Vector::new(c.drift) * moved.score;
                    shift[t] = fma(Vector::new(c.drift), moved.score, Vector::new(c.noise) * noise);
                    if comptime!(key.twist.is_some()) {
                        let width = breadth::<E, N>(before, &*here, past, c, k, key);
                        if comptime!(key.broad()) {
                            shift[t] = fma(Vector::new(c.noise) * width, noise, pulled[t]);
                        }
                        let leant = leant::<E, N>(before, &*here, past, c, noise, width, moved.score, k, key);
                        shift[t] += leant.by;
                        rate += leant.rate;
                    }
                }
                #[unroll]
                for a in 0..ambient {
                    let k = element * ambient + a;
                    point[a] = if comptime!(key.carried) {
                        recall_row::<E, N>(&before.x, &here.grid, k, past, key.models.layout)
                    } else {
                        coordinate::<N>(&*here, &*scratch, k, key.models)
                    };
                }
                let from = point[0];
                P::retract::<N>(&mut point, &shift, Vector::new(c.shrink));
                if comptime!(key.estimated > 0) {
                    let moved = Shifted::<N> { from, to: point[0], by: shift[0] };
                    gain::<E, N>(&mut gains, before, &*here, past, c, &moved, element, key);
                }
                if comptime!(key.pins()) {
                    let mean = fma(Vector::new(c.shrink), from, pulled[0]);
                    let left = pinned::<N>(&*here, models, c, &placed, mean, point[0], element, key);
                    point[0] = left.value;
                    rate += left.log_w;
                }
                #[unroll]
                for a in 0..ambient {
                    put::<E, N>(after, common, scratch, here, shape, element * ambient + a, point[a], key);
                }
            }
        }
    }
    if comptime!(key.roots) {
        store::<u32, N>(&mut after.roots, here.at, recall::<u32, N>(&before.roots, past));
    }
    if comptime!(key.estimated > 0) {
        keep::<E, N>(&gains, before, after, &*here, past, c, key);
    }
    rate += placed.log_w;
    old_weight::<E, N>(before, &*common, here.at, past, c, told, rate, energy, key)
}

/// The log-weight from where it was to what the old state gives it.
#[cube]
#[allow(clippy::too_many_arguments)]
fn old_weight<E: Float, N: Size>(
    before: &Carry<E>,
    common: &Common,
    at: usize,
    past: &Past<N>,
    c: &Coeffs,
    told: &Told<N>,
    rate: Vector<f32, N>,
    energy: Vector<f32, N>,
    #[comptime] key: StepKey,
) -> Vector<f32, N> {
    if comptime!(!key.weighed) {
        Vector::new(0.0f32)
    } else {
        let log_w = if past.resampled {
            if comptime!(key.handed) { recall::<f32, N>(&common.handed, past) } else { Vector::new(0.0f32) }
        } else {
            load::<f32, N>(&before.log_w, at)
        };
        if comptime!(key.twist.is_some()) {
            log_w + rate + Vector::new(c.constant) - recall::<f32, N>(&before.log_p, past)
        } else if comptime!(key.follows && !key.exact) {
            owe::<E, N>(before, past, c, told, rate, log_w, key)
        } else if comptime!(key.exact) {
            let log_w = fma(Vector::new(c.rate_old), rate, log_w);
            let log_p = recall::<f32, N>(&before.log_p, past);
            log_w + Vector::new(c.exact) * fma(energy, Vector::new(0.5f32), -log_p)
        } else if comptime!(key.carried) {
            fma(Vector::new(c.rate_old), rate, log_w)
        } else {
            fma(Vector::new(c.rate_old), rate, log_w) + Vector::new(c.constant)
        }
    }
}

/// What a step of a method that follows owes its old state.
#[cube]
fn owe<E: Float, N: Size>(
    before: &Carry<E>,
    past: &Past<N>,
    c: &Coeffs,
    told: &Told<N>,
    rate: Vector<f32, N>,
    log_w: Vector<f32, N>,
    #[comptime] key: StepKey,
) -> Vector<f32, N> {
    if comptime!(key.carried) {
        log_w + recall::<f32, N>(&before.log_p, past)
    } else {
        let log_w = fma(Vector::new(c.rate_old), rate + told.whole, log_w);
        fma(Vector::new(c.swing_old), told.ahead, log_w) + Vector::new(c.constant)
    }
}

/// Coordinate `k` of the old state: the score to follow, and its part of the rate where that is not yet settled.
#[cube]
#[allow(clippy::too_many_arguments)]
fn old_move<M: Method, E: Float, N: Size>(
    before: &Carry<E>,
    scratch: &[f32],
    here: &Here<N>,
    past: &Past<N>,
    c: &Coeffs,
    told: &Told<N>,
    k: usize,
    #[comptime] key: StepKey,
) -> Move<N> {
    if comptime!(key.follows && key.carried) {
        let score = recall_row::<E, N>(&before.scores, &here.score_grid, k, past, key.models.layout);
        Move::<N> { score, rate: Vector::new(0.0f32), back: score }
    } else {
        let scores = old_scores::<E, N>(before, scratch, here, past, k, key);
        if comptime!(key.follows) {
            let x = coordinate::<N>(here, scratch, k, key.models);
            M::coordinate::<N>(&scores, &told.shares, x, c, key.models.count)
        } else {
            coordinate_of::<M, N>(&scores, c, key)
        }
    }
}

/// The scores of all models at coordinate `k` of the old state.
#[cube]
fn old_scores<E: Float, N: Size>(
    before: &Carry<E>,
    scratch: &[f32],
    here: &Here<N>,
    past: &Past<N>,
    k: usize,
    #[comptime] key: StepKey,
) -> Sequence<Vector<f32, N>> {
    if comptime!(!key.carried) {
        scores_of::<N>(here, scratch, k, key.models)
    } else {
        let mut scores = Sequence::<Vector<f32, N>>::new();
        let dim = extent(here.dim, key.models.registers);
        #[unroll]
        for m in 0..key.models.count {
            let row = m * dim + k;
            scores.push(recall_row::<E, N>(&before.scores, &here.score_grid, row, past, key.models.layout));
        }
        scores
    }
}

/// Coordinate `k` of x', as it is kept: memory, where models look for it, and rows where a model outside wants them.
#[cube]
fn put<E: Float, N: Size>(
    after: &mut Carry<E>,
    common: &mut Common,
    scratch: &mut [f32],
    here: &mut Here<N>,
    shape: &Shape,
    k: usize,
    value: Vector<f32, N>,
    #[comptime] key: StepKey,
) {
    let value = rounded::<E, N>(value);
    store_row::<E, N>(&mut after.x, &here.grid, k, here.at, value, key.models.layout);
    if comptime!(key.looks_after()) {
        put_coordinate::<N>(here, scratch, k, value, key.models);
    }
    if comptime!(key.rows) {
        scatter::<N>(&mut common.rows, shape, here.group, here.slot, k, value);
    }
}
