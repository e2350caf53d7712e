//! From settings to a run: models opened, defaults filled in, everything checked that can be checked before
//! a kernel is launched.

mod respaced;
mod twisted;

use std::path::{Path, PathBuf};

use feynkac_kernels::device::Request;
use serde_json::{Map, Value, json};

use super::settings::{Aim, Settings};
use crate::aim::{Densities, Divergence, Growth, Reward};
use crate::error::{Error, Result};
use crate::langevin::Langevin;
use crate::model::Model;
use crate::options::{Options, Policy, Sde};
use crate::plan::Plan;
use crate::registry::{METHODS, Method};
use crate::schedule::Schedule;
use crate::twist::CLASSIFIER;

/// Keys that say how a run is carried out and do not decide what is sampled.
const HOW: [&str; 10] = [
    "device",
    "no-roots",
    "genealogy",
    "tails",
    "paths",
    "unfused",
    "steps-per-launch",
    "no-graph",
    "micro-batch",
    "recompute",
];

/// A run that can start.
pub struct Job {
    /// Its options, checked.
    pub options: Options,
    /// Its models, all of one dimension, as many as the method needs.
    pub models: Vec<Model>,
    /// The device asked for.
    pub device: Request,
    /// The effective settings: every key of a run file with its value. [`recipe`](Self::recipe) is the part
    /// of them that decides the samples.
    pub config: Value,
    /// What is odd about the input, but no error.
    pub warnings: Vec<String>,
}

impl Job {
    /// Opens and checks.
    pub fn new(settings: &Settings) -> Result<Self> {
        let Some(method) = settings.method else {
            let names: Vec<&str> = METHODS.iter().map(|row| row.name).collect();
            return Err(Error::input("--method", "none", format!("one of {}", names.join(", "))));
        };
        let device: Request = settings.device.as_deref().unwrap_or("auto").parse()?;
        let mut options = Options::new(method, Schedule::Edm);
        let mut models = Vec::new();
        let mut warnings: Vec<String> = Vec::new();
        for (path, class) in places(settings, method)? {
            let (model, more) = Model::open(path, class)?;
            // A transport asks networks for more than the dense kernel says.
            let model = if method == Method::FkcTransport { model.layered()? } else { model };
            models.push(model);
            warnings
                .extend(more.into_iter().filter(|warning| !warnings.contains(warning)).collect::<Vec<_>>());
        }
        same_dimension(&settings.model, &models)?;
        let listed = models.len();
        if let Some(path) = &settings.aim.reward {
            let (reward, more) = Model::open(path, None)?;
            if !matches!(reward, Model::Analytic(_)) {
                return Err(Error::input("--reward", path.display(), "a TOML target"));
            }
            warnings.extend(more);
            models.push(reward);
            if models[listed].dim() != models[0].dim() {
                let what = format!("dimension of the reward {}", path.display());
                let wanted = format!("{}, that of the models", models[0].dim());
                return Err(Error::input(what, models[listed].dim(), wanted));
            }
        }
        if let Some((judge, more)) = twisted::judge(settings, method)? {
            if judge.dim() != models[0].dim() {
                let wanted = format!("{}, that of the model", models[0].dim());
                return Err(Error::input("dimension of the classifier (--classifier)", judge.dim(), wanted));
            }
            warnings.extend(more);
            models.push(judge);
        }
        fill(&mut options, settings, &models)?;
        Plan::of(&options, &models)?;
        let config = config(&options, settings);
        Ok(Self { options, models, device, config, warnings })
    }

    /// The effective settings without those that say how the run is carried out (device, fusing and the like) and so do not
    /// decide what is sampled: the same run has the same recipe on every device.
    pub fn recipe(&self) -> Value {
        let mut config = self.config.clone();
        if let Some(map) = config.as_object_mut() {
            map.retain(|key, _| !HOW.contains(&key.as_str()));
        }
        config
    }
}

