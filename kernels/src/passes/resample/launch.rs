//! Check, configure, launch.

use super::kernel_cube::resample_kernel;
use super::kernel_serial::resample_serial_kernel;
use super::scheme::Scheme;
use crate::device::{Buf, Device};
use crate::error::{Result, argument, enough};
use crate::methods::ROW;
use crate::passes::weights::kernel::TallyKey;
use crate::passes::weights::{RECORD, Weights};
use crate::passes::{Number, Sharing, Work};
use crate::prims::state::{BLOCK, Population};

/// Pieces of all groups that a GPU is busy with.
const PIECES: usize = 512;

/// Everything a resampling binds.
#[derive(Debug, Clone, Copy)]
pub struct Resampling<'a> {
    /// How ancestors are drawn.
    pub scheme: Scheme,
    /// What `values` are.
    pub kind: Weights,
    /// Weights or log-weights `[stride]`.
    pub values: &'a Buf<f32>,
    /// Block records of them, from the step or from [`crate::passes::weights::tally`].
    pub records: &'a Buf<u32>,
    /// Residual resampling: records of the blocks' parts, as many words as `records`, which
    /// [`Self::launch_copies`] fills; other schemes do not look at it.
    pub parts: &'a Buf<u32>,
    /// Coefficient table; column [`crate::methods::ESS_SHARE`] decides.
    pub coeffs: &'a Buf<f32>,
    /// Group records.
    pub norms: &'a Buf<f32>,
    /// Group records of all steps.
    pub history: &'a Buf<f32>,
    /// Seeds.
    pub seeds: &'a Buf<u32>,
    /// Parents within the group; untouched where a group is not resampled.
    pub ancestors: &'a Buf<u32>,
    /// Sizes.
    pub of: &'a Population,
}

impl Resampling<'_> {
    pub(crate) fn check(&self, step: Number) -> Result<()> {
        let of = self.of;
        let steps = step.rows();
        if of.slots == 0 || of.groups == 0 || of.slots > 1 << 28 {
            return Err(argument("particles of a group", of.slots, "1 to 2^28"));
        }
        enough(&[
            ("weights", self.values.len(), of.stride()),
            ("block records", self.records.len(), RECORD * of.groups * of.blocks()),
            ("coefficient table", self.coeffs.len(), ROW * steps),
            ("group records", self.norms.len(), RECORD * of.groups),
            ("history", self.history.len(), RECORD * of.groups * steps),
            ("seeds", self.seeds.len(), 2 * of.groups),
            ("ancestors", self.ancestors.len(), of.stride()),
        ])
    }

    pub(super) fn tally(&self, device: &Device) -> TallyKey {
        let sharing = Sharing::of(device, self.of.block());
        TallyKey { kind: self.kind, wide: device.is_cpu(), sharing }
    }

    /// Decides for every group, and resamples those that need it.
    pub fn launch<'b>(&'b self, device: &Device, step: impl Into<Number<'b>>) -> Result<()> {
        let step = step.into();
        self.check(step)?;
        let of = self.of;
        if self.launch_drawn(device, step)? {
            return device.launched(work(of));
        }
        let key = self.tally(device);
        let sharing = key.sharing;
        let client = device.client();
        let (values, records, coeffs) = (self.values.arg(), self.records.arg(), self.coeffs.arg());
        let (norms, history) = (self.norms.arg(), self.history.arg());
        let (seeds, ancestors, shape) = (self.seeds.arg(), self.ancestors.arg(), of.arg());
        let (clock, step) = (step.cell(self.seeds).arg(), step.word());
        if sharing.together {
            // Each cube adds up all blocks of its group before it starts.
            let fewer = device.is_cuda() && of.block() <= BLOCK;
            let most = if fewer { (PIECES / of.groups).max(1) } else { usize::MAX };
            let pieces = of.blocks().min(most);
            let (cubes, dim) = (sharing.cubes(device, of.groups * pieces), sharing.dim());
            resample_kernel::launch(
                client,
                cubes,
                dim,
                values,
                records,
                coeffs,
                norms,
                history,
                seeds,
                ancestors,
                clock,
                shape,
                step,
                pieces as u32,
                key,
            );
        } else {
            // Few groups are cut up for the threads; many are not.
            let units = device.units() as usize;
            let pieces = if of.groups >= 8 * units { 1 } else { units.min(of.blocks()) };
            let (cubes, dim) = (sharing.cubes(device, of.groups * pieces), sharing.dim());
            resample_serial_kernel::launch(
                client,
                cubes,
                dim,
                of.lanes,
                values,
                records,
                coeffs,
                norms,
                history,
                seeds,
                ancestors,
                clock,
                shape,
                step,
                pieces as u32,
                key,
            );
        }
        device.launched(work(of))
    }
}

/// Bytes where every group is resampled: a weight read and an ancestor written.
pub fn work(of: &Population) -> Work {
    let records = 4 * (RECORD * of.groups * of.blocks()) as u64;
    let slots = 4 * of.stride() as u64;
    Work { read: slots + records, written: slots + 8 * (RECORD * of.groups) as u64 }
}
