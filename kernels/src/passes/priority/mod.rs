//! Resampling by other weights than the particles' own: docs/maths.md (3.1).
//!
//! A group whose ESS asks for it is resampled by priorities v, and each survivor keeps w/v of its parent. This pass comes
//! between the weights and the resampling: from the block records of w it decides, writes ln v of a group that is to be
//! resampled (of another weight zero, which the resampling leaves alone), ln (w/v), which the next step reads through the
//! ancestors, and block records of v. Row `step` of its table `[rows, 4]` says what v is: w to a power (word 0, an f32), or
//! w inside a window of slots (words 1 and 2, first and count; it may go around the end of the group) and their mean outside.
//!
//! J. Liu, R. Chen, T. Logvinenko, "A theoretical framework for sequential importance sampling with resampling", 2001.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use launch::{Priority, work};

/// Words in a row of the table.
pub const ORDER: usize = 4;
