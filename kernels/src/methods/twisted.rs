//! The model's own chain, leant towards what is wanted of a sample and weighed by it: the twisted diffusion sampler of
//! L. Wu et al., "Practical and Asymptotically Exact Conditional Sampling in Diffusion Models", 2023 (arXiv 2306.17775).
//! Move and weight: docs/maths.md (13.1).
//!
//! The model's kernel is N(mu, v) with mu = shrink x + drift s. With G = grad_x log psi_t(x) a particle is drawn from
//! N(mu + l v G, k v), and its log-weight grows by log p(x'|x) - log q(x'|x) + log psi(x') - log psi(x).
//!
//! Of its own a row has l v, l sqrt(v), sqrt(k) - 1, and 1/v where the step ends in coordinates that are put in their place,
//! else 0; and those of a range and of a width ([`super::StepCoeffs`]). What the model itself moves by is
//! [`super::Plain`]'s; a key of the step adds the twist to it ([`crate::models::TwistKey`]). The step in f64 is
//! [`crate::passes::step::oracle_twist`].

use cubecl::prelude::*;

use super::{Coeffs, Needs};
use crate::prims::math::{exp, larger, smaller};

/// The score of one model, and the Jacobian of its denoiser.
pub const NEEDS: Needs = Needs { models: (1, 1), vjp: true, weights: true, densities: false };

/// What a twist makes of one coordinate's move.
#[derive(CubeType, Clone, Copy)]
pub struct Lean<N: Size> {
    /// Added to the model's mean.
    pub by: Vector<f32, N>,
    /// The coordinate's part of log p(x'|x) - log q(x'|x), but for its constant.
    pub rate: Vector<f32, N>,
}

/// By the gradient of log psi at the old state and the noise of the step, whose standard deviation is `width` times sqrt(v):
/// with u = l sqrt(v) G + (sqrt(k) - 1) z the difference of the squares is -u (u + 2 z)/2.
#[cube]
pub fn lean<N: Size>(
    pull: Vector<f32, N>,
    noise: Vector<f32, N>,
    width: Vector<f32, N>,
    c: &Coeffs,
) -> Lean<N> {
    let pull = width * pull;
    let u = fma(Vector::new(c.side1), pull, Vector::new(c.side2) * noise);
    Lean::<N> { by: Vector::new(c.side0) * width * pull, rate: rate::<N>(u, noise) }
}

/// The same where the state that is denoised at `x`, whose score is `score`, stays within its range as it is leant. What is
/// drawn is weighed as it is drawn: docs/maths.md (13.7).
#[cube]
pub fn lean_within<N: Size>(
    pull: Vector<f32, N>,
    noise: Vector<f32, N>,
    width: Vector<f32, N>,
    x: Vector<f32, N>,
    score: Vector<f32, N>,
    c: &Coeffs,
) -> Lean<N> {
    let denoised = fma(Vector::new(c.range_score), score, Vector::new(c.range_x) * x);
    let most = Vector::new(c.range_high) - denoised;
    let least = Vector::new(c.range_low) - denoised;
    let by = larger::<N>(smaller::<N>(Vector::new(c.side0) * width * width * pull, most), least);
    let u = fma(Vector::new(c.range_rate), by / width, Vector::new(c.side2) * noise);
    Lean::<N> { by, rate: rate::<N>(u, noise) }
}

/// The factor of a coordinate's noise, where the model has `said` how broad a step is: docs/maths.md (13.4).
#[cube]
pub fn width<N: Size>(said: Vector<f32, N>, c: &Coeffs) -> Vector<f32, N> {
    exp::<N>(fma(Vector::new(c.width_said), said, Vector::new(c.width)))
}

/// log p(x'|x) - log q(x'|x) of a coordinate, but for its constant.
#[cube]
fn rate<N: Size>(u: Vector<f32, N>, noise: Vector<f32, N>) -> Vector<f32, N> {
    u * Vector::new(-0.5f32) * fma(Vector::new(2.0f32), noise, u)
}
