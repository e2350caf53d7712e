//! Rows of survivors: y_i = x_(ancestor of i), rows `[particles, dim]` without padding, for those who
//! resample particles of their own. The step needs no such pass; it reads through the ancestors.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use launch::gather;
pub(crate) use launch::{check, work};
