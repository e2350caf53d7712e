//! The layers of networks.

use std::sync::Arc;

use cubecl::prelude::*;

use super::target::properties;
use super::{Blank, Offline, UNITS};
use crate::models::layers::Activation;
use crate::passes::conv::kernel::{ConvKey, SizesCompilationArg as ConvSizes, conv_kernel};
use crate::passes::layers::kernel_attend::{AttendKey, AttendSizesCompilationArg, attend_kernel};
use crate::passes::layers::kernel_attend_along::attend_along_kernel;
use crate::passes::layers::kernel_attend_back::{
    attend_keys_kernel, attend_queries_kernel, attend_sums_kernel,
};
use crate::passes::layers::kernel_frames::{
    FrameSizesCompilationArg as FrameSizes, turn_back_kernel, turn_kernel, views_back_kernel, views_kernel,
};
use crate::passes::layers::kernel_norm::{
    NormKey, NormSizesCompilationArg, norm_along_kernel, norm_back_kernel, norm_kernel,
};
use crate::passes::layers::kernel_point::{
    By, Form, PointKey, PointSizesCompilationArg, join_kernel, part_kernel, point_kernel, sums_kernel,
    upsample_kernel,
};
use crate::passes::rows::kernel::{SizesCompilationArg as RowSizes, give_kernel, take_kernel};

use crate::passes::layers::kernel_pairs::{
    PairSizesCompilationArg as PairSizes, Radial, both_kernel, gaps_kernel, move_kernel, pair_sums_kernel,
    radial_kernel,
};

blank! {
    PairSizes { atoms pairs space channels vectors }
    FrameSizes { frames places vectors }
    ConvSizes { channels height width out to_height to_width taps stride before back groups biased bias level_numbers level others scale shift adds }
    AttendSizesCompilationArg { heads channels pixels vectors over }
    NormSizesCompilationArg { groups channels pixels vectors affine level_numbers level eps }
    PointSizesCompilationArg { channels pixels vectors row level_numbers level scale shift }
    RowSizes { dim count vectors read written level_numbers direct net level space scale shift }
}

/// Convolutions by the channels of a tile, and rows in and out.
pub(super) fn layers(list: &mut Vec<Offline>) {
    for rows in [1, 2, 4, 8] {
        let key = ConvKey { rows, vectors: 1, pack: rows.min(4), runs: false };
        list.push(entry!(format!("{rows} channels"), conv_kernel::ConvKernel(
            from to other weights biases clock sizes; 4, rows.min(4), key
        )));
    }
    list.push(entry!("", take_kernel::TakeKernel(rows to levels clock sizes; 4, false)));
    list.push(entry!("", give_kernel::GiveKernel(rows from out levels clock sizes; 4, false)));
    norms(list);
    points(list);
    attention(list);
    pairs(list);
    frames(list);
}

/// Norms, with and without what follows them, three ways.
fn norms(list: &mut Vec<Offline>) {
    for act in [None, Some(Activation::Silu), Some(Activation::Gelu)] {
        let key = |more| NormKey { vectors: 1, act, more, runs: false };
        let (plain, more) = (key(false), key(true));
        let variant = format!("{act:?}");
        list.push(entry!(variant.clone(), norm_kernel::NormKernel(x out table clock sizes; 4, plain)));
        list.push(entry!(variant.clone(), norm_back_kernel::NormBackKernel(
            x slope other out table clock sizes; 4, more
        )));
        list.push(entry!(variant, norm_along_kernel::NormAlongKernel(
            x moved out table moving clock sizes; 4, more
        )));
    }
}

/// One number at a time, and numbers that only move.
fn points(list: &mut Vec<Offline>) {
    let silu = Activation::Silu;
    for (form, by, other) in [
        (Form::Nothing, By::Row, false),
        (Form::Nothing, By::Shift, true),
        (Form::Same, By::Constants, true),
        (Form::Same, By::Row, false),
        (Form::Same, By::Both, true),
        (Form::Act(silu), By::Constants, false),
        (Form::Slope(silu), By::Constants, true),
        (Form::Slope(Activation::Gelu), By::Constants, true),
    ] {
        let key = PointKey { form, by, other, vectors: 1, runs: false };
        let variant = format!("{form:?} by {by:?}");
        list.push(entry!(variant, point_kernel::PointKernel(x second other out table clock sizes; 4, key)));
    }
    list.push(entry!("", join_kernel::JoinKernel(x y out cut count; 4, false)));
    list.push(entry!("", part_kernel::PartKernel(x other out first count; 4, true, false)));
    for back in [false, true] {
        let variant = if back { "back" } else { "" };
        list.push(entry!(variant, upsample_kernel::UpsampleKernel(
            x other out numbers width vectors; 4, back, back, false
        )));
    }
    list.push(entry!("", sums_kernel::SumsKernel(x y out channels pixels vectors scale; 4, true, false)));
}

/// Attention three ways.
fn attention(list: &mut Vec<Offline>) {
    let key = AttendKey { tile: 2, runs: false };
    list.push(entry!("", attend_kernel::AttendKernel(q k v out sizes; 4, key)));
    list.push(entry!("", attend_sums_kernel::AttendSumsKernel(q k v slope out sizes; 4, key)));
    list.push(entry!("", attend_queries_kernel::AttendQueriesKernel(q k v slope sums out sizes; 4, key)));
    list.push(entry!("", attend_keys_kernel::AttendKeysKernel(q k v slope sums out_k out_v sizes; 4, key)));
    list.push(entry!("", attend_along_kernel::AttendAlongKernel(q k v dq dk dv value out sizes; 4, key)));
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

/// Frames, seen from each other and turned.
fn frames(list: &mut Vec<Offline>) {
    for along in [false, true] {
        let name = if along { "along" } else { "" };
        list.push(entry!(name, views_kernel::ViewsKernel(x moved places out sizes; 4, along, false)));
        list.push(entry!(name, turn_kernel::TurnKernel(x v moved_x moved_v out sizes; 4, along, false)));
    }
    list.push(entry!("", views_back_kernel::ViewsBackKernel(x slope out sizes; 4, false)));
    list.push(entry!("", turn_back_kernel::TurnBackKernel(x v slope of_x of_v sizes; 4, false)));
}
