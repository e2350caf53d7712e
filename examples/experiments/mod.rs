//! Experiments with Feynman-Kac correctors: an example runs each in full, the tests on a small scale, and the tests
//! of the samplers judge by the same closed forms.

// Each example uses a part of it, the tests another.
#![allow(dead_code)]

#[cfg(feature = "cli")]
pub mod conditioned;
#[cfg(feature = "cli")]
pub mod digits;
pub mod line;
#[cfg(feature = "cli")]
pub mod pages;
pub mod particles;
pub mod plane;

use std::path::Path;

use feynkac::{Error, Method, Model, Options, Outcome, Result};

/// How much is done of it.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Particles of a run.
    pub particles: usize,
    /// Steps.
    pub steps: usize,
    /// Independent runs of which each figure is the mean, two or more.
    pub runs: usize,
    /// Seed.
    pub seed: u64,
}

/// Mean of independent figures and its standard error.
pub fn mean_and_error(figures: impl ExactSizeIterator<Item = f64> + Clone) -> (f64, f64) {
    let n = figures.len() as f64;
    let mean = figures.clone().sum::<f64>() / n;
    let spread = figures.map(|figure| (figure - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (spread / n).sqrt())
}

/// Weights that sum to one.
pub fn normalised(log_w: &[f32]) -> Vec<f64> {
    let top = log_w.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let w: Vec<f64> = log_w.iter().map(|&l| (f64::from(l) - f64::from(top)).exp()).collect();
    let total: f64 = w.iter().sum();
    w.iter().map(|w| w / total).collect()
}

/// Options over what the network `model` at `path` was trained on.
pub fn trained(model: &Model, path: &Path, method: Method, size: Size) -> Result<Options> {
    let (schedule, t_max, t_min) = model.schedule().ok_or_else(|| {
        Error::input("network", path.display().to_string(), "one with a schedule of its own")
    })?;
    let mut options = Options::new(method, schedule);
    (options.t_max, options.t_min, options.seed) = (t_max, t_min, size.seed);
    (options.groups, options.particles, options.steps) = (size.runs, size.particles, size.steps);
    Ok(options)
}

/// Effective sample size at the end, the mean over groups of `particles`; all of them where nothing was weighed.
pub fn last_ess(drawn: &Outcome, particles: usize) -> f64 {
    let last = |ess: &Vec<f64>| ess.last().copied().unwrap_or(particles as f64);
    drawn.ess.iter().map(last).sum::<f64>() / drawn.ess.len() as f64
}

/// Weights of all particles, each group's summing to 1 / groups.
pub fn shares(log_w: &[f32], groups: usize) -> Vec<f64> {
    log_w.chunks(log_w.len() / groups).flat_map(normalised).map(|w| w / groups as f64).collect()
}
