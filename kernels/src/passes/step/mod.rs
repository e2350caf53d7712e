//! One step of every particle: docs/maths.md (7), (8).
//!
//! Gather through the ancestors, move, evaluate the score, add to the log-weight, and leave a record of
//! integer weights a block (see the weights pass). Analytic scores do all of it in one launch; a network
//! splits it in two ([`Stage::Move`], [`Stage::Weigh`]) with its own launches between.
//!
//! The trapezoid and the exact rule weigh by the scores at both ends of a step: they are evaluated at x'
//! and carried, models * dim rows (of methods that follow, `kernel_follow`: dim rows of the score to follow). The left rule needs them at x alone and carries nothing. Beside x and
//! the scores, as far as they are kept ([`Keeps`]): log-weight, log-density, root ancestor. All are read
//! through the ancestors.

pub(crate) mod carried;
mod feed;
pub(crate) mod kernel;
mod kernel_estimate;
mod kernel_follow;
mod kernel_move;
mod kernel_twist;
pub(crate) mod key;
mod launch;
pub mod oracle;
pub mod oracle_twist;

pub use carried::{Carried, Cells, Keeps};
pub use feed::Feed;
pub use key::{Scratch, Stage, StepKey};
pub use launch::{Named, Step};
