//! From schedule, grid and options to the numbers of each step, in f64: docs/maths.md (7), (8).

use std::cmp::Ordering;

use feynkac_kernels::methods::{RANGE, SIDE, StepCoeffs};
use feynkac_kernels::models::MAX_MODELS;
use feynkac_kernels::passes::init::{First, Start};
use feynkac_kernels::passes::step::Named;

use crate::aim::Says;
use crate::error::{Error, Result};
use crate::langevin::Rows;
use crate::model::{Model, Noise};
use crate::options::{Final, Options, Policy, Rule, State};
use crate::registry::Method;
use crate::twist;

/// The noise levels of a run: one more than rows of its coefficient table, which are its steps, and the Langevin moves
/// after them; a move ends at the level where it starts.
pub fn levels(options: &Options) -> Result<Vec<Noise>> {
    let times = times(options)?;
    let rows = Rows::of(options, &times);
    let noise = |t: f64| twist::noise(&options.schedule, t);
    let reached = |step: usize| std::iter::repeat_n(noise(times[step + 1]), rows.of_step(step));
    Ok([noise(times[0])].into_iter().chain((0..rows.steps()).flat_map(reached)).collect())
}

/// The rows of its steps.
pub fn rows(options: &Options) -> Result<Rows> {
    Ok(Rows::of(options, &times(options)?))
}

fn times(options: &Options) -> Result<Vec<f64>> {
    // The last step of a twisted run goes to the clean state.
    let twisted = options.twisting.is_some();
    let steps = options.steps.saturating_sub(usize::from(twisted));
    let mut times = match &options.times {
        Some(own) => given(options, own, steps)?,
        None => options.grid.times(&options.schedule, steps, options.t_max, options.t_min)?,
    };
    times.extend(twisted.then_some(twist::CLEAN));
    Ok(times)
}

/// Noise times of the caller's own, one more than `steps`.
fn given(options: &Options, times: &[f64], steps: usize) -> Result<Vec<f64>> {
    if times.len() != steps + 1 {
        let wanted = format!("{} for {} steps of {}", steps + 1, options.steps, options.method.row().name);
        return Err(Error::input("noise times", times.len(), wanted));
    }
    if let Some(odd) = times.windows(2).find(|pair| pair[0].partial_cmp(&pair[1]) != Some(Ordering::Greater))
    {
        return Err(Error::input("noise times", format!("{} before {}", odd[0], odd[1]), "falling ones"));
    }
    let ends = [times[0], times[steps]];
    if ends != [options.t_max, options.t_min] {
        let wanted = format!("{} to {}, the ends of the run", options.t_max, options.t_min);
        return Err(Error::input("noise times", format!("{} to {}", ends[0], ends[1]), wanted));
    }
    options.schedule.validate()?;
    options.schedule.check_ratio("t_max", options.t_max)?;
    options.schedule.check_ratio("t_min", options.t_min)?;
    Ok(times.to_vec())
}

/// Whether the run weighs particles at all.
pub fn weighs(options: &Options) -> bool {
    options.weights && options.method.row().needs.weights
}

/// The coefficients of every step of particles with `dim` coordinates, and of every Langevin move: between two levels
/// that are the same.
pub fn steps(options: &Options, levels: &[Noise], dim: usize) -> Result<Vec<StepCoeffs>> {
    let mut rows = table(options, levels, dim)?;
    rows.truncate(levels.len().saturating_sub(1));
    Ok(rows)
}

