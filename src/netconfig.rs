//! Networks: what a weights folder says about its network, the tensors it must hold, and an f64 forward pass
//! in plain loops that the device is checked against.
//!
//! A folder holds `config.json` and `model.safetensors`; the configuration may instead be the text under the
//! key `config` in the safetensors file. Linear weights are row-major `[out, in]`.
//!
//! ```text
//! tau  = ln(sigma/alpha)/4 or t;   emb = [cos, sin] of frequencies times tau
//! u    = act( W_time2 act(W_time0 emb + b) + b + class row )
//! a    = act(W_in c_in x + b_in)
//! z    = W_l a + b_l + U_l u;  z = norm(z);  a = act(z) + a          for each layer (norm and "+ a" optional)
//! F    = W_out a + b_out
//! ```
//!
//! Everything that does not depend on x, which is `b_l + U_l u`, is computed on the host once per step and
//! class: [`NetWeights::conditioning`].

mod forward;
mod layers;
pub(crate) mod load;
mod parse;

pub use feynkac_kernels::passes::mlp::Activation;
pub use forward::Forward;
pub(crate) use load::open;
pub use load::{
    ClassifierWeights, Dense, Layer, NetWeights, Scale, TimeWeights, Trunk, load, load_classifier,
};

pub(crate) use parse::{ACTIVATIONS, data_moments, preconditioning, schedule};

use crate::layered::Energy;
use crate::schedule::{Preconditioning, Prediction, Schedule, TimeFeature};

/// What is done to a layer's pre-activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Norm {
    /// Nothing.
    None,
    /// Layer normalisation over the hidden units, with epsilon 1e-5 and an affine map.
    Layer,
}

impl Norm {
    /// Every norm with its name in a configuration.
    pub const NAMES: [(&str, Norm); 2] = [("none", Norm::None), ("layer", Norm::Layer)];
}

/// The hidden part that a denoiser and a classifier share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrunkConfig {
    /// D: numbers in a state, 1 to 4096.
    pub dim: usize,
    /// H: hidden units, 64 to 512 (a classifier: 16 to 512).
    pub hidden: usize,
    /// L: hidden layers after the input layer, 1 to 16.
    pub layers: usize,
    /// The nonlinearity.
    pub activation: Activation,
    /// The normalisation of every layer.
    pub norm: Norm,
    /// Whether a layer's input is added to its output.
    pub skip: bool,
}

/// The frequencies that a noise time is shown to a network in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Embedding {
    /// cos and sin of 2 pi f_i tau, with frequencies f_i from the tensor `time.freqs`.
    Fourier,
    /// cos and sin of scale tau max_period^(-i/(E/2)).
    Sinusoidal {
        /// One over the lowest frequency (at scale 1); above 1.
        max_period: f64,
        /// Multiplies tau; above zero.
        scale: f64,
    },
}

/// How a network is told the noise time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeConfig {
    /// The frequencies.
    pub embedding: Embedding,
    /// E: length of the embedding, cosines first; even, 2 to 4096.
    pub dim: usize,
    /// The number that is embedded.
    pub feature: TimeFeature,
}

/// Mean and isotropic standard deviation of the data, for the start distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DataMoments {
    /// The mean of every coordinate.
    pub mean: f64,
    /// The standard deviation of every coordinate; at least zero.
    pub std: f64,
}

/// The configuration of a denoiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NetConfig {
    /// The hidden part.
    pub trunk: TrunkConfig,
    /// C: length of the conditioning vector u, 1 to 4096.
    pub cond: usize,
    /// How the network is told the noise time.
    pub time: TimeConfig,
    /// The number of classes, 1 to 100000, if the network knows any; one more row is the null class.
    pub classes: Option<usize>,
    /// The schedule it was trained on.
    pub schedule: Schedule,
    /// The noisiest time it was trained on.
    pub t_max: f64,
    /// The least noisy time it was trained on.
    pub t_min: f64,
    /// What its output stands for.
    pub prediction: Prediction,
    /// What is wrapped around it.
    pub preconditioning: Preconditioning,
    /// The energy whose gradient is the prediction; `None` where that is the output.
    pub energy: Option<Energy>,
    /// What is known of its data.
    pub data: Option<DataMoments>,
}

/// The configuration of a classifier: logits of a clean state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassifierConfig {
    /// The hidden part.
    pub trunk: TrunkConfig,
    /// The number of logits, 1 to 100000.
    pub outputs: usize,
}

impl TrunkConfig {
    /// The tensors of the hidden part, of a network of `outputs` outputs and, in a denoiser, `cond`
    /// conditioning numbers.
    fn tensors(&self, outputs: usize, cond: Option<usize>) -> Vec<(String, Vec<usize>)> {
        let (dim, hidden) = (self.dim, self.hidden);
        let mut list =
            vec![("in.weight".to_string(), vec![hidden, dim]), ("in.bias".to_string(), vec![hidden])];
        for l in 0..self.layers {
            list.push((format!("layers.{l}.weight"), vec![hidden, hidden]));
            list.push((format!("layers.{l}.bias"), vec![hidden]));
            if let Some(cond) = cond {
                list.push((format!("layers.{l}.cond.weight"), vec![hidden, cond]));
            }
            if self.norm == Norm::Layer {
                list.push((format!("layers.{l}.norm.weight"), vec![hidden]));
                list.push((format!("layers.{l}.norm.bias"), vec![hidden]));
            }
        }
        list.push(("out.weight".to_string(), vec![outputs, hidden]));
        list.push(("out.bias".to_string(), vec![outputs]));
        list
    }
}

impl NetConfig {
    /// The tensors that the weights file must hold, and no others, with their shapes.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let mut list = self.trunk.tensors(self.trunk.dim, Some(self.cond));
        let (cond, embedded) = (self.cond, self.time.dim);
        list.push(("time.0.weight".to_string(), vec![cond, embedded]));
        list.push(("time.0.bias".to_string(), vec![cond]));
        list.push(("time.2.weight".to_string(), vec![cond, cond]));
        list.push(("time.2.bias".to_string(), vec![cond]));
        if self.time.embedding == Embedding::Fourier {
            list.push(("time.freqs".to_string(), vec![embedded / 2]));
        }
        if let Some(classes) = self.classes {
            list.push(("class.weight".to_string(), vec![classes + 1, cond]));
        }
        list
    }
}

impl ClassifierConfig {
    /// The tensors that the weights file must hold, and no others, with their shapes.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        self.trunk.tensors(self.outputs, None)
    }
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
