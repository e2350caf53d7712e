//! Check, configure, launch.

use super::kernel::{BeganLaunch, MildKey, increments_kernel};
use crate::device::{Buf, Device};
use crate::error::{Result, enough};
use crate::passes::weights::kernel::TallyKey;
use crate::passes::weights::{RECORD, Weights};
use crate::passes::{Number, Sharing, Work, allows};
use crate::prims::state::Population;

/// What is done to increments, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Milder {
    /// Cut at this quantile of the group's, in (0, 1).
    pub quantile: Option<f32>,
    /// Their mean is taken off.
    pub centre: bool,
    /// Cut to this distance from zero.
    pub clamp: Option<f32>,
}

/// Everything that a pass over increments binds.
#[derive(Debug, Clone, Copy)]
pub struct Increments<'a> {
    /// What is done.
    pub milder: Milder,
    /// Log-weights before the step `[stride]`.
    pub before: &'a Buf<f32>,
    /// Log-weights after it `[stride]`.
    pub after: &'a Buf<f32>,
    /// Log-weights that survivors began with, by parents, `[stride]`; nothing where they began with 0.
    pub handed: Option<&'a Buf<f32>>,
    /// Parents of the step.
    pub ancestors: &'a Buf<u32>,
    /// Group records from before the step.
    pub norms: &'a Buf<f32>,
    /// Block records.
    pub records: &'a Buf<u32>,
    /// Means that were taken off, `[rows, groups]`.
    pub centres: &'a Buf<f32>,
    /// Sizes.
    pub of: &'a Population,
}

/// Looks at every particle, with a quantile: for each bit of it one, to count, to add up and to write.
const LOOKS: u64 = 36;

impl Increments<'_> {
    fn check(&self, device: &Device, sharing: Sharing, step: Number) -> Result<()> {
        let of = self.of;
        let steps = step.rows();
        enough(&[
            ("log-weights before", self.before.len(), of.stride()),
            ("log-weights after", self.after.len(), of.stride()),
            ("log-weights handed on", self.handed.unwrap_or(self.before).len(), of.stride()),
            ("ancestors", self.ancestors.len(), of.stride()),
            ("group records", self.norms.len(), RECORD * of.groups),
            ("block records", self.records.len(), RECORD * of.groups * of.blocks()),
            ("centres", self.centres.len(), of.groups * steps),
        ])?;
        allows(device, "turns of the loops over increments", LOOKS, sharing, of)
    }

    /// Changes log-weights and their records.
    pub fn launch<'b>(&'b self, device: &Device, step: impl Into<Number<'b>>) -> Result<()> {
        let (step, of) = (step.into(), self.of);
        let sharing = Sharing::of(device, of.block());
        self.check(device, sharing, step)?;
        let tally = TallyKey { kind: Weights::Log, wide: device.is_cpu(), sharing };
        let Milder { quantile, centre, clamp } = self.milder;
        let (cut, clamped) = (quantile.is_some(), clamp.is_some());
        let key = MildKey { quantile: cut, centre, clamp: clamped, handed: self.handed.is_some(), tally };
        increments_kernel::launch(
            device.client(),
            sharing.cubes(device, of.groups),
            sharing.dim(),
            of.lanes,
            BeganLaunch::new(
                self.before.arg(),
                self.handed.unwrap_or(self.before).arg(),
                self.ancestors.arg(),
                self.norms.arg(),
            ),
            self.after.arg(),
            self.records.arg(),
            self.centres.arg(),
            step.cell(self.ancestors).arg(),
            of.arg(),
            quantile.unwrap_or(1.0),
            clamp.unwrap_or(0.0),
            step.word(),
            key,
        );
        device.launched(work(of))
    }
}

/// Bytes: both log-weights read, one written, and the records of the blocks.
pub fn work(of: &Population) -> Work {
    let records = 4 * (RECORD * of.groups * of.blocks()) as u64;
    let slots = 4 * of.stride() as u64;
    Work { read: 2 * slots, written: slots + records + 4 * of.groups as u64 }
}
