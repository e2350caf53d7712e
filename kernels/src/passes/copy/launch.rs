//! Check, configure, launch.

use super::kernel::copy_kernel;
use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::passes::{Sharing, Work};

/// Copies `from` into `to`, from element `first` on; fastest where that and both lengths are multiples of 64.
pub fn copy(device: &Device, from: &Buf<f32>, to: &Buf<f32>, first: usize) -> Result<()> {
    let len = from.len();
    if to.len() < first + len {
        return Err(argument("copy", to.len(), first + len));
    }
    let lanes = match [len, to.len(), first].iter().all(|n| n.is_multiple_of(64)) {
        true if device.is_cpu() => device.lanes(),
        true => 4,
        false => 1,
    };
    let vectors = len / lanes;
    let sharing = Sharing::apart(device);
    copy_kernel::launch(
        device.client(),
        sharing.cubes(device, vectors),
        sharing.dim(),
        lanes,
        from.arg_of(lanes),
        to.arg_of(lanes),
        (first / lanes) as u32,
        vectors as u32,
        device.is_cpu(),
    );
    device.launched(Work { read: from.bytes(), written: from.bytes() })
}
