//! Draws the particles of a run: x_T ~ N(m, v I), and minus the log-density of that draw as the
//! first log-weight: docs/maths.md (7.3).
//!
//! Writes x `[dim, stride]`, logs `[2, stride]` (log-weight, 0), identity ancestors and roots.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use launch::{Start, init};
