//! Noise schedules in f64: how much signal `alpha(t)` and noise `sigma(t)` a state carries at noise time
//! `t`, and the time grids a sampler walks down.
//!
//! ```text
//! x_t  = alpha(t) x_0 + sigma(t) eps            t = 0 is data; sampling runs downwards
//! dx   = a(t) x dt + g(t) dW                    the forward (noising) equation
//! a    = alpha'/alpha,   g^2 = 2 sigma^2 d/dt lambda,   lambda = ln(sigma/alpha)
//! ```
//!
//! Maths: docs/maths.md, "Schedules".

mod names;
mod prediction;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
pub use prediction::{NetCoeffs, Preconditioning, Prediction, ScoreCoeffs, TimeFeature};

/// A noise schedule. Times are noise times: 0 is data, larger is noisier.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Schedule {
    /// Variance exploding, geometric: alpha = 1, sigma = sigma_min (sigma_max/sigma_min)^t, t in [0, 1].
    Ve {
        /// The noise at t = 0; above zero.
        sigma_min: f64,
        /// The noise at t = 1; above `sigma_min`.
        sigma_max: f64,
    },
    /// Karras et al. 2022: alpha = 1, sigma = t, t > 0.
    Edm,
    /// Variance preserving with rate b(t) = b0 + t (b1 - b0), t in (0, 1].
    VpLinear {
        /// The rate at t = 0; above zero.
        #[serde(default = "usual_b0")]
        b0: f64,
        /// The rate at t = 1; at least `b0`.
        #[serde(default = "usual_b1")]
        b1: f64,
    },
    /// Variance preserving with alpha = cos(th)/cos(th_0), th = (pi/2)(t+c)/(1+c), t in (0, 1).
    VpCosine {
        /// The offset that keeps the rate above zero at t = 0; in [0, 1).
        #[serde(default = "usual_c")]
        c: f64,
    },
    /// The linear path of flow matching: alpha = 1 - t, sigma = t, t in (0, 1).
    RectifiedFlow,
}

fn usual_b0() -> f64 {
    0.1
}
fn usual_b1() -> f64 {
    20.0
}
fn usual_c() -> f64 {
    0.008
}

/// The largest noise-to-signal ratio (and one over the smallest) a range may reach: kernels square it in
/// f32.
const RATIO_LIMIT: f64 = 1e9;

/// The largest number of steps a grid is made for.
const MAX_STEPS: usize = 1_000_000;

impl Schedule {
    /// Checks the schedule's own constants.
    pub fn validate(&self) -> Result<()> {
        let check = |ok: bool, what: &str, found: f64, wanted: &str| {
            if ok {
                Ok(())
            } else {
                Err(Error::input(format!("{what} of the {} schedule", self.name()), found, wanted))
            }
        };
        let within = |x: f64, lo: f64, hi: f64| x >= lo && x <= hi; // false for a NaN
        match *self {
            Schedule::Ve { sigma_min, sigma_max } => {
                check(
                    within(sigma_min, 1.0 / RATIO_LIMIT, RATIO_LIMIT),
                    "sigma_min",
                    sigma_min,
                    "1e-9 to 1e9",
                )?;
                check(
                    within(sigma_max, sigma_min * (1.0 + 1e-9), RATIO_LIMIT),
                    "sigma_max",
                    sigma_max,
                    "more than sigma_min, at most 1e9",
                )
            }
            Schedule::VpLinear { b0, b1 } => {
                check(within(b0, 1e-6, 1e3), "b0", b0, "1e-6 to 1e3")?;
                check(within(b1, b0, 1e3), "b1", b1, "b0 to 1e3")
            }
            Schedule::VpCosine { c } => check((0.0..1.0).contains(&c), "c", c, "0 up to below 1"),
            Schedule::Edm | Schedule::RectifiedFlow => Ok(()),
        }
    }

    /// Checks the constants and that the schedule can be walked from `t_max` down to `t_min`.
    pub fn check_range(&self, t_max: f64, t_min: f64) -> Result<()> {
        self.validate()?;
        let (end, closed, text) = match self {
            Schedule::Ve { .. } | Schedule::VpLinear { .. } => (1.0, true, "at most 1"),
            Schedule::Edm => (f64::MAX, true, "a finite number"),
            Schedule::VpCosine { .. } | Schedule::RectifiedFlow => (1.0, false, "below 1"),
        };
        let what = |end: &str| format!("{end} of the {} schedule", self.name());
        if !(t_max < end || (closed && t_max == end)) {
            return Err(Error::input(what("t_max"), t_max, text));
        }
        let zero_is_fine = matches!(self, Schedule::Ve { .. });
        if !(t_min > 0.0 || (zero_is_fine && t_min == 0.0)) {
            let wanted = if zero_is_fine { "at least 0" } else { "above 0" };
            return Err(Error::input(what("t_min"), t_min, wanted));
        }
        if t_max <= t_min {
            let found = format!("t_max = {t_max}, t_min = {t_min}");
            return Err(Error::input(what("the time range"), found, "t_max above t_min"));
        }
        self.check_ratio("t_max", t_max)?;
        self.check_ratio("t_min", t_min)
    }

