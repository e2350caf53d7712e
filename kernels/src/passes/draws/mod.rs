//! The random numbers themselves, written out: for tests, and for those who time them.
//!
//! For slot i of n and one coordinate block: words `[n, 4]`, uniforms `[n, 4]`, normals `[n, 4]`.
//! [`normals`] writes normals alone, as fast as they come. The samplers never do either; they draw in
//! registers.

pub(crate) mod kernel;
mod launch;

pub use launch::{Draws, draws, normals};
