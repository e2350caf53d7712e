//! What a twisted run refuses, by name.

use std::cmp::Ordering;

use super::{Chain, Potential, Proposal, Spread, Task, Twisting};
use crate::aim::Densities;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::options::{Options, Policy, Rule, Sde, State};
use crate::registry::Method;

/// Components of a measurement at most: the covariance of as many is half a gigabyte.
const MOST_MEASURED: usize = 1 << 13;

impl Options {
    /// Refuses a twist without its method, a method without its twist, and what does not go with both.
    pub(crate) fn check_twisting(&self) -> Result<()> {
        let name = self.method.row().name;
        let twisting = match (&self.twisting, self.method) {
            (Some(twisting), Method::Tds) => twisting,
            (None, Method::Tds) => {
                return Err(Error::input("task of tds", "none", "what is wanted of a sample"));
            }
            (Some(_), _) => return Err(Error::input("task", name, "the method tds")),
            (None, _) => return Ok(()),
        };
        let refused = |what: &str, found: &dyn std::fmt::Display, wanted: &str| {
            Err(Error::input(format!("{what} with tds"), found, wanted))
        };
        if self.beta != 1.0 || self.changes() {
            return refused("beta", &self.beta, "1: the model is as it is");
        }
        if self.rule != Rule::Trap {
            return refused("rule", &self.rule, "none: the weights of its steps are exact");
        }
        if self.sde != Sde::TargetScore {
            return refused("sde", &self.sde, "none: the noise is that of its chain");
        }
        if self.densities != Densities::Exact {
            return refused("densities", &self.densities, "exact");
        }
        if self.langevin.moves > 0 {
            return refused("langevin", &self.langevin, "no moves");
        }
        if self.state != State::F32 {
            return refused("state", &self.state, "f32: rounded moves are not those of its weights");
        }
        if let Policy::Window(..) = self.resample {
            return refused("resample", &self.resample, "never, every, ess:F or interval:N");
        }
        if self.steps < 2 {
            return refused("steps", &self.steps, "at least 2, of which the last goes to the clean state");
        }
        twisting.check()
    }
}

impl Twisting {
    fn check(&self) -> Result<()> {
        let least = |what: &str, found: f64, least: f64, open: bool| {
            if found.is_finite() && (found > least || found == least && !open) {
                return Ok(());
            }
            let wanted = if open { "above" } else { "at least" };
            Err(Error::input(what, found, format!("a finite number, {wanted} {least}")))
        };
        least("twist-scale", self.scale, 0.0, true)?;
        least("twist-lean", self.lean, 0.0, false)?;
        least("proposal-variance", self.proposal_variance, 1.0, false)?;
        if let Spread::Tau(tau) = self.spread {
            least("twist-variance tau", tau, 0.0, true)?;
        }
        if self.spread == Spread::Residual && !matches!(self.task, Task::Inpaint { .. }) {
            let found = format!("residual with task {}", self.task.name());
            return Err(Error::input(
                "twist-variance",
                found,
                "another one: of inpaint each coordinate misses",
            ));
        }
        if self.potential != Potential::Difference {
            let with = format!("twist-lean with potential {}", self.potential);
            if self.leans() {
                return Err(Error::input(with, self.lean, "0: what steers by the past has no gradient"));
            }
            if self.task.pins() {
                let wanted = "difference: what is put in its place has no reward at the end";
                return Err(Error::input("potential with noise 0", self.potential, wanted));
            }
        }
        if self.task.pins() && !matches!(self.chain, Chain::Forward | Chain::Clipped) {
            let wanted = "forward or clipped, or noise above 0: its last step has none in which to weigh what is \
                          known";
            return Err(Error::input("chain", format!("{} with noise 0", self.chain), wanted));
        }
        self.check_range()?;
        self.check_replacement()
    }

    fn check_range(&self) -> Result<()> {
        let Some((low, high)) = self.range else { return Ok(()) };
        let found = format!("{low}:{high}");
        if !(low.is_finite() && high.is_finite() && low < high) {
            return Err(Error::input("twist-range", found, "LOW:HIGH, finite numbers, the lower one first"));
        }
        if !self.leans() {
            let wanted = "none where nothing leans: it is what is leant that is cut off";
            return Err(Error::input("twist-range", found, wanted));
        }
        Ok(())
    }

