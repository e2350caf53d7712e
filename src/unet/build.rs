//! A configuration laid out as layers, and with them the names and shapes of the tensors that a file must hold.

use std::path::Path;

use feynkac_kernels::error::KernelError;
use feynkac_kernels::models::layers::{Activation, Features, Layers, Op};

use super::config::{TimeEmbedding, UnetConfig};
use crate::error::{Error, Result};
use crate::layered::Layout;

struct Builder<'a> {
    file: &'a Path,
    config: &'a UnetConfig,
    layers: Layers,
    tensors: Vec<(String, Vec<usize>)>,
}

/// The layers of a network; `file` is where its configuration stands.
pub(super) fn layout(file: &Path, config: &UnetConfig) -> Result<Layout> {
    let mut b = Builder { file, config, layers: Layers::default(), tensors: Vec::new() };
    let time = b.time()?;
    let mut x = b.put("sample", Op::State(config.extent(config.inputs)), &[], &[])?;
    if config.centred {
        x = b.put("sample", Op::Affine { scale: 2.0, shift: -1.0 }, &[x], &[])?;
    }
    x = b.conv("conv_in", x, config.levels[0].channels, 3, 1)?;
    let mut skips = vec![x];
    for level in 0..config.levels.len() {
        x = b.down(level, x, time, &mut skips)?;
    }
    x = b.middle(x, time)?;
    for level in (0..config.levels.len()).rev() {
        x = b.up(level, x, time, &mut skips)?;
    }
    x = b.norm("conv_norm_out", x, config.groups)?;
    x = b.put("conv_act", Op::Act(Activation::Silu), &[x], &[])?;
    x = b.conv("conv_out", x, config.outputs, 3, 1)?;
    if config.time == TimeEmbedding::Fourier {
        b.put("sample", Op::OverTime, &[x], &[])?;
    }
    Ok(Layout { layers: b.layers, tensors: b.tensors })
}

