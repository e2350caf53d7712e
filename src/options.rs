//! What a run is asked to do, checked before any kernel is launched.

use feynkac_kernels::passes::mlp::Compute;
use feynkac_kernels::prims::state::Element;
use serde::{Deserialize, Serialize};

use crate::aim::{Densities, Divergence, Reward};
use crate::error::{Error, Result};
use crate::langevin::Langevin;
use crate::registry::{Method, Scheme};
use crate::schedule::{Grid, Schedule};
use crate::twist::Twisting;

/// How log-weights accrue over a step: docs/maths.md (8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Rate at the old state; bias O(h).
    Left,
    /// Rate at the new state; bias O(h).
    Right,
    /// Mean of the rates at both states; the default.
    Trap,
    /// From log-densities: unbiased evidence at any step size. Closed-form models only.
    Exact,
}

/// When a group is resampled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Not at all: importance sampling.
    Never,
    /// After every step.
    Every,
    /// When the ESS falls below this share of the particles, in (0, 1].
    Ess(f64),
    /// Every that many steps.
    Interval(usize),
    /// After every step inside noise times `[A, B]`; weights do not accrue outside, which changes
    /// the target.
    Window(f64, f64),
}

/// What happens to the weights at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Final {
    /// Particles with their log-weights since the last resampling.
    Weighted,
    /// One more resampling; all weights equal.
    Resample,
}

/// Noise of the sampler: zeta of docs/maths.md (7).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sde {
    /// zeta = 1.
    TargetScore,
    /// zeta = 1 / sqrt(beta).
    TemperedNoise,
    /// zeta = 0; never resamples.
    Ode,
    /// Any zeta >= 0.
    Zeta(f64),
}

/// How positions and carried scores are kept between steps; all else, and all arithmetic, is f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// 32 bits.
    F32,
    /// 16 bits, each position rounded to 11 bits after each step: half the traffic, where the device can.
    F16,
}

impl State {
    /// The kernels' name for it.
    pub fn element(self) -> Element {
        match self {
            State::F32 => Element::F32,
            State::F16 => Element::F16,
        }
    }
}

/// Sweeps of particle Gibbs at most.
pub(crate) const MOST_SWEEPS: usize = 100_000;

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// The sampler.
    pub method: Method,
    /// Annealing power, power of a product, or guidance weight of each condition.
    pub beta: f64,
    /// Models combined.
    pub models: usize,
    /// Exponent of each model of [`Method::FkcCompose`], weight of each of [`Method::FkcMixture`].
    pub powers: Vec<f64>,
    /// `beta` at the start, from where it changes in equal parts of log(sigma/alpha); `None` where it does not change.
    #[serde(default)]
    pub beta_from: Option<f64>,
    /// Exponents at the start, in the same way; empty where they do not change.
    #[serde(default)]
    pub powers_from: Vec<f64>,
    /// A reward that tilts the target; its density is the last model.
    #[serde(default)]
    pub reward: Option<Reward>,
    /// What [`Method::Tds`] wants of a sample, and how it gets there.
    #[serde(default)]
    pub twisting: Option<Twisting>,
    /// Noise of the sampler.
    pub sde: Sde,
    /// Weight rule.
    pub rule: Rule,
    /// Whether weights accrue; `false` is the usual heuristic, for comparison.
    pub weights: bool,
    /// Noise schedule.
    pub schedule: Schedule,
    /// Where the steps lie.
    pub grid: Grid,
    /// The noise times in the place of a grid's, falling from `t_max` to `t_min`: see [`crate::Model::respaced`].
    #[serde(default)]
    pub times: Option<Vec<f64>>,
    /// Where log-densities come from.
    #[serde(default)]
    pub densities: Densities,
    /// How the divergence of a transport's network is taken.
    #[serde(default)]
    pub divergence: Divergence,
    /// Noise time of the start.
    pub t_max: f64,
    /// Noise time of the end; samples are of the density there.
    pub t_min: f64,
    /// Steps.
    pub steps: usize,
    /// Particles of each group.
    pub particles: usize,
    /// Independent groups.
    pub groups: usize,
    /// Slots over which sums are taken before they are combined.
    pub block: usize,
    /// When to resample.
    pub resample: Policy,
    /// How to resample.
    pub scheme: Scheme,
    /// Langevin moves after each step that may resample.
    #[serde(default)]
    pub langevin: Langevin,
    /// Power of the weights by which particles are resampled, in (0, 1]; survivors keep the rest. 1 is the usual.
    #[serde(default = "one")]
    pub temper: f64,
    /// Share of the particles among which each resampling chooses, in (0, 1]; 1 is the usual.
    #[serde(default = "one")]
    pub partial: f64,
    /// Cut what a step adds to the log-weights at this quantile of the group's, in (0, 1): biased.
    #[serde(default)]
    pub quantile: Option<f64>,
    /// Take the mean of what a step adds off, and count it in log Z.
    #[serde(default)]
    pub centre: bool,
    /// Cut what a step adds to this distance from zero, above 0: biased.
    #[serde(default)]
    pub clamp: Option<f64>,
    /// The end.
    pub last: Final,
    /// Seed; group g of several uses one derived from it.
    pub seed: u64,
    /// Follow which particles of the start have descendants: 8 bytes a particle-step.
    pub roots: bool,
    /// How positions are kept.
    pub state: State,
    /// Keep the parents of every step on the device: 4 bytes a particle and step, and a launch more a step.
    pub genealogy: bool,
    /// Keep the log-weights of every step on the device, and judge their tails at each resampling: 4 bytes a particle and
    /// step, and a launch more a step.
    #[serde(default)]
    pub tails: bool,
    /// Keep the positions of every step on the device, and return the path of each particle: 4 bytes a coordinate,
    /// particle and step, and what `genealogy` costs.
    #[serde(default)]
    pub paths: bool,
    /// Sweeps of particle Gibbs after the run, each with as many particles: docs/maths.md (12).
    #[serde(default)]
    pub refine: usize,
    /// Launch move, score and weight apart instead of fused (for comparison).
    pub unfused: bool,
    /// Steps of a launch, where the score is a closed form; 0 is as many as pay. One kernel for many steps
    /// takes seconds longer to compile, once a process, and saves some 30 us a step of a small population:
    /// for those who run again and again.
    pub at_once: usize,
    /// What networks are multiplied in.
    #[serde(with = "by_name")]
    pub compute: Compute,
    /// Record the steps as a graph and replay it, where the device can.
    pub graph: bool,
    /// Groups at once, in batches one after another; 0 is as many as fit into the device's memory. The particles are
    /// the same to the bit.
    #[serde(default)]
    pub micro_batch: usize,
    /// Keep few values of a network for its way back, and compute the others again: the same to the bit in less memory.
    #[serde(default)]
    pub recompute: bool,
}