    fn check_replacement(&self) -> Result<()> {
        if self.proposal == Proposal::Twisted {
            return Ok(());
        }
        if !matches!(self.task, Task::Inpaint { noise: 0.0, .. }) {
            let found = format!("replacement with task {}", self.task.name());
            return Err(Error::input("proposal", found, "the task inpaint with noise 0"));
        }
        if self.proposal_variance != 1.0 {
            let wanted = "1 with proposal replacement: its steps are the model's own";
            return Err(Error::input("proposal-variance", self.proposal_variance, wanted));
        }
        if self.potential != Potential::Difference {
            let wanted = "difference: with proposal replacement nothing else steers";
            return Err(Error::input("potential", self.potential, wanted));
        }
        let usual = Twisting::new(self.task.clone());
        if (self.lean, self.scale, self.spread) != (usual.lean, usual.scale, usual.spread) {
            let found = format!("lean {}, scale {}, variance {}", self.lean, self.scale, self.spread);
            let wanted = "none of these with proposal replacement: there is no psi";
            return Err(Error::input("twist", found, wanted));
        }
        Ok(())
    }

    /// Refuses a model that it cannot lean, a task for another one, and a likelihood that is not the task's.
    pub(crate) fn fits(&self, model: &Model, behind: Option<&Model>) -> Result<()> {
        let one_way = match model {
            Model::Foreign(own) => !own.goes_back(),
            model => model.asked().is_some_and(|asked| asked.loaded.net.energy.is_some()),
        };
        if one_way && self.leans() {
            let wanted = "a closed form, a network of scores or a foreign model with a way back";
            return Err(Error::input("model of tds", model.describe(), wanted));
        }
        if self.chain == Chain::Learned && model.asked().is_none_or(|asked| asked.wide.is_none()) {
            let wanted = "a network of noise that says twice as much as its state has, and variance_type learned_range \
                          in its scheduler_config.json";
            return Err(Error::input("model of the chain learned", model.describe(), wanted));
        }
        match (&self.task, behind) {
            (Task::Classifier { class, .. }, Some(Model::Classifier(net))) if *class >= net.classes() => {
                let wanted = format!("0 to {} of {}", net.classes() - 1, net.name);
                return Err(Error::input("class", class, wanted));
            }
            (Task::Classifier { .. }, Some(Model::Classifier(_)))
            | (Task::Own, Some(Model::Likelihood(_))) => {}
            (Task::Classifier { .. }, other) => {
                let found = other.map_or("none".into(), Model::describe);
                return Err(Error::input("likelihood behind the model", found, "a classifier"));
            }
            (Task::Own, other) => {
                let found = other.map_or("none".into(), Model::describe);
                return Err(Error::input("likelihood behind the model", found, "one of your own"));
            }
            _ => {}
        }
        if let (Some(Model::Likelihood(own)), true) = (behind, self.leans())
            && own.gradient_free()
        {
            return Err(Error::input("twist-lean", self.lean, "0: the likelihood gives no gradient"));
        }
        let unknown = self.spread == Spread::Data && model.moments().1 <= 0.0 && !self.replaces();
        if unknown && !matches!(self.task, Task::Classifier { .. }) {
            let wanted = "noise or tau:F: the model does not know the variance of its samples";
            return Err(Error::input("twist-variance", self.spread, wanted));
        }
        self.task.check(model.dim())
    }
}

