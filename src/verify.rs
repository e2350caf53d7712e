//! Walks a run on the device and on the f64 oracles in lockstep. Each oracle is fed the device's
//! own inputs, because rounding can flip an ancestor, and from there two right runs part ways.

mod climb;
mod energies;
mod estimates;
mod frames;
mod images;
mod judge;
mod layers;
pub mod passes;
mod paths;
mod problems;
mod resampling;
mod scaffold;
mod twisted;
mod weighed;

use std::fmt;

use feynkac_kernels::device::Device;
use feynkac_kernels::passes::init;
use feynkac_kernels::passes::step::oracle::{At, Particle, Point, Rows, follow, reach, step as oracle_step};

use crate::coeffs::weighs;
use crate::error::Result;
use crate::model::Model;
use crate::options::{Options, State};
use crate::run::Run;
use climb::Rewarded;
use estimates::{compare_estimates, estimated};
use judge::{Judge, follow_slack, log_slack, owed_slack, weight_slack};

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
    /// Logarithms of the weights that were resampled by, and of those that survivors keep, where they are others.
    priorities: Vec<f32>,
    handed: Vec<f32>,
    /// Group records of what was resampled by.
    chosen: Vec<f32>,
    /// Clocks of birth and death.
    clocks: Vec<f32>,
    /// Weights of the reward, where the ESS raises them.
    rungs: Vec<f32>,
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
    judge::check(models, options)?;
    let run = Run::new(device, models, options)?;
    let (models, behind) = options.parted(models);
    let judge = Judge { models, behind, levels: &run.levels, options };
    let mut verdict = Verdict::default();
    run.begin()?;
    let mut before = snapshot(&run, 0)?;
    check_start(&run, &judge, &before, &mut verdict)?;
    for step in 0..run.coeffs.len().min(most) {
        advance(&run, step)?;
        let after = snapshot(&run, step + 1)?;
        check_step(&run, &judge, step, &before, &after, &mut verdict)?;
        if weighs(options) {
            resampling::check(&run, step, &before, &after, &mut verdict);
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
        priorities: run.device.download(&run.chosen.priorities)?,
        handed: run.device.download(&run.chosen.handed)?,
        chosen: run.device.download(&run.chosen.norms)?,
        clocks: run.device.download(&run.chosen.clocks)?,
        rungs: run.device.download(run.rungs())?,
    })
}

/// Particle `slot` of `group` as the device holds it; scores that it does not carry from the judge, at
/// level `level`. Of a method that follows it carries the score to follow alone.
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
    let rows = keeps.carried_rows(dim);
    let score = |m: usize, k: usize| f64::from(s.scores[run.of.cell(layout, rows, m * dim + k, at)]);
    let scores = if keeps.carried {
        (0..keeps.score_rows()).map(|m| (0..dim).map(|k| score(m, k)).collect()).collect()
    } else {
        judge.evaluate(&x, level)?.scores
    };
    let log_w = if keeps.weighed { f64::from(s.log_w[at]) } else { 0.0 };
    let log_p = if keeps.cell() { f64::from(s.log_p[at]) } else { 0.0 };
    let log_q = |m: usize| f64::from(s.scores[run.of.cell(layout, rows, keeps.score_rows() * dim + m, at)]);
    let log_q = (0..keeps.log_rows()).map(log_q).collect();
    Ok(Particle { x, scores, log_w, log_p, log_q })
}

fn everyone(run: &Run) -> impl Iterator<Item = (usize, usize)> + use<> {
    let slots = run.of.slots;
    (0..run.of.groups).flat_map(move |g| (0..slots).map(move |i| (g, i)))
}

