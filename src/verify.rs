//! Walks a run on the device and on the f64 oracles in lockstep. Each oracle is fed the device's
//! own inputs, because rounding can flip an ancestor, and from there two right runs part ways.

pub mod passes;
mod paths;
mod resampling;
mod weighed;

use std::fmt;

use feynkac_kernels::device::Device;
use feynkac_kernels::methods::StepCoeffs;
use feynkac_kernels::passes::init;
use feynkac_kernels::passes::step::oracle::{At, Particle, step as oracle_step};

use crate::coeffs::weighs;
use crate::error::{Error, Result};
use crate::model::{Model, Noise};
use crate::options::{Options, Rule, State};
use crate::run::Run;
use crate::target::{Scales, Target};

/// Where the device left its oracle.
#[derive(Clone, Debug, PartialEq)]
pub struct Disagreement {
    /// The pass, with the quantity.
    pub pass: &'static str,
    /// Step.
    pub step: usize,
    /// Group and slot.
    pub at: (usize, usize),
    /// The device's number, the oracle's, and the difference allowed.
    pub found: f64,
    /// The oracle's number.
    pub wanted: f64,
    /// What rounding explains.
    pub allowed: f64,
}

/// What a walk found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Steps walked.
    pub steps: usize,
    /// Numbers compared.
    pub compared: usize,
    /// Largest difference as a share of what rounding explains.
    pub worst: f64,
    /// The first pass that disagrees.
    pub first: Option<Disagreement>,
}

impl Verdict {
    /// True where every number is explained by rounding.
    pub fn agrees(&self) -> bool {
        self.first.is_none()
    }

    #[allow(clippy::too_many_arguments)]
    fn compare(
        &mut self,
        pass: &'static str,
        step: usize,
        at: (usize, usize),
        found: impl Into<f64>,
        wanted: f64,
        allowed: f64,
    ) {
        let found = found.into();
        let difference = (found - wanted).abs();
        self.compared += 1;
        if difference <= allowed {
            self.worst = self.worst.max(difference / allowed.max(f64::MIN_POSITIVE));
        } else if self.first.is_none() {
            self.first = Some(Disagreement { pass, step, at, found, wanted, allowed });
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} steps, {} numbers compared", self.steps, self.compared)?;
        match &self.first {
            None => write!(f, ": all agree, at most {:.0} % of what rounding allows", 100.0 * self.worst),
            Some(d) => write!(
                f,
                ": first disagreement in {} at step {}, group {}, slot {}: found {}, wanted {}, allowed {:e}",
                d.pass, d.step, d.at.0, d.at.1, d.found, d.wanted, d.allowed
            ),
        }
    }
}

/// What the device carries, read back.
struct Snapshot {
    x: Vec<f32>,
    scores: Vec<f32>,
    log_w: Vec<f32>,
    log_p: Vec<f32>,
    ancestors: Vec<u32>,
    norms: Vec<f32>,
}

/// Scores and log-densities of all models at one level in f64.
struct Judge<'a> {
    models: &'a [Model],
    levels: &'a [Noise],
}

const EPS: f64 = f32::EPSILON as f64;

/// What keeping a number of the state can do to it: half of its last bit, where that is not an f32's own.
fn kept(run: &Run, value: f64) -> f64 {
    match run.options.state {
        State::F32 => 0.0,
        // 11 bits of precision, down to 2^-14.
        State::F16 => (2.0_f64).powi(-11) * value.abs().max((2.0_f64).powi(-14)),
    }
}

