//! What is kept of a population from step to step, and the memory that a step works in.

use cubecl::prelude::*;

use super::key::{CarryLaunch, Scratch};
use crate::device::{Buf, Device};
use crate::error::Result;
use crate::models::twist::SLOTS;
use crate::models::{FEW, TwistKey};
use crate::passes::Sharing;
use crate::prims::state::{Element, Population};

/// Bytes of shared memory that a kernel takes at most: as many as every CUDA device gives unasked.
const MOST_SHARED: usize = 48 << 10;
/// What resampling in the same kernel takes of them, and what it and the sums of a block take a unit.
const OTHER_SHARED: usize = 8 << 10;
const UNIT_SHARED: usize = 32;
/// In cubes of fewer units most of a GPU would be idle.
const FEWEST_UNITS: usize = 32;

/// What is kept of a population from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeps {
    /// Models whose scores are evaluated.
    pub models: usize,
    /// Scores are carried; else they are evaluated where the step starts.
    pub carried: bool,
    /// What is carried is the score to follow, of methods that follow, and what the next step owes its old state.
    pub follows: bool,
    /// Models whose log-density is carried as an estimate, a bit each: of methods that follow, with carried scores.
    pub estimated: u32,
    /// The likelihood that leans the one model, if any: what is carried is its score, and the gradient of log psi.
    pub twist: Option<TwistKey>,
    /// Log-weights.
    pub weighed: bool,
    /// Log-densities: the exact rule.
    pub exact: bool,
    /// The weight of the reward, which is the last model, is raised by the ESS: [`crate::passes::ladder`].
    pub ladder: bool,
    /// Log-weights that survivors keep: [`crate::passes::priority`].
    pub handed: bool,
    /// Root ancestors.
    pub roots: bool,
    /// How positions and carried scores are kept.
    pub element: Element,
}

impl Keeps {
    /// Where coordinates and scores are while models work on them.
    pub(super) fn scratch(&self, device: &Device, of: &Population) -> Scratch {
        if of.dim <= FEW {
            Scratch::Registers
        } else if device.is_cpu() {
            Scratch::Workers
        } else {
            match shared_units(device.shared_memory(), self.rows(of)).min(device.units()) {
                0 => Scratch::Particles,
                units => Scratch::Shared(self.rows(of) * units as usize),
            }
        }
    }

    fn rows(&self, of: &Population) -> usize {
        (1 + self.models + if self.twist.is_some() { SLOTS } else { 0 }) * of.dim
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
        if self.carried { self.carried_rows(of.dim) * of.stride() } else { 1 }
    }

    /// Carried scores, each of dim rows.
    pub fn score_rows(&self) -> usize {
        if let Some(twist) = self.twist {
            return twist.rows();
        }
        match (self.follows, self.estimated) {
            (true, 0) => 1,
            (true, _) => 1 + self.models,
            (false, _) => self.models,
        }
    }

    /// Estimated log-densities behind them, each of one row.
    pub fn log_rows(&self) -> usize {
        if self.estimated > 0 { self.models } else { 0 }
    }

    /// Rows of all that.
    pub fn carried_rows(&self, dim: usize) -> usize {
        self.score_rows() * dim + self.log_rows()
    }

    /// A cell a particle is kept for log-densities, for what is owed, or for log psi.
    pub fn cell(&self) -> bool {
        self.exact || self.twist.is_some() && self.weighed || self.follows && self.carried && self.weighed
    }
}

/// Units of a cube whose scratch of `rows` words fits into its `shared` bytes of memory: a power of two, or 0 where
/// that would be too few.
pub(crate) fn shared_units(shared: usize, rows: usize) -> u32 {
    let units = shared.min(MOST_SHARED).saturating_sub(OTHER_SHARED) / (4 * rows + UNIT_SHARED);
    if units < FEWEST_UNITS { 0 } else { 1 << units.ilog2() }
}

