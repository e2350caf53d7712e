//! The Hessian of a log-density, times a vector.

use super::Target;
use crate::eigen::dot;

impl Target {
    /// The Hessian of [`log_density`](Self::log_density) at `x`, times `w`: of a mixture the sum of
    /// r_k (s_k <s_k, w> - C_k^-1 w), less s <s, w>; of a Gaussian minus its precision times `w`.
    pub fn bend(&self, x: &[f64], w: &[f64], alpha: f64, sigma: f64) -> Vec<f64> {
        match self {
            Target::Gaussian(g) => {
                let mut bent = vec![0.0; w.len()];
                for (axis, _, variance) in g.along(x, alpha, sigma) {
                    let along = dot(axis, w) / variance;
                    bent.iter_mut().zip(axis).for_each(|(b, a)| *b -= along * a);
                }
                bent
            }
            Target::Mixture(m) => {
                let score = m.score(x, alpha, sigma);
                let whole = dot(&score, w);
                let mut bent: Vec<f64> = score.iter().map(|s| -s * whole).collect();
                for (k, r) in m.responsibilities(x, alpha, sigma).iter().enumerate() {
                    let pull = |d: usize| (alpha * m.mean(k)[d] - x[d]) / m.diffused(k, d, alpha, sigma);
                    let pulls: Vec<f64> = (0..x.len()).map(pull).collect();
                    let along = dot(&pulls, w);
                    for (d, b) in bent.iter_mut().enumerate() {
                        *b += r * (pulls[d] * along - w[d] / m.diffused(k, d, alpha, sigma));
                    }
                }
                bent
            }
        }
    }
}
