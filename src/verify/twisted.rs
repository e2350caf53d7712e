//! Twisted runs beside their oracle: docs/maths.md (13).

use feynkac_kernels::methods::StepCoeffs;
use feynkac_kernels::passes::classes::oracle::likelihood;
use feynkac_kernels::passes::init;
use feynkac_kernels::passes::step::oracle::At;
use feynkac_kernels::passes::step::oracle_twist::{Pins, Told, Twisted, steer, step_as_broad};

use super::judge::Judge;
use super::{EPS, Snapshot, Verdict, Weighed, everyone, particle, resampling};
use crate::error::Result;
use crate::model::{Asked, ClassifierNet, Model, Noise};
use crate::run::Run;
use crate::target::Target;
use crate::twist::{self, Task, Trail, Twisting};

/// What a device holds behind a wall, where the oracle has nothing.
const NOTHING: f64 = -1.0e30;

/// What knows the score.
enum Source<'a> {
    Closed(&'a Target),
    Network(Box<Asked>),
}

/// The one model of a run, and its twist.
struct Own<'a> {
    source: Source<'a>,
    classifier: Option<&'a ClassifierNet>,
    twisting: &'a Twisting,
    variance: f64,
    judge: &'a Judge<'a>,
}

/// What rounding can do to what is said at a state.
struct Slack {
    score: f64,
    log_psi: f64,
    pull: f64,
}

impl<'a> Own<'a> {
    fn of(judge: &'a Judge) -> Result<Option<Self>> {
        let Some((twisting, variance)) = twist::of(judge.options, judge.models) else { return Ok(None) };
        let source = match &judge.models[0] {
            Model::Analytic(target) => Source::Closed(target),
            Model::Network(network) => Source::Network(Box::new(Asked::of_dense(network)?)),
            Model::Layered(asked) => Source::Network(asked.clone()),
            _ => return Ok(None),
        };
        let classifier = match judge.behind {
            Some(Model::Classifier(net)) => Some(&**net),
            _ => None,
        };
        Ok(Some(Self { source, classifier, twisting, variance, judge }))
    }

    fn score(&self, x: &[f64], at: Noise) -> Result<Vec<f64>> {
        match &self.source {
            Source::Closed(target) => Ok(target.score(x, at.alpha, at.sigma)),
            Source::Network(asked) => asked.score(x, at),
        }
    }

    fn bend(&self, x: &[f64], w: &[f64], at: Noise) -> Result<Vec<f64>> {
        match &self.source {
            Source::Closed(target) => Ok(target.bend(x, w, at.alpha, at.sigma)),
            Source::Network(asked) => asked.bend(x, w, at),
        }
    }

    /// log psi of a denoised state, and its gradient there.
    fn log_psi(&self, d: &[f64], level: usize) -> Result<(f64, Vec<f64>)> {
        if self.twisting.replaces() {
            return Ok((0.0, vec![0.0; d.len()]));
        }
        match (&self.twisting.task, self.classifier) {
            (Task::Classifier { class, scale }, Some(net)) => {
                let (value, back) = likelihood(&net.net.forward(d, 0.0, None)?, *class, *scale);
                Ok((value, net.net.vjp(d, 0.0, None, &back)?.1))
            }
            (task, _) => Ok(task.log_psi(d, self.twisting.doubt(self.judge.levels, level, self.variance))),
        }
    }

    /// The denoised state, and the score behind it.
    fn denoised(&self, x: &[f64], at: Noise) -> Result<(Vec<f64>, Vec<f64>)> {
        let score = self.score(x, at)?;
        let d = x.iter().zip(&score).map(|(x, s)| (x + at.sigma.powi(2) * s) / at.alpha).collect();
        Ok((d, score))
    }

    /// What model and twist say at `x`.
    fn told(&self, x: &[f64], level: usize) -> Result<Told> {
        let at = self.judge.levels[level];
        let (d, score) = self.denoised(x, at)?;
        let (log_psi, w) = self.log_psi(&d, level)?;
        if !self.twisting.leans() {
            return Ok(Told { pull: vec![0.0; x.len()], score, log_psi: log_psi.max(NOTHING) });
        }
        let bent = self.bend(x, &w, at)?;
        let pull = w.iter().zip(&bent).map(|(w, bent)| (w + at.sigma.powi(2) * bent) / at.alpha).collect();
        Ok(Told { score, pull, log_psi: log_psi.max(NOTHING) })
    }

