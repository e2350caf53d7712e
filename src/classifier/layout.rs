//! A configuration laid out as layers, and with them the names and shapes of the tensors that a file must hold.

use std::path::Path;

use feynkac_kernels::error::KernelError;
use feynkac_kernels::models::layers::{Features, Layers, Op};

use super::{Block, ConvConfig};
use crate::error::{Error, Result};

/// A network without its numbers.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    file: &'a Path,
    config: &'a ConvConfig,
    pub layers: Layers,
    /// Name and shape of each tensor.
    pub tensors: Vec<(String, Vec<usize>)>,
}

impl<'a> Layout<'a> {
    /// The layers of a network; `file` is where its configuration stands.
    pub fn new(file: &'a Path, config: &'a ConvConfig) -> Result<Self> {
        let mut all = Layout { file, config, layers: Layers::default(), tensors: Vec::new() };
        let time = all.time()?;
        let mut x = all.put("image", Op::State(config.image()), &[], &[])?;
        for (at, block) in config.blocks.iter().enumerate() {
            x = all.block(&format!("blocks.{at}"), x, time, *block)?;
        }
        x = all.put("out", Op::Pool, &[x], &[])?;
        all.linear("out", x, config.classes)?;
        Ok(all)
    }

    fn put(&mut self, name: &str, op: Op, from: &[usize], weights: &[usize]) -> Result<usize> {
        self.layers.push(op, from, weights).map_err(|error| match error {
            KernelError::Argument { what, found, wanted } => {
                Error::file(self.file, format!("{name}: {what}"), found, wanted)
            }
            other => other.into(),
        })
    }

    fn channels(&self, x: usize) -> usize {
        self.layers.extent(x).channels
    }

    fn tensor(&mut self, name: String, shape: &[usize]) -> usize {
        self.tensors.push((name, shape.to_vec()));
        self.tensors.len() - 1
    }

    fn weights(&mut self, name: &str, shape: &[usize]) -> [usize; 2] {
        let weight = self.tensor(format!("{name}.weight"), shape);
        [weight, self.tensor(format!("{name}.bias"), &shape[..1])]
    }

    fn linear(&mut self, name: &str, x: usize, out: usize) -> Result<usize> {
        let weights = self.weights(name, &[out, self.channels(x)]);
        self.put(name, Op::Conv { out, taps: 1, stride: 1, before: 0 }, &[x], &weights)
    }

    fn time(&mut self) -> Result<Option<usize>> {
        let Some(noise) = self.config.noise else { return Ok(None) };
        let frequencies = self.tensor("time.frequencies".to_string(), &[noise.features / 2]);
        let features = Features::Fourier { count: noise.features, log: true, cosines_first: false };
        let mut v = self.put("time", Op::Time(features), &[], &[frequencies])?;
        v = self.linear("time.linear", v, noise.hidden)?;
        self.put("time", Op::Act(self.config.activation), &[v], &[]).map(Some)
    }

    fn block(&mut self, name: &str, x: usize, time: Option<usize>, block: Block) -> Result<usize> {
        let Block { channels, stride } = block;
        let conv = format!("{name}.conv");
        let weights = self.weights(&conv, &[channels, self.channels(x), 3, 3]);
        let mut x =
            self.put(&conv, Op::Conv { out: channels, taps: 3, stride, before: 1 }, &[x], &weights)?;
        if let Some(time) = time {
            let shift = self.linear(&format!("{name}.time"), time, channels)?;
            x = self.put(name, Op::Shift, &[x, shift], &[])?;
        }
        if let Some(groups) = self.config.groups {
            let norm = format!("{name}.norm");
            let weights = self.weights(&norm, &[channels]);
            x = self.put(&norm, Op::Norm { groups, eps: self.config.eps }, &[x], &weights)?;
        }
        self.put(name, Op::Act(self.config.activation), &[x], &[])
    }
}