impl Judge<'_> {
    /// (`[model][dim]` scores, `[model]` log-densities).
    fn evaluate(&self, x: &[f64], level: usize) -> Result<(Vec<Vec<f64>>, Vec<f64>)> {
        let noise = self.levels[level];
        let mut scores = Vec::new();
        let mut logs = Vec::new();
        for model in self.models {
            match model {
                Model::Analytic(target) => {
                    scores.push(target.score(x, noise.alpha, noise.sigma));
                    logs.push(target.log_density(x, noise.alpha, noise.sigma));
                }
                Model::Network(network) => {
                    let own = &network.config.schedule;
                    let t = own.time_at((noise.sigma / noise.alpha).ln());
                    let ratio = own.alpha(t) / noise.alpha;
                    let scaled: Vec<f64> = x.iter().map(|x| ratio * x).collect();
                    let out = network.weights.forward(&network.config, &scaled, t, network.class)?;
                    scores.push(out.score.iter().map(|s| ratio * s).collect());
                    logs.push(0.0);
                }
                Model::Foreign(_) => {
                    return Err(Error::input("model", "a foreign model", "one with an f64 oracle"));
                }
            }
        }
        Ok((scores, logs))
    }

    /// What rounding can do to (a coordinate of the score, the log-density) of model `m` at `x`:
    /// every component's exponent is off by a few eps of itself, which shifts its share.
    fn slack(&self, m: usize, x: &[f64], level: usize) -> (f64, f64) {
        let Noise { alpha, sigma, .. } = self.levels[level];
        let norm = x.iter().map(|x| x.abs()).fold(0.0, f64::max);
        match &self.models[m] {
            Model::Analytic(Target::Mixture(mix)) => {
                let shares = mix.responsibilities(x, alpha, sigma);
                let (mut exponent, mut pull) = (1.0_f64, 0.0_f64);
                for (k, share) in shares.iter().enumerate().filter(|(_, s)| **s > 1.0e-12) {
                    let mut own = 0.0;
                    for (d, x) in x.iter().enumerate() {
                        let variance = (alpha * mix.scale(k, d)).powi(2) + sigma * sigma;
                        let reach = (alpha * mix.mean(k)[d]).abs() + norm;
                        own += (alpha * mix.mean(k)[d] - x).abs() * reach / variance;
                        pull = pull.max(reach / variance);
                    }
                    let _ = share;
                    exponent = exponent.max(own);
                }
                let scale_free = matches!(mix.scales, Scales::Isotropic(_));
                let c = if scale_free { 8.0 } else { 16.0 };
                (c * EPS * pull * (4.0 + exponent), c * EPS * (4.0 + exponent + x.len() as f64))
            }
            Model::Analytic(Target::Gaussian(g)) => {
                let smallest = g.covariance.values.iter().copied().fold(f64::INFINITY, f64::min);
                let variance = alpha * alpha * smallest + sigma * sigma;
                let d = x.len() as f64;
                let reach = norm + alpha * g.mean.iter().map(|m| m.abs()).fold(0.0, f64::max);
                (16.0 * EPS * d * reach / variance, 16.0 * EPS * d * (d + reach * reach / variance))
            }
            // A dense network in f32: 1e-4 of the denoiser's size, as the shipped ones promise.
            _ => (1.0e-4 * (norm + 1.0) / (sigma * sigma).min(sigma), 0.0),
        }
    }
}

/// Walks every step of a run.
pub fn verify(device: &Device, models: &[Model], options: &Options) -> Result<Verdict> {
    walk(device, models, options, usize::MAX, |run, step| run.advance(step))
}

/// The same of `most` steps at most, which are taken by `advance`.
fn walk(
    device: &Device,
    models: &[Model],
    options: &Options,
    most: usize,
    advance: impl Fn(&Run, usize) -> Result<()>,
) -> Result<Verdict> {
    let run = Run::new(device, models, options)?;
    let judge = Judge { models, levels: &run.levels };
    let mut verdict = Verdict::default();
    run.begin()?;
    let mut before = snapshot(&run, 0)?;
    check_start(&run, &judge, &before, &mut verdict)?;
    for step in 0..run.coeffs.len().min(most) {
        advance(&run, step)?;
        let after = snapshot(&run, step + 1)?;
        check_step(&run, &judge, step, &before, &after, &mut verdict)?;
        if weighs(options) {
            resampling::check(&run, step, &after, &mut verdict);
        }
        verdict.steps += 1;
        if !verdict.agrees() {
            break;
        }
        before = after;
    }
    Ok(verdict)
}

fn snapshot(run: &Run, step: usize) -> Result<Snapshot> {
    let carried = &run.carried[step % 2];
    Ok(Snapshot {
        x: carried.x.download(run.device)?,
        scores: carried.scores.download(run.device)?,
        log_w: run.device.download(&carried.log_w)?,
        log_p: run.device.download(&carried.log_p)?,
        ancestors: run.device.download(&run.ancestors)?,
        norms: run.device.download(&run.norms)?,
    })
}

