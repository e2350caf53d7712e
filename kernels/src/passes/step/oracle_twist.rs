//! A step of the twisted sampler in f64, from the formulas of docs/maths.md (13): densities as they are defined. No
//! kernel code is shared.

use super::oracle::At;
use crate::methods::StepCoeffs;
use crate::models::twist::Potential;
use crate::prims::philox::oracle::{Stream, normal, uniform, words};
use crate::prims::philox::{purpose, tag};

/// What the model and the twist say at a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Score of the model `[dim]`.
    pub score: Vec<f64>,
    /// Gradient of log psi `[dim]`.
    pub pull: Vec<f64>,
    /// log psi.
    pub log_psi: f64,
}

/// One particle.
#[derive(Clone, Debug, PartialEq)]
pub struct Twisted {
    /// Position `[dim]`.
    pub x: Vec<f64>,
    /// What was said there.
    pub told: Told,
    /// Log-weight.
    pub log_w: f64,
}

/// What is carried in the place of `now` where `by` steers and nothing leans: ln of the product of potentials for log psi,
/// and at the head of the gradient what the next of them is made of. `before` was carried, but for the first state; at the
/// clean state the product is what is wanted.
pub fn steer(by: Potential, before: Option<&Told>, now: Told, clean: bool) -> Told {
    let mut pull = vec![0.0; now.pull.len()];
    let log_psi = match (by, before) {
        (Potential::Difference, _) => now.log_psi,
        (_, None) => {
            pull[0] = now.log_psi;
            now.log_psi
        }
        (by, Some(before)) => {
            pull[0] = match by {
                Potential::Max => before.pull[0].max(now.log_psi),
                _ => before.pull[0] + now.log_psi,
            };
            if clean { now.log_psi } else { before.log_psi + pull[0] }
        }
    };
    Told { log_psi, pull, score: now.score }
}

/// What a step puts in its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pins<'a> {
    /// Nothing.
    None,
    /// Coordinates that are known, by their number and value, and ln of the density by which those values were drawn.
    Known(&'a [(usize, f64)], f64),
    /// A block of these coordinates, at one of these places.
    Block(&'a [f64], &'a [usize]),
}

/// log N(x; mean, variance).
pub fn log_normal(x: f64, mean: f64, variance: f64) -> f64 {
    -0.5 * ((x - mean).powi(2) / variance + (std::f64::consts::TAU * variance).ln())
}

/// The mean of a proposal, `leant`, whose denoised state stays within the range of `c`.
fn ranged(parent: &Twisted, c: &StepCoeffs, mean: &[f64], leant: Vec<f64>) -> Vec<f64> {
    let [own_x, own_score, low, high, _] = c.range;
    let within = |k: usize| {
        let denoised = own_x * parent.x[k] + own_score * parent.told.score[k];
        mean[k] + (denoised + leant[k] - mean[k]).clamp(low, high) - denoised
    };
    (0..mean.len()).map(within).collect()
}

/// Mean and variance of the model's kernel, and those of the proposal, at the old state.
fn kernels(parent: &Twisted, c: &StepCoeffs, said: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<f64>, Vec<f64>) {
    let width = |k: usize| said.get(k).map_or(1.0, |said| (c.width[0] + c.width[1] * said).exp());
    let widths: Vec<f64> = (0..parent.x.len()).map(width).collect();
    let proposed: Vec<f64> = widths.iter().map(|width| (width * c.noise).powi(2)).collect();
    let own: Vec<f64> = proposed.iter().map(|v| v / (1.0 + c.side[2]).powi(2)).collect();
    let mean: Vec<f64> =
        parent.x.iter().zip(&parent.told.score).map(|(x, s)| c.shrink * x + c.drift * s).collect();
    let by = |k: usize| c.side[0] * widths[k].powi(2) * parent.told.pull[k];
    let leant: Vec<f64> = mean.iter().enumerate().map(|(k, m)| m + by(k)).collect();
    let leant = if c.range[4] > 0.0 { ranged(parent, c, &mean, leant) } else { leant };
    (mean, own, leant, proposed)
}

/// log p(x|parent) - log q(x|parent) of the model's kernel and the proposal, as broad as the model has `said`, if it did. A
/// kernel without noise is its own proposal.
pub fn ratio(parent: &Twisted, x: &[f64], c: &StepCoeffs, said: &[f64]) -> f64 {
    let (mean, own, leant, proposed) = kernels(parent, c, said);
    let one = |k: usize| log_normal(x[k], mean[k], own[k]) - log_normal(x[k], leant[k], proposed[k]);
    if c.noise > 0.0 { (0..x.len()).map(one).sum() } else { 0.0 }
}

/// The place of a block that a uniform number draws, and ln of its mean density over places.
fn place(motif: &[f64], places: &[usize], mean: &[f64], variance: f64, drawn: f64) -> (usize, f64) {
    let fit = |at: &usize| motif.iter().zip(&mean[*at..]).map(|(y, m)| log_normal(*y, *m, variance)).sum();
    let fits: Vec<f64> = places.iter().map(fit).collect();
    let most = fits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = fits.iter().map(|f| (f - most).exp()).sum();
    let mut sum = 0.0;
    let found = fits.iter().position(|f| {
        sum += (f - most).exp();
        sum >= drawn * total
    });
    (places[found.unwrap_or(places.len() - 1)], most + (total / places.len() as f64).ln())
}

/// Moves `parent` to the next level; `evaluate` says what model and twist do at x'.
pub fn step(
    parent: &Twisted,
    at: At,
    c: &StepCoeffs,
    pins: Pins,
    evaluate: impl Fn(&[f64]) -> Told,
) -> Twisted {
    step_as_broad(parent, at, c, &[], pins, evaluate)
}

/// The same where the model has `said` how broad the step is `[dim]`; nothing where it does not.
pub fn step_as_broad(
    parent: &Twisted,
    at: At,
    c: &StepCoeffs,
    said: &[f64],
    pins: Pins,
    evaluate: impl Fn(&[f64]) -> Told,
) -> Twisted {
    let dim = parent.x.len();
    let stream =
        Stream { seed: at.seed, slot: at.slot as u32, step: at.step as u32, tag: tag(purpose::MOVE, 0) };
    let (mean, own, leant, proposed) = kernels(parent, c, said);
    let mut x: Vec<f64> = (0..dim).map(|k| leant[k] + proposed[k].sqrt() * normal(stream, k, dim)).collect();
    let mut gained = ratio(parent, &x, c, said);
    match pins {
        Pins::None => (),
        Pins::Known(known, log_q) => {
            gained -= log_q;
            for (k, value) in known {
                x[*k] = *value;
                gained += log_normal(*value, mean[*k], own[*k]);
            }
        }
        Pins::Block(motif, places) => {
            let drawn = uniform(words(Stream { tag: tag(purpose::PLACE, 0), ..stream }, 0)[0]);
            let (at, log_w) = place(motif, places, &mean, own[0], drawn);
            x[at..at + motif.len()].copy_from_slice(motif);
            gained += log_w;
        }
    }
    let told = evaluate(&x);
    let log_w = parent.log_w + gained - parent.told.log_psi + told.log_psi;
    Twisted { x, told, log_w }
}
