//! What a run aims at: exponents of the models, constant or changing on the way down, and a reward:
//! docs/maths.md (7.2a), (7.4) to (7.7).

use feynkac_kernels::methods::oracle::Law;
use feynkac_kernels::methods::tilted;
use feynkac_kernels::passes::divergence::Along;
use feynkac_kernels::passes::step::Named;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{Model, Noise};
use crate::options::{Options, Policy, Rule, State};
use crate::registry::Method;

/// How the weight of a reward grows from 0 at the start to its scale at the end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Growth {
    /// With the share of the signal, alpha^2/(alpha^2 + sigma^2): late, when the reward of a state says something of
    /// the sample.
    Signal,
    /// In equal parts of log(sigma/alpha).
    Linear,
    /// As `Signal`, but after each step only as far as the ESS stays at this share of the particles, in (0, 1), each group
    /// by itself; after the last one all the way: docs/maths.md (7.6a).
    Ess(f64),
}

/// A reward: the target is multiplied by exp(lambda r), r the log-density of the last model, without noise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reward {
    /// lambda at the end.
    pub scale: f64,
    /// How it gets there.
    pub growth: Growth,
    /// c of docs/maths.md (7.6): the drift is c g^2 lambda grad r; `None` is zeta^2/2, which needs no Laplacian.
    pub drift: Option<f64>,
}

/// Where log-densities come from, for targets that need them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Densities {
    /// Exact where there is a closed form; those of other models are estimated.
    #[default]
    Exact,
    /// All are estimated along the particles, by Ito's formula: docs/maths.md (7.9).
    Ito,
}

/// How the divergence of a network is taken, where a transport needs it: docs/maths.md (9.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Divergence {
    /// Along every axis: as many passes as coordinates.
    #[default]
    Exact,
    /// Along so many vectors of random signs, 1 to 2^20: an unbiased estimate.
    Hutchinson(u32),
}

impl Divergence {
    /// What the kernels take it along.
    pub fn along(self) -> Along {
        match self {
            Divergence::Exact => Along::Axes,
            Divergence::Hutchinson(probes) => Along::Signs(probes),
        }
    }
}

/// What a model outside is asked beside its score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// Nothing.
    Score,
    /// Its log-density.
    Density,
    /// Its log-density, and the Laplacian that the rate of its change asks for: docs/maths.md (7.10).
    Rate,
    /// The divergence of its score.
    Divergence,
}

impl Options {
    /// What model `at` is asked.
    pub(crate) fn says(&self, at: usize, model: &Model) -> Says {
        let Model::Layered(asked) = model else { return Says::Score };
        let energy = asked.loaded.net.energy.is_some();
        match (energy, self.method == Method::FkcTransport) {
            (true, true) if at == 0 => Says::Rate,
            (false, true) if at == 1 => Says::Divergence,
            (true, false) if self.needs_densities() || self.rule == Rule::Exact => Says::Density,
            _ => Says::Score,
        }
    }

    /// Refuses a transport of which a part is not known.
    pub(crate) fn check_transport(&self, models: &[Model]) -> Result<()> {
        if self.method != Method::FkcTransport {
            return Ok(());
        }
        if !(1..=1 << 20).contains(&self.divergence.along().probes(models[0].dim())) {
            return Err(Error::input(
                "divergence",
                self.divergence,
                "exact, or hutchinson:K with K in 1 to 2^20",
            ));
        }
        for (at, (model, wanted)) in models
            .iter()
            .zip(["an energy network or a closed form", "a network of scores in a folder, or a closed form"])
            .enumerate()
        {
            if model.outside() && self.says(at, model) == Says::Score {
                let what = ["energy", "transport"][at];
                return Err(Error::input(format!("{what} of fkc-transport"), model.describe(), wanted));
            }
        }
        Ok(())
    }

    /// The models whose log-densities are estimated, a bit each.
    pub fn estimated(&self, models: &[Model]) -> u32 {
        if !self.needs_densities() {
            return 0;
        }
        let own = models.iter().take(self.models).enumerate();
        let unknown = |at: usize, model: &Model| model.outside() && self.says(at, model) == Says::Score;
        own.filter(|(at, model)| unknown(*at, model) || self.densities == Densities::Ito)
            .map(|(m, _)| 1 << m)
            .sum()
    }