/// Particle `slot` of `group` as the device holds it; scores that it does not carry from the judge, at
/// level `level`.
fn particle(
    run: &Run,
    judge: &Judge,
    s: &Snapshot,
    level: usize,
    (group, slot): (usize, usize),
) -> Result<Particle> {
    let at = group * run.of.padded() + slot;
    let (dim, keeps, layout) = (run.of.dim, &run.plan.keeps, run.device.layout());
    let x: Vec<f64> = (0..dim).map(|k| f64::from(s.x[run.of.cell(layout, dim, k, at)])).collect();
    let rows = keeps.models * dim;
    let score = |m: usize, k: usize| f64::from(s.scores[run.of.cell(layout, rows, m * dim + k, at)]);
    let scores = if keeps.carried {
        (0..keeps.models).map(|m| (0..dim).map(|k| score(m, k)).collect()).collect()
    } else {
        judge.evaluate(&x, level)?.0
    };
    let log_w = if keeps.weighed { f64::from(s.log_w[at]) } else { 0.0 };
    let log_p = if keeps.exact { f64::from(s.log_p[at]) } else { 0.0 };
    Ok(Particle { x, scores, log_w, log_p })
}

fn everyone(run: &Run) -> impl Iterator<Item = (usize, usize)> + use<> {
    let slots = run.of.slots;
    (0..run.of.groups).flat_map(move |g| (0..slots).map(move |i| (g, i)))
}

fn check_start(run: &Run, judge: &Judge, now: &Snapshot, verdict: &mut Verdict) -> Result<()> {
    for (g, i) in everyone(run) {
        let (x, log_w) = init::oracle::draw(&run.start, run.seeds[g], i);
        let found = particle(run, judge, now, 0, (g, i))?;
        for (k, wanted) in x.iter().enumerate() {
            let allowed = 4.0e-6 * run.start.std + 4.0 * EPS * wanted.abs() + kept(run, *wanted);
            verdict.compare("init: x", 0, (g, i), found.x[k] as f32, *wanted, allowed);
        }
        let (scores, log_q) = judge.evaluate(&found.x, 0)?;
        compare_scores("start: score", run, judge, 0, 0, (g, i), &found, &scores, verdict);
        let log_p: f64 = log_q.iter().zip(&run.coeffs[0].beta).map(|(q, b)| b * q).sum();
        let wanted =
            if run.plan.keeps.weighed { log_w + if run.start.weighted { log_p } else { 0.0 } } else { 0.0 };
        // The draw's own energy: |z| up to 6.8, each off by 4e-6.
        let allowed = log_slack(judge, run, 0, &found.x)
            + 4.0e-5 * run.of.dim as f64
            + 8.0 * EPS * wanted.abs().max(log_w.abs());
        verdict.compare("start: log-weight", 0, (g, i), found.log_w as f32, wanted, allowed);
    }
    Ok(())
}

fn log_slack(judge: &Judge, run: &Run, level: usize, x: &[f64]) -> f64 {
    (0..judge.models.len()).map(|m| run.coeffs[0].beta[m].abs() * judge.slack(m, x, level).1).sum()
}

#[allow(clippy::too_many_arguments)]
fn compare_scores(
    what: &'static str,
    run: &Run,
    judge: &Judge,
    level: usize,
    step: usize,
    at: (usize, usize),
    found: &Particle,
    wanted: &[Vec<f64>],
    verdict: &mut Verdict,
) {
    for (m, score) in wanted.iter().enumerate() {
        let allowed = judge.slack(m, &found.x, level).0;
        for (k, wanted) in score.iter().enumerate() {
            verdict.compare(
                what,
                step,
                at,
                found.scores[m][k] as f32,
                *wanted,
                allowed + 8.0 * EPS * wanted.abs() + kept(run, *wanted),
            );
        }
    }
}

