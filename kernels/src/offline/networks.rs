//! The networks among the kernels.

use std::sync::Arc;

use cubecl::prelude::*;
use half::{bf16, f16};

use super::target::properties;
use super::{Blank, Offline, TOGETHER, UNITS};
use crate::passes::classes::kernel::classes_kernel;
use crate::passes::divergence::kernel::{probe_kernel, tally_kernel};
use crate::passes::energy::Energy;
use crate::passes::energy::kernel::{gradient_kernel, laplacian_kernel, seed_kernel};
use crate::passes::mlp::kernel::{MlpKey, mlp_kernel};
use crate::passes::mlp::kernel_tensor::tensor_kernel;
use crate::passes::mlp::kernel_tile::{PLANE, TensorKey};
use crate::passes::mlp::launch_tensor::{PLANES, key as tensor_key};
use crate::passes::mlp::{Activation, Half, MlpShape};

/// Dense networks: every nonlinearity, with and without LayerNorm, and the widest; by tensor cores few, as
/// each takes many seconds to assemble.
pub(super) fn networks(list: &mut Vec<Offline>) {
    let mut push = |width: usize, vectors: usize, activation: Activation, norm: bool| {
        let key = MlpKey { width, vectors, tile: 1, activation, norm, skip: true, sharing: TOGETHER };
        let variant = format!("H={width}, {activation:?}{}", if norm { ", norm" } else { "" });
        list.push(entry!(variant, mlp_kernel::MlpKernel(rows out clock net sizes; 4, key)));
    };
    for activation in [Activation::Silu, Activation::Gelu, Activation::Tanh, Activation::Relu] {
        push(128, 4, activation, false);
        push(128, 4, activation, true);
    }
    push(512, 1, Activation::Silu, true);
    for (hidden, half, activation, norm) in [
        (64, Half::F16, Activation::Tanh, false),
        (128, Half::Bf16, Activation::Gelu, true),
        (128, Half::F16, Activation::Silu, false),
        (256, Half::F16, Activation::Silu, false),
    ] {
        let shape = MlpShape { dim: 2, hidden, layers: 4, outputs: 2, activation, norm, skip: true };
        let key = tensor_key(&shape, half, true);
        let variant = format!("H={hidden}, {activation:?}, {half}{}", if norm { ", norm" } else { "" });
        list.push(match half {
            Half::F16 => tensor::<f16>(variant, key),
            Half::Bf16 => tensor::<bf16>(variant, key),
        });
    }
}

/// What stands around the network of an energy.
pub(super) fn energies(list: &mut Vec<Offline>) {
    for (name, energy) in Energy::NAMES {
        for tells in [false, true] {
            let variant = format!("{name}{}", if tells { ", told" } else { "" });
            list.push(entry!(variant, seed_kernel::SeedKernel(
                rows said back told clock table of; energy, tells, false
            )));
        }
        list.push(entry!(name, gradient_kernel::GradientKernel(
            rows said came out clock table of; energy, false
        )));
    }
    list.push(entry!("", laplacian_kernel::LaplacianKernel(
        rows back moved all clock table of scores; false
    )));
}

/// What stands behind a classifier.
pub(super) fn classes(list: &mut Vec<Offline>) {
    list.push(entry!("", classes_kernel::ClassesKernel(logits back told of factor; false)));
}

/// What stands around a network whose divergence is taken.
pub(super) fn divergences(list: &mut Vec<Offline>) {
    for axes in [false, true] {
        let variant = if axes { "axes" } else { "signs" };
        list.push(entry!(variant, probe_kernel::ProbeKernel(vectors seeds clock of; 1, axes, false)));
        list.push(entry!(variant, tally_kernel::TallyKernel(vectors came sums told of; axes, false)));
    }
}

/// One network by tensor cores.
fn tensor<E: Float>(variant: String, key: TensorKey) -> Offline {
    entry!(cubes of PLANES * PLANE, variant, tensor_kernel::TensorKernel<E>(rows out clock net sizes; key))
}
