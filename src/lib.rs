//! Exact steering of diffusion and flow models.
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod eigen;
pub mod error;
pub mod netconfig;
pub mod schedule;
pub mod target;
pub mod weights;

pub use feynkac_kernels as kernels;
