//! The layers of networks.

use std::sync::Arc;

use cubecl::prelude::*;

use super::target::properties;
use super::{Blank, Offline, UNITS};
use crate::passes::conv::kernel::{ConvKey, SizesCompilationArg as ConvSizes, conv_kernel};
use crate::passes::rows::kernel::{SizesCompilationArg as RowSizes, give_kernel, take_kernel};

use crate::passes::layers::kernel_pairs::{
    PairSizesCompilationArg as PairSizes, Radial, both_kernel, gaps_kernel, move_kernel, pair_sums_kernel, radial_kernel,
};

blank! {
    PairSizes { atoms pairs space channels vectors }
    ConvSizes { channels height width out to_height to_width taps stride before back groups biased bias level_numbers level others scale shift adds }
    RowSizes { dim count vectors read written level_numbers direct net level scale shift }
}

/// Convolutions by the channels of a tile, and rows in and out.
pub(super) fn layers(list: &mut Vec<Offline>) {
    for rows in [1, 2, 4, 8] {
        let key = ConvKey { rows, vectors: 1, runs: false };
        list.push(entry!(format!("{rows} channels"), conv_kernel::ConvKernel(
            from to other weights biases clock sizes; 4, rows.min(4), key
        )));
    }
    list.push(entry!("", take_kernel::TakeKernel(rows to levels clock sizes; 4, false)));
    list.push(entry!("", give_kernel::GiveKernel(rows from out levels clock sizes; 4, false)));
    pairs(list);
}

/// Pairs of atoms.
fn pairs(list: &mut Vec<Offline>) {
    for what in [Radial::Value, Radial::Back, Radial::Along] {
        let name = format!("{what:?}").to_lowercase();
        list.push(entry!(name, radial_kernel::RadialKernel(x second bumps list out sizes; 4, what, false)));
    }
    list.push(entry!("", move_kernel::MoveKernel(x w other out sizes; 4, true, false)));
    list.push(entry!("", gaps_kernel::GapsKernel(x g other list out sizes; 4, true, false)));
    list.push(entry!("", both_kernel::BothKernel(v other list out sizes; 4, true, false)));
    list.push(entry!("", pair_sums_kernel::PairSumsKernel(y other out sizes; 4, true, false)));
}
