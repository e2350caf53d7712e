//! Draws the particles of a run: x_T ~ N(m, v I), and minus the log-density of that draw as the
//! first log-weight: docs/maths.md (7.3).
//!
//! Writes x, log-weights and roots as far as they are kept, and identity ancestors.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use launch::{First, Start, init};
