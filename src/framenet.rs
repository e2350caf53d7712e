//! Networks of frames, which say the same of them however they are turned and moved as a whole: docs/maths.md (9.7).
//!
//! A folder holds `config.json`, in which `_class_name` is `FrameNetwork`, and `model.safetensors`. [`load`] checks it to
//! the last tensor and lays the network out as a list of layers.

mod build;
mod config;

use std::path::Path;

use crate::error::Result;
use crate::layered::Layered;
use crate::netconfig;
pub use config::FrameConfig;

/// A network of which every tensor has been checked.
#[derive(Clone, Debug)]
pub struct FrameNetwork {
    /// Its description.
    pub config: FrameConfig,
    /// Its layers and numbers. Its state is `[1, frames, 7]`, its output `[1, frames, 6]`, its time sigma.
    pub net: Layered,
}

/// Loads the network at `path`, a folder, or a safetensors file with `config.json` beside it or in its key `config`.
/// Gives warnings too. Refuses, by the name of the file and of the key or tensor, values out of range, and a tensor that
/// is missing, of another shape or type, not finite or too many.
pub fn load(path: &Path) -> Result<(FrameNetwork, Vec<String>)> {
    let (weights, file, text) = netconfig::open(path)?;
    let (config, warnings) = FrameConfig::parse(&file, &text)?;
    Ok((FrameNetwork { config, net: build::layout(&config)?.fill(&weights)? }, warnings))
}

#[cfg(test)]
mod tests;