/// What a file that is older than a setting means.
fn one() -> f64 {
    1.0
}

/// A choice as its name.
mod by_name {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>, T>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl Options {
    /// The paper's settings for `method` on `schedule`: trapezoid weights, steps uniform in
    /// log(sigma / alpha), ESS below one half, systematic resampling.
    pub fn new(method: Method, schedule: Schedule) -> Self {
        let (t_max, t_min) = schedule.default_range();
        Self {
            method,
            beta: 1.0,
            models: method.row().needs.models.0,
            powers: match method {
                Method::FkcCompose => vec![1.0],
                Method::FkcMixture => vec![1.0; method.row().needs.models.0],
                _ => Vec::new(),
            },
            beta_from: None,
            powers_from: Vec::new(),
            reward: None,
            twisting: None,
            densities: Densities::Exact,
            divergence: Divergence::Exact,
            sde: Sde::TargetScore,
            rule: Rule::Trap,
            weights: true,
            schedule,
            grid: Grid::LogSnr,
            times: None,
            t_max,
            t_min,
            steps: 200,
            particles: 4096,
            groups: 1,
            block: feynkac_kernels::prims::state::BLOCK,
            resample: Policy::Ess(0.5),
            scheme: Scheme::Systematic,
            langevin: Langevin::default(),
            temper: 1.0,
            partial: 1.0,
            quantile: None,
            centre: false,
            clamp: None,
            last: Final::Weighted,
            seed: 0,
            roots: true,
            state: State::F32,
            genealogy: false,
            tails: false,
            paths: false,
            refine: 0,
            unfused: false,
            at_once: 1,
            compute: Compute::Auto,
            graph: true,
            micro_batch: 0,
            recompute: false,
        }
    }

    /// zeta of the sampler; tempered noise goes by the power of a product, else by the sum of the exponents.
    pub fn zeta(&self) -> f64 {
        match self.sde {
            Sde::TargetScore => 1.0,
            Sde::TemperedNoise if matches!(self.method, Method::FkcCompose | Method::FkcMixture) => {
                1.0 / self.exponents().iter().sum::<f64>().sqrt()
            }
            Sde::TemperedNoise => 1.0 / self.beta.sqrt(),
            Sde::Ode => 0.0,
            Sde::Zeta(zeta) => zeta,
        }
    }

    /// Refuses what cannot run, naming it.
    pub fn check(&self) -> Result<()> {
        let positive = |what: &'static str, n: usize, most: usize| {
            if n == 0 || n > most {
                return Err(Error::input(what, n, format!("1 to {most}")));
            }
            Ok(())
        };
        positive("particles", self.particles, 1 << 28)?;
        positive("groups", self.groups, 1_000_000)?;
        positive("steps", self.steps, 1_000_000)?;
        positive("block", self.block, 1 << 20)?;
        if !self.beta.is_finite() {
            return Err(Error::input("beta", self.beta, "a finite number"));
        }
        self.check_aim()?;
        self.check_twisting()?;
        let zeta = self.zeta();
        if !(zeta.is_finite() && zeta >= 0.0) {
            return Err(Error::input("zeta", zeta, "a finite number, at least 0"));
        }
        if zeta == 0.0 && self.rule == Rule::Exact {
            return Err(Error::input(
                "rule",
                "exact with zeta 0",
                "left or trap: an ODE has no transition density",
            ));
        }
        self.langevin.check()?;
        let parts = zeta > 0.0 || self.langevin.moves > 0;
        if !parts && self.weights && !matches!(self.resample, Policy::Never) {
            return Err(Error::input(
                "resample",
                "resampling with zeta 0",
                "never, or Langevin moves: copies would stay together for ever",
            ));
        }
        self.scheme.check()?;
        self.check_priorities()?;
        self.check_increments()?;
        self.check_refine()?;
        match self.resample {
            Policy::Ess(share) if !(share > 0.0 && share <= 1.0) => {
                Err(Error::input("resample ess", share, "a share in (0, 1]"))
            }
            Policy::Interval(0) => Err(Error::input("resample interval", 0, "at least 1 step")),
            Policy::Window(a, b) if !(a.is_finite() && b.is_finite() && a < b) => {
                Err(Error::input("resample window", format!("{a}:{b}"), "noise times A < B"))
            }
            // Times of the caller's own are checked one by one.
            _ if self.times.is_some() => Ok(()),
            _ => self.schedule.check_range(self.t_max, self.t_min),
        }
    }
}
