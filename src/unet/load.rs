//! A network's folder: which files it is in, and every tensor of it checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::build::layout;
use super::{Scheduler, Unet, UnetConfig};
use crate::error::{Error, Result};
use crate::keys::{Keys, read_object, size_in};
use crate::layered::{Layered, Layout};
use crate::netconfig::{DataMoments, data_moments};
use crate::weights::{Weights, read_text};

/// The most bytes of a configuration, and of the list of shards.
const CONFIG_LIMIT: u64 = 1 << 20;
const INDEX_LIMIT: u64 = 1 << 26;

/// The files that weights are looked for in, the first that is there.
const FILES: [&str; 4] = [
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.fp16.safetensors",
    "diffusion_pytorch_model.safetensors.index.fp16.json",
];

/// Files that hold weights as a program.
pub(crate) const PICKLES: [&str; 4] = ["bin", "pt", "pth", "ckpt"];

/// What the parts of an attention were called until 2022.
const OLD: [(&str, &str); 4] =
    [(".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value."), (".to_out.0.", ".proj_attn.")];

/// The files of a network.
struct Files {
    config: PathBuf,
    weights: PathBuf,
    scheduler: Option<PathBuf>,
    notes: PathBuf,
}

/// Loads the network at `path`: its folder, that of a whole pipeline (which has it in `unet`), or one of its safetensors
/// or `.index.json` files, with `config.json` in the same folder. Gives warnings too.
///
/// Refuses, by the name of the file and of the key or tensor: block types other than `DownBlock2D` and
/// `AttnDownBlock2D` and their like upwards, a tensor that is missing, of another shape or type, not finite or too many,
/// shards that are not there, damaged files, and pickles.
pub fn load(path: &Path) -> Result<(Unet, Vec<String>)> {
    let files = find(path)?;
    let text = read_text(&files.config, CONFIG_LIMIT)?;
    let (config, mut warnings) = UnetConfig::parse(&files.config, &text)?;
    let Layout { layers, tensors } = layout(&files.config, &config)?;
    let store = Store::open(&files.weights)?;
    let tensors = store.read(&tensors)?;
    let scheduler = match &files.scheduler {
        None => None,
        Some(file) => {
            let (scheduler, more) = Scheduler::parse(file, &read_text(file, CONFIG_LIMIT)?)?;
            warnings.extend(more);
            Some(scheduler)
        }
    };
    let mut net = Layered::new(layers, tensors, config.classes);
    let mut data = None;
    if files.notes.exists() {
        (net.null, data) = notes(&files.notes, config.classes, &mut warnings)?;
    }
    Ok((Unet { config, net, scheduler, data }, warnings))
}

/// The null class and the moments of the data.
fn notes(
    file: &Path,
    classes: Option<usize>,
    warnings: &mut Vec<String>,
) -> Result<(Option<usize>, Option<DataMoments>)> {
    let map = read_object(file, &read_text(file, CONFIG_LIMIT)?)?;
    let mut keys = Keys::new(file, &map);
    let wanted = classes.map_or("null: the network knows no classes".to_string(), |n| {
        format!("null, or a class in 0 to {}", n - 1)
    });
    let null = keys.maybe("null_class", wanted, |v| size_in(v, &(0..=classes?.saturating_sub(1))))?;
    let data = match keys.maybe("data", "an object", Value::as_object)? {
        None => None,
        Some(map) => Some(data_moments(keys.under("data", map), warnings)?),
    };
    keys.done(warnings);
    Ok((null, data))
}

pub(crate) fn ends_in(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending))
}

