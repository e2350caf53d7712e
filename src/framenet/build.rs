//! A configuration laid out as layers, and with them the names and shapes of the tensors that a file must hold.

use feynkac_kernels::models::layers::{Features, Layers, Op};

use super::FrameConfig;
use crate::error::Result;

/// A network without its numbers.
#[derive(Debug)]
pub(super) struct Layout {
    pub layers: Layers,
    /// Name and shape of each tensor.
    pub tensors: Vec<(String, Vec<usize>)>,
}

struct Builder<'a> {
    config: &'a FrameConfig,
    layers: Layers,
    tensors: Vec<(String, Vec<usize>)>,
}

/// The layers of a network: docs/maths.md (9ah) to (9aj).
pub(super) fn layout(config: &FrameConfig) -> Result<Layout> {
    let mut b = Builder { config, layers: Layers::default(), tensors: Vec::new() };
    let noise = b.noise()?;
    let state = b.put(Op::State(config.extent()), &[], &[])?;
    let places = b.tensor("places", &[config.places, config.frames, config.frames]);
    let views = b.put(Op::FrameViews { places: config.places }, &[state], &[places])?;
    let mut pairs = b.modulated("pairs", views, noise)?;
    for at in 1..config.layers {
        pairs = b.linear(&format!("pairs.{at}"), pairs, config.hidden)?;
        pairs = b.act(pairs)?;
    }
    let means = b.put(Op::RowMeans, &[pairs], &[])?;
    let mut frames = b.modulated("frames", means, noise)?;
    for at in 1..config.layers {
        let more = b.linear(&format!("frames.{at}"), frames, config.hidden)?;
        let more = b.act(more)?;
        frames = b.put(Op::Add, &[frames, more], &[])?;
    }
    let six = b.linear("out", frames, 6)?;
    b.put(Op::FrameTurn, &[state, six], &[])?;
    Ok(Layout { layers: b.layers, tensors: b.tensors })
}

impl Builder<'_> {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> usize {
        self.tensors.push((name.to_string(), shape.to_vec()));
        self.tensors.len() - 1
    }

    fn put(&mut self, op: Op, from: &[usize], weights: &[usize]) -> Result<usize> {
        Ok(self.layers.push(op, from, weights)?)
    }

    /// A linear map of every pair, or every frame.
    fn linear(&mut self, name: &str, x: usize, out: usize) -> Result<usize> {
        let weight = self.tensor(&format!("{name}.weight"), &[out, self.layers.extent(x).channels]);
        let bias = self.tensor(&format!("{name}.bias"), &[out]);
        self.put(Op::Conv { out, taps: 1, stride: 1, before: 0 }, &[x], &[weight, bias])
    }

    fn act(&mut self, x: usize) -> Result<usize> {
        self.put(Op::Act(self.config.activation), &[x], &[])
    }

    fn noise(&mut self) -> Result<usize> {
        let (count, cond) = (self.config.time_features, self.config.cond);
        let frequencies = self.tensor("time.freqs", &[count / 2]);
        let features = Features::Fourier { count, log: true, cosines_first: false };
        let mut e = self.put(Op::Time(features), &[], &[frequencies])?;
        for name in ["time.0", "time.2"] {
            e = self.linear(name, e, cond)?;
            e = self.act(e)?;
        }
        Ok(e)
    }

    /// act((1 + a) W x + b), (a, b) = A e
    fn modulated(&mut self, part: &str, x: usize, noise: usize) -> Result<usize> {
        let by = self.linear(&format!("{part}.time"), noise, 2 * self.config.hidden)?;
        let x = self.linear(&format!("{part}.0"), x, self.config.hidden)?;
        let x = self.put(Op::Modulate, &[x, by], &[])?;
        self.act(x)
    }
}
