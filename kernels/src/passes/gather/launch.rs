//! Check, configure, launch.

use super::kernel::gather_kernel;
use crate::device::{Buf, Device};
use crate::error::{Result, argument, enough};
use crate::passes::{Sharing, Work};
use crate::prims::state::Population;

/// Copies the row of each slot's ancestor into `out`; both are rows `[particles, dim]`.
pub fn gather(
    device: &Device,
    rows: &Buf<f32>,
    ancestors: &Buf<u32>,
    out: &Buf<f32>,
    of: &Population,
) -> Result<()> {
    let lanes = check(device, rows, ancestors, out, of)?;
    let pieces = of.dim / lanes;
    let sharing = Sharing::apart(device);
    gather_kernel::launch(
        device.client(),
        sharing.cubes(device, of.particles() * pieces),
        sharing.dim(),
        lanes,
        rows.arg_of(lanes),
        ancestors.arg(),
        out.arg_of(lanes),
        of.slots as u32,
        of.padded() as u32,
        of.groups as u32,
        pieces as u32,
        device.is_cpu(),
    );
    device.launched(work(of))
}

/// Numbers in a piece of a row: the widest vector that a row is a whole number of.
pub(crate) fn check(
    device: &Device,
    rows: &Buf<f32>,
    ancestors: &Buf<u32>,
    out: &Buf<f32>,
    of: &Population,
) -> Result<usize> {
    let cells = of.particles() * of.dim;
    if cells == 0 {
        return Err(argument("particles, groups and dimension", 0, "at least 1"));
    }
    enough(&[
        ("rows", rows.len(), cells),
        ("gathered rows", out.len(), cells),
        ("ancestors", ancestors.len(), of.stride()),
    ])?;
    let widest = if device.is_cpu() { device.lanes() } else { 4 };
    Ok((0..5).map(|p| 1 << p).filter(|l| *l <= widest && of.dim.is_multiple_of(*l)).max().unwrap_or(1))
}

/// What has to be moved.
pub(crate) fn work(of: &Population) -> Work {
    let bytes = 4 * (of.particles() * of.dim) as u64;
    Work { read: bytes + 4 * of.particles() as u64, written: bytes }
}
