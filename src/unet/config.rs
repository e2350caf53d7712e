//! Reading the `config.json` of a `UNet2DModel`. Keys that are not there have the library's own defaults; a value that
//! asks for a network we cannot run is refused by name.

use std::path::Path;

use feynkac_kernels::models::layers::Extent;
use serde_json::Value;

use crate::error::Result;
use crate::keys::{Keys, read_object, size_in};

/// One resolution of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Channels.
    pub channels: usize,
    /// Whether every residual block on the way down is followed by attention.
    pub down_attention: bool,
    /// The same on the way up.
    pub up_attention: bool,
}

/// How a network is shown its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TimeEmbedding {
    /// Sines and cosines of the training step.
    Positional {
        /// `freq_shift`.
        shift: f64,
        /// `flip_sin_to_cos`.
        cosines_first: bool,
    },
    /// Sines and cosines of ln sigma at frequencies among the weights; the output is divided by sigma.
    Fourier,
}

/// What a `UNet2DModel` is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct UnetConfig {
    /// Rows and columns of an image, each a multiple of 2 for every level but the last.
    pub size: [usize; 2],
    /// Channels read, 1 to 4096.
    pub inputs: usize,
    /// Channels written, 1 to 4096.
    pub outputs: usize,
    /// Whether 2 x - 1 is shown for x.
    pub centred: bool,
    /// How it is shown the time.
    pub time: TimeEmbedding,
    /// Numbers of the embedded time, 1 to 65,536.
    pub time_numbers: usize,
    /// The resolutions, the finest first; 1 to 16.
    pub levels: Vec<Level>,
    /// Residual blocks of a level on the way down, 1 to 64; one more on the way up.
    pub blocks: usize,
    /// Whether there is a middle, and whether with attention.
    pub middle: Option<bool>,
    /// What sums in the middle are divided by.
    pub middle_scale: f64,
    /// Whether downsampling pads above and left too.
    pub pads_before: bool,
    /// Channels of an attention head; `None` for one head.
    pub head: Option<usize>,
    /// Groups of every norm.
    pub groups: usize,
    /// Groups of the norm before the attention in the middle, if it has one.
    pub middle_groups: Option<usize>,
    /// Added to variances; above 0.
    pub eps: f64,
    /// Whether time scales and shifts channels after the second norm (`scale_shift`), or shifts them before it.
    pub scales: bool,
    /// Classes, 1 to 100,000, if it knows any.
    pub classes: Option<usize>,
}

/// Refuses values of `key` but these.
fn only(keys: &mut Keys, key: &'static str, names: &[&str]) -> Result<()> {
    let known = |v: &Value| names.contains(&v.as_str()?).then_some(());
    keys.maybe(key, names.join(" or "), known).map(|_| ())
}

fn flag(keys: &mut Keys, key: &'static str, usual: bool) -> Result<bool> {
    Ok(keys.maybe(key, "true or false", Value::as_bool)?.unwrap_or(usual))
}

fn size_or(keys: &mut Keys, key: &'static str, most: usize, usual: usize) -> Result<usize> {
    let wanted = format!("a whole number in 1 to {most}");
    Ok(keys.maybe(key, wanted, |v| size_in(v, &(1..=most)))?.unwrap_or(usual))
}

fn size(keys: &mut Keys, key: &'static str, most: usize) -> Result<Option<usize>> {
    keys.maybe(key, format!("a whole number in 1 to {most}, or null"), |v| size_in(v, &(1..=most)))
}

/// Which of the blocks named under `key` have attention.
fn attentive(keys: &mut Keys, key: &'static str, names: [&str; 2]) -> Result<Vec<bool>> {
    let list = keys.get(key, "a list of block types", Value::as_array)?;
    let one = |(i, value): (usize, &Value)| match names.iter().position(|n| value.as_str() == Some(n)) {
        Some(which) => Ok(which == 1),
        None => Err(keys.bad(&format!("{key}[{i}]"), Some(value), names.join(" or "))),
    };
    list.iter().enumerate().map(one).collect()
}

fn levels(keys: &mut Keys) -> Result<Vec<Level>> {
    let wanted = "a list of 1 to 16 whole numbers in 1 to 16384";
    let channels: Vec<usize> = keys.get("block_out_channels", wanted, |v| {
        let list = v.as_array().filter(|list| (1..=16).contains(&list.len()))?;
        list.iter().map(|v| size_in(v, &(1..=16_384))).collect()
    })?;
    let down = attentive(keys, "down_block_types", ["DownBlock2D", "AttnDownBlock2D"])?;
    let mut up = attentive(keys, "up_block_types", ["UpBlock2D", "AttnUpBlock2D"])?;
    for (key, list) in [("down_block_types", &down), ("up_block_types", &up)] {
        if list.len() != channels.len() {
            let wanted = format!("{} types, as many as block_out_channels", channels.len());
            return Err(keys.bad(key, keys.map.get(key), wanted));
        }
    }
    up.reverse();
    let level = |((channels, down), up)| Level { channels, down_attention: down, up_attention: up };
    Ok(channels.into_iter().zip(down).zip(up).map(level).collect())
}

