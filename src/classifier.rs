//! Classifiers: a dense one on a device, a judge of samples, later a likelihood; and those of images
//! ([`ConvClassifier`]).

mod config;
mod conv;
mod layout;
#[cfg(test)]
mod tests;

use std::path::Path;

use feynkac_kernels::device::Device;
use feynkac_kernels::passes::mlp::{self, Compute};

use crate::error::{Error, Result};
use crate::model::{dense_network, shape};
use crate::netconfig::{ClassifierConfig, load_classifier};
pub(crate) use config::CLASS;
pub use config::{Block, ConvConfig, Noise};
pub use conv::ConvClassifier;

/// A classifier ready to run.
#[derive(Debug)]
pub struct Classifier {
    /// Its description.
    pub config: ClassifierConfig,
    network: mlp::Network,
}

impl Classifier {
    /// Loads a classifier's folder onto a device. Returns warnings beside it.
    pub fn open(device: &Device, path: &Path) -> Result<(Self, Vec<String>)> {
        let (config, weights, warnings) = load_classifier(path)?;
        let cond: Vec<f32> = weights.trunk.layers.iter().flat_map(|l| l.dense.bias.clone()).collect();
        let shape = shape(&config.trunk, config.outputs);
        let levels = [[1.0, 0.0, 1.0]];
        let network = dense_network(device, shape, &weights.trunk, &[cond], &levels, Compute::F32)?;
        Ok((Self { config, network }, warnings))
    }

    /// Logits `[count, outputs]` of rows `[count, dim]`.
    pub fn logits(&self, device: &Device, rows: &[f32]) -> Result<Vec<f32>> {
        let dim = self.config.trunk.dim;
        if rows.is_empty() || !rows.len().is_multiple_of(dim) {
            return Err(Error::input("rows", rows.len(), format!("a multiple of {dim} numbers")));
        }
        let count = rows.len() / dim;
        let input = device.upload("rows", rows)?;
        let out = device.empty("logits", count * self.config.outputs)?;
        self.network.launch(device, &input, &out, 0, count, 0)?;
        Ok(device.download(&out)?)
    }

    /// The likeliest class of each row.
    pub fn classes(&self, device: &Device, rows: &[f32]) -> Result<Vec<usize>> {
        let logits = self.logits(device, rows)?;
        let best = |l: &[f32]| (0..l.len()).max_by(|&a, &b| l[a].total_cmp(&l[b])).unwrap_or(0);
        Ok(logits.chunks(self.config.outputs).map(best).collect())
    }
}
