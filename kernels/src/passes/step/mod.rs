//! One step of every particle: docs/maths.md (7), (8).
//!
//! Gather through the ancestors, move from the carried scores, evaluate the score at x', finish
//! the log-weight, leave a log-sum-exp record a block. Analytic scores do all of it in one launch;
//! a network splits it in two ([`Stage::Move`], [`Stage::Weigh`]) with its own launches between.
//! Carried beside x `[dim, stride]`: scores `[models, dim, stride]`, log-weight and log-density
//! `[2, stride]`, the root ancestor `[stride]`; all are read through the ancestors.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use kernel::{Stage, StepKey};
pub use launch::{Carried, Feed, MAX_REGISTERS, Named, Step};
