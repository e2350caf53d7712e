//! What the models say in f64, and what rounding can do to what the device says.

use feynkac_kernels::methods::StepCoeffs;
use feynkac_kernels::passes::mlp::{Compute, Half};
use feynkac_kernels::passes::step::oracle::{Particle, Point, Rows};

use super::{EPS, kept};
use crate::aim::{Divergence, Says};
use crate::error::{Error, Result};
use crate::model::{Model, Noise, seen};
use crate::options::Options;
use crate::registry::Method;
use crate::run::Run;
use crate::target::{Scales, Target};

/// Refuses what no oracle walks beside.
pub fn check(models: &[Model], options: &Options) -> Result<()> {
    if models.iter().enumerate().any(|(at, model)| options.says(at, model) == Says::Divergence)
        && options.divergence != Divergence::Exact
    {
        return Err(Error::input(
            "divergence",
            format!("{:?}", options.divergence),
            "exact, beside the oracles",
        ));
    }
    if models.iter().any(|model| matches!(model, Model::Likelihood(_))) {
        return Err(Error::input("likelihood", "one of your own", "a task with an f64 oracle"));
    }
    Ok(())
}

/// Scores, log-densities and Laplacians of all models at one level in f64.
pub struct Judge<'a> {
    pub models: &'a [Model],
    /// The likelihood behind them, if any.
    pub behind: Option<&'a Model>,
    pub levels: &'a [Noise],
    pub options: &'a Options,
}

/// What rounding can do to what one model says at a point.
#[derive(Clone, Copy)]
pub struct Slack {
    /// To a coordinate of the score.
    pub score: f64,
    /// To the log-density.
    pub log_q: f64,
    /// To its Laplacian.
    pub laplacian: f64,
}

impl Judge<'_> {
    /// What all of them say.
    pub fn evaluate(&self, x: &[f64], level: usize) -> Result<Point> {
        let mut point = Point::default();
        for (m, model) in self.models.iter().enumerate() {
            let noise = seen(self.options, m, self.levels[level]);
            match model {
                Model::Analytic(target) => {
                    point.scores.push(target.score(x, noise.alpha, noise.sigma));
                    point.log_q.push(target.log_density(x, noise.alpha, noise.sigma));
                    if self.options.laplacians() {
                        point.laplacians.push(target.laplacian(x, noise.alpha, noise.sigma));
                    }
                }
                Model::Network(network) => {
                    let own = &network.config.schedule;
                    let t = own.time_at((noise.sigma / noise.alpha).ln());
                    let ratio = own.alpha(t) / noise.alpha;
                    let scaled: Vec<f64> = x.iter().map(|x| ratio * x).collect();
                    let out = network.weights.forward(&network.config, &scaled, t, network.class)?;
                    point.scores.push(out.score.iter().map(|s| ratio * s).collect());
                    point.log_q.push(0.0);
                    if self.options.laplacians() {
                        point.laplacians.push(0.0);
                    }
                }
                Model::Layered(asked) => {
                    let says = self.options.says(m, model);
                    let [log_q, laplacian] = asked.told(x, &self.options.schedule, noise, says)?;
                    point.scores.push(asked.score(x, noise)?);
                    point.log_q.push(log_q);
                    if self.options.laplacians() {
                        point.laplacians.push(laplacian);
                    }
                }
                Model::Foreign(_) | Model::Classifier(_) | Model::Likelihood(_) => {
                    return Err(Error::input("model", model.describe(), "one with an f64 oracle"));
                }
            }
        }
        Ok(point)
    }

    /// What rounding can do to model `m` at `x`: every component's exponent is off by a few eps of itself, which
    /// shifts its share.
    pub fn slack(&self, m: usize, x: &[f64], level: usize) -> Slack {
        let Noise { alpha, sigma, .. } = seen(self.options, m, self.levels[level]);
        let d = x.len() as f64;
        let norm = x.iter().map(|x| x.abs()).fold(0.0, f64::max);
        match &self.models[m] {
            Model::Analytic(Target::Mixture(mix)) => {
                let shares = mix.responsibilities(x, alpha, sigma);
                let (mut exponent, mut pull, mut narrow) = (1.0_f64, 0.0_f64, 0.0_f64);
                for (k, _) in shares.iter().enumerate().filter(|(_, s)| **s > 1.0e-12) {
                    let mut own = 0.0;
                    for (d, x) in x.iter().enumerate() {
                        let variance = (alpha * mix.scale(k, d)).powi(2) + sigma * sigma;
                        let reach = (alpha * mix.mean(k)[d]).abs() + norm;
                        own += (alpha * mix.mean(k)[d] - x).abs() * reach / variance;
                        pull = pull.max(reach / variance);
                        narrow = narrow.max(1.0 / variance);
                    }
                    exponent = exponent.max(own);
                }
                let scale_free = matches!(mix.scales, Scales::Isotropic(_));
                let c = if scale_free { 8.0 } else { 16.0 };
                let share = c * EPS * (4.0 + exponent);
                Slack {
                    score: share * pull,
                    log_q: share + c * EPS * d,
                    laplacian: 8.0 * share * d * (pull * pull + narrow),
                }
            }
            Model::Analytic(Target::Gaussian(g)) => {
                let smallest = g.covariance.values.iter().copied().fold(f64::INFINITY, f64::min);
                let variance = alpha * alpha * smallest + sigma * sigma;
                let reach = norm + alpha * g.mean.iter().map(|m| m.abs()).fold(0.0, f64::max);
                Slack {
                    score: 16.0 * EPS * d * reach / variance,
                    log_q: 16.0 * EPS * d * (d + reach * reach / variance),
                    laplacian: 16.0 * EPS * d * d / variance,
                }
            }
            // Of the denoiser's size: in f32 as the shipped ones promise, on tensor cores as measured (docs/maths.md (9)).
            model => {
                let share = match (model, self.options.compute) {
                    (Model::Network(_), Compute::Tensor(Half::F16)) => 3.0e-3,
                    (Model::Network(_), Compute::Tensor(Half::Bf16)) => 2.0e-2,
                    _ => 1.0e-4,
                };
                let score = share * (norm + 1.0) / (sigma * sigma).min(sigma);
                Slack { score, log_q: 0.0, laplacian: 0.0 }
            }
        }
    }
}

