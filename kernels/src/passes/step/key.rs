//! What a step's launch is told: its compile key, and the buffers it binds.

use cubecl::prelude::*;

use crate::models::twist::{Potential, SLOTS};
use crate::models::{ModelKey, Twist, TwistKey};
use crate::passes::Sharing;
use crate::passes::weights::Weights;
use crate::passes::weights::kernel::TallyKey;

/// Which part of a step a launch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Everything, the score being evaluated in between.
    Fused,
    /// Gather and move; the score is evaluated elsewhere next.
    Move,
    /// Take the new score and finish the weight.
    Weigh,
    /// The first evaluation, before any move.
    Start,
    /// What a twist that is not told inside a step needs first, from the new scores: rows of the denoised state, or of what
    /// goes back through the network.
    Look,
    /// The same before [`Stage::Start`].
    LookFirst,
    /// After the weight of a reward was raised: what is carried of the state that the step reached, anew.
    Aim,
}

impl Stage {
    /// Leaves rows of what the twist sees.
    pub(crate) fn shows(self) -> bool {
        matches!(self, Stage::Look | Stage::LookFirst)
    }
}

/// Memory for the coordinates of a particle and the scores there, while models work on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scratch {
    /// None: they fit into registers.
    Registers,
    /// Rows for each worker. On the CPU, where they stay in a cache.
    Workers,
    /// This many words of a cube's shared memory, a column a unit.
    Shared(usize),
    /// Rows for each particle.
    Particles,
}

/// What changes the generated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StepKey {
    /// Part of the step.
    pub stage: Stage,
    /// Log-weights are kept, and block records left.
    pub weighed: bool,
    /// Weights from log-densities instead of rates.
    pub exact: bool,
    /// The first log-weight includes the log-density of the target.
    pub weighted_start: bool,
    /// Scores are carried from step to step and evaluated at x'; else they are evaluated at x, where the
    /// weight needs no others.
    pub carried: bool,
    /// The method follows (docs/maths.md (7.4)): densities enter, each end of a step has numbers of its own, and
    /// what is carried is the score to follow and what the next step owes its old state.
    pub follows: bool,
    /// The Laplacians of the models' log-densities enter as well.
    pub laplacians: bool,
    /// The exponent of the last model is its group's own, from the table of rungs.
    pub ladder: bool,
    /// Models whose log-density is carried as an estimate (docs/maths.md (7.9)), a bit each.
    pub estimated: u32,
    /// A likelihood leans the steps of one model: docs/maths.md (13). Scores are carried, and beside them its gradient.
    pub twist: Option<TwistKey>,
    /// Survivors start from the log-weight that their parent hands on, instead of 0.
    pub handed: bool,
    /// Root ancestors are kept.
    pub roots: bool,
    /// The models.
    pub models: ModelKey,
    /// Dimension 1 or 2: two slots share a random block.
    pub paired: bool,
    /// Write x' also as rows `[particles, dim]`, for a model outside.
    pub rows: bool,
    /// 64-bit integers are there.
    pub wide: bool,
    /// The point is looked at: by models, unless all scores come from outside, and by the backward kernel of the rule `exact`.
    pub looks: bool,
    /// Where coordinates and scores are while models work on them, if not in registers.
    pub scratch: Scratch,
    /// How units share blocks.
    pub sharing: Sharing,
}

impl StepKey {
    pub(super) fn moves(&self) -> bool {
        matches!(self.stage, Stage::Fused | Stage::Move)
    }

    /// Takes scores at the new state.
    pub(super) fn settles(&self) -> bool {
        match self.stage {
            Stage::Move | Stage::Look | Stage::LookFirst => false,
            Stage::Fused => self.carried,
            Stage::Weigh | Stage::Start | Stage::Aim => true,
        }
    }

    /// Leaves rows of what the twist sees.
    pub(crate) fn shows(&self) -> bool {
        self.stage.shows()
    }

    /// The state is the first one.
    pub(super) fn first(&self) -> bool {
        matches!(self.stage, Stage::Start | Stage::LookFirst)
    }

    /// Ends a step, and adds its new state's part to the log-weight.
    pub(super) fn ends(&self) -> bool {
        matches!(self.stage, Stage::Fused | Stage::Weigh)
    }

    /// What is carried is left to [`Stage::Aim`], and the reward in the place of log-densities.
    pub(super) fn leaves_reward(&self) -> bool {
        self.ladder && self.ends()
    }