/// The rows of the table: those of the steps and moves, then twice that of the last level, where no step starts.
pub fn table(options: &Options, levels: &[Noise], dim: usize) -> Result<Vec<StepCoeffs>> {
    let last = levels.len() - 1;
    let count = levels.windows(2).filter(|pair| pair[0].t != pair[1].t).count();
    let (mut step, mut began) = (0, f64::NAN);
    let mut rows: Vec<StepCoeffs> = Vec::with_capacity(levels.len() + 1);
    for (i, pair) in levels.windows(2).enumerate() {
        let (t, moves) = (pair[0].t, pair[0].t == pair[1].t);
        if !moves {
            (step, began) = (step + 1, t);
        }
        // What ends a run comes after the last step's moves.
        let (ends, active) = (i + 1 == last, f64::from(u8::from(weighs(options) && active(options, began))));
        let waits = !ends && (moves || step == count);
        let row = StepCoeffs {
            ess_share: if waits { NEVER } else { share(options, step - 1, ends, t) },
            ..row(options, levels, (dim, i), active)
        };
        rows.push(if moves { options.langevin.row(pair[0], row, active) } else { row });
    }
    rows.extend([level(options, levels, last); 2]);
    match rows.iter().position(|c| !c.row().iter().all(|v| v.is_finite())) {
        Some(i) => Err(Error::input(
            "step coefficients",
            format!("not finite in f32 at step {i} (noise time {})", levels[i.min(last)].t),
            "a range of noise times on which the schedule stays finite",
        )),
        None => Ok(rows),
    }
}

/// The numbers of level `at` alone.
fn level(options: &Options, levels: &[Noise], at: usize) -> StepCoeffs {
    let mut beta = [0.0; MAX_MODELS];
    let weights = options.weights_at(levels, at);
    beta[..weights.len()].copy_from_slice(&weights);
    let (schedule, t) = (&options.schedule, levels[at].t);
    let zeta2 = options.zeta().powi(2);
    let side = match options.kernel() {
        Named::Tilted => {
            let scheduled = options.reward_at(levels, at);
            let twice = options.reward.and_then(|reward| reward.drift).map_or(zeta2, |c| 2.0 * c);
            [zeta2, twice, 2.0 * schedule.drift_rate(t) / schedule.diffusion_sq(t), scheduled]
        }
        Named::Transport => [zeta2, 0.0, 0.0, 0.0],
        Named::Plain | Named::Compose | Named::Mixture => [0.0; SIDE],
    };
    StepCoeffs {
        shrink: 1.0,
        drift: 0.0,
        noise: 0.0,
        rate_old: 0.0,
        rate_new: 0.0,
        constant: 0.0,
        exact: 0.0,
        back_shrink: 1.0,
        back_drift: 0.0,
        back_precision: 0.0,
        ess_share: NEVER,
        beta,
        swing_old: 0.0,
        swing_new: 0.0,
        side,
        stretch: 0.0,
        lean_old: 0.0,
        lean_new: 0.0,
        range: [0.0; RANGE],
        width: [0.0; 2],
    }
}

/// Sum of the exponents at level `at`.
fn total(options: &Options, levels: &[Noise], at: usize) -> f64 {
    if options.method == Method::FkcMixture {
        return 1.0;
    }
    options.weights_at(levels, at)[..options.models].iter().sum()
}

/// The numbers of the step from level `i`; its weight counts as `active` says.
fn row(options: &Options, levels: &[Noise], (dim, i): (usize, usize), active: f64) -> StepCoeffs {
    let (zeta, d) = (options.zeta(), dim as f64);
    let schedule = &options.schedule;
    if let Some(twisting) = &options.twisting {
        return twist::row(twisting, (levels, i), dim, level(options, levels, i));
    }
    let (now, next) = (levels[i], levels[i + 1]);
    let (t, s) = (now.t, next.t);
    let h = t - s;
    let (noisy, clean) = (schedule.diffusion_sq(t), schedule.diffusion_sq(s));
    let noise = zeta * (h * noisy).sqrt();
    let back_variance = h * zeta * zeta * clean;
    let total = 0.5 * (total(options, levels, i) + total(options, levels, i + 1));
    let shrunk = (total - 1.0) * d * (now.alpha / next.alpha).ln();
    let (old, new) = match options.rule {
        Rule::Left => (1.0, 0.0),
        Rule::Right => (0.0, 1.0),
        Rule::Trap => (0.5, 0.5),
        Rule::Exact => (0.0, 0.0),
    };
    let constant = match options.rule {
        Rule::Exact => d * (noise.ln() - 0.5 * back_variance.ln()),
        _ => shrunk,
    };
    // These put their own factors of S into what they follow.
    let own = matches!(options.kernel(), Named::Tilted | Named::Transport);
    let (ahead, behind) = if own { (1.0, 1.0) } else { (1.0 + zeta * zeta, zeta * zeta - 1.0) };
    let swings = if options.follows() { active } else { 0.0 };
    StepCoeffs {
        shrink: 1.0 - h * schedule.drift_rate(t),
        drift: 0.5 * h * ahead * noisy,
        noise,
        rate_old: active * (0.5 * old * h * noisy),
        rate_new: active * (0.5 * new * h * clean),
        constant: if active > 0.0 { constant } else { 0.0 },
        exact: active,
        back_shrink: 1.0 + h * schedule.drift_rate(s),
        back_drift: 0.5 * h * behind * clean,
        back_precision: if back_variance > 0.0 { 1.0 / back_variance } else { 0.0 },
        swing_old: swings * old,
        swing_new: swings * new,
        ..level(options, levels, i)
    }
}

