//! Check, configure, launch.

use super::RECORD;
use super::kernel::normalise_kernel;
use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::methods::ROW;
use crate::passes::Sharing;
use crate::prims::state::Population;

/// Writes each group's record of step `step` into `norms` and `history`.
pub fn normalise(
    device: &Device,
    blocks: &Buf<u32>,
    coeffs: &Buf<f32>,
    norms: &Buf<f32>,
    history: &Buf<f32>,
    of: &Population,
    step: usize,
) -> Result<()> {
    if blocks.len() < RECORD * of.groups * of.blocks() {
        return Err(argument("block records", blocks.len(), RECORD * of.groups * of.blocks()));
    }
    if coeffs.len() < ROW * (step + 1) {
        return Err(argument("coefficient table", coeffs.len(), ROW * (step + 1)));
    }
    if norms.len() < RECORD * of.groups {
        return Err(argument("group records", norms.len(), RECORD * of.groups));
    }
    if history.len() < RECORD * of.groups * (step + 1) {
        return Err(argument("history", history.len(), RECORD * of.groups * (step + 1)));
    }
    let sharing = Sharing::of(device, of.blocks());
    normalise_kernel::launch(
        device.client(),
        sharing.cubes(device, of.groups),
        sharing.dim(),
        blocks.arg(),
        coeffs.arg(),
        norms.arg(),
        history.arg(),
        of.arg(),
        step as u32,
        sharing,
    );
    device.launched(blocks.bytes() + norms.bytes())
}
