//! Normalisation, decisions and ancestors against their oracles.

use feynkac_kernels::passes::{increments, jumps, priority, resample, weights};

use super::{EPS, Snapshot, Verdict, Weighed, climb};
use crate::coeffs::weighs;
use crate::registry::Scheme;
use crate::run::{Run, order};

/// The records of step `step`, and the ancestors of the groups that were resampled.
pub fn check(run: &Run, step: usize, before: &Snapshot, after: &Snapshot, verdict: &mut Verdict) {
    let (k, padded) = (run.of.slots, run.of.padded());
    for g in 0..run.of.groups {
        let log_w = &after.log_w[g * padded..g * padded + k];
        let record = &after.norms[4 * g..4 * g + 4];
        let (m, s, q) = weights::oracle::sums(log_w);
        let at = (g, 0);
        // A weight is exp of a difference below 88 rounded once: 88 eps, and a tree of sums.
        let allowed = 2.0e-5;
        if s > 0.0 && record[3] > -0.5 {
            let [exponent, sum, square] = [record[0], record[1], record[2]].map(f64::from);
            let log_sum = exponent * std::f64::consts::LN_2 + sum.ln();
            verdict.compare(
                "resample: log-sum",
                step,
                at,
                log_sum as f32,
                m + s.ln(),
                allowed + 8.0 * EPS * m.abs(),
            );
            verdict.compare(
                "resample: ESS",
                step,
                at,
                (sum * sum / square) as f32,
                s * s / q,
                4.0 * allowed * s * s / q,
            );
        }
        let share = run.coeffs[step].ess_share;
        let ratio = s * s / (q * k as f64 * share);
        if share < 0.0 || (ratio - 1.0).abs() > 1.0e-4 {
            let decision = weights::oracle::decision(log_w, share);
            verdict.compare("resample: decision", step, at, record[3], f64::from(decision), 0.0);
        }
        if record[3] > 0.5 {
            let own = g * padded..g * padded + k;
            let parents = &after.ancestors[own.clone()];
            if run.options.scheme.jumps() {
                check_jumps(run, step, g, before, after, verdict);
            } else if run.plan.keeps.handed {
                check_priorities(run, step, g, after, verdict);
                let priorities = &after.priorities[own];
                let (m, s, _) = weights::oracle::sums(priorities);
                check_ancestors(run, step, g, priorities, (m, s), (after.chosen[4 * g], parents), verdict);
            } else {
                check_ancestors(run, step, g, log_w, (m, s), (record[0], parents), verdict);
            }
        }
    }
}

/// Log-weights of a group after a step, made milder where that is asked for.
pub fn check_weights(
    run: &Run,
    step: usize,
    g: usize,
    after: &Snapshot,
    group: &mut [Weighed],
    verdict: &mut Verdict,
) {
    let options = run.options;
    if options.milder() && weighs(options) {
        let mut wanted: Vec<f64> = group.iter().map(|w| w.wanted).collect();
        let before: Vec<f64> = group.iter().map(|w| w.before).collect();
        let centre;
        let (quantile, clamp) = (options.quantile, options.clamp);
        (centre, wanted) = increments::oracle::milder(&before, &wanted, quantile, options.centre, clamp);
        let most = group.iter().map(|w| w.wanted.abs() + w.before.abs()).fold(centre.abs(), f64::max);
        let sums = EPS * (8.0 + group.len() as f64 / 8.0) * most;
        // A quantile and a mean carry the errors of all.
        let spread = group.iter().map(|w| w.allowed).fold(0.0, f64::max) + sums;
        for (w, wanted) in group.iter_mut().zip(wanted) {
            (w.wanted, w.allowed) = (wanted, w.allowed + spread);
        }
    }
    if run.plan.keeps.ladder {
        climb::check(run, step, g, after, group, verdict);
    }
    for (i, w) in group.iter().enumerate() {
        verdict.compare("step: log-weight", step, (g, i), w.found, w.wanted, w.allowed);
    }
}

