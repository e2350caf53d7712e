//! What a unit or a cube can do. Nobody launches these; the passes are built from them.
//!
//! Everything works on `Vector<_, N>` of `N` particles side by side: 16 on the CPU, 1 on a GPU.

pub mod activation;
pub mod cube;
pub mod fixed;
pub mod math;
pub mod monoid;
pub mod philox;
pub mod so3;
pub mod space;
pub mod state;