/// The models to open, with their classes. One network and classes are as many models: for guidance its null
/// class is another, the base, and so it is where there is one more exponent than classes.
fn places(settings: &Settings, method: Method) -> Result<Vec<(&Path, Option<usize>)>> {
    let paths: Vec<&Path> = settings.model.iter().map(PathBuf::as_path).collect();
    let (least, most) = method.row().needs.models;
    // The class of a task is its classifier's.
    let judged = settings.twist.task.as_deref() == Some(CLASSIFIER);
    let classes: &[usize] = if judged { &[] } else { &settings.class };
    let places: Vec<_> = if let ([path], true) = (&paths[..], most > 1 && !classes.is_empty()) {
        let based = method == Method::FkcGuidance || settings.exponent.len() == classes.len() + 1;
        let base = based.then_some((*path, None));
        base.into_iter().chain(classes.iter().map(|class| (*path, Some(*class)))).collect()
    } else {
        // The class is asked of the last model: the one a guidance leads to.
        let last = paths.len().saturating_sub(1);
        if classes.len() > 1 {
            let wanted = "1 beside several models, or one model for all";
            return Err(Error::input("number of classes (--class)", classes.len(), wanted));
        }
        let class = |i: usize| classes.first().copied().filter(|_| i == last);
        paths.iter().enumerate().map(|(i, path)| (*path, class(i))).collect()
    };
    if (least..=most).contains(&places.len()) {
        return Ok(places);
    }
    let wanted = match (least, most) {
        (1, 1) => "1".to_string(),
        (2, _) => format!("2 to {most}, or one class-conditional network and --class"),
        _ => format!("{least} to {most}"),
    };
    Err(Error::input(format!("number of models (--model) of {method}"), places.len(), wanted))
}

fn same_dimension(paths: &[PathBuf], models: &[Model]) -> Result<()> {
    let Some(first) = models.first() else { return Ok(()) };
    match models.iter().zip(paths).find(|(model, _)| model.dim() != first.dim()) {
        None => Ok(()),
        Some((model, path)) => Err(Error::input(
            format!("dimension of the model {}", path.display()),
            model.dim(),
            format!("{}, that of the first model", first.dim()),
        )),
    }
}

/// Settings, and defaults where there are none.
fn fill(options: &mut Options, settings: &Settings, models: &[Model]) -> Result<()> {
    let usual = Options::new(options.method, schedule(settings, models)?);
    *options = Options {
        beta: settings.beta.unwrap_or(usual.beta),
        models: models.iter().filter(|model| !model.judges()).count()
            - usize::from(settings.aim.reward.is_some()),
        powers: powers(options.method, settings, models.len())?,
        beta_from: settings.aim.beta_from,
        powers_from: settings.aim.exponent_from.clone(),
        reward: reward(&settings.aim)?,
        twisting: twisted::twisting(settings, options.method, models)?,
        densities: settings.aim.densities.unwrap_or(usual.densities),
        divergence: settings.aim.divergence.unwrap_or(usual.divergence),
        sde: settings.sde.unwrap_or(usual.sde),
        rule: settings.rule.unwrap_or(usual.rule),
        weights: !settings.no_weights,
        grid: settings.grid.unwrap_or(usual.grid),
        steps: settings.steps.unwrap_or(usual.steps),
        particles: settings.particles.unwrap_or(usual.particles),
        groups: settings.groups.unwrap_or(usual.groups),
        block: settings.block.unwrap_or(usual.block),
        scheme: settings.scheme.unwrap_or(usual.scheme),
        langevin: settings.langevin.unwrap_or(usual.langevin),
        temper: settings.temper.unwrap_or(usual.temper),
        partial: settings.partial.unwrap_or(usual.partial),
        quantile: settings.quantile,
        centre: settings.centre,
        clamp: settings.clamp,
        last: settings.last.unwrap_or(usual.last),
        seed: settings.seed.unwrap_or(usual.seed),
        roots: !settings.no_roots,
        state: settings.state.unwrap_or(usual.state),
        genealogy: settings.genealogy,
        tails: settings.tails,
        paths: settings.paths,
        refine: settings.refine.unwrap_or(usual.refine),
        unfused: settings.unfused,
        at_once: settings.steps_per_launch.unwrap_or(usual.at_once),
        compute: settings.compute.unwrap_or(usual.compute),
        graph: !settings.no_graph,
        micro_batch: settings.micro_batch.unwrap_or(usual.micro_batch),
        recompute: settings.recompute,
        ..usual
    };
    let (t_max, t_min) = range(&options.schedule, models);
    // With ends of one's own, each network says for itself what it does not cover.
    if (settings.t_max, settings.t_min) == (None, None) && t_max <= t_min {
        return Err(Error::input("noise (sigma/alpha) of the models", ranges(models), "ranges that overlap"));
    }
    options.t_max = settings.t_max.unwrap_or(t_max);
    options.t_min = settings.t_min.unwrap_or(t_min);
    if settings.respaced {
        respaced::respace(options, settings, models)?;
    }
    // Where nothing is weighted, or copies would never part, resampling is not the default.
    let still = matches!(options.sde, Sde::Ode | Sde::Zeta(0.0));
    let weighted = options.weights && options.method.row().needs.weights;
    let resample = if still || !weighted { Policy::Never } else { options.resample };
    // Birth and death are for small changes of the weights: at every step.
    let resample = if resample != Policy::Never && options.scheme.jumps() { Policy::Every } else { resample };
    options.resample = settings.resample.unwrap_or(resample);
    Ok(())
}

