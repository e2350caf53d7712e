//! The numbers of a step, on the host and in a row of a table on the device.

use cubecl::prelude::*;

use crate::models::MAX_MODELS;

/// Numbers in a row of the coefficient table: those of the step that starts at a level, and of the level. Behind the
/// last level stand two rows that repeat its own.
pub const ROW: usize = 35;

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
    /// Exponents of the models at the level where the step starts, or what the method has in their place.
    pub beta: [f64; MAX_MODELS],
    /// Factor of sum (beta' - beta) ln q at the old state, beta' being the next row's.
    pub swing_old: f64,
    /// The same at the new state.
    pub swing_new: f64,
    /// Numbers of the method at this level.
    pub side: [f64; SIDE],
    /// What an estimated log-density gains beside what the scores say: docs/maths.md (7.9).
    pub stretch: f64,
    /// 1 / variance of the Gaussian that estimates lean on, at the old state.
    pub lean_old: f64,
    /// The same at the new state.
    pub lean_new: f64,
    /// Of a twisted step whose denoised state stays within a range as it is leant, docs/maths.md (13.7): factors of x and of
    /// the score in that state, and its least and greatest value, all times what the mean gains with it; and 1 / standard
    /// deviation of the model's kernel. 0 throughout where no state is leant.
    pub range: [f64; RANGE],
    /// Of a twisted step whose network says how broad it is, docs/maths.md (13.4): ln of the factor of its noise at a
    /// coordinate is the first, plus the second times what is said. 0 where the step has no noise.
    pub width: [f64; 2],
}

/// Numbers that a method may have of its own at a level.
pub const SIDE: usize = 4;

/// Numbers of a range of denoised states.
pub const RANGE: usize = 5;

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
        let swings = [self.swing_old, self.swing_new];
        let estimates = [self.stretch, self.lean_old, self.lean_new];
        let all = numbers.iter().chain(&self.beta).chain(&swings).chain(&self.side).chain(&estimates);
        let all = all.chain(&self.range).chain(&self.width);
        for (slot, number) in row.iter_mut().zip(all) {
            *slot = *number as f32;
        }
        row
    }
}

/// Position of `ess_share` in a row.
pub const ESS_SHARE: usize = 10;

/// Position of the last number of a method's own in a row: of a reward whose weight the ESS raises, what a schedule has.
pub const SCHEDULED: usize = ESS_SHARE + MAX_MODELS + 2 + SIDE;

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
    /// See [`StepCoeffs::swing_old`].
    pub swing_old: f32,
    /// See [`StepCoeffs::swing_new`].
    pub swing_new: f32,
    /// See [`StepCoeffs::side`].
    pub side0: f32,
    /// The second of them.
    pub side1: f32,
    /// The third.
    pub side2: f32,
    /// The fourth.
    pub side3: f32,
    /// See [`StepCoeffs::stretch`].
    pub stretch: f32,
    /// See [`StepCoeffs::lean_old`].
    pub lean_old: f32,
    /// See [`StepCoeffs::lean_new`].
    pub lean_new: f32,
    /// See [`StepCoeffs::range`]: the factor of x.
    pub range_x: f32,
    /// The factor of the score.
    pub range_score: f32,
    /// The least value.
    pub range_low: f32,
    /// The greatest value.
    pub range_high: f32,
    /// 1 / standard deviation.
    pub range_rate: f32,
    /// See [`StepCoeffs::width`].
    pub width: f32,
    /// The second of them.
    pub width_said: f32,
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
        swing_old: table[at + 19],
        swing_new: table[at + 20],
        side0: table[at + 21],
        side1: table[at + 22],
        side2: table[at + 23],
        side3: table[at + 24],
        stretch: table[at + 25],
        lean_old: table[at + 26],
        lean_new: table[at + 27],
        range_x: table[at + 28],
        range_score: table[at + 29],
        range_low: table[at + 30],
        range_high: table[at + 31],
        range_rate: table[at + 32],
        width: table[at + 33],
        width_said: table[at + 34],
    }
}

/// The same with another exponent of model `index`.
#[cube]
pub fn with_beta(c: &Coeffs, #[comptime] index: usize, beta: f32) -> Coeffs {
    Coeffs {
        shrink: c.shrink,
        drift: c.drift,
        noise: c.noise,
        rate_old: c.rate_old,
        rate_new: c.rate_new,
        constant: c.constant,
        exact: c.exact,
        back_shrink: c.back_shrink,
        back_drift: c.back_drift,
        back_precision: c.back_precision,
        beta0: if comptime!(index == 0) { beta } else { c.beta0 },
        beta1: if comptime!(index == 1) { beta } else { c.beta1 },
        beta2: if comptime!(index == 2) { beta } else { c.beta2 },
        beta3: if comptime!(index == 3) { beta } else { c.beta3 },
        beta4: if comptime!(index == 4) { beta } else { c.beta4 },
        beta5: if comptime!(index == 5) { beta } else { c.beta5 },
        beta6: if comptime!(index == 6) { beta } else { c.beta6 },
        beta7: if comptime!(index == 7) { beta } else { c.beta7 },
        swing_old: c.swing_old,
        swing_new: c.swing_new,
        side0: c.side0,
        side1: c.side1,
        side2: c.side2,
        side3: c.side3,
        stretch: c.stretch,
        lean_old: c.lean_old,
        lean_new: c.lean_new,
        range_x: c.range_x,
        range_score: c.range_score,
        range_low: c.range_low,
        range_high: c.range_high,
        range_rate: c.range_rate,
        width: c.width,
        width_said: c.width_said,
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
