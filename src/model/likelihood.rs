//! What stands behind a model and says how well a denoised state is what is wanted: a classifier, or a likelihood of the
//! caller's own. docs/maths.md (13.5).

use std::path::Path;

use feynkac_kernels::device::{Buf, Device};

use super::{Model, Noise};
use crate::classifier::ConvClassifier;
use crate::error::{Error, Result};
use crate::layered::{Folder, Layered};
use crate::netconfig::load_classifier;

/// What a likelihood is shown: `count` denoised states, all at one noise level.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// D `[count, dim]`, row-major; at the clean state D = x0.
    pub denoised: &'a Buf<f32>,
    /// How many.
    pub count: usize,
    /// The level; sigma is 0 at the clean state.
    pub noise: Noise,
    /// How far the sample may be from D, as its variance: [`crate::Twisting::spread`]; 0 at the clean state.
    pub variance: f64,
}

/// A likelihood p(y | x0) whose logarithm and gradient are computed outside of feynkac, on device buffers.
pub trait Likelihood {
    /// Coordinates of a state.
    fn dim(&self) -> usize;

    /// Of the states that are `seen`: log psi `[count]` into `out` from element `value` on, and its gradient with respect
    /// to D `[count, dim]`, row-major, from element `slope` on. At the clean state psi has to be p(y | x0) itself, which
    /// makes the samples exact; above it may be anything that leads there, p(y | D) by itself, or more broadly by the
    /// variance. Work must be queued on the device's client (or be finished before returning).
    fn log_psi(&self, device: &Device, seen: Seen, out: &Buf<f32>, value: usize, slope: usize) -> Result<()>;
}

/// A classifier of clean states, which judges those that are denoised.
#[derive(Clone, Debug)]
pub struct ClassifierNet {
    /// What errors call it: its folder.
    pub name: String,
    /// Its layers; the last one writes the logits.
    pub net: Layered,
}

impl ClassifierNet {
    /// Opens a classifier's folder, of images or a dense one. Gives warnings too.
    pub fn open(path: &Path) -> Result<(Self, Vec<String>)> {
        let (net, warnings) = match Folder::of(path)? {
            Folder::Images => {
                let (found, warnings) = ConvClassifier::load(path)?;
                if found.config.noise.is_some() {
                    let wanted = "one of clean images: it is shown denoised ones";
                    return Err(Error::file(path, "the classifier", "one of noisy images", wanted));
                }
                (found.net, warnings)
            }
            Folder::Classifier => {
                let (config, weights, warnings) = load_classifier(path)?;
                (weights.layered(&config)?, warnings)
            }
            other => {
                let wanted = "a classifier (class classifier, or _class_name ConvClassifier)";
                return Err(Error::file(path, "the classifier", format!("{other:?}").to_lowercase(), wanted));
            }
        };
        Ok((Self { name: path.display().to_string(), net }, warnings))
    }

    /// Coordinates of a state.
    pub fn dim(&self) -> usize {
        self.net.input().numbers()
    }

    /// Logits of each.
    pub fn classes(&self) -> usize {
        self.net.output().numbers()
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        format!("classifier of {}, {} classes", self.net.input(), self.classes())
    }
}

impl Model {
    /// Whether it is no model of samples, but says what is wanted of one.
    pub(crate) fn judges(&self) -> bool {
        matches!(self, Model::Classifier(_) | Model::Likelihood(_))
    }

    /// Opens a classifier as what [`crate::Task::Classifier`] wants behind its model. Gives warnings too.
    pub fn classifier(path: &Path) -> Result<(Self, Vec<String>)> {
        let (net, warnings) = ClassifierNet::open(path)?;
        Ok((Model::Classifier(Box::new(net)), warnings))
    }
}
