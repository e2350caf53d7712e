//! Runs of every method by every rule, for the passes that steps are made of.

use super::passes::mixture;
use crate::aim::{Densities, Growth, Reward};
use crate::model::Model;
use crate::options::{Options, Policy, Rule};
use crate::registry::{METHODS, Method};
use crate::schedule::Schedule;

/// Runs of every method by every rule, over sizes, dimensions and policies in turn.
pub fn runs(unfused: bool) -> Vec<(Vec<Model>, Options)> {
    let mut all = Vec::new();
    for (m, row) in METHODS.iter().enumerate() {
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
    all
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
