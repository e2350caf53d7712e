//! Where a score comes from, callable inside a kernel.
//!
//! A model is static numbers (`params`) and one row of numbers a noise level (`levels`), both
//! prepared by the host in f64. Scores are of the *diffused* density q(x, t), written in the
//! layout of the state; the log-density is normalised.

pub mod buffer;
pub mod gaussian;
pub mod igso3;
pub mod layers;
pub mod mixture;
pub mod twist;

use cubecl::prelude::*;

use buffer::put_rows_apart;
pub use buffer::{Buffer, told};
pub use twist::{Potential, Twist, TwistKey};

use crate::prims::state::{Grid, Layout, load_row, store_row};

/// Most models a method can combine.
pub const MAX_MODELS: usize = 8;

/// Dimension up to which coordinates and scores live in registers.
pub const FEW: usize = 4;

/// Numbers of all models of a run.
#[derive(CubeLaunch, CubeType)]
pub struct Models {
    /// Static numbers, models one after another.
    pub params: Box<[f32]>,
    /// One row a noise level: the rows of the models one after another.
    pub levels: Box<[f32]>,
    /// [row length, then for each model: first param, first number in the row, components].
    pub map: Box<[u32]>,
}

/// A vector of particles in front of a model.
#[derive(CubeType)]
pub struct Here<N: Size> {
    /// The coordinates in registers, where the dimension is small enough.
    pub point: Array<Vector<f32, N>>,
    /// The scores in registers, models one after another, where the coordinates are.
    pub score: Array<Vector<f32, N>>,
    /// First particle's position in a row of the state.
    pub at: usize,
    /// How the coordinates lie.
    pub grid: Grid,
    /// How carried scores lie.
    pub score_grid: Grid,
    /// First particle's position in a row of the scratch memory.
    pub scratch_at: usize,
    /// How that lies: coordinates, then the scores of the models one after another.
    pub scratch_grid: Grid,
    /// Coordinates.
    pub dim: usize,
    /// Row of the level table.
    pub level: u32,
    /// The group.
    pub group: u32,
    /// Groups in all.
    pub groups: u32,
    /// First slot within it.
    pub slot: u32,
    /// First particle, counted without padding over all groups.
    pub particle: u32,
    /// Lanes that hold a particle.
    pub occupied: Vector<bool, N>,
}

/// The closed-form families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A Gaussian with full covariance.
    Gaussian,
    /// Gaussians with one scale a component.
    IsotropicMixture,
    /// Gaussians with one scale a component and coordinate.
    DiagonalMixture,
    /// None: rows that were evaluated elsewhere, beside closed forms.
    Rows,
    /// The same of a network that says two numbers of each coordinate: its score's, then a row of how broad a step is.
    Halves,
    /// [`Kind::Rows`] with log-densities and their Laplacians: pairs `[particles, 2]`, where the map has first numbers.
    Told,
}

/// What of the models changes the generated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModelKey {
    /// Models combined.
    pub count: usize,
    /// Their families.
    pub kinds: [Kind; MAX_MODELS],
    /// Dimension, where points and scores live in registers; 0 where they are in scratch memory.
    pub registers: usize,
    /// How rows lie in memory.
    pub layout: Layout,
    /// Exponentials are the device's own.
    pub own_exp: bool,
}

/// A score at a point and noise level.
#[cube]
pub trait Score: 'static + Send + Sync {
    /// Puts the score of model `index` at `here` where [`score_of()`] finds it and returns the log-density
    /// (0 where it is not known). `scratch` holds coordinates and scores where they are not in registers.
    fn evaluate<N: Size>(
        here: &mut Here<N>,
        scratch: &mut [f32],
        models: &Models,
        #[comptime] index: usize,
        #[comptime] key: ModelKey,
    ) -> Vector<f32, N>;

    /// Laplacian of the log-density of model `index` at `here`, whose score was put there before (0 where it is not
    /// known).
    fn laplacian<N: Size>(
        here: &mut Here<N>,
        scratch: &[f32],
        models: &Models,
        #[comptime] index: usize,
        #[comptime] key: ModelKey,
    ) -> Vector<f32, N>;

    /// Puts the Hessian of the log-density of model `index` at `here`, whose score was put there before, times the vector
    /// in the place of score number `from`, in that of score number `to` (0 where it is not known).
    fn bend<N: Size>(
        here: &mut Here<N>,
        scratch: &mut [f32],
        models: &Models,
        #[comptime] index: usize,
        #[comptime] from: usize,
        #[comptime] to: usize,
        #[comptime] key: ModelKey,
    );
}

/// The closed-form families, chosen at compile time for each model; rows from outside among them.
pub struct Analytic;

