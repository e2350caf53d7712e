//! Reading a `scheduler_config.json`: the noise that a network of diffusers was trained on, as a schedule, a prediction
//! and a preconditioning of ours, and the time that it is shown at a noise level. Maths: docs/maths.md (9).

use std::borrow::Cow;
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::keys::{Keys, read_object, size_in};
use crate::schedule::{NetCoeffs, Preconditioning, Prediction, Schedule, TimeFeature};

/// Schedulers of a table of betas; they differ in how they step, which is ours to choose.
const TABLES: [&str; 12] = [
    "DDPMScheduler",
    "DDIMScheduler",
    "PNDMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LMSDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "DEISMultistepScheduler",
    "UniPCMultistepScheduler",
    "DDPMParallelScheduler",
];

/// How noise levels turn into the time that a network is shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Timestep {
    /// The training step, by ln(sigma/alpha) of every step, rising; between two of them in proportion.
    Table(Vec<f64>),
    /// sigma.
    Sigma,
    /// ln(sigma)/4.
    QuarterLogSigma,
    /// A feature of the schedule's own time.
    Feature {
        /// Which.
        feature: TimeFeature,
        /// Multiplies it.
        scale: f64,
    },
}

impl std::fmt::Display for Timestep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Timestep::Table(table) => write!(f, "training step, 0 to {}", table.len() - 1),
            Timestep::Sigma => f.write_str("sigma/alpha"),
            Timestep::QuarterLogSigma => f.write_str("ln(sigma/alpha)/4"),
            Timestep::Feature { feature, scale } => write!(f, "{feature}, times {scale}"),
        }
    }
}

/// How a run's steps are spread over the T training steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// Multiples of T/steps rounded down, and `steps_offset`.
    Leading,
    /// Multiples of T/steps down from T, less 1.
    Trailing,
    /// Evenly from T - 1 to 0, rounded; Euler, Heun and LMS go between two of them.
    Linspace,
    /// [`Spacing::Leading`] of one step more, without its last: of the DPM solvers, DEIS and UniPC.
    LeadingOpen,
    /// [`Spacing::Linspace`] of one step more, without its last: of the same.
    LinspaceOpen,
}

/// What a network was trained on.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduler {
    /// The frame of alpha and sigma. For a table of betas it is one that preserves variance, so that alpha and sigma are
    /// those of the table at each ln(sigma/alpha); its own times mean nothing to the network.
    pub schedule: Schedule,
    /// What the network is shown.
    pub timestep: Timestep,
    /// What its output stands for.
    pub prediction: Prediction,
    /// What is wrapped around it.
    pub preconditioning: Preconditioning,
    /// ln(sigma/alpha) where training was noisiest and least noisy.
    pub range: (f64, f64),
    /// How the library spreads steps; only tables have them.
    pub spacing: Spacing,
    /// `steps_offset`, for [`Spacing::Leading`] and [`Spacing::LeadingOpen`].
    pub offset: usize,
    /// `variance_type` is `learned_range`: a network that says twice as much says how broad a step is.
    pub learned: bool,
}

impl Scheduler {
    /// Without a table, trained at all noise levels of `range` of ln(sigma/alpha), the noisiest first.
    pub(crate) fn without_table(
        schedule: Schedule,
        timestep: Timestep,
        prediction: Prediction,
        preconditioning: Preconditioning,
        range: (f64, f64),
    ) -> Self {
        let (spacing, offset, learned) = (Spacing::Linspace, 0, false);
        Self { schedule, timestep, prediction, preconditioning, range, spacing, offset, learned }
    }

    /// Reads a configuration from JSON text; `file` names it in messages. Gives a warning where the library would change
    /// a prediction (`clip_sample`, `thresholding`): a prediction that was cut is no score, so here it is not. And one
    /// where it would pick steps otherwise than by `timestep_spacing` (`use_karras_sigmas` and the like).
    pub fn parse(file: &Path, text: &str) -> Result<(Self, Vec<String>)> {
        let map = read_object(file, &finite(text))?;
        let mut keys = Keys::new(file, &map);
        let mut kinds: Vec<(&str, &str)> = TABLES.iter().map(|name| (*name, "table")).collect();
        kinds.push(("ScoreSdeVeScheduler", "ve"));
        kinds.extend(["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"].map(|name| (name, "edm")));
        let found = match keys.choice("_class_name", &kinds)? {
            "ve" => exploding(&mut keys)?,
            "edm" => karras(&mut keys)?,
            _ => table(&mut keys)?,
        };
        let warnings = undone(&mut keys)?;
        Ok((found, warnings))
    }

