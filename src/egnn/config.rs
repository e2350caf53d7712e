//! Reading the `config.json` of a network of particles.

use std::path::Path;

use feynkac_kernels::models::layers::{Activation, Extent};

use crate::error::Result;
use crate::keys::{Keys, read_object};
use crate::netconfig::{ACTIVATIONS, DataMoments, data_moments, preconditioning, schedule};
use crate::schedule::{Preconditioning, Prediction, Schedule};
use crate::unet::{Scheduler, Timestep};

/// What a network of particles is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EgnnConfig {
    /// n: particles, 2 to 256.
    pub atoms: usize,
    /// Coordinates of a particle, 1 to 16.
    pub space: usize,
    /// H: numbers of a pair and of a particle, 1 to 512.
    pub hidden: usize,
    /// Bumps that a distance is shown in, 1 to 512.
    pub radial: usize,
    /// L: layers of particles, 1 to 16; there is one more of pairs.
    pub layers: usize,
    /// C: numbers of the embedded noise, 1 to 4096.
    pub cond: usize,
    /// E: sines and cosines of ln(sigma/alpha); even, 2 to 4096.
    pub time_features: usize,
    /// The nonlinearity.
    pub activation: Activation,
    /// The schedule it was trained on.
    pub schedule: Schedule,
    /// The noisiest time it was trained on.
    pub t_max: f64,
    /// The least noisy time it was trained on.
    pub t_min: f64,
    /// What its output stands for.
    pub prediction: Prediction,
    /// What is wrapped around it.
    pub preconditioning: Preconditioning,
    /// What is known of its data.
    pub data: Option<DataMoments>,
}

impl EgnnConfig {
    /// The extent of a state, `[1, atoms, space]`.
    pub fn extent(&self) -> Extent {
        Extent { channels: 1, height: self.atoms, width: self.space }
    }

    /// How it was trained. The network is shown sigma/alpha.
    pub fn scheduler(&self) -> Scheduler {
        let range = [self.t_max, self.t_min].map(|t| self.schedule.log_noise_ratio(t));
        Scheduler::without_table(
            self.schedule,
            Timestep::Sigma,
            self.prediction,
            self.preconditioning,
            range.into(),
        )
    }

    /// Reads a configuration from JSON text; `file` names it in messages. Gives warnings too, one for each key that is
    /// not known.
    pub fn parse(file: &Path, text: &str) -> Result<(Self, Vec<String>)> {
        let map = read_object(file, text)?;
        let mut warnings = Vec::new();
        let mut keys = Keys::new(file, &map);
        keys.choice("_class_name", &[("EGNN", ())])?;
        let (schedule, t_max, t_min) = schedule(keys.object("schedule")?, &mut warnings)?;
        let config = EgnnConfig {
            atoms: keys.size("atoms", 2..=256)?,
            space: keys.size("space", 1..=16)?,
            hidden: keys.size("hidden", 1..=512)?,
            radial: keys.size("radial", 1..=512)?,
            layers: keys.size("layers", 1..=16)?,
            cond: keys.size("cond", 1..=4096)?,
            time_features: keys.get("time_features", "an even number in 2 to 4096", |v| {
                crate::keys::size_in(v, &(2..=4096)).filter(|n| n % 2 == 0)
            })?,
            activation: keys.choice("activation", &ACTIVATIONS)?,
            schedule,
            t_max,
            t_min,
            prediction: keys.choice("prediction", &Prediction::NAMES)?,
            preconditioning: match keys.maybe("preconditioning", "an object", |v| v.as_object())? {
                None => Preconditioning::None,
                Some(map) => preconditioning(keys.under("preconditioning", map), &mut warnings)?,
            },
            data: match keys.maybe("data", "an object", |v| v.as_object())? {
                None => None,
                Some(map) => Some(data_moments(keys.under("data", map), &mut warnings)?),
            },
        };
        keys.done(&mut warnings);
        Ok((config, warnings))
    }
}
