//! Normalisation, decisions and ancestors against their oracles.

use feynkac_kernels::passes::weights;

use super::{EPS, Snapshot, Verdict};
use crate::run::Run;

/// The records of step `step`, and the ancestors of the groups that were resampled.
pub fn check(run: &Run, step: usize, after: &Snapshot, verdict: &mut Verdict) {
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
            let parents = &after.ancestors[g * padded..g * padded + k];
            check_ancestors(step, g, log_w, (m, s), parents, verdict);
        }
    }
}

/// Ancestors never decrease and each count is within one of its share.
fn check_ancestors(
    step: usize,
    g: usize,
    log_w: &[f32],
    (m, s): (f64, f64),
    parents: &[u32],
    verdict: &mut Verdict,
) {
    let k = log_w.len();
    let falls = parents.windows(2).filter(|p| p[0] > p[1]).count();
    verdict.compare("resample: order", step, (g, 0), falls as f32, 0.0, 0.0);
    let mut counts = vec![0_u32; k];
    for &p in parents {
        if let Some(count) = counts.get_mut(p as usize) {
            *count += 1;
        } else {
            verdict.compare("resample: range", step, (g, 0), p as f32, k as f64, 0.0);
        }
    }
    for (i, (&w, count)) in log_w.iter().zip(counts).enumerate() {
        let share = k as f64 * (f64::from(w) - m).exp() / s;
        let allowed = 1.0 + 2.0e-5 * (share + 1.0);
        verdict.compare("resample: offspring", step, (g, i), count as f32, share, allowed);
    }
}
