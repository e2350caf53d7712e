//! Check, configure, launch.

use super::kernel::{births_kernel, deaths_kernel};
use crate::device::{Buf, Device};
use crate::error::{Result, enough};
use crate::methods::ROW;
use crate::passes::weights::kernel::TallyKey;
use crate::passes::weights::{RECORD, Weights};
use crate::passes::{Number, Sharing, Work, allows};
use crate::prims::state::Population;

/// Everything that jumps bind.
#[derive(Debug, Clone, Copy)]
pub struct Jumps<'a> {
    /// Log-weights `[stride]`.
    pub log_w: &'a Buf<f32>,
    /// Their block records.
    pub records: &'a Buf<u32>,
    /// Coefficient table; column [`crate::methods::ESS_SHARE`] decides.
    pub coeffs: &'a Buf<f32>,
    /// Group records of the weights, with the decision.
    pub norms: &'a Buf<f32>,
    /// The same of all steps.
    pub history: &'a Buf<f32>,
    /// Logarithms of the births `[stride]`: what rejection draws by.
    pub priorities: &'a Buf<f32>,
    /// Deaths `[stride]`.
    pub deficits: &'a Buf<f32>,
    /// Block records of the births.
    pub own_records: &'a Buf<u32>,
    /// Seeds.
    pub seeds: &'a Buf<u32>,
    /// Candidates, and then parents, within the group.
    pub ancestors: &'a Buf<u32>,
    /// What is left of each slot's clock `[stride]`; nothing where each jump draws anew.
    pub clocks: Option<&'a Buf<f32>>,
    /// Sizes.
    pub of: &'a Population,
}

impl Jumps<'_> {
    fn check(&self, device: &Device, sharing: Sharing, step: Number) -> Result<()> {
        let of = self.of;
        let steps = step.rows();
        let records = RECORD * of.groups * of.blocks();
        enough(&[
            ("log-weights", self.log_w.len(), of.stride()),
            ("block records", self.records.len(), records),
            ("coefficient table", self.coeffs.len(), ROW * steps),
            ("group records", self.norms.len(), RECORD * of.groups),
            ("history", self.history.len(), RECORD * of.groups * steps),
            ("births", self.priorities.len(), of.stride()),
            ("deaths", self.deficits.len(), of.stride()),
            ("block records of births", self.own_records.len(), records),
            ("seeds", self.seeds.len(), 2 * of.groups),
            ("ancestors", self.ancestors.len(), of.stride()),
            ("clocks", self.clocks.unwrap_or(self.deficits).len(), of.stride()),
        ])?;
        allows(device, "turns of the loops over births", 6, sharing, of)
    }

    /// Decides for every group, and writes births and deaths of those that are to jump.
    pub fn launch_births<'b>(&'b self, device: &Device, step: impl Into<Number<'b>>) -> Result<()> {
        let (step, of) = (step.into(), self.of);
        let sharing = Sharing::of(device, of.block());
        self.check(device, sharing, step)?;
        let key = TallyKey { kind: Weights::Log, wide: device.is_cpu(), sharing };
        births_kernel::launch(
            device.client(),
            sharing.cubes(device, of.groups),
            sharing.dim(),
            of.lanes,
            self.log_w.arg(),
            self.records.arg(),
            self.coeffs.arg(),
            self.norms.arg(),
            self.history.arg(),
            self.priorities.arg(),
            self.deficits.arg(),
            self.own_records.arg(),
            step.cell(self.seeds).arg(),
            of.arg(),
            step.word(),
            key,
        );
        device.launched(work_births(of))
    }

    /// Makes parents of candidates.
    pub fn launch_deaths<'b>(&'b self, device: &Device, step: impl Into<Number<'b>>) -> Result<()> {
        let (step, of) = (step.into(), self.of);
        let apart = Sharing::apart(device);
        self.check(device, apart, step)?;
        deaths_kernel::launch(
            device.client(),
            apart.cubes(device, of.stride() / of.lanes),
            apart.dim(),
            of.lanes,
            self.norms.arg(),
            self.deficits.arg(),
            self.seeds.arg(),
            self.ancestors.arg(),
            // One that this launch does not bind else.
            self.clocks.unwrap_or(self.priorities).arg(),
            step.cell(self.seeds).arg(),
            of.arg(),
            step.word(),
            self.clocks.is_some(),
        );
        device.launched(work_deaths(of, self.clocks.is_some()))
    }
}

/// Bytes: a log-weight read, births and deaths written, and the records of the blocks.
pub fn work_births(of: &Population) -> Work {
    let records = 4 * (RECORD * of.groups * of.blocks()) as u64;
    let slots = 4 * of.stride() as u64;
    Work { read: slots + records, written: 2 * slots + records + 8 * (RECORD * of.groups) as u64 }
}

/// Bytes where every group jumps.
pub fn work_deaths(of: &Population, clocks: bool) -> Work {
    let slots = 4 * of.stride() as u64;
    let kept = if clocks { slots } else { 0 };
    Work { read: 2 * slots + kept, written: slots + kept }
}