    /// Refuses what an estimate of log-densities does not allow, naming it.
    pub(crate) fn check_estimates(&self) -> Result<()> {
        let refused = |what: &str, found: String, wanted: &str| {
            Err(Error::input(format!("{what} with estimated log-densities"), found, wanted))
        };
        if self.method == Method::FkcTransport {
            return refused(
                "method",
                self.method.row().name.into(),
                "closed forms that are not estimated: a transport takes Laplacians",
            );
        }
        if self.zeta() != 1.0 {
            let wanted =
                "target-score or zeta:1: with other noise the estimate takes divergences of the scores";
            return refused("sde", format!("zeta {}", self.zeta()), wanted);
        }
        if self.rule == Rule::Exact {
            return refused("rule", "exact".into(), "left, right or trap");
        }
        if self.langevin.moves > 0 {
            return refused(
                "langevin",
                self.langevin.to_string(),
                "no moves, which take divergences of the scores",
            );
        }
        if self.climbs() {
            return refused("reward-growth", "by the ESS".into(), "signal or linear");
        }
        match self.state {
            State::F32 => Ok(()),
            State::F16 => refused("state", "f16".into(), "f32: rounded moves are not those of the estimate"),
        }
    }

    /// The kernel of the method, tilted where there is a reward.
    pub fn kernel(&self) -> Named {
        if self.reward.is_some() { Named::Tilted } else { self.method.row().kernel }
    }

    /// Its oracle.
    pub fn law(&self) -> Law {
        if self.reward.is_some() { tilted::oracle::LAW } else { self.method.row().oracle }
    }

    /// Whether exponents change on the way.
    pub fn changes(&self) -> bool {
        self.reward.is_some() || self.beta_from.is_some() || !self.powers_from.is_empty()
    }

    /// Whether the step follows: docs/maths.md (7.4).
    pub fn follows(&self) -> bool {
        self.kernel().follows() || self.changes()
    }

    /// Whether the weight of a reward is raised by the ESS.
    pub fn climbs(&self) -> bool {
        self.reward.is_some_and(|reward| matches!(reward.growth, Growth::Ess(_)))
    }

    /// Whether it asks for Laplacians.
    pub fn laplacians(&self) -> bool {
        match self.reward {
            Some(reward) => reward.drift.is_some(),
            None => self.method == Method::FkcTransport,
        }
    }

    /// Models of a run, a reward or a likelihood being one of them.
    pub fn all_models(&self) -> usize {
        self.models + usize::from(self.reward.is_some()) + usize::from(self.judged())
    }

    /// Exponents of the models at the end; of a mixture its normalised weights.
    pub fn exponents(&self) -> Vec<f64> {
        self.exponents_of(self.beta, &self.powers)
    }

    /// The same at the start.
    pub fn exponents_from(&self) -> Vec<f64> {
        let powers = if self.powers_from.is_empty() { &self.powers } else { &self.powers_from };
        self.exponents_of(self.beta_from.unwrap_or(self.beta), powers)
    }

    fn exponents_of(&self, beta: f64, powers: &[f64]) -> Vec<f64> {
        match self.method {
            Method::Plain | Method::Tds => vec![1.0],
            Method::FkcAnneal => vec![beta],
            Method::FkcGuidance => {
                let mut exponents = vec![beta; self.models];
                if let Some(base) = exponents.first_mut() {
                    *base = 1.0 - beta * (self.models - 1) as f64;
                }
                exponents
            }
            Method::FkcProduct => vec![beta; self.models],
            Method::FkcCompose => powers.to_vec(),
            Method::FkcMixture => {
                let total: f64 = powers.iter().sum();
                powers.iter().map(|w| w / total).collect()
            }
            Method::FkcTransport => vec![beta, 0.0],
        }
    }

    /// What the coefficient table has for each model at level `at`: exponents, of a mixture ln w, at last the
    /// reward's lambda; 0 of one that the ESS raises.
    pub fn weights_at(&self, levels: &[Noise], at: usize) -> Vec<f64> {
        let gone = gone(levels, at);
        let ends = self.exponents_from().into_iter().zip(self.exponents());
        let mut all: Vec<f64> = ends
            .map(|(from, to)| match self.method {
                Method::FkcMixture => to.ln(),
                _ if from == to => to,
                _ => from + gone * (to - from),
            })
            .collect();
        if self.reward.is_some() {
            // What the ESS raises is a group's own.
            all.push(if self.climbs() { 0.0 } else { self.reward_at(levels, at) });
        }
        all
    }

    /// The weight of the reward at level `at` by its schedule.
    pub fn reward_at(&self, levels: &[Noise], at: usize) -> f64 {
        let (first, last) = (&levels[0], &levels[levels.len() - 1]);
        self.reward.map_or(0.0, |reward| {
            let signal = |n: &Noise| n.alpha * n.alpha / (n.alpha * n.alpha + n.sigma * n.sigma);
            let share = match reward.growth {
                Growth::Linear => gone(levels, at),
                Growth::Signal | Growth::Ess(_) => {
                    (signal(&levels[at]) - signal(first)) / (signal(last) - signal(first))
                }
            };
            reward.scale * share
        })
    }

