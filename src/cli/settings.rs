//! What a run can be told, by flags or by a run file of the same keys: one struct is both, so that they
//! cannot differ.

mod aim;
mod twist;

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, Command, FromArgMatches};
use feynkac_kernels::passes::mlp::Compute;
use toml::{Table, Value};

use super::names::{compute, device, named, number, whole};
use crate::error::{Error, Result};
use crate::langevin::Langevin;
use crate::options::{Final, Policy, Rule, Sde, State};
use crate::registry::{Method, Scheme};
use crate::schedule::{Grid, Schedule};
use crate::weights::read_text;

pub use aim::Aim;
pub use twist::Twist;

/// The most bytes a run file may have.
const LIMIT: u64 = 1 << 20;

/// The settings of a run; what is `None` takes its default in [`super::prepare`].
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Weights folder or TOML target; once for each model of a method of several, the base first
    #[arg(long, value_name = "PATH")]
    pub model: Vec<PathBuf>,
    /// Class of a conditional network. One --model is taken once for each --class; with fkc-guidance its null
    /// class is the base
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<usize>)]
    pub class: Vec<usize>,
    /// Sampler: see `feynkac list`
    #[arg(long, value_parser = named::<Method>)]
    pub method: Option<Method>,
    /// Annealing power, power of a product, or guidance weight of each condition [default: 1]
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = number)]
    pub beta: Option<f64>,
    /// Exponent of a model, for fkc-compose: once for each, in the order of the models
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = number)]
    pub exponent: Vec<f64>,
    /// The rest of the target.
    #[command(flatten)]
    pub aim: Aim,
    /// What tds is told.
    #[command(flatten)]
    pub twist: Twist,
    /// Noise: target-score, tempered-noise, ode or zeta:F [default: target-score]
    #[arg(long, value_parser = named::<Sde>)]
    pub sde: Option<Sde>,
    /// Particles of each group [default: 4096]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<usize>)]
    pub particles: Option<usize>,
    /// Steps [default: 200]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<usize>)]
    pub steps: Option<usize>,
    /// ve, edm, vp-linear, vp-cosine or rectified-flow, with constants as in vp-linear:b0=0.1,b1=20
    /// [default: the network's, else ve]
    #[arg(long, value_parser = named::<Schedule>)]
    pub schedule: Option<Schedule>,
    /// Least noise of the ve schedule [default: 0.01]
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = number)]
    pub sigma_min: Option<f64>,
    /// Most noise of the ve schedule [default: 50]
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = number)]
    pub sigma_max: Option<f64>,
    /// Noise time of the start [default: the network's, else the schedule's]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = number)]
    pub t_max: Option<f64>,
    /// Noise time of the end [default: the network's, else the schedule's]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = number)]
    pub t_min: Option<f64>,
    /// Where the steps lie: uniform, edm-rho or log-snr [default: log-snr]
    #[arg(long, value_parser = named::<Grid>)]
    pub grid: Option<Grid>,
    /// Steps at levels that the network was trained at, as its scheduler spaces them, in the place of a grid
    #[arg(long)]
    pub respaced: bool,
    /// Weight rule: left, right, trap or exact [default: trap]
    #[arg(long, value_parser = named::<Rule>)]
    pub rule: Option<Rule>,
    /// Leave the weights out: the usual heuristic, for comparison
    #[arg(long)]
    pub no_weights: bool,
    /// never, every, ess:F, interval:N or window:A:B [default: ess:0.5; never where weights do not
    /// accrue or zeta is 0]
    #[arg(long, value_name = "WHEN", value_parser = named::<Policy>)]
    pub resample: Option<Policy>,
    /// Resampling scheme: systematic, stratified, multinomial, residual, metropolis:B, megopolis:B or rejection;
    /// birth-death or clock in its place [default: systematic]
    #[arg(long, value_parser = named::<Scheme>)]
    pub scheme: Option<Scheme>,
    /// After each step that may resample, M Langevin moves of size c at the noise level reached, which part copies and
    /// take particles closer to the target there; c is above 0 and below 2 [default: 0:0.1]
    #[arg(long, value_name = "M[:c]", allow_negative_numbers = true, value_parser = named::<Langevin>)]
    pub langevin: Option<Langevin>,
    /// Resample by the weights to this power, in (0, 1]; survivors keep the rest of their weight [default: 1]
    #[arg(long, value_name = "C", allow_negative_numbers = true, value_parser = number)]
    pub temper: Option<f64>,
    /// Resample among this share of the particles at a time, in (0, 1], those of a window that goes round; systematic
    /// and stratified resampling only [default: 1]
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = number)]
    pub partial: Option<f64>,
    /// Cut what a step adds to the log-weights at this quantile of a group's, above 0 and below 1: biased [default: off]
    #[arg(long, value_name = "Q", allow_negative_numbers = true, value_parser = number)]
    pub quantile: Option<f64>,
    /// Take the mean of what a step adds to the log-weights off, after the quantile; log Z counts it
    #[arg(long)]
    pub centre: bool,
    /// Cut what a step adds to the log-weights to this distance from zero, last: biased [default: off]
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = number)]
    pub clamp: Option<f64>,
    /// Independent groups, each with its own weights and log-evidence [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<usize>)]
    pub groups: Option<usize>,
    /// Slots over which sums are taken before they are combined
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<usize>)]
    pub block: Option<usize>,
    /// At the end: weighted or resample [default: weighted]
    #[arg(long = "final", value_name = "WHAT", value_parser = named::<Final>)]
    pub last: Option<Final>,
    /// Seed [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u64>)]
    pub seed: Option<u64>,
    /// auto, cpu[:threads], wgpu[:index] or cuda[:index]: see `feynkac devices` [default: auto]
    #[arg(long, value_parser = device)]
    pub device: Option<String>,
    /// How positions and carried scores are kept: f32, or f16 where the device can [default: f32]
    #[arg(long, value_parser = named::<State>)]
    pub state: Option<State>,
    /// Do not follow which particles of the start have descendants: 8 bytes less a particle-step
    #[arg(long)]
    pub no_roots: bool,
    /// Keep the parents of every step, and write them as `ancestors` [steps, groups, particles]: 4 bytes a
    /// particle-step
    #[arg(long)]
    pub genealogy: bool,
    /// Judge the tails of the log-weights at every resampling, and not of the last ones alone: 4 bytes a particle-step
    #[arg(long)]
    pub tails: bool,
    /// Keep the positions of every step, and write the path of each particle as `paths` [steps + 1, particles,
    /// coordinates]: 4 bytes a coordinate and particle-step
    #[arg(long)]
    pub paths: bool,
    /// After the run, as many sweeps of particle Gibbs over a path drawn from each group, written as `refined`
    /// [sweeps + 1, groups, coordinates]; each takes as long as the run [default: 0]
    #[arg(long, value_name = "SWEEPS", allow_negative_numbers = true, value_parser = whole::<usize>)]
    pub refine: Option<usize>,
    /// Launch move, score and weight apart instead of fused, for comparison
    #[arg(long)]
    pub unfused: bool,
    /// Steps of a launch, where the score is a closed form; 0 is as many as pay, once the kernel is compiled,
    /// which takes seconds longer [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<usize>)]
    pub steps_per_launch: Option<usize>,
    /// What networks are multiplied in: f32; f16 or bf16, by tensor cores, with sums in f32; or auto, which is
    /// f32 unless all weights were stored in a type that the device's tensor cores take [default: auto]
    #[arg(long, value_name = "TYPE", value_parser = compute)]
    pub compute: Option<Compute>,
    /// Launch every step instead of replaying a graph of them, for comparison
    #[arg(long)]
    pub no_graph: bool,
    /// Groups at once, in batches one after another; 0 is as many as fit into the device's memory [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<usize>)]
    pub micro_batch: Option<usize>,
    /// Keep few values of a network for its way back and compute the others again: the same bits in less memory
    #[arg(long)]
    pub recompute: bool,
}

