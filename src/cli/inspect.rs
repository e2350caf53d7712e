//! `feynkac inspect`: what a weights folder, a safetensors file or a target holds, and what would be used.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::table::{bytes, columns, short};
use super::{print, warn};
use crate::error::Result;
use crate::layered::{self, Folder};
use crate::model::Model;
use crate::netconfig::{self, ClassifierConfig};
use crate::schedule::Schedule;
use crate::target::{Scales, Target};
use crate::unet;
use crate::weights::{Dtype, Weights, read_text};

/// The most bytes of a configuration.
const LIMIT: u64 = 1 << 20;

/// What the configuration says the weights are.
#[derive(Debug, PartialEq)]
enum Class {
    Denoiser,
    Classifier,
    /// The output of a run.
    Samples,
    /// Tensors without a configuration.
    Tensors,
}

fn count(shape: &[usize]) -> u64 {
    shape.iter().fold(1u64, |n, size| n.saturating_mul(*size as u64))
}

/// A table of every tensor, and the sum of their numbers.
fn tensors(weights: &Weights) -> Result<String> {
    let mut rows = vec![["tensor", "type", "shape", "numbers"].map(String::from).to_vec()];
    let mut total = 0u64;
    let names = weights.names();
    for name in &names {
        let (shape, dtype): (&[usize], Dtype) = (weights.shape(name)?, weights.dtype(name)?);
        let numbers = count(shape);
        total = total.saturating_add(numbers);
        rows.push(vec![
            name.escape_debug().to_string(),
            format!("{dtype:?}"),
            format!("{shape:?}"),
            numbers.to_string(),
        ]);
    }
    Ok(format!("{}{} tensors, {total} numbers\n", columns(&rows), names.len()))
}

/// Where the configuration stands, and its text.
fn configuration(path: &Path, weights: &Weights) -> Result<Option<(PathBuf, String)>> {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let beside = folder.join("config.json");
    if beside.exists() {
        let text = read_text(&beside, LIMIT)?;
        return Ok(Some((beside, text)));
    }
    Ok(weights.metadata().remove("config").map(|text| (weights.path().to_path_buf(), text)))
}

fn class(weights: &Weights, config: Option<&str>) -> Class {
    if weights.has("x") && weights.has("log_w") {
        return Class::Samples;
    }
    let value = config.and_then(|text| serde_json::from_str::<Value>(text).ok());
    match value.as_ref().and_then(|value| value.get("class")).and_then(Value::as_str) {
        Some("classifier") => Class::Classifier,
        _ if config.is_none() => Class::Tensors,
        _ => Class::Denoiser, // its loader says what is wrong with a configuration of no class
    }
}

fn range(schedule: &Schedule, t_max: f64, t_min: f64) -> String {
    let ratio = |t: f64| short(schedule.log_noise_ratio(t).exp());
    format!("{schedule}, t {t_max} to {t_min} (sigma/alpha {} to {})", ratio(t_max), ratio(t_min))
}

/// What a denoiser is used as.
fn denoiser(path: &Path) -> Result<String> {
    let (model, warnings) = Model::open(path, None)?;
    warn(&warnings);
    let mut rows = vec![vec!["used as".to_string(), model.describe()]];
    if let Model::Network(network) = &model {
        let config = &network.config;
        let mut put = |name: &str, text: String| rows.push(vec![name.to_string(), text]);
        put("output", format!("{}, preconditioning {}", config.prediction, config.preconditioning));
        put("schedule", range(&config.schedule, config.t_max, config.t_min));
        put(
            "time",
            format!(
                "{:?} embedding of {}, {} numbers",
                config.time.embedding, config.time.feature, config.time.dim
            ),
        );
        let trunk = &config.trunk;
        let kinds = (trunk.activation, trunk.norm, if trunk.skip { "skips" } else { "no skips" });
        put(
            "layers",
            format!("{:?}, norm {:?}, {}, conditioning of {}", kinds.0, kinds.1, kinds.2, config.cond),
        );
        put(
            "classes",
            config
                .classes
                .map_or("none".to_string(), |n| format!("0 to {} (--class), and the null class", n - 1)),
        );
        let data = config.data.map(|data| format!("mean {}, standard deviation {}", data.mean, data.std));
        put("data", data.unwrap_or("unknown: the start is centred on 0".to_string()));
    }
    Ok(columns(&rows))
}

