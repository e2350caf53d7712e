//! A Gaussian N(m, C) with full covariance: docs/maths.md (4).
//!
//! C = Q diag(c) Q^T is split once by the host. At level t the score is
//! -sum_j Q_j <Q_j, x - alpha m> / (alpha^2 c_j + sigma^2), one eigenvector at a time, so no
//! particle needs scratch memory beyond its score.
//! `params`: m `[D]`, Q `[D, D]` (row j is eigenvector j).
//! `levels`: alpha, log normaliser, 1 / (alpha^2 c_j + sigma^2) `[D]`.

use cubecl::prelude::*;

use super::{Here, ModelKey, Models, coordinate, extent, put_score, score_of};

/// Puts the score, log-density returned; see `Score::evaluate`.
#[cube]
pub fn evaluate<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    #[comptime] index: usize,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    let dim = extent(here.dim, key.registers);
    let mean = models.map[comptime!(1 + 3 * index)] as usize;
    let axes = mean + dim;
    let row = (here.level * models.map[0] + models.map[comptime!(2 + 3 * index)]) as usize;
    let alpha = Vector::<f32, N>::new(models.levels[row]);
    let mut quadratic = Vector::<f32, N>::new(0.0f32);
    #[unroll(key.registers > 0)]
    for k in 0..dim {
        put_score::<N>(here, scratch, index, k, Vector::new(0.0f32), key);
    }
    for j in 0..dim {
        let axis = axes + j * dim;
        let mut along = Vector::<f32, N>::new(0.0f32);
        #[unroll(key.registers > 0)]
        for k in 0..dim {
            let centred =
                coordinate::<N>(&*here, &*scratch, k, key) - alpha * Vector::new(models.params[mean + k]);
            along = fma(Vector::new(models.params[axis + k]), centred, along);
        }
        let scaled = along * Vector::new(models.levels[row + 2usize + j]);
        quadratic = fma(along, scaled, quadratic);
        #[unroll(key.registers > 0)]
        for k in 0..dim {
            let so_far = score_of::<N>(&*here, &*scratch, index, k, key);
            let value = so_far - Vector::new(models.params[axis + k]) * scaled;
            put_score::<N>(here, scratch, index, k, value, key);
        }
    }
    fma(quadratic, Vector::new(-0.5f32), Vector::new(models.levels[row + 1usize]))
}

/// Minus the trace of the precision.
#[cube]
pub fn laplacian<N: Size>(here: &Here<N>, models: &Models, #[comptime] index: usize) -> Vector<f32, N> {
    let row = (here.level * models.map[0] + models.map[comptime!(2 + 3 * index)]) as usize;
    let mut sum = 0.0f32.runtime();
    for j in 0..here.dim {
        sum -= models.levels[row + 2usize + j];
    }
    Vector::new(sum)
}

/// Minus the precision times a vector; see `Score::bend`.
#[cube]
pub fn bend<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    #[comptime] index: usize,
    #[comptime] from: usize,
    #[comptime] to: usize,
    #[comptime] key: ModelKey,
) {
    let dim = extent(here.dim, key.registers);
    let axes = models.map[comptime!(1 + 3 * index)] as usize + dim;
    let row = (here.level * models.map[0] + models.map[comptime!(2 + 3 * index)]) as usize;
    #[unroll(key.registers > 0)]
    for k in 0..dim {
        put_score::<N>(here, scratch, to, k, Vector::new(0.0f32), key);
    }
    for j in 0..dim {
        let axis = axes + j * dim;
        let mut along = Vector::<f32, N>::new(0.0f32);
        #[unroll(key.registers > 0)]
        for k in 0..dim {
            let own = score_of::<N>(&*here, &*scratch, from, k, key);
            along = fma(Vector::new(models.params[axis + k]), own, along);
        }
        let scaled = along * Vector::new(-models.levels[row + 2usize + j]);
        #[unroll(key.registers > 0)]
        for k in 0..dim {
            let so_far = score_of::<N>(&*here, &*scratch, to, k, key);
            let value = fma(Vector::new(models.params[axis + k]), scaled, so_far);
            put_score::<N>(here, scratch, to, k, value, key);
        }
    }
}