    pub(crate) fn tally(&self) -> TallyKey {
        TallyKey { kind: Weights::Log, wide: self.wide, sharing: self.sharing }
    }

    /// Whether the log-density of model `index` is an estimate.
    pub(super) fn estimates(&self, index: usize) -> bool {
        self.estimated >> index & 1 == 1
    }

    /// The family of the twist; for keys that have one.
    pub(super) fn twist(&self) -> Twist {
        self.twist.map_or(Twist::Linear, |twist| twist.twist)
    }

    /// A step may put coordinates in their place; then it is as broad everywhere, and weighs them by that.
    pub(super) fn pins(&self) -> bool {
        self.twist.is_some_and(|twist| twist.pins)
    }

    /// What is leant stays within a range.
    pub(super) fn ranged(&self) -> bool {
        self.twist.is_some_and(|twist| twist.ranged)
    }

    /// The model says how broad a step is.
    pub(super) fn broad(&self) -> bool {
        self.twist.is_some_and(|twist| twist.broad)
    }

    /// What steers in the place of a gradient.
    pub(super) fn steers(&self) -> Option<Potential> {
        self.twist.and_then(|twist| twist.steers)
    }

    /// Of scores, and what a twist works in: rows a coordinate in the scratch memory.
    pub(super) fn slots(&self) -> usize {
        self.models.count + if self.twist.is_some() { SLOTS } else { 0 }
    }

    /// Rows of carried scores for each coordinate.
    pub(super) fn carried_scores(&self) -> usize {
        if let Some(twist) = self.twist {
            return twist.rows();
        }
        match (self.follows, self.estimated) {
            (true, 0) => 1,
            (true, _) => 1 + self.models.count,
            (false, _) => self.models.count,
        }
    }

    /// Rows of carried log-densities behind them.
    pub(super) fn carried_logs(&self) -> usize {
        if self.estimated > 0 { self.models.count } else { 0 }
    }

    /// Words of shared memory for scratch.
    pub(crate) fn shared(&self) -> usize {
        if let Scratch::Shared(words) = self.scratch { words } else { 0 }
    }

    /// The point after the move is looked at in this launch.
    pub(super) fn looks_after(&self) -> bool {
        self.looks && self.carried && matches!(self.stage, Stage::Fused)
    }

    pub(super) fn records(&self) -> bool {
        self.weighed && matches!(self.stage, Stage::Fused | Stage::Weigh | Stage::Start)
    }
}

/// What a population carries from step to step.
#[derive(CubeLaunch, CubeType)]
pub struct Carry<E: Float> {
    /// Positions, dim rows.
    pub x: Box<[E]>,
    /// Scores there, models * dim rows; of a twisted model its score and the gradient of log psi; of methods that follow the score to follow, dim rows;
    /// where log-densities are estimated, behind it those of the models, and a row of log-densities a model.
    pub scores: Box<[E]>,
    /// Log-weights, `[stride]`.
    pub log_w: Box<[f32]>,
    /// Log-densities of the target, `[stride]`: the exact rule has them. Methods that follow keep here, under the
    /// other rules, what the next step owes its old state; between a step and [`Stage::Aim`] the reward. log psi of a
    /// twisted model.
    pub log_p: Box<[f32]>,
    /// First ancestor of each particle at the start of the run.
    pub roots: Box<[u32]>,
    /// One cell: the number of the step that starts here.
    pub clock: Box<[u32]>,
}

/// What the passes of a step hand to each other.
#[derive(CubeLaunch, CubeType)]
pub struct Common {
    /// Parents within the group.
    pub ancestors: Box<[u32]>,
    /// A record a group: see the resample pass.
    pub norms: Box<[f32]>,
    /// Rows `[particles, dim]`, where the key asks for them.
    pub rows: Box<[f32]>,
    /// A record a block: see the weights pass.
    pub blocks: Box<[u32]>,
    /// Log-weights that particles hand on, `[stride]`, where the key asks for them: see the priority pass.
    pub handed: Box<[f32]>,
}

/// Tables of the run.
#[derive(CubeLaunch, CubeType)]
pub struct Tables {
    /// A row a step, see [`crate::methods::StepCoeffs`].
    pub coeffs: Box<[f32]>,
    /// Two words a group.
    pub seeds: Box<[u32]>,
    /// Exponents of the last model, where the key asks for them: see the ladder pass.
    pub rungs: Box<[f32]>,
}
