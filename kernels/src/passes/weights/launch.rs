//! Check, configure, launch.

use super::RECORD;
use super::kernel::{TallyKey, Weights, tally_kernel};
use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::passes::{Sharing, Work};
use crate::prims::state::Population;

/// Writes the record of every block of `values` `[stride]` into `records`.
pub fn tally(
    device: &Device,
    kind: Weights,
    values: &Buf<f32>,
    records: &Buf<u32>,
    of: &Population,
) -> Result<()> {
    let blocks = of.groups * of.blocks();
    if of.slots == 0 || of.groups == 0 {
        return Err(argument("particles", 0, "at least 1"));
    }
    if values.len() < of.stride() {
        return Err(argument("weights", values.len(), of.stride()));
    }
    if records.len() < RECORD * blocks {
        return Err(argument("block records", records.len(), RECORD * blocks));
    }
    let key = TallyKey { kind, wide: device.is_cpu(), sharing: Sharing::of(device, of.block()) };
    tally_kernel::launch(
        device.client(),
        key.sharing.cubes(device, blocks),
        key.sharing.dim(),
        of.lanes,
        values.arg(),
        records.arg(),
        of.arg(),
        key,
    );
    device.launched(Work { read: 4 * of.stride() as u64, written: records.bytes() })
}
