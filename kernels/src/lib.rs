//! The sampling kernels of feynkac, written once in cubecl for CUDA, wgpu and the CPU.
//!
//! | tier | what it is |
//! |---|---|
//! | [`prims`] | what a unit or a cube can do; nobody launches these |
//! | [`models`] | where a score comes from, callable inside a kernel |
//! | [`methods`] | what a particle does: one file a sampler |
//! | [`passes`] | what a launch does: one folder a kernel family, each with its f64 oracle |
//! | [`device`] | devices and buffers, the only `unsafe` |
//!
//! No runtime is linked unless a feature (`cpu`, `wgpu`, `cuda`) asks for it.
#![deny(unsafe_code)]
// What `#[cube]` generates cannot carry documentation, so `missing_docs` is left to the root crate.

mod counts;
pub mod device;
pub mod error;
mod faults;
mod graph;
mod guard;
pub mod methods;
pub mod models;
#[cfg(feature = "ptx")]
pub mod offline;
pub mod passes;
pub mod prims;
mod probe;
mod request;
