//! What the twisted sampler is told: what is wanted of a sample, how sure a denoised state is of it, and the chain that is
//! twisted. docs/maths.md (13).

mod chain;
mod check;
mod names;
mod numbers;
mod read;
mod task;
mod trail;

use feynkac_kernels::models::{self, Twist, TwistKey};
use serde::{Deserialize, Serialize};

use crate::model::{Model, Noise};
use crate::options::Options;

pub(crate) use chain::{CLEAN, noise, row};
pub(crate) use names::CLASSIFIER;
pub use names::{CHAINS, POTENTIALS, PROPOSALS, SPREADS, TASKS};
pub(crate) use read::unwanted;
pub use task::Task;
pub(crate) use trail::Trail;

/// The variance that a denoised state is taken to have about the sample it leads to, with v = sigma^2/alpha^2:
/// docs/maths.md (13.3).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spread {
    /// v t/(v + t), with t the variance of the model's samples: what it would be, were they a Gaussian.
    Data,
    /// v: the noise itself.
    Noise,
    /// v t/(v + t) with this t, above 0.
    Tau(f64),
    /// b/alpha, with b the variance that the forward chain adds over the step from there: of DDPM beta/sqrt(alpha bar).
    Step,
    /// 2 b |y - D| of each coordinate of [`Task::Inpaint`] by itself, but no less than b: steps of equal length along the
    /// residual, as in diffusion posterior sampling (H. Chung et al. 2022, arXiv 2209.14687).
    Residual,
}

/// How far a sample may be from its denoised state.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Doubt {
    /// As a variance; the least one, where it grows. 0 at the clean state.
    pub variance: f64,
    /// The variance is this times what the denoised state misses, where that is more.
    pub growth: f64,
}

impl From<f64> for Doubt {
    /// The same of all states.
    fn from(variance: f64) -> Self {
        Self { variance, growth: 0.0 }
    }
}

/// The model's own kernels between two levels: docs/maths.md (13.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chain {
    /// With the variance that the forward chain adds.
    Forward,
    /// With that of the forward chain given both ends; none on the last step.
    Posterior,
    /// As posterior, and on the last step with the variance of the step before: so clipped by improved DDPM (A. Nichol,
    /// P. Dhariwal 2021, arXiv 2102.09672), which known coordinates without noise need.
    Clipped,
    /// As forward, but for the last step: from the level where it is cut off it goes to the denoised state.
    Truncated,
    /// With one between those of forward and posterior, of each coordinate, that the network says; none on the last step.
    Learned,
}

/// Where the steps of a run come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proposal {
    /// The model's own, leant by the twist.
    #[default]
    Twisted,
    /// The model's own, with what is known put in its place at every level, along a path that the noise took from there:
    /// SMCDiff of B. Trippe et al. 2023 (arXiv 2206.04119). Each group has a path; of a chain of few steps it is over all paths,
    /// weighted by the Z of their groups, that samples are of the posterior: docs/maths.md (13.8).
    Replacement,
}

/// What steers particles that nothing leans, from r = log psi at the levels so far (R. Singhal et al., "A General Framework for
/// Inference-time Scaling and Steering of Diffusion Models", 2025, arXiv 2501.06848). The last weight corrects each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Potential {
    /// By how much r grew.
    #[default]
    Difference,
    /// The largest r.
    Max,
    /// The sum of them.
    Sum,
}

/// A run of the twisted sampler, beyond what all runs are told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Twisting {
    /// What is wanted of a sample.
    pub task: Task,
    /// How far the sample may be from the denoised state.
    pub spread: Spread,
    /// Factor of that variance, above 0.
    pub scale: f64,
    /// How far the proposal leans: 1 by v grad log psi, 0 not at all, which is the model itself.
    pub lean: f64,
    /// Variance of the proposal over that of the model, at least 1.
    pub proposal_variance: f64,
    /// The chain.
    pub chain: Chain,
    /// What steers where nothing leans: docs/maths.md (13.6).
    #[serde(default)]
    pub potential: Potential,
    /// The least and the greatest value of a denoised state as it is leant, which it is cut off at: docs/maths.md (13.7).
    #[serde(default)]
    pub range: Option<(f64, f64)>,
    /// Where steps come from.
    #[serde(default)]
    pub proposal: Proposal,
}

