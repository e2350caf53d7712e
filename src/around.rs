//! What a run may do around its resampling, and what it keeps of it: docs/maths.md (3.1), (3.2), (12).

use crate::coeffs::weighs;
use crate::error::{Error, Result};
use crate::options::{MOST_SWEEPS, Options};
use crate::registry::Scheme;

impl Options {
    /// Whether the parents of every step are kept on the device, and the positions.
    pub fn keeps_paths(&self) -> (bool, bool) {
        let positions = self.paths || self.refine > 0;
        (self.genealogy || positions, positions)
    }

    /// Whether the log-weights of every step are kept on the device.
    pub fn keeps_weights(&self) -> bool {
        self.tails && weighs(self)
    }

    /// Whether particles are resampled by other weights than their own: docs/maths.md (3.1).
    pub fn priorities(&self) -> bool {
        self.temper < 1.0 || self.partial < 1.0
    }

    /// Whether what steps add to log-weights is changed: docs/maths.md (3.2).
    pub fn milder(&self) -> bool {
        self.quantile.is_some() || self.centre || self.clamp.is_some()
    }

    pub(crate) fn check_increments(&self) -> Result<()> {
        if let Some(share) = self.quantile.filter(|q| !(*q > 0.0 && *q < 1.0)) {
            return Err(Error::input("quantile", share, "a number above 0 and below 1"));
        }
        match self.clamp.filter(|most| !(*most > 0.0 && most.is_finite())) {
            Some(most) => Err(Error::input("clamp", most, "a finite number above 0")),
            None => Ok(()),
        }
    }

    pub(crate) fn check_priorities(&self) -> Result<()> {
        for (what, share) in [("temper", self.temper), ("partial", self.partial)] {
            if !(share > 0.0 && share <= 1.0) {
                return Err(Error::input(what, share, "a number in (0, 1]"));
            }
        }
        if self.temper < 1.0 && self.partial < 1.0 {
            let found = format!("{} beside temper {}", self.partial, self.temper);
            return Err(Error::input("partial", found, "one of the two"));
        }
        if self.priorities() && self.scheme.jumps() {
            let wanted = "1 with birth and death, which leave no weights";
            let what = if self.temper < 1.0 { "temper" } else { "partial" };
            return Err(Error::input(what, self.temper.min(self.partial), wanted));
        }
        let spaced = matches!(self.scheme, Scheme::Systematic | Scheme::Stratified);
        if self.partial < 1.0 && !spaced {
            let found = format!("{} with {:?}", self.partial, self.scheme);
            let wanted =
                "systematic or stratified: other schemes move particles that are not to be resampled";
            return Err(Error::input("partial", found, wanted));
        }
        Ok(())
    }

    pub(crate) fn check_refine(&self) -> Result<()> {
        if self.paths && self.langevin.moves > 0 {
            return Err(Error::input("paths", "beside langevin", "one of the two"));
        }
        if self.refine == 0 {
            return Ok(());
        }
        if self.refine > MOST_SWEEPS {
            return Err(Error::input("refine", self.refine, format!("0 to {MOST_SWEEPS} sweeps")));
        }
        if self.particles < 2 {
            return Err(Error::input("particles", self.particles, "at least 2 with refine: one is retained"));
        }
        if !(self.weights && self.method.row().needs.weights) {
            return Err(Error::input(
                "refine",
                "sweeps without weights",
                "a method that weighs its particles",
            ));
        }
        let beside = [
            ("langevin", self.langevin.moves > 0),
            ("temper", self.temper < 1.0),
            ("partial", self.partial < 1.0),
            ("increments that are changed", self.milder()),
            ("a target beyond constant powers", self.follows()),
        ];
        if let Some((what, _)) = beside.iter().find(|(_, on)| *on) {
            return Err(Error::input("refine", format!("sweeps with {what}"), "neither of them"));
        }
        if self.scheme.conditional().is_none() {
            let found = format!("{:?} with refine", self.scheme).to_lowercase();
            return Err(Error::input("scheme", found, "systematic or multinomial"));
        }
        Ok(())
    }
}
