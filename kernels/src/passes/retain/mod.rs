//! Slot 0 follows a given path instead of the noise that was drawn for it: docs/maths.md (12.2).
//!
//! Between the move and the models: the particle in slot 0 of each group is put where `path` `[levels, groups, dim]` has
//! it, and what its log-weight owes to the noise is taken from there. At the start that is minus the log-density of the
//! draw; under the exact rule |z|^2 / 2 with z = (x' - shrink x - drift S) / noise. The other rules owe it nothing. A twisted
//! step owes it the proposal ratio, docs/maths.md (13.1), with z = (x' - shrink x - drift s - l v G) / noise.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use launch::{Retain, work};