#[cube]
impl Score for Analytic {
    fn evaluate<N: Size>(
        here: &mut Here<N>,
        scratch: &mut [f32],
        models: &Models,
        #[comptime] index: usize,
        #[comptime] key: ModelKey,
    ) -> Vector<f32, N> {
        match comptime!(key.kinds[index]) {
            Kind::Gaussian => gaussian::evaluate::<N>(here, scratch, models, index, key),
            Kind::IsotropicMixture => mixture::evaluate::<N>(here, scratch, models, index, key, false),
            Kind::DiagonalMixture => mixture::evaluate::<N>(here, scratch, models, index, key, true),
            Kind::Rows => Buffer::evaluate::<N>(here, scratch, models, index, key),
            Kind::Halves => {
                let first = models.map[comptime!(1 + 3 * index)] as usize;
                put_rows_apart::<N>(here, scratch, &models.params, first, 2usize, index, key);
                Vector::new(0.0f32)
            }
            Kind::Told => {
                Buffer::evaluate::<N>(here, scratch, models, index, key);
                told::<N>(&*here, models, index, 0usize)
            }
        }
    }

    fn laplacian<N: Size>(
        here: &mut Here<N>,
        scratch: &[f32],
        models: &Models,
        #[comptime] index: usize,
        #[comptime] key: ModelKey,
    ) -> Vector<f32, N> {
        match comptime!(key.kinds[index]) {
            Kind::Gaussian => gaussian::laplacian::<N>(&*here, models, index),
            Kind::IsotropicMixture => mixture::laplacian::<N>(here, scratch, models, index, key, false),
            Kind::DiagonalMixture => mixture::laplacian::<N>(here, scratch, models, index, key, true),
            Kind::Rows | Kind::Halves => Buffer::laplacian::<N>(here, scratch, models, index, key),
            Kind::Told => told::<N>(&*here, models, index, 1usize),
        }
    }

    fn bend<N: Size>(
        here: &mut Here<N>,
        scratch: &mut [f32],
        models: &Models,
        #[comptime] index: usize,
        #[comptime] from: usize,
        #[comptime] to: usize,
        #[comptime] key: ModelKey,
    ) {
        match comptime!(key.kinds[index]) {
            Kind::Gaussian => gaussian::bend::<N>(here, scratch, models, index, from, to, key),
            Kind::IsotropicMixture => mixture::bend::<N>(here, scratch, models, index, from, to, key, false),
            Kind::DiagonalMixture => mixture::bend::<N>(here, scratch, models, index, from, to, key, true),
            Kind::Rows | Kind::Halves | Kind::Told => {
                Buffer::bend::<N>(here, scratch, models, index, from, to, key)
            }
        }
    }
}

/// Coordinate `k` of the point.
#[cube]
pub fn coordinate<N: Size>(
    here: &Here<N>,
    scratch: &[f32],
    k: usize,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    if comptime!(key.registers > 0) {
        here.point[k]
    } else {
        load_row::<f32, N>(scratch, &here.scratch_grid, k, here.scratch_at, key.layout)
    }
}

/// Puts coordinate `k` of the point where [`coordinate()`] finds it.
#[cube]
pub fn put_coordinate<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    k: usize,
    value: Vector<f32, N>,
    #[comptime] key: ModelKey,
) {
    if comptime!(key.registers > 0) {
        here.point[k] = value;
    } else {
        store_row::<f32, N>(scratch, &here.scratch_grid, k, here.scratch_at, value, key.layout);
    }
}

/// Coordinate `k` of the score of model `index`.
#[cube]
pub fn score_of<N: Size>(
    here: &Here<N>,
    scratch: &[f32],
    #[comptime] index: usize,
    k: usize,
    #[comptime] key: ModelKey,
) -> Vector<f32, N> {
    if comptime!(key.registers > 0) {
        here.score[comptime!(index * key.registers) + k]
    } else {
        let row = (1usize + index) * here.dim + k;
        load_row::<f32, N>(scratch, &here.scratch_grid, row, here.scratch_at, key.layout)
    }
}

/// Coordinate `k` of the scores of all models.
#[cube]
pub fn scores_of<N: Size>(
    here: &Here<N>,
    scratch: &[f32],
    k: usize,
    #[comptime] key: ModelKey,
) -> Sequence<Vector<f32, N>> {
    let mut scores = Sequence::<Vector<f32, N>>::new();
    #[unroll]
    for m in 0..key.count {
        scores.push(score_of::<N>(here, scratch, m, k, key));
    }
    scores
}

/// Puts it there.
#[cube]
pub fn put_score<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    #[comptime] index: usize,
    k: usize,
    value: Vector<f32, N>,
    #[comptime] key: ModelKey,
) {
    if comptime!(key.registers > 0) {
        here.score[comptime!(index * key.registers) + k] = value;
    } else {
        let row = (1usize + index) * here.dim + k;
        store_row::<f32, N>(scratch, &here.scratch_grid, row, here.scratch_at, value, key.layout);
    }
}

/// `constant` where it is above 0, else `value`: a loop bound that can be unrolled where the point
/// lives in registers.
#[cube]
pub fn extent(value: usize, #[comptime] constant: usize) -> usize {
    intrinsic!(|_| if constant > 0 { constant.into() } else { value })
}
