//! What is wanted of a sample, and log psi in f64 from its definition: docs/maths.md (13.2).

use feynkac_kernels::models::Twist;
use serde::{Deserialize, Serialize};

use super::Doubt;
use crate::eigen::dot;
use crate::target::{log_normal, log_sum_exp};

/// What is wanted of a sample x0 of D coordinates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Task {
    /// That A x0 measures y, with Gaussian noise.
    Linear {
        /// A `[M, D]`, row-major.
        operator: Vec<f64>,
        /// y `[M]`.
        measured: Vec<f64>,
        /// Standard deviation of the noise of each component `[M]`, above 0.
        noise: Vec<f64>,
    },
    /// That some of its coordinates are known.
    Inpaint {
        /// Which `[D]`.
        mask: Vec<bool>,
        /// What they are `[D]`; the others do not matter.
        known: Vec<f64>,
        /// Standard deviation of their noise; 0 puts them in their place.
        noise: f64,
    },
    /// That a block of coordinates is somewhere, each place being as likely as another.
    Placement {
        /// The block `[M]`.
        motif: Vec<f64>,
        /// First coordinate of each place `[P]`.
        offsets: Vec<usize>,
        /// Standard deviation of its noise; 0 puts it in its place.
        noise: f64,
    },
    /// That A x0 <= b.
    Inequalities {
        /// A `[M, D]`, row-major.
        operator: Vec<f64>,
        /// b `[M]`.
        bounds: Vec<f64>,
    },
    /// That each coordinate is between two bounds.
    Bounds {
        /// `[D]`; none where it is minus infinity.
        lower: Vec<f64>,
        /// `[D]`, above the lower ones; none where it is infinity.
        upper: Vec<f64>,
    },
    /// That a reward is high: psi = exp(sum of slope x0 - curvature (x0 - centre)^2/2).
    Reward {
        /// `[D]`.
        slope: Vec<f64>,
        /// `[D]`, at least 0.
        curvature: Vec<f64>,
        /// `[D]`.
        centre: Vec<f64>,
    },
    /// That a classifier, which is the last model ([`crate::Model::classifier`]), says so: psi = p(class | D)^scale.
    Classifier {
        /// Which class.
        class: usize,
        /// The power, above 0.
        scale: f64,
    },
    /// What a likelihood of the caller's own says, which is the last model ([`crate::model::Likelihood`]).
    Own,
}

/// Slope of the logistic function whose integral is closest to that of a Gaussian of variance 1.
pub(super) const LOGISTIC: f64 = 1.702;

impl Task {
    /// The kernel's family.
    pub(super) fn family(&self) -> Twist {
        match self {
            Task::Linear { .. } => Twist::Linear,
            Task::Inpaint { .. } | Task::Reward { .. } => Twist::Separable,
            Task::Placement { .. } => Twist::Placement,
            Task::Inequalities { .. } => Twist::Inequalities,
            Task::Bounds { .. } => Twist::Bounds,
            Task::Classifier { .. } | Task::Own => Twist::Outside,
        }
    }

    /// Whether a likelihood behind the model says what is wanted.
    pub(crate) fn outside(&self) -> bool {
        self.family() == Twist::Outside
    }

    /// Whether the last step puts what is known in its place: it is known without noise.
    pub(crate) fn pins(&self) -> bool {
        matches!(self, Task::Inpaint { noise: 0.0, .. } | Task::Placement { noise: 0.0, .. })
    }

