//! The kernels of frames.

use std::sync::Arc;

use cubecl::prelude::*;

use super::target::properties;
use super::{Blank, LANES, Offline, UNITS};
use crate::passes::frames::First;
use crate::passes::frames::kernel::{follow_kernel, place_kernel, start_kernel, walk_kernel};
use crate::prims::state::Layout;

/// Every one, one particle a unit and, for large groups, four.
pub(super) fn all(list: &mut Vec<Offline>) {
    for lanes in [LANES, 4 * LANES] {
        for first in [First::Exact, First::Uniform] {
            list.push(entry!(format!("{first:?}, {lanes}"), start_kernel::StartKernel(
                x priors numbers angles seeds shape frames; lanes, first, Layout::Columns, false
            )));
        }
        list.push(entry!(format!("{lanes}"), walk_kernel::WalkKernel(
            x priors numbers seeds shape frames step; lanes, Layout::Columns, false
        )));
        list.push(entry!(format!("{lanes}"), place_kernel::PlaceKernel(
            x local out shape frames atoms; lanes, Layout::Columns
        )));
    }
    list.push(entry!("", follow_kernel::FollowKernel(x scores numbers seeds frames count step; 1, false)));
}
