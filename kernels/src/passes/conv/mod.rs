//! Convolutions of images of many particles at once: docs/maths.md (9.1).
//!
//! y = scale (W x + bias + other) + shift, written or added to what stands there; W a correlation of 3x3 or 1x1 taps with zeros
//! around, of stride 1 or 2, of an image or of one each of whose pixels is read four times; a linear map is a
//! convolution of one tap on one pixel. Backwards: x' = W^T y', as a gather, for which W is packed a second time.
//!
//! Values are `[channels, height, width][n]`: number k of particle i at k n + i, so that borders, strides and taps are
//! the same for all lanes of a vector, and weights are scalars. A tile is 8 channels by some vectors of particles of one
//! pixel, kept in registers over all taps and channels. On the CPU each unit goes over the pixels for a tile, whose
//! weights stay in its cache; on a GPU a unit has one tile, its neighbours the next particles of the same pixel.
//!
//! An upsampled image is never made. Of the 9 taps some meet the same pixel: their weights are added when they are
//! packed, which leaves 4. As y = 2 q + p, p in {0, 1}, meets the pixels q - 1 + p and q + p, this is the transpose of a
//! correlation of 4x4 taps with stride 2 and one zero before, (w2, w1 + w2, w0 + w1, w0) in each direction.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use launch::{After, Bias, Conv, Row, Shape};
