//! Check, configure, launch.

use super::kernel::{copy_kernel, widen_kernel};
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

/// Copies `rows` rows of `dim` numbers of `from`, from element `first` on, into `to` `[rows, 2, dim]`, each before zeros.
pub fn widen(
    device: &Device,
    (from, first): (&Buf<f32>, usize),
    to: &Buf<f32>,
    rows: usize,
    dim: usize,
) -> Result<()> {
    let cells = rows * dim;
    if cells == 0 || from.len() < first + cells || to.len() < 2 * cells {
        let found = format!("{} to {}", from.len(), to.len());
        return Err(argument("widen", found, format!("{} to {}, above 0", first + cells, 2 * cells)));
    }
    let sharing = Sharing::apart(device);
    widen_kernel::launch(
        device.client(),
        sharing.cubes(device, cells),
        sharing.dim(),
        from.arg(),
        to.arg(),
        first as u32,
        rows as u32,
        dim as u32,
        device.is_cpu(),
    );
    device.launched(Work { read: 4 * cells as u64, written: 8 * cells as u64 })
}
