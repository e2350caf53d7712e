//! A mixture of isotropic or diagonal Gaussians, any number of components: docs/maths.md (5).
//!
//! With y = x / alpha and t_c = log2 of weighted component density c, the score is the
//! 2^t-weighted mean of the component scores. In registers: the maximum first, then the sums,
//! recomputing t (that costs less than a store and a load). In memory: one pass that rescales what it
//! summed whenever the maximum grows, summing in the score's own place.
//! `params`: means `[K, D]`, then for diagonal mixtures variances `[K, D]`.
//! `levels`: 1 / alpha, alpha, sigma^2, then for each component its log2 constant, and for isotropic
//! mixtures, with precision p = 1 / (alpha^2 c^2 + sigma^2), -alpha^2 p log2(e) / 2 and alpha p.

use cubecl::prelude::*;

use super::{Here, ModelKey, Models, coordinate, extent, put_score, score_of};
use crate::prims::math::{exp2_below, larger, ln};
use crate::prims::monoid::ZERO_WEIGHT;

/// Numbers of a level in front of the components.
const HEAD: usize = 3;
/// -log2(e) / 2.
const HALF: f32 = -0.5 * std::f32::consts::LOG2_E;

/// A mixture at a level.
#[derive(CubeType, Clone, Copy)]
struct Mixed {
    means: usize,
    variances: usize,
    row: usize,
    count: usize,
    /// 1 / alpha.
    inverse: f32,
    alpha: f32,
    sigma2: f32,
}

/// One component: its mean, its log2 constant, and the factors of |y - m|^2 and of m - y.
#[derive(CubeType, Clone, Copy)]
struct Component {
    mean: usize,
    variance: usize,
    constant: f32,
    factor: f32,
    pull: f32,
}

#[cube]
fn mixed(models: &Models, level: u32, dim: usize, #[comptime] index: usize) -> Mixed {
    let means = models.map[comptime!(1 + 3 * index)] as usize;
    let row = (level * models.map[0] + models.map[comptime!(2 + 3 * index)]) as usize;
    let count = models.map[comptime!(3 + 3 * index)] as usize;
    Mixed {
        means,
        variances: means + count * dim,
        row,
        count,
        inverse: models.levels[row],
        alpha: models.levels[row + 1usize],
        sigma2: models.levels[row + 2usize],
    }
}

#[cube]
fn component(models: &Models, mix: &Mixed, c: usize, dim: usize, #[comptime] diagonal: bool) -> Component {
    let numbers = comptime!(if diagonal { 1usize } else { 3usize });
    let own = mix.row + comptime!(HEAD) + c * numbers;
    Component {
        mean: mix.means + c * dim,
        variance: mix.variances + c * dim,
        constant: models.levels[own],
        factor: if comptime!(diagonal) { 0.0f32.runtime() } else { models.levels[own + 1usize] },
        pull: if comptime!(diagonal) { 0.0f32.runtime() } else { models.levels[own + 2usize] },
    }
}

/// alpha / variance of coordinate `k` at this level.
#[cube]
fn pull(models: &Models, mix: &Mixed, own: &Component, k: usize, #[comptime] diagonal: bool) -> f32 {
    if comptime!(diagonal) {
        mix.alpha / fma(mix.alpha * mix.alpha, models.params[own.variance + k], mix.sigma2)
    } else {
        own.pull
    }
}

/// log2(weight * density) of one component at y = x `inverse`.
#[cube]
fn log_term<N: Size>(
    here: &Here<N>,
    scratch: &[f32],
    models: &Models,
    mix: &Mixed,
    own: &Component,
    #[comptime] key: ModelKey,
    #[comptime] diagonal: bool,
) -> Vector<f32, N> {
    let mut quadratic = Vector::<f32, N>::new(0.0f32);
    let dim = extent(here.dim, key.registers);
    #[unroll(key.registers > 0)]
    for k in 0..dim {
        let apart = scaled::<N>(here, scratch, mix, k, key) - Vector::new(models.params[own.mean + k]);
        if comptime!(diagonal) {
            let weight = Vector::new(mix.alpha * pull(models, mix, own, k, diagonal));
            quadratic = fma(apart * weight, apart, quadratic);
        } else {
            quadratic = fma(apart, apart, quadratic);
        }
    }
    let factor = if comptime!(diagonal) { HALF.runtime() } else { own.factor };
    fma(quadratic, Vector::new(factor), Vector::new(own.constant))
}

