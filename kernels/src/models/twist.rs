//! What is wanted of a sample, as a likelihood of the denoised state: docs/maths.md (13.2).
//!
//! At level t a particle at x is worth psi_t(x) = psi(D), with D the denoiser of the model there. From D each twist
//! gives log psi and w = grad_D log psi; the Jacobian of D, which is symmetric, then makes grad_x log psi of it.
//! All of it is the same at the clean state, where D = x.
//! `params` and the numbers behind the first three of a row of `levels` are
//! - linear: y_j and A_j `[M, 1 + D]`, rotated by the host so that the noise of the rows is independent at every
//!   level; 1 / variance of each row,
//! - separable: centre, weight and slope `[3, D]`; factors of weights and of slopes,
//! - residual: what is known and the mask `[2, D]`; variance of its noise, the least that a denoised state adds to it, what it
//!   adds for each unit it misses, and 0 where nothing is said,
//! - placement: motif `[M]`, and in the map its places; 1 / variance,
//! - inequalities: b_j and A_j `[M, 1 + D]`; how steep the soft walls are, and what is added behind a hard one,
//! - bounds: lower and upper ones `[2, D]`; how steep the soft walls are, what is added behind a hard one, and 0 where they are
//!   hard,
//! - replaced: mask `[D]`, then of every level and group what is put in its place and its part of the log-weight
//!   `[levels, groups, D + 1]`: docs/maths.md (13.8),
//! - outside: w `[particles, D]` and log psi `[particles]`, which others wrote; in the place of M where the latter begin.

mod families;

use cubecl::prelude::*;

use super::buffer::{put_rows, put_rows_apart};
use super::{Here, ModelKey, Models, Score, coordinate, extent, put_score, score_of};
use crate::prims::math::larger;
use crate::prims::monoid::ZERO_WEIGHT;
use families::{bounds, inequalities, linear, placement, residual, separable};

/// The built-in families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Twist {
    /// y = A x0 + noise.
    Linear,
    /// A quadratic and a linear term of each coordinate: a mask, a reward.
    Separable,
    /// A mask, whose coordinates are the less sure the more the denoised state misses them.
    Residual,
    /// A block of coordinates at one of several places.
    Placement,
    /// A x0 <= b.
    Inequalities,
    /// Each coordinate between two bounds.
    Bounds,
    /// Coordinates that are put in their place at every level, on a path that the noise took: nothing is psi.
    Replaced,
    /// None: what a classifier or somebody else's likelihood says of D, in rows.
    Outside,
}

/// What steers particles without a gradient, from r = log psi at the levels so far: docs/maths.md (13.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Potential {
    /// By how much r grew.
    Difference,
    /// The largest r.
    Max,
    /// The sum of them.
    Sum,
}

/// What of a twist changes the generated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TwistKey {
    /// Its family.
    pub twist: Twist,
    /// The last step, or of [`Twist::Replaced`] each, puts what is known in its place: of [`Twist::Separable`] and [`Twist::Residual`] the
    /// coordinates that have a weight, of [`Twist::Placement`] the motif.
    pub pins: bool,
    /// No gradient leans the steps: in its place what is steered by.
    pub steers: Option<Potential>,
    /// What is leant stays within a range: [`crate::methods::StepCoeffs::range`].
    pub ranged: bool,
    /// The model, which is [`super::Kind::Halves`], says how broad a step is: [`crate::methods::StepCoeffs::width`].
    pub broad: bool,
}

impl TwistKey {
    /// Rows a coordinate that are carried: the score, the gradient of log psi, and what is said of how broad a step is.
    pub(crate) fn rows(self) -> usize {
        2 + usize::from(self.broad)
    }
}

/// Rows behind the scores of the models: D, then what its Jacobian made of w.
const DENOISED: usize = 0;
/// And w.
const PULL: usize = 1;
/// Rows a coordinate that a twist works in, beside the scores.
pub const SLOTS: usize = 2;

/// Where a twist finds its numbers.
#[derive(CubeType, Clone, Copy)]
pub struct Numbers {
    /// First of its params.
    pub params: usize,
    /// First of its numbers at this level.
    pub row: usize,
    /// M.
    pub rows: usize,
    /// Where the map has its places.
    pub places: usize,
    /// How many those are.
    pub count: usize,
}

/// The numbers of the twist behind `models` models, at level `level`.
#[cube]
pub fn numbers(models: &Models, level: u32, #[comptime] count: usize) -> Numbers {
    let own = comptime!(1 + 3 * count);
    Numbers {
        params: models.map[own] as usize,
        row: (level * models.map[0] + models.map[comptime!(own + 1)]) as usize,
        rows: models.map[comptime!(own + 2)] as usize,
        places: comptime!(own + 4).runtime(),
        count: models.map[comptime!(own + 3)] as usize,
    }
}

