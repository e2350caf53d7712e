//! How far a single run can be trusted: standard errors from its genealogy, the tails of its weights, and a verdict.
//! docs/maths.md (11).
//!
//! A. Lee, N. Whiteley, "Variance estimation in the particle filter", Biometrika 105, 2018; H. P. Chan, T. L. Lai, "A
//! general theory of particle filters", Ann. Statist. 41, 2013; with a lag J. Olsson, R. Douc, Bernoulli 25, 2019.

mod genealogy;
mod pareto;
mod verdict;

use serde::Serialize;

pub use genealogy::{Cloud, Genealogy, correction};
pub use pareto::{Heaviest, Tail, heaviest, shape, tail, tail_length, threshold};
pub use verdict::{Evidence, Verdict, judge};

/// Fewer effective roots than this, and a variance estimate is itself little but noise: at about 10 of them intervals
/// of 95 % covered 89 %.
pub const FEW_ROOTS: f64 = 20.0;

/// What is known of one finished group.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// Log-weights since the last resampling, before any that ends the run, `[slots]`.
    pub log_w: &'a [f64],
    /// Particles of the start from which they descend, `[slots]`; `None` where nobody followed them.
    pub roots: Option<&'a [u32]>,
    /// All parents, and which group this is.
    pub genealogy: Option<(&'a Genealogy, usize)>,
    /// Steps after which it was resampled, but for a resampling that ended the run.
    pub resampled_at: &'a [usize],
    /// Every slot was drawn by itself: multinomial resampling.
    pub independent: bool,
    /// Weights were accrued, log Z is an estimate.
    pub weighed: bool,
    /// The least ESS of a step, particles.
    pub least_ess: f64,
    /// The heaviest tail at a resampling before the last weights; `None` where these were not kept, or had no tail.
    pub heaviest: Option<Heaviest>,
    /// The method has weights that were left out.
    pub left_out: bool,
}

/// Errors of a run's estimates, by itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trust {
    /// In a word.
    pub verdict: Verdict,
    /// Why it is not better.
    pub reasons: Vec<String>,
    /// Standard error of log Z; none where nothing was weighed or the genealogy is not known.
    pub log_z_se: Option<f64>,
    /// Weighted mean of each coordinate.
    pub mean: Vec<f64>,
    /// Standard error of each; none where the genealogy is not known.
    pub mean_se: Option<Vec<f64>>,
    /// Resamplings over which `mean_se` looks back, all of them unless too few families are left of the start.
    pub lag: Option<usize>,
    /// Families from the start, as many as there would be if all weighed the same.
    pub effective_roots: Option<f64>,
    /// Tail of the last weights; none where they do not vary.
    pub weights_tail: Option<Tail>,
    /// The heaviest tail of the weights that particles were resampled by, and when that was; none where they were not kept
    /// ([`crate::Options::tails`]).
    pub increments_tail: Option<Heaviest>,
    /// Tail of the weights of the families, which stand for weights of whole paths.
    pub families_tail: Option<Tail>,
}

/// Weights that sum to one.
pub fn normalised(log_w: &[f64]) -> Vec<f64> {
    let top = log_w.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = log_w.iter().map(|l| (l - top).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|w| w / total).collect()
}

