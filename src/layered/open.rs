//! A network from a folder, whatever kind of folder it is.

use std::path::{Path, PathBuf};

use super::Layered;
use crate::classifier::{self, ConvClassifier, ConvConfig};
use crate::egnn::{self, EgnnConfig};
use crate::error::{Error, Result};
use crate::framenet::{self, FrameConfig};
use crate::keys::{Keys, read_object};
use crate::netconfig::{self, ClassifierConfig, DataMoments, NetConfig};
use crate::unet::{self, PICKLES, Scheduler, UnetConfig, ends_in, pickle};
use crate::weights::{Weights, read_text};

/// The most bytes of a configuration.
const LIMIT: u64 = 1 << 20;

/// What a folder says its network is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// An image network of diffusers.
    Unet(UnetConfig),
    /// A dense denoiser, or a dense energy.
    Dense(NetConfig),
    /// A dense classifier.
    Classifier(ClassifierConfig),
    /// Layers that no folder describes.
    Own,
    /// A classifier of images.
    Images(ConvConfig),
    /// A network of particles.
    Particles(EgnnConfig),
    /// A network of frames.
    Frames(FrameConfig),
}

impl Kind {
    /// For people.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Unet(_) => "image network of diffusers",
            Kind::Dense(_) => "dense network",
            Kind::Classifier(_) => "dense classifier",
            Kind::Own => "network",
            Kind::Images(config) if config.noise.is_some() => "classifier of noisy images",
            Kind::Images(_) => "classifier of images",
            Kind::Particles(_) => "network of particles",
            Kind::Frames(_) => "network of frames",
        }
    }
}

/// The kinds of folders, by their configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folder {
    Diffusers,
    Dense,
    /// A dense network with the key `parameterisation`.
    Energy,
    Classifier,
    /// A classifier of images.
    Images,
    Particles,
    Frames,
}

impl Folder {
    /// By the key `_class_name`.
    const CLASSES: [(&str, Folder); 4] = [
        ("UNet2DModel", Folder::Diffusers),
        (classifier::CLASS, Folder::Images),
        ("EGNN", Folder::Particles),
        ("FrameNetwork", Folder::Frames),
    ];

    /// By the key `class`, which networks of diffusers do not have.
    const NAMES: [(&str, Folder); 2] = [("mlp", Folder::Dense), ("classifier", Folder::Classifier)];

    /// Whether a run asks its network as a list of layers.
    pub fn layered(self) -> bool {
        !matches!(self, Folder::Dense | Folder::Classifier)
    }

    /// What is at `path`: a folder, or a file of weights with its configuration beside it or in it.
    pub fn of(path: &Path) -> Result<Self> {
        std::fs::metadata(path).map_err(|error| Error::read(path, error))?;
        if !path.is_dir() && ends_in(path, &PICKLES) {
            return Err(pickle(path));
        }
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
        let beside = folder.join("config.json");
        let (file, text) = if beside.exists() {
            let text = read_text(&beside, LIMIT)?;
            (beside, text)
        } else if path.is_dir() && (unet::pipeline(path) || unet::weights(path).is_some()) {
            return Ok(Folder::Diffusers); // whose loader says what is missing
        } else {
            match embedded(path)? {
                Some(found) => found,
                None => return Ok(Folder::Dense),
            }
        };
        let map = read_object(&file, &text)?;
        if let Some(name) = map.get("_class_name") {
            // What is none of them its loader refuses by name.
            let known = Self::CLASSES.iter().find(|(class, _)| name == class);
            return Ok(known.map_or(Folder::Diffusers, |(_, folder)| *folder));
        }
        let found = Keys::new(&file, &map).choice("class", &Self::NAMES)?;
        no_pickle(path)?;
        let plain = map.get("parameterisation").is_none_or(|value| value == "direct");
        Ok(if found == Folder::Dense && !plain { Folder::Energy } else { found })
    }
}

/// Refuses a folder of ours that has its weights as a program only.
pub(crate) fn no_pickle(path: &Path) -> Result<()> {
    match unet::pickled(path) {
        Some(file) if !path.join("model.safetensors").exists() => Err(pickle(&file)),
        _ => Ok(()),
    }
}

/// The configuration that a file of weights carries.
fn embedded(path: &Path) -> Result<Option<(PathBuf, String)>> {
    let file = if path.is_dir() { path.join("model.safetensors") } else { path.to_path_buf() };
    if !file.exists() {
        return no_pickle(path).map(|()| None);
    }
    Ok(Weights::open(&file)?.metadata().remove("config").map(|text| (file, text)))
}

/// A network with all that its folder says of it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What errors call it: its folder.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The network.
    pub net: Layered,
    /// How it was trained, if the folder says so.
    pub scheduler: Option<Scheduler>,
    /// What is known of its data.
    pub data: Option<DataMoments>,
}

/// Loads the network at `path`, a folder or a file of weights, as a list of layers. Gives warnings too.
pub fn open(path: &Path) -> Result<(Loaded, Vec<String>)> {
    let name = path.display().to_string();
    Ok(match Folder::of(path)? {
        Folder::Diffusers => {
            let (found, warnings) = unet::load(path)?;
            let (net, scheduler, data) = (found.net, found.scheduler, found.data);
            (Loaded { name, kind: Kind::Unet(found.config), net, scheduler, data }, warnings)
        }
        Folder::Dense | Folder::Energy => {
            let (config, weights, warnings) = netconfig::load(path)?;
            let (net, scheduler) = (weights.layered(&config)?, Some(config.scheduler()));
            (Loaded { name, kind: Kind::Dense(config), net, scheduler, data: config.data }, warnings)
        }
        Folder::Classifier => {
            let (config, weights, warnings) = netconfig::load_classifier(path)?;
            let net = weights.layered(&config)?;
            (Loaded { name, kind: Kind::Classifier(config), net, scheduler: None, data: None }, warnings)
        }
        Folder::Images => {
            let (ConvClassifier { config, net }, warnings) = ConvClassifier::load(path)?;
            (Loaded { name, kind: Kind::Images(config), net, scheduler: None, data: None }, warnings)
        }
        Folder::Particles => {
            let (found, warnings) = egnn::load(path)?;
            let (config, scheduler) = (found.config, Some(found.config.scheduler()));
            (
                Loaded { name, kind: Kind::Particles(config), net: found.net, scheduler, data: config.data },
                warnings,
            )
        }
        Folder::Frames => {
            let (found, warnings) = framenet::load(path)?;
            let (kind, scheduler) = (Kind::Frames(found.config), Some(found.config.scheduler()));
            (Loaded { name, kind, net: found.net, scheduler, data: None }, warnings)
        }
    })
}

impl Loaded {
    /// The time that the network counts in at `timestep`: of diffusers the same number, of others that of their own
    /// schedule.
    pub fn time(&self, timestep: f64) -> Result<f64> {
        let time = match (&self.kind, &self.scheduler) {
            (Kind::Unet(_), _) | (_, None) => timestep,
            (_, Some(scheduler)) => scheduler.time_of(timestep),
        };
        self.net.check_time(time).map(|()| time)
    }
}