/// log psi at `here`, where the first model's score was put; leaves the coordinates of its gradient, if it `leans`, where
/// [`pull_of()`] finds them.
#[cube]
pub fn evaluate<S: Score, N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    #[comptime] twist: Twist,
    #[comptime] leans: bool,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    let told = numbers(models, here.level, key.count);
    let inverse = Vector::<f32, N>::new(models.levels[told.row]);
    let noise = Vector::<f32, N>::new(models.levels[told.row + 1usize]);
    let (slot, pull) = comptime!((key.count + DENOISED, key.count + PULL));
    let log_psi = if comptime!(matches!(twist, Twist::Outside)) {
        told_outside::<N>(here, scratch, models, &told, key)
    } else if comptime!(matches!(twist, Twist::Replaced)) {
        Vector::new(0.0f32)
    } else {
        denoise::<N>(here, scratch, models, &told, key);
        judge::<N>(here, scratch, models, &told, twist, key)
    };
    if comptime!(leans) {
        S::bend::<N>(here, scratch, models, 0usize, pull, slot, key);
        #[unroll(key.registers > 0)]
        for k in 0..extent(here.dim, key.registers) {
            let w = score_of::<N>(&*here, &*scratch, pull, k, key);
            let bent = score_of::<N>(&*here, &*scratch, slot, k, key);
            put_score::<N>(here, scratch, slot, k, fma(noise, bent, w) * inverse, key);
        }
    }
    log_psi + Vector::new(models.levels[told.row + 2usize])
}

/// For what goes on outside of the step: leaves D, of which others will judge, or w, whose way back through a network
/// comes next, where [`seen_of()`] finds it.
#[cube]
pub fn look<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    #[comptime] twist: Twist,
    #[comptime] key: ModelKey,
) {
    let told = numbers(models, here.level, key.count);
    denoise::<N>(here, scratch, models, &told, key);
    if comptime!(!matches!(twist, Twist::Outside)) {
        judge::<N>(here, scratch, models, &told, twist, key);
    }
}

/// Coordinate `k` of what [`look()`] left.
#[cube]
pub fn seen_of<N: Size>(
    here: &Here<N>,
    scratch: &[f32],
    k: usize,
    #[comptime] twist: Twist,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    let slot = comptime!(key.count + if matches!(twist, Twist::Outside) { DENOISED } else { PULL });
    score_of::<N>(here, scratch, slot, k, key)
}

/// Puts D of the first model's score in its place, and 0 in that of w.
#[cube]
fn denoise<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    told: &Numbers,
    #[comptime] key: ModelKey,
) {
    let inverse = Vector::<f32, N>::new(models.levels[told.row]);
    let noise = Vector::<f32, N>::new(models.levels[told.row + 1usize]);
    let (denoised, pull) = comptime!((key.count + DENOISED, key.count + PULL));
    #[unroll(key.registers > 0)]
    for k in 0..extent(here.dim, key.registers) {
        let x = coordinate::<N>(&*here, &*scratch, k, key);
        let score = score_of::<N>(&*here, &*scratch, 0usize, k, key);
        put_score::<N>(here, scratch, denoised, k, fma(noise, score, x) * inverse, key);
        put_score::<N>(here, scratch, pull, k, Vector::new(0.0f32), key);
    }
}

/// log psi of D but for the constant of the level; adds its gradient to w.
#[cube]
fn judge<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    told: &Numbers,
    #[comptime] twist: Twist,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    match comptime!(twist) {
        Twist::Linear => linear::<N>(here, scratch, models, told, key),
        Twist::Separable => separable::<N>(here, scratch, models, told, key),
        Twist::Residual => residual::<N>(here, scratch, models, told, key),
        Twist::Placement => placement::<N>(here, scratch, models, told, key),
        Twist::Inequalities => inequalities::<N>(here, scratch, models, told, key),
        Twist::Bounds => bounds::<N>(here, scratch, models, told, key),
        Twist::Replaced | Twist::Outside => Vector::new(0.0f32),
    }
}

/// log psi and w as others wrote them.
#[cube]
fn told_outside<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    told: &Numbers,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    let pull = comptime!(key.count + PULL);
    put_rows::<N>(here, scratch, &models.params, told.params, pull, key);
    let mut log_psi = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for lane in 0..N::value() {
        if here.occupied.extract(lane) {
            log_psi.insert(lane, models.params[told.rows + here.particle as usize + lane]);
        }
    }
    larger::<N>(log_psi, Vector::new(ZERO_WEIGHT))
}

/// Puts what the model says of how broad a step is where [`width_of()`] finds it, once the gradient was taken.
#[cube]
pub fn put_widths<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    models: &Models,
    #[comptime] key: ModelKey,
) {
    let first = models.map[1] as usize + here.dim;
    put_rows_apart::<N>(here, scratch, &models.params, first, 2usize, comptime!(key.count + PULL), key);
}

/// Coordinate `k` of it.
#[cube]
pub fn width_of<N: Size>(
    here: &Here<N>,
    scratch: &[f32],
    k: usize,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    score_of::<N>(here, scratch, comptime!(key.count + PULL), k, key)
}

/// Coordinate `k` of the gradient that [`evaluate()`] left.
#[cube]
pub fn pull_of<N: Size>(
    here: &Here<N>,
    scratch: &[f32],
    k: usize,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    // Where D was.
    denoised::<N>(here, scratch, k, key)
}

/// Coordinate `k` of D.
#[cube]
fn denoised<N: Size>(here: &Here<N>, scratch: &[f32], k: usize, #[comptime] key: ModelKey) -> Vector<f32, N> {
    score_of::<N>(here, scratch, comptime!(key.count + DENOISED), k, key)
}