fn image(keys: &mut Keys, levels: usize) -> Result<[usize; 2]> {
    let unit = 1 << (levels - 1);
    let wanted = format!("one or two multiples of {unit} (2 for each level but the last), at most 4096");
    keys.get("sample_size", wanted, |v| {
        let one = |v: &Value| size_in(v, &(1..=4096)).filter(|n| n.is_multiple_of(unit));
        match v.as_array() {
            None => one(v).map(|n| [n, n]),
            Some(list) => list.iter().map(one).collect::<Option<Vec<_>>>()?.try_into().ok(),
        }
    })
}

fn time(keys: &mut Keys) -> Result<TimeEmbedding> {
    let kind = "time_embedding_type";
    let known = |v: &Value| {
        [("positional", false), ("fourier", true)].into_iter().find(|(n, _)| v.as_str() == Some(n))
    };
    let fourier = keys.maybe(kind, "positional or fourier", known)?.is_some_and(|(_, fourier)| fourier);
    let cosines_first = flag(keys, "flip_sin_to_cos", true)?;
    let shift = keys.number("freq_shift", Some(0.0))?;
    if fourier {
        return Ok(TimeEmbedding::Fourier);
    }
    if !(0.0..=1.0).contains(&shift) {
        return Err(keys.bad("freq_shift", keys.map.get("freq_shift"), "0 to 1"));
    }
    Ok(TimeEmbedding::Positional { shift, cosines_first })
}

/// A number above 0.
fn positive(keys: &mut Keys, key: &'static str, usual: f64) -> Result<f64> {
    let number = keys.number(key, Some(usual))?;
    match number > 0.0 && number <= 1e6 {
        true => Ok(number),
        false => Err(keys.bad(key, keys.map.get(key), "a number above 0, at most 1e6")),
    }
}

impl UnetConfig {
    /// Reads a configuration from JSON text; `file` names it in messages. Gives a warning for each key that is not known.
    pub fn parse(file: &Path, text: &str) -> Result<(Self, Vec<String>)> {
        let map = read_object(file, text)?;
        let mut keys = Keys::new(file, &map);
        keys.choice("_class_name", &[("UNet2DModel", ())])?;
        // What they say is of no account here: dropout is for training, the rest belongs to features refused below.
        for key in ["_diffusers_version", "_name_or_path", "dropout", "num_train_timesteps"] {
            keys.pass(key);
        }
        only(&mut keys, "act_fn", &["silu", "swish"])?;
        only(&mut keys, "downsample_type", &["conv"])?;
        only(&mut keys, "upsample_type", &["conv"])?;
        keys.maybe("class_embed_type", "null: labels in a table", |_| None::<()>)?;
        let levels = levels(&mut keys)?;
        let scale_shift = [("default", false), ("scale_shift", true)];
        let scales = match keys.map.contains_key("resnet_time_scale_shift") {
            true => keys.choice("resnet_time_scale_shift", &scale_shift)?,
            false => false,
        };
        let bare = map.get("mid_block_type").is_some_and(Value::is_null);
        only(&mut keys, "mid_block_type", &["UNetMidBlock2D"])?;
        let groups = size_or(&mut keys, "norm_num_groups", 16_384, 32)?;
        let middle_groups = size(&mut keys, "attn_norm_num_groups", 16_384)?;
        let padding = keys.maybe("downsample_padding", "0 or 1", |v| size_in(v, &(0..=1)))?.unwrap_or(1);
        let head = size(&mut keys, "attention_head_dim", 16_384)?;
        let attention = flag(&mut keys, "add_attention", true)?;
        let config = UnetConfig {
            size: image(&mut keys, levels.len())?,
            inputs: size_or(&mut keys, "in_channels", 4096, 3)?,
            outputs: size_or(&mut keys, "out_channels", 4096, 3)?,
            centred: flag(&mut keys, "center_input_sample", false)?,
            time: time(&mut keys)?,
            time_numbers: size_or(&mut keys, "time_embedding_dim", 65_536, 4 * levels[0].channels)?,
            blocks: size_or(&mut keys, "layers_per_block", 64, 2)?,
            middle: (!bare).then_some(attention),
            middle_scale: positive(&mut keys, "mid_block_scale_factor", 1.0)?,
            pads_before: padding == 1,
            head: if map.contains_key("attention_head_dim") { head } else { Some(8) },
            groups,
            middle_groups: middle_groups.or_else(|| (!scales).then_some(groups)),
            eps: positive(&mut keys, "norm_eps", 1e-5)?,
            scales,
            classes: size(&mut keys, "num_class_embeds", 100_000)?,
            levels,
        };
        let mut warnings = Vec::new();
        keys.done(&mut warnings);
        Ok((config, warnings))
    }

    /// An image of so many channels.
    pub fn extent(&self, channels: usize) -> Extent {
        Extent { channels, height: self.size[0], width: self.size[1] }
    }
}