/// Where the results go.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct Writing {
    /// Folder for samples.safetensors, report.json and the pictures; made if it is not there
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Write no pictures
    #[arg(long)]
    pub no_picture: bool,
    /// Print the report as one JSON object instead of the table
    #[arg(long)]
    pub json: bool,
}

/// Settings by flags, over those of a run file.
#[derive(Args, Clone, Debug, Default)]
pub struct Flags {
    /// The flags.
    #[command(flatten)]
    pub settings: Settings,
    /// TOML file whose keys are these flags without the dashes; flags win
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Flags {
    /// The settings, and what the run file says of the output.
    pub fn resolve(self) -> Result<(Settings, Writing)> {
        let (file, writing) = match &self.config {
            Some(path) => parse(path, &read_text(path, LIMIT)?)?,
            None => Default::default(),
        };
        Ok((self.settings.over(file), writing))
    }
}

impl Settings {
    /// These, and `below` where these say nothing.
    fn over(self, below: Self) -> Self {
        macro_rules! first {
            ($($field:ident),* $(,)?) => {
                Self {
                    model: if self.model.is_empty() { below.model } else { self.model },
                    class: if self.class.is_empty() { below.class } else { self.class },
                    exponent: if self.exponent.is_empty() { below.exponent } else { self.exponent },
                    aim: self.aim.over(below.aim),
                    twist: self.twist.over(below.twist),
                    no_weights: self.no_weights || below.no_weights,
                    centre: self.centre || below.centre,
                    no_roots: self.no_roots || below.no_roots,
                    genealogy: self.genealogy || below.genealogy,
                    tails: self.tails || below.tails,
                    paths: self.paths || below.paths,
                    unfused: self.unfused || below.unfused,
                    respaced: self.respaced || below.respaced,
                    no_graph: self.no_graph || below.no_graph,
                    recompute: self.recompute || below.recompute,
                    $($field: self.$field.or(below.$field),)*
                }
            };
        }
        first!(
            method,
            beta,
            sde,
            particles,
            steps,
            schedule,
            sigma_min,
            sigma_max,
            t_max,
            t_min,
            grid,
            rule,
            resample,
            scheme,
            langevin,
            temper,
            partial,
            quantile,
            clamp,
            groups,
            block,
            last,
            seed,
            device,
            state,
            refine,
            steps_per_launch,
            micro_batch,
            compute,
        )
    }
}

impl Writing {
    /// These, and `below` where these say nothing.
    pub fn over(self, below: Self) -> Self {
        Self {
            output: self.output.or(below.output),
            no_picture: self.no_picture || below.no_picture,
            json: self.json || below.json,
        }
    }
}

/// A value as the text a flag would have.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Table(_) => None,
        other => Some(other.to_string()),
    }
}

