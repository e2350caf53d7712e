//! Check, configure, launch.

use super::kernel::{AfterLaunch, BeforeLaunch, Stage, StepKey, TablesLaunch, step_kernel};
use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::methods::{Anneal, Guidance, Method, Plain};
use crate::models::{Analytic, Buffer, Kind, MAX_MODELS, ModelKey, ModelsLaunch, Score};
use crate::passes::Sharing;
use crate::prims::space::{Euclid, Space};
use crate::prims::state::Population;

/// What a particle carries from step to step.
#[derive(Debug, Clone)]
pub struct Carried {
    /// Positions `[dim, stride]`.
    pub x: Buf<f32>,
    /// Scores `[models, dim, stride]`.
    pub scores: Buf<f32>,
    /// Log-weight and log-density `[2, stride]`.
    pub logs: Buf<f32>,
    /// Root ancestor `[stride]`.
    pub roots: Buf<u32>,
}

impl Carried {
    /// Buffers for a population whose method combines `models` scores.
    pub fn new(device: &Device, of: &Population, models: usize) -> Result<Self> {
        Ok(Self {
            x: device.empty("positions", of.dim * of.stride())?,
            scores: device.empty("scores", models * of.dim * of.stride())?,
            logs: device.empty("log-weights", 2 * of.stride())?,
            roots: device.empty("roots", of.stride())?,
        })
    }

    fn bytes(&self) -> u64 {
        self.x.bytes() + self.scores.bytes() + self.logs.bytes() + self.roots.bytes()
    }
}

/// The numbers of the models, see [`crate::models::Models`].
#[derive(Debug, Clone)]
pub struct Feed {
    /// Families of the models; empty where the scores come from outside.
    pub kinds: Vec<Kind>,
    /// Models combined.
    pub count: usize,
    /// Static numbers, or the rows a model outside wrote.
    pub params: Buf<f32>,
    /// A row a level.
    pub levels: Buf<f32>,
    /// Offsets.
    pub map: Buf<u32>,
}

/// Everything a step launch binds.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// Which part.
    pub stage: Stage,
    /// The exact weight rule.
    pub exact: bool,
    /// What it reads.
    pub before: &'a Carried,
    /// What it writes.
    pub after: &'a Carried,
    /// Parents.
    pub ancestors: &'a Buf<u32>,
    /// Group records.
    pub norms: &'a Buf<f32>,
    /// Models.
    pub feed: &'a Feed,
    /// Rows `[particles, dim]` for a model outside; written by [`Stage::Move`] where given.
    pub rows: Option<&'a Buf<f32>>,
    /// Block records.
    pub blocks: &'a Buf<u32>,
    /// Coefficient table.
    pub coeffs: &'a Buf<f32>,
    /// Seeds.
    pub seeds: &'a Buf<u32>,
    /// Sizes.
    pub of: &'a Population,
}

/// Dimension up to which points live in registers.
pub const MAX_REGISTERS: usize = 4;

impl Step<'_> {
    /// Launches step `step` of method `M`.
    pub fn launch<M: Method>(&self, device: &Device, step: usize) -> Result<()> {
        self.check()?;
        if self.feed.kinds.is_empty() {
            self.go::<Buffer, M, Euclid>(device, step)
        } else {
            self.go::<Analytic, M, Euclid>(device, step)
        }
    }

    /// Launches the named method.
    pub fn launch_named(&self, device: &Device, method: Named, step: usize) -> Result<()> {
        match method {
            Named::Plain => self.launch::<Plain>(device, step),
            Named::Anneal => self.launch::<Anneal>(device, step),
            Named::Guidance => self.launch::<Guidance>(device, step),
        }
    }

    fn check(&self) -> Result<()> {
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
        if self.exact && self.feed.kinds.is_empty() {
            return Err(argument("weight rule", "exact", "left or trap: the model gives no log-density"));
        }
        if self.exact && matches!(self.stage, Stage::Move | Stage::Weigh) {
            return Err(argument(
                "weight rule of a split step",
                "exact",
                "left or trap: both states are needed at once",
            ));
        }
        let wanted = self.feed.count * of.dim * of.stride();
        for carried in [self.before, self.after] {
            if carried.scores.len() < wanted || carried.x.len() < of.dim * of.stride() {
                return Err(argument("carried scores", carried.scores.len(), wanted));
            }
        }
        Ok(())
    }

    fn key(&self, device: &Device) -> StepKey {
        let mut kinds = [Kind::Gaussian; MAX_MODELS];
        kinds[..self.feed.kinds.len()].copy_from_slice(&self.feed.kinds);
        let dim = self.of.dim;
        StepKey {
            stage: self.stage,
            exact: self.exact,
            models: ModelKey {
                count: self.feed.count,
                kinds,
                registers: if dim <= MAX_REGISTERS { dim } else { 0 },
            },
            paired: dim <= 2,
            rows: self.rows.is_some(),
            sharing: Sharing::of(device, self.of.block()),
        }
    }

    fn go<S: Score, M: Method, P: Space>(&self, device: &Device, step: usize) -> Result<()> {
        let key = self.key(device);
        let rows = self.rows.cloned().map_or_else(|| device.empty("rows", 1), Ok)?;
        step_kernel::launch::<S, M, P>(
            device.client(),
            key.sharing.cubes(device, self.of.groups * self.of.blocks()),
            key.sharing.dim(),
            device.lanes(),
            BeforeLaunch::new(
                self.before.x.arg(),
                self.before.scores.arg(),
                self.before.logs.arg(),
                self.before.roots.arg(),
                self.ancestors.arg(),
                self.norms.arg(),
            ),
            AfterLaunch::new(
                self.after.x.arg(),
                self.after.scores.arg(),
                self.after.logs.arg(),
                self.after.roots.arg(),
                rows.arg(),
                self.blocks.arg(),
            ),
            ModelsLaunch::new(self.feed.params.arg(), self.feed.levels.arg(), self.feed.map.arg()),
            TablesLaunch::new(self.coeffs.arg(), self.seeds.arg()),
            self.of.arg(),
            step as u32,
            key,
        );
        device.launched(self.before.bytes() + self.after.bytes() + self.ancestors.bytes())
    }
}

/// The methods that are built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Named {
    /// [`Plain`].
    Plain,
    /// [`Anneal`].
    Anneal,
    /// [`Guidance`].
    Guidance,
}
