//! What stands behind a model and says how well a denoised state is what is wanted: a classifier, or a likelihood of the
//! caller's own. docs/maths.md (13.5).

use std::path::Path;

use feynkac_kernels::device::{Buf, Device};
use feynkac_kernels::passes::copy::copy;
use feynkac_kernels::prims::monoid::ZERO_WEIGHT;

use super::{Model, Noise};
use crate::error::{Error, Result};
use crate::layered::{self, Folder, Kind, Layered, Loaded};

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

    /// Whether it writes no gradient, for runs that do not lean: [`crate::Twisting::lean`] 0.
    fn gradient_free(&self) -> bool {
        false
    }
}

/// A reward r of the host's, in the place of a likelihood: psi = exp(r). Each level the denoised states come to the host and
/// their rewards go back, which is slow, and needs no gradient.
struct HostReward<R> {
    dim: usize,
    reward: R,
}

impl<R: Fn(&[f32]) -> f32> Likelihood for HostReward<R> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn log_psi(
        &self,
        device: &Device,
        seen: Seen,
        out: &Buf<f32>,
        value: usize,
        _slope: usize,
    ) -> Result<()> {
        let states = device.download(seen.denoised)?;
        let rewards: Vec<f32> = states.chunks_exact(self.dim).map(&self.reward).collect();
        if let Some((at, odd)) = rewards.iter().enumerate().find(|(_, r)| r.is_nan() || **r == f32::INFINITY)
        {
            let what = format!("reward of particle {at} at sigma {}", seen.noise.sigma);
            return Err(Error::input(what, odd, "a number, or minus infinity"));
        }
        let finite: Vec<f32> = rewards.iter().map(|r| r.max(ZERO_WEIGHT)).collect();
        Ok(copy(device, &device.upload("rewards", &finite)?, out, value)?)
    }

    fn gradient_free(&self) -> bool {
        true
    }
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
        let folder = Folder::of(path)?;
        if !matches!(folder, Folder::Images | Folder::Classifier) {
            let wanted = "a classifier (class classifier, or _class_name ConvClassifier)";
            return Err(Error::file(path, "the classifier", format!("{folder:?}").to_lowercase(), wanted));
        }
        let (Loaded { name, kind, net, .. }, warnings) = layered::open(path)?;
        if matches!(kind, Kind::Images(config) if config.noise.is_some()) {
            let wanted = "one of clean images: it is shown denoised ones";
            return Err(Error::file(path, "the classifier", "one of noisy images", wanted));
        }
        Ok((Self { name, net }, warnings))
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

    /// A reward of the host's for states of `dim` coordinates, behind the model of [`crate::Task::Own`]: of the denoised states,
    /// and at the end of the samples themselves, whose density is multiplied by its exponential. Runs with it do not lean.
    pub fn reward(dim: usize, reward: impl Fn(&[f32]) -> f32 + 'static) -> Self {
        Model::Likelihood(Box::new(HostReward { dim, reward }))
    }

    /// Opens a classifier as what [`crate::Task::Classifier`] wants behind its model. Gives warnings too.
    pub fn classifier(path: &Path) -> Result<(Self, Vec<String>)> {
        let (net, warnings) = ClassifierNet::open(path)?;
        Ok((Model::Classifier(Box::new(net)), warnings))
    }
}
