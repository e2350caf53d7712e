//! Systematic resampling by prefix sums: docs/maths.md (6).
//!
//! Weights become integers q_i of at most 61 bits in total S. With u uniform in [0, S), slot j of
//! K descends from the first i whose inclusive prefix exceeds floor((j S + u) / K): every
//! offspring count is floor or ceil of K q_i / S, exactly, at any K, and ancestors never decrease.
//! A group whose decision is not "resample" keeps the ancestors that are there.
//! O. Hol, T. Schon, F. Gustafsson, "On resampling algorithms for particle filters", 2006.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use launch::{Resampler, Weights};