/// 2^t for t <= 0: by the device's own exponential where that takes fewer and cheaper instructions.
#[cube]
fn weigh<N: Size>(t: Vector<f32, N>, #[comptime] key: ModelKey) -> Vector<f32, N> {
    if comptime!(key.own_exp) { (t * Vector::new(std::f32::consts::LN_2)).exp() } else { exp2_below::<N>(t) }
}

/// A term of sums of 2^t that are taken in one pass.
#[derive(CubeType, Clone, Copy)]
struct Turn<N: Size> {
    /// The largest term so far.
    top: Vector<f32, N>,
    /// What was summed is multiplied by it.
    shrink: Vector<f32, N>,
    /// 2^(term - top).
    weight: Vector<f32, N>,
}

/// The next term, after the largest before it.
#[cube]
fn turn<N: Size>(max: Vector<f32, N>, term: Vector<f32, N>, #[comptime] key: ModelKey) -> Turn<N> {
    let top = larger::<N>(max, term);
    Turn::<N> { top, shrink: weigh::<N>(max - top, key), weight: weigh::<N>(term - top, key) }
}

/// Multiplies a point in registers by 1 / alpha, as [`scaled`] wants it, and hands back what it was.
#[cube]
fn scale<N: Size>(here: &mut Here<N>, mix: &Mixed, #[comptime] key: ModelKey) -> Array<Vector<f32, N>> {
    let mut kept = Array::<Vector<f32, N>>::new(comptime!(key.registers.max(1)));
    #[unroll]
    for k in 0..key.registers {
        kept[k] = here.point[k];
        here.point[k] *= Vector::new(mix.inverse);
    }
    kept
}

/// Puts back what [`scale`] handed out.
#[cube]
fn restore<N: Size>(here: &mut Here<N>, kept: &Array<Vector<f32, N>>, #[comptime] key: ModelKey) {
    #[unroll]
    for k in 0..key.registers {
        here.point[k] = kept[k];
    }
}

/// Coordinate `k` of y. In registers the point was scaled before.
#[cube]
fn scaled<N: Size>(
    here: &Here<N>,
    scratch: &[f32],
    mix: &Mixed,
    k: usize,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    let own = coordinate::<N>(here, scratch, k, key);
    if comptime!(key.registers > 0) { own } else { own * Vector::new(mix.inverse) }
}

/// Puts the score, returns the log-density; see `Score::evaluate`.
#[cube]
pub fn evaluate<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    #[comptime] index: usize,
    #[comptime] key: ModelKey,
    #[comptime] diagonal: bool,
) -> Vector<f32, N> {
    let mix = mixed(models, here.level, here.dim, index);
    if comptime!(key.registers > 0) {
        in_registers::<N>(here, scratch, models, &mix, index, key, diagonal)
    } else {
        in_memory::<N>(here, scratch, models, &mix, index, key, diagonal)
    }
}

