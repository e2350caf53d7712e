//! A network laid out as layers before it has its numbers, and what networks of particles and of frames are built of.

use feynkac_kernels::models::layers::{Activation, Features, Layers, Op};

use super::Layered;
use crate::error::Result;
use crate::weights::Weights;

/// A network without its numbers.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub layers: Layers,
    /// Name and shape of each tensor that a file must hold.
    pub tensors: Vec<(String, Vec<usize>)>,
}

impl Layout {
    /// The network with the numbers of a file, which holds these tensors and no others; it knows no classes.
    pub fn fill(self, weights: &Weights) -> Result<Layered> {
        weights.expect_exactly(&self.tensors)?;
        let read = |(name, shape): &(String, Vec<usize>)| weights.f32(name, shape);
        let tensors = self.tensors.iter().map(read).collect::<Result<_>>()?;
        Ok(Layered::new(self.layers, tensors, None))
    }
}

/// Lays a network out whose maps are of single particles, frames or pairs of them.
#[derive(Debug)]
pub(crate) struct Builder {
    pub layout: Layout,
    activation: Activation,
}

impl Builder {
    /// Of networks with this nonlinearity.
    pub fn new(activation: Activation) -> Self {
        Self { layout: Layout::default(), activation }
    }

    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> usize {
        self.layout.tensors.push((name.to_string(), shape.to_vec()));
        self.layout.tensors.len() - 1
    }

    pub fn put(&mut self, op: Op, from: &[usize], weights: &[usize]) -> Result<usize> {
        Ok(self.layout.layers.push(op, from, weights)?)
    }

    /// A linear map of every pair, or every particle or frame.
    pub fn linear(&mut self, name: &str, x: usize, out: usize) -> Result<usize> {
        let channels = self.layout.layers.extent(x).channels;
        let weight = self.tensor(&format!("{name}.weight"), &[out, channels]);
        let bias = self.tensor(&format!("{name}.bias"), &[out]);
        self.put(Op::Conv { out, taps: 1, stride: 1, before: 0 }, &[x], &[weight, bias])
    }

    pub fn act(&mut self, x: usize) -> Result<usize> {
        self.put(Op::Act(self.activation), &[x], &[])
    }

    /// The noise as `cond` numbers, from `count` sines and cosines of its logarithm.
    pub fn noise(&mut self, count: usize, cond: usize) -> Result<usize> {
        let frequencies = self.tensor("time.freqs", &[count / 2]);
        let features = Features::Fourier { count, log: true, cosines_first: false };
        let mut e = self.put(Op::Time(features), &[], &[frequencies])?;
        for name in ["time.0", "time.2"] {
            e = self.linear(name, e, cond)?;
            e = self.act(e)?;
        }
        Ok(e)
    }
}