fn find(path: &Path) -> Result<Files> {
    if !path.is_dir() {
        if ends_in(path, &PICKLES) {
            return Err(pickle(path));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        return Ok(Files { weights: path.to_path_buf(), ..beside(folder, folder) });
    }
    let within = path.join("unet");
    let files = match pipeline(path) {
        true => beside(&within, &path.join("scheduler")),
        false => beside(path, path),
    };
    if !files.config.exists() {
        let wanted = format!("{}, which describes the network", files.config.display());
        return Err(Error::file(path, "the configuration", "none", wanted));
    }
    let folder = files.config.parent().unwrap_or(path);
    match (weights(folder), pickled(folder)) {
        (Some(weights), _) => Ok(Files { weights, ..files }),
        (None, Some(file)) => Err(pickle(&file)),
        (None, None) => {
            Err(Error::weights(folder, "weights", "none", format!("one of {}", FILES.join(", "))))
        }
    }
}

/// Whether a folder is that of a whole pipeline.
pub(crate) fn pipeline(path: &Path) -> bool {
    let whole = path.join("unet").is_dir() || path.join("model_index.json").exists();
    whole && !path.join("config.json").exists()
}

/// The weights in the folder of a network.
pub(crate) fn weights(folder: &Path) -> Option<PathBuf> {
    FILES.iter().map(|name| folder.join(name)).find(|file| file.exists())
}

/// A file of weights there that is a program.
pub(crate) fn pickled(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files.into_iter().find(|file| file.is_file() && ends_in(file, &PICKLES))
}

/// Configurations and weights of the network at `path`, as far as they are there.
pub(crate) fn files(path: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let Files { config, weights, scheduler, notes } = find(path)?;
    let texts = [Some(config), scheduler, Some(notes)].into_iter().flatten().filter(|file| file.exists());
    let shards = match ends_in(&weights, &["json"]) {
        true => Store::open(&weights)?.shards.iter().map(|shard| shard.path().to_path_buf()).collect(),
        false => vec![weights],
    };
    Ok((texts.collect(), shards))
}

fn beside(folder: &Path, scheduler: &Path) -> Files {
    let scheduler = Some(scheduler.join("scheduler_config.json")).filter(|file| file.exists());
    let notes = folder.join("feynkac.json");
    Files { config: folder.join("config.json"), weights: PathBuf::new(), scheduler, notes }
}

/// Refuses a file of weights that is a program.
pub(crate) fn pickle(file: &Path) -> Error {
    let convert = "import sys, torch; from safetensors.torch import save_file; \
                   save_file(torch.load(sys.argv[1], map_location=\"cpu\", weights_only=True), sys.argv[2])";
    let safe = file.with_extension("safetensors");
    let wanted = format!("safetensors: python -c '{convert}' {} {}", file.display(), safe.display());
    Error::weights(file, "kind of file", "a Python pickle, which is a program", wanted)
}

/// Open files, and which of them each tensor is in.
struct Store {
    /// The file that lists them, or the only one.
    file: PathBuf,
    shards: Vec<Weights>,
    shard_of: BTreeMap<String, usize>,
}

impl Store {
    fn open(file: &Path) -> Result<Self> {
        if ends_in(file, &["json"]) {
            return Self::sharded(file);
        }
        let weights = Weights::open(file)?;
        let shard_of = weights.names().into_iter().map(|name| (name, 0)).collect();
        Ok(Store { file: file.to_path_buf(), shards: vec![weights], shard_of })
    }

    /// Of an index: an object `weight_map` from tensors to files of the same folder.
    fn sharded(index: &Path) -> Result<Self> {
        let map = read_object(index, &read_text(index, INDEX_LIMIT)?)?;
        let bad = |what: String, found: String, wanted: &str| Error::file(index, what, found, wanted);
        let list = map.get("weight_map").and_then(Value::as_object).ok_or_else(|| {
            bad("weight_map".to_string(), "no such object".to_string(), "the file of each tensor")
        })?;
        let folder = index.parent().unwrap_or(Path::new(""));
        let (mut shards, mut names, mut shard_of) = (Vec::new(), Vec::<&str>::new(), BTreeMap::new());
        for (tensor, file) in list {
            let plain = |name: &&str| Path::new(name).file_name().is_some_and(|f| f == *name);
            let name = file.as_str().filter(plain).ok_or_else(|| {
                let what = format!("weight_map.{}", tensor.escape_debug());
                bad(what, file.to_string(), "the name of a file in the same folder")
            })?;
            let at = names.iter().position(|n| *n == name).unwrap_or(names.len());
            if at == names.len() {
                let shard = folder.join(name);
                if !shard.exists() {
                    let wanted = format!("{}, which holds {}", shard.display(), tensor.escape_debug());
                    return Err(bad("shards".to_string(), "one missing".to_string(), &wanted));
                }
                shards.push(Weights::open(&shard)?);
                names.push(name);
            }
            shard_of.insert(tensor.clone(), at);
        }
        Ok(Store { file: index.to_path_buf(), shards, shard_of })
    }

    /// The name that a tensor goes by here, which may be an old one.
    fn name(&self, wanted: &str) -> Option<String> {
        if self.shard_of.contains_key(wanted) {
            return Some(wanted.to_string());
        }
        let (new, old) = OLD.iter().find(|(new, _)| wanted.contains(new))?;
        Some(wanted.replace(new, old)).filter(|name| self.shard_of.contains_key(name))
    }

    /// The numbers of these tensors, which must be all there are.
    fn read(&self, wanted: &[(String, Vec<usize>)]) -> Result<Vec<Vec<f32>>> {
        let found: Vec<Option<String>> = wanted.iter().map(|(name, _)| self.name(name)).collect();
        let known: BTreeSet<&str> = found.iter().flatten().map(String::as_str).collect();
        let lost = wanted.iter().zip(&found).filter(|(_, found)| found.is_none());
        let missing: Vec<String> = lost.map(|((name, shape), _)| format!("{name} {shape:?}")).collect();
        let strangers = self.shard_of.keys().filter(|name| !known.contains(name.as_str()));
        let extra: Vec<String> = strangers.map(|name| name.escape_debug().to_string()).collect();
        let lists = [("missing", missing), ("too many", extra)].into_iter().filter(|(_, l)| !l.is_empty());
        let faults: Vec<String> = lists
            .map(|(what, list)| {
                let more = if list.len() > 10 { ", …" } else { "" };
                format!("{} {what} ({}{more})", list.len(), list[..list.len().min(10)].join(", "))
            })
            .collect();
        if !faults.is_empty() {
            let wanted = format!("exactly the {} of its configuration", wanted.len());
            return Err(Error::weights(&self.file, "tensors", faults.join("; "), wanted));
        }
        let one = |(name, (_, shape)): (&String, &(String, Vec<usize>))| {
            self.shards[self.shard_of[name]].f32(name, shape)
        };
        found.iter().flatten().zip(wanted).map(one).collect()
    }
}