/// The exponents of a composition, the weights of a mixture; other methods have theirs from beta.
fn powers(method: Method, settings: &Settings, models: usize) -> Result<Vec<f64>> {
    let aim = &settings.aim;
    let composed = method == Method::FkcCompose;
    let mixed = method == Method::FkcMixture;
    if composed && (settings.beta.is_some() || aim.beta_from.is_some()) {
        return Err(Error::input("--beta", "fkc-compose", "one --exponent a model"));
    }
    if mixed && (settings.beta.is_some() || aim.beta_from.is_some()) {
        return Err(Error::input("--beta", "fkc-mixture", "one --weight a model"));
    }
    let exponents = !settings.exponent.is_empty() || !aim.exponent_from.is_empty();
    if !composed && exponents {
        return Err(Error::input("--exponent", method, "fkc-compose; other methods take --beta"));
    }
    if !mixed && !aim.weight.is_empty() {
        return Err(Error::input("--weight", method, "fkc-mixture"));
    }
    Ok(match (mixed, aim.weight.is_empty()) {
        (false, _) => settings.exponent.clone(),
        (true, false) => aim.weight.clone(),
        (true, true) => vec![1.0; models],
    })
}

/// The reward, whose numbers mean nothing without it.
fn reward(aim: &Aim) -> Result<Option<Reward>> {
    if aim.reward.is_none() {
        let given = [
            ("--reward-scale", aim.reward_scale.is_some()),
            ("--reward-growth", aim.reward_growth.is_some()),
            ("--reward-drift", aim.reward_drift.is_some()),
        ];
        return match given.iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(Error::input(*flag, "no reward", "--reward FILE beside it")),
            None => Ok(None),
        };
    }
    Ok(Some(Reward {
        scale: aim.reward_scale.unwrap_or(1.0),
        growth: aim.reward_growth.unwrap_or(Growth::Signal),
        drift: aim.reward_drift,
    }))
}

/// The schedule: the one named, else that of the first network, else ve; with the constants that have flags.
fn schedule(settings: &Settings, models: &[Model]) -> Result<Schedule> {
    let own = models.iter().find_map(Model::schedule).map(|(schedule, _, _)| schedule);
    let ve = Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 };
    let mut schedule = settings.schedule.or(own).unwrap_or(ve);
    let name = schedule.name();
    for (flag, value) in [("sigma-min", settings.sigma_min), ("sigma-max", settings.sigma_max)] {
        let Some(value) = value else { continue };
        match &mut schedule {
            Schedule::Ve { sigma_min, .. } if flag == "sigma-min" => *sigma_min = value,
            Schedule::Ve { sigma_max, .. } => *sigma_max = value,
            _ => {
                let found = format!("{value} with the {name} schedule");
                return Err(Error::input(format!("--{flag}"), found, "the ve schedule (--schedule ve)"));
            }
        }
    }
    Ok(schedule)
}