fn check_start(run: &Run, judge: &Judge, now: &Snapshot, verdict: &mut Verdict) -> Result<()> {
    if twisted::check_start(run, judge, now, verdict)? {
        return Ok(());
    }
    for (g, i) in everyone(run) {
        let (x, log_w) = init::oracle::draw(&run.start, run.seeds[g], i);
        let found = particle(run, judge, now, 0, (g, i))?;
        for (k, wanted) in x.iter().enumerate() {
            let allowed = 4.0e-6 * run.start.std + 4.0 * EPS * wanted.abs() + kept(run, *wanted);
            verdict.compare("init: x", 0, (g, i), found.x[k] as f32, *wanted, allowed);
        }
        for (m, wanted) in init::oracle::first(&run.start, &found.x).iter().enumerate() {
            let allowed = 8.0 * EPS * (run.of.dim as f64 + 1.0) * (1.0 + wanted.abs());
            verdict.compare("init: log-density", 0, (g, i), found.log_q[m] as f32, *wanted, allowed);
        }
        let point = estimated(run, judge.evaluate(&found.x, 0)?, &found);
        let (c, next) = (climb::row(run, now, 0, (g, 0)), climb::row(run, now, 1, (g, 0)));
        let rows = Rows { c: &c, next: &next };
        compare_carried("start: score", run, judge, (0, 0, rows), (g, i), &found, &point, verdict);
        let log_p = (run.options.law().log_p)(&point.log_q, &c);
        let wanted =
            if run.plan.keeps.weighed { log_w + if run.start.weighted { log_p } else { 0.0 } } else { 0.0 };
        // The draw's own energy: |z| up to 6.8, each off by 4e-6.
        let allowed = log_slack(judge, run, (0, &c), &found.x)
            + 4.0e-5 * run.of.dim as f64
            + 8.0 * EPS * wanted.abs().max(log_w.abs());
        verdict.compare("start: log-weight", 0, (g, i), found.log_w as f32, wanted, allowed);
    }
    Ok(())
}

/// What is carried of a state: its scores, or the score to follow and what the next step owes it.
#[allow(clippy::too_many_arguments)]
fn compare_carried(
    what: &'static str,
    run: &Run,
    judge: &Judge,
    (step, level, rows): (usize, usize, Rows),
    at: (usize, usize),
    found: &Particle,
    point: &Point,
    verdict: &mut Verdict,
) {
    let keeps = &run.plan.keeps;
    if keeps.follows && keeps.carried {
        let Rows { c, next } = rows;
        let wanted = reach(&found.x, point, c, &run.options.law());
        let allowed = follow_slack(judge, run, (level, c), &found.x, point);
        for (k, turn) in wanted.turns.iter().enumerate() {
            let allowed = allowed + kept(run, turn.score);
            verdict.compare(what, step, at, found.scores[0][k] as f32, turn.score, allowed);
        }
        for (m, score) in point.scores.iter().enumerate().filter(|_| keeps.log_rows() > 0) {
            let allowed = judge.slack(m, &found.x, level).score;
            for (k, wanted) in score.iter().enumerate() {
                let allowed = allowed + 8.0 * EPS * wanted.abs();
                verdict.compare(
                    "step: score of a model",
                    step,
                    at,
                    found.scores[1 + m][k] as f32,
                    *wanted,
                    allowed,
                );
            }
        }
        if keeps.cell() && !keeps.exact {
            let owed = wanted.owed(c, next);
            let factors = (c.rate_old, c.swing_old);
            let allowed =
                owed_slack(judge, run, (c, next, level), &found.x, point, factors) + 8.0 * EPS * owed.abs();
            verdict.compare("step: owed", step, at, found.log_p as f32, owed, allowed);
        }
        return;
    }
    for (m, score) in point.scores.iter().enumerate() {
        let allowed = judge.slack(m, &found.x, level).score;
        for (k, wanted) in score.iter().enumerate() {
            let allowed = allowed + 8.0 * EPS * wanted.abs() + kept(run, *wanted);
            verdict.compare(what, step, at, found.scores[m][k] as f32, *wanted, allowed);
        }
    }
}

/// A log-weight: where the step began, what it should become by the step alone, what it is, and what rounding explains.
struct Weighed {
    before: f64,
    wanted: f64,
    found: f32,
    allowed: f64,
    rewarded: Rewarded,
}