/// What a network among layers is used as.
fn layered(path: &Path) -> Result<String> {
    let (loaded, warnings) = layered::open(path)?;
    warn(&warnings);
    let mut rows = Vec::new();
    let mut put = |name: &str, text: String| rows.push(vec![name.to_string(), text]);
    let net = &loaded.net;
    let numbers: usize = net.tensors.iter().map(Vec::len).sum();
    let layers = net.layers.all().len();
    put("used as", format!("{} of {layers} layers, {numbers} numbers", loaded.kind.name()));
    put("state", format!("{}, output {}", net.input(), net.output()));
    if let Some(energy) = net.energy {
        put("energy", format!("{energy}, whose gradient is the output"));
    }
    match &loaded.scheduler {
        None => put("scheduler", "none: for `feynkac eval`, not for a run".to_string()),
        Some(own) => {
            put("output", format!("{}, preconditioning {}", own.prediction, own.preconditioning));
            let ratio = |lambda: f64| short(lambda.exp());
            let (noisy, clean) = (ratio(own.range.0), ratio(own.range.1));
            put("schedule", format!("{}, sigma/alpha {noisy} to {clean}", own.schedule));
            put("time", own.timestep.to_string());
        }
    }
    let classes = net.classes.map_or("none".to_string(), |n| match net.null {
        Some(null) => format!("0 to {} (--class), of which {null} is the null class", n - 1),
        None => format!("0 to {} (--class), and no null class", n - 1),
    });
    put("classes", classes);
    let data = loaded.data.map(|data| format!("mean {}, standard deviation {}", data.mean, data.std));
    put("data", data.unwrap_or("unknown: the start is centred on 0".to_string()));
    Ok(columns(&rows))
}

/// A folder of diffusers: every file of it, then what it is used as.
fn diffusers(path: &Path) -> Result<()> {
    let (texts, shards) = unet::files(path)?;
    for file in shards {
        let weights = Weights::open(&file)?;
        let size = std::fs::metadata(&file).map_or(0, |about| about.len());
        print(&format!("{}  {}\n\n{}\n", file.display(), bytes(size), tensors(&weights)?));
    }
    for file in texts {
        print(&format!("{}\n{}\n\n", file.display(), read_text(&file, LIMIT)?.trim_end()));
    }
    print(&layered(path)?);
    Ok(())
}

fn classifier(path: &Path) -> Result<String> {
    let (ClassifierConfig { trunk, outputs }, _, warnings) = netconfig::load_classifier(path)?;
    warn(&warnings);
    let text = format!(
        "classifier of clean states {} -> {} x {} -> {outputs} logits",
        trunk.dim, trunk.layers, trunk.hidden
    );
    let kinds = format!(
        "{:?}, norm {:?}, {}",
        trunk.activation,
        trunk.norm,
        if trunk.skip { "skips" } else { "no skips" }
    );
    Ok(columns(&[vec!["used as".to_string(), text], vec!["layers".to_string(), kinds]]))
}

/// The smallest and the largest.
fn extremes(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if least == most { short(least) } else { format!("{} to {}", short(least), short(most)) }
}

fn target(path: &Path) -> Result<String> {
    let (target, warnings) = Target::open(path)?;
    warn(&warnings);
    let mut rows = Vec::new();
    let mut put = |name: &str, text: String| rows.push(vec![name.to_string(), text]);
    match &target {
        Target::Mixture(mixture) => {
            put("used as", format!("mixture of {} Gaussians", mixture.components()));
            put("dimension", mixture.dim.to_string());
            put("weights", extremes(&mixture.weights));
            put("means", extremes(&mixture.means));
            match &mixture.scales {
                Scales::Isotropic(scales) => put("scales", format!("{}, one a component", extremes(scales))),
                Scales::Diagonal(scales) => put("scales", format!("{}, one a coordinate", extremes(scales))),
            }
        }
        Target::Gaussian(gaussian) => {
            put("used as", "Gaussian with a full covariance".to_string());
            put("dimension", gaussian.mean.len().to_string());
            put("mean", extremes(&gaussian.mean));
            put("eigenvalues", extremes(&gaussian.covariance.values));
        }
    }
    let (mean, variance) = target.moments();
    let mean: Vec<String> =
        mean.iter().take(4).map(|m| short(*m)).chain((mean.len() > 4).then(|| "...".into())).collect();
    put("whole", format!("mean [{}], variance {} a coordinate", mean.join(", "), short(variance)));
    put("schedule", "any (--schedule)".to_string());
    Ok(columns(&rows))
}