/// Where a run on `schedule` starts and ends when nobody says otherwise: on its network's own schedule what it
/// was trained on; on another what the schedule and every network have in common.
fn range(schedule: &Schedule, models: &[Model]) -> (f64, f64) {
    let networks: Vec<_> = models.iter().filter_map(Model::schedule).collect();
    let (mut t_max, mut t_min) = match networks.first() {
        Some((own, t_max, t_min)) if own == schedule => (*t_max, *t_min),
        _ => schedule.default_range(),
    };
    for (own, noisiest, cleanest) in networks.iter().filter(|(own, ..)| own != schedule) {
        t_max = t_max.min(schedule.time_at(own.log_noise_ratio(*noisiest)));
        t_min = t_min.max(schedule.time_at(own.log_noise_ratio(*cleanest)));
    }
    for (_, noisiest, cleanest) in networks.iter().filter(|(own, ..)| own == schedule) {
        (t_max, t_min) = (t_max.min(*noisiest), t_min.max(*cleanest));
    }
    (t_max, t_min)
}

/// The noise that each network was trained on, for people.
fn ranges(models: &[Model]) -> String {
    let range = |model: &Model| {
        let (name, noisy, clean) = model.trained()?;
        Some(format!("{name} {clean:.4} to {noisy:.4}"))
    };
    models.iter().filter_map(range).collect::<Vec<_>>().join(", ")
}

/// Every key of a run file with the value that is used.
fn config(options: &Options, settings: &Settings) -> Value {
    let models: Vec<String> = settings.model.iter().map(|path| path.display().to_string()).collect();
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_string(), value);
    put("model", json!(models));
    if !settings.class.is_empty() {
        put("class", json!(settings.class));
    }
    put("method", json!(options.method.to_string()));
    match options.method {
        Method::FkcCompose => put("exponent", json!(options.powers)),
        Method::FkcMixture => put("weight", json!(options.powers)),
        _ => put("beta", json!(options.beta)),
    };
    if let Some(beta) = options.beta_from {
        put("beta-from", json!(beta));
    }
    if !options.powers_from.is_empty() {
        put("exponent-from", json!(options.powers_from));
    }
    if let (Some(reward), Some(path)) = (options.reward, &settings.aim.reward) {
        put("reward", json!(path.display().to_string()));
        put("reward-scale", json!(reward.scale));
        put("reward-growth", json!(reward.growth.to_string()));
        if let Some(drift) = reward.drift {
            put("reward-drift", json!(drift));
        }
    }
    if options.densities != Densities::Exact {
        put("densities", json!(options.densities.to_string()));
    }
    if options.divergence != Divergence::Exact {
        put("divergence", json!(options.divergence.to_string()));
    }
    for (key, value) in twisted::config(options, settings) {
        put(key, value);
    }
    put("sde", json!(options.sde.to_string()));
    put("particles", json!(options.particles));
    put("steps", json!(options.steps));
    put("schedule", json!(options.schedule.to_string()));
    for (key, value) in respaced::config(options) {
        put(key, value);
    }
    put("rule", json!(options.rule.to_string()));
    put("no-weights", json!(!options.weights));
    put("resample", json!(options.resample.to_string()));
    put("scheme", json!(options.scheme.to_string()));
    // What is off goes unsaid.
    if options.langevin != Langevin::default() {
        put("langevin", json!(options.langevin.to_string()));
    }
    let off_at_one = |share: f64| (share != 1.0).then_some(share);
    let shares = [("temper", off_at_one(options.temper)), ("partial", off_at_one(options.partial))];
    let cuts = [("quantile", options.quantile), ("clamp", options.clamp)];
    for (key, number) in shares.into_iter().chain(cuts).filter_map(|(key, number)| Some((key, number?))) {
        put(key, json!(number));
    }
    if options.centre {
        put("centre", json!(true));
    }
    put("groups", json!(options.groups));
    put("block", json!(options.block));
    put("final", json!(options.last.to_string()));
    put("seed", json!(options.seed));
    put("device", json!(settings.device.as_deref().unwrap_or("auto")));
    put("no-roots", json!(!options.roots));
    put("state", json!(options.state.to_string()));
    put("genealogy", json!(options.genealogy));
    put("tails", json!(options.tails));
    put("paths", json!(options.paths));
    put("refine", json!(options.refine));
    put("unfused", json!(options.unfused));
    put("steps-per-launch", json!(options.at_once));
    put("compute", json!(options.compute.to_string()));
    put("no-graph", json!(!options.graph));
    put("micro-batch", json!(options.micro_batch));
    put("recompute", json!(options.recompute));
    Value::Object(map)
}

#[cfg(test)]
mod tests;
