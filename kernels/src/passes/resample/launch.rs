//! Check, configure, launch.

use super::kernel::{SearchKey, ancestors_kernel};
use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::passes::Sharing;
use crate::passes::scan::{FixedWeights, Scan, scan};
use crate::prims::monoid::FixedSum;
use crate::prims::state::Population;

/// What the numbers to resample by are.
#[derive(Clone, Copy, Debug)]
pub enum Weights {
    /// Log-weights; a group's record is (maximum, sum of exp(log-weight - maximum), ...).
    Log,
    /// Weights; a group's record is (2^-e that brings all of them to at most 1 and one above 1/2, their sum
    /// after that, ...).
    Linear,
}

/// Buffers of a resampling.
#[derive(Debug, Clone)]
pub struct Resampler {
    scan: Scan,
}

impl Resampler {
    /// Buffers for a population of at most 2^28 particles a group.
    pub fn new(device: &Device, of: &Population) -> Result<Self> {
        if of.slots == 0 || of.slots > 1 << 28 {
            return Err(argument("particles of a group", of.slots, "1 to 2^28"));
        }
        Ok(Self { scan: Scan::new(device, of, 2)? })
    }

    /// Ancestors of every group whose record `norms[4 g + 3]` is 1; others keep what is there.
    #[allow(clippy::too_many_arguments)]
    pub fn systematic(
        &self,
        device: &Device,
        kind: Weights,
        weights: &Buf<f32>,
        norms: &Buf<f32>,
        seeds: &Buf<u32>,
        ancestors: &Buf<u32>,
        of: &Population,
        step: usize,
    ) -> Result<()> {
        if ancestors.len() < of.stride() {
            return Err(argument("ancestors", ancestors.len(), of.stride()));
        }
        if seeds.len() < 2 * of.groups {
            return Err(argument("seeds", seeds.len(), 2 * of.groups));
        }
        let scale = match kind {
            Weights::Log => 1.0,
            Weights::Linear => -1.0,
        };
        scan::<FixedSum, FixedWeights>(device, weights, norms, &self.scan, of, scale)?;
        let sharing = Sharing::of(device, of.block());
        ancestors_kernel::launch(
            device.client(),
            sharing.cubes(device, of.groups * of.blocks()),
            sharing.dim(),
            self.scan.prefix.arg(),
            self.scan.offsets.arg(),
            norms.arg(),
            seeds.arg(),
            ancestors.arg(),
            of.arg(),
            step as u32,
            SearchKey { walk: device.is_cpu(), sharing },
        );
        device.launched(self.scan.prefix.bytes() + ancestors.bytes())
    }
}
