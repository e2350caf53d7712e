//! Whole-array inclusive prefix products over a `Monoid`, group by group: totals of blocks, an
//! exclusive scan of the totals, then each block again from its offset. Reduce, then scan: no cube
//! waits for another.
//!
//! Input `[groups * padded]` f32, output `words` 32-bit words an element.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use kernel::{Integers, LogWeights, Maxima, Source, Values};
pub use launch::{Scan, block_totals, scan};
