//! Positions of all steps, and the paths through them: docs/maths.md (12.1); log-weights of all steps: (11.3).
//!
//! [`keep`] copies the positions of a level into row `level` of `[levels, dim * stride]`, as they lie, and
//! [`keep_weights`] the log-weights of a step into row `step` of `[steps, stride]`. [`trace`] goes
//! back from chosen slots of the last level, parent by parent of a genealogy `[steps, stride]`, and writes the positions
//! on the way, `[levels, paths, dim]` in f32. A particle in slot i after step s was in slot i at level s + 1, and in the
//! slot that step s - 1 chose for it at level s; at the start it was where it was after the first step.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use launch::{keep, keep_weights, trace, work, work_weights};
