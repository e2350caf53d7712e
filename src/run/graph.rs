//! The steady state of a run: recorded as a graph of several steps and replayed, or launched step by step.

use std::fmt;

use feynkac_kernels::device::Graph;

use super::Run;
use crate::error::{Error, Result};
use crate::model::Model;

/// Steps of a graph at most. What a replay costs the host is shared by its steps; more of them gain little.
const WINDOW: usize = 16;
/// Steps that are launched before a graph is recorded, one of each parity: they compile, and warm up.
const WARM: usize = 2;

/// How the steps reach the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Steady {
    /// This many steps are recorded, and replayed until too few are left.
    Replayed(usize),
    /// Launched one by one, for this reason.
    Launched(String),
}

impl fmt::Display for Steady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Steady::Replayed(window) => write!(f, "captured and replayed, {window} steps at a time"),
            Steady::Launched(why) => write!(f, "launches: {why}"),
        }
    }
}

/// Steps of the graph of a run of `steps`: they leave few over, and are replayed twice at least. Even, because steps
/// read and write two populations in turn.
fn window(steps: usize) -> Option<usize> {
    let steady = steps.checked_sub(WARM)?;
    let replays = steady.div_ceil(WINDOW).max(2);
    Some(steady / replays / 2 * 2).filter(|window| *window > 0)
}

impl Run<'_> {
    /// How the steps reach the device: as planned, and once the run is open, as it came.
    pub fn steady(&self) -> Steady {
        let launched = |why: &str| Steady::Launched(why.to_owned());
        if !self.options.graph {
            launched("no graph is asked for")
        } else if let Err(why) = self.device.captures() {
            launched(why)
        } else if self.models.iter().any(|model| matches!(model, Model::Foreign(_))) {
            launched("the host tells a foreign model each level")
        } else if self.judge.is_told() {
            launched("the host tells a likelihood each level")
        } else if self.at_once() > 1 {
            launched("several steps share one")
        } else if let Some(why) = &*self.refused.borrow() {
            Steady::Launched(why.clone())
        } else {
            window(self.coeffs.len()).map_or_else(|| launched("too few steps"), Steady::Replayed)
        }
    }

    /// Launches the passes before the first step, and the first time around records the steady state where there is
    /// one, which takes the first steps. Returns the steps that are done. [`Run::advance_through`] replays it.
    pub fn open(&self) -> Result<usize> {
        self.begin()?;
        let Steady::Replayed(window) = self.steady() else { return Ok(0) };
        if self.graph.borrow().is_some() {
            return Ok(0);
        }
        let follow = |steps: usize| (0..steps).try_for_each(|step| self.follow(step));
        match self.device.capture::<Error>(|| follow(WARM), || follow(window)) {
            Ok(graph) => {
                *self.graph.borrow_mut() = Some((graph, window));
                self.clock.set(Some(WARM));
                Ok(WARM)
            }
            Err(error) => {
                // What the recorded launches would have written counts as lost.
                *self.refused.borrow_mut() = Some(error.to_string());
                self.begin()?;
                Ok(0)
            }
        }
    }

    /// Launches one step whose number is on the device; `step` has its parity.
    fn follow(&self, step: usize) -> Result<()> {
        self.plan.step.iter().try_for_each(|&pass| self.put(pass, step, None))
    }

    /// Replays the graph if what comes next is step `step`, and the graph ends at step `end` or before. Returns the
    /// steps that are done.
    pub(super) fn replay(&self, step: usize, end: usize) -> Result<usize> {
        let graph = self.graph.borrow();
        let Some((graph, window)) = graph.as_ref() else { return Ok(0) };
        let whole = step + window <= end.min(self.coeffs.len());
        if !whole || !step.is_multiple_of(2) || self.clock.get() != Some(step) {
            return Ok(0);
        }
        self.device.replay(graph)?;
        self.clock.set(Some(step + window));
        Ok(*window)
    }

    /// Steps that go together: those of a launch, or of a graph.
    pub fn stride(&self) -> usize {
        self.graph.borrow().as_ref().map_or_else(|| self.at_once(), |(_, window)| *window)
    }
}

/// What [`Run`] keeps.
pub(super) type Kept = Option<(Graph, usize)>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_even_and_leave_few_steps_over() {
        for (steps, wanted) in
            [(1, None), (2, None), (5, None), (6, Some(2)), (7, Some(2)), (34, Some(16)), (200, Some(14))]
        {
            assert_eq!(window(steps), wanted, "{steps} steps");
        }
        for steps in 6..3000 {
            let (window, steady) = (window(steps).unwrap(), steps - WARM);
            assert!(window % 2 == 0 && window <= WINDOW && steady / window >= 2, "{steps} steps: {window}");
            assert!(steady % window < WINDOW, "{steps} steps: {window}");
        }
    }
}