#[cube]
#[allow(clippy::too_many_arguments)]
fn in_registers<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    mix: &Mixed,
    #[comptime] index: usize,
    #[comptime] key: ModelKey,
    #[comptime] diagonal: bool,
) -> Vector<f32, N> {
    let registers = comptime!(key.registers);
    let kept = scale::<N>(here, mix, key);
    let mut drawn = Array::<Vector<f32, N>>::new(registers);
    #[unroll]
    for k in 0..registers {
        drawn[k] = Vector::new(0.0f32);
    }
    let mut max = Vector::<f32, N>::new(ZERO_WEIGHT);
    for c in 0..mix.count {
        let own = component(models, mix, c, here.dim, diagonal);
        max = larger::<N>(max, log_term::<N>(&*here, &*scratch, models, mix, &own, key, diagonal));
    }
    let mut sum = Vector::<f32, N>::new(0.0f32);
    for c in 0..mix.count {
        let own = component(models, mix, c, here.dim, diagonal);
        let weight =
            weigh::<N>(log_term::<N>(&*here, &*scratch, models, mix, &own, key, diagonal) - max, key);
        sum += weight;
        let shared = weight * Vector::new(own.pull);
        #[unroll]
        for k in 0..registers {
            // The same difference as in the term; the sign comes last.
            let apart = here.point[k] - Vector::new(models.params[own.mean + k]);
            let force = if comptime!(diagonal) {
                weight * Vector::new(pull(models, mix, &own, k, diagonal))
            } else {
                shared
            };
            drawn[k] = fma(force, apart, drawn[k]);
        }
    }
    restore::<N>(here, &kept, key);
    let share = Vector::new(-1.0f32) / sum;
    #[unroll]
    for k in 0..registers {
        put_score::<N>(here, scratch, index, k, drawn[k] * share, key);
    }
    fma(max, Vector::new(std::f32::consts::LN_2), ln::<N>(sum))
}

#[cube]
#[allow(clippy::too_many_arguments)]
fn in_memory<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    mix: &Mixed,
    #[comptime] index: usize,
    #[comptime] key: ModelKey,
    #[comptime] diagonal: bool,
) -> Vector<f32, N> {
    for k in 0..here.dim {
        put_score::<N>(here, scratch, index, k, Vector::new(0.0f32), key);
    }
    let mut max = Vector::<f32, N>::new(ZERO_WEIGHT);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    for c in 0..mix.count {
        let own = component(models, mix, c, here.dim, diagonal);
        let term = log_term::<N>(&*here, &*scratch, models, mix, &own, key, diagonal);
        let turn = turn::<N>(max, term, key);
        max = turn.top;
        sum = fma(sum, turn.shrink, turn.weight);
        for k in 0..here.dim {
            let apart =
                Vector::new(models.params[own.mean + k]) - scaled::<N>(&*here, &*scratch, mix, k, key);
            let force = turn.weight * Vector::new(pull(models, mix, &own, k, diagonal)) * apart;
            let so_far = score_of::<N>(&*here, &*scratch, index, k, key);
            put_score::<N>(here, scratch, index, k, fma(so_far, turn.shrink, force), key);
        }
    }
    let share = Vector::new(1.0f32) / sum;
    for k in 0..here.dim {
        let total = score_of::<N>(&*here, &*scratch, index, k, key);
        put_score::<N>(here, scratch, index, k, total * share, key);
    }
    fma(max, Vector::new(std::f32::consts::LN_2), ln::<N>(sum))
}

