//! Runs of every method by every rule, for the passes that steps are made of.

use super::passes::{fraction, mixture};
use crate::aim::{Densities, Growth, Reward};
use crate::model::Model;
use crate::options::{Options, Policy, Rule};
use crate::registry::{METHODS, Method};
use crate::schedule::Schedule;
use crate::twist::{Chain, Potential, Proposal, Spread, Task, Twisting};

/// Runs of every method by every rule, over sizes, dimensions and policies in turn.
pub fn runs(unfused: bool) -> Vec<(Vec<Model>, Options)> {
    let mut all = Vec::new();
    for (m, row) in METHODS.iter().enumerate().filter(|(_, row)| row.method != Method::Tds) {
        for (n, rule) in [Rule::Left, Rule::Right, Rule::Trap, Rule::Exact].into_iter().enumerate() {
            for (k, dim) in [1, 2, 5, 64].into_iter().enumerate() {
                // Each compiles kernels of its own: fewer of those that share the most.
                if (m + n + k) % if m < 3 { 2 } else { 4 } != 0 || unfused && rule == Rule::Exact {
                    continue;
                }
                let at = m + 2 * n + k;
                let mut options = Options::new(row.method, Schedule::Ve { sigma_min: 0.5, sigma_max: 8.0 });
                (options.beta, options.rule, options.steps, options.unfused) = (1.4, rule, 5, unfused);
                (options.particles, options.groups) = [(257, 3), (1030, 1), (17, 40), (1, 2)][at % 4];
                match row.method {
                    Method::FkcCompose => options.powers = vec![0.9, -0.3, 0.8],
                    Method::FkcMixture => options.powers = vec![0.2, 0.5, 0.3],
                    _ => (),
                }
                options.models = options.powers.len().max(row.needs.models.0);
                let policy =
                    [Policy::Every, Policy::Ess(0.7), Policy::Interval(2), Policy::Never][at / 2 % 4];
                options.resample = if row.needs.weights { policy } else { Policy::Never };
                beyond(&mut options, at);
                let models = (0..options.all_models()).map(|i| mixture(dim, i, (at + i).is_multiple_of(2)));
                all.push((models.collect(), options));
            }
        }
    }
    all.extend(twisted(unfused));
    all
}

/// Twisted runs of every task on every chain, over schedules, sizes and policies in turn.
fn twisted(unfused: bool) -> Vec<(Vec<Model>, Options)> {
    let schedules = [
        Schedule::Ve { sigma_min: 0.1, sigma_max: 8.0 },
        Schedule::VpCosine { c: 0.008 },
        Schedule::RectifiedFlow,
    ];
    let mut all = Vec::new();
    for (at, (task, dim)) in tasks().into_iter().enumerate().step_by(if unfused { 3 } else { 1 }) {
        let mut options = Options::new(Method::Tds, schedules[at % 3]);
        (options.steps, options.unfused, options.weights) = (4, unfused, at != 4);
        (options.particles, options.groups) = [(257, 3), (17, 40), (1030, 1), (1, 2)][at % 4];
        options.resample = if options.weights {
            [Policy::Every, Policy::Ess(0.7), Policy::Never][at % 3]
        } else {
            Policy::Never
        };
        let spread = match at {
            MISSED => Spread::Residual,
            _ => [Spread::Data, Spread::Noise, Spread::Tau(0.3), Spread::Step][at % 4],
        };
        let chain = match at % 4 {
            1 | 3 if !task.pins() => [Chain::Posterior, Chain::Truncated][at / 2 % 2],
            1 | 3 => Chain::Clipped,
            _ => Chain::Forward,
        };
        let (lean, proposal_variance) = [(1.0, 1.0), (0.0, 1.3), (0.7, 1.1)][at % 3];
        let potential = match lean {
            0.0 if !task.pins() => [Potential::Max, Potential::Sum][at / 3 % 2],
            _ => Potential::Difference,
        };
        let (range, proposal) = match at {
            REPLACED => (None, Proposal::Replacement),
            _ => ((lean > 0.0 && at % 2 == 0).then_some((-0.6, 0.7)), Proposal::Twisted),
        };
        let twisting = Twisting { spread, chain, lean, proposal_variance, potential, ..Twisting::new(task) };
        options.twisting = Some(Twisting { range, proposal, ..twisting });
        all.push((vec![mixture(dim, at, at % 2 == 0)], options));
    }
    all
}

/// The one of [`tasks()`] that is put in its place at every level.
const REPLACED: usize = 9;

/// The one that is the less sure the more is missed.
const MISSED: usize = 7;

/// Tasks, and the coordinates of what they are asked of.
fn tasks() -> Vec<(Task, usize)> {
    let some = |len: usize, seed: usize| -> Vec<f64> {
        (0..len).map(|i| 2.0 * fraction(i + 100 * seed + 1) - 1.0).collect()
    };
    let measures = |rows: usize, dim: usize| Task::Linear {
        operator: some(rows * dim, rows),
        measured: some(rows, dim),
        noise: (0..rows).map(|i| 0.3 + 0.1 * i as f64).collect(),
    };
    let known = |dim: usize, noise: f64| Task::Inpaint {
        mask: (0..dim).map(|k| k % 3 != 1).collect(),
        known: some(dim, 5),
        noise,
    };
    let block = |count: usize, offsets: Vec<usize>, noise: f64| Task::Placement {
        motif: some(count, 6),
        offsets,
        noise,
    };
    vec![
        (measures(2, 2), 2),
        (known(5, 0.0), 5),
        (block(2, vec![0, 1, 3], 0.0), 5),
        (measures(7, 64), 64),
        (Task::Inequalities { operator: some(3 * 2, 8), bounds: vec![0.3, 0.9, 1.5] }, 2),
        (Task::Reward { slope: some(3, 9), curvature: vec![0.5, 0.0, 2.0], centre: some(3, 10) }, 3),
        (block(1, vec![1, 0], 0.4), 2),
        (known(2, 0.3), 2),
        (Task::Inequalities { operator: some(2 * 5, 12), bounds: vec![1.0, 0.8] }, 5),
        (known(5, 0.0), 5),
        (block(1, vec![0, 1], 0.0), 2),
        (Task::Bounds { lower: vec![-0.4, f64::NEG_INFINITY, 0.1], upper: vec![0.9, 0.6, f64::INFINITY] }, 3),
    ]
}

/// Exponents that change, and rewards, in turn.
fn beyond(options: &mut Options, at: usize) {
    let drift = [None, Some(1.25)][at / 4 % 2];
    match (options.method, at % 2) {
        (Method::FkcAnneal, 1) => {
            options.reward = Some(Reward { scale: 0.8, growth: Growth::Linear, drift });
        }
        (Method::FkcProduct | Method::FkcTransport, 1) => options.beta_from = Some(0.6),
        (Method::FkcGuidance, 0) => {
            options.reward = Some(Reward { scale: -0.3, growth: Growth::Signal, drift });
        }
        (Method::FkcMixture, 0) if options.rule != Rule::Exact => options.densities = Densities::Ito,
        (Method::FkcCompose, 0) => options.powers_from = vec![1.0, 0.1, -0.2],
        _ => (),
    }
}
