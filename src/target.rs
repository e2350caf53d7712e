//! Analytic targets: densities known in closed form, at every noise level, read from a TOML file.
//!
//! ```toml
//! kind = "mixture"                     # of Gaussians
//! weights = [0.3, 0.7]                 # K numbers above zero
//! means = [[-2.0, 0.0], [1.5, 0.5]]    # K lists of D
//! scales = [0.5, 0.4]                  # K standard deviations, or K lists of D
//! ```
//!
//! ```toml
//! kind = "gaussian"
//! mean = [0.0, 1.0]                    # D numbers
//! covariance = [[2.0, 0.5], [0.5, 1.0]]
//! ```
//!
//! A state at noise level (alpha, sigma) is alpha x_0 + sigma eps, so a Gaussian N(m, C) becomes
//! N(alpha m, alpha^2 C + sigma^2 I), and a mixture stays a mixture with the same weights. Maths: docs/maths.md,
//! "Gaussians" and "Mixtures of Gaussians".

mod curvature;
mod parse;

use crate::eigen::Eigen;

/// A target with a closed form.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A mixture of Gaussians with diagonal covariances.
    Mixture(Mixture),
    /// One Gaussian with any covariance.
    Gaussian(Gaussian),
}

/// The standard deviations of a mixture's components; all above zero.
#[derive(Clone, Debug, PartialEq)]
pub enum Scales {
    /// `[K]`: one for all coordinates of a component.
    Isotropic(Vec<f64>),
    /// `[K, D]`, row-major: one for each coordinate of a component.
    Diagonal(Vec<f64>),
}

/// A mixture of K Gaussians in D dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    /// D.
    pub dim: usize,
    /// `[K]`, above zero, with sum 1.
    pub weights: Vec<f64>,
    /// `[K, D]`, row-major.
    pub means: Vec<f64>,
    /// The standard deviations.
    pub scales: Scales,
}

/// A Gaussian in D dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct Gaussian {
    /// `[D]`.
    pub mean: Vec<f64>,
    /// The eigenvalues (`[D]`, largest first) and eigenvectors (`[D, D]`, one a row) of the covariance.
    pub covariance: Eigen,
}

impl Target {
    /// D: the numbers in a state.
    pub fn dim(&self) -> usize {
        match self {
            Target::Mixture(m) => m.dim,
            Target::Gaussian(g) => g.mean.len(),
        }
    }

    /// The mean, and the isotropic variance: the trace of the covariance over D. With these the start
    /// distribution is N(alpha mean, (alpha^2 variance + sigma^2) I / B).
    pub fn moments(&self) -> (Vec<f64>, f64) {
        match self {
            Target::Mixture(m) => m.moments(),
            Target::Gaussian(g) => g.moments(),
        }
    }

    /// The log-density of alpha x_0 + sigma eps at `x`, normalised. With alpha = 1, sigma = 0 it is that of the
    /// target. NaN unless `x` is D long.
    pub fn log_density(&self, x: &[f64], alpha: f64, sigma: f64) -> f64 {
        match self {
            Target::Mixture(m) => m.log_density(x, alpha, sigma),
            Target::Gaussian(g) => g.log_density(x, alpha, sigma),
        }
    }

    /// The gradient of [`log_density`](Self::log_density) with respect to `x`. NaN unless `x` is D long.
    pub fn score(&self, x: &[f64], alpha: f64, sigma: f64) -> Vec<f64> {
        match self {
            Target::Mixture(m) => m.score(x, alpha, sigma),
            Target::Gaussian(g) => g.score(x, alpha, sigma),
        }
    }

    /// The Laplacian of [`log_density`](Self::log_density): of a mixture the sum of r_k (|s_k|^2 - tr C_k^-1), less
    /// |s|^2, with the share r_k and the score s_k of component k; of a Gaussian minus the trace of its precision.
    pub fn laplacian(&self, x: &[f64], alpha: f64, sigma: f64) -> f64 {
        match self {
            Target::Gaussian(g) => g.along(x, alpha, sigma).map(|(_, _, variance)| -1.0 / variance).sum(),
            Target::Mixture(m) => {
                let square: f64 = m.score(x, alpha, sigma).iter().map(|s| s * s).sum();
                let part = |k: usize| {
                    x.iter().zip(m.mean(k)).enumerate().map(move |(d, (x, mean))| {
                        let variance = m.diffused(k, d, alpha, sigma);
                        ((alpha * mean - x) / variance).powi(2) - 1.0 / variance
                    })
                };
                let shares = m.responsibilities(x, alpha, sigma);
                shares.iter().enumerate().map(|(k, r)| r * part(k).sum::<f64>()).sum::<f64>() - square
            }
        }
    }
}

/// The log-density of N(mean, variance) at `x`.
pub(crate) fn log_normal(x: f64, mean: f64, variance: f64) -> f64 {
    -0.5 * ((x - mean).powi(2) / variance + variance.ln() + std::f64::consts::TAU.ln())
}

impl Mixture {
    /// K: the number of components.
    pub fn components(&self) -> usize {
        self.weights.len()
    }

    /// The mean of component `k`; empty if there is no such component.
    pub fn mean(&self, k: usize) -> &[f64] {
        let start = k.saturating_mul(self.dim);
        let row = start..start.saturating_add(self.dim);
        self.means.get(row).unwrap_or_default()
    }

