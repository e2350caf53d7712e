//! Weights as integers, block by block: docs/maths.md (3), (6).
//!
//! A weight is mantissa 2^exponent. With E the largest exponent of a block, its weights in units of
//! 2^(E - bits) become integers, truncated; a block's record is (E, their sum in two words, the sum
//! of squares of the weights in units of 2^E). Integer sums are exact and powers of two bring blocks
//! to one scale, so prefix sums are the same for any number of cubes, threads or blocks at a time,
//! and nothing needs a second look at the weights before the offsets of the blocks are known.
//!
//! The step leaves these records behind; [`tally`] makes them of weights that came from elsewhere.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use kernel::Weights;
pub use launch::tally;

/// Words of a block's record, and numbers of a group's.
pub const RECORD: usize = 4;
/// The exponent of a weight of zero.
pub const NO_WEIGHT: i32 = -2_000_000_000;
/// The exponent of a weight that is not a number, or too large.
pub const BAD_WEIGHT: i32 = 2_000_000_000;
/// Log-weights are within this distance of zero, or count as zero below and as bad above.
pub const LARGEST_LOG_WEIGHT: f32 = 9.0e7;