fn check_step(
    run: &Run,
    judge: &Judge,
    step: usize,
    before: &Snapshot,
    after: &Snapshot,
    verdict: &mut Verdict,
) -> Result<()> {
    let method = run.options.method.row().oracle;
    let exact = run.options.rule == Rule::Exact;
    let c: &StepCoeffs = &run.coeffs[step];
    for (g, i) in everyone(run) {
        let resampled = before.norms[4 * g + 3] > 0.5;
        let own = g * run.of.padded() + i;
        let parent = if resampled { before.ancestors[own] as usize } else { i };
        let mut from = particle(run, judge, before, step, (g, parent))?;
        if resampled {
            from.log_w = 0.0;
        }
        let found = particle(run, judge, after, step + 1, (g, i))?;
        let at = At { seed: run.seeds[g], slot: i, step };
        // The move from the device's parent; the evaluation at the device's own x'.
        let evaluated = judge.evaluate(&found.x, step + 1)?;
        let wanted = oracle_step(&from, at, c, method, exact, |_| evaluated.clone());
        for k in 0..run.of.dim {
            let parts = c.shrink.abs() * from.x[k].abs()
                + c.drift * from.scores.iter().map(|s| s[k].abs()).sum::<f64>();
            // A score that is not carried was the device's own.
            let worst: f64 = (0..judge.models.len())
                .map(|m| if run.plan.keeps.carried { 0.0 } else { judge.slack(m, &from.x, step).0 })
                .sum();
            let beta: f64 = c.beta.iter().map(|b| b.abs()).sum();
            let allowed = 8.0 * EPS * (parts + 7.0 * c.noise)
                + 4.0e-6 * c.noise
                + c.drift * beta.max(1.0) * worst
                + kept(run, wanted.x[k]);
            verdict.compare("step: x", step, (g, i), found.x[k] as f32, wanted.x[k], allowed);
        }
        compare_scores("step: score", run, judge, step + 1, step, (g, i), &found, &evaluated.0, verdict);
        let allowed = weight_slack(run, judge, step, &from, &found, wanted.log_w, exact);
        verdict.compare("step: log-weight", step, (g, i), found.log_w as f32, wanted.log_w, allowed);
    }
    Ok(())
}

/// What rounding can do to a log-weight over a step.
fn weight_slack(
    run: &Run,
    judge: &Judge,
    step: usize,
    from: &Particle,
    found: &Particle,
    log_w: f64,
    exact: bool,
) -> f64 {
    let c = &run.coeffs[step];
    let beta: f64 = c.beta.iter().map(|b| b.abs()).sum::<f64>() + 1.0;
    let size = |p: &Particle| p.scores.iter().flatten().map(|s| s * s).sum::<f64>();
    // Squares of scores: their own rounding, and twice a score times its error.
    let worst: f64 = (0..judge.models.len()).map(|m| judge.slack(m, &found.x, step + 1).0).sum();
    let linear = found.scores.iter().flatten().map(|s| s.abs()).sum::<f64>();
    let rates = c.rate_old.abs() * size(from) + c.rate_new.abs() * size(found);
    let mut allowed = 16.0 * EPS * (rates * beta * beta + log_w.abs() + from.log_w.abs() + 1.0)
        + 2.0 * beta * beta * c.rate_new.abs() * worst * linear;
    if !run.plan.keeps.carried {
        // The old scores were the device's own too.
        let worst: f64 = (0..judge.models.len()).map(|m| judge.slack(m, &from.x, step).0).sum();
        let linear = from.scores.iter().flatten().map(|s| s.abs()).sum::<f64>();
        allowed += 2.0 * beta * beta * c.rate_old.abs() * worst * linear;
    }
    if exact {
        let d = run.of.dim as f64;
        let spread = from.x.iter().chain(&found.x).map(|x| x.abs()).fold(0.0, f64::max);
        let residual = 6.0 / c.back_precision.max(1.0e-30).sqrt();
        let back = c.back_precision * residual * (4.0 * EPS * spread + c.back_drift.abs() * worst);
        allowed += log_slack(judge, run, step + 1, &found.x)
            + d * (4.0e-5 + back + 4.0 * EPS * c.back_precision * residual * residual)
            + 16.0 * EPS * (from.log_p.abs() + found.log_p.abs());
        // x' itself is rounded, which moves its density and the drawn noise.
        let apart = 8.0 * EPS * spread + kept(run, spread);
        allowed += d * apart * (linear + 6.0 / c.noise.max(1.0e-30));
    }
    allowed
}