    /// log psi of the denoised state `d` and its gradient there, where the sample may be `doubt` from it, whose variance is 0
    /// at the clean state, where what is put in its place says nothing more. Nothing, too, of a task that a likelihood behind
    /// the model judges.
    pub fn log_psi(&self, d: &[f64], doubt: impl Into<Doubt>) -> (f64, Vec<f64>) {
        let Doubt { variance, growth } = doubt.into();
        let clean = variance == 0.0;
        let nothing = (0.0, vec![0.0; d.len()]);
        match self {
            _ if clean && self.pins() => nothing,
            Task::Classifier { .. } | Task::Own => nothing,
            Task::Linear { operator, measured, noise } => measures(operator, measured, noise, d, variance),
            Task::Inpaint { mask, known, noise } => {
                let mut said = nothing;
                for k in (0..d.len()).filter(|k| mask[*k]) {
                    let left = known[k] - d[k];
                    let (grown, grows) = (growth * left.abs(), growth * left.abs() > variance);
                    let variance = noise * noise + variance.max(grown);
                    let slope = if grows { -growth * left.signum() } else { 0.0 };
                    said.0 += log_normal(known[k], d[k], variance);
                    said.1[k] = left / variance + 0.5 * slope / variance * (left * left / variance - 1.0);
                }
                said
            }
            Task::Placement { motif, offsets, noise } => {
                let variance = noise * noise + variance;
                let fit = |at: &usize| -> f64 {
                    motif.iter().zip(&d[*at..]).map(|(y, d)| log_normal(*y, *d, variance)).sum()
                };
                let fits: Vec<f64> = offsets.iter().map(fit).collect();
                let total = log_sum_exp(&fits);
                let mut said = (total - (offsets.len() as f64).ln(), nothing.1);
                for (at, fit) in offsets.iter().zip(&fits) {
                    let share = (fit - total).exp();
                    for (j, y) in motif.iter().enumerate() {
                        said.1[at + j] += share * (y - d[at + j]) / variance;
                    }
                }
                said
            }
            Task::Inequalities { operator, bounds } => walls(operator, bounds, d, variance),
            Task::Bounds { lower, upper } => {
                let mut said = nothing;
                for (k, d) in d.iter().enumerate() {
                    let (low, high) = (wall(d - lower[k], variance), wall(upper[k] - d, variance));
                    said.0 += low.0 + high.0;
                    said.1[k] = low.1 - high.1;
                }
                said
            }
            Task::Reward { slope, curvature, centre } => {
                let mut said = nothing;
                for k in 0..d.len() {
                    let off = d[k] - centre[k];
                    said.0 += slope[k] * d[k] - 0.5 * curvature[k] * off * off;
                    said.1[k] = slope[k] - curvature[k] * off;
                }
                said
            }
        }
    }
}

/// log N(y; A d, R + variance A A^T) and its gradient, by the Cholesky factor of the covariance.
fn measures(operator: &[f64], y: &[f64], noise: &[f64], d: &[f64], variance: f64) -> (f64, Vec<f64>) {
    let (m, rows) = (y.len(), || operator.chunks_exact(d.len()));
    let mut lower: Vec<Vec<f64>> = Vec::with_capacity(m);
    let mut solved: Vec<f64> = Vec::with_capacity(m);
    let mut log_psi = -0.5 * m as f64 * std::f64::consts::TAU.ln();
    for (i, own) in rows().enumerate() {
        let mut row = Vec::with_capacity(i + 1);
        for (j, other) in rows().take(i + 1).enumerate() {
            let own_noise = if i == j { noise[i] * noise[i] } else { 0.0 };
            let rest =
                own_noise + variance * dot(own, other) - lower.get(j).map_or(0.0, |l| dot(&l[..j], &row));
            row.push(if i == j { (rest - dot(&row, &row)).sqrt() } else { rest / lower[j][j] });
        }
        let left = y[i] - dot(own, d) - dot(&row[..i], &solved);
        solved.push(left / row[i]);
        log_psi -= 0.5 * solved[i] * solved[i] + row[i].ln();
        lower.push(row);
    }
    // L^T r = solved, from the last component on.
    for i in (0..m).rev() {
        solved[i] /= lower[i][i];
        for j in 0..i {
            solved[j] -= lower[i][j] * solved[i];
        }
    }
    let pull = |k: usize| rows().zip(&solved).map(|(row, r)| row[k] * r).sum();
    (log_psi, (0..d.len()).map(pull).collect())
}

/// ln of the product of logistic functions of the distance to each wall, or of an indicator at the clean state.
fn walls(operator: &[f64], bounds: &[f64], d: &[f64], variance: f64) -> (f64, Vec<f64>) {
    let mut said = (0.0, vec![0.0; d.len()]);
    for (row, bound) in operator.chunks_exact(d.len()).zip(bounds) {
        let (log_psi, slope) = wall(bound - dot(row, d), variance * dot(row, row));
        said.0 += log_psi;
        said.1.iter_mut().zip(row).for_each(|(pull, a)| *pull -= slope * a);
    }
    said
}

/// The same of one wall that is `left` away, and its slope there.
fn wall(left: f64, variance: f64) -> (f64, f64) {
    if variance == 0.0 {
        return (if left < 0.0 { f64::NEG_INFINITY } else { 0.0 }, 0.0);
    }
    let steep = LOGISTIC / variance.sqrt();
    let u = steep * left;
    (u.min(0.0) - (-u.abs()).exp().ln_1p(), steep / (1.0 + u.exp()))
}