/// What rounding can do to the log-density of the target.
pub fn log_slack(judge: &Judge, run: &Run, (level, c): (usize, &StepCoeffs), x: &[f64]) -> f64 {
    let factor = |m: usize| match run.options.method {
        Method::FkcMixture => 1.0,
        _ => c.beta[m].abs(),
    };
    (0..judge.models.len()).map(|m| factor(m) * judge.slack(m, x, level).log_q).sum()
}

/// The largest factor that a method has for a score, over that of a product of powers.
fn own_factor(c: &StepCoeffs) -> f64 {
    2.0 + 2.0 * c.side[0] + c.side[1].abs()
}

/// Factor of each model's score.
fn factors(run: &Run, c: &StepCoeffs) -> Vec<f64> {
    let mixed = run.options.method == Method::FkcMixture;
    c.beta.iter().map(|b| if mixed { 1.0 } else { b.abs() + 1.0 }).collect()
}

/// What rounding can do to a coordinate of the score that a method follows.
pub fn follow_slack(
    judge: &Judge,
    run: &Run,
    (level, c): (usize, &StepCoeffs),
    x: &[f64],
    point: &Point,
) -> f64 {
    let slacks: Vec<Slack> = (0..judge.models.len()).map(|m| judge.slack(m, x, level)).collect();
    let size = |m: usize| point.scores[m].iter().map(|s| s.abs()).fold(0.0, f64::max);
    let factors = factors(run, c);
    let own: f64 = slacks.iter().enumerate().map(|(m, s)| factors[m] * (s.score + 8.0 * EPS * size(m))).sum();
    // Shares of a mixture are off by as much as the log-densities.
    let shifted = if run.options.method == Method::FkcMixture {
        let most = (0..slacks.len()).map(size).fold(0.0, f64::max);
        8.0 * most * slacks.iter().map(|s| s.log_q + EPS * 100.0).fold(0.0, f64::max)
    } else {
        0.0
    };
    own_factor(c) * own + shifted
}

