//! Networks that are lists of layers among the models of a run: docs/maths.md (9.3).

use std::path::Path;

use super::network::covered;
use super::{Model, Noise};
use crate::error::{Error, Result};
use crate::layered::{self, Kind, Loaded};
use crate::unet::Scheduler;

/// A network as a list of layers, with the class it is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The network and what its folder says of it.
    pub loaded: Loaded,
    /// How it was trained.
    pub scheduler: Scheduler,
    /// The class; `None` is the null class, or a network without classes.
    pub class: Option<usize>,
}

impl Asked {
    /// Opens a folder, and checks that its network gives scores. Gives warnings too.
    pub fn open(path: &Path, class: Option<usize>) -> Result<(Self, Vec<String>)> {
        let (loaded, warnings) = layered::open(path)?;
        let told = |error: Error| error.in_file(path);
        let net = &loaded.net;
        if net.input() != net.output() {
            let wanted = format!("{}, that of its state: a score", net.input());
            return Err(Error::file(path, "output of the network", net.output(), wanted));
        }
        let Some(scheduler) = loaded.scheduler.clone() else {
            let wanted = "scheduler_config.json, which says what noise the network was trained on, in the folder \
                          scheduler of its pipeline or beside its config.json";
            return Err(Error::file(path, "the scheduler", "none", wanted));
        };
        net.row(class).map_err(|error| match error {
            Error::Input { found, wanted, .. } => {
                let null = if class.is_none() && net.classes.is_some() {
                    " (--class), or the key null_class in a feynkac.json beside its config.json"
                } else {
                    ""
                };
                Error::input("class", found, format!("{wanted}{null}"))
            }
            other => told(other),
        })?;
        Ok((Self { loaded, scheduler, class }, warnings))
    }

    /// Coordinates of a state.
    pub fn dim(&self) -> usize {
        self.loaded.net.input().numbers()
    }

    /// Whether this is `other`, whatever the class.
    pub fn is_of(&self, other: &Self) -> bool {
        self.scheduler == other.scheduler && self.loaded.net == other.loaded.net
    }

    /// ln(sigma/alpha) where it was trained, as times of its schedule, the noisiest first; no further than the schedule
    /// goes unless told otherwise.
    pub fn range(&self) -> (f64, f64) {
        let (schedule, (noisy, clean)) = (&self.scheduler.schedule, self.scheduler.range);
        let (t_max, _) = schedule.default_range();
        match self.loaded.kind {
            Kind::Unet(_) => (schedule.time_at(noisy).min(t_max), schedule.time_at(clean)),
            _ => (schedule.time_at(noisy), schedule.time_at(clean)),
        }
    }

    /// Refuses noise levels beyond those that the network was trained at.
    pub fn covers(&self, levels: &[Noise]) -> Result<()> {
        let (noisy, clean) = self.scheduler.range;
        covered(&self.loaded.name, levels, (noisy.exp(), clean.exp()))
    }

    /// The time that the network is shown at a noise level of a run, whose schedule need not be its own, and (c_in, c_x,
    /// c_F) there: docs/maths.md (9d).
    pub fn shown(&self, noise: Noise) -> Result<(f64, [f64; 3])> {
        let (own, (noisy, clean)) = (&self.scheduler, self.scheduler.range);
        let lambda = (noise.sigma / noise.alpha).ln().clamp(clean, noisy);
        let ratio = own.schedule.alpha(own.schedule.time_at(lambda)) / noise.alpha;
        let c = own.score_coeffs(lambda);
        Ok((own.time_at(lambda)?, [c.input * ratio, c.x * ratio * ratio, c.out * ratio]))
    }

    /// The score of a state at a noise level of a run, in f64.
    pub fn score(&self, x: &[f64], noise: Noise) -> Result<Vec<f64>> {
        let (time, [input, own, out]) = self.shown(noise)?;
        let shown: Vec<f64> = x.iter().map(|x| input * x).collect();
        let field = self.loaded.net.field(&shown, time, self.class)?;
        let space = self.loaded.net.layers.space();
        let mean = |k: usize| match space {
            0 => 0.0,
            _ => {
                let line = || x.iter().skip(k % space).step_by(space);
                line().sum::<f64>() / line().count() as f64
            }
        };
        Ok(x.iter().zip(field).enumerate().map(|(k, (x, f))| own * (x - mean(k)) + out * f).collect())
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        let (net, class) = (&self.loaded.net, self.class);
        let class = class.map_or_else(String::new, |c| format!(", class {c}"));
        let numbers: usize = net.tensors.iter().map(Vec::len).sum();
        let layers = net.layers.all().len();
        format!("network of {layers} layers on {}, {numbers} numbers{class}", net.input())
    }
}

impl Model {
    /// The network among layers that this is, if it is.
    pub(crate) fn asked(&self) -> Option<&Asked> {
        if let Model::Layered(asked) = self { Some(asked) } else { None }
    }
}
