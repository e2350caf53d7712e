//! Langevin moves between steps: docs/maths.md (7.8). They are rows of the coefficient table like steps, at a noise
//! level that stays, so that kernels know nothing of them; what a run reports is of the steps alone.

use std::fmt;
use std::str::FromStr;

use feynkac_kernels::methods::StepCoeffs;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::Noise;
use crate::options::{Options, Policy};

/// Moves after each step that may resample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Langevin {
    /// How many; 0 is none.
    pub moves: usize,
    /// Their size c: a move lasts c sigma^2 over the sum of the positive exponents. Above 0, below 2.
    pub size: f64,
}

/// The size where none is given.
const SIZE: f64 = 0.1;
/// Moves after a step at most.
const MOST: usize = 1000;

impl Default for Langevin {
    fn default() -> Self {
        Self { moves: 0, size: SIZE }
    }
}

impl FromStr for Langevin {
    type Err = Error;

    /// `3`, `3:0.2`.
    fn from_str(text: &str) -> Result<Self> {
        let (moves, size) = match text.trim().split_once(':') {
            Some((moves, size)) => (moves.parse().ok(), size.parse().ok()),
            None => (text.trim().parse().ok(), Some(SIZE)),
        };
        moves.zip(size).map(|(moves, size)| Self { moves, size }).ok_or_else(|| {
            Error::input(
                "langevin",
                format!("{text:?}"),
                "M or M:c: moves, and their size above 0 and below 2",
            )
        })
    }
}

impl fmt::Display for Langevin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.moves, self.size)
    }
}

impl Langevin {
    /// Refuses what cannot run, naming it.
    pub fn check(&self) -> Result<()> {
        if self.moves > MOST {
            return Err(Error::input("langevin moves", self.moves, format!("0 to {MOST}")));
        }
        if !(self.size > 0.0 && self.size < 2.0) {
            return Err(Error::input("langevin size", self.size, "a number above 0 and below 2"));
        }
        Ok(())
    }

    /// The row of a move at noise level `at`, for exponents `beta`; its weight, which only the exact rule reads,
    /// counts as `exact` says.
    pub fn row(&self, at: Noise, usual: StepCoeffs, exact: f64) -> StepCoeffs {
        let length = self.size * at.sigma.powi(2) / usual.beta.iter().filter(|b| **b > 0.0).sum::<f64>();
        StepCoeffs {
            shrink: 1.0,
            drift: length,
            noise: (2.0 * length).sqrt(),
            rate_old: 0.0,
            rate_new: 0.0,
            constant: 0.0,
            exact,
            back_shrink: 1.0,
            back_drift: length,
            back_precision: 0.5 / length,
            ..usual
        }
    }
}

/// Rows of the coefficient table of each step, moves among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// First row of each step, and the number of rows.
    starts: Vec<usize>,
}

impl Rows {
    /// Of a run whose steps start at `times`.
    pub fn of(options: &Options, times: &[f64]) -> Self {
        let mut starts = vec![0];
        for (step, t) in times.iter().take(options.steps).enumerate() {
            let moves = if follows(options, step, *t) { options.langevin.moves } else { 0 };
            starts.push(starts[step] + 1 + moves);
        }
        Self { starts }
    }

    /// Steps.
    pub fn steps(&self) -> usize {
        self.starts.len() - 1
    }

    /// Rows.
    pub fn count(&self) -> usize {
        self.starts[self.steps()]
    }

    /// Rows of step `step`: itself, and moves after it.
    pub fn of_step(&self, step: usize) -> usize {
        self.starts[step + 1] - self.starts[step]
    }

    /// The step to which row `row` belongs: as many are done before it.
    pub fn step(&self, row: usize) -> usize {
        self.starts.partition_point(|start| *start <= row) - 1
    }

    /// The row that decides whether step `step` resamples: its own; of the last step the last one, because what ends
    /// a run comes after all moves.
    pub fn decided(&self, step: usize) -> usize {
        if step + 1 == self.steps() { self.count() - 1 } else { self.starts[step] }
    }

    /// Steps of a row on average.
    pub fn share(&self) -> f64 {
        self.steps() as f64 / self.count() as f64
    }
}

/// Whether moves follow step `step`, which starts at `t`: where a group may be resampled, and where nothing ever is.
fn follows(options: &Options, step: usize, t: f64) -> bool {
    match options.resample {
        Policy::Interval(n) => (step + 1).is_multiple_of(n),
        Policy::Window(a, b) => (a..=b).contains(&t),
        Policy::Never | Policy::Every | Policy::Ess(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Method;
    use crate::schedule::Schedule;

    #[test]
    fn rows_by_hand() {
        let mut options = Options::new(Method::FkcAnneal, Schedule::Edm);
        (options.steps, options.resample) = (5, Policy::Interval(2));
        let times = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        assert_eq!(Rows::of(&options, &times).starts, [0, 1, 2, 3, 4, 5]);
        options.langevin.moves = 3;
        let rows = Rows::of(&options, &times);
        // s, s m m m, s, s m m m, s
        assert_eq!(rows.starts, [0, 1, 5, 6, 10, 11]);
        assert_eq!((rows.steps(), rows.count(), rows.of_step(1)), (5, 11, 4));
        assert_eq!([0, 1, 4, 5, 9, 10].map(|row| rows.step(row)), [0, 1, 1, 2, 3, 4]);
        assert_eq!([0, 1, 2, 3, 4].map(|step| rows.decided(step)), [0, 1, 5, 6, 10]);
        options.resample = Policy::Window(2.5, 4.0);
        assert_eq!(Rows::of(&options, &times).starts, [0, 1, 2, 6, 10, 11]);
        options.resample = Policy::Every;
        let rows = Rows::of(&options, &times);
        assert_eq!((rows.count(), rows.decided(3), rows.decided(4)), (20, 12, 19));
    }

    #[test]
    fn names_read_back() {
        for (text, moves, size) in [("3", 3, SIZE), ("2:0.5", 2, 0.5), ("0", 0, SIZE)] {
            let found: Langevin = text.parse().expect(text);
            assert_eq!(found, Langevin { moves, size });
            assert_eq!(found.to_string().parse::<Langevin>().expect("its own name"), found);
        }
        for text in ["", "x", "1:", "-1", "1:y", "1:2:3"] {
            assert!(text.parse::<Langevin>().is_err(), "{text}");
        }
        for (moves, size, message) in [
            (1001, 0.1, "langevin moves: found 1001, wanted 0 to 1000"),
            (1, 0.0, "langevin size: found 0, wanted a number above 0 and below 2"),
            (1, 2.0, "langevin size: found 2, wanted a number above 0 and below 2"),
            (1, f64::NAN, "langevin size: found NaN, wanted a number above 0 and below 2"),
        ] {
            assert_eq!(Langevin { moves, size }.check().expect_err("refused").to_string(), message);
        }
    }
}
