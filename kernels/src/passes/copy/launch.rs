//! Check, configure, launch.

use super::kernel::copy_kernel;
use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::passes::{Sharing, Work};

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
    let sharing = Sharing::apart(device);
    copy_kernel::launch(
        device.client(),
        sharing.cubes(device, vectors),
        sharing.dim(),
        lanes,
        from.arg_of(lanes),
        to.arg_of(lanes),
        vectors as u32,
        device.is_cpu(),
    );
    device.launched(Work { read: from.bytes(), written: from.bytes() })
}
