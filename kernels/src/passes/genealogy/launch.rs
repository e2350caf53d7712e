//! Check, configure, launch.

use super::kernel::genealogy_kernel;
use crate::device::{Buf, Device};
use crate::error::{Result, enough};
use crate::passes::weights::RECORD;
use crate::passes::{Number, Sharing, Work};
use crate::prims::state::Population;

/// Copies the parents that step `step` chose, as its decisions in `norms` say, into row `step` of `rows`
/// `[steps, stride]`.
pub fn record(
    device: &Device,
    ancestors: &Buf<u32>,
    norms: &Buf<f32>,
    rows: &Buf<u32>,
    of: &Population,
    step: Number,
) -> Result<()> {
    let steps = step.rows();
    enough(&[
        ("ancestors", ancestors.len(), of.stride()),
        ("group records", norms.len(), RECORD * of.groups),
        ("genealogy", rows.len(), of.stride() * steps),
    ])?;
    let sharing = Sharing::apart(device);
    genealogy_kernel::launch(
        device.client(),
        sharing.cubes(device, of.stride()),
        sharing.dim(),
        ancestors.arg(),
        norms.arg(),
        rows.arg(),
        of.stride() as u32,
        of.padded() as u32,
        step.word(),
        step.cell(ancestors).arg(),
        device.is_cpu(),
    );
    device.launched(work(of))
}

/// Bytes where every group was resampled.
pub fn work(of: &Population) -> Work {
    let slots = 4 * of.stride() as u64;
    Work { read: slots, written: slots }
}
