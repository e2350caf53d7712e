//! A network as a list of layers with its numbers: image networks, networks of particles, and dense networks where
//! derivatives of them are wanted. Here it is run in f64: docs/maths.md (9.1), (9.3).

mod energy;
mod layout;
mod open;

use feynkac_kernels::models::layers::oracle::{self, Question};
use feynkac_kernels::models::layers::{Extent, Features, Layers, Op};

use crate::error::{Error, Result};
pub use energy::Energy;
pub(crate) use layout::{Builder, Layout};
pub(crate) use open::{Folder, no_pickle};
pub use open::{Kind, Loaded, open};

/// A network of which every tensor has the length that its layers want.
#[derive(Clone, Debug, PartialEq)]
pub struct Layered {
    /// What it does, layer by layer; the last one writes the output.
    pub layers: Layers,
    /// The weights that the layers name, row-major.
    pub tensors: Vec<Vec<f32>>,
    /// Rows of its class table, if it has one.
    pub classes: Option<usize>,
    /// The row that stands for no class.
    pub null: Option<usize>,
    /// The energy whose gradient the network stands for; `None` where its output is that itself.
    pub energy: Option<Energy>,
}

impl Layered {
    /// A network without a null class whose output is what it stands for.
    pub fn new(layers: Layers, tensors: Vec<Vec<f32>>, classes: Option<usize>) -> Self {
        Self { layers, tensors, classes, null: None, energy: None }
    }

    /// The network that says the first half of the channels of this one, whose last layer is a convolution.
    pub(crate) fn first_half(&self) -> Option<Self> {
        let (last, others) = self.layers.all().split_last()?;
        let Op::Conv { out, taps, stride, before } = last.op else { return None };
        let mut layers = Layers::default();
        for layer in others {
            layers.push(layer.op, &layer.from, &layer.weights).ok()?;
        }
        layers.push(Op::Conv { out: out / 2, taps, stride, before }, &last.from, &last.weights).ok()?;
        let mut half = Self { layers, ..self.clone() };
        for tensor in &last.weights {
            let numbers = half.tensors[*tensor].len() / 2;
            half.tensors[*tensor].truncate(numbers);
        }
        Some(half)
    }

    /// The extent of a state.
    pub fn input(&self) -> Extent {
        let state = self.layers.all().iter().find(|layer| matches!(layer.op, Op::State(_)));
        state.map_or(Extent::vector(1), |layer| layer.extent)
    }

    /// The extent of what the last layer writes.
    pub fn output(&self) -> Extent {
        self.layers.all().last().map_or(Extent::vector(1), |layer| layer.extent)
    }

    /// Whether it is shown a time.
    pub fn timed(&self) -> bool {
        self.layers.all().iter().any(|layer| matches!(layer.op, Op::Time(_) | Op::OverTime))
    }

    /// The row of the class table for a class, or for none.
    pub fn row(&self, class: Option<usize>) -> Result<usize> {
        match (self.classes, class.or(self.null)) {
            (None, None) => Ok(0),
            (Some(rows), Some(row)) if row < rows => Ok(row),
            (known, row) => {
                let found = row.map_or("none".to_string(), |c| c.to_string());
                let or_none = if self.null.is_some() { ", or none" } else { "" };
                let wanted = known.map_or("none: it knows no classes".to_string(), |rows| {
                    format!("0 to {}{or_none}", rows - 1)
                });
                Err(Error::input("class of the network", found, wanted))
            }
        }
    }

    /// Refuses a time without features.
    pub fn check_time(&self, time: f64) -> Result<()> {
        let log = |op: &Op| matches!(op, Op::Time(Features::Fourier { log: true, .. }) | Op::OverTime);
        let positive = self.layers.all().iter().any(|layer| log(&layer.op));
        if time.is_finite() && (time > 0.0 || !positive) {
            return Ok(());
        }
        let wanted = if positive { "a finite number above 0" } else { "a finite number" };
        Err(Error::input("time of the network", time, wanted))
    }

    fn question<'a>(&self, x: &'a [f64], time: f64, class: Option<usize>) -> Result<Question<'a>> {
        check_length("state", x, self.input())?;
        self.check_time(time)?;
        Ok(Question { x, time, class: self.row(class)? })
    }

    /// The output for the state `x` `[channels, height, width]`, row-major, at the time that the network counts in (a
    /// training step, sigma, a feature of the noise), for a class where it knows any. Refuses a state of another length,
    /// a class that is not there, and times without features.
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
        check_length("cotangent", cotangent, self.output())?;
        Ok(oracle::vjp(&self.layers, &self.tensors, asked, cotangent))
    }

    /// The output, and how it changes as the state moves along `tangent` and the time at the rate `tangent_time`.
    pub fn jvp(
        &self,
        x: &[f64],
        time: f64,
        class: Option<usize>,
        tangent: &[f64],
        tangent_time: f64,
    ) -> Result<(Vec<f64>, Vec<f64>)> {
        let asked = self.question(x, time, class)?;
        check_length("tangent", tangent, self.input())?;
        Ok(oracle::jvp(&self.layers, &self.tensors, asked, tangent, tangent_time))
    }
}

fn check_length(what: &str, x: &[f64], wanted: Extent) -> Result<()> {
    match x.len() == wanted.numbers() {
        true => Ok(()),
        false => Err(Error::input(format!("length of the {what}"), x.len(), format!("that of {wanted}"))),
    }
}

#[cfg(test)]
pub(crate) mod tests;
