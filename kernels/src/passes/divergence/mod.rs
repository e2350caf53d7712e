//! The divergence of a network's field, along axes or along random signs: docs/maths.md (9.4). M. F. Hutchinson, "A
//! stochastic estimator of the trace of the influence matrix", 1990.
//!
//! For each probe `probe` writes the vector v of every particle, the network takes it back, and `tally` adds v' J v to
//! (sum, sum of squares) of the particle and, after the last one, tells the divergence. Rows `[count, dim]`, row-major; the
//! particles of a group follow each other, `slots` of them.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use launch::{Probes, Tally};

/// Along what a divergence is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Along {
    /// Every axis: exact.
    Axes,
    /// So many vectors of random signs: an unbiased estimate.
    Signs(u32),
}

impl Along {
    /// How many probes that is of `dim` coordinates.
    pub fn probes(self, dim: usize) -> u32 {
        match self {
            Along::Axes => dim as u32,
            Along::Signs(probes) => probes,
        }
    }
}
