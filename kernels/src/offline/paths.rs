//! The kernels that keep paths, and follow them.

use std::sync::Arc;

use cubecl::prelude::*;

use super::{Blank, LANES, Offline, UNITS, properties};
use crate::methods::{Compose, Method, Plain};
use crate::models::{Twist, TwistKey};
use crate::passes::paths::kernel::{keep_kernel, trace_kernel};
use crate::passes::retain::kernel::{RetainKey, retain_kernel};
use crate::prims::state::{Element, Layout};

/// Every one.
pub(super) fn all(list: &mut Vec<Offline>) {
    for element in [Element::F32, Element::F16] {
        list.push(entry!(format!("{element}"), keep_kernel::KeepKernel(
            x rows length level clock; LANES, false, element.kind()
        )));
        list.push(entry!(format!("{element}"), trace_kernel::TraceKernel(
            rows parents ends out shape paths steps; LANES, Layout::Columns, element.kind()
        )));
    }
    retained::<Plain>(list, "plain", 1);
    retained::<Compose>(list, "compose 1", 1);
    retained::<Compose>(list, "compose 2", 2);
    retained::<Plain>(list, "twisted", 1);
}

fn retained<M: Method>(list: &mut Vec<Offline>, method: &str, models: usize) {
    for (what, start, weighs, rows) in
        [("start", true, true, true), ("exact", false, true, false), ("a rate, rows", false, false, true)]
    {
        let usual = TwistKey { twist: Twist::Linear, pins: false, steers: None, ranged: true, broad: true };
        let twisted = (method == "twisted").then_some(usual);
        let key = RetainKey { start, weighs, models, twisted, rows, layout: Layout::Columns };
        list.push(entry!(format!("{method}, {what}"), retain_kernel::RetainKernel<M>(
            path before after rows norms table start_row shape step; LANES, key, Element::F32.kind()
        )));
    }
}