    /// What is carried of it, where `before` was.
    fn carried(&self, before: Option<&Told>, x: &[f64], level: usize) -> Result<Told> {
        let now = self.told(x, level)?;
        let clean = self.judge.levels[level].sigma == 0.0;
        Ok(match self.twisting.key().steers {
            Some(by) => steer(by, before, now, clean),
            None => now,
        })
    }

    /// The denoised state is off by a few eps of what it is made of; log psi and w by what that does to them, which is
    /// tried, and by their own sums; the gradient by that, and by sums whose large terms cancel.
    fn slack(&self, x: &[f64], level: usize) -> Result<Slack> {
        let at = self.judge.levels[level];
        let (task, noise, dim) = (&self.twisting.task, at.sigma.powi(2), x.len() as f64);
        let model = self.judge.slack(0, x, level);
        let (d, score) = self.denoised(x, at)?;
        let terms = (most(x) + noise * most(&score)) / at.alpha + most(&d) + most(&asked(task));
        // What a network says at the clean state counts for nothing.
        let off = 8.0 * EPS * terms + if noise > 0.0 { noise * model.score / at.alpha } else { 0.0 };
        let (log_psi, w) = self.log_psi(&d, level)?;
        let mut turned = 0.0;
        for k in 0..x.len() {
            let mut near = d.clone();
            near[k] += off;
            let (_, other) = self.log_psi(&near, level)?;
            turned += w.iter().zip(&other).map(|(w, other)| (w - other).abs()).fold(0.0, f64::max);
        }
        let size: f64 = w.iter().map(|w| w.abs()).sum();
        // The mean over places is one term more.
        let (places, terms) = (matches!(task, Task::Placement { .. }), asked(task).len());
        let exponent = 1.0 + log_psi.abs().min(-NOTHING) + 12.0 * (terms + usize::from(places)) as f64;
        let shares = if places { exponent } else { 1.0 };
        let turned = 2.0 * turned + 64.0 * EPS * shares * size;
        let mut curve: f64 = 0.0;
        for k in 0..x.len() {
            let mut axis = vec![0.0; x.len()];
            axis[k] = 1.0;
            let row: f64 = self.bend(x, &axis, at)?.iter().map(|b| b.abs()).sum();
            curve = curve.max(noise * row);
        }
        // Networks promise this much of what they say and of what comes back.
        let networks = matches!(self.source, Source::Network(_)) || self.classifier.is_some();
        let promised = if networks { 1.0e-4 } else { 0.0 };
        let bent = (16.0 * EPS * dim + promised) * (1.0 + curve) * size + noise * model.laplacian * size;
        Ok(Slack {
            score: model.score,
            log_psi: 4.0 * size * off + 32.0 * EPS * exponent + promised * log_psi.abs().min(-NOTHING),
            // Far before a wall its pull is below what f32 exponentials say.
            pull: (turned * (1.0 + curve) + bent) / at.alpha + 1.0e-30,
        })
    }
}

fn most(values: &[f64]) -> f64 {
    values.iter().map(|v| v.abs()).fold(0.0, f64::max)
}

/// The numbers that a task compares a sample with, one a term of its log psi.
fn asked(task: &Task) -> Vec<f64> {
    let all: &[&[f64]] = match task {
        Task::Linear { measured, .. } => &[measured],
        Task::Inpaint { known, .. } => &[known],
        Task::Placement { motif, .. } => &[motif],
        Task::Inequalities { bounds, .. } => &[bounds],
        Task::Bounds { lower, upper } => &[lower, upper],
        Task::Reward { centre, .. } => &[centre],
        Task::Classifier { .. } | Task::Own => &[],
    };
    // Where there is no bound nothing is compared.
    all.concat().into_iter().filter(|number| number.is_finite()).collect()
}

/// A particle as the device holds it, and what the model said of how broad its next step is.
fn held(
    run: &Run,
    judge: &Judge,
    s: &Snapshot,
    level: usize,
    at: (usize, usize),
) -> Result<(Twisted, Vec<f64>)> {
    let own = particle(run, judge, s, level, at)?;
    let mut rows = own.scores.into_iter();
    let [score, pull, said] = [(); 3].map(|()| rows.next().unwrap_or_default());
    Ok((Twisted { x: own.x, told: Told { score, pull, log_psi: own.log_p }, log_w: own.log_w }, said))
}