fn check_step(
    run: &Run,
    judge: &Judge,
    step: usize,
    before: &Snapshot,
    after: &Snapshot,
    verdict: &mut Verdict,
) -> Result<()> {
    if twisted::check_step(run, judge, step, before, after, verdict)? {
        return Ok(());
    }
    let (law, keeps) = (run.options.law(), &run.plan.keeps);
    let mut weighed = Vec::with_capacity(run.of.particles());
    for (g, i) in everyone(run) {
        let row = |level: usize, steps: usize| climb::row(run, after, level, (g, steps));
        let (c, next) = (&row(step, step), &row(step + 1, step));
        let rows = Rows { c, next };
        let resampled = before.norms[4 * g + 3] > 0.5;
        let own = g * run.of.padded() + i;
        let parent = if resampled { before.ancestors[own] as usize } else { i };
        let mut from = particle(run, judge, before, step, (g, parent))?;
        if resampled {
            let at = g * run.of.padded() + parent;
            from.log_w = if run.plan.keeps.handed { f64::from(before.handed[at]) } else { 0.0 };
        }
        let found = particle(run, judge, after, step + 1, (g, i))?;
        let at = At { seed: run.seeds[g], slot: i, step };
        let old = match (keeps.carried, keeps.follows) {
            (true, true) => None,
            (true, false) => Some(Point { scores: from.scores.clone(), ..Point::default() }),
            (false, _) => Some(judge.evaluate(&from.x, step)?),
        };
        // The move from the device's parent; the evaluation at the device's own x'.
        let evaluated = estimated(run, judge.evaluate(&found.x, step + 1)?, &found);
        compare_estimates(step, (g, i), (&from, &found), c, verdict);
        let wanted = oracle_step(&from, old.as_ref(), at, rows, &law, keeps.exact, |_| evaluated.clone());
        let to_follow = follow(&from, old.as_ref(), c, &law);
        // A score that is not carried was the device's own.
        let worst = match &old {
            Some(old) if !keeps.carried => follow_slack(judge, run, (step, c), &from.x, old),
            _ => 0.0,
        };
        let pulled = |k: usize| -> f64 {
            let scores: f64 = from.scores.iter().map(|s| s[k].abs()).sum();
            let beta = if keeps.follows { 1.0 } else { c.beta.iter().map(|b| b.abs()).sum::<f64>().max(1.0) };
            to_follow[k].abs().max(scores * beta)
        };
        for k in 0..run.of.dim {
            let parts = c.shrink.abs() * from.x[k].abs() + c.drift * pulled(k);
            let allowed = 8.0 * EPS * (parts + 7.0 * c.noise)
                + 4.0e-6 * c.noise
                + c.drift * worst
                + kept(run, wanted.x[k]);
            verdict.compare("step: x", step, (g, i), found.x[k] as f32, wanted.x[k], allowed);
        }
        let reached = Rows { c: &row(step + 1, step + 1), next: &row(step + 2, step + 1) };
        let levels = (step, step + 1, reached);
        compare_carried("step: score", run, judge, levels, (g, i), &found, &evaluated, verdict);
        let states = ((&from, old.as_ref()), (&found, &evaluated));
        let allowed = weight_slack(run, judge, (step, rows), states, wanted.log_w);
        let rewarded = evaluated.log_q.get(run.options.models).map(|reward| Rewarded {
            reward: *reward,
            slack: judge.slack(run.options.models, &found.x, step + 1).log_q,
        });
        weighed.push(Weighed {
            before: from.log_w,
            wanted: wanted.log_w,
            found: found.log_w as f32,
            allowed,
            rewarded: rewarded.unwrap_or_default(),
        });
    }
    for (g, group) in weighed.chunks_mut(run.of.slots).enumerate() {
        resampling::check_weights(run, step, g, after, group, verdict);
    }
    Ok(())
}