/// A value, short enough for a message.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Table(_) => "a table".to_string(),
        Value::String(text) => format!("{:?}", text.chars().take(60).collect::<String>()),
        other => other.to_string(),
    }
}

/// Reads a run file: each key goes through the parser of the flag of that name.
pub fn parse(file: &Path, text: &str) -> Result<(Settings, Writing)> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.get(..at).unwrap_or(text).matches('\n').count() + 1;
        Error::file(file, format!("line {line}"), error.message().replace('\n', " "), "TOML")
    })?;
    let command = Command::new("run file").no_binary_name(true).disable_help_flag(true);
    let command = Writing::augment_args(Settings::augment_args(command));
    let mut all = Vec::new();
    for (key, value) in &table {
        let arguments = || command.get_arguments();
        let Some(argument) = arguments().find(|argument| argument.get_long() == Some(key)) else {
            let known: Vec<&str> = arguments().filter_map(|argument| argument.get_long()).collect();
            let what = format!("key {}", key.escape_debug());
            return Err(Error::file(
                file,
                what,
                "a key that is not known",
                format!("one of {}", known.join(", ")),
            ));
        };
        let bad = |wanted: &str| Error::file(file, key, shown(value), wanted);
        let texts = match (argument.get_action(), value) {
            (ArgAction::SetTrue, Value::Boolean(true)) => vec![format!("--{key}")],
            (ArgAction::SetTrue, Value::Boolean(false)) => Vec::new(),
            (ArgAction::SetTrue, _) => return Err(bad("true or false")),
            (ArgAction::Append, Value::Array(list)) => list
                .iter()
                .map(|item| text_of(item).map(|text| format!("--{key}={text}")))
                .collect::<Option<_>>()
                .ok_or_else(|| bad("a list of values"))?,
            _ => vec![format!("--{key}={}", text_of(value).ok_or_else(|| bad("one value"))?)],
        };
        if let Err(error) = command.clone().try_get_matches_from(&texts) {
            let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            let wanted = reason.rsplit_once("wanted ").map_or("another value", |(_, wanted)| wanted);
            return Err(bad(wanted));
        }
        all.extend(texts);
    }
    let refused = |error: clap::Error| Error::file(file, "the keys together", error, "a run");
    let matches = command.try_get_matches_from(all).map_err(refused)?;
    let settings = Settings::from_arg_matches(&matches).map_err(refused)?;
    Ok((settings, Writing::from_arg_matches(&matches).map_err(refused)?))
}

#[cfg(test)]
mod tests;
