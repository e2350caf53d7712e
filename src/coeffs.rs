//! From schedule, grid and options to the numbers of each step, in f64: docs/maths.md (7), (8).

use feynkac_kernels::methods::StepCoeffs;
use feynkac_kernels::models::MAX_MODELS;
use feynkac_kernels::passes::init::Start;

use crate::error::{Error, Result};
use crate::langevin::Rows;
use crate::model::{Model, Noise};
use crate::options::{Final, Options, Policy, Rule, State};

/// The noise levels of a run: one more than rows of its coefficient table, which are its steps, and the Langevin moves
/// after them; a move ends at the level where it starts.
pub fn levels(options: &Options) -> Result<Vec<Noise>> {
    let times = times(options)?;
    let rows = Rows::of(options, &times);
    let noise = |t: f64| Noise { t, alpha: options.schedule.alpha(t), sigma: options.schedule.sigma(t) };
    let reached = |step: usize| std::iter::repeat_n(noise(times[step + 1]), rows.of_step(step));
    Ok([noise(times[0])].into_iter().chain((0..rows.steps()).flat_map(reached)).collect())
}

/// The rows of its steps.
pub fn rows(options: &Options) -> Result<Rows> {
    Ok(Rows::of(options, &times(options)?))
}

fn times(options: &Options) -> Result<Vec<f64>> {
    options.grid.times(&options.schedule, options.steps, options.t_max, options.t_min)
}

/// Whether the run weighs particles at all.
pub fn weighs(options: &Options) -> bool {
    options.weights && options.method.row().needs.weights
}

/// The coefficients of every step of particles with `dim` coordinates, and of every Langevin move: between two levels
/// that are the same.
pub fn steps(options: &Options, levels: &[Noise], dim: usize) -> Result<Vec<StepCoeffs>> {
    let (zeta, d) = (options.zeta(), dim as f64);
    let exponents = options.exponents();
    let total: f64 = exponents.iter().sum();
    let mut beta = [0.0; MAX_MODELS];
    beta[..exponents.len()].copy_from_slice(&exponents);
    let schedule = &options.schedule;
    let last = levels.len().saturating_sub(2);
    let count = levels.windows(2).filter(|pair| pair[0].t != pair[1].t).count();
    let (mut step, mut began) = (0, f64::NAN);
    let steps = levels.windows(2).enumerate().map(|(i, pair)| {
        let (t, s) = (pair[0].t, pair[1].t);
        let h = t - s;
        let moves = h == 0.0;
        if !moves {
            (step, began) = (step + 1, t);
        }
        // What ends a run comes after the last step's moves.
        let waits = i != last && (moves || step == count);
        let share = if waits { NEVER } else { share(options, step - 1, i == last, t) };
        let (noisy, clean) = (schedule.diffusion_sq(t), schedule.diffusion_sq(s));
        let active = f64::from(u8::from(weighs(options) && active(options, began)));
        let noise = zeta * (h * noisy).sqrt();
        let back_variance = h * zeta * zeta * clean;
        let shrunk = (total - 1.0) * d * (pair[0].alpha / pair[1].alpha).ln();
        let (rate_old, rate_new, constant) = match options.rule {
            Rule::Left => (0.5 * h * noisy, 0.0, shrunk),
            Rule::Right => (0.0, 0.5 * h * clean, shrunk),
            Rule::Trap => (0.25 * h * noisy, 0.25 * h * clean, shrunk),
            Rule::Exact => (0.0, 0.0, d * (noise.ln() - 0.5 * back_variance.ln())),
        };
        let row = StepCoeffs {
            shrink: 1.0 - h * schedule.drift_rate(t),
            drift: 0.5 * h * (1.0 + zeta * zeta) * noisy,
            noise,
            rate_old: active * rate_old,
            rate_new: active * rate_new,
            constant: if active > 0.0 { constant } else { 0.0 },
            exact: active,
            back_shrink: 1.0 + h * schedule.drift_rate(s),
            back_drift: 0.5 * h * (zeta * zeta - 1.0) * clean,
            back_precision: if back_variance > 0.0 { 1.0 / back_variance } else { 0.0 },
            ess_share: share,
            beta,
        };
        if moves { options.langevin.row(pair[0], row, active) } else { row }
    });
    let steps: Vec<StepCoeffs> = steps.collect();
    match steps.iter().position(|c| !c.row().iter().all(|v| v.is_finite())) {
        Some(i) => Err(Error::input(
            "step coefficients",
            format!("not finite in f32 at step {i} (noise time {})", levels[i].t),
            "a range of noise times on which the schedule stays finite",
        )),
        None => Ok(steps),
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
    let exponents = options.exponents();
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
    let weighted = weighs(options) && models.iter().all(|m| matches!(m, Model::Analytic(_)));
    let offset = if weighs(options) && !weighted { normaliser } else { 0.0 };
    fits(options, noise, models, &mean, precision.recip().sqrt())?;
    Ok(Start { mean, std: precision.recip().sqrt(), weighted, offset })
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
