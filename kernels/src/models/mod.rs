//! Where a score comes from, callable inside a kernel.
//!
//! A model is static numbers (`params`) and one row of numbers a noise level (`levels`), both
//! prepared by the host in f64. Scores are of the *diffused* density q(x, t), written in the
//! layout of the state; the log-density is normalised.

pub mod buffer;
pub mod gaussian;
pub mod mixture;

use cubecl::prelude::*;

pub use buffer::Buffer;

/// Most models a method can combine.
pub const MAX_MODELS: usize = 4;

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
    /// First particle's position in a row of the state.
    pub at: usize,
    /// Distance between two rows.
    pub stride: usize,
    /// Coordinates.
    pub dim: usize,
    /// Row of the level table.
    pub level: u32,
    /// The group.
    pub group: u32,
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
}

/// What of the models changes the generated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModelKey {
    /// Models combined.
    pub count: usize,
    /// Their families.
    pub kinds: [Kind; MAX_MODELS],
    /// Dimension, where points live in registers; 0 where they are read from memory.
    pub registers: usize,
}

/// A score at a point and noise level.
#[cube]
pub trait Score: 'static + Send + Sync {
    /// Writes the score of model `index` at `here` into rows `index` * dim + k of `scores` and
    /// returns the log-density (0 where it is not known).
    fn evaluate<N: Size>(
        here: &Here<N>,
        x: &[f32],
        scores: &mut [f32],
        models: &Models,
        #[comptime] index: usize,
        #[comptime] key: ModelKey,
    ) -> Vector<f32, N>;
}

/// The closed-form families, chosen at compile time for each model.
pub struct Analytic;

#[cube]
impl Score for Analytic {
    fn evaluate<N: Size>(
        here: &Here<N>,
        x: &[f32],
        scores: &mut [f32],
        models: &Models,
        #[comptime] index: usize,
        #[comptime] key: ModelKey,
    ) -> Vector<f32, N> {
        match comptime!(key.kinds[index]) {
            Kind::Gaussian => gaussian::evaluate::<N>(here, x, scores, models, index, key.registers),
            Kind::IsotropicMixture => {
                mixture::evaluate::<N>(here, x, scores, models, index, key.registers, false)
            }
            Kind::DiagonalMixture => {
                mixture::evaluate::<N>(here, x, scores, models, index, key.registers, true)
            }
        }
    }
}

/// Coordinate `k` of the point.
#[cube]
pub fn coordinate<N: Size>(
    here: &Here<N>,
    x: &[f32],
    k: usize,
    #[comptime] registers: usize,
) -> Vector<f32, N> {
    if comptime!(registers > 0) {
        here.point[k]
    } else {
        crate::prims::state::load::<f32, N>(x, k * here.stride + here.at)
    }
}

/// `constant` where it is above 0, else `value`: a loop bound that can be unrolled where the point
/// lives in registers.
#[cube]
pub fn extent(value: usize, #[comptime] constant: usize) -> usize {
    intrinsic!(|_| if constant > 0 { constant.into() } else { value })
}