    /// Refuses exponents and rewards that no target has, naming them.
    pub(crate) fn check_aim(&self) -> Result<()> {
        let row = self.method.row();
        let (least, most) = row.needs.models;
        if !(least..=most).contains(&self.models) {
            let wanted = if least == most { least.to_string() } else { format!("{least} to {most}") };
            return Err(Error::input("models", self.models, format!("{wanted} for {}", row.name)));
        }
        let listed = matches!(self.method, Method::FkcCompose | Method::FkcMixture);
        let what = match self.method {
            Method::FkcCompose => "exponents",
            Method::FkcMixture => "weights",
            _ => "beta",
        };
        let from = (!self.powers_from.is_empty()).then_some(&self.powers_from);
        for powers in [&self.powers].into_iter().chain(from).filter(|_| listed) {
            if powers.len() != self.models {
                let wanted = format!("{}, one a model", self.models);
                return Err(Error::input(format!("number of {what}"), powers.len(), wanted));
            }
            if let Some(odd) = powers.iter().find(|power| !power.is_finite()) {
                return Err(Error::input(what, odd, "finite numbers"));
            }
        }
        if self.method == Method::FkcMixture {
            if let Some(odd) = self.powers.iter().find(|w| **w <= 0.0) {
                return Err(Error::input(what, odd, "numbers above 0"));
            }
            if self.changes() && self.reward.is_none() {
                return Err(Error::input(what, "weights that change", "constant ones, for fkc-mixture"));
            }
        }
        if let Some(odd) = self.beta_from.filter(|beta| !beta.is_finite()) {
            return Err(Error::input("beta at the start", odd, "a finite number"));
        }
        for (exponents, powers, beta, when) in [
            (self.exponents(), &self.powers, self.beta, ""),
            (self.exponents_from(), &self.powers_from, self.beta_from.unwrap_or(self.beta), " at the start"),
        ] {
            if exponents.iter().sum::<f64>() <= 0.0 {
                let found = if listed { format!("{powers:?}") } else { beta.to_string() };
                let wanted = "a total exponent above 0, or the target is not normalisable";
                return Err(Error::input(format!("{what}{when}"), found, wanted));
            }
        }
        if self.method == Method::Plain && self.changes() {
            return Err(Error::input(
                "method",
                "plain",
                "one that weighs: fkc-anneal with beta 1 is the model itself",
            ));
        }
        if self.langevin.moves > 0 && self.kernel().follows() {
            let what = if self.reward.is_some() { "a reward" } else { row.name };
            return Err(Error::input("langevin", format!("moves with {what}"), "products of powers alone"));
        }
        self.reward.map_or(Ok(()), |reward| self.check_reward(reward))
    }

    fn check_reward(&self, reward: Reward) -> Result<()> {
        if matches!(self.method, Method::FkcMixture | Method::FkcTransport) {
            let wanted = "fkc-anneal, fkc-guidance, fkc-product or fkc-compose";
            return Err(Error::input("method with a reward", self.method.row().name, wanted));
        }
        if !reward.scale.is_finite() {
            return Err(Error::input("reward-scale", reward.scale, "a finite number"));
        }
        if let Growth::Ess(share) = reward.growth {
            self.check_growth(share)?;
        }
        match reward.drift {
            Some(drift) if !(drift.is_finite() && drift >= 0.0) => {
                Err(Error::input("reward-drift", drift, "a finite number, at least 0"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a weight of a reward that the ESS would not raise.
    fn check_growth(&self, share: f64) -> Result<()> {
        if !(share > 0.0 && share < 1.0) {
            return Err(Error::input("reward-growth ess", share, "a share above 0 and below 1"));
        }
        if !self.weights {
            return Err(Error::input("reward-growth", "ess without weights", "signal or linear"));
        }
        match self.resample {
            Policy::Ess(least) if least < share => {
                let wanted =
                    format!("at least reward-growth's {share}, or the weight of the reward would wait");
                Err(Error::input("resample ess", least, wanted))
            }
            Policy::Never | Policy::Window(..) => Err(Error::input(
                "resample",
                format!("{} with reward-growth ess", self.resample),
                "every, interval or ess: the weight of the reward waits where the ESS stays low",
            )),
            _ => Ok(()),
        }
    }

    /// Whether the target needs log-densities, under every rule.
    pub(crate) fn needs_densities(&self) -> bool {
        self.method.row().needs.densities || self.beta_from.is_some() || !self.powers_from.is_empty()
    }
}

/// The share of log(sigma/alpha) that lies behind at level `at`.
fn gone(levels: &[Noise], at: usize) -> f64 {
    let ratio = |noise: &Noise| (noise.sigma / noise.alpha).ln();
    let (first, last) = (&levels[0], &levels[levels.len() - 1]);
    (ratio(first) - ratio(&levels[at])) / (ratio(first) - ratio(last))
}
