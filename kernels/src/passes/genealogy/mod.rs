//! Who descends from whom: the parents of a step, in a row of their own; themselves where a group was not
//! resampled. For runs that keep all of their genealogy.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use launch::{record, work};
