//! Models of the caller's own.

use feynkac_kernels::device::{Buf, Device};

use super::Noise;
use crate::error::{Error, Result};

/// A model whose score is computed outside of feynkac, on device buffers.
pub trait Foreign {
    /// Coordinates of a particle.
    fn dim(&self) -> usize;

    /// Writes the score of q(., t) at `rows` `[count, dim]`, row-major, into `out` from element
    /// `first` on, in the same layout. `alpha` and `sigma` are the schedule's at `t`. Work must be
    /// queued on the device's client (or be finished before returning).
    #[allow(clippy::too_many_arguments)]
    fn score(
        &self,
        device: &Device,
        rows: &Buf<f32>,
        count: usize,
        noise: Noise,
        out: &Buf<f32>,
        first: usize,
    ) -> Result<()>;

    /// Whether [`Foreign::back`] is there, which the twisted sampler asks for.
    fn goes_back(&self) -> bool {
        false
    }

    /// Writes the gradient of <w, score> with respect to each state: the transposed Jacobian of the score times w. `rows` as
    /// in [`Foreign::score`]; w `[count, dim]` begins at an element of a buffer, and so does the gradient.
    fn back(
        &self,
        _device: &Device,
        _rows: &Buf<f32>,
        _count: usize,
        _noise: Noise,
        _w: (&Buf<f32>, usize),
        _out: (&Buf<f32>, usize),
    ) -> Result<()> {
        Err(Error::input("foreign model", "no way back", "one with a `back` of its own, for tds"))
    }

    /// Mean and standard deviation of the data, for the start; (0, 0) if unknown.
    fn moments(&self) -> (Vec<f64>, f64) {
        (vec![0.0; self.dim()], 0.0)
    }
}
