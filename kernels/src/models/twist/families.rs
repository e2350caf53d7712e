//! The families of twists: log psi of D but for the constant of the level, and its gradient, which is added to w.

use cubecl::prelude::*;

use super::{Numbers, PULL, denoised};
use crate::models::{Here, ModelKey, Models, extent, put_score, score_of};
use crate::prims::math::{exp, exp2_below, larger, ln, smaller};
use crate::prims::monoid::ZERO_WEIGHT;

/// Adds to coordinate `k` of w.
#[cube]
fn pull_more<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    k: usize,
    more: Vector<f32, N>,
    #[comptime] key: ModelKey,
) {
    let slot = comptime!(key.count + PULL);
    let so_far = score_of::<N>(&*here, &*scratch, slot, k, key);
    put_score::<N>(here, scratch, slot, k, so_far + more, key);
}

/// What row `first` of params, a number and a vector, misses of the number at D.
#[cube]
fn missing<N: Size>(
    here: &Here<N>,
    scratch: &[f32],
    models: &Models,
    first: usize,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    let mut left = Vector::<f32, N>::new(models.params[first]);
    #[unroll(key.registers > 0)]
    for k in 0..extent(here.dim, key.registers) {
        let own = Vector::new(-models.params[first + 1usize + k]);
        left = fma(own, denoised::<N>(here, scratch, k, key), left);
    }
    left
}

/// Adds `force` times the vector of row `first` to w.
#[cube]
fn pull_along<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    first: usize,
    force: Vector<f32, N>,
    #[comptime] key: ModelKey,
) {
    #[unroll(key.registers > 0)]
    for k in 0..extent(here.dim, key.registers) {
        pull_more::<N>(here, scratch, k, Vector::new(models.params[first + 1usize + k]) * force, key);
    }
}

/// y = A x0 + noise.
#[cube]
pub fn linear<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    told: &Numbers,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    let mut log_psi = Vector::<f32, N>::new(0.0f32);
    for j in 0..told.rows {
        let first = told.params + j * (here.dim + 1usize);
        let left = missing::<N>(&*here, &*scratch, models, first, key);
        let force = left * Vector::new(models.levels[told.row + 3usize + j]);
        log_psi = fma(left * Vector::new(-0.5f32), force, log_psi);
        pull_along::<N>(here, scratch, models, first, force, key);
    }
    log_psi
}

/// Quadratic and linear terms of each coordinate.
#[cube]
pub fn separable<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    told: &Numbers,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    let dim = extent(here.dim, key.registers);
    let precision = models.levels[told.row + 3usize];
    let factor = models.levels[told.row + 4usize];
    let mut log_psi = Vector::<f32, N>::new(0.0f32);
    #[unroll(key.registers > 0)]
    for k in 0..dim {
        let d = denoised::<N>(&*here, &*scratch, k, key);
        let left = Vector::new(models.params[told.params + k]) - d;
        let force = left * Vector::new(models.params[told.params + dim + k] * precision);
        let slope = Vector::new(models.params[told.params + 2usize * dim + k] * factor);
        log_psi = fma(left * Vector::new(-0.5f32), force, fma(slope, d, log_psi));
        pull_more::<N>(here, scratch, k, force + slope, key);
    }
    log_psi
}

/// Known coordinates, whose variance grows with what is missed of them.
#[cube]
pub fn residual<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    told: &Numbers,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    let dim = extent(here.dim, key.registers);
    let noise = Vector::<f32, N>::new(models.levels[told.row + 3usize]);
    let least = Vector::<f32, N>::new(models.levels[told.row + 4usize]);
    let growth = Vector::<f32, N>::new(models.levels[told.row + 5usize]);
    let says = models.levels[told.row + 6usize];
    let half = Vector::<f32, N>::new(0.5f32);
    let one = Vector::<f32, N>::new(1.0f32);
    let mut log_psi = Vector::<f32, N>::new(0.0f32);
    #[unroll(key.registers > 0)]
    for k in 0..dim {
        let left = Vector::new(models.params[told.params + k]) - denoised::<N>(&*here, &*scratch, k, key);
        let known = Vector::new(models.params[told.params + dim + k] * says);
        let size = larger::<N>(left, -left);
        let grown = growth * size;
        let variance = noise + larger::<N>(grown, least);
        let square = left * left / variance;
        // The variance has a slope too, where it grows.
        let sloped = half * growth * (one - square) / larger::<N>(size, Vector::new(1.0e-30f32));
        let factor = one + select_many(grown.greater_than(&least), sloped, Vector::new(0.0f32));
        let log_density = square + ln::<N>(Vector::new(std::f32::consts::TAU) * variance);
        log_psi = fma(-half * known, log_density, log_psi);
        pull_more::<N>(here, scratch, k, known * left / variance * factor, key);
    }
    log_psi
}

