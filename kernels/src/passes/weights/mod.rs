//! Normalisation of log-weights: docs/maths.md (3).
//!
//! With m = max log w, s = sum exp(log w - m), q = sum exp(2 (log w - m)) of a group of K:
//! log-sum-exp m + ln s, ESS s^2 / q, evidence increment m + ln s - ln K. One pass over the block
//! records that the step left; the decision "ESS below share * K" is taken here, on the device.
//! `norms` `[groups, 4]` and row `step` of `history` `[steps, groups, 4]` get (m, s, q, decision);
//! decision: 0 keep, 1 resample, -1 every weight is zero, -2 a log-weight was NaN or +infinity.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use launch::normalise;

/// Numbers of a record.
pub const RECORD: usize = 4;