/// What is carried of a state.
fn compare(
    run: &Run,
    (wanted, slack): (&Told, &Slack),
    found: &Told,
    step: usize,
    at: (usize, usize),
    verdict: &mut Verdict,
) {
    for (k, wanted) in wanted.score.iter().enumerate() {
        let allowed = slack.score + 8.0 * EPS * wanted.abs();
        verdict.compare("step: score", step, at, found.score[k] as f32, *wanted, allowed);
    }
    for (k, wanted) in wanted.pull.iter().enumerate() {
        let allowed = slack.pull + 8.0 * EPS * wanted.abs();
        verdict.compare("step: gradient of log psi", step, at, found.pull[k] as f32, *wanted, allowed);
    }
    if run.plan.keeps.weighed {
        let allowed = slack.log_psi + 8.0 * EPS * wanted.log_psi.abs();
        verdict.compare("step: log psi", step, at, found.log_psi as f32, wanted.log_psi, allowed);
    }
}

impl Own<'_> {
    /// What the model says of how broad a step from `x` is.
    fn compare_widths(
        &self,
        x: &[f64],
        said: &[f64],
        (step, level): (usize, usize),
        at: (usize, usize),
        verdict: &mut Verdict,
    ) -> Result<()> {
        let (Source::Network(asked), false) = (&self.source, said.is_empty()) else { return Ok(()) };
        let wanted = asked.widths(x, self.judge.levels[level])?;
        let most = most(&wanted);
        for (said, wanted) in said.iter().zip(wanted) {
            let allowed = 1.0e-4 * (most + wanted.abs());
            verdict.compare("step: how broad the next one is", step, at, *said as f32, wanted, allowed);
        }
        Ok(())
    }
}

/// The start of a twisted run; `false` where the run is none.
pub fn check_start(run: &Run, judge: &Judge, now: &Snapshot, verdict: &mut Verdict) -> Result<bool> {
    let Some(own) = Own::of(judge)? else { return Ok(false) };
    for (g, i) in everyone(run) {
        let (x, drawn) = init::oracle::draw(&run.start, run.seeds[g], i);
        let (found, said) = held(run, judge, now, 0, (g, i))?;
        own.compare_widths(&found.x, &said, (0, 0), (g, i), verdict)?;
        for (k, wanted) in x.iter().enumerate() {
            let allowed = 4.0e-6 * run.start.std + 4.0 * EPS * wanted.abs();
            verdict.compare("init: x", 0, (g, i), found.x[k] as f32, *wanted, allowed);
        }
        let (told, slack) = (own.carried(None, &found.x, 0)?, own.slack(&found.x, 0)?);
        compare(run, (&told, &slack), &found.told, 0, (g, i), verdict);
        if run.plan.keeps.weighed {
            let at = judge.levels[0];
            let log_q = match &own.source {
                Source::Closed(target) if run.start.weighted => {
                    target.log_density(&found.x, at.alpha, at.sigma)
                }
                _ => 0.0,
            };
            let wanted = drawn + told.log_psi + log_q;
            let sizes = wanted.abs() + drawn.abs() + told.log_psi.abs();
            let allowed = judge.slack(0, &found.x, 0).log_q
                + slack.log_psi
                + 4.0e-5 * run.of.dim as f64
                + 8.0 * EPS * sizes;
            verdict.compare("start: log-weight", 0, (g, i), found.log_w as f32, wanted, allowed);
        }
    }
    Ok(true)
}

/// The coordinates that a task knows, with ln of the density by which they were drawn.
type Known = (Vec<(usize, f64)>, f64);

/// Those that step `step` of each group of `run` puts in their place.
fn known(run: &Run, own: &Own, step: usize) -> Vec<Known> {
    let Task::Inpaint { mask, known, .. } = &own.twisting.task else { return Vec::new() };
    let of = |values: &[f64]| {
        let all = mask.iter().zip(values).enumerate();
        all.filter(|(_, (m, _))| **m).map(|(k, (_, y))| (k, *y)).collect()
    };
    let each = |seed: &u64| {
        if !own.twisting.replaces() {
            return (of(known), 0.0);
        }
        let trail = Trail::new(&own.twisting.task, own.judge.levels, *seed);
        (of(&trail.at[step + 1]), trail.log_q[step + 1])
    };
    run.seeds.iter().map(each).collect()
}

/// What a step of group `g` puts in its place.
fn pins<'a>(task: &'a Task, known: &'a [Known], g: usize, c: &StepCoeffs) -> Pins<'a> {
    match task {
        _ if c.side[3] == 0.0 => Pins::None,
        Task::Placement { motif, offsets, .. } => Pins::Block(motif, offsets),
        _ => Pins::Known(&known[g].0, known[g].1),
    }
}