/// Whether weights accrue over the step that starts at `t`.
fn active(options: &Options, t: f64) -> bool {
    match options.resample {
        Policy::Window(a, b) => (a..=b).contains(&t),
        _ => true,
    }
}

/// Shares that ask for resampling whatever the ESS, and that never do.
const ALWAYS: f64 = 2.0;
const NEVER: f64 = -1.0;

/// The share of the particles below which the ESS asks for resampling.
fn share(options: &Options, step: usize, last: bool, t: f64) -> f64 {
    if !weighs(options) {
        return NEVER;
    }
    if last {
        return if options.last == Final::Resample { ALWAYS } else { NEVER };
    }
    match options.resample {
        Policy::Never => NEVER,
        Policy::Every => ALWAYS,
        Policy::Ess(share) => share,
        Policy::Interval(n) if (step + 1).is_multiple_of(n) => ALWAYS,
        Policy::Interval(_) => NEVER,
        Policy::Window(..) if active(options, t) => ALWAYS,
        Policy::Window(..) => NEVER,
    }
}

/// The law of the start: the product of the powers of N(alpha m_i, alpha^2 c_i + sigma^2), whose
/// standard deviation is sigma / sqrt(B) where the noise drowns the data: docs/maths.md (7.3).
/// Where every model has a density the draw is weighted exactly; else the log-normaliser of that
/// product stands in.
pub fn start(options: &Options, models: &[Model], noise: Noise) -> Result<Start> {
    let dim = models.first().map_or(0, Model::dim);
    let d = dim as f64;
    let exponents = options.exponents_from();
    if options.method == Method::FkcMixture {
        return mixture_start(options, models, noise, &exponents);
    }
    let moments: Vec<(Vec<f64>, f64)> = models
        .iter()
        .map(|model| {
            let (mean, variance) = model.moments();
            let mean = mean.iter().map(|m| noise.alpha * m).collect();
            (mean, noise.alpha.powi(2) * variance + noise.sigma.powi(2))
        })
        .collect();
    let parts = || exponents.iter().zip(&moments);
    let precision: f64 = parts().map(|(b, (_, v))| b / v).sum();
    if !(precision.is_finite() && precision > 0.0) {
        return Err(Error::input(
            "beta",
            options.beta,
            "exponents whose product of Gaussians at the start is normalisable",
        ));
    }
    let pull = |k: usize| parts().map(|(b, (m, v))| b * m[k] / v).sum::<f64>();
    let mean: Vec<f64> = (0..dim).map(|k| pull(k) / precision).collect();
    let tau = std::f64::consts::TAU;
    let quadratic: f64 = mean.iter().map(|m| m * m * precision).sum::<f64>()
        - parts().map(|(b, (m, v))| b * m.iter().map(|m| m * m).sum::<f64>() / v).sum::<f64>();
    let normaliser = 0.5 * d * (tau / precision).ln() + 0.5 * quadratic
        - parts().map(|(b, (_, v))| b * 0.5 * d * (tau * v).ln()).sum::<f64>();
    let told = |(at, model): (usize, &Model)| {
        !model.outside() || matches!(options.says(at, model), Says::Density | Says::Rate)
    };
    let counts = |(at, _): &(usize, &Model)| exponents.get(*at).is_none_or(|b| *b != 0.0);
    let weighted = weighs(options) && models.iter().enumerate().filter(counts).all(told);
    let offset = if weighs(options) && !weighted { normaliser } else { 0.0 };
    fits(options, noise, models, &mean, precision.recip().sqrt())?;
    let first = first(options, models, noise);
    Ok(Start { mean, std: precision.recip().sqrt(), weighted, offset, first })
}

