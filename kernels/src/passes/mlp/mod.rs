//! A dense network on rows `[particles, dim]`, every layer in one launch: docs/maths.md (9).
//!
//! a = act(W_in (c_in x) + b_in); for each layer z = W a + cond, optionally LayerNorm, then
//! a = act(z) (+ a with skip); F = W_out a + b_out; out = c_x x + c_f F. What depends on time and
//! class alone is a row of biases a layer (`cond`), so it costs nothing a particle.
//!
//! A chunk of particles stays on chip from first layer to last. In f32 its activations live in
//! shared memory and weights stream past once a chunk: on a GPU the units of a cube share a chunk
//! and each owns output rows; on the CPU each unit has a chunk of its own and works in tiles of 8
//! rows by 3 vectors. In f16 and bf16 tensor cores multiply tiles, and activations stay in the
//! registers of a plane: `kernel_tensor.rs`. `rows` and `out`: `[particles, dim]` and
//! `[particles, outputs]`, row-major.

pub(crate) mod kernel;
pub(crate) mod kernel_tensor;
pub(crate) mod kernel_tile;
mod launch;
pub(crate) mod launch_tensor;
pub mod oracle;

use half::{bf16, f16};

use crate::error::{KernelError, Result, argument};

pub use crate::prims::activation::Activation;
pub use launch::{Dense, Network, Numbers, Shape as MlpShape};
pub use launch_tensor::MAX_WIDTH;

/// Numbers of 16 bits that tensor cores multiply; they add in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// 11 significant bits, up to 65,504.
    F16,
    /// 8 significant bits, the range of f32.
    Bf16,
}

impl Half {
    /// Both.
    pub const ALL: [Half; 2] = [Half::F16, Half::Bf16];

    /// Its bits, to the nearest, ties to even.
    pub fn bits(self, x: f32) -> u16 {
        match self {
            Half::F16 => f16::from_f32(x).to_bits(),
            Half::Bf16 => bf16::from_f32(x).to_bits(),
        }
    }

    /// The number that these bits are.
    pub fn number(self, bits: u16) -> f32 {
        match self {
            Half::F16 => f16::from_bits(bits).to_f32(),
            Half::Bf16 => bf16::from_bits(bits).to_f32(),
        }
    }

    /// The nearest number of this kind.
    pub fn round(self, x: f32) -> f32 {
        self.number(self.bits(x))
    }
}

impl std::fmt::Display for Half {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Half::F16 => "f16",
            Half::Bf16 => "bf16",
        })
    }
}

/// What the matrices of a network are multiplied in: docs/maths.md (9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compute {
    /// f32 throughout.
    F32,
    /// Tensor cores, in this type; refused where the device has none.
    Tensor(Half),
    /// Tensor cores where the device has them and every weight is a number of their type already, so
    /// that the network was stored in it; else f32.
    #[default]
    Auto,
}

impl Compute {
    /// Every choice with its name.
    pub const NAMES: [(&str, Compute); 4] = [
        ("auto", Compute::Auto),
        ("f32", Compute::F32),
        ("f16", Compute::Tensor(Half::F16)),
        ("bf16", Compute::Tensor(Half::Bf16)),
    ];
}

impl std::fmt::Display for Compute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = Self::NAMES.iter().find(|(_, compute)| compute == self).map(|(name, _)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

impl std::str::FromStr for Compute {
    type Err = KernelError;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text.trim());
        found.map(|(_, compute)| *compute).ok_or_else(|| {
            let names = Self::NAMES.map(|(name, _)| name).join(", ");
            argument("compute", format!("{text:?}"), format!("one of {names}"))
        })
    }
}
