//! An energy made of a network's output, and its gradient: docs/maths.md (9.3). Y. Du et al., "Reduce, Reuse, Recycle",
//! 2023 (arXiv 2302.11552).
//!
//! With x as the network is shown it and f what it says, E is |f|^2/2, |f - x|^2 or <x, f>. `seed` writes E and what goes
//! back through the network, dE/df; from what comes out there, `gradient` makes dE/dx. Rows `[count, dim]`, what the
//! network says `[conditions, count, dim]`, each row-major.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use launch::{Energies, EnergyLevel};

/// How a network f of as many outputs as inputs becomes an energy E.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Energy {
    /// |f(x)|^2/2.
    Square,
    /// |f(x) - x|^2.
    Residual,
    /// <x, f(x)>.
    Dot,
}

impl Energy {
    /// Every energy with its name in a configuration.
    pub const NAMES: [(&str, Energy); 3] = [
        ("energy-square", Energy::Square),
        ("energy-residual", Energy::Residual),
        ("energy-dot", Energy::Dot),
    ];
}

impl std::fmt::Display for Energy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = Self::NAMES.iter().find(|(_, energy)| energy == self).map(|(name, _)| *name);
        f.write_str(name.unwrap_or_default())
    }
}
