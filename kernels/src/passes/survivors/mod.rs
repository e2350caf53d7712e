//! From weights to the rows of the survivors: block records, decision, ancestors, and rows, in one launch
//! where a group stays with one crew ([`crate::passes::steps`]), in three otherwise. For those who resample
//! particles of their own; a launch costs more than resampling some ten thousand of them.
//!
//! The oracles are those of the three passes, and so are the bits.

pub(crate) mod kernel;
mod launch;

pub use launch::{Rows, launch};
