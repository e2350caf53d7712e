//! A step of one particle in f64, from the formulas of docs/maths.md (7) and (8). No kernel code
//! is shared.

use crate::methods::StepCoeffs;
use crate::methods::oracle::{Law, Local, Turn};
use crate::prims::philox::oracle::{Stream, normal};
use crate::prims::philox::{purpose, tag};

/// What the models say at a point.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// Score of each model `[models][dim]`.
    pub scores: Vec<Vec<f64>>,
    /// Log-density of each.
    pub log_q: Vec<f64>,
    /// Laplacian of the log-density of each; empty where nobody asks.
    pub laplacians: Vec<f64>,
}

/// One particle.
#[derive(Clone, Debug, PartialEq)]
pub struct Particle {
    /// Position `[dim]`.
    pub x: Vec<f64>,
    /// Score of each model there `[models][dim]`; what a method that follows carries is the one to follow.
    pub scores: Vec<Vec<f64>>,
    /// Log-weight.
    pub log_w: f64,
    /// Log-density of the target there under the exact rule; what the next step owes its old state, where that is
    /// carried.
    pub log_p: f64,
    /// Estimated log-density of each model; empty where none is estimated. Behind the score to follow, `scores` has those
    /// of the models then.
    pub log_q: Vec<f64>,
}

/// Where and as whom the particle moves.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// The group's seed.
    pub seed: u64,
    /// Slot within the group.
    pub slot: usize,
    /// Step.
    pub step: usize,
}

/// A state by the numbers of its level.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    /// One coordinate each.
    pub turns: Vec<Turn>,
    /// R.
    pub rate: f64,
    /// Log-density of the target.
    pub log_p: f64,
    /// Of each model.
    pub log_q: Vec<f64>,
}

/// The state `x` where the models say `point`, at the level whose row is `c`.
pub fn reach(x: &[f64], point: &Point, c: &StepCoeffs, law: &Law) -> Reached {
    let turns: Vec<Turn> = (0..x.len())
        .map(|k| {
            let scores: Vec<f64> = point.scores.iter().map(|s| s[k]).collect();
            (law.coordinate)(&Local { scores: &scores, log_q: &point.log_q, x: x[k], c })
        })
        .collect();
    let whole = if point.laplacians.is_empty() { 0.0 } else { (law.whole)(&point.laplacians, c) };
    Reached {
        rate: turns.iter().map(|turn| turn.rate).sum::<f64>() + whole,
        turns,
        log_p: (law.log_p)(&point.log_q, c),
        log_q: point.log_q.clone(),
    }
}

impl Reached {
    /// Sum of the log-densities by what each exponent gains from `c` to `next`.
    fn gained(&self, c: &StepCoeffs, next: &StepCoeffs) -> f64 {
        self.log_q.iter().zip(c.beta.iter().zip(&next.beta)).map(|(q, (old, new))| (new - old) * q).sum()
    }

    /// What the step of row `c` owes this state, its old one; `next` is the row behind.
    pub fn owed(&self, c: &StepCoeffs, next: &StepCoeffs) -> f64 {
        c.rate_old * self.rate + c.swing_old * self.gained(c, next)
    }
}

/// The score of each model at its old state that a particle of a step was moved by, or the one to follow.
pub fn follow(parent: &Particle, point: Option<&Point>, c: &StepCoeffs, law: &Law) -> Vec<f64> {
    match point {
        Some(point) => reach(&parent.x, point, c, law).turns.iter().map(|turn| turn.score).collect(),
        None => parent.scores[0].clone(),
    }
}

/// The row of a step, and that of the level it leads to.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Of the step and its old state.
    pub c: &'a StepCoeffs,
    /// Of its new state.
    pub next: &'a StepCoeffs,
}

/// Moves `parent` to the next level. `old` is what the models say at its state, or `None` where what is carried is the
/// score to follow and what is owed; `evaluate` gives what they say at x'. The particle comes back with the scores of
/// all models, and with `log_p` that of the target.
pub fn step(
    parent: &Particle,
    old: Option<&Point>,
    at: At,
    rows: Rows,
    law: &Law,
    exact: bool,
    evaluate: impl Fn(&[f64]) -> Point,
) -> Particle {
    let (dim, c) = (parent.x.len(), rows.c);
    let stream =
        Stream { seed: at.seed, slot: at.slot as u32, step: at.step as u32, tag: tag(purpose::MOVE, 0) };
    let to_follow = follow(parent, old, c, law);
    let z: Vec<f64> = (0..dim).map(|k| normal(stream, k, dim)).collect();
    let x: Vec<f64> =
        (0..dim).map(|k| c.shrink * parent.x[k] + c.drift * to_follow[k] + c.noise * z[k]).collect();
    let point = evaluate(&x);
    let new = reach(&x, &point, rows.next, law);
    let owed = match old {
        Some(old) => reach(&parent.x, old, c, law).owed(c, rows.next),
        None if exact => 0.0,
        None => parent.log_p,
    };
    let mut log_w =
        parent.log_w + owed + c.rate_new * new.rate + c.swing_new * new.gained(c, rows.next) + c.constant;
    if exact {
        let forward: f64 = z.iter().map(|z| 0.5 * z * z).sum();
        let miss = |k: usize| parent.x[k] - c.back_shrink * x[k] - c.back_drift * new.turns[k].back;
        let backward: f64 = (0..dim).map(|k| -0.5 * c.back_precision * miss(k).powi(2)).sum();
        log_w += c.exact * (new.log_p - parent.log_p + forward + backward);
    }
    Particle { x, scores: point.scores, log_w, log_p: new.log_p, log_q: Vec::new() }
}

/// The estimated log-densities of `parent`, whose scores are the one to follow and those of the models, after the step of
/// row `c` to `x`: docs/maths.md (7aa), (7ab).
pub fn estimate(parent: &Particle, c: &StepCoeffs, x: &[f64]) -> Vec<f64> {
    let length = c.noise * c.noise;
    let gaussian = |x: f64, precision: f64| -0.5 * x * x * precision;
    parent
        .log_q
        .iter()
        .enumerate()
        .map(|(m, old)| {
            let gained = x.iter().zip(&parent.x).enumerate().map(|(k, (new, old))| {
                let by = new - c.shrink * old;
                let gain = |s: f64| s * by - 0.5 * length * s * s;
                let lean = gaussian(*new, c.lean_new) - gaussian(*old, c.lean_old);
                gain(parent.scores[1 + m][k]) - gain(-old * c.lean_old) + lean
            });
            old + gained.sum::<f64>() + c.stretch
        })
        .collect()
}

/// The same where exponents stay and scores are all that is asked: `evaluate` gives (scores, log-densities) at x'.
pub fn plain_step(
    parent: &Particle,
    at: At,
    c: &StepCoeffs,
    law: Law,
    exact: bool,
    evaluate: impl Fn(&[f64]) -> (Vec<Vec<f64>>, Vec<f64>),
) -> Particle {
    let old = Point { scores: parent.scores.clone(), ..Point::default() };
    step(parent, Some(&old), at, Rows { c, next: c }, &law, exact, |x| {
        let (scores, log_q) = evaluate(x);
        Point { scores, log_q, laplacians: Vec::new() }
    })
}
