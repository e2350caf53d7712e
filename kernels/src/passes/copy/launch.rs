//! Check, configure, launch.

use cubecl::prelude::*;

use super::kernel::copy_kernel;
use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::passes::Work;

/// Copies `from` to `to`, a multiple of 64 numbers.
pub fn copy(device: &Device, from: &Buf<f32>, to: &Buf<f32>) -> Result<()> {
    let len = from.len();
    if !len.is_multiple_of(64) {
        return Err(argument("numbers to copy", len, "a multiple of 64"));
    }
    if to.len() < len {
        return Err(argument("copy", to.len(), len));
    }
    let lanes = if device.is_cpu() { device.lanes() } else { 4 };
    let vectors = len / lanes;
    let cubes = if device.is_cpu() { 1 } else { vectors.div_ceil(device.units() as usize).min(65_535) };
    copy_kernel::launch(
        device.client(),
        CubeCount::Static(cubes as u32, 1, 1),
        CubeDim::new_1d(device.units()),
        lanes,
        from.arg(),
        to.arg(),
        vectors as u32,
        device.is_cpu(),
    );
    device.launched(Work { read: from.bytes(), written: from.bytes() })
}
