//! A list of layers on a device: docs/maths.md (9.1), and (9.2) for what is computed where.
//!
//! The network is asked at a level for its output F, for the gradient of <u, F> with respect to the state (`vjp`), or for
//! how F changes along a tangent of the state, and of the time (`jvp`). Each is a [`plan`](Plan): launches over values of a
//! micro-batch of n particles, `[numbers][n]`, number k of particle i at k n + i, n a multiple of the lanes, so that
//! lanes never meet. Values live in slots, from the launch that writes them to the last that reads them.
//!
//! Layers that do not read the state are no launches: the host computes them in f64 for every level and condition, and
//! kernels read rows of that table by the number of the level, which may stand on the device. A vector added behind a
//! convolution is its bias there, one that modulates a norm is its affine map; norm, affine map and activation are one
//! launch, and so are a convolution, the value added to it and a constant scale.
//!
//! `rows` `[count, dim]`, `out` `[conditions, count, outputs]`, row-major; out = c_x x + c_f F(c_in x).

mod ask;
mod emit;
mod emit_along;
mod emit_back;
pub(crate) mod graph;
mod join;
pub(crate) mod kernel_attend;
pub(crate) mod kernel_attend_along;
pub(crate) mod kernel_attend_back;
pub(crate) mod kernel_frames;
pub(crate) mod kernel_norm;
pub(crate) mod kernel_pairs;
pub(crate) mod kernel_point;
mod launch;
mod launch_attend;
mod launch_frames;
mod launch_pairs;
mod launch_point;
mod network;
mod plan;
mod slots;
mod table;

pub use ask::{Along, At, Back, Level, Settings};
pub use graph::Graph;
pub use network::{Each, Network};
pub use plan::{Asked, Plan, Printed, Step};

/// The launches that answer `asked` of `graph`; `recompute` keeps only values at borders for the way back.
pub fn plan_of(graph: &Graph, asked: Asked, recompute: bool) -> Plan {
    match asked {
        Asked::Output => emit::output(graph),
        Asked::Back if recompute => emit_back::back(graph, &emit_back::borders(graph)),
        Asked::Back => emit_back::back(graph, &[]),
        Asked::Along => emit_along::along(graph, false),
        Asked::AlongTime => emit_along::along(graph, true),
    }
}

#[cfg(test)]
mod tests;
