//! A step is a printed list before it is launches.

use std::fmt;

use feynkac_kernels::passes::step::Keeps;

use crate::aim::{Densities, Says};
use crate::coeffs::weighs;
use crate::error::{Error, Result};
use crate::model::{Model, Noise, together};
use crate::options::{Options, Rule};
use crate::registry::Scheme;
use crate::twist::Twisting;

/// One launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// Draw the particles.
    Init,
    /// First scores and weights.
    Start,
    /// Gather, move, evaluate, weigh.
    Fused,
    /// Gather and move.
    Move,
    /// A network or foreign model evaluates all particles.
    Evaluate(usize),
    /// What a twist sees of the new scores: rows for a likelihood outside, or for the way back through a network.
    Look,
    /// The same before the first weights.
    LookFirst,
    /// A likelihood outside judges all denoised states.
    Judge,
    /// The gradient of log psi goes back through a network.
    Back(usize),
    /// Take scores, finish the weight.
    Weigh,
    /// What the step added to log-weights is made milder.
    Increments,
    /// The weight of the reward goes as far up as the ESS allows.
    Ladder,
    /// What is carried, anew with that weight.
    Aim,
    /// Who is born and who dies, in place of resampling.
    Births,
    /// Parents of those that died.
    Deaths,
    /// The weights by which particles are resampled, where those are not their own.
    Priority,
    /// Whole copies of each particle, for residual resampling.
    Copies,
    /// Log-sum-exp, ESS, decision, prefix sums, ancestors.
    Resample,
    /// Keep the parents that the step chose.
    Genealogy,
    /// Keep the log-weights.
    Tails,
    /// Keep the positions.
    Positions,
    /// Slot 0 follows its path.
    Retain,
}

impl Pass {
    /// Name and what it does.
    pub fn describe(self) -> (&'static str, &'static str) {
        match self {
            Pass::Init => ("init", "draw x_T"),
            Pass::Start => ("start", "first scores and log-weights"),
            Pass::Fused => ("step", "gather, move, score, weigh, block sums"),
            Pass::Move => ("move", "gather, move"),
            Pass::Evaluate(_) => ("evaluate", "network or foreign score"),
            Pass::Look | Pass::LookFirst => ("look", "denoise, rows for what judges or goes back"),
            Pass::Judge => ("judge", "classifier or foreign likelihood of denoised states"),
            Pass::Back(_) => ("back", "gradient of log psi through the network"),
            Pass::Weigh => ("weigh", "take scores, weigh, block sums"),
            Pass::Increments => ("increments", "cut, centre what the step added, block sums"),
            Pass::Ladder => ("ladder", "the reward's weight as far up as the ESS allows, weigh, block sums"),
            Pass::Aim => ("aim", "scores and what the next step owes, by that weight"),
            Pass::Births => ("births", "decision, rates of birth and death, block sums"),
            Pass::Deaths => ("deaths", "parents of those that died"),
            Pass::Priority => ("priority", "decision, weights to resample by and to hand on, block sums"),
            Pass::Copies => ("copies", "whole copies of each particle, and what is left of it, block sums"),
            Pass::Resample => ("resample", "log-sum-exp, ESS, decision, prefix sums, ancestors"),
            Pass::Genealogy => ("genealogy", "keep the parents of every particle"),
            Pass::Tails => ("tails", "keep the log-weights of every particle"),
            Pass::Positions => ("positions", "keep the positions of every particle"),
            Pass::Retain => ("retain", "slot 0 follows its path"),
        }
    }
}

/// The passes of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Before the first step.
    pub start: Vec<Pass>,
    /// Every step.
    pub step: Vec<Pass>,
    /// Scores come from outside, through rows `[particles, dim]`.
    pub outside: bool,
    /// What is kept of the particles from step to step.
    pub keeps: Keeps,
    /// Langevin moves after a step, each the same passes at a noise level that stays.
    pub moves: usize,
}

