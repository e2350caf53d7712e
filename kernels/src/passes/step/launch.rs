//! Check, configure, launch.

use super::carried::{Carried, Keeps};
use super::feed::Feed;
use super::kernel::step_kernel;
use super::key::{CommonLaunch, Scratch, Stage, StepKey, TablesLaunch};
use crate::device::{Buf, Device};
use crate::error::{Result, argument, enough};
use crate::methods::{Compose, Method, Mixture, Plain, ROW, Tilted, Transport};
use crate::models::{Analytic, Buffer, FEW, Kind, MAX_MODELS, ModelKey, ModelsLaunch, Score};
use crate::passes::ladder::RUNG;
use crate::passes::{Number, Work};
use crate::prims::space::{Euclid, Space};
use crate::prims::state::{Element, Population};

/// Everything a step launch binds.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// Which part.
    pub stage: Stage,
    /// What is kept.
    pub keeps: Keeps,
    /// The first log-weight includes the log-density of the target ([`Stage::Start`]).
    pub weighted_start: bool,
    /// Every group is resampled before every step.
    pub always: bool,
    /// What it reads.
    pub before: &'a Carried,
    /// What it writes.
    pub after: &'a Carried,
    /// Parents.
    pub ancestors: &'a Buf<u32>,
    /// Group records.
    pub norms: &'a Buf<f32>,
    /// Memory for models to work in, [`Keeps::scratch_cells`] of it.
    pub scratch: &'a Buf<f32>,
    /// Models.
    pub feed: &'a Feed,
    /// Rows `[particles, dim]` for a model outside; one cell where there is none.
    pub rows: &'a Buf<f32>,
    /// A model outside evaluates the scores: [`Stage::Move`] writes its rows.
    pub outside: bool,
    /// Block records.
    pub blocks: &'a Buf<u32>,
    /// Log-weights that particles hand on; one cell where they hand on none.
    pub handed: &'a Buf<f32>,
    /// Weights of the reward, where they are groups' own: see [`crate::passes::ladder`]. One cell where they are not.
    pub rungs: &'a Buf<f32>,
    /// Coefficient table.
    pub coeffs: &'a Buf<f32>,
    /// Seeds.
    pub seeds: &'a Buf<u32>,
    /// Sizes.
    pub of: &'a Population,
}

