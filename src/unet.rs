//! Image networks as the diffusers library saves them: a `UNet2DModel` with its `config.json`, its safetensors and,
//! where there is one, its `scheduler_config.json`.
//!
//! [`load`] checks a folder to the last tensor and lays the network out as a list of layers
//! ([`Layers`]), which the f64 oracle of that list runs forwards and back:
//! [`Unet::forward`], [`Unet::vjp`]. Maths: docs/maths.md (9).

mod build;
mod config;
mod load;
mod scheduler;

use feynkac_kernels::models::layers::oracle::{self, Question};
use feynkac_kernels::models::layers::{Extent, Layers};

use crate::error::{Error, Result};
pub use config::{Level, TimeEmbedding, UnetConfig};
pub use load::load;
pub use scheduler::{Scheduler, Spacing, Timestep};

/// A network of which every tensor has been checked.
#[derive(Clone, Debug)]
pub struct Unet {
    /// Its description.
    pub config: UnetConfig,
    /// What it does, layer by layer.
    pub layers: Layers,
    /// The weights that the layers name, row-major; F16 and BF16 are widened.
    pub tensors: Vec<Vec<f32>>,
    /// How it was trained, if the folder says so.
    pub scheduler: Option<Scheduler>,
}

impl Unet {
    /// The network's output `[outputs, height, width]` for the state `x` `[inputs, height, width]` at the time that the
    /// network counts in (a training step, or sigma), for a class where there are any. In f64; refuses a state of another
    /// length, a class that is not there, and times without features.
    pub fn forward(&self, x: &[f64], time: f64, class: Option<usize>) -> Result<Vec<f64>> {
        let asked = self.question(x, time, class)?;
        Ok(oracle::forward(&self.layers, &self.tensors, asked).pop().unwrap_or_default())
    }

    /// The output, and the gradient of <`cotangent`, output> with respect to `x`; `cotangent` is as long as the output.
    pub fn vjp(
        &self,
        x: &[f64],
        time: f64,
        class: Option<usize>,
        cotangent: &[f64],
    ) -> Result<(Vec<f64>, Vec<f64>)> {
        let asked = self.question(x, time, class)?;
        let output = self.config.extent(self.config.outputs);
        check_length("cotangent", cotangent, output)?;
        Ok(oracle::vjp(&self.layers, &self.tensors, asked, cotangent))
    }

    fn question<'a>(&self, x: &'a [f64], time: f64, class: Option<usize>) -> Result<Question<'a>> {
        check_length("state", x, self.config.extent(self.config.inputs))?;
        let fourier = self.config.time == TimeEmbedding::Fourier;
        if !time.is_finite() || (fourier && time <= 0.0) {
            let wanted = if fourier { "a finite number above 0" } else { "a finite number" };
            return Err(Error::input("time of the network", time, wanted));
        }
        let class = match (self.config.classes, class) {
            (None, None) => 0,
            (Some(n), Some(class)) if class < n => class,
            (known, class) => {
                let found = class.map_or("none".to_string(), |c| c.to_string());
                let wanted =
                    known.map_or("none: it knows no classes".to_string(), |n| format!("0 to {}", n - 1));
                return Err(Error::input("class of the network", found, wanted));
            }
        };
        Ok(Question { x, time, class })
    }
}

fn check_length(what: &str, x: &[f64], wanted: Extent) -> Result<()> {
    match x.len() == wanted.numbers() {
        true => Ok(()),
        false => Err(Error::input(format!("length of the {what}"), x.len(), format!("that of {wanted}"))),
    }
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
