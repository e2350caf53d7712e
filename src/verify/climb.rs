//! The weight of a reward that the ESS raises, against its oracle: docs/maths.md (7.6a).

use feynkac_kernels::methods::StepCoeffs;
use feynkac_kernels::passes::ladder::{RUNG, oracle};

use super::{EPS, Snapshot, Verdict, Weighed};
use crate::aim::Growth;
use crate::run::Run;

/// The reward of a particle, and what rounding can do to it.
#[derive(Clone, Copy, Default)]
pub struct Rewarded {
    pub reward: f64,
    pub slack: f64,
}

/// The numbers of level `level`; where the ESS raises the weight of the reward, with that of `group` after `steps` steps.
pub fn row(run: &Run, s: &Snapshot, level: usize, (group, steps): (usize, usize)) -> StepCoeffs {
    let mut row = *run.row(level);
    if run.plan.keeps.ladder {
        row.beta[run.options.models] = f64::from(s.rungs[RUNG * (steps * run.of.groups + group)]);
    }
    row
}

/// Whether the weight of group `g` went as far as it should after step `step`, from the log-weights that the step by itself
/// should leave; gives these what the weight gained.
pub fn check(
    run: &Run,
    step: usize,
    g: usize,
    after: &Snapshot,
    group: &mut [Weighed],
    verdict: &mut Verdict,
) {
    let Some(Growth::Ess(share)) = run.options.reward.map(|reward| reward.growth) else { return };
    let scheduled = run.row(step + 1).side[3] as f32;
    let at = |steps: usize| RUNG * (steps * run.of.groups + g);
    let (old, new, before) =
        (after.rungs[at(step)], after.rungs[at(step + 1)], after.rungs[at(step + 1) + 1]);
    let log_w: Vec<f64> = group.iter().map(|w| w.wanted).collect();
    let rewards: Vec<f64> = group.iter().map(|w| w.rewarded.reward).collect();
    let gained = f64::from(new - old);
    let (least, left) = (f64::from(share as f32) * log_w.len() as f64, f64::from(scheduled) - f64::from(old));
    // Twice the error of a log-weight in a sum and in that of squares, and what f32 sums of so many lose.
    let off = |w: &Weighed| w.allowed + left.abs() * (w.rewarded.slack + 4.0 * EPS * w.rewarded.reward.abs());
    let most = group.iter().map(off).fold(0.0, f64::max);
    let part = 4.0 * most + EPS * (64.0 + log_w.len() as f64 / 4.0);
    let wanted = oracle::ess(&log_w, &rewards, 0.0);
    verdict.compare("ladder: ESS before", step, (g, 0), before, wanted, part * wanted);
    let found = oracle::ess(&log_w, &rewards, gained);
    if step + 1 == run.coeffs.len() {
        verdict.compare("ladder: the last step", step, (g, 0), new, f64::from(scheduled), 0.0);
    } else if new == scheduled {
        verdict.compare("ladder: all the way", step, (g, 0), found.min(least), least, part * least);
    } else if new == old {
        verdict.compare("ladder: stays", step, (g, 0), found.max(least), least, part * least);
    } else {
        verdict.compare("ladder: ESS", step, (g, 0), found, least, part * least);
    }
    for w in group {
        w.wanted += gained * w.rewarded.reward;
        w.allowed += gained.abs() * w.rewarded.slack
            + 4.0 * EPS * (w.wanted.abs() + (gained * w.rewarded.reward).abs());
    }
}
