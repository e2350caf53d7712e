//! Classifiers of images: convolutions, the mean over pixels, logits; of clean images or of noisy ones.

use std::path::Path;

use super::ConvConfig;
use super::layout::Layout;
use crate::error::{Error, Result};
use crate::layered::Layered;
use crate::netconfig::load::open;

/// A classifier of images of which every tensor has been checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvClassifier {
    /// Its description.
    pub config: ConvConfig,
    /// What it does, layer by layer; the last one writes the logits.
    pub net: Layered,
}

impl ConvClassifier {
    /// Loads a classifier from a folder (or a safetensors file with `config.json` beside it, or the same text in it).
    /// Gives a warning for each key of the configuration that is not known. Refuses, by the name of the file and of the
    /// key or tensor, what it cannot run and tensors that are missing, too many, of another shape or type, or not
    /// finite.
    pub fn load(path: &Path) -> Result<(Self, Vec<String>)> {
        let (weights, file, text) = open(path)?;
        let (config, warnings) = ConvConfig::parse(&file, &text)?;
        let layout = Layout::new(&file, &config)?;
        weights.expect_exactly(&layout.tensors)?;
        let one = |(name, shape): &(String, Vec<usize>)| weights.f32(name, shape);
        let tensors = layout.tensors.iter().map(one).collect::<Result<_>>()?;
        let net = Layered::new(layout.layers, tensors, None);
        Ok((ConvClassifier { config, net }, warnings))
    }

    /// The logits of an image `[channels, rows, columns]`, row-major, in f64. A classifier of noisy images wants
    /// s = sigma/alpha above 0, another one nothing.
    pub fn logits(&self, image: &[f64], s: Option<f64>) -> Result<Vec<f64>> {
        self.net.forward(image, self.time(s)?, None)
    }

    /// The logits, and the gradient of <`cotangent`, logits> with respect to the image.
    pub fn vjp(&self, image: &[f64], s: Option<f64>, cotangent: &[f64]) -> Result<(Vec<f64>, Vec<f64>)> {
        self.net.vjp(image, self.time(s)?, None, cotangent)
    }

    /// The time that the network counts in.
    fn time(&self, s: Option<f64>) -> Result<f64> {
        let wanted = match (self.config.noise, s) {
            (None, None) => return Ok(0.0),
            (Some(_), Some(s)) if s.is_finite() && s > 0.0 => return Ok(s),
            (Some(_), _) => "a finite number above 0",
            (None, Some(_)) => "none: it knows clean images only",
        };
        let found = s.map_or("none".to_string(), |s| s.to_string());
        Err(Error::input("sigma/alpha of the image", found, wanted))
    }
}
