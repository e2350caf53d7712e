//! Frames, each a rotation and a position, walked from noise to a prior of independent frames: docs/maths.md (14.3).
//!
//! Frame f of a particle is rows 7f to 7f + 6 of its coordinates: a unit quaternion (w, x, y, z), then x, y, z. Noise
//! lives in six tangent coordinates a frame, rotations in the axes of the frame. [`Walk::start`] draws the frames of the
//! first level, [`Walk::step`] takes them to the next, one launch each; [`place`] puts the atoms of each frame where the
//! frame has them. [`Follow`] takes rows of frames, `[particles, 7 frames]`, along scores `[particles, 6 frames]` that somebody
//! else writes, a network of frames (9.7) for one.

mod follow;
pub(crate) mod kernel;
mod launch;
pub mod oracle;
mod tables;

pub use follow::Follow;
pub use launch::{Walk, place};
pub(crate) use tables::LEAST;
pub use tables::{First, Level, Prior, step_numbers};

/// Numbers of a frame.
pub const FRAME: usize = 7;
/// Numbers of its score: of the rotation in the axes of the frame, of the position in those of the world.
pub const TANGENT: usize = 6;
/// Numbers of a step: variance, drift and noise of rotations; alpha, variance, shrink, drift and noise of positions.
pub const STEP: usize = 8;
/// Numbers of a prior: mean and variance of the rotation, mean and variance of the position.
pub const PRIOR: usize = 9;