/// A step of a twisted run; `false` where the run is none.
pub fn check_step(
    run: &Run,
    judge: &Judge,
    step: usize,
    before: &Snapshot,
    after: &Snapshot,
    verdict: &mut Verdict,
) -> Result<bool> {
    let Some(own) = Own::of(judge)? else { return Ok(false) };
    let (c, weighs) = (run.row(step), run.plan.keeps.weighed);
    let known = known(run, &own, step);
    let mut weighed = Vec::with_capacity(run.of.particles());
    for (g, i) in everyone(run) {
        let (pins, place) = (pins(&own.twisting.task, &known, g, c), g * run.of.padded());
        let resampled = before.norms[4 * g + 3] > 0.5;
        let parent = if resampled { before.ancestors[place + i] as usize } else { i };
        let (mut from, said) = held(run, judge, before, step, (g, parent))?;
        if resampled {
            from.log_w = if run.plan.keeps.handed { f64::from(before.handed[place + parent]) } else { 0.0 };
        }
        let (found, next) = held(run, judge, after, step + 1, (g, i))?;
        own.compare_widths(&found.x, &next, (step, step + 1), (g, i), verdict)?;
        let told = own.carried(Some(&from.told), &found.x, step + 1)?;
        let slack = own.slack(&found.x, step + 1)?;
        let at = At { seed: run.seeds[g], slot: i, step };
        let wanted = step_as_broad(&from, at, c, &said, pins, |_| told.clone());
        for k in 0..run.of.dim {
            let parts = c.shrink * from.x[k].abs()
                + c.drift * from.told.score[k].abs()
                + c.side[0] * from.told.pull[k].abs();
            let allowed = 8.0 * EPS * (parts + wanted.x[k].abs() + 7.0 * c.noise) + 4.0e-6 * c.noise;
            verdict.compare("step: x", step, (g, i), found.x[k] as f32, wanted.x[k], allowed);
        }
        compare(run, (&told, &slack), &found.told, step, (g, i), verdict);
        let allowed = slack.log_psi + moved_slack(c, &from, &pins) + {
            let told = from.told.log_psi.abs() + told.log_psi.abs();
            8.0 * EPS * (from.log_w.abs() + told + wanted.log_w.abs() + c.constant.abs())
        };
        let (wanted, log_w) = if weighs { (wanted.log_w, found.log_w) } else { (0.0, 0.0) };
        weighed.push(Weighed {
            before: from.log_w,
            wanted,
            found: log_w as f32,
            allowed,
            rewarded: Default::default(),
        });
    }
    for (g, group) in weighed.chunks_mut(run.of.slots).enumerate() {
        resampling::check_weights(run, step, g, after, group, verdict);
    }
    Ok(true)
}

/// What rounding can do to log p(x'|x) - log q(x'|x), or to the density of what is put in its place.
fn moved_slack(c: &StepCoeffs, from: &Twisted, pins: &Pins) -> f64 {
    // A normal is at most 7, and off by 4e-6.
    let ratio = |pull: &f64| {
        let u = (c.side[1] * pull).abs() + 7.0 * c.side[2];
        16.0 * EPS * u * (u + 14.0) + 4.0e-6 * (u + 7.0 * c.side[2] + u * c.side[2])
    };
    let drawn: f64 = from.told.pull.iter().map(ratio).sum();
    let mean = |k: usize| c.shrink * from.x[k] + c.drift * from.told.score[k];
    let parts = |k: usize| (c.shrink * from.x[k]).abs() + (c.drift * from.told.score[k]).abs();
    let placed = |k: usize, wanted: f64| {
        let off = (wanted - mean(k)).abs();
        c.side[3] * off * (16.0 * EPS * (parts(k) + wanted.abs()) + 16.0 * EPS * off)
    };
    let most =
        |motif: &[f64], at: usize| -> f64 { motif.iter().enumerate().map(|(j, y)| placed(at + j, *y)).sum() };
    drawn
        + match pins {
            Pins::None => 0.0,
            Pins::Known(known, log_q) => {
                known.iter().map(|(k, y)| placed(*k, *y)).sum::<f64>() + 8.0 * EPS * log_q.abs()
            }
            Pins::Block(motif, places) => {
                2.0e-6 + places.iter().map(|at| most(motif, *at)).fold(0.0, f64::max)
            }
        }
}
