//! Image networks as the diffusers library saves them: a `UNet2DModel` with its `config.json`, its safetensors and,
//! where there is one, its `scheduler_config.json`.
//!
//! [`load`] checks a folder to the last tensor and lays the network out as a list of layers
//! ([`Layered`]), which the f64 oracle of that list runs forwards and back:
//! [`Unet::forward`], [`Unet::vjp`]. Maths: docs/maths.md (9).

mod build;
mod config;
mod load;
mod scheduler;

use crate::error::Result;
use crate::layered::Layered;
use crate::netconfig::DataMoments;
pub use config::{Level, TimeEmbedding, UnetConfig};
pub use load::load;
pub(crate) use load::{PICKLES, ends_in, files, pickle, pickled, pipeline, weights};
pub use scheduler::{Scheduler, Spacing, Timestep};

/// A network of which every tensor has been checked.
#[derive(Clone, Debug)]
pub struct Unet {
    /// Its description.
    pub config: UnetConfig,
    /// What it does, layer by layer, with its weights; F16 and BF16 are widened.
    pub net: Layered,
    /// How it was trained, if the folder says so.
    pub scheduler: Option<Scheduler>,
    /// What is known of its data.
    pub data: Option<DataMoments>,
}

impl Unet {
    /// The network's output `[outputs, height, width]` for the state `x` `[inputs, height, width]` at the time that the
    /// network counts in (a training step, or sigma), for a class where there are any: [`Layered::forward`].
    pub fn forward(&self, x: &[f64], time: f64, class: Option<usize>) -> Result<Vec<f64>> {
        self.net.forward(x, time, class)
    }

    /// The output, and the gradient of <`cotangent`, output> with respect to `x`: [`Layered::vjp`].
    pub fn vjp(
        &self,
        x: &[f64],
        time: f64,
        class: Option<usize>,
        cotangent: &[f64],
    ) -> Result<(Vec<f64>, Vec<f64>)> {
        self.net.vjp(x, time, class, cotangent)
    }
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