/// Sum of r_c (|f_c|^2 - sum_k 1/v_ck), less the square of the score that was put, with f_c the pull of component c.
#[cube]
pub fn laplacian<N: Size>(
    here: &mut Here<N>,
    scratch: &[f32],
    models: &Models,
    #[comptime] index: usize,
    #[comptime] key: ModelKey,
    #[comptime] diagonal: bool,
) -> Vector<f32, N> {
    let mix = mixed(models, here.level, here.dim, index);
    let dim = extent(here.dim, key.registers);
    let kept = scale::<N>(here, &mix, key);
    let mut max = Vector::<f32, N>::new(ZERO_WEIGHT);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let mut bent = Vector::<f32, N>::new(0.0f32);
    for c in 0..mix.count {
        let own = component(models, &mix, c, here.dim, diagonal);
        let term = log_term::<N>(&*here, scratch, models, &mix, &own, key, diagonal);
        let turn = turn::<N>(max, term, key);
        max = turn.top;
        let mut part = Vector::<f32, N>::new(0.0f32);
        #[unroll(key.registers > 0)]
        for k in 0..dim {
            let pull = pull(models, &mix, &own, k, diagonal);
            let apart = scaled::<N>(&*here, scratch, &mix, k, key) - Vector::new(models.params[own.mean + k]);
            let force = Vector::new(pull) * apart;
            part = fma(force, force, part) - Vector::new(pull * mix.inverse);
        }
        sum = fma(sum, turn.shrink, turn.weight);
        bent = fma(bent, turn.shrink, turn.weight * part);
    }
    restore::<N>(here, &kept, key);
    let mut square = Vector::<f32, N>::new(0.0f32);
    #[unroll(key.registers > 0)]
    for k in 0..dim {
        let score = score_of::<N>(&*here, scratch, index, k, key);
        square = fma(score, score, square);
    }
    bent / sum - square
}

/// Sum of r_c ((f_c - s) <f_c - s, w> - w / v_c), with f_c the pull of component c and s the score that was put; see
/// `Score::bend`.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn bend<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    #[comptime] index: usize,
    #[comptime] from: usize,
    #[comptime] to: usize,
    #[comptime] key: ModelKey,
    #[comptime] diagonal: bool,
) {
    let mix = mixed(models, here.level, here.dim, index);
    let dim = extent(here.dim, key.registers);
    #[unroll(key.registers > 0)]
    for k in 0..dim {
        put_score::<N>(here, scratch, to, k, Vector::new(0.0f32), key);
    }
    let kept = scale::<N>(here, &mix, key);
    let mut max = Vector::<f32, N>::new(ZERO_WEIGHT);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    for c in 0..mix.count {
        let own = component(models, &mix, c, here.dim, diagonal);
        let term = log_term::<N>(&*here, &*scratch, models, &mix, &own, key, diagonal);
        let turn = turn::<N>(max, term, key);
        max = turn.top;
        sum = fma(sum, turn.shrink, turn.weight);
        let mut along = Vector::<f32, N>::new(0.0f32);
        #[unroll(key.registers > 0)]
        for k in 0..dim {
            let pull = pull(models, &mix, &own, k, diagonal);
            let off = apart::<N>(&*here, &*scratch, models, &mix, &own, pull, k, index, key);
            along = fma(off, score_of::<N>(&*here, &*scratch, from, k, key), along);
        }
        #[unroll(key.registers > 0)]
        for k in 0..dim {
            let pull = pull(models, &mix, &own, k, diagonal);
            let off = apart::<N>(&*here, &*scratch, models, &mix, &own, pull, k, index, key);
            let w = score_of::<N>(&*here, &*scratch, from, k, key);
            let bent = fma(off, along, w * Vector::new(-pull * mix.inverse));
            let so_far = score_of::<N>(&*here, &*scratch, to, k, key);
            put_score::<N>(here, scratch, to, k, fma(so_far, turn.shrink, turn.weight * bent), key);
        }
    }
    restore::<N>(here, &kept, key);
    let share = Vector::new(1.0f32) / sum;
    #[unroll(key.registers > 0)]
    for k in 0..dim {
        let total = score_of::<N>(&*here, &*scratch, to, k, key);
        put_score::<N>(here, scratch, to, k, total * share, key);
    }
}

/// Coordinate `k` of f_c - s.
#[cube]
#[allow(clippy::too_many_arguments)]
fn apart<N: Size>(
    here: &Here<N>,
    scratch: &[f32],
    models: &Models,
    mix: &Mixed,
    own: &Component,
    pull: f32,
    k: usize,
    #[comptime] index: usize,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    let force = Vector::new(pull)
        * (Vector::new(models.params[own.mean + k]) - scaled::<N>(here, scratch, mix, k, key));
    force - score_of::<N>(here, scratch, index, k, key)
}
