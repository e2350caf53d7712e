//! Rows of particles `[count, dim]` to what the layers of a network read, and back: docs/maths.md (9).
//!
//! `take`: values `[dim][n]`, number k of particle i at k n + i, become scale c x + shift, where c is a number of the
//! level; lanes beyond the last particle become 0. `give`: rows become d x + f F, with two numbers of the level, F a value
//! `[dim][n]`. Of the level's (c_in, c_x, c_f) a network forwards takes with c_in and gives with (c_x, c_f); its way back
//! takes a cotangent with c_f and gives with (c_x, c_in).

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use launch::{Part, Rows};
