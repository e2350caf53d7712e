//! Classifiers of images: convolutions, the mean over pixels, logits; of clean images or of noisy ones.

use std::path::Path;

use feynkac_kernels::models::layers::Layers;
use feynkac_kernels::models::layers::oracle::{self, Question};

use super::ConvConfig;
use super::layout::Layout;
use crate::error::{Error, Result};
use crate::netconfig::load::open;

/// A classifier of images of which every tensor has been checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvClassifier {
    /// Its description.
    pub config: ConvConfig,
    /// What it does, layer by layer; the last one writes the logits.
    pub layers: Layers,
    /// The weights that the layers name, row-major.
    pub tensors: Vec<Vec<f32>>,
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
        let layers = layout.layers;
        Ok((ConvClassifier { config, layers, tensors }, warnings))
    }

    /// The logits of an image `[channels, rows, columns]`, row-major, in f64. A classifier of noisy images wants
    /// s = sigma/alpha above 0, another one nothing.
    pub fn logits(&self, image: &[f64], s: Option<f64>) -> Result<Vec<f64>> {
        let asked = self.question(image, s)?;
        Ok(oracle::forward(&self.layers, &self.tensors, asked).pop().unwrap_or_default())
    }

    /// The logits, and the gradient of <`cotangent`, logits> with respect to the image.
    pub fn vjp(&self, image: &[f64], s: Option<f64>, cotangent: &[f64]) -> Result<(Vec<f64>, Vec<f64>)> {
        let asked = self.question(image, s)?;
        let wanted = self.config.classes;
        if cotangent.len() != wanted {
            return Err(Error::input("length of the cotangent", cotangent.len(), wanted));
        }
        Ok(oracle::vjp(&self.layers, &self.tensors, asked, cotangent))
    }

    fn question<'a>(&self, x: &'a [f64], s: Option<f64>) -> Result<Question<'a>> {
        let image = self.config.image();
        if x.len() != image.numbers() {
            return Err(Error::input("length of the image", x.len(), format!("that of {image}")));
        }
        let time = match (self.config.noise, s) {
            (None, None) => 0.0,
            (Some(_), Some(s)) if s.is_finite() && s > 0.0 => s,
            (Some(_), found) => {
                let found = found.map_or("none".to_string(), |s| s.to_string());
                return Err(Error::input("sigma/alpha of the image", found, "a finite number above 0"));
            }
            (None, Some(s)) => {
                return Err(Error::input("sigma/alpha of the image", s, "none: it knows clean images only"));
            }
        };
        Ok(Question { x, time, class: 0 })
    }
}
