//! What a particle does. A method turns the scores of its models into the score to follow and the
//! rate at which log-weight accrues, one coordinate at a time; the step kernel does the rest.
//!
//! A particle follows dx = (-a x + (1 + zeta^2)/2 g^2 S) dr + zeta g dW in reverse time and accrues
//! (g^2/2) R + (B - 1) d a, with S and R from the method: docs/maths.md (7).

pub mod compose;
pub mod plain;

use cubecl::prelude::*;

use crate::models::MAX_MODELS;

pub use compose::Compose;
pub use plain::Plain;

/// What one coordinate contributes.
#[derive(CubeType, Clone, Copy)]
pub struct Move<N: Size> {
    /// The target's score, to follow.
    pub score: Vector<f32, N>,
    /// The coordinate's part of R.
    pub rate: Vector<f32, N>,
}

/// What a method asks of its surroundings; the plan is made from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Fewest and most models.
    pub models: (usize, usize),
    /// A vector-Jacobian product of the network.
    pub vjp: bool,
    /// The method weighs particles at all.
    pub weights: bool,
}

/// A sampler.
#[cube]
pub trait Method: 'static + Send + Sync {
    /// One coordinate's score to follow and weight rate, from the scores of the models there.
    fn coordinate<N: Size>(
        scores: &Sequence<Vector<f32, N>>,
        c: &Coeffs,
        #[comptime] models: usize,
    ) -> Move<N>;
}

/// Numbers in a row of the coefficient table.
pub const ROW: usize = 20;

/// The numbers of one step, on the host in f64.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepCoeffs {
    /// x' = shrink x + drift S + noise z.
    pub shrink: f64,
    /// Factor of S.
    pub drift: f64,
    /// Factor of z.
    pub noise: f64,
    /// Factor of R at the old state.
    pub rate_old: f64,
    /// Factor of R at the new state.
    pub rate_new: f64,
    /// Added to every log-weight.
    pub constant: f64,
    /// Factor of the exact increment (0 outside the active window).
    pub exact: f64,
    /// Backward kernel of the exact rule: mean back_shrink x' + back_drift S'.
    pub back_shrink: f64,
    /// Factor of S' in the backward mean.
    pub back_drift: f64,
    /// 1 / variance of the backward kernel.
    pub back_precision: f64,
    /// Resample when ESS is below this share of the particles: 2 always, -1 never.
    pub ess_share: f64,
    /// Exponents of the models.
    pub beta: [f64; MAX_MODELS],
}

impl StepCoeffs {
    /// The row of the device table.
    pub fn row(&self) -> [f32; ROW] {
        let mut row = [0.0; ROW];
        let numbers = [
            self.shrink,
            self.drift,
            self.noise,
            self.rate_old,
            self.rate_new,
            self.constant,
            self.exact,
            self.back_shrink,
            self.back_drift,
            self.back_precision,
            self.ess_share,
        ];
        for (slot, number) in row.iter_mut().zip(numbers.iter().chain(&self.beta)) {
            *slot = *number as f32;
        }
        row
    }
}

/// Position of `ess_share` in a row.
pub const ESS_SHARE: usize = 10;

/// The numbers of one step on the device; see [`StepCoeffs`].
#[derive(CubeType, Clone, Copy)]
pub struct Coeffs {
    /// See [`StepCoeffs::shrink`].
    pub shrink: f32,
    /// See [`StepCoeffs::drift`].
    pub drift: f32,
    /// See [`StepCoeffs::noise`].
    pub noise: f32,
    /// See [`StepCoeffs::rate_old`].
    pub rate_old: f32,
    /// See [`StepCoeffs::rate_new`].
    pub rate_new: f32,
    /// See [`StepCoeffs::constant`].
    pub constant: f32,
    /// See [`StepCoeffs::exact`].
    pub exact: f32,
    /// See [`StepCoeffs::back_shrink`].
    pub back_shrink: f32,
    /// See [`StepCoeffs::back_drift`].
    pub back_drift: f32,
    /// See [`StepCoeffs::back_precision`].
    pub back_precision: f32,
    /// Exponent of model 0.
    pub beta0: f32,
    /// Exponent of model 1.
    pub beta1: f32,
    /// Exponent of model 2.
    pub beta2: f32,
    /// Exponent of model 3.
    pub beta3: f32,
    /// Exponent of model 4.
    pub beta4: f32,
    /// Exponent of model 5.
    pub beta5: f32,
    /// Exponent of model 6.
    pub beta6: f32,
    /// Exponent of model 7.
    pub beta7: f32,
}

/// Row `step` of the table.
#[cube]
pub fn coeffs(table: &[f32], step: u32) -> Coeffs {
    let at = step as usize * ROW;
    Coeffs {
        shrink: table[at],
        drift: table[at + 1],
        noise: table[at + 2],
        rate_old: table[at + 3],
        rate_new: table[at + 4],
        constant: table[at + 5],
        exact: table[at + 6],
        back_shrink: table[at + 7],
        back_drift: table[at + 8],
        back_precision: table[at + 9],
        beta0: table[at + 11],
        beta1: table[at + 12],
        beta2: table[at + 13],
        beta3: table[at + 14],
        beta4: table[at + 15],
        beta5: table[at + 16],
        beta6: table[at + 17],
        beta7: table[at + 18],
    }
}

#[cube]
impl Coeffs {
    /// Exponent of model `index`.
    pub fn beta(&self, #[comptime] index: usize) -> f32 {
        match comptime!(index) {
            0usize => self.beta0,
            1usize => self.beta1,
            2usize => self.beta2,
            3usize => self.beta3,
            4usize => self.beta4,
            5usize => self.beta5,
            6usize => self.beta6,
            _ => self.beta7,
        }
    }
}
