//! What a network predicts, and how its output becomes a score. Every conversion is affine:
//! `score = x_coeff * x + out_coeff * F`, with coefficients that depend on the schedule and the time alone.
//!
//! ```text
//! s = (alpha D - x)/sigma^2,   D = (x + sigma^2 s)/alpha                              (Tweedie)
//! ```
//!
//! Maths: docs/maths.md, "Converting predictions".

use serde::{Deserialize, Serialize};

use super::Schedule;
use crate::error::{Error, Result};

/// What the output F of a network stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prediction {
    /// The noise: F = eps, score = -F/sigma.
    Eps,
    /// The clean data: F = D = E[x_0 | x_t].
    X0,
    /// Salimans and Ho 2022: F = alpha eps - sigma x_0.
    V,
    /// The velocity dx/dt of the probability flow in noise time: F = alpha' x_0 + sigma' eps.
    Velocity,
    /// The score itself: F = grad log q.
    Score,
}

/// The score as an affine function of the state and of a prediction: `x * state + out * prediction`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreCoeffs {
    /// Multiplies the state.
    pub x: f64,
    /// Multiplies the prediction.
    pub out: f64,
}

/// A quantity as a function of the state and of a raw network F: `x * state + out * F(input * state)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NetCoeffs {
    /// c_in: multiplies the state on its way into the network.
    pub input: f64,
    /// Multiplies the state.
    pub x: f64,
    /// Multiplies the network's output.
    pub out: f64,
}

impl Prediction {
    /// The coefficients of the score at noise time `t`, where sigma must be above zero.
    pub fn score_coeffs(&self, schedule: &Schedule, t: f64) -> ScoreCoeffs {
        let (alpha, sigma) = (schedule.alpha(t), schedule.sigma(t));
        let variance = sigma * sigma;
        let (x, out) = match self {
            Prediction::Eps => (0.0, -1.0 / sigma),
            Prediction::X0 => (-1.0 / variance, alpha / variance),
            Prediction::V => {
                let power = alpha * alpha + variance;
                (-1.0 / power, -alpha / (sigma * power))
            }
            Prediction::Velocity => {
                let g2 = schedule.diffusion_sq(t);
                (2.0 * schedule.drift_rate(t) / g2, -2.0 / g2)
            }
            Prediction::Score => (0.0, 1.0),
        };
        ScoreCoeffs { x, out }
    }

    /// The coefficients of the denoiser D = E[x_0 | x_t] at noise time `t`, where alpha must be above zero.
    pub fn denoiser_coeffs(&self, schedule: &Schedule, t: f64) -> ScoreCoeffs {
        let (alpha, sigma) = (schedule.alpha(t), schedule.sigma(t));
        let variance = sigma * sigma;
        let (x, out) = match self {
            Prediction::Eps => (1.0 / alpha, -sigma / alpha),
            Prediction::X0 => (0.0, 1.0),
            Prediction::V => {
                let power = alpha * alpha + variance;
                (alpha / power, -sigma / power)
            }
            Prediction::Velocity => {
                // D = (sigma' x - sigma u)/(alpha sigma' - alpha' sigma), with sigma' = g^2/(2 sigma) + a sigma
                // and alpha sigma' - alpha' sigma = alpha g^2/(2 sigma)
                let (a, g2) = (schedule.drift_rate(t), schedule.diffusion_sq(t));
                let scale = 2.0 * variance / (alpha * g2);
                (1.0 / alpha + a * scale, -scale)
            }
            Prediction::Score => (1.0 / alpha, variance / alpha),
        };
        ScoreCoeffs { x, out }
    }

    /// F of [`Preconditioning::Edm`] over the output of a network.
    fn edm_sign(self) -> f64 {
        if self == Prediction::V { -1.0 } else { 1.0 }
    }
}

/// What is wrapped around a network so that its input and output are of order one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Preconditioning {
    /// Nothing: the network sees the state, and its output is the prediction.
    None,
    /// Karras et al. 2022, in the frame y = x/alpha, s = sigma/alpha:
    /// D = sd^2/(s^2+sd^2) y + s sd/sqrt(s^2+sd^2) F(y/sqrt(s^2+sd^2)). The network's output is this F, or -F where it
    /// is said to predict v, which -F is where alpha^2 + sigma^2 = sd = 1; any other [`Prediction`] changes nothing.
    Edm {
        /// sd: the standard deviation of the data; above zero.
        sigma_data: f64,
    },
}

impl Preconditioning {
    /// Checks the constants.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Preconditioning::Edm { sigma_data } if !(1e-9..=1e9).contains(&sigma_data) => {
                Err(Error::input("sigma_data of the edm preconditioning", sigma_data, "1e-9 to 1e9"))
            }
            _ => Ok(()),
        }
    }

    /// The coefficients of the score at noise time `t`, where sigma must be above zero.
    pub fn score_coeffs(&self, prediction: Prediction, schedule: &Schedule, t: f64) -> NetCoeffs {
        match *self {
            Preconditioning::None => NetCoeffs::plain(prediction.score_coeffs(schedule, t)),
            Preconditioning::Edm { sigma_data } => {
                let (alpha, sigma) = (schedule.alpha(t), schedule.sigma(t));
                let norm = (sigma / alpha).hypot(sigma_data);
                NetCoeffs {
                    input: 1.0 / (alpha * norm),
                    x: -1.0 / (alpha * norm).powi(2),
                    out: prediction.edm_sign() * sigma_data / (sigma * norm),
                }
            }
        }
    }

    /// The coefficients of the denoiser D = E[x_0 | x_t] at noise time `t`.
    pub fn denoiser_coeffs(&self, prediction: Prediction, schedule: &Schedule, t: f64) -> NetCoeffs {
        match *self {
            Preconditioning::None => NetCoeffs::plain(prediction.denoiser_coeffs(schedule, t)),
            Preconditioning::Edm { sigma_data } => {
                let alpha = schedule.alpha(t);
                let ratio = schedule.sigma(t) / alpha;
                let norm = ratio.hypot(sigma_data);
                NetCoeffs {
                    input: 1.0 / (alpha * norm),
                    x: (sigma_data / norm).powi(2) / alpha,
                    out: prediction.edm_sign() * ratio * sigma_data / norm,
                }
            }
        }
    }
}