/// Whether it is a folder of diffusers, a file of one, or weights that are programs.
fn diffusers_like(path: &Path) -> bool {
    match Folder::of(path) {
        Ok(folder) => folder == Folder::Diffusers,
        Err(_) => unet::ends_in(path, &unet::PICKLES),
    }
}

/// Runs the subcommand.
pub fn run(path: &Path) -> Result<()> {
    if path.extension().is_some_and(|extension| extension == "toml") {
        print(&target(path)?);
        return Ok(());
    }
    if diffusers_like(path) {
        return diffusers(path);
    }
    let file = if path.is_dir() { path.join("model.safetensors") } else { path.to_path_buf() };
    let weights = Weights::open(&file)?;
    let size = std::fs::metadata(&file).map_or(0, |about| about.len());
    print(&format!("{}  {}\n\n{}\n", file.display(), bytes(size), tensors(&weights)?));
    let config = configuration(path, &weights)?;
    let class = class(&weights, config.as_ref().map(|(_, text)| text.as_str()));
    if let Some((place, text)) = config.filter(|_| class != Class::Samples) {
        print(&format!("{}\n{}\n\n", place.display(), text.trim_end()));
    }
    // Whatever is wrong with them is said after what they hold.
    print(&match class {
        Class::Denoiser if Folder::of(path).is_ok_and(Folder::layered) => layered(path)?,
        Class::Denoiser => denoiser(path)?,
        Class::Classifier => classifier(path)?,
        Class::Samples => samples(&weights),
        Class::Tensors => "used as  nothing: there is no configuration\n".to_string(),
    });
    Ok(())
}

/// The settings of the run that a file of samples is of.
fn samples(weights: &Weights) -> String {
    let config = weights.metadata().remove("config").unwrap_or_default();
    let value = serde_json::from_str::<Value>(&config).unwrap_or_default();
    let mut rows = vec![vec!["used as".to_string(), "nothing: these are the samples of a run".to_string()]];
    for (key, value) in value.as_object().into_iter().flatten() {
        rows.push(vec![key.escape_debug().to_string(), value.to_string()]);
    }
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("weights").join(name)
    }

    #[test]
    fn what_is_shipped_says_what_it_is() {
        let text = denoiser(&shipped("digits8-mlp")).unwrap();
        assert!(text.contains("network 64 -> ") && text.contains("edm, t 20 to 0.02"), "{text}");
        assert!(text.contains("0 to 9 (--class), and the null class"), "{text}");
        let text = classifier(&shipped("digits8-classifier")).unwrap();
        assert!(text.contains("-> 10 logits"), "{text}");
        let text = target(&shipped("gmm40.toml")).unwrap();
        assert!(text.contains("mixture of 40 Gaussians") && text.contains("0.025"), "{text}");
    }

    #[test]
    fn weights_are_told_apart_and_listed() {
        let weights = Weights::open(&shipped("digits8-classifier/model.safetensors")).unwrap();
        let text = tensors(&weights).unwrap();
        let line = text.lines().find(|line| line.starts_with("in.weight ")).expect("the input layer");
        assert!(line.contains("F32") && line.contains("[128, 64]") && line.ends_with("8192"), "{line}");
        assert_eq!(class(&weights, None), Class::Tensors);
        assert_eq!(class(&weights, Some(r#"{"class": "classifier"}"#)), Class::Classifier);
        assert_eq!(class(&weights, Some("no JSON")), Class::Denoiser);
    }
}
