//! A mixture of isotropic or diagonal Gaussians, any number of components: docs/maths.md (5).
//!
//! With t_c = log of weighted component density c at x, the score is the softmax(t)-weighted mean
//! of the component scores. In registers: the maximum first, then the sums, recomputing t (two
//! fma cost less than a store and a load). In memory: one pass that rescales what it summed
//! whenever the maximum grows, summing in the score's own rows.
//! `params`: means `[K, D]`, then for diagonal mixtures variances `[K, D]`.
//! `levels`: alpha, sigma^2, then for each component its log constant, and for isotropic mixtures
//! 1 / (alpha^2 c^2 + sigma^2).

use cubecl::prelude::*;

use super::{Here, Models, coordinate, extent};
use crate::prims::math::{exp, larger, ln};
use crate::prims::monoid::ZERO_WEIGHT;
use crate::prims::state::{load, store};

/// One component in front of a level.
#[derive(CubeType, Clone, Copy)]
struct Component {
    mean: usize,
    variance: usize,
    log_constant: f32,
    precision: f32,
    alpha: f32,
    sigma2: f32,
}

#[cube]
fn component(
    models: &Models,
    first: usize,
    row: usize,
    c: usize,
    dim: usize,
    #[comptime] diagonal: bool,
    count: usize,
) -> Component {
    let numbers = comptime!(if diagonal { 1usize } else { 2usize });
    let own = row + 2usize + c * numbers;
    let precision = if comptime!(diagonal) { 0.0f32.runtime() } else { models.levels[own + 1usize] };
    Component {
        mean: first + c * dim,
        variance: first + (count + c) * dim,
        log_constant: models.levels[own],
        precision,
        alpha: models.levels[row],
        sigma2: models.levels[row + 1usize],
    }
}

/// 1 / variance of coordinate `k` at this level.
#[cube]
fn precision(models: &Models, c: &Component, k: usize, #[comptime] diagonal: bool) -> f32 {
    if comptime!(diagonal) {
        1.0f32 / fma(c.alpha * c.alpha, models.params[c.variance + k], c.sigma2)
    } else {
        c.precision
    }
}

/// log(weight * density) of one component.
#[cube]
fn log_term<N: Size>(
    here: &Here<N>,
    x: &[f32],
    models: &Models,
    c: &Component,
    #[comptime] registers: usize,
    #[comptime] diagonal: bool,
) -> Vector<f32, N> {
    let mut quadratic = Vector::<f32, N>::new(0.0f32);
    let dim = extent(here.dim, registers);
    #[unroll(registers > 0)]
    for k in 0..dim {
        let centred =
            coordinate::<N>(here, x, k, registers) - Vector::new(c.alpha * models.params[c.mean + k]);
        quadratic = fma(centred * Vector::new(precision(models, c, k, diagonal)), centred, quadratic);
    }
    fma(quadratic, Vector::new(-0.5f32), Vector::new(c.log_constant))
}

/// Score into `scores`, log-density returned; see `Score::evaluate`.
#[cube]
pub fn evaluate<N: Size>(
    here: &Here<N>,
    x: &[f32],
    scores: &mut [f32],
    models: &Models,
    #[comptime] index: usize,
    #[comptime] registers: usize,
    #[comptime] diagonal: bool,
) -> Vector<f32, N> {
    let first = models.map[comptime!(1 + 3 * index)] as usize;
    let row = (here.level * models.map[0] + models.map[comptime!(2 + 3 * index)]) as usize;
    let count = models.map[comptime!(3 + 3 * index)] as usize;
    if comptime!(registers > 0) {
        in_registers::<N>(here, x, scores, models, first, row, count, index, registers, diagonal)
    } else {
        in_memory::<N>(here, x, scores, models, first, row, count, index, diagonal)
    }
}

#[cube]
#[allow(clippy::too_many_arguments)]
fn in_registers<N: Size>(
    here: &Here<N>,
    x: &[f32],
    scores: &mut [f32],
    models: &Models,
    first: usize,
    row: usize,
    count: usize,
    #[comptime] index: usize,
    #[comptime] registers: usize,
    #[comptime] diagonal: bool,
) -> Vector<f32, N> {
    let mut max = Vector::<f32, N>::new(ZERO_WEIGHT);
    for c in 0..count {
        let part = component(models, first, row, c, here.dim, diagonal, count);
        max = larger::<N>(max, log_term::<N>(here, x, models, &part, registers, diagonal));
    }
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let mut pull = Array::<Vector<f32, N>>::new(registers);
    #[unroll]
    for k in 0..registers {
        pull[k] = Vector::new(0.0f32);
    }
    for c in 0..count {
        let part = component(models, first, row, c, here.dim, diagonal, count);
        let weight = exp::<N>(log_term::<N>(here, x, models, &part, registers, diagonal) - max);
        sum += weight;
        #[unroll]
        for k in 0..registers {
            let towards = Vector::new(part.alpha * models.params[part.mean + k])
                - coordinate::<N>(here, x, k, registers);
            pull[k] = fma(weight * Vector::new(precision(models, &part, k, diagonal)), towards, pull[k]);
        }
    }
    #[unroll]
    for k in 0..registers {
        store::<f32, N>(scores, (index * registers + k) * here.stride + here.at, pull[k] / sum);
    }
    max + ln::<N>(sum)
}

#[cube]
#[allow(clippy::too_many_arguments)]
fn in_memory<N: Size>(
    here: &Here<N>,
    x: &[f32],
    scores: &mut [f32],
    models: &Models,
    first: usize,
    row: usize,
    count: usize,
    #[comptime] index: usize,
    #[comptime] diagonal: bool,
) -> Vector<f32, N> {
    let out = index * here.dim;
    for k in 0..here.dim {
        store::<f32, N>(scores, (out + k) * here.stride + here.at, Vector::new(0.0f32));
    }
    let mut max = Vector::<f32, N>::new(ZERO_WEIGHT);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    for c in 0..count {
        let part = component(models, first, row, c, here.dim, diagonal, count);
        let term = log_term::<N>(here, x, models, &part, 0usize, diagonal);
        let top = larger::<N>(max, term);
        let shrink = exp::<N>(max - top);
        let weight = exp::<N>(term - top);
        max = top;
        sum = fma(sum, shrink, weight);
        for k in 0..here.dim {
            let at = (out + k) * here.stride + here.at;
            let towards =
                Vector::new(part.alpha * models.params[part.mean + k]) - coordinate::<N>(here, x, k, 0usize);
            let pull = weight * Vector::new(precision(models, &part, k, diagonal)) * towards;
            let so_far = load::<f32, N>(&*scores, at);
            store::<f32, N>(scores, at, fma(so_far, shrink, pull));
        }
    }
    for k in 0..here.dim {
        let at = (out + k) * here.stride + here.at;
        let total = load::<f32, N>(&*scores, at);
        store::<f32, N>(scores, at, total / sum);
    }
    max + ln::<N>(sum)
}
