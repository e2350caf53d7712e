//! What an H100 should reach, and whether it did.

use super::{Figure, Part};

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// At most so many seconds.
    Seconds(f64),
    /// At least this share of the rate of a copy.
    OfCopy(f64),
}

/// A goal of one figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// The figure.
    pub key: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Particles.
    pub particles: usize,
    /// The limit.
    pub limit: Limit,
}

const fn goal(key: &'static str, what: &'static str, power: u32, limit: Limit) -> Goal {
    Goal { key, what, particles: 1 << power, limit }
}

/// On an H100, for CUDA by either code generator.
pub const GOALS: &[Goal] = &[
    goal("resample", "log-sum-exp, ESS, scan, ancestors", 20, Limit::Seconds(7.0e-6)),
    goal("resample", "log-sum-exp, ESS, scan, ancestors", 24, Limit::OfCopy(0.8)),
    goal("gmm", "GMM-40 annealed, a whole step", 20, Limit::Seconds(25.0e-6)),
    goal("gmm", "GMM-40 annealed, a whole step", 14, Limit::Seconds(8.0e-6)),
    goal("wide", "gather-fused step, D = 64, f32", 20, Limit::Seconds(217.0e-6)),
    goal("wide-f16", "gather-fused step, D = 64, f16", 20, Limit::Seconds(125.0e-6)),
    goal("mlp-bf16", "network 4 x 128, bf16", 20, Limit::Seconds(300.0e-6)),
];

/// Times of wgpu over those of CUDA, at most.
pub const WGPU_OVER_CUDA: f64 = 1.5;

/// What became of a goal.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The figure, or why there is none.
    pub found: String,
    /// Met or missed; `None` where nothing was measured.
    pub met: Option<bool>,
}

impl Goal {
    /// The limit in words.
    pub fn wanted(&self) -> String {
        match self.limit {
            Limit::Seconds(s) => format!("<= {:.0} us", 1e6 * s),
            Limit::OfCopy(share) => format!(">= {:.0} % of the copy", 100.0 * share),
        }
    }

    /// What `part` says of it.
    pub fn judge(&self, part: &Part) -> Outcome {
        let own = |figure: &&Figure| figure.key == self.key && figure.particles == self.particles;
        let Some(figure) = part.figures.iter().find(own) else {
            return Outcome { found: "not measured".to_owned(), met: None };
        };
        let [_, median, _] = match &figure.seconds {
            Ok(seconds) => *seconds,
            Err(why) => return Outcome { found: why.clone(), met: None },
        };
        match (self.limit, part.copy) {
            (Limit::Seconds(most), _) => {
                Outcome { found: format!("{:.1} us", 1e6 * median), met: Some(median <= most) }
            }
            (Limit::OfCopy(least), Some([_, copy, _])) => {
                let share = figure.bytes / median / copy;
                Outcome { found: format!("{:.0} %", 100.0 * share), met: Some(share >= least) }
            }
            (Limit::OfCopy(_), None) => Outcome { found: "the copy was not measured".to_owned(), met: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(seconds: f64, bytes: f64) -> Part {
        let figure = |goal: &Goal| Figure {
            key: goal.key.to_owned(),
            what: goal.what.to_owned(),
            particles: goal.particles,
            seconds: Ok([seconds; 3]),
            bytes,
        };
        Part {
            not_run: None,
            copy: Some([1.0e12; 3]),
            figures: GOALS.iter().filter(|goal| goal.key != "mlp-bf16").map(figure).collect(),
            ..Part::missing("cuda", "LLVM-PTX", "")
        }
    }

    #[test]
    fn goals_are_met_or_missed_by_their_limit() {
        // 8 us for 8.1 MB: at 1 TB/s of copy that is 101 %.
        let met: Vec<Option<bool>> = GOALS.iter().map(|goal| goal.judge(&part(8.0e-6, 8.1e6)).met).collect();
        let yes = Some(true);
        assert_eq!(met, [Some(false), yes, yes, yes, yes, yes, None]);
        // 1 ms for the same is too slow for all.
        let slow = part(1.0e-3, 8.1e6);
        assert!(GOALS[..6].iter().all(|goal| goal.judge(&slow).met == Some(false)));
    }
}