impl Step<'_> {
    /// Launches step `step` of method `M`; without a number, the one that `before` holds.
    pub fn launch<M: Method>(&self, device: &Device, step: Option<usize>) -> Result<()> {
        if self.feed.kinds.is_empty() {
            self.go::<Buffer, M, Euclid>(device, step)
        } else {
            self.go::<Analytic, M, Euclid>(device, step)
        }
    }

    /// Launches the named method.
    pub fn launch_named(&self, device: &Device, method: Named, step: Option<usize>) -> Result<()> {
        match method {
            Named::Plain => self.launch::<Plain>(device, step),
            Named::Compose => self.launch::<Compose>(device, step),
            Named::Mixture => self.launch::<Mixture>(device, step),
            Named::Tilted => self.launch::<Tilted>(device, step),
            Named::Transport => self.launch::<Transport>(device, step),
        }
    }

    fn check(&self, device: &Device) -> Result<()> {
        let of = self.of;
        if of.slots == 0 || of.groups == 0 || of.dim == 0 {
            return Err(argument("particles, groups and dimension", 0, "at least 1"));
        }
        if self.feed.count == 0 || self.feed.count > MAX_MODELS {
            return Err(argument("models", self.feed.count, format!("1 to {MAX_MODELS}")));
        }
        if !self.feed.kinds.is_empty() && self.feed.kinds.len() != self.feed.count {
            return Err(argument("model families", self.feed.kinds.len(), self.feed.count));
        }
        if !device.keeps(self.keeps.element) {
            let wanted = format!("f32: {} keeps no 16-bit numbers", device.name());
            return Err(argument("state", self.keeps.element, wanted));
        }
        if self.keeps.ladder && !(self.keeps.follows && self.keeps.carried && self.keeps.weighed) {
            return Err(argument(
                "weight of the reward",
                "raised by the ESS",
                "a method that follows, carries and weighs",
            ));
        }
        if self.keeps.estimated > 0 && !(self.keeps.follows && self.keeps.carried && !self.keeps.exact) {
            return Err(argument(
                "estimated log-densities",
                "none to follow",
                "a method that follows, with carried scores",
            ));
        }
        if self.keeps.estimated > 0 && self.keeps.element != Element::F32 {
            return Err(argument("state with estimated log-densities", self.keeps.element, "f32"));
        }
        if self.keeps.twist.is_some()
            && (self.feed.count > 1 || self.feed.kinds.len() != 1 || !self.keeps.carried)
        {
            return Err(argument("models of a twist", self.feed.count, "one of a kind, its score carried"));
        }
        if self.stage.shows() && self.keeps.twist.is_none() {
            return Err(argument("part of a step", format!("{:?}", self.stage), "one without a twist"));
        }
        if self.keeps.exact && self.feed.silent() > 0 {
            return Err(argument("weight rule", "exact", "left or trap: the model gives no log-density"));
        }
        Ok(())
    }

    /// Methods that follow look at the rows before and behind that of a step.
    fn check_table(&self) -> Result<()> {
        let (found, wanted) = (self.coeffs.len(), 3 * ROW);
        if self.keeps.follows && found < wanted {
            return Err(argument("coefficient table", found, wanted));
        }
        Ok(())
    }

    /// A population's buffers, as long as they must be.
    fn check_buffers(&self, device: &Device) -> Result<()> {
        let (of, keeps) = (self.of, &self.keeps);
        let (found, wanted) = (self.scratch.len(), keeps.scratch_cells(device, of));
        if found < wanted {
            return Err(argument("scratch memory", found, wanted));
        }
        if keeps.handed && self.handed.len() < of.stride() {
            return Err(argument("log-weights handed on", self.handed.len(), of.stride()));
        }
        if keeps.ladder && self.rungs.len() < 2 * RUNG * of.groups {
            return Err(argument("weights of the reward", self.rungs.len(), 2 * RUNG * of.groups));
        }
        if self.writes_rows() && self.rows.len() < of.particles() * of.dim {
            return Err(argument("rows", self.rows.len(), of.particles() * of.dim));
        }
        for carried in [self.before, self.after] {
            let kept = |kept: bool| if kept { of.stride() } else { 1 };
            enough(&[
                ("positions", carried.x.len(), of.dim * of.stride()),
                ("scores", carried.scores.len(), keeps.scores(of)),
                ("log-weights", carried.log_w.len(), kept(keeps.weighed)),
                ("log-densities", carried.log_p.len(), kept(keeps.cell())),
                ("roots", carried.roots.len(), kept(keeps.roots)),
            ])?;
        }
        Ok(())
    }

    /// Turns of the loops of one particle, beside those of its models: itself, gathering, moving, weighing,
    /// and two looks at its weight.
    fn turns_of_one(&self) -> u64 {
        let dim = if self.of.dim > FEW { self.of.dim as u64 } else { 0 };
        self.feed.turns + 3 * dim + 3
    }

    /// Turns of the loops of one unit in a launch.
    fn turns(&self, device: &Device) -> u64 {
        let (of, sharing) = (self.of, self.keeps.sharing(device, self.of));
        let workers = if sharing.together { sharing.units as usize } else { 1 };
        let blocks = (of.groups * of.blocks()) as u64;
        let cubes = if sharing.together { 65_535 } else { 65_535 * u64::from(sharing.units) };
        (of.block() / of.lanes).div_ceil(workers) as u64 * blocks.div_ceil(cubes) * self.turns_of_one()
    }

    /// The same for one step of [`crate::passes::steps`], where a unit sees a share of a whole group, and
    /// resamples it: up to 32 turns a slot for the searches, 128 a block for its scans.
    pub(crate) fn turns_together(&self, device: &Device) -> u64 {
        let (of, sharing) = (self.of, self.keeps.sharing(device, self.of));
        let workers = if sharing.together { sharing.units as usize } else { 1 };
        let own = (of.padded() / of.lanes).div_ceil(workers) as u64;
        let groups = of.groups.div_ceil(65_535) as u64;
        groups * (own * (self.turns_of_one() + 32) + 128 * (of.blocks() as u64 + 1))
    }

    /// Steps that one launch may take ([`crate::passes::steps`]).
    pub fn most_steps(&self, device: &Device) -> usize {
        let turns = self.turns_together(device);
        device.max_turns().map_or(usize::MAX, |most| (most / turns).max(1) as usize)
    }

    fn looks(&self) -> bool {
        self.feed.looking() > 0 || self.keeps.exact || self.keeps.twist.is_some()
    }

    fn writes_rows(&self) -> bool {
        self.stage.shows() || self.outside && self.stage == Stage::Move
    }

    fn key(&self, device: &Device) -> StepKey {
        let mut kinds = [Kind::Gaussian; MAX_MODELS];
        kinds[..self.feed.kinds.len()].copy_from_slice(&self.feed.kinds);
        let dim = self.of.dim;
        StepKey {
            stage: self.stage,
            weighed: self.keeps.weighed,
            exact: self.keeps.exact,
            weighted_start: self.weighted_start,
            carried: self.keeps.carried,
            follows: self.keeps.follows,
            estimated: self.keeps.estimated,
            twist: self.keeps.twist,
            laplacians: self.feed.laplacians,
            ladder: self.keeps.ladder,
            handed: self.keeps.handed,
            roots: self.keeps.roots,
            models: ModelKey {
                count: self.feed.count,
                kinds,
                registers: if dim <= FEW { dim } else { 0 },
                layout: device.layout(),
                own_exp: device.is_cuda(),
            },
            paired: dim <= 2,
            rows: self.writes_rows(),
            wide: device.is_cpu(),
            looks: self.looks(),
            scratch: self.keeps.scratch(device, self.of),
            sharing: self.keeps.sharing(device, self.of),
        }
    }

    /// The compile key of a launch of `turns` turns of the loops of a unit, everything checked.
    pub(crate) fn checked(&self, device: &Device, turns: u64) -> Result<StepKey> {
        self.check(device)?;
        self.check_table()?;
        self.check_buffers(device)?;
        if let Some(most) = device.max_turns().filter(|most| turns > *most) {
            let what = "turns of the loops of a unit";
            let name = device.name();
            let wanted = format!(
                "at most {most} on {name}, which leaves loops after that: fewer dimensions or components, smaller \
                 blocks, or another device"
            );
            return Err(argument(what, turns, wanted));
        }
        Ok(self.key(device))
    }

    fn go<S: Score, M: Method, P: Space>(&self, device: &Device, step: Option<usize>) -> Result<()> {
        let step = step.map_or(Number::Kept(&self.before.clock), Number::Given);
        let key = self.checked(device, self.turns(device))?;
        step_kernel::launch::<S, M, P>(
            device.client(),
            key.sharing.cubes(device, self.of.groups * self.of.blocks()),
            key.sharing.dim(),
            self.of.lanes,
            (self.of.lanes / 2).max(1),
            self.before.arg(),
            self.after.arg(),
            self.common(),
            self.scratch.arg(),
            ModelsLaunch::new(self.feed.params.arg(), self.feed.levels.arg(), self.feed.map.arg()),
            TablesLaunch::new(self.coeffs.arg(), self.seeds.arg(), self.rungs.arg()),
            self.of.arg(),
            step.word(),
            key,
            self.keeps.element.kind(),
        );
        device.launched(self.work(device))
    }

    pub(crate) fn common(&self) -> CommonLaunch {
        CommonLaunch::new(
            self.ancestors.arg(),
            self.norms.arg(),
            self.rows.arg(),
            self.blocks.arg(),
            self.handed.arg(),
        )
    }

    /// Bytes that the launch has to move. Ancestors are read where a group may have been resampled,
    /// log-weights where it may not have been. Scratch memory counts where it outgrows caches, once each way
    /// ([`Scratch::Particles`]): the CPU has its own in a cache, a GPU as long as it can in shared memory.
    pub fn work(&self, device: &Device) -> Work {
        let (of, keeps) = (self.of, &self.keeps);
        let cells = |rows: usize| 4 * (rows * of.stride()) as u64;
        let kept = |kept: bool, rows: usize| if kept { cells(rows) } else { 0 };
        let state = |rows: usize| (keeps.element.bytes() * rows * of.stride()) as u64;
        let carried = if keeps.carried { state(keeps.score_rows() * of.dim) } else { 0 };
        let logs = state(keeps.log_rows());
        let scores = self.feed.count * of.dim;
        let outgrown = keeps.scratch(device, of) == Scratch::Particles && self.stage != Stage::Move;
        let looks = self.looks();
        let scratch = kept(outgrown, scores + if looks { of.dim } else { 0 });
        let records = if keeps.weighed { self.blocks.bytes() } else { 0 };
        let moved = Work {
            read: state(of.dim)
                + carried
                + logs
                + kept(keeps.weighed, 1)
                + kept(keeps.weighed && (keeps.handed || !self.always), 1)
                + kept(keeps.cell(), 1)
                + kept(keeps.roots, 1),
            written: state(of.dim) + logs + kept(keeps.roots, 1) + kept(self.writes_rows(), of.dim),
        };
        // A later part of a split step reads x' or the scores from outside again, and the weight.
        let again = if looks { state(of.dim) } else { 0 }
            + cells(self.feed.outside() * of.dim)
            + logs
            + kept(keeps.weighed, 1);
        // A later launch carries scores where the weight of a reward is raised before.
        let aimed = if keeps.ladder && self.stage != Stage::Start { 0 } else { carried };
        let weighed = Work {
            read: scratch + if self.stage == Stage::Fused { 0 } else { again },
            written: scratch + aimed + kept(keeps.weighed, 1) + kept(keeps.cell(), 1) + records,
        };
        match self.stage {
            Stage::Aim => Work {
                read: scratch + again - kept(keeps.weighed, 1),
                written: scratch + carried + kept(keeps.cell(), 1),
            },
            Stage::Look | Stage::LookFirst => {
                Work { read: state(of.dim) + cells(self.feed.outside() * of.dim), written: cells(of.dim) }
            }
            Stage::Fused => {
                Work { read: moved.read + weighed.read, written: moved.written + weighed.written }
            }
            Stage::Move => Work { written: moved.written + kept(keeps.weighed, 1), ..moved },
            Stage::Weigh | Stage::Start => weighed,
        }
    }
}

/// The methods that are built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Named {
    /// [`Plain`].
    Plain,
    /// [`Compose`].
    Compose,
    /// [`Mixture`].
    Mixture,
    /// [`Tilted`].
    Tilted,
    /// [`Transport`].
    Transport,
}

impl Named {
    /// The method follows always; [`Compose`] does where its exponents change.
    pub fn follows(self) -> bool {
        matches!(self, Named::Mixture | Named::Tilted | Named::Transport)
    }
}