/// The start of a mixture: a Gaussian of its mean, and of its mean variance per coordinate.
fn mixture_start(options: &Options, models: &[Model], noise: Noise, weights: &[f64]) -> Result<Start> {
    let moments: Vec<(Vec<f64>, f64)> = models.iter().map(Model::moments).collect();
    let dim = models.first().map_or(0, Model::dim);
    let parts = || weights.iter().zip(&moments);
    let centre: Vec<f64> = (0..dim).map(|k| parts().map(|(w, (m, _))| w * m[k]).sum()).collect();
    let apart = |m: &[f64]| m.iter().zip(&centre).map(|(m, c)| (m - c).powi(2)).sum::<f64>() / dim as f64;
    let variance: f64 = parts().map(|(w, (m, v))| w * (v + apart(m))).sum();
    let mean: Vec<f64> = centre.iter().map(|m| noise.alpha * m).collect();
    let std = (noise.alpha.powi(2) * variance + noise.sigma.powi(2)).sqrt();
    fits(options, noise, models, &mean, std)?;
    let first = first(options, models, noise);
    Ok(Start { mean, std, weighted: weighs(options), offset: 0.0, first })
}

/// What each model is taken for at the start, where log-densities are estimated.
fn first(options: &Options, models: &[Model], noise: Noise) -> Vec<First> {
    let one = |model: &Model| {
        let (mean, variance) = model.moments();
        let mean = mean.iter().map(|m| noise.alpha * m).collect();
        First { mean, variance: noise.alpha.powi(2) * variance + noise.sigma.powi(2) }
    };
    if options.estimated(models) == 0 { Vec::new() } else { models.iter().map(one).collect() }
}

/// Mean square per coordinate of the data of all models: the variance of the Gaussian that estimates of log-densities
/// lean on.
pub fn breadth(models: &[Model]) -> f64 {
    let square = |model: &Model| {
        let (mean, variance) = model.moments();
        variance + mean.iter().map(|m| m * m).sum::<f64>() / mean.len() as f64
    };
    models.iter().map(square).sum::<f64>() / models.len() as f64
}

/// Leans the estimates of log-densities on N(0, (alpha^2 breadth + sigma^2) I).
pub fn lean(rows: &mut [StepCoeffs], levels: &[Noise], dim: usize, breadth: f64) {
    let variance = |noise: &Noise| noise.alpha.powi(2) * breadth + noise.sigma.powi(2);
    for (row, pair) in rows.iter_mut().zip(levels.windows(2)) {
        let (old, new) = (variance(&pair[0]), variance(&pair[1]));
        (row.stretch, row.lean_old, row.lean_new) =
            (-0.5 * dim as f64 * (new / old).ln(), 1.0 / old, 1.0 / new);
    }
}

/// Largest number of an f16.
const MOST_F16: f64 = 65_504.0;
/// Standard deviations from the mean that positions may reach.
const REACH: f64 = 6.0;

/// Refuses positions that the state cannot hold: at the start, or at the scale of the data.
fn fits(options: &Options, noise: Noise, models: &[Model], mean: &[f64], std: f64) -> Result<()> {
    let far = |mean: &[f64], std: f64| mean.iter().fold(0.0, |far: f64, m| far.max(m.abs())) + REACH * std;
    let data = models.iter().map(Model::moments).map(|(mean, variance)| far(&mean, variance.sqrt()));
    let reach = data.fold(far(mean, std), f64::max);
    if options.state == State::F32 || reach <= MOST_F16 {
        return Ok(());
    }
    let found = format!("f16 with positions up to {reach:.0} at noise {:.4}", noise.sigma);
    Err(Error::input("state", found, format!("f32, or positions up to {MOST_F16}")))
}
