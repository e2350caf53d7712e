//! A network's weights, from a folder or a file.

use std::path::{Path, PathBuf};

use super::{ClassifierConfig, Embedding, NetConfig, Norm, TrunkConfig};
use crate::error::{Error, Result};
use crate::weights::{Weights, read_text};

/// The most bytes a configuration may have.
const CONFIG_LIMIT: u64 = 1 << 20;

/// An affine layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    /// `[out, in]`, row-major.
    pub weight: Vec<f32>,
    /// `[out]`.
    pub bias: Vec<f32>,
}

/// The affine map after a layer normalisation.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// `[H]`, multiplies.
    pub weight: Vec<f32>,
    /// `[H]`, is added.
    pub bias: Vec<f32>,
}

/// One hidden layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// `[H, H]` and `[H]`.
    pub dense: Dense,
    /// U_l, `[H, C]`; empty in a classifier.
    pub cond: Vec<f32>,
    /// Present when the network normalises.
    pub norm: Option<Scale>,
}

/// The hidden part, which a denoiser and a classifier share.
#[derive(Clone, Debug, PartialEq)]
pub struct Trunk {
    /// `[H, D]` and `[H]`.
    pub input: Dense,
    /// L layers.
    pub layers: Vec<Layer>,
    /// `[D, H]` and `[D]`; a classifier: `[outputs, H]` and `[outputs]`.
    pub out: Dense,
}

/// The part that turns a noise time into the conditioning vector.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeWeights {
    /// `[E/2]` frequencies; empty with a sinusoidal embedding.
    pub freqs: Vec<f32>,
    /// `time.0`: `[C, E]` and `[C]`.
    pub first: Dense,
    /// `time.2`: `[C, C]` and `[C]`.
    pub second: Dense,
}

/// The weights of a denoiser, each with the shape its [`NetConfig`] says and finite.
#[derive(Clone, Debug, PartialEq)]
pub struct NetWeights {
    /// The hidden part.
    pub trunk: Trunk,
    /// The time embedding.
    pub time: TimeWeights,
    /// `[classes + 1, C]`, the null class last; present when the network knows classes.
    pub class: Option<Vec<f32>>,
}

/// The weights of a classifier, each with the shape its [`ClassifierConfig`] says and finite.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassifierWeights {
    /// The hidden part, without conditioning.
    pub trunk: Trunk,
}

fn dense(w: &Weights, name: &str, outputs: usize, inputs: usize) -> Result<Dense> {
    Ok(Dense {
        weight: w.f32(&format!("{name}.weight"), &[outputs, inputs])?,
        bias: w.f32(&format!("{name}.bias"), &[outputs])?,
    })
}

fn trunk(w: &Weights, config: &TrunkConfig, outputs: usize, cond: Option<usize>) -> Result<Trunk> {
    let hidden = config.hidden;
    let layer = |l: usize| -> Result<Layer> {
        let name = format!("layers.{l}");
        let scale = |end: &str| w.f32(&format!("{name}.norm.{end}"), &[hidden]);
        Ok(Layer {
            dense: dense(w, &name, hidden, hidden)?,
            cond: match cond {
                Some(cond) => w.f32(&format!("{name}.cond.weight"), &[hidden, cond])?,
                None => Vec::new(),
            },
            norm: match config.norm {
                Norm::None => None,
                Norm::Layer => Some(Scale { weight: scale("weight")?, bias: scale("bias")? }),
            },
        })
    };
    Ok(Trunk {
        input: dense(w, "in", hidden, config.dim)?,
        layers: (0..config.layers).map(layer).collect::<Result<_>>()?,
        out: dense(w, "out", outputs, hidden)?,
    })
}

impl NetWeights {
    /// Takes the weights out of an open file, which must hold exactly what `config` needs.
    pub fn read(w: &Weights, config: &NetConfig) -> Result<Self> {
        w.expect_exactly(&config.tensors())?;
        Ok(NetWeights {
            trunk: trunk(w, &config.trunk, config.trunk.dim, Some(config.cond))?,
            time: TimeWeights {
                freqs: match config.time.embedding {
                    Embedding::Fourier => w.f32("time.freqs", &[config.time.dim / 2])?,
                    Embedding::Sinusoidal { .. } => Vec::new(),
                },
                first: dense(w, "time.0", config.cond, config.time.dim)?,
                second: dense(w, "time.2", config.cond, config.cond)?,
            },
            class: match config.classes {
                None => None,
                Some(classes) => Some(w.f32("class.weight", &[classes + 1, config.cond])?),
            },
        })
    }
}

impl ClassifierWeights {
    /// Takes the weights out of an open file, which must hold exactly what `config` needs.
    pub fn read(w: &Weights, config: &ClassifierConfig) -> Result<Self> {
        w.expect_exactly(&config.tensors())?;
        Ok(ClassifierWeights { trunk: trunk(w, &config.trunk, config.outputs, None)? })
    }
}

/// Opens the weights at `path`, a folder or a safetensors file, and finds the text of the configuration: in
/// `config.json` beside it or, where there is none, in the file itself.
pub(crate) fn open(path: &Path) -> Result<(Weights, PathBuf, String)> {
    let (file, folder) = if path.is_dir() {
        (path.join("model.safetensors"), path)
    } else {
        (path.to_path_buf(), path.parent().unwrap_or(Path::new("")))
    };
    let weights = Weights::open(&file)?;
    let beside = folder.join("config.json");
    if beside.exists() {
        let text = read_text(&beside, CONFIG_LIMIT)?;
        return Ok((weights, beside, text));
    }
    match weights.metadata().remove("config") {
        Some(text) => Ok((weights, file, text)),
        None => Err(Error::file(
            &file,
            "the configuration",
            "none",
            format!("{}, or the key \"config\" in the file", beside.display()),
        )),
    }
}

/// Loads a denoiser from a folder (or a safetensors file): its configuration, its weights, and a warning for
/// each key of the configuration that is not known.
pub fn load(path: &Path) -> Result<(NetConfig, NetWeights, Vec<String>)> {
    let (weights, file, text) = open(path)?;
    let (config, warnings) = NetConfig::parse(&file, &text)?;
    let net = NetWeights::read(&weights, &config)?;
    Ok((config, net, warnings))
}

/// Loads a classifier from a folder (or a safetensors file), as [`load`] does a denoiser.
pub fn load_classifier(path: &Path) -> Result<(ClassifierConfig, ClassifierWeights, Vec<String>)> {
    let (weights, file, text) = open(path)?;
    let (config, warnings) = ClassifierConfig::parse(&file, &text)?;
    let net = ClassifierWeights::read(&weights, &config)?;
    Ok((config, net, warnings))
}