/// Judges `of`, whose coordinate c in a slot is `at(c, slot)` of `dim`.
pub fn assess(of: &Finished, dim: usize, at: impl Fn(usize, usize) -> f64) -> Trust {
    let slots = of.log_w.len();
    let weights = normalised(of.log_w);
    let resamplings = of.resampled_at.len();
    let factor = |n: usize| correction(slots, if of.independent { n } else { 0 });
    let own: Vec<u32> = (0..slots as u32).collect();
    let composed = of.genealogy.filter(|_| of.roots.is_none() && resamplings > 0);
    let composed = composed.map(|(all, group)| all.ancestors(group, 0, all.steps() - 1));
    // Without resampling everybody is a root.
    let roots = if resamplings == 0 { Some(&own[..]) } else { of.roots.or(composed.as_deref()) };
    let whole = roots.filter(|_| slots > 1).map(|roots| Cloud {
        weights: &weights,
        roots,
        correction: factor(resamplings),
    });
    let effective_roots = whole.map(|cloud| cloud.effective_roots());
    let mean: Vec<f64> =
        (0..dim).map(|c| weights.iter().enumerate().map(|(i, w)| w * at(c, i)).sum()).collect();
    let errors =
        |cloud: &Cloud| -> Vec<f64> { (0..dim).map(|c| cloud.mean(|i| at(c, i)).1.sqrt()).collect() };
    let mut mean_se = whole.as_ref().map(errors);
    let mut lag = mean_se.as_ref().map(|_| resamplings);
    let short = effective_roots.is_some_and(|n| n < FEW_ROOTS);
    if let (true, Some((all, group)), Some(se)) = (short, of.genealogy, mean_se.as_mut()) {
        // The largest of all lags, each half of the one before: too long a lag sees one family and no variance, too
        // short a one not all of it.
        let mut back = resamplings / 2;
        while back > 0 {
            let from = of.resampled_at[resamplings - back];
            let since = all.ancestors(group, from, all.steps() - 1);
            let cloud = Cloud { weights: &weights, roots: &since, correction: factor(back) };
            let other = errors(&cloud);
            if other.iter().sum::<f64>() > se.iter().sum::<f64>() {
                lag = Some(back);
            }
            se.iter_mut().zip(other).for_each(|(se, other)| *se = se.max(other));
            back /= 2;
        }
    }
    let log_z_se = whole.filter(|_| of.weighed).map(|cloud| cloud.log_z_variance().sqrt());
    let weights_tail = tail(&weights);
    let families_tail = whole.filter(|_| resamplings > 0).and_then(|cloud| tail(&cloud.shares()));
    let ess = 1.0 / weights.iter().map(|w| w * w).sum::<f64>();
    let (verdict, reasons) = judge(&Evidence {
        slots,
        ess,
        least_ess: of.least_ess,
        effective_roots,
        log_z_se,
        weights_k: weights_tail.map(|tail| tail.k),
        increments: of.heaviest.map(|heaviest| (heaviest.step, heaviest.tail.k)),
        families_k: families_tail.map(|tail| tail.k),
        left_out: of.left_out,
    });
    Trust {
        verdict,
        reasons,
        log_z_se,
        mean,
        mean_se,
        lag,
        effective_roots,
        weights_tail,
        increments_tail: of.heaviest,
        families_tail,
    }
}

/// Estimates of several independent groups taken together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OverGroups {
    /// ln of the mean of their Z.
    pub log_z: f64,
    /// Its standard error, from their spread.
    pub log_z_se: f64,
    /// Means of the coordinates, each group weighted by its Z.
    pub mean: Vec<f64>,
    /// Their standard errors, from the spread.
    pub mean_se: Vec<f64>,
}

/// Two groups or more that sampled the same, by `log_z` (NaN where nothing was weighed) and means.
pub fn over_groups(log_z: &[f64], means: &[&[f64]]) -> Option<OverGroups> {
    let groups = log_z.len();
    if groups < 2 || means.len() != groups {
        return None;
    }
    let weighed = log_z.iter().all(|z| z.is_finite());
    let weights = normalised(&if weighed { log_z.to_vec() } else { vec![0.0; groups] });
    let roots: Vec<u32> = (0..groups as u32).collect();
    let cloud = Cloud { weights: &weights, roots: &roots, correction: correction(groups, 0) };
    let top = log_z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = log_z.iter().map(|z| (z - top).exp()).sum();
    let each = (0..means[0].len()).map(|c| cloud.mean(|g| means[g][c]));
    let (mean, mean_se) = each.map(|(mean, variance)| (mean, variance.sqrt())).unzip();
    Some(OverGroups {
        log_z: if weighed { top + (sum / groups as f64).ln() } else { f64::NAN },
        log_z_se: if weighed { cloud.log_z_variance().sqrt() } else { f64::NAN },
        mean,
        mean_se,
    })
}

#[cfg(test)]
mod tests;