    /// The time that the network is shown at `lambda` = ln(sigma/alpha), which must be in its range.
    pub fn time_at(&self, lambda: f64) -> Result<f64> {
        let (noisy, clean) = self.range;
        if !(lambda <= noisy + 1e-6 && lambda >= clean - 1e-6) {
            let wanted = format!("{} to {}, on which the network was trained", clean.exp(), noisy.exp());
            return Err(Error::input("sigma/alpha", lambda.exp(), wanted));
        }
        Ok(match &self.timestep {
            Timestep::Sigma => lambda.exp(),
            Timestep::QuarterLogSigma => lambda / 4.0,
            Timestep::Feature { .. } => self.time_of(self.schedule.time_at(lambda)),
            Timestep::Table(table) => {
                let after = table.partition_point(|l| *l < lambda);
                match (after.checked_sub(1).map(|i| (i, table[i])), table.get(after)) {
                    (Some((i, low)), Some(high)) => i as f64 + (lambda - low) / (high - low),
                    (None, _) => 0.0,
                    (Some((last, _)), None) => last as f64,
                }
            }
        })
    }

    /// The time that the network is shown at time `t` of its schedule.
    pub fn time_of(&self, t: f64) -> f64 {
        match self.timestep {
            Timestep::Feature { feature, scale } => scale * feature.at(&self.schedule, t),
            _ => t,
        }
    }

    /// The score as a function of the state and of the network at `lambda` = ln(sigma/alpha).
    pub fn score_coeffs(&self, lambda: f64) -> NetCoeffs {
        self.preconditioning.score_coeffs(self.prediction, &self.schedule, self.schedule.time_at(lambda))
    }

    /// The training steps that the library's scheduler of this class takes in `steps` steps, falling; 1 to as many as
    /// there are. A scheduler without a table has none.
    pub fn timesteps(&self, steps: usize) -> Result<Vec<usize>> {
        let Timestep::Table(table) = &self.timestep else {
            return Err(Error::input("training steps", "none", "a scheduler with a table of betas"));
        };
        let count = table.len();
        if !(1..=count).contains(&steps) {
            return Err(Error::input("steps", steps, format!("1 to {count}")));
        }
        let even = |x: f64| x.round_ties_even() as usize;
        let open = matches!(self.spacing, Spacing::LeadingOpen | Spacing::LinspaceOpen);
        let points = steps + usize::from(open);
        let all = 0..points;
        let mut found: Vec<usize> = match self.spacing {
            Spacing::Leading | Spacing::LeadingOpen => {
                all.rev().map(|i| (i * (count / points) + self.offset).min(count - 1)).collect()
            }
            Spacing::Trailing => {
                // The difference of the first two, as numpy's arange has it: its rounding decides ties.
                let top = count as f64;
                let each = (top - top / steps as f64) - top;
                all.map(|i| even(top + i as f64 * each) - 1).collect()
            }
            Spacing::Linspace | Spacing::LinspaceOpen => {
                let each = if points == 1 { 0.0 } else { (count - 1) as f64 / (points - 1) as f64 };
                all.rev().map(|i| even(i as f64 * each)).collect()
            }
        };
        found.truncate(steps);
        Ok(found)
    }

    /// The times at which `schedule` has the sigma/alpha of [`Scheduler::timesteps`].
    pub fn noise_times(&self, schedule: &Schedule, steps: usize) -> Result<Vec<f64>> {
        let steps_of = self.timesteps(steps)?;
        let Timestep::Table(table) = &self.timestep else { return Ok(Vec::new()) };
        let times: Vec<f64> = steps_of.into_iter().map(|i| schedule.time_at(table[i])).collect();
        match times.windows(2).find(|pair| pair[0] <= pair[1]) {
            None => Ok(times),
            Some(_) => Err(Error::input("steps", steps, "fewer: two of its training steps are the same")),
        }
    }
}

fn exploding(keys: &mut Keys) -> Result<Scheduler> {
    let sigma_min = keys.number("sigma_min", Some(0.01))?;
    let sigma_max = keys.number("sigma_max", Some(1348.0))?;
    let schedule = Schedule::Ve { sigma_min, sigma_max };
    schedule.validate().map_err(|e| e.in_file(keys.file))?;
    let (prediction, range) = (Prediction::Score, (sigma_max.ln(), sigma_min.ln()));
    Ok(Scheduler::without_table(schedule, Timestep::Sigma, prediction, Preconditioning::None, range))
}