impl NetCoeffs {
    /// The coefficients of a network that sees the bare state.
    fn plain(coeffs: ScoreCoeffs) -> Self {
        NetCoeffs { input: 1.0, x: coeffs.x, out: coeffs.out }
    }
}

/// How a network is told the noise time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeFeature {
    /// tau = ln(sigma/alpha)/4, a quarter of lambda.
    LogSnr,
    /// tau = t.
    T,
}

impl TimeFeature {
    /// tau: the number the network's time embedding is made of.
    pub fn at(&self, schedule: &Schedule, t: f64) -> f64 {
        match self {
            TimeFeature::LogSnr => schedule.log_noise_ratio(t) / 4.0,
            TimeFeature::T => t,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, schedules, some_times};
    use super::*;

    /// Data N(m, v): every quantity is known in closed form, so each prediction can be made from its definition
    /// and must give the same score, with and without preconditioning.
    #[test]
    fn all_predictions_agree_on_a_gaussian() {
        let (m, v, sd) = (0.7, 0.3, 0.45);
        for schedule in schedules() {
            for t in some_times(&schedule) {
                let (alpha, sigma) = (schedule.alpha(t), schedule.sigma(t));
                let total = alpha * alpha * v + sigma * sigma;
                for x in [alpha * m + 0.6 * total.sqrt(), alpha * m - 1.7 * total.sqrt()] {
                    let score = -(x - alpha * m) / total;
                    let denoised = m + alpha * v / total * (x - alpha * m);
                    let eps = sigma / total * (x - alpha * m);
                    // finite-difference-free primes, from the definitions
                    let alpha_prime = schedule.drift_rate(t) * alpha;
                    let sigma_prime =
                        schedule.diffusion_sq(t) / (2.0 * sigma) + schedule.drift_rate(t) * sigma;
                    // what rounding of order eps in x, over sigma^2 and over alpha, may do
                    let rounding = 1e-14;
                    let score_slack = rounding * (score.abs() + (x.abs() + m) / (sigma * sigma));
                    let denoised_slack = rounding * (denoised.abs() + x.abs() / alpha + m);
                    for prediction in Prediction::NAMES.map(|(_, p)| p) {
                        let f = match prediction {
                            Prediction::Eps => eps,
                            Prediction::X0 => denoised,
                            Prediction::V => alpha * eps - sigma * denoised,
                            Prediction::Velocity => alpha_prime * denoised + sigma_prime * eps,
                            Prediction::Score => score,
                        };
                        let c = Preconditioning::None.score_coeffs(prediction, &schedule, t);
                        assert_eq!(c.input, 1.0);
                        let got = c.x * x + c.out * f;
                        assert!(
                            (got - score).abs() <= score_slack,
                            "{schedule}, {prediction} at {t}: score {got}, wanted {score}"
                        );
                        let d = Preconditioning::None.denoiser_coeffs(prediction, &schedule, t);
                        let got = d.x * x + d.out * f;
                        assert!(
                            (got - denoised).abs() <= denoised_slack,
                            "{schedule}, {prediction} at {t}: denoiser {got}, wanted {denoised}"
                        );

                        let edm = Preconditioning::Edm { sigma_data: sd };
                        let s = sigma / alpha;
                        let f = (denoised - sd * sd / (s * s + sd * sd) * (x / alpha))
                            / (s * sd / (s * s + sd * sd).sqrt());
                        let f = if prediction == Prediction::V { -f } else { f };
                        let c = edm.score_coeffs(prediction, &schedule, t);
                        assert!(close(c.input * x, x / alpha / (s * s + sd * sd).sqrt(), 1e-14));
                        let got = c.x * x + c.out * f;
                        assert!(
                            (got - score).abs() <= score_slack,
                            "{schedule}, edm at {t}: score {got}, wanted {score}"
                        );
                        let d = edm.denoiser_coeffs(prediction, &schedule, t);
                        let got = d.x * x + d.out * f;
                        assert!((got - denoised).abs() <= denoised_slack, "{schedule} at {t}");
                    }
                }
            }
        }
    }

    /// Of unit data and where variance is preserved, it is the velocity that a network of EDM says, up to its sign.
    #[test]
    fn v_is_what_edm_wraps() {
        let (schedule, t) = (Schedule::VpLinear { b0: 0.1, b1: 20.0 }, 0.3);
        let own = Prediction::V.denoiser_coeffs(&schedule, t);
        let edm = Preconditioning::Edm { sigma_data: 1.0 }.denoiser_coeffs(Prediction::V, &schedule, t);
        assert!(close(edm.input, 1.0, 1e-14) && close(edm.x, own.x, 1e-13) && close(edm.out, own.out, 1e-13));
    }

    #[test]
    fn time_features() {
        let t = 0.3;
        for schedule in schedules() {
            let lambda = (schedule.sigma(t) / schedule.alpha(t)).ln();
            assert!((TimeFeature::LogSnr.at(&schedule, t) - lambda / 4.0).abs() < 1e-14);
            assert_eq!(TimeFeature::T.at(&schedule, t), t);
        }
    }
}