impl Plan {
    /// The plan of `options` over `models`; refuses what does not fit together.
    pub fn of(options: &Options, models: &[Model]) -> Result<Self> {
        options.check()?;
        if models.len() != options.all_models() {
            let reward = match (&options.reward, options.judged()) {
                (Some(_), _) => " and the reward",
                (None, true) => " and the likelihood behind it",
                (None, false) => "",
            };
            let wanted = format!("{} for {}{reward}", options.all_models(), options.method.row().name);
            return Err(Error::input("models", models.len(), wanted));
        }
        let dim = models[0].dim();
        if let Some(other) = models.iter().find(|m| m.dim() != dim) {
            return Err(Error::input("dimension of another model", other.dim(), dim));
        }
        let (models, behind) = options.parted(models);
        let (own, reward) = models.split_at(options.models);
        if let Some(odd) = own.iter().find(|model| model.judges()) {
            return Err(Error::input("model", odd.describe(), "one of samples: see the task of tds"));
        }
        if let Some(frames) = own.iter().find(|model| model.of_frames()) {
            let found = format!("network of frames ({})", frames.describe());
            let wanted = "one whose states are numbers, not rotations: `feynkac eval` asks this one";
            return Err(Error::input("model", found, wanted));
        }
        if reward.iter().any(|model| !matches!(model, Model::Analytic(_))) {
            return Err(Error::input("reward", "a network", "a closed form"));
        }
        let outside = own.iter().any(Model::outside);
        let silent = |(at, model): (usize, &Model)| model.outside() && options.says(at, model) == Says::Score;
        if options.rule == Rule::Exact && own.iter().enumerate().any(silent) {
            return Err(Error::input("rule", "exact", "left or trap: the network gives no log-density"));
        }
        options.check_transport(own)?;
        options.twisting.as_ref().map_or(Ok(()), |twisting| twisting.fits(&own[0], behind))?;
        let estimated = options.estimated(models);
        if estimated > 0 {
            options.check_estimates()?;
        } else if options.densities == Densities::Ito {
            let found = format!("ito with {} of constant exponents", options.method.row().name);
            return Err(Error::input("densities", found, "a target that needs log-densities"));
        }
        let (schedule, ends) = (&options.schedule, [options.t_max, options.t_min]);
        let ends = ends.map(|t| Noise { t, alpha: schedule.alpha(t), sigma: schedule.sigma(t) });
        own.iter().try_for_each(|model| model.covers(&ends))?;
        let asked = together(own).into_iter().map(|run| run.start).filter(|m| own[*m].outside());
        let evaluate = asked.map(Pass::Evaluate);
        let keeps = Keeps {
            models: models.len(),
            follows: options.follows(),
            estimated,
            twist: options.twisting.as_ref().map(Twisting::key),
            carried: outside
                || options.twisting.is_some()
                || estimated > 0
                || options.unfused
                || options.climbs()
                || weighs(options) && options.rule != Rule::Left,
            weighed: weighs(options),
            exact: options.rule == Rule::Exact && weighs(options),
            ladder: options.climbs(),
            handed: weighs(options) && options.priorities(),
            roots: options.roots,
            element: options.state.element(),
        };
        let mut start: Vec<Pass> = [Pass::Init].into_iter().chain(evaluate.clone()).collect();
        let mut around = Vec::new();
        // A network's way back is for steps that lean, and a likelihood outside is asked anyway.
        let leans = options.leans();
        if options.judged() || outside && leans {
            start.push(Pass::LookFirst);
            around.push(Pass::Look);
            around.extend(options.judged().then_some(Pass::Judge));
            around.extend((outside && leans).then_some(Pass::Back(0)));
            start.extend(&around[1..]);
        }
        if keeps.carried || keeps.weighed {
            start.push(Pass::Start);
        }
        let mut step: Vec<Pass> = if outside || options.unfused || !around.is_empty() {
            [Pass::Move].into_iter().chain(evaluate).chain(around).chain([Pass::Weigh]).collect()
        } else {
            vec![Pass::Fused]
        };
        if weighs(options) && options.milder() {
            step.push(Pass::Increments);
        }
        if keeps.ladder {
            step.extend([Pass::Ladder, Pass::Aim]);
        }
        if keeps.handed {
            step.push(Pass::Priority);
        }
        let jumps = weighs(options) && options.scheme.jumps();
        if jumps {
            step.push(Pass::Births);
        }
        if weighs(options) && options.scheme == Scheme::Residual {
            step.push(Pass::Copies);
        }
        if weighs(options) {
            step.push(Pass::Resample);
        }
        if jumps {
            step.push(Pass::Deaths);
        }
        if options.keeps_weights() {
            step.push(Pass::Tails);
        }
        let (genealogy, positions) = options.keeps_paths();
        if genealogy {
            step.push(Pass::Genealogy);
        }
        if positions {
            start.push(Pass::Positions);
            step.push(Pass::Positions);
        }
        Ok(Self { start, step, outside, keeps, moves: options.langevin.moves })
    }

    /// The plan of a sweep of particle Gibbs: slot 0 follows a path.
    pub fn retaining(options: &Options, models: &[Model]) -> Result<Self> {
        if options.twisting.as_ref().is_some_and(Twisting::replaces) {
            let wanted = "twisted: a path is not that of the noise which replacement puts things on";
            return Err(Error::input("proposal of a sweep", "replacement", wanted));
        }
        // Between the move and the models, which a fused step does not come apart for.
        let mut plan = Self::of(&Options { unfused: true, ..options.clone() }, models)?;
        plan.start.insert(1, Pass::Retain);
        plan.step.insert(1, Pass::Retain);
        Ok(plan)
    }

    /// Launches of a step, and of each Langevin move after it.
    pub fn launches_per_step(&self) -> usize {
        self.step.len()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, passes) in [("before the first step", &self.start), ("every step", &self.step)] {
            writeln!(f, "{title}:")?;
            for pass in passes {
                let (name, what) = pass.describe();
                writeln!(f, "  {name:<10} {what}")?;
            }
        }
        if self.moves > 0 {
            writeln!(f, "after a step that may resample, {} times more: a Langevin move", self.moves)?;
            return write!(f, "{} launches a step, and as many a move", self.launches_per_step());
        }
        write!(f, "{} launches a step", self.launches_per_step())
    }
}
