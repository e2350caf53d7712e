//! The names of tasks, spreads and chains: what is displayed can be parsed again.

use std::fmt;
use std::str::FromStr;

use super::{Chain, Potential, Proposal, Spread, Task};
use crate::error::{Error, Result};

/// The task that has a network in place of a file.
pub(crate) const CLASSIFIER: &str = "classifier";

/// (name, tensors of its file, doc) of every task.
pub const TASKS: &[(&str, &str, &str)] = &[
    (
        "linear",
        "A [M, D], y [M]",
        "A x0 measures y with noise; noise [M] in the file is that of each component; in the place of A kernel [KH, KW], \
         image [3] (its C, H, W) and stride [1]: a filter of images, which are 0 beyond their edges",
    ),
    (
        "inpaint",
        "mask [D], y [D]",
        "coordinates whose mask is not 0 are known; noise 0 puts them in their place",
    ),
    ("placement", "motif [M], offsets [P]", "a block is at one of P places; noise 0 puts it there"),
    ("inequalities", "A [M, D], b [M]", "A x0 <= b"),
    (
        "bounds",
        "lower [D], upper [D]",
        "lower <= x0 <= upper; infinite, or without the tensor, there is no bound",
    ),
    (
        "reward",
        "slope, curvature, centre [D]",
        "the target is multiplied by exp(sum of slope x0 - curvature (x0 - centre)^2/2); what is not there is 0",
    ),
    (
        CLASSIFIER,
        "--classifier DIR",
        "the classifier says that the sample is of class --class; to the power --classifier-scale",
    ),
];

/// (spelling, doc) of every variance of a denoised state.
pub const SPREADS: &[(&str, &str)] = &[
    ("data", "v t/(v + t), v = sigma^2/alpha^2, t the variance of the model's samples; the default"),
    ("noise", "v"),
    ("tau:F", "v F/(v + F)"),
    ("step", "b/alpha, b what the forward chain adds over the step: of DDPM beta/sqrt(alpha bar)"),
    ("residual", "2 b |y - D| of each coordinate of inpaint, no less than b"),
];

/// (name, chain, doc) of every chain.
pub const CHAINS: &[(&str, Chain, &str)] = &[
    ("forward", Chain::Forward, "steps with the variance that the forward chain adds; the default"),
    ("posterior", Chain::Posterior, "with that of the forward chain given both ends, none on the last step"),
    ("clipped", Chain::Clipped, "as posterior, and on the last step with the variance of the step before"),
    (
        "learned",
        Chain::Learned,
        "with one between those two that the network says (variance_type learned_range), none on the last step",
    ),
    ("truncated", Chain::Truncated, "as forward, and none on the last step: --t-min is where it is cut off"),
];

/// (name, proposal, doc) of every proposal.
pub const PROPOSALS: &[(&str, Proposal, &str)] = &[
    ("twisted", Proposal::Twisted, "the model's own steps, leant by the task; the default"),
    (
        "replacement",
        Proposal::Replacement,
        "what inpaint knows is put in its place at every level, with noise: SMCDiff",
    ),
];

/// (name, potential, doc) of every potential.
pub const POTENTIALS: &[(&str, Potential, &str)] = &[
    ("difference", Potential::Difference, "by how much log psi grew over a step; the default"),
    ("max", Potential::Max, "the largest log psi on the way; needs --twist-lean 0"),
    ("sum", Potential::Sum, "the sum of log psi on the way; needs --twist-lean 0"),
];

fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    format!("one of {}", all.collect::<Vec<_>>().join(", "))
}

impl Task {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Task::Linear { .. } => "linear",
            Task::Inpaint { .. } => "inpaint",
            Task::Placement { .. } => "placement",
            Task::Inequalities { .. } => "inequalities",
            Task::Bounds { .. } => "bounds",
            Task::Reward { .. } => "reward",
            Task::Classifier { .. } => CLASSIFIER,
            Task::Own => "own",
        }
    }
}

impl FromStr for Spread {
    type Err = Error;

    /// `data`, `noise`, `tau:0.3`, `step`, `residual`.
    fn from_str(text: &str) -> Result<Self> {
        let found = match text.trim() {
            "data" => Some(Spread::Data),
            "noise" => Some(Spread::Noise),
            "step" => Some(Spread::Step),
            "residual" => Some(Spread::Residual),
            other => other.strip_prefix("tau:").and_then(|tau| tau.parse().ok()).map(Spread::Tau),
        };
        let wanted = || names(SPREADS.iter().map(|row| row.0));
        found.map_or_else(|| Err(Error::input("twist-variance", format!("{text:?}"), wanted())), Ok)
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spread::Data => f.write_str("data"),
            Spread::Noise => f.write_str("noise"),
            Spread::Step => f.write_str("step"),
            Spread::Residual => f.write_str("residual"),
            Spread::Tau(tau) => write!(f, "tau:{tau}"),
        }
    }
}

named!(Chain, "chain", CHAINS);
named!(Potential, "potential", POTENTIALS);
named!(Proposal, "proposal", PROPOSALS);
