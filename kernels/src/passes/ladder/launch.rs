//! Check, configure, launch.

use super::kernel::{ClimbLaunch, ladder_kernel};
use super::{HALVINGS, RUNG};
use crate::device::{Buf, Device};
use crate::error::{Result, argument, enough};
use crate::methods::ROW;
use crate::passes::weights::kernel::TallyKey;
use crate::passes::weights::{RECORD, Weights};
use crate::passes::{Number, Sharing, Work, allows};
use crate::prims::state::Population;

/// Everything that raising the weight of a reward binds.
#[derive(Debug, Clone, Copy)]
pub struct Ladder<'a> {
    /// The ESS that must be left, as a share of the particles, in (0, 1).
    pub share: f32,
    /// Steps of the run: after the last one the weight is the scheduled one, whatever the ESS.
    pub steps: usize,
    /// Log-weights `[stride]`.
    pub log_w: &'a Buf<f32>,
    /// Rewards of the particles `[stride]`.
    pub rewards: &'a Buf<f32>,
    /// Coefficient table, of which column [`crate::methods::SCHEDULED`] of row `step + 1` is what the weight goes to.
    pub coeffs: &'a Buf<f32>,
    /// Block records of the log-weights.
    pub records: &'a Buf<u32>,
    /// Weights of the reward, `[steps + 1, groups, 2]`, row `step` being there.
    pub rungs: &'a Buf<f32>,
    /// Sizes.
    pub of: &'a Population,
}

/// Looks at every particle: two for each ESS, before, all the way, and for each halving; one to write.
const LOOKS: u64 = 2 * (HALVINGS as u64 + 2) + 1;

impl Ladder<'_> {
    fn check(&self, device: &Device, sharing: Sharing, step: Number) -> Result<()> {
        let of = self.of;
        if !(self.share > 0.0 && self.share < 1.0) {
            return Err(argument("share of the ESS", self.share, "a number above 0 and below 1"));
        }
        enough(&[
            ("log-weights", self.log_w.len(), of.stride()),
            ("rewards", self.rewards.len(), of.stride()),
            ("coefficient table", self.coeffs.len(), ROW * (step.rows() + 1)),
            ("block records", self.records.len(), RECORD * of.groups * of.blocks()),
            ("weights of the reward", self.rungs.len(), RUNG * of.groups * (step.rows() + 1)),
        ])?;
        allows(device, "turns of the loops over rewards", LOOKS, sharing, of)
    }

    /// Raises the weight of every group after step `step`, and changes log-weights and their records.
    pub fn launch<'b>(&'b self, device: &Device, step: impl Into<Number<'b>>) -> Result<()> {
        let (step, of) = (step.into(), self.of);
        let sharing = Sharing::of(device, of.block());
        self.check(device, sharing, step)?;
        let key = TallyKey { kind: Weights::Log, wide: device.is_cpu(), sharing };
        ladder_kernel::launch(
            device.client(),
            sharing.cubes(device, of.groups),
            sharing.dim(),
            of.lanes,
            self.log_w.arg(),
            self.rewards.arg(),
            self.coeffs.arg(),
            self.records.arg(),
            self.rungs.arg(),
            step.cell(self.records).arg(),
            of.arg(),
            ClimbLaunch::new(self.share, self.steps as u32),
            step.word(),
            key,
        );
        device.launched(work(of))
    }
}

/// Bytes: log-weight and reward read, the first written, and the records of the blocks.
pub fn work(of: &Population) -> Work {
    let records = 4 * (RECORD * of.groups * of.blocks()) as u64;
    let slots = 4 * of.stride() as u64;
    let rungs = 4 * (RUNG * of.groups) as u64;
    Work { read: 2 * slots + rungs, written: slots + records + rungs }
}
