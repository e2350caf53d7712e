//! The verdict: docs/maths.md (11.4).

use std::fmt;

use serde::Serialize;

use super::FEW_ROOTS;
use super::pareto::threshold;

/// Whether a run's estimates and their standard errors hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing speaks against it.
    Reliable,
    /// Estimates or errors may be off by more than the errors say.
    Doubtful,
    /// They are.
    Broken,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Reliable => "reliable",
            Verdict::Doubtful => "doubtful",
            Verdict::Broken => "broken",
        })
    }
}

/// What a verdict goes by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Particles.
    pub slots: usize,
    /// ESS of the last weights.
    pub ess: f64,
    /// The least ESS of a step.
    pub least_ess: f64,
    /// Families that are left, in effect; `None` where nobody followed them.
    pub effective_roots: Option<f64>,
    /// Standard error of log Z.
    pub log_z_se: Option<f64>,
    /// k^ of the last weights.
    pub weights_k: Option<f64>,
    /// The largest k^ of the weights at a resampling, and the step.
    pub increments: Option<(usize, f64)>,
    /// k^ of the families' weights.
    pub families_k: Option<f64>,
    /// The method's weights were left out.
    pub left_out: bool,
}

/// Below this many particles in effect, a mean of theirs is not normal.
const FEW: f64 = 20.0;
/// And below this many it is one of a handful.
const HANDFUL: f64 = 2.0;
/// Tails without a mean.
const NO_MEAN: f64 = 1.0;
/// Standard errors of log Z above which exp does not turn an interval of log Z into one of Z; and above which its order
/// of magnitude is open.
const WIDE: f64 = 0.5;
const OPEN: f64 = 0.95;

/// The worst of all that is found, and a reason each.
pub fn judge(of: &Evidence) -> (Verdict, Vec<String>) {
    let mut worst = Verdict::Reliable;
    let mut reasons = Vec::new();
    let mut say = |verdict: Verdict, reason: String| {
        worst = worst.max(verdict);
        reasons.push(reason);
    };
    let by = |broken: bool| if broken { Verdict::Broken } else { Verdict::Doubtful };
    let limit = threshold(of.slots);
    for (what, k) in [("the last weights", of.weights_k), ("the weights of whole paths", of.families_k)] {
        if let Some(k) = k.filter(|k| *k > limit) {
            say(by(k > NO_MEAN), format!("the tail of {what} is too heavy: k {k:.2}, at most {limit:.2}"));
        }
    }
    if let Some((step, k)) = of.increments.filter(|(_, k)| *k > limit) {
        let what = format!("the tail of the weights resampled after step {step} is too heavy");
        say(by(k > NO_MEAN), format!("{what}: k {k:.2}, at most {limit:.2}"));
    }
    match of.effective_roots {
        Some(n) if n < FEW_ROOTS && of.slots > 1 => {
            say(by(n < HANDFUL), format!("few particles of the start are left, {n:.1} in effect"));
        }
        None if of.slots > 1 => say(Verdict::Doubtful, "nobody followed the roots".to_string()),
        _ => (),
    }
    for (what, ess) in [("at the end", of.ess), ("at its least", of.least_ess)] {
        if ess < FEW {
            say(by(ess < HANDFUL && of.slots > 1), format!("the ESS {what} is {ess:.1}"));
        }
    }
    if let Some(se) = of.log_z_se.filter(|se| *se > WIDE) {
        say(by(se > OPEN), format!("the standard error of log Z is {se:.2}"));
    }
    if of.left_out {
        say(Verdict::Doubtful, "the weights were left out: these are samples of something else".to_string());
    }
    (worst, reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Evidence = Evidence {
        slots: 4096,
        ess: 3000.0,
        least_ess: 2000.0,
        effective_roots: Some(800.0),
        log_z_se: Some(0.03),
        weights_k: Some(0.3),
        increments: Some((3, 0.4)),
        families_k: Some(0.5),
        left_out: false,
    };

    #[test]
    fn each_reason_alone() {
        assert_eq!(judge(&GOOD), (Verdict::Reliable, Vec::new()));
        let none = Evidence { weights_k: None, increments: None, families_k: None, log_z_se: None, ..GOOD };
        assert_eq!(judge(&none).0, Verdict::Reliable);
        for (bad, verdict, word) in [
            (Evidence { families_k: Some(0.8), ..GOOD }, Verdict::Doubtful, "whole paths"),
            (Evidence { families_k: Some(1.2), ..GOOD }, Verdict::Broken, "whole paths"),
            (Evidence { increments: Some((17, 0.72)), ..GOOD }, Verdict::Doubtful, "after step 17"),
            (Evidence { increments: Some((17, 1.1)), ..GOOD }, Verdict::Broken, "k 1.10"),
            (Evidence { weights_k: Some(0.71), ..GOOD }, Verdict::Doubtful, "last weights"),
            (Evidence { effective_roots: Some(15.0), ..GOOD }, Verdict::Doubtful, "15.0 in effect"),
            (Evidence { effective_roots: Some(1.0), ..GOOD }, Verdict::Broken, "1.0 in effect"),
            (Evidence { effective_roots: None, ..GOOD }, Verdict::Doubtful, "roots"),
            (Evidence { ess: 12.0, ..GOOD }, Verdict::Doubtful, "at the end is 12.0"),
            (Evidence { least_ess: 1.0, ..GOOD }, Verdict::Broken, "at its least is 1.0"),
            (Evidence { log_z_se: Some(0.6), ..GOOD }, Verdict::Doubtful, "0.60"),
            (Evidence { log_z_se: Some(0.99), ..GOOD }, Verdict::Broken, "0.99"),
            (Evidence { left_out: true, ..GOOD }, Verdict::Doubtful, "left out"),
        ] {
            let (found, reasons) = judge(&bad);
            assert_eq!(found, verdict, "{reasons:?}");
            assert!(reasons.len() == 1 && reasons[0].contains(word), "{reasons:?} has no {word}");
        }
    }

    #[test]
    fn the_worst_counts() {
        let bad = Evidence { families_k: Some(0.8), ess: 1.5, ..GOOD };
        let (verdict, reasons) = judge(&bad);
        assert_eq!((verdict, reasons.len()), (Verdict::Broken, 2));
        // Fewer draws allow less of a tail.
        let few = Evidence { slots: 100, ..GOOD };
        assert_eq!(judge(&Evidence { families_k: Some(0.51), ..few }).0, Verdict::Doubtful);
        assert_eq!(
            judge(&Evidence { slots: 1, effective_roots: None, ess: 1.0, ..GOOD }).0,
            Verdict::Doubtful
        );
    }
}
