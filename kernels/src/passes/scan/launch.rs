//! Check, configure, launch.

use super::kernel::{Source, offsets_kernel, prefix_kernel, totals_kernel};
use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::passes::{Sharing, Work};
use crate::prims::monoid::Monoid;
use crate::prims::state::Population;

/// Buffers of a scan.
#[derive(Debug, Clone)]
pub struct Scan {
    /// An element a block.
    pub totals: Buf<u32>,
    /// An element a block, then one a group: its total.
    pub offsets: Buf<u32>,
    /// An element a slot.
    pub prefix: Buf<u32>,
}

impl Scan {
    /// Buffers for elements of `words` words.
    pub fn new(device: &Device, of: &Population, words: usize) -> Result<Self> {
        let blocks = of.groups * of.blocks();
        Ok(Self {
            totals: device.empty("scan totals", words * blocks)?,
            offsets: device.empty("scan offsets", words * (blocks + of.groups))?,
            prefix: device.empty("scan prefix", words * of.stride())?,
        })
    }
}

fn check(input: &Buf<f32>, of: &Population) -> Result<()> {
    if of.slots == 0 || of.groups == 0 {
        return Err(argument("particles", 0, "at least 1"));
    }
    if input.len() < of.stride() {
        return Err(argument("scan input", input.len(), format!("{} numbers", of.stride())));
    }
    Ok(())
}

/// One element a block.
pub fn block_totals<M: Monoid, S: Source<M>>(
    device: &Device,
    input: &Buf<f32>,
    totals: &Buf<u32>,
    of: &Population,
) -> Result<()> {
    check(input, of)?;
    let sharing = Sharing::of(device, of.block());
    totals_kernel::launch::<M, S>(
        device.client(),
        sharing.cubes(device, of.groups * of.blocks()),
        sharing.dim(),
        input.arg(),
        totals.arg(),
        of.arg(),
        sharing,
    );
    device.launched(Work { read: input.bytes(), written: totals.bytes() })
}

/// Inclusive prefix of every element of every group.
pub fn scan<M: Monoid, S: Source<M>>(
    device: &Device,
    input: &Buf<f32>,
    into: &Scan,
    of: &Population,
) -> Result<()> {
    block_totals::<M, S>(device, input, &into.totals, of)?;
    let sharing = Sharing::of(device, of.blocks());
    offsets_kernel::launch::<M>(
        device.client(),
        sharing.cubes(device, of.groups),
        sharing.dim(),
        into.totals.arg(),
        into.offsets.arg(),
        of.arg(),
        sharing,
    );
    device.launched(Work { read: into.totals.bytes(), written: into.offsets.bytes() })?;
    let sharing = Sharing::of(device, of.block());
    prefix_kernel::launch::<M, S>(
        device.client(),
        sharing.cubes(device, of.groups * of.blocks()),
        sharing.dim(),
        input.arg(),
        into.offsets.arg(),
        into.prefix.arg(),
        of.arg(),
        sharing,
    );
    device.launched(Work { read: input.bytes() + into.offsets.bytes(), written: into.prefix.bytes() })
}
