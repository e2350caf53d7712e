//! The kernels of twisted chains of frames.

use std::sync::Arc;

use cubecl::prelude::*;

use super::target::properties;
use super::{Blank, LANES, Offline, UNITS};
use crate::passes::scaffold::kernel_aim::{pull_kernel, told_kernel};
use crate::passes::scaffold::kernel_move::{advance_kernel, noise_kernel};
use crate::passes::scaffold::kernel_psi::psi_kernel;
use crate::prims::state::Layout;

/// Every one, one particle a unit.
pub(super) fn all(list: &mut Vec<Offline>) {
    let layout = Layout::Columns;
    list.push(entry!("", noise_kernel::NoiseKernel(
        x log_w numbers seeds shape frames; LANES, layout, false
    )));
    list.push(entry!("", told_kernel::ToldKernel(
        x scores denoised components means precisions numbers shape frames count level; LANES, layout
    )));
    list.push(entry!("", psi_kernel::PsiKernel(
        denoised slopes log_psi log_w motif offsets turns numbers shape frames level; LANES, layout, false
    )));
    list.push(entry!("", pull_kernel::PullKernel(
        x scores slopes pulls components precisions numbers shape frames count level; LANES, layout
    )));
    list.push(entry!("", advance_kernel::AdvanceKernel(
        before x log_w numbers shape frames step; LANES, layout, false
    )));
}