fn karras(keys: &mut Keys) -> Result<Scheduler> {
    let sigma_data = keys.number("sigma_data", Some(0.5))?;
    let preconditioning = Preconditioning::Edm { sigma_data };
    preconditioning.validate().map_err(|e| e.in_file(keys.file))?;
    let (low, high) = (keys.number("sigma_min", Some(0.002))?, keys.number("sigma_max", Some(80.0))?);
    Schedule::Edm.check_range(high, low).map_err(|e| e.in_file(keys.file))?;
    // What is wrapped around the network, or that of the opposite sign.
    let names = [("epsilon", Prediction::X0), ("v_prediction", Prediction::V)];
    let prediction = either(keys, "prediction_type", &names)?.unwrap_or(Prediction::X0);
    let (time, range) = (Timestep::QuarterLogSigma, (high.ln(), low.ln()));
    Ok(Scheduler::without_table(Schedule::Edm, time, prediction, preconditioning, range))
}

fn table(keys: &mut Keys) -> Result<Scheduler> {
    let steps = "a whole number in 1 to 100000";
    let count = keys.maybe("num_train_timesteps", steps, |v| size_in(v, &(1..=100_000)))?.unwrap_or(1000);
    let (schedule, betas) = betas(keys, count)?;
    let levels = levels(keys, &betas)?;
    let names = [("epsilon", Prediction::Eps), ("sample", Prediction::X0), ("v_prediction", Prediction::V)];
    let prediction = either(keys, "prediction_type", &names)?.unwrap_or(Prediction::Eps);
    like_a_table(keys, prediction)?;
    let spacing = spacing(keys)?;
    let offset = keys.maybe("steps_offset", "a whole number in 0 to 1000", |v| size_in(v, &(0..=1000)))?;
    Ok(Scheduler {
        schedule,
        prediction,
        preconditioning: Preconditioning::None,
        range: (levels[levels.len() - 1], levels[0]),
        timestep: Timestep::Table(levels),
        spacing,
        offset: offset.unwrap_or(0),
        learned: keys.map.get("variance_type").and_then(Value::as_str) == Some("learned_range"),
    })
}

/// The class that is named; what is none of [`TABLES`] was refused before.
fn class<'a>(keys: &Keys<'a>) -> &'a str {
    keys.map.get("_class_name").and_then(Value::as_str).unwrap_or_default()
}

/// Refuses what would give the network's time or output another meaning than a table of betas does.
fn like_a_table(keys: &mut Keys, prediction: Prediction) -> Result<()> {
    let no = |v: &Value| (v.as_bool() == Some(false)).then_some(());
    keys.maybe("rescale_betas_zero_snr", "false: a step of noise alone has no score", no)?;
    keys.maybe("use_flow_sigmas", "false: the noise of a flow is that of no table of betas", no)?;
    // The library shows a network of any other prediction the training step all the same.
    if prediction == Prediction::V {
        let wanted = "\"discrete\" with v_prediction: else the network's time is ln(sigma)/4";
        let discrete = |v: &Value| (v.as_str() == Some("discrete")).then_some(());
        keys.maybe("timestep_type", wanted, discrete)?;
    }
    Ok(())
}

/// How the class spreads its steps.
fn spacing(keys: &mut Keys) -> Result<Spacing> {
    let names =
        [("leading", Spacing::Leading), ("trailing", Spacing::Trailing), ("linspace", Spacing::Linspace)];
    let said = either(keys, "timestep_spacing", &names)?;
    let class = class(keys);
    let one_of = |first: [&str; 3]| first.iter().any(|name| class.starts_with(name));
    // The library's default: that of DDPM, DDIM and PNDM, and that of the solvers.
    let usual = if one_of(["DDPM", "DDIM", "PNDM"]) { Spacing::Leading } else { Spacing::Linspace };
    // This one has one spacing, and does not look at the key.
    let fixed = class == "DPMSolverSinglestepScheduler";
    let found = if fixed { Spacing::Linspace } else { said.unwrap_or(usual) };
    let open = one_of(["DPMSolver", "DEIS", "UniPC"]);
    Ok(match found {
        Spacing::Leading if open => Spacing::LeadingOpen,
        Spacing::Linspace if open => Spacing::LinspaceOpen,
        as_it_is => as_it_is,
    })
}