impl Task {
    /// Refuses what no sample of `dim` coordinates can be asked.
    pub(crate) fn check(&self, dim: usize) -> Result<()> {
        match self {
            Task::Linear { operator, measured, noise } => {
                some("y", measured)?;
                if measured.len() > MOST_MEASURED {
                    let wanted = format!("at most {MOST_MEASURED} numbers: they are turned together");
                    return Err(Error::input("y of the task", measured.len(), wanted));
                }
                sized("A", operator, measured.len() * dim, &format!("{} x {dim}", measured.len()))?;
                sized("noise", noise, measured.len(), "one a component of y")?;
                noise.iter().try_for_each(|noise| noisy(*noise, false))
            }
            Task::Inpaint { mask, known, noise } => {
                sized("y", known, dim, "one a coordinate of the model")?;
                if mask.len() != dim {
                    return Err(Error::input(
                        "mask of the task",
                        mask.len(),
                        format!("{dim}, one a coordinate of the model"),
                    ));
                }
                if !mask.contains(&true) {
                    return Err(Error::input(
                        "mask of the task",
                        "no coordinate",
                        "at least one that is known",
                    ));
                }
                noisy(*noise, true)
            }
            Task::Placement { motif, offsets, noise } => {
                some("motif", motif)?;
                if offsets.is_empty() {
                    return Err(Error::input("offsets of the task", "none", "at least one place"));
                }
                match offsets.iter().find(|at| at.checked_add(motif.len()).is_none_or(|end| end > dim)) {
                    Some(at) => {
                        let found = format!("{at}, {} coordinates from there", motif.len());
                        Err(Error::input(
                            "offsets of the task",
                            found,
                            format!("places within {dim} coordinates"),
                        ))
                    }
                    None => noisy(*noise, true),
                }
            }
            Task::Inequalities { operator, bounds } => {
                some("b", bounds)?;
                sized("A", operator, bounds.len() * dim, &format!("{} x {dim}", bounds.len()))?;
                match operator.chunks_exact(dim).position(|row| row.iter().all(|a| *a == 0.0)) {
                    Some(row) => {
                        Err(Error::input(format!("row {row} of A of the task"), "zeros", "a direction"))
                    }
                    None => Ok(()),
                }
            }
            Task::Bounds { lower, upper } => {
                for (what, bounds) in [("lower", lower), ("upper", upper)] {
                    if bounds.len() != dim {
                        let found = format!("{} numbers", bounds.len());
                        let wanted = format!("{dim}, one a coordinate of the model");
                        return Err(Error::input(format!("{what} of the task"), found, wanted));
                    }
                }
                // A NaN is neither below nor above.
                let odd = (0..dim).find(|k| lower[*k].partial_cmp(&upper[*k]) != Some(Ordering::Less));
                odd.map_or(Ok(()), |k| {
                    let found = format!("{} to {}", lower[k], upper[k]);
                    Err(Error::input(
                        format!("bounds of coordinate {k}"),
                        found,
                        "the lower one below the upper one",
                    ))
                })
            }
            Task::Reward { slope, curvature, centre } => {
                let each = "one a coordinate of the model";
                sized("slope", slope, dim, each)?;
                sized("curvature", curvature, dim, each)?;
                sized("centre", centre, dim, each)?;
                match curvature.iter().find(|c| **c < 0.0) {
                    Some(odd) => Err(Error::input("curvature of the task", odd, "numbers of at least 0")),
                    None => Ok(()),
                }
            }
            Task::Classifier { scale, .. } if !(scale.is_finite() && *scale > 0.0) => {
                Err(Error::input("classifier-scale", scale, "a finite number above 0"))
            }
            Task::Classifier { .. } | Task::Own => Ok(()),
        }
    }
}

fn some(what: &str, values: &[f64]) -> Result<()> {
    if values.is_empty() {
        return Err(Error::input(format!("{what} of the task"), "no numbers", "at least one"));
    }
    sized(what, values, values.len(), "")
}

/// Refuses other than `count` finite numbers.
fn sized(what: &str, values: &[f64], count: usize, wanted: &str) -> Result<()> {
    let what = || format!("{what} of the task");
    if values.len() != count {
        return Err(Error::input(what(), format!("{} numbers", values.len()), format!("{count}, {wanted}")));
    }
    match values.iter().find(|v| !v.is_finite()) {
        Some(odd) => Err(Error::input(what(), odd, "finite numbers")),
        None => Ok(()),
    }
}

fn noisy(noise: f64, none: bool) -> Result<()> {
    if noise.is_finite() && (noise > 0.0 || none && noise == 0.0) {
        return Ok(());
    }
    let wanted = if none { "a standard deviation, at least 0" } else { "a standard deviation above 0" };
    Err(Error::input("noise of the task", noise, wanted))
}
