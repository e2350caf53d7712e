//! What is kept of a population from step to step, and the memory that a step works in.

use super::key::{CarryLaunch, Scratch};
use crate::device::{Buf, Device};
use crate::error::Result;
use crate::models::FEW;
use crate::passes::Sharing;
use crate::prims::state::Population;

/// Bytes of shared memory that a kernel takes at most: as many as every CUDA device gives unasked.
const MOST_SHARED: usize = 48 << 10;
/// What resampling in the same kernel takes of them, and what it and the sums of a block take a unit.
const OTHER_SHARED: usize = 8 << 10;
const UNIT_SHARED: usize = 32;
/// In cubes of fewer units most of a GPU would be idle.
const FEWEST_UNITS: u32 = 32;

/// What is kept of a population from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeps {
    /// Models whose scores are evaluated.
    pub models: usize,
    /// Scores are carried; else they are evaluated where the step starts.
    pub carried: bool,
    /// Log-weights.
    pub weighed: bool,
    /// Log-densities: the exact rule.
    pub exact: bool,
    /// Root ancestors.
    pub roots: bool,
}

impl Keeps {
    /// Where coordinates and scores are while models work on them.
    pub(super) fn scratch(&self, device: &Device, of: &Population) -> Scratch {
        if of.dim <= FEW {
            Scratch::Registers
        } else if device.is_cpu() {
            Scratch::Workers
        } else {
            let units = self.shared_units(device, of);
            if units < FEWEST_UNITS {
                Scratch::Particles
            } else {
                Scratch::Shared(self.rows(of) * units as usize)
            }
        }
    }

    fn rows(&self, of: &Population) -> usize {
        (1 + self.models) * of.dim
    }

    /// Units of a cube that have room for their scratch in its shared memory: a power of two, or 0.
    fn shared_units(&self, device: &Device, of: &Population) -> u32 {
        let room = device.shared_memory().min(MOST_SHARED).saturating_sub(OTHER_SHARED);
        let units = room / (4 * self.rows(of) + UNIT_SHARED);
        (if units == 0 { 0 } else { 1 << units.ilog2() }).min(device.units())
    }

    /// How units share blocks: fewer a cube where each wants shared memory.
    pub(super) fn sharing(&self, device: &Device, of: &Population) -> Sharing {
        let sharing = Sharing::of(device, of.block());
        match self.scratch(device, of) {
            Scratch::Shared(words) => {
                Sharing { units: sharing.units.min((words / self.rows(of)) as u32), ..sharing }
            }
            _ => sharing,
        }
    }

    /// Cells of the scratch memory that a run reserves.
    pub fn scratch_cells(&self, device: &Device, of: &Population) -> usize {
        match self.scratch(device, of) {
            Scratch::Registers | Scratch::Shared(_) => 1,
            Scratch::Workers => self.rows(of) * device.units() as usize * of.lanes,
            Scratch::Particles => self.rows(of) * of.stride(),
        }
    }

    /// Cells of the scores that are carried.
    pub(super) fn scores(&self, of: &Population) -> usize {
        if self.carried { self.models * of.dim * of.stride() } else { 1 }
    }
}

/// What a particle carries from step to step.
#[derive(Debug, Clone)]
pub struct Carried {
    /// Positions, dim rows.
    pub x: Buf<f32>,
    /// Scores, models * dim rows; one cell where there is nothing to keep.
    pub scores: Buf<f32>,
    /// Log-weights `[stride]`, or one cell.
    pub log_w: Buf<f32>,
    /// Log-densities `[stride]`, or one cell.
    pub log_p: Buf<f32>,
    /// Root ancestors `[stride]`, or one cell.
    pub roots: Buf<u32>,
}

impl Carried {
    /// Buffers for a population.
    pub fn new(device: &Device, of: &Population, keeps: &Keeps) -> Result<Self> {
        let where_kept = |kept: bool| if kept { of.stride() } else { 1 };
        Ok(Self {
            x: device.empty("positions", of.dim * of.stride())?,
            scores: device.empty("scores", keeps.scores(of))?,
            log_w: device.empty("log-weights", where_kept(keeps.weighed))?,
            log_p: device.empty("log-densities", where_kept(keeps.exact))?,
            roots: device.empty("roots", where_kept(keeps.roots))?,
        })
    }

    /// The launch argument.
    pub(crate) fn arg(&self) -> CarryLaunch {
        CarryLaunch::new(
            self.x.arg(),
            self.scores.arg(),
            self.log_w.arg(),
            self.log_p.arg(),
            self.roots.arg(),
        )
    }

    /// (what, bytes) of each buffer.
    pub fn buffers(&self) -> [(&'static str, u64); 5] {
        [
            ("positions", self.x.bytes()),
            ("scores", self.scores.bytes()),
            ("log-weights", self.log_w.bytes()),
            ("log-densities", self.log_p.bytes()),
            ("roots", self.roots.bytes()),
        ]
    }
}
