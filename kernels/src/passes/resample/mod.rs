//! Normalisation, the decision, and resampling, in one launch: docs/maths.md (3), (6).
//!
//! From the block records of the weights pass: log-sum-exp, ESS and evidence increment of each group,
//! and whether its ESS is below the share asked for. Where it is, with S the sum of the integer weights
//! and u uniform in [0, S), slot j of K descends from the first i whose inclusive prefix exceeds
//! (j S + u) / K: every offspring count is floor or ceil of K q_i / S, exactly, at any K, and ancestors
//! never decrease. A group that is not resampled keeps the ancestors that are there.
//!
//! `norms` `[groups, 4]` and row `step` of `history` `[steps, groups, 4]` get (E, s, q, decision): the
//! exponent of the largest weight, sum and sum of squares in units of 2^E; 0 keep, 1 resample, -1 every
//! weight is zero, -2 a weight was NaN or too large.
//!
//! Conditional schemes, (6.4), leave slot 0 its own particle and draw the other slots given that they did.
//!
//! The other schemes, (6.1) and (6.2), are drawn: leaf by leaf of independent points, a slot searching for its
//! particle, or without sums at all. Residual resampling has a launch of its own before.
//!
//! Load balance: a group's blocks and slots form one path, on which a block costs its length and a slot one;
//! workers get equal pieces of the path, whatever the weights (merge path: S. Odeh, O. Green, Z. Mwassi, O. Shmueli, Y. Birk, 2012).
//! O. Hol, T. Schon, F. Gustafsson, "On resampling algorithms for particle filters", 2006.

mod alone;
pub(crate) mod kernel;
pub(crate) mod kernel_copies;
pub(crate) mod kernel_cube;
pub(crate) mod kernel_draws;
pub(crate) mod kernel_draws_cube;
pub(crate) mod kernel_draws_serial;
pub(crate) mod kernel_lay;
pub(crate) mod kernel_local;
pub(crate) mod kernel_serial;
mod launch;
mod launch_draws;
pub mod oracle;
mod scheme;

pub use alone::Alone;
pub use launch::{Resampling, work};
pub use launch_draws::work_copies;
pub(crate) use scheme::iteration;
pub use scheme::{CHAIN_STEPS, MOST_CHAIN_STEPS, Scheme, TRIALS};
