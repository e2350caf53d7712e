//! What a step added to the log-weights, made milder: docs/maths.md (3.2). Every option but the centre biases the target.
//!
//! Between the weights and the decision, with l the log-weight that a particle began the step with: the increments
//! `after` - l of a group are cut at a quantile of theirs, their mean is taken off (and written to row `step` of `centres`
//! `[rows, groups]`, which log Z counts), and they are cut to an interval around zero; log-weights and block records
//! follow. Particles of weight zero stay as they are and do not count.
//!
//! A group belongs to one worker: a cube of a GPU, a thread of the CPU.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use launch::{Increments, Milder, work};
