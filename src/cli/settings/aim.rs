//! What the target is, beyond a model and an exponent.

use std::path::PathBuf;

use clap::Args;

use super::{named, number};
use crate::aim::{Densities, Divergence, Growth};

/// Weights of a mixture, exponents that change on the way down, a reward.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct Aim {
    /// Weight of a model, for fkc-mixture: once for each, in the order of the models [default: equal]
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = number)]
    pub weight: Vec<f64>,
    /// beta at the start, from where it changes to --beta in equal parts of log(sigma/alpha) [default: no change]
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = number)]
    pub beta_from: Option<f64>,
    /// Exponent of a model at the start, for fkc-compose: once for each, or not at all [default: no change]
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = number)]
    pub exponent_from: Vec<f64>,
    /// Log-densities of targets that need them: exact (networks give none, theirs are estimated) or ito (all are
    /// estimated along the particles) [default: exact]
    #[arg(long, value_parser = named::<Densities>)]
    pub densities: Option<Densities>,
    /// Divergence of the network of fkc-transport: exact (a pass a coordinate) or hutchinson:K (K passes along random
    /// signs, unbiased) [default: exact]
    #[arg(long, value_parser = named::<Divergence>)]
    pub divergence: Option<Divergence>,
    /// TOML target whose log-density is a reward r: the target is multiplied by exp(L r)
    #[arg(long, value_name = "FILE")]
    pub reward: Option<PathBuf>,
    /// L at the end; at the start it is 0 [default: 1]
    #[arg(long, value_name = "L", allow_negative_numbers = true, value_parser = number)]
    pub reward_scale: Option<f64>,
    /// How it grows: signal (with alpha^2/(alpha^2 + sigma^2)), linear (in log(sigma/alpha)) or ess:F (as signal,
    /// after each step no further than the ESS stays above F N) [default: signal]
    #[arg(long, value_parser = named::<Growth>)]
    pub reward_growth: Option<Growth>,
    /// Drift of the reward is this times g^2 L grad r; the default needs no Laplacian [default: zeta^2/2]
    #[arg(long, value_name = "C", allow_negative_numbers = true, value_parser = number)]
    pub reward_drift: Option<f64>,
}

impl Aim {
    /// These, and `below` where these say nothing.
    pub fn over(self, below: Self) -> Self {
        let list = |own: Vec<f64>, below: Vec<f64>| if own.is_empty() { below } else { own };
        Self {
            weight: list(self.weight, below.weight),
            beta_from: self.beta_from.or(below.beta_from),
            exponent_from: list(self.exponent_from, below.exponent_from),
            densities: self.densities.or(below.densities),
            divergence: self.divergence.or(below.divergence),
            reward: self.reward.or(below.reward),
            reward_scale: self.reward_scale.or(below.reward_scale),
            reward_growth: self.reward_growth.or(below.reward_growth),
            reward_drift: self.reward_drift.or(below.reward_drift),
        }
    }
}
