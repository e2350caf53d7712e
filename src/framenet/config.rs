//! Reading the `config.json` of a network of frames.

use std::path::Path;

use feynkac_kernels::models::layers::{Activation, Extent};
use feynkac_kernels::passes::frames::FRAME;

use crate::error::{Error, Result};
use crate::keys::{Keys, read_object};
use crate::netconfig::{ACTIVATIONS, schedule};
use crate::schedule::{Preconditioning, Prediction, Schedule};
use crate::unet::{Scheduler, Timestep};

/// What a network of frames is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrameConfig {
    /// N: frames, 1 to 256.
    pub frames: usize,
    /// H: numbers of a pair and of a frame, 1 to 512.
    pub hidden: usize,
    /// L: maps of pairs, and of frames, 1 to 16 each.
    pub layers: usize,
    /// Numbers of a pair by where it stands, 1 to 512.
    pub places: usize,
    /// C: numbers of the embedded noise, 1 to 4096.
    pub cond: usize,
    /// E: sines and cosines of ln(sigma); even, 2 to 4096.
    pub time_features: usize,
    /// The nonlinearity.
    pub activation: Activation,
    /// The schedule it was trained on: sigma is that of positions, sigma^2 the variance of rotations.
    pub schedule: Schedule,
    /// The noisiest time it was trained on.
    pub t_max: f64,
    /// The least noisy time it was trained on.
    pub t_min: f64,
}

impl FrameConfig {
    /// The extent of a state, `[1, frames, 7]`.
    pub fn extent(&self) -> Extent {
        Extent { channels: 1, height: self.frames, width: FRAME }
    }

    /// How it was trained: its output is -sigma times the score. The network is shown sigma.
    pub fn scheduler(&self) -> Scheduler {
        let range = [self.t_max, self.t_min].map(|t| self.schedule.log_noise_ratio(t));
        Scheduler::without_table(
            self.schedule,
            Timestep::Sigma,
            Prediction::Eps,
            Preconditioning::None,
            range.into(),
        )
    }

    /// Reads a configuration from JSON text; `file` names it in messages. Gives warnings too, one for each key that is
    /// not known.
    pub fn parse(file: &Path, text: &str) -> Result<(Self, Vec<String>)> {
        let map = read_object(file, text)?;
        let mut warnings = Vec::new();
        let mut keys = Keys::new(file, &map);
        keys.choice("_class_name", &[("FrameNetwork", ())])?;
        keys.choice("prediction", &[("eps", ())])?;
        let (schedule, t_max, t_min) = schedule(keys.object("schedule")?, &mut warnings)?;
        if !matches!(schedule, Schedule::Ve { .. } | Schedule::Edm) {
            return Err(Error::file(file, "schedule", schedule, "ve or edm: rotations cannot shrink"));
        }
        let config = FrameConfig {
            frames: keys.size("frames", 1..=256)?,
            hidden: keys.size("hidden", 1..=512)?,
            layers: keys.size("layers", 1..=16)?,
            places: keys.size("places", 1..=512)?,
            cond: keys.size("cond", 1..=4096)?,
            time_features: keys.get("time_features", "an even number in 2 to 4096", |v| {
                crate::keys::size_in(v, &(2..=4096)).filter(|n| n % 2 == 0)
            })?,
            activation: keys.choice("activation", &ACTIVATIONS)?,
            schedule,
            t_max,
            t_min,
        };
        keys.done(&mut warnings);
        Ok((config, warnings))
    }
}
