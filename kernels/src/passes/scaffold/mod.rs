//! Chains of frames drawn towards a motif by the twisted sampler: docs/maths.md (14.4) to (14.6).
//!
//! A particle is a chain of frames as in [`crate::passes::frames`]; its rotations are independent mixtures of IGSO(3), its
//! positions a Gaussian chain whose centre stays at 0. The motif, a few frames of known shape, may begin at any of a set
//! of offsets and be turned by any of a set of rotations; the twist is the mean of its likelihood over all of them, read
//! off the denoised chain.
//!
//! A step is four launches beside the tally and the resampling: [`Twisted::advance`] moves from the parents and books the
//! ratio of the two kernels; [`Twisted::aim`] finds at the new state the score and the denoised chain, log psi, which goes
//! into the log-weight, and its gradient pulled back to the noisy chain.

pub(crate) mod kernel_aim;
pub(crate) mod kernel_move;
pub(crate) mod kernel_psi;
mod launch;
pub mod oracle;
mod tables;

pub use launch::{State, Twisted};
pub use tables::{Chain, Lean, Motif, precision, twist_numbers};

/// Numbers of a level: those of [`crate::passes::frames::STEP`], 1/(2a) and 1/b of the twist, the share of its
/// gradient that a move follows, and how far.
pub const NUMBERS: usize = 12;
/// Numbers of a residue of the motif: rotation, row after row, and position.
pub const RESIDUE: usize = 12;
pub use super::frames::TANGENT;