/// Rates of birth and death, and who died and was replaced by whom.
fn check_jumps(run: &Run, step: usize, g: usize, before: &Snapshot, after: &Snapshot, verdict: &mut Verdict) {
    let (k, padded) = (run.of.slots, run.of.padded());
    let own = g * padded..g * padded + k;
    let log_w: Vec<f64> = after.log_w[own.clone()].iter().map(|l| f64::from(*l)).collect();
    let most = log_w.iter().map(|l| l.abs()).fold(0.0, f64::max);
    // A mean of f32, and a difference from it.
    let allowed = EPS * (8.0 + k as f64 / 8.0) * most;
    let priorities = &after.priorities[own.clone()];
    for (i, (birth, death)) in jumps::oracle::rates(&log_w).into_iter().enumerate() {
        let found = f64::from(priorities[i]).exp();
        verdict.compare("births: rate", step, (g, i), found, birth, allowed + 8.0 * EPS * birth);
        let found = after.handed[own.start + i];
        verdict.compare(
            "births: deaths",
            step,
            (g, i),
            found,
            death.min(1.0e30),
            allowed + EPS * death.min(1.0e30),
        );
    }
    let (m, s, _) = weights::oracle::sums(priorities);
    if s == 0.0 {
        return;
    }
    let weigh =
        |unit: f64| priorities.iter().map(|&w| (f64::from(w) - unit).exp() as f32).collect::<Vec<_>>();
    let whole = weights::oracle::integers(&weigh(m), run.of.block());
    let mantissas = weigh(f64::from(after.chosen[4 * g]) * std::f64::consts::LN_2);
    let scheme = run.options.scheme;
    let candidates = resample::oracle::ancestors(scheme.kernel(), &whole, &mantissas, run.seeds[g], step);
    let mut flipped = 0;
    for (i, candidate) in candidates.iter().enumerate() {
        let at = own.start + i;
        let clock = if scheme == Scheme::Clock && step > 0 { f64::from(before.clocks[at]) } else { 0.0 };
        let (dies, left) = jumps::oracle::dies(run.seeds[g], i, step, clock, f64::from(after.handed[at]));
        let wanted = if dies { *candidate } else { i as u32 };
        flipped += u32::from(after.ancestors[at] != wanted);
        if scheme == Scheme::Clock && after.ancestors[at] == wanted {
            // The logarithm of a word, and a difference; who came within that of dying counts as flipped.
            verdict.compare(
                "deaths: clock",
                step,
                (g, i),
                after.clocks[at],
                left,
                1.0e-5 * (1.0 + clock + left),
            );
        }
    }
    verdict.compare("deaths: parents", step, (g, 0), f64::from(flipped), 0.0, 2.0 + 0.01 * k as f64);
}

/// What a group is resampled by, and what its survivors keep.
fn check_priorities(run: &Run, step: usize, g: usize, after: &Snapshot, verdict: &mut Verdict) {
    let (k, padded) = (run.of.slots, run.of.padded());
    let log_w: Vec<f64> = after.log_w[g * padded..][..k].iter().map(|l| f64::from(*l)).collect();
    let (power, first, count) = order(run.options, step, run.coeffs.len(), k);
    for (i, (v, kept)) in priority::oracle::priorities(&log_w, power, first, count).into_iter().enumerate() {
        // The mean of a window is a sum of f32; else a product and a difference.
        let window = if count < k { 2.0e-5 + EPS * count as f64 } else { 0.0 };
        let allowed = window + 4.0 * EPS * (log_w[i].abs() + v.abs() + 1.0);
        let at = g * padded + i;
        verdict.compare("priority: chosen by", step, (g, i), after.priorities[at], v, allowed);
        verdict.compare("priority: handed on", step, (g, i), after.handed[at], kept, allowed);
    }
}

/// Ancestors are those of the oracle but for a few that rounding flips, and counts are what the scheme
/// promises.
fn check_ancestors(
    run: &Run,
    step: usize,
    g: usize,
    log_w: &[f32],
    (m, s): (f64, f64),
    (exponent, parents): (f32, &[u32]),
    verdict: &mut Verdict,
) {
    let k = log_w.len();
    let scheme = run.options.scheme;
    let mut counts = vec![0_u32; k];
    for &p in parents {
        if let Some(count) = counts.get_mut(p as usize) {
            *count += 1;
        } else {
            verdict.compare("resample: range", step, (g, 0), p as f32, k as f64, 0.0);
            return;
        }
    }
    if matches!(scheme, Scheme::Systematic | Scheme::Stratified) {
        let falls = parents.windows(2).filter(|p| p[0] > p[1]).count();
        verdict.compare("resample: order", step, (g, 0), falls as f32, 0.0, 0.0);
    }
    // The oracle's weights are right to f32, as the device's are: a slot whose point lies that close to the
    // border of two particles may fall on either side. A wrong scheme has nearly all of them wrong.
    let weigh = |unit: f64| log_w.iter().map(|&w| (f64::from(w) - unit).exp() as f32).collect::<Vec<_>>();
    let whole = weights::oracle::integers(&weigh(m), run.of.block());
    let mantissas = weigh(f64::from(exponent) * std::f64::consts::LN_2);
    let wanted = resample::oracle::ancestors(scheme.kernel(), &whole, &mantissas, run.seeds[g], step);
    let flipped = parents.iter().zip(&wanted).filter(|(a, b)| a != b).count();
    verdict.compare("resample: ancestors", step, (g, 0), flipped as f32, 0.0, 2.0 + 0.01 * k as f64);
    for (i, (&w, count)) in log_w.iter().zip(counts).enumerate() {
        let share = k as f64 * (f64::from(w) - m).exp() / s;
        let rounding = 2.0e-5 * (share + 1.0);
        let (found, at) = (count as f32, (g, i));
        match scheme {
            Scheme::Systematic => {
                verdict.compare("resample: offspring", step, at, found, share, 1.0 + rounding);
            }
            Scheme::Stratified => {
                verdict.compare("resample: offspring", step, at, found, share, 2.0 + rounding);
            }
            Scheme::Residual => {
                let least = (share - rounding).floor().max(0.0);
                verdict.compare("resample: copies", step, at, found.min(least as f32), least, 0.0);
            }
            _ => {}
        }
    }
}