/// A buffer of coordinates or scores.
#[derive(Debug, Clone)]
pub enum Cells {
    /// Of [`Element::F32`].
    F32(Buf<f32>),
    /// Of [`Element::F16`], by their bits.
    F16(Buf<u16>),
}

impl Cells {
    /// Of `len` elements.
    pub fn new(device: &Device, what: &'static str, len: usize, element: Element) -> Result<Self> {
        Ok(match element {
            Element::F32 => Cells::F32(device.empty(what, len)?),
            Element::F16 => Cells::F16(device.empty(what, len)?),
        })
    }

    /// Elements.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        match self {
            Cells::F32(buf) => buf.len(),
            Cells::F16(buf) => buf.len(),
        }
    }

    /// Bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Cells::F32(buf) => buf.bytes(),
            Cells::F16(buf) => buf.bytes(),
        }
    }

    /// The launch argument.
    pub(crate) fn arg(&self) -> BufferArg {
        match self {
            Cells::F32(buf) => buf.arg(),
            Cells::F16(buf) => buf.arg(),
        }
    }

    /// Reads them back.
    pub fn download(&self, device: &Device) -> Result<Vec<f32>> {
        Ok(match self {
            Cells::F32(buf) => device.download(buf)?,
            Cells::F16(buf) => device.download(buf)?.into_iter().map(widened).collect(),
        })
    }
}

/// The number with these bits of an f16: exact.
fn widened(bits: u16) -> f32 {
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let size = match exponent {
        0 => mantissa * (-24.0_f32).exp2(),
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + mantissa) * ((exponent - 25) as f32).exp2(),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// What a particle carries from step to step.
#[derive(Debug, Clone)]
pub struct Carried {
    /// Positions, dim rows.
    pub x: Cells,
    /// Scores, models * dim rows; one cell where there is nothing to keep.
    pub scores: Cells,
    /// Log-weights `[stride]`, or one cell.
    pub log_w: Buf<f32>,
    /// Log-densities `[stride]`, or one cell.
    pub log_p: Buf<f32>,
    /// Root ancestors `[stride]`, or one cell.
    pub roots: Buf<u32>,
    /// The number of the step that starts here, one cell.
    pub clock: Buf<u32>,
}

impl Carried {
    /// Buffers for a population.
    pub fn new(device: &Device, of: &Population, keeps: &Keeps) -> Result<Self> {
        let where_kept = |kept: bool| if kept { of.stride() } else { 1 };
        Ok(Self {
            x: Cells::new(device, "positions", of.dim * of.stride(), keeps.element)?,
            scores: Cells::new(device, "scores", keeps.scores(of), keeps.element)?,
            log_w: device.empty("log-weights", where_kept(keeps.weighed))?,
            log_p: device.empty("log-densities", where_kept(keeps.cell()))?,
            roots: device.empty("roots", where_kept(keeps.roots))?,
            clock: device.empty("step numbers", 1)?,
        })
    }

    /// The launch argument.
    pub(crate) fn arg<E: Float>(&self) -> CarryLaunch<E> {
        CarryLaunch::new(
            self.x.arg(),
            self.scores.arg(),
            self.log_w.arg(),
            self.log_p.arg(),
            self.roots.arg(),
            self.clock.arg(),
        )
    }

    /// (what, bytes) of each buffer.
    pub fn buffers(&self) -> [(&'static str, u64); 6] {
        [
            ("positions", self.x.bytes()),
            ("scores", self.scores.bytes()),
            ("log-weights", self.log_w.bytes()),
            ("log-densities", self.log_p.bytes()),
            ("roots", self.roots.bytes()),
            ("step numbers", self.clock.bytes()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::widened;

    #[test]
    fn an_f16_is_widened() {
        for (bits, number) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65_504.0),
            (0x3555, 0.333_251_95),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x8000, -0.0),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(widened(bits), number, "{bits:#x}");
        }
        assert!(widened(0x7e00).is_nan());
    }
}