    /// Checks that kernels can square sigma/alpha at the `end` `t`, which may be a time where sigma/alpha is more than the
    /// schedule's own at its end: a table of training steps can be noisier than the schedule beside it.
    pub(crate) fn check_ratio(&self, end: &str, t: f64) -> Result<()> {
        let limit = RATIO_LIMIT.ln() * (1.0 + 1e-12);
        let lambda = self.log_noise_ratio(t);
        if lambda.is_nan() || lambda.abs() > limit {
            let found = format!("{t}, where sigma/alpha is exp({lambda})");
            let what = format!("{end} of the {} schedule", self.name());
            return Err(Error::input(what, found, "sigma/alpha in 1e-9 to 1e9"));
        }
        Ok(())
    }

    /// ln alpha(t); the integral of the drift rate a from s to t is `log_alpha(t) - log_alpha(s)`.
    pub fn log_alpha(&self, t: f64) -> f64 {
        match *self {
            Schedule::Ve { .. } | Schedule::Edm => 0.0,
            Schedule::VpLinear { b0, b1 } => -0.5 * vp_linear_integral(b0, b1, t),
            Schedule::VpCosine { c } => (cosine_angle(c, t).cos() / cosine_angle(c, 0.0).cos()).ln(),
            Schedule::RectifiedFlow => (-t).ln_1p(),
        }
    }

    /// The signal factor alpha(t), in (0, 1].
    pub fn alpha(&self, t: f64) -> f64 {
        match *self {
            Schedule::Ve { .. } | Schedule::Edm => 1.0,
            Schedule::VpLinear { .. } => self.log_alpha(t).exp(),
            Schedule::VpCosine { c } => cosine_angle(c, t).cos() / cosine_angle(c, 0.0).cos(),
            Schedule::RectifiedFlow => 1.0 - t,
        }
    }

    /// The noise level sigma(t), in the units of the data.
    pub fn sigma(&self, t: f64) -> f64 {
        match *self {
            Schedule::Ve { sigma_min, sigma_max } => sigma_min * (t * (sigma_max / sigma_min).ln()).exp(),
            Schedule::Edm | Schedule::RectifiedFlow => t,
            Schedule::VpLinear { b0, b1 } => (-(-vp_linear_integral(b0, b1, t)).exp_m1()).sqrt(),
            Schedule::VpCosine { c } => cosine_sine_product(c, t).sqrt() / cosine_angle(c, 0.0).cos(),
        }
    }

    /// The drift rate a(t) = alpha'/alpha of the forward equation, at most 0, per unit of noise time.
    pub fn drift_rate(&self, t: f64) -> f64 {
        match self {
            Schedule::Ve { .. } | Schedule::Edm => 0.0,
            Schedule::VpLinear { .. } | Schedule::VpCosine { .. } => -0.5 * self.diffusion_sq(t),
            Schedule::RectifiedFlow => -1.0 / (1.0 - t),
        }
    }

    /// g^2(t): the variance the forward equation adds per unit of noise time.
    pub fn diffusion_sq(&self, t: f64) -> f64 {
        match *self {
            Schedule::Ve { sigma_min, sigma_max } => {
                2.0 * (sigma_max / sigma_min).ln() * self.sigma(t).powi(2)
            }
            Schedule::Edm => 2.0 * t,
            Schedule::VpLinear { b0, b1 } => b0 + t * (b1 - b0),
            Schedule::VpCosine { c } => std::f64::consts::PI / (1.0 + c) * cosine_angle(c, t).tan(),
            Schedule::RectifiedFlow => 2.0 * t / (1.0 - t),
        }
    }

    /// lambda(t) = ln(sigma/alpha), minus half the log signal-to-noise ratio; it rises with t.
    pub fn log_noise_ratio(&self, t: f64) -> f64 {
        match *self {
            Schedule::Ve { sigma_min, sigma_max } => sigma_min.ln() + t * (sigma_max / sigma_min).ln(),
            Schedule::Edm => t.ln(),
            Schedule::VpLinear { b0, b1 } => {
                let i = vp_linear_integral(b0, b1, t);
                // ln(e^i - 1), without overflow
                0.5 * if i > 1.0 { i + (-(-i).exp()).ln_1p() } else { i.exp_m1().ln() }
            }
            Schedule::VpCosine { c } => 0.5 * cosine_sine_product(c, t).ln() - cosine_angle(c, t).cos().ln(),
            Schedule::RectifiedFlow => t.ln() - (-t).ln_1p(),
        }
    }

