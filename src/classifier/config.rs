//! Reading the `config.json` of a classifier of images.

use std::path::Path;

use feynkac_kernels::models::layers::{Activation, Extent};
use serde_json::Value;

use crate::error::Result;
use crate::keys::{Keys, read_object, size_in, whole};
use crate::netconfig::ACTIVATIONS;

/// What `_class_name` says.
pub(crate) const CLASS: &str = "ConvClassifier";

/// A convolution of 3 taps with zeros around, a norm if any, the nonlinearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Channels written, 1 to 4096.
    pub channels: usize,
    /// 1 or 2: pixels between two of those written.
    pub stride: usize,
}

/// How a classifier of noisy images is shown s = sigma/alpha.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise {
    /// Sines and cosines of 2 pi f ln s, an even number in 2 to 4096.
    pub features: usize,
    /// Numbers that they are made into, 1 to 4096.
    pub hidden: usize,
}

/// What a classifier of images is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvConfig {
    /// Channels of an image, 1 to 4096.
    pub channels: usize,
    /// Rows and columns of an image, 1 to 4096.
    pub size: [usize; 2],
    /// Logits, 1 to 100,000.
    pub classes: usize,
    /// The nonlinearity.
    pub activation: Activation,
    /// Groups of every norm; `None` where there is none.
    pub groups: Option<usize>,
    /// Added to variances; at least 0.
    pub eps: f64,
    /// The blocks, 1 to 64; behind them the mean over pixels and a linear map.
    pub blocks: Vec<Block>,
    /// Present in a classifier of noisy images, which reads alpha x0 + sigma noise, alpha^2 + sigma^2 = 1.
    pub noise: Option<Noise>,
}

fn block(mut keys: Keys, warnings: &mut Vec<String>) -> Result<Block> {
    let found = Block { channels: keys.size("out_channels", 1..=4096)?, stride: keys.size("stride", 1..=2)? };
    keys.done(warnings);
    Ok(found)
}

fn blocks(keys: &mut Keys, warnings: &mut Vec<String>) -> Result<Vec<Block>> {
    let wanted = "a list of 1 to 64 objects";
    let list = keys.get("blocks", wanted, |v| v.as_array().filter(|list| (1..=64).contains(&list.len())))?;
    let one = |(i, value): (usize, &Value)| match value.as_object() {
        Some(map) => block(keys.under(&format!("blocks[{i}]"), map), warnings),
        None => Err(keys.bad(&format!("blocks[{i}]"), Some(value), "an object")),
    };
    list.iter().enumerate().map(one).collect()
}

fn noise(mut keys: Keys, warnings: &mut Vec<String>) -> Result<Noise> {
    let even = |v: &Value| size_in(v, &(2..=4096)).filter(|n| n.is_multiple_of(2));
    let found = Noise {
        features: keys.get("features", "an even number in 2 to 4096", even)?,
        hidden: keys.size("hidden", 1..=4096)?,
    };
    keys.done(warnings);
    Ok(found)
}

impl ConvConfig {
    /// Reads a configuration from JSON text; `file` names it in messages. Gives a warning for each key that is not
    /// known.
    pub fn parse(file: &Path, text: &str) -> Result<(Self, Vec<String>)> {
        let map = read_object(file, text)?;
        let mut warnings = Vec::new();
        let mut keys = Keys::new(file, &map);
        keys.choice("_class_name", &[(CLASS, ())])?;
        let (pixels, groups) = (1..=4096, 1..=4096);
        let config = ConvConfig {
            channels: keys.size("in_channels", 1..=4096)?,
            size: keys.get("sample_size", format!("{}, or two", whole(&pixels)), |v| match v.as_array() {
                None => size_in(v, &pixels).map(|n| [n, n]),
                Some(list) => {
                    let both = list.iter().map(|v| size_in(v, &pixels)).collect::<Option<Vec<_>>>();
                    both?.try_into().ok()
                }
            })?,
            classes: keys.size("classes", 1..=100_000)?,
            activation: keys.choice("activation", &ACTIVATIONS)?,
            groups: keys
                .maybe("norm_num_groups", format!("{} or null", whole(&groups)), |v| size_in(v, &groups))?,
            eps: match keys.number("norm_eps", Some(1e-5))? {
                eps if (0.0..=1.0).contains(&eps) => eps,
                _ => return Err(keys.bad("norm_eps", keys.map.get("norm_eps"), "0 to 1")),
            },
            blocks: blocks(&mut keys, &mut warnings)?,
            noise: match keys.maybe("time", "an object or null", Value::as_object)? {
                None => None,
                Some(map) => Some(noise(keys.under("time", map), &mut warnings)?),
            },
        };
        keys.done(&mut warnings);
        Ok((config, warnings))
    }

    /// The extent of an image.
    pub fn image(&self) -> Extent {
        Extent { channels: self.channels, height: self.size[0], width: self.size[1] }
    }
}
