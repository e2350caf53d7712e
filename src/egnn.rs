//! Networks of identical particles, the same after every permutation, rotation, reflection and shift of them:
//! docs/maths.md (9.5).
//!
//! A folder holds `config.json`, in which `_class_name` is `EGNN`, and `model.safetensors`. [`load`] checks it to the
//! last tensor and lays the network out as a list of layers.

mod build;
mod config;

use std::path::Path;

use crate::error::Result;
use crate::layered::Layered;
use crate::netconfig;
pub use config::EgnnConfig;

/// A network of which every tensor has been checked.
#[derive(Clone, Debug)]
pub struct Egnn {
    /// Its description.
    pub config: EgnnConfig,
    /// Its layers and numbers. Its state is `[1, atoms, space]`, its time sigma/alpha.
    pub net: Layered,
}

/// Loads the network at `path`, a folder, or a safetensors file with `config.json` beside it or in its key `config`.
/// Gives warnings too. Refuses, by the name of the file and of the key or tensor, values out of range, and a tensor that
/// is missing, of another shape or type, not finite or too many.
pub fn load(path: &Path) -> Result<(Egnn, Vec<String>)> {
    let (weights, file, text) = netconfig::open(path)?;
    let (config, warnings) = EgnnConfig::parse(&file, &text)?;
    Ok((Egnn { config, net: build::layout(&config)?.fill(&weights)? }, warnings))
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