/// Minus half the square by which D misses the motif at place number `p`.
#[cube]
fn misses<N: Size>(
    here: &Here<N>,
    scratch: &[f32],
    models: &Models,
    told: &Numbers,
    p: usize,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    let offset = models.map[told.places + p] as usize;
    let mut square = Vector::<f32, N>::new(0.0f32);
    for j in 0..told.rows {
        let left =
            Vector::new(models.params[told.params + j]) - denoised::<N>(here, scratch, offset + j, key);
        square = fma(left, left, square);
    }
    square * Vector::new(-0.5f32)
}

/// The sum over places, of which a number in the row takes the mean.
#[cube]
pub fn placement<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    told: &Numbers,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    let precision = Vector::<f32, N>::new(models.levels[told.row + 3usize]);
    let log2_e = Vector::<f32, N>::new(std::f32::consts::LOG2_E);
    let mut max = Vector::<f32, N>::new(ZERO_WEIGHT);
    for p in 0..told.count {
        max = larger::<N>(max, misses::<N>(&*here, &*scratch, models, told, p, key) * precision);
    }
    let mut sum = Vector::<f32, N>::new(0.0f32);
    for p in 0..told.count {
        let own = misses::<N>(&*here, &*scratch, models, told, p, key) * precision;
        let share = exp2_below::<N>((own - max) * log2_e);
        sum += share;
        let offset = models.map[told.places + p] as usize;
        for j in 0..told.rows {
            let left = Vector::new(models.params[told.params + j])
                - denoised::<N>(&*here, &*scratch, offset + j, key);
            pull_more::<N>(here, scratch, offset + j, left * share, key);
        }
    }
    let slot = comptime!(key.count + PULL);
    let scale = precision / sum;
    #[unroll(key.registers > 0)]
    for k in 0..extent(here.dim, key.registers) {
        let total = score_of::<N>(&*here, &*scratch, slot, k, key);
        put_score::<N>(here, scratch, slot, k, total * scale, key);
    }
    max + ln::<N>(sum)
}

/// ln of the logistic function, and its slope.
#[derive(CubeType, Clone, Copy)]
struct Soft<N: Size> {
    log: Vector<f32, N>,
    slope: Vector<f32, N>,
}

/// Both by exp(-|u|).
#[cube]
fn logistic<N: Size>(u: Vector<f32, N>) -> Soft<N> {
    let zero = Vector::<f32, N>::new(0.0f32);
    let one = Vector::<f32, N>::new(1.0f32);
    let within = u.greater_than(&zero);
    let e = exp::<N>(select_many(within, -u, u));
    Soft::<N> {
        log: select_many(within, zero, u) - ln::<N>(one + e),
        slope: select_many(within, e, one) / (one + e),
    }
}

/// Each coordinate between two bounds.
#[cube]
pub fn bounds<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    told: &Numbers,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    let dim = extent(here.dim, key.registers);
    let steep = Vector::<f32, N>::new(models.levels[told.row + 3usize]);
    let wall = Vector::<f32, N>::new(models.levels[told.row + 4usize]);
    let softly = Vector::<f32, N>::new(models.levels[told.row + 5usize]);
    let zero = Vector::<f32, N>::new(0.0f32);
    let mut log_psi = Vector::<f32, N>::new(0.0f32);
    #[unroll(key.registers > 0)]
    for k in 0..dim {
        let d = denoised::<N>(&*here, &*scratch, k, key);
        let above = d - Vector::new(models.params[told.params + k]);
        let below = Vector::new(models.params[told.params + dim + k]) - d;
        let (low, high) = (logistic::<N>(above * steep), logistic::<N>(below * steep));
        let outside = smaller::<N>(above, below).less_than(&zero);
        log_psi += (low.log + high.log) * softly + select_many(outside, wall, zero);
        pull_more::<N>(here, scratch, k, (low.slope - high.slope) * steep, key);
    }
    larger::<N>(log_psi, Vector::new(ZERO_WEIGHT))
}

/// A x0 <= b.
#[cube]
pub fn inequalities<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    told: &Numbers,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    let steep = Vector::<f32, N>::new(models.levels[told.row + 3usize]);
    let wall = Vector::<f32, N>::new(models.levels[told.row + 4usize]);
    let zero = Vector::<f32, N>::new(0.0f32);
    let mut log_psi = Vector::<f32, N>::new(0.0f32);
    for j in 0..told.rows {
        let first = told.params + j * (here.dim + 1usize);
        let left = missing::<N>(&*here, &*scratch, models, first, key);
        let soft = logistic::<N>(left * steep);
        log_psi += soft.log + select_many(left.less_than(&zero), wall, zero);
        pull_along::<N>(here, scratch, models, first, -soft.slope * steep, key);
    }
    larger::<N>(log_psi, Vector::new(ZERO_WEIGHT))
}
