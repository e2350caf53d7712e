//! A dense network on rows `[particles, dim]`, every layer in one launch: docs/maths.md (9).
//!
//! a = act(W_in (c_in x) + b_in); for each layer z = W a + cond, optionally LayerNorm, then
//! a = act(z) (+ a with skip); F = W_out a + b_out; out = c_x x + c_f F. What depends on time and
//! class alone is a row of biases a layer (`cond`), so it costs nothing a particle.
//!
//! A chunk of particles stays on chip from first layer to last: its activations live in shared
//! memory, weights stream past once a chunk. On a GPU the units of a cube share a chunk and each
//! owns output rows; on the CPU each unit has a chunk of its own and works in tiles of 8 rows by
//! 3 vectors. `rows` and `out`: `[particles, dim]` and `[particles, outputs]`, row-major.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use launch::{Dense, Network, Shape as MlpShape};

/// Nonlinearity between the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// z / (1 + exp(-z)).
    Silu,
    /// The tanh form: z/2 (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))).
    Gelu,
    /// tanh z.
    Tanh,
    /// max(z, 0).
    Relu,
}