impl Builder<'_> {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> usize {
        self.tensors.push((name.to_string(), shape.to_vec()));
        self.tensors.len() - 1
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

    fn weights(&mut self, name: &str, shape: &[usize]) -> [usize; 2] {
        let weight = self.tensor(&format!("{name}.weight"), shape);
        [weight, self.tensor(&format!("{name}.bias"), &shape[..1])]
    }

    /// A convolution that pads by 1 where it has 3 taps.
    fn conv(&mut self, name: &str, x: usize, out: usize, taps: usize, stride: usize) -> Result<usize> {
        let weights = self.weights(name, &[out, self.channels(x), taps, taps]);
        let before = usize::from(taps == 3 && (stride == 1 || self.config.pads_before));
        self.put(name, Op::Conv { out, taps, stride, before }, &[x], &weights)
    }

    /// A linear map of every pixel.
    fn linear(&mut self, name: &str, x: usize, out: usize) -> Result<usize> {
        let weights = self.weights(name, &[out, self.channels(x)]);
        self.put(name, Op::Conv { out, taps: 1, stride: 1, before: 0 }, &[x], &weights)
    }

    fn norm(&mut self, name: &str, x: usize, groups: usize) -> Result<usize> {
        let weights = self.weights(name, &[self.channels(x)]);
        self.put(name, Op::Norm { groups, eps: self.config.eps }, &[x], &weights)
    }

    /// The embedded time and class, through the SiLU that every residual block puts it through.
    fn time(&mut self) -> Result<usize> {
        let channels = self.config.levels[0].channels;
        let numbers = self.config.time_numbers;
        let (features, weights) = match self.config.time {
            TimeEmbedding::Positional { shift, cosines_first } => {
                let period = 1e4;
                (Features::Positional { count: channels, shift, period, cosines_first }, Vec::new())
            }
            TimeEmbedding::Fourier => {
                let frequencies = self.tensor("time_proj.weight", &[channels]);
                let count = 2 * channels;
                (Features::Fourier { count, log: true, cosines_first: false }, vec![frequencies])
            }
        };
        let mut v = self.put("time_proj", Op::Time(features), &[], &weights)?;
        v = self.linear("time_embedding.linear_1", v, numbers)?;
        v = self.put("time_embedding", Op::Act(Activation::Silu), &[v], &[])?;
        v = self.linear("time_embedding.linear_2", v, numbers)?;
        if let Some(classes) = self.config.classes {
            let table = self.tensor("class_embedding.weight", &[classes, numbers]);
            let class = self.put("class_embedding", Op::Class { count: numbers }, &[], &[table])?;
            v = self.put("class_embedding", Op::Add, &[v, class], &[])?;
        }
        self.put("time_embedding", Op::Act(Activation::Silu), &[v], &[])
    }

    /// x + what was made of it, over `scale`.
    fn sum(&mut self, name: &str, x: usize, y: usize, scale: f64) -> Result<usize> {
        let sum = self.put(name, Op::Add, &[x, y], &[])?;
        match scale == 1.0 {
            true => Ok(sum),
            false => self.put(name, Op::Affine { scale: 1.0 / scale, shift: 0.0 }, &[sum], &[]),
        }
    }

    fn residual(&mut self, name: &str, x: usize, time: usize, out: usize, scale: f64) -> Result<usize> {
        let (groups, scales) = (self.config.groups, self.config.scales);
        let inner = |part: &str| format!("{name}.{part}");
        let mut y = self.norm(&inner("norm1"), x, groups)?;
        y = self.put(name, Op::Act(Activation::Silu), &[y], &[])?;
        y = self.conv(&inner("conv1"), y, out, 3, 1)?;
        let time = self.linear(&inner("time_emb_proj"), time, if scales { 2 * out } else { out })?;
        if !scales {
            y = self.put(name, Op::Shift, &[y, time], &[])?;
        }
        y = self.norm(&inner("norm2"), y, groups)?;
        if scales {
            y = self.put(name, Op::Modulate, &[y, time], &[])?;
        }
        y = self.put(name, Op::Act(Activation::Silu), &[y], &[])?;
        y = self.conv(&inner("conv2"), y, out, 3, 1)?;
        let x = match self.channels(x) == out {
            true => x,
            false => self.conv(&inner("conv_shortcut"), x, out, 1, 1)?,
        };
        self.sum(name, x, y, scale)
    }

    fn attention(&mut self, name: &str, x: usize, groups: Option<usize>, scale: f64) -> Result<usize> {
        let channels = self.channels(x);
        let head = self.config.head.unwrap_or(channels);
        if !channels.is_multiple_of(head) {
            let wanted = format!("a divisor of the {channels} channels of {name}");
            return Err(Error::file(self.file, "attention_head_dim", head, wanted));
        }
        let inner = |part: &str| format!("{name}.{part}");
        let y = match groups {
            Some(groups) => self.norm(&inner("group_norm"), x, groups)?,
            None => x,
        };
        let q = self.linear(&inner("to_q"), y, channels)?;
        let k = self.linear(&inner("to_k"), y, channels)?;
        let v = self.linear(&inner("to_v"), y, channels)?;
        let looked = self.put(name, Op::Attention { heads: channels / head }, &[q, k, v], &[])?;
        let y = self.linear(&inner("to_out.0"), looked, channels)?;
        self.sum(name, x, y, scale)
    }

    fn down(&mut self, at: usize, mut x: usize, time: usize, skips: &mut Vec<usize>) -> Result<usize> {
        let level = self.config.levels[at];
        for block in 0..self.config.blocks {
            x = self.residual(&format!("down_blocks.{at}.resnets.{block}"), x, time, level.channels, 1.0)?;
            if level.down_attention {
                let name = format!("down_blocks.{at}.attentions.{block}");
                x = self.attention(&name, x, Some(self.config.groups), 1.0)?;
            }
            skips.push(x);
        }
        if at + 1 < self.config.levels.len() {
            x = self.conv(&format!("down_blocks.{at}.downsamplers.0.conv"), x, level.channels, 3, 2)?;
            skips.push(x);
        }
        Ok(x)
    }

    fn middle(&mut self, x: usize, time: usize) -> Result<usize> {
        let Some(attention) = self.config.middle else { return Ok(x) };
        let (channels, scale) = (self.channels(x), self.config.middle_scale);
        let mut x = self.residual("mid_block.resnets.0", x, time, channels, scale)?;
        if attention {
            x = self.attention("mid_block.attentions.0", x, self.config.middle_groups, scale)?;
        }
        self.residual("mid_block.resnets.1", x, time, channels, scale)
    }

    fn up(&mut self, at: usize, mut x: usize, time: usize, skips: &mut Vec<usize>) -> Result<usize> {
        let level = self.config.levels[at];
        let block_of = self.config.levels.len() - 1 - at;
        for block in 0..=self.config.blocks {
            let name = format!("up_blocks.{block_of}.resnets.{block}");
            let skip = skips.pop().expect("a level keeps as many values as it takes back");
            x = self.put(&name, Op::Concat, &[x, skip], &[])?;
            x = self.residual(&name, x, time, level.channels, 1.0)?;
            if level.up_attention {
                let name = format!("up_blocks.{block_of}.attentions.{block}");
                x = self.attention(&name, x, Some(self.config.groups), 1.0)?;
            }
        }
        if at > 0 {
            let name = format!("up_blocks.{block_of}.upsamplers.0");
            x = self.put(&name, Op::Upsample, &[x], &[])?;
            x = self.conv(&format!("{name}.conv"), x, level.channels, 3, 1)?;
        }
        Ok(x)
    }
}
