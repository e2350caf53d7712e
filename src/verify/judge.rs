//! The models in f64, and what rounding can do to them.

use super::EPS;
use crate::error::{Error, Result};
use crate::model::{Model, Noise};
use crate::target::{Scales, Target};

/// Scores and log-densities of all models at one level in f64.
pub(super) struct Judge<'a> {
    pub models: &'a [Model],
    pub levels: &'a [Noise],
}

impl Judge<'_> {
    /// (`[model][dim]` scores, `[model]` log-densities).
    pub fn evaluate(&self, x: &[f64], level: usize) -> Result<(Vec<Vec<f64>>, Vec<f64>)> {
        let noise = self.levels[level];
        let mut scores = Vec::new();
        let mut logs = Vec::new();
        for model in self.models {
            match model {
                Model::Analytic(target) => {
                    scores.push(target.score(x, noise.alpha, noise.sigma));
                    logs.push(target.log_density(x, noise.alpha, noise.sigma));
                }
                Model::Network(network) => {
                    let own = &network.config.schedule;
                    let t = own.time_at((noise.sigma / noise.alpha).ln());
                    let ratio = own.alpha(t) / noise.alpha;
                    let scaled: Vec<f64> = x.iter().map(|x| ratio * x).collect();
                    let out = network.weights.forward(&network.config, &scaled, t, network.class)?;
                    scores.push(out.score.iter().map(|s| ratio * s).collect());
                    logs.push(0.0);
                }
                Model::Foreign(_) => {
                    return Err(Error::input("model", "a foreign model", "one with an f64 oracle"));
                }
            }
        }
        Ok((scores, logs))
    }

    /// What rounding can do to (a coordinate of the score, the log-density) of model `m` at `x`:
    /// every component's exponent is off by a few eps of itself, which shifts its share.
    pub fn slack(&self, m: usize, x: &[f64], level: usize) -> (f64, f64) {
        let Noise { alpha, sigma, .. } = self.levels[level];
        let norm = x.iter().map(|x| x.abs()).fold(0.0, f64::max);
        match &self.models[m] {
            Model::Analytic(Target::Mixture(mix)) => {
                let shares = mix.responsibilities(x, alpha, sigma);
                let (mut exponent, mut pull) = (1.0_f64, 0.0_f64);
                for (k, share) in shares.iter().enumerate().filter(|(_, s)| **s > 1.0e-12) {
                    let mut own = 0.0;
                    for (d, x) in x.iter().enumerate() {
                        let variance = (alpha * mix.scale(k, d)).powi(2) + sigma * sigma;
                        let reach = (alpha * mix.mean(k)[d]).abs() + norm;
                        own += (alpha * mix.mean(k)[d] - x).abs() * reach / variance;
                        pull = pull.max(reach / variance);
                    }
                    let _ = share;
                    exponent = exponent.max(own);
                }
                let scale_free = matches!(mix.scales, Scales::Isotropic(_));
                let c = if scale_free { 8.0 } else { 16.0 };
                (c * EPS * pull * (4.0 + exponent), c * EPS * (4.0 + exponent + x.len() as f64))
            }
            Model::Analytic(Target::Gaussian(g)) => {
                let smallest = g.covariance.values.iter().copied().fold(f64::INFINITY, f64::min);
                let variance = alpha * alpha * smallest + sigma * sigma;
                let d = x.len() as f64;
                let reach = norm + alpha * g.mean.iter().map(|m| m.abs()).fold(0.0, f64::max);
                (16.0 * EPS * d * reach / variance, 16.0 * EPS * d * (d + reach * reach / variance))
            }
            // A dense network in f32: 1e-4 of the denoiser's size, as the shipped ones promise.
            _ => (1.0e-4 * (norm + 1.0) / (sigma * sigma).min(sigma), 0.0),
        }
    }
}
