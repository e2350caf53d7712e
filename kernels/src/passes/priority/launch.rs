//! Check, configure, launch.

use super::ORDER;
use super::kernel::priority_kernel;
use crate::device::{Buf, Device};
use crate::error::{Result, enough};
use crate::methods::ROW;
use crate::passes::weights::kernel::TallyKey;
use crate::passes::weights::{RECORD, Weights};
use crate::passes::{Number, Sharing, Work};
use crate::prims::state::Population;

/// Everything that priorities bind.
#[derive(Debug, Clone, Copy)]
pub struct Priority<'a> {
    /// Log-weights `[stride]`.
    pub log_w: &'a Buf<f32>,
    /// Their block records.
    pub records: &'a Buf<u32>,
    /// Coefficient table; column [`crate::methods::ESS_SHARE`] decides.
    pub coeffs: &'a Buf<f32>,
    /// What priorities are, [`ORDER`] words a row.
    pub table: &'a Buf<u32>,
    /// Group records of the weights, with the decision.
    pub norms: &'a Buf<f32>,
    /// The same of all steps.
    pub history: &'a Buf<f32>,
    /// Logarithms of the priorities `[stride]`; of a group that is not resampled, weight zero.
    pub priorities: &'a Buf<f32>,
    /// Log-weights that particles hand on to their offspring `[stride]`.
    pub handed: &'a Buf<f32>,
    /// Block records of the priorities.
    pub own_records: &'a Buf<u32>,
    /// Sizes.
    pub of: &'a Population,
}

impl Priority<'_> {
    fn check(&self, step: Number) -> Result<()> {
        let of = self.of;
        let steps = step.rows();
        let records = RECORD * of.groups * of.blocks();
        enough(&[
            ("log-weights", self.log_w.len(), of.stride()),
            ("block records", self.records.len(), records),
            ("coefficient table", self.coeffs.len(), ROW * steps),
            ("table of priorities", self.table.len(), ORDER * steps),
            ("group records", self.norms.len(), RECORD * of.groups),
            ("history", self.history.len(), RECORD * of.groups * steps),
            ("priorities", self.priorities.len(), of.stride()),
            ("log-weights handed on", self.handed.len(), of.stride()),
            ("block records of priorities", self.own_records.len(), records),
        ])
    }

    /// Decides for every group, and writes the priorities of those that are to be resampled.
    pub fn launch<'b>(&'b self, device: &Device, step: impl Into<Number<'b>>) -> Result<()> {
        let step = step.into();
        self.check(step)?;
        let of = self.of;
        let sharing = Sharing::of(device, of.block());
        let key = TallyKey { kind: Weights::Log, wide: device.is_cpu(), sharing };
        priority_kernel::launch(
            device.client(),
            sharing.cubes(device, of.groups * of.blocks()),
            sharing.dim(),
            of.lanes,
            self.log_w.arg(),
            self.records.arg(),
            self.coeffs.arg(),
            self.table.arg(),
            self.norms.arg(),
            self.history.arg(),
            self.priorities.arg(),
            self.handed.arg(),
            self.own_records.arg(),
            step.cell(self.table).arg(),
            of.arg(),
            step.word(),
            key,
        );
        device.launched(work(of))
    }
}

/// Bytes: a log-weight read, two written, and the records of the blocks.
pub fn work(of: &Population) -> Work {
    let records = 4 * (RECORD * of.groups * of.blocks()) as u64;
    let slots = 4 * of.stride() as u64;
    Work { read: slots + records, written: 2 * slots + records + 8 * (RECORD * of.groups) as u64 }
}