    /// The noise time at which ln(sigma/alpha) is `lambda`: the inverse of
    /// [`log_noise_ratio`](Self::log_noise_ratio), in closed form for every schedule.
    pub fn time_at(&self, lambda: f64) -> f64 {
        match *self {
            Schedule::Ve { sigma_min, sigma_max } => (lambda - sigma_min.ln()) / (sigma_max / sigma_min).ln(),
            Schedule::Edm => lambda.exp(),
            Schedule::VpLinear { b0, b1 } => {
                // ln(1 + e^{2 lambda}) = b0 t + (b1 - b0) t^2/2
                let i = (2.0 * lambda).max(0.0) + (-(2.0 * lambda).abs()).exp().ln_1p();
                2.0 * i / (b0 + (b0 * b0 + 2.0 * (b1 - b0) * i).sqrt())
            }
            Schedule::VpCosine { c } => {
                // tan^2 th = (e^{2 lambda} + sin^2 th_0)/cos^2 th_0
                let (sin0, cos0) = cosine_angle(c, 0.0).sin_cos();
                let ratio_sq = (2.0 * lambda).exp();
                let tan = (ratio_sq + sin0 * sin0).sqrt() / cos0;
                let tan0 = sin0 / cos0;
                let turned = if ratio_sq > 1.0 {
                    tan.atan() - cosine_angle(c, 0.0)
                } else {
                    // the tangent of the difference, without cancellation for small t
                    let sum = (tan + tan0).max(f64::MIN_POSITIVE);
                    (ratio_sq / (cos0 * cos0) / sum / (1.0 + tan * tan0)).atan()
                };
                turned * (1.0 + c) / std::f64::consts::FRAC_PI_2
            }
            Schedule::RectifiedFlow => 1.0 / (1.0 + (-lambda).exp()),
        }
    }

    /// (t_max, t_min): where sampling starts and ends when nobody says otherwise.
    pub fn default_range(&self) -> (f64, f64) {
        match self {
            Schedule::Ve { .. } => (1.0, 0.0),
            Schedule::Edm => (80.0, 0.002),
            Schedule::VpLinear { .. } => (1.0, 1e-3),
            Schedule::VpCosine { .. } => (0.985, 1e-3),
            Schedule::RectifiedFlow => (0.98, 1e-3),
        }
    }
}

/// The integral of the rate b from 0 to t.
fn vp_linear_integral(b0: f64, b1: f64, t: f64) -> f64 {
    t * (b0 + 0.5 * (b1 - b0) * t)
}

/// th(t) of the cosine schedule.
fn cosine_angle(c: f64, t: f64) -> f64 {
    std::f64::consts::FRAC_PI_2 * (t + c) / (1.0 + c)
}

/// cos^2 th_0 - cos^2 th, without cancellation for small t.
fn cosine_sine_product(c: f64, t: f64) -> f64 {
    let turned = std::f64::consts::FRAC_PI_2 * t / (1.0 + c);
    turned.sin() * (turned + 2.0 * cosine_angle(c, 0.0)).sin()
}

/// How the noise times of a run are spread between t_max and t_min.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Grid {
    /// Equal steps in t.
    Uniform,
    /// Equal steps in (sigma/alpha)^(1/rho), as in Karras et al. 2022, where rho is 7.
    EdmRho {
        /// The exponent, in [1, 100]; larger puts more steps at low noise.
        rho: f64,
    },
    /// Equal steps in ln(sigma/alpha): every step removes the same share of the noise. The one to use with
    /// weights.
    LogSnr,
}

impl Grid {
    /// Checks the constants.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Grid::EdmRho { rho } if !(1.0..=100.0).contains(&rho) => {
                Err(Error::input("rho of the edm-rho grid", rho, "1 to 100"))
            }
            _ => Ok(()),
        }
    }

    /// The `steps + 1` noise times of a run of `steps` steps, strictly decreasing, from exactly `t_max` to
    /// exactly `t_min`; never below `t_min`, so never at a noise of zero.
    pub fn times(&self, schedule: &Schedule, steps: usize, t_max: f64, t_min: f64) -> Result<Vec<f64>> {
        schedule.check_range(t_max, t_min)?;
        if !(1..=MAX_STEPS).contains(&steps) {
            return Err(Error::input("steps", steps, format!("1 to {MAX_STEPS}")));
        }
        self.validate()?;
        let (high, low) = (schedule.log_noise_ratio(t_max), schedule.log_noise_ratio(t_min));
        let mut times: Vec<f64> = (0..=steps)
            .map(|i| {
                let u = i as f64 / steps as f64;
                match *self {
                    Grid::Uniform => t_max + u * (t_min - t_max),
                    Grid::LogSnr => schedule.time_at(high + u * (low - high)),
                    Grid::EdmRho { rho } => {
                        let (from, to) = ((high / rho).exp(), (low / rho).exp());
                        schedule.time_at(rho * (from + u * (to - from)).ln())
                    }
                }
            })
            .collect();
        times[0] = t_max;
        times[steps] = t_min;
        match times.windows(2).position(|pair| !(pair[1] < pair[0] && pair[1] >= t_min)) {
            None => Ok(times),
            Some(i) => Err(Error::input(
                format!("steps of the {self} grid"),
                format!("{steps}, where step {i} goes from {} to {}", times[i], times[i + 1]),
                "few enough steps that each one lowers the time",
            )),
        }
    }
}

#[cfg(test)]
mod tests;