    /// The standard deviation of coordinate `d` of component `k`; NaN if there is none.
    pub fn scale(&self, k: usize, d: usize) -> f64 {
        let found = match &self.scales {
            Scales::Isotropic(s) => s.get(k).filter(|_| d < self.dim),
            Scales::Diagonal(s) => s.chunks(self.dim).nth(k).and_then(|row| row.get(d)),
        };
        found.copied().unwrap_or(f64::NAN)
    }

    /// See [`Target::moments`].
    pub fn moments(&self) -> (Vec<f64>, f64) {
        let mut mean = vec![0.0; self.dim];
        for (k, w) in self.weights.iter().enumerate() {
            for (sum, m) in mean.iter_mut().zip(self.mean(k)) {
                *sum += w * m;
            }
        }
        let mut trace = 0.0;
        for (k, w) in self.weights.iter().enumerate() {
            for (d, (m, centre)) in self.mean(k).iter().zip(&mean).enumerate() {
                trace += w * (self.scale(k, d).powi(2) + (m - centre).powi(2));
            }
        }
        (mean, trace / self.dim as f64)
    }

    /// The variance of coordinate `d` of component `k` at a noise level.
    fn diffused(&self, k: usize, d: usize, alpha: f64, sigma: f64) -> f64 {
        (alpha * self.scale(k, d)).powi(2) + sigma * sigma
    }

    /// log( w_k N_k(x) ) of every component.
    fn log_parts(&self, x: &[f64], alpha: f64, sigma: f64) -> Vec<f64> {
        if x.len() != self.dim {
            return vec![f64::NAN; self.components()];
        }
        let part = |(k, w): (usize, &f64)| {
            let coordinates = x.iter().zip(self.mean(k)).enumerate();
            let logs =
                coordinates.map(|(d, (x, m))| log_normal(*x, alpha * m, self.diffused(k, d, alpha, sigma)));
            w.ln() + logs.sum::<f64>()
        };
        self.weights.iter().enumerate().map(part).collect()
    }

    /// See [`Target::log_density`].
    pub fn log_density(&self, x: &[f64], alpha: f64, sigma: f64) -> f64 {
        log_sum_exp(&self.log_parts(x, alpha, sigma))
    }

    /// The probability of every component given `x`.
    pub fn responsibilities(&self, x: &[f64], alpha: f64, sigma: f64) -> Vec<f64> {
        let parts = self.log_parts(x, alpha, sigma);
        let total = log_sum_exp(&parts);
        parts.iter().map(|part| (part - total).exp()).collect()
    }

    /// See [`Target::score`].
    pub fn score(&self, x: &[f64], alpha: f64, sigma: f64) -> Vec<f64> {
        let r = self.responsibilities(x, alpha, sigma);
        let coordinate = |(d, x): (usize, &f64)| -> f64 {
            let pull = |(k, r): (usize, &f64)| {
                let mean = self.mean(k).get(d).copied().unwrap_or(f64::NAN);
                r * (alpha * mean - x) / self.diffused(k, d, alpha, sigma)
            };
            r.iter().enumerate().map(pull).sum()
        };
        x.iter().enumerate().map(coordinate).collect()
    }
}

/// ln of the sum of exponentials, without overflow.
pub(crate) fn log_sum_exp(values: &[f64]) -> f64 {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return values.iter().sum(); // all -inf, or a NaN that `max` passes over
    }
    largest + values.iter().map(|v| (v - largest).exp()).sum::<f64>().ln()
}

impl Gaussian {
    /// See [`Target::moments`].
    pub fn moments(&self) -> (Vec<f64>, f64) {
        let trace: f64 = self.covariance.values.iter().sum();
        (self.mean.clone(), trace / self.mean.len() as f64)
    }

    /// Along each eigenvector: its direction, how far `x` is from the centre, and the variance there.
    fn along<'a>(&'a self, x: &[f64], alpha: f64, sigma: f64) -> impl Iterator<Item = (&'a [f64], f64, f64)> {
        let off: Vec<f64> = if x.len() == self.mean.len() {
            x.iter().zip(&self.mean).map(|(x, m)| x - alpha * m).collect()
        } else {
            vec![f64::NAN; self.mean.len()]
        };
        let vectors = self.covariance.vectors.chunks_exact(self.mean.len().max(1));
        vectors.zip(&self.covariance.values).map(move |(vector, value)| {
            let distance: f64 = vector.iter().zip(&off).map(|(v, o)| v * o).sum();
            (vector, distance, alpha * alpha * value + sigma * sigma)
        })
    }

    /// See [`Target::log_density`].
    pub fn log_density(&self, x: &[f64], alpha: f64, sigma: f64) -> f64 {
        self.along(x, alpha, sigma).map(|(_, distance, variance)| log_normal(distance, 0.0, variance)).sum()
    }

    /// See [`Target::score`].
    pub fn score(&self, x: &[f64], alpha: f64, sigma: f64) -> Vec<f64> {
        let mut score = vec![0.0; x.len()];
        for (vector, distance, variance) in self.along(x, alpha, sigma) {
            for (i, s) in score.iter_mut().enumerate() {
                *s -= vector.get(i).copied().unwrap_or(f64::NAN) * distance / variance;
            }
        }
        score
    }
}

#[cfg(test)]
mod tests;