impl Twisting {
    /// The usual settings for `task`.
    pub fn new(task: Task) -> Self {
        Self {
            task,
            spread: Spread::Data,
            scale: 1.0,
            lean: 1.0,
            proposal_variance: 1.0,
            chain: Chain::Forward,
            potential: Potential::Difference,
            range: None,
            proposal: Proposal::Twisted,
        }
    }

    /// What the kernels are compiled for.
    pub(crate) fn key(&self) -> TwistKey {
        let steers = match (self.leans(), self.potential) {
            (true, _) => None,
            (false, Potential::Difference) => Some(models::Potential::Difference),
            (false, Potential::Max) => Some(models::Potential::Max),
            (false, Potential::Sum) => Some(models::Potential::Sum),
        };
        let twist = match (self.task.family(), self.spread) {
            _ if self.replaces() => Twist::Replaced,
            (Twist::Separable, Spread::Residual) => Twist::Residual,
            (family, _) => family,
        };
        let broad = self.chain == Chain::Learned;
        TwistKey { twist, pins: self.task.pins(), steers, ranged: self.range.is_some(), broad }
    }

    /// Whether what is known is put in its place at every level.
    pub(crate) fn replaces(&self) -> bool {
        self.proposal == Proposal::Replacement
    }

    /// Whether the gradient of log psi has a part in it.
    pub(crate) fn leans(&self) -> bool {
        self.lean > 0.0 && !self.replaces()
    }

    /// How far samples, which have `variance`, may be from denoised states at the level `at`; not at all at the clean one.
    pub(crate) fn doubt(&self, levels: &[Noise], at: usize, variance: f64) -> Doubt {
        let now = levels[at];
        let noise = (now.sigma / now.alpha).powi(2);
        let about = |tau: f64| noise * tau / (noise + tau);
        let step = || levels.get(at + 1).map_or(0.0, |next| chain::added(now, *next));
        let variance = match self.spread {
            Spread::Data => about(variance),
            Spread::Noise => noise,
            Spread::Tau(tau) => about(tau),
            Spread::Step => step() / now.alpha,
            Spread::Residual => step(),
        };
        let growth = if self.spread == Spread::Residual { 2.0 * step() } else { 0.0 };
        Doubt { variance: self.scale * variance, growth: self.scale * growth }
    }
}

impl Options {
    /// Whether a likelihood stands behind the models.
    pub(crate) fn judged(&self) -> bool {
        self.twisting.as_ref().is_some_and(|twisting| twisting.task.outside())
    }

    /// Whether a gradient of log psi is taken.
    pub(crate) fn leans(&self) -> bool {
        self.twisting.as_ref().is_some_and(Twisting::leans)
    }

    /// Whether the network says how broad steps are.
    pub(crate) fn learns(&self) -> bool {
        self.twisting.as_ref().is_some_and(|twisting| twisting.chain == Chain::Learned)
    }

    /// The models, and the likelihood behind them where there is one.
    pub(crate) fn parted<'a>(&self, models: &'a [Model]) -> (&'a [Model], Option<&'a Model>) {
        match models.split_last() {
            Some((last, own)) if self.judged() => (own, Some(last)),
            _ => (models, None),
        }
    }
}

/// The twist of a run and the variance of its model's samples, where there is one.
pub(crate) fn of<'a>(options: &'a Options, models: &[Model]) -> Option<(&'a Twisting, f64)> {
    let twisting = options.twisting.as_ref()?;
    Some((twisting, models.first()?.moments().1))
}

#[cfg(test)]
mod tests;