/// Warns of what the library would do to a prediction, or to where steps lie, and is not done here.
fn undone(keys: &mut Keys) -> Result<Vec<String>> {
    let cut = "a prediction that was cut is no score";
    let placed = "levels are a run's own, or those of timestep_spacing";
    let mut all = Vec::new();
    // Classes in which it is true where it is not said.
    let clips = ["DDPMScheduler", "DDIMScheduler", "DDPMParallelScheduler"].contains(&class(keys));
    if clips && !keys.map.contains_key("clip_sample") {
        all.push(("clip_sample, true unless said,", cut));
    }
    let sigmas = ["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"];
    let cuts = ["clip_sample", "thresholding"].map(|key| (key, cut));
    for (key, why) in cuts.into_iter().chain(sigmas.map(|key| (key, placed))) {
        if keys.maybe(key, "true or false", Value::as_bool)? == Some(true) {
            all.push((key, why));
        }
    }
    if keys.maybe("interpolation_type", "a name", Value::as_str)? == Some("log_linear") {
        all.push(("interpolation_type log_linear", placed));
    }
    if keys.maybe("lambda_min_clipped", "a number", Value::as_f64)?.is_some() {
        all.push(("lambda_min_clipped", placed));
    }
    let file = keys.file.display();
    Ok(all.into_iter().map(|(what, why)| format!("{file}: {what} is not done: {why}")).collect())
}

/// The text with null for -Infinity, which JSON does not have, and which the library writes where it clips no lambda.
fn finite(text: &str) -> Cow<'_, str> {
    let key = "\"lambda_min_clipped\":";
    let Some((before, after)) = text.split_once(key) else { return Cow::Borrowed(text) };
    match after.trim_start().strip_prefix("-Infinity") {
        None => Cow::Borrowed(text),
        Some(rest) => Cow::Owned(format!("{before}{key} null{rest}")),
    }
}

/// A choice that may be absent.
fn either<T: Copy>(keys: &mut Keys, key: &'static str, names: &[(&str, T)]) -> Result<Option<T>> {
    match keys.map.contains_key(key) {
        true => keys.choice(key, names).map(Some),
        false => Ok(None),
    }
}

/// The variance added in each training step, and the schedule whose frame they share.
fn betas(keys: &mut Keys, count: usize) -> Result<(Schedule, Vec<f64>)> {
    let usual = Schedule::VpLinear { b0: 0.1, b1: 20.0 };
    let trained = keys.maybe("trained_betas", "a list of numbers, or null", |v| {
        v.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>()
    })?;
    if let Some(betas) = trained {
        return Ok((usual, betas));
    }
    // The library's defaults, of which Heun's are those of Stable Diffusion.
    let ends = if class(keys) == "HeunDiscreteScheduler" { (0.00085, 0.012) } else { (1e-4, 0.02) };
    let (start, end) = (keys.number("beta_start", Some(ends.0))?, keys.number("beta_end", Some(ends.1))?);
    let kinds = ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"].map(|name| (name, name));
    let along = |from: f64, to: f64| {
        let each = (to - from) / (count.max(2) - 1) as f64;
        (0..count).map(move |i| from + i as f64 * each)
    };
    Ok(match either(keys, "beta_schedule", &kinds)?.unwrap_or("linear") {
        "scaled_linear" => (usual, along(start.sqrt(), end.sqrt()).map(|b| b * b).collect()),
        "squaredcos_cap_v2" => {
            let kept = |i: usize| {
                ((i as f64 / count as f64 + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2)
            };
            let betas = (0..count).map(|i| (1.0 - kept(i + 1) / kept(i)).min(0.999)).collect();
            (Schedule::VpCosine { c: 0.008 }, betas)
        }
        "sigmoid" => (usual, along(-6.0, 6.0).map(|x| start + (end - start) / (1.0 + (-x).exp())).collect()),
        _ => {
            let rates = Schedule::VpLinear { b0: start * count as f64, b1: end * count as f64 };
            (if rates.validate().is_ok() { rates } else { usual }, along(start, end).collect())
        }
    })
}

/// ln(sigma/alpha) after each step, of alpha^2 = the product of 1 - beta.
fn levels(keys: &Keys, betas: &[f64]) -> Result<Vec<f64>> {
    if let Some(i) = betas.iter().position(|b| !(*b > 0.0 && *b < 1.0)) {
        let what = format!("beta of training step {i}");
        return Err(Error::file(keys.file, what, betas[i], "above 0 and below 1"));
    }
    if betas.is_empty() {
        return Err(Error::file(keys.file, "trained_betas", "an empty list", "one number a training step"));
    }
    let mut log_kept = 0.0; // ln alpha^2
    let mut all = Vec::with_capacity(betas.len());
    for beta in betas {
        log_kept += (-beta).ln_1p();
        all.push(0.5 * ((-f64::exp_m1(log_kept)).ln() - log_kept));
    }
    match all.iter().position(|l| l.abs() > 20.0) {
        None => Ok(all),
        Some(i) => {
            let what = format!("sigma/alpha of training step {i}");
            Err(Error::file(keys.file, what, all[i].exp(), "2e-9 to 4.8e8"))
        }
    }
}
