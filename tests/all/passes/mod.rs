//! Every pass against its f64 oracle, on every device.

mod conditional;
mod conv;
mod diffusers;
mod divergence;
mod draws;
mod energy;
mod every;
mod frame_layers;
pub mod frames;
mod ladder;
pub mod layers;
pub mod mlp;
mod mlp_tensor;
mod pairs;
mod paths;
mod random;
pub mod resample;
mod rows;
pub mod scan;
mod schemes;
mod survivors;
pub mod weights;

/// Awkward sizes first: around vectors and blocks, primes, powers of two.
pub const SIZES: [usize; 16] =
    [1, 2, 3, 15, 16, 17, 255, 256, 257, 1009, 1023, 1024, 1025, 4099, 65_536, 100_003];
