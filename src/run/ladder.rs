//! The weight of a reward that is raised by the ESS: docs/maths.md (7.6a).

use std::fmt;

use feynkac_kernels::device::Buf;
use feynkac_kernels::passes::ladder::{self, RUNG};
use feynkac_kernels::passes::step::Carried;
use serde::Serialize;

use super::Run;
use crate::aim::Growth;
use crate::error::Result;

/// How the weight of a reward went up.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    /// The weight during each step and after the last one, `[group][step]`, one more than steps.
    pub weights: Vec<Vec<f64>>,
    /// What the schedule has, one more than steps.
    pub scheduled: Vec<f64>,
    /// ESS of each group before the last step raised the weight, particles.
    pub before: Vec<f64>,
    /// And after.
    pub after: Vec<f64>,
}

/// Least, median and greatest over groups.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Least.
    pub min: f64,
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// Greatest.
    pub max: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let (n, last) = (sorted.len(), sorted.len().saturating_sub(1));
        let at = |i: usize| sorted.get(i).copied().unwrap_or(f64::NAN);
        Self { min: at(0), median: 0.5 * (at(last / 2) + at(n / 2)), max: at(last) }
    }
}

/// A [`Ladder`] over groups.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Climbed {
    /// The weight after each step.
    pub weights: Vec<Spread>,
    /// Steps until it was all there.
    pub steps: Spread,
    /// Steps after which the ESS held it back.
    pub held: Spread,
    /// What of it was held back until the last step, which takes it whole.
    pub left: Spread,
    /// ESS before that, particles.
    pub ess_before: Spread,
    /// And after.
    pub ess_after: Spread,
}

impl Ladder {
    /// Steps of group `group` until the weight was all there.
    pub fn steps(&self, group: usize) -> usize {
        let weights = &self.weights[group];
        weights.iter().position(|weight| Some(weight) == weights.last()).unwrap_or(0)
    }

    /// Steps after which the ESS held the weight of group `group` back.
    pub fn held(&self, group: usize) -> usize {
        self.weights[group]
            .iter()
            .zip(&self.scheduled)
            .filter(|(weight, scheduled)| weight != scheduled)
            .count()
    }

    /// Over groups.
    pub fn climbed(&self) -> Climbed {
        let rungs = self.weights.first().map_or(0, Vec::len);
        let left = |weights: &Vec<f64>| self.scheduled[rungs - 2] - weights[rungs - 2];
        Climbed {
            weights: (1..rungs).map(|i| Spread::of(self.weights.iter().map(|w| w[i]))).collect(),
            steps: Spread::of((0..self.weights.len()).map(|group| self.steps(group) as f64)),
            held: Spread::of((0..self.weights.len()).map(|group| self.held(group) as f64)),
            left: Spread::of(self.weights.iter().map(left)),
            ess_before: Spread::of(self.before.iter().copied()),
            ess_after: Spread::of(self.after.iter().copied()),
        }
    }

    /// Adds groups that came after these.
    pub(super) fn append(&mut self, more: &Self) {
        self.weights.extend_from_slice(&more.weights);
        self.before.extend_from_slice(&more.before);
        self.after.extend_from_slice(&more.after);
    }
}

impl fmt::Display for Climbed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { min, median, max } = self.held;
        write!(f, "its weight was held back by the ESS after {median} steps, {min} to {max}")?;
        if self.left.min != 0.0 || self.left.max != 0.0 {
            let (left, from, to) = (self.left.median, self.ess_before.median, self.ess_after.median);
            write!(f, "; the last step took what was left, {left:.3}: ESS {from:.0} before, {to:.0} after")?;
        }
        Ok(())
    }
}

impl Run<'_> {
    /// The launch that raises the weight of the reward; nothing where it follows a schedule.
    pub(super) fn climb<'b>(&'b self, after: &'b Carried) -> Option<ladder::Ladder<'b>> {
        let Growth::Ess(share) = self.options.reward?.growth else { return None };
        Some(ladder::Ladder {
            share: share as f32,
            steps: self.coeffs.len(),
            log_w: &after.log_w,
            rewards: &after.log_p,
            coeffs: &self.table,
            records: &self.blocks,
            rungs: self.rungs(),
            of: &self.of,
        })
    }

    /// The weights of the reward on the device.
    pub(crate) fn rungs(&self) -> &Buf<f32> {
        &self.chosen.rungs
    }

    /// How the weight went up, where the ESS said how far; `ess` is that after each step, `[group][step]`.
    pub(super) fn ladder(&self, ess: &[Vec<f64>]) -> Result<Option<Ladder>> {
        if !self.plan.keeps.ladder {
            return Ok(None);
        }
        let groups = self.of.groups;
        let flat = self.device.download(self.rungs())?;
        let word = |i: usize| flat.iter().skip(i).step_by(RUNG).map(|w| f64::from(*w)).collect::<Vec<f64>>();
        let (weights, before) = (word(0), word(1));
        let of = |g: usize| weights.iter().skip(g).step_by(groups).copied().collect();
        Ok(Some(Ladder {
            weights: (0..groups).map(of).collect(),
            scheduled: (0..=self.coeffs.len()).map(|at| f64::from(self.row(at).side[3] as f32)).collect(),
            before: before[before.len() - groups..].to_vec(),
            after: ess.iter().map(|ess| ess.last().copied().unwrap_or(f64::NAN)).collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_by_hand() {
        let scheduled = vec![0.0, 1.0, 1.0];
        let weights = vec![vec![0.0, 0.5, 1.0]];
        let mut ladder =
            Ladder { weights, scheduled: scheduled.clone(), before: vec![9.0], after: vec![5.0] };
        ladder.append(&Ladder {
            weights: vec![scheduled.clone()],
            scheduled,
            before: vec![7.0],
            after: vec![7.0],
        });
        assert_eq!([ladder.steps(0), ladder.steps(1)], [2, 1]);
        assert_eq!([ladder.held(0), ladder.held(1)], [1, 0]);
        let climbed = ladder.climbed();
        assert_eq!(climbed.weights[0], Spread { min: 0.5, median: 0.75, max: 1.0 });
        assert_eq!(climbed.steps, Spread { min: 1.0, median: 1.5, max: 2.0 });
        assert_eq!(climbed.left, Spread { min: 0.0, median: 0.25, max: 0.5 });
        assert_eq!(
            climbed.to_string(),
            "its weight was held back by the ESS after 0.5 steps, 0 to 1; the last step took what was left, 0.250: ESS 8 \
             before, 6 after"
        );
    }
}