/// What rounding can do to `rate` R + `swing` sum (beta' - beta) ln q.
pub fn owed_slack(
    judge: &Judge,
    run: &Run,
    (c, next, level): (&StepCoeffs, &StepCoeffs, usize),
    x: &[f64],
    point: &Point,
    (rate, swing): (f64, f64),
) -> f64 {
    let slacks: Vec<Slack> = (0..judge.models.len()).map(|m| judge.slack(m, x, level)).collect();
    let total: f64 = factors(run, c).iter().take(slacks.len()).sum::<f64>() * own_factor(c);
    let worst: f64 = slacks.iter().map(|s| s.score).sum();
    let sizes = || point.scores.iter().flatten().map(|s| s.abs());
    let pulled = c.side[2].abs() * x.iter().map(|x| x.abs()).sum::<f64>();
    let products = 2.0 * worst * (sizes().sum::<f64>() + pulled)
        + 16.0 * EPS * (sizes().map(|s| s * s).sum::<f64>() + sizes().sum::<f64>() * pulled);
    let bent: f64 = slacks.iter().map(|s| s.laplacian).sum();
    let gained: f64 = slacks
        .iter()
        .enumerate()
        .map(|(m, s)| {
            let rounded = 4.0 * EPS * (c.beta[m].abs() + next.beta[m].abs()) * point.log_q[m].abs();
            (next.beta[m] - c.beta[m]).abs() * s.log_q + rounded
        })
        .sum();
    rate.abs() * (total * total * products + total * bent) + swing.abs() * gained
}

/// What rounding can do to a log-weight over a step: `from` moved to `found`, where the models say `evaluated`.
pub fn weight_slack(
    run: &Run,
    judge: &Judge,
    (step, Rows { c, next }): (usize, Rows),
    ((from, old), (found, evaluated)): ((&Particle, Option<&Point>), (&Particle, &Point)),
    log_w: f64,
) -> f64 {
    let keeps = &run.plan.keeps;
    let worst = |x: &[f64], level: usize| -> f64 {
        (0..judge.models.len()).map(|m| judge.slack(m, x, level).score).sum()
    };
    let linear = evaluated.scores.iter().flatten().map(|s| s.abs()).sum::<f64>();
    let mut allowed = 16.0 * EPS * (log_w.abs() + from.log_w.abs() + 1.0);
    if keeps.follows {
        let new = (c, next, step + 1);
        allowed += owed_slack(judge, run, new, &found.x, evaluated, (c.rate_new, c.swing_new));
        allowed += match old {
            Some(old) => owed_slack(judge, run, (c, next, step), &from.x, old, (c.rate_old, c.swing_old)),
            None => 4.0 * EPS * from.log_p.abs(),
        };
    } else {
        let beta: f64 = c.beta.iter().map(|b| b.abs()).sum::<f64>() + 1.0;
        let size = |p: &[Vec<f64>]| p.iter().flatten().map(|s| s * s).sum::<f64>();
        // Squares of scores: their own rounding, and twice a score times its error.
        let rates = c.rate_old.abs() * size(&from.scores) + c.rate_new.abs() * size(&evaluated.scores);
        allowed += 16.0 * EPS * rates * beta * beta
            + 2.0 * beta * beta * c.rate_new.abs() * worst(&found.x, step + 1) * linear;
        if !keeps.carried {
            // The old scores were the device's own too.
            let linear = from.scores.iter().flatten().map(|s| s.abs()).sum::<f64>();
            allowed += 2.0 * beta * beta * c.rate_old.abs() * worst(&from.x, step) * linear;
        }
    }
    if keeps.exact {
        let d = run.of.dim as f64;
        let spread = from.x.iter().chain(&found.x).map(|x| x.abs()).fold(0.0, f64::max);
        let residual = 6.0 / c.back_precision.max(1.0e-30).sqrt();
        let pulled = if keeps.follows {
            follow_slack(judge, run, (step + 1, next), &found.x, evaluated)
        } else {
            worst(&found.x, step + 1)
        };
        let back = c.back_precision * residual * (4.0 * EPS * spread + c.back_drift.abs() * pulled);
        allowed += log_slack(judge, run, (step + 1, next), &found.x)
            + d * (4.0e-5 + back + 4.0 * EPS * c.back_precision * residual * residual)
            + 16.0 * EPS * (from.log_p.abs() + found.log_p.abs());
        // x' itself is rounded, which moves its density and the drawn noise.
        let apart = 8.0 * EPS * spread + kept(run, spread);
        allowed += d * apart * (linear + 6.0 / c.noise.max(1.0e-30));
    }
    allowed
}
