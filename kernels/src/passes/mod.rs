//! What a launch does: one folder a kernel family, each with its launch, its kernel and its f64
//! oracle, plain loops from the formula.

pub mod classes;
pub mod conv;
pub mod copy;
pub(crate) mod crew;
pub mod divergence;
pub mod draws;
pub mod energy;
pub mod frames;
pub mod gather;
pub mod genealogy;
pub mod increments;
pub mod init;
pub mod jumps;
pub mod ladder;
pub mod layers;
pub mod mlp;
pub mod paths;
pub mod priority;
pub mod resample;
pub mod retain;
pub mod rows;
pub mod scaffold;
pub mod scan;
pub mod step;
pub mod steps;
pub mod survivors;
pub mod weights;

pub use crew::SMALL_GROUP;

use cubecl::prelude::*;

use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::prims::state::Population;

/// What a launch has to move, in bytes: each cell that it must read or write, once. Rows that a cache
/// keeps, and small tables, do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Read.
    pub read: u64,
    /// Written.
    pub written: u64,
}

/// The number of a step or of a level: what tells one launch of a kernel from the next.
#[derive(Clone, Copy, Debug)]
pub enum Number<'a> {
    /// This one.
    Given(usize),
    /// What this cell holds when the launch runs: the same launch, done again, does what comes next.
    Kept(&'a Buf<u32>),
}

impl From<usize> for Number<'_> {
    fn from(number: usize) -> Self {
        Number::Given(number)
    }
}

/// Given in place of a number that is kept.
const KEPT: u32 = u32::MAX;

impl<'a> Number<'a> {
    /// What the launch is given.
    pub(crate) fn word(self) -> u32 {
        match self {
            Number::Given(number) => number as u32,
            Number::Kept(_) => KEPT,
        }
    }

    /// Rows that a table of all numbers has at least: where the number is kept, whoever keeps it minds the tables.
    pub(crate) fn rows(self) -> usize {
        match self {
            Number::Given(number) => number + 1,
            Number::Kept(_) => 1,
        }
    }

    /// The cell it binds; `spare` where it reads none.
    pub(crate) fn cell(self, spare: &'a Buf<u32>) -> &'a Buf<u32> {
        match self {
            Number::Given(_) => spare,
            Number::Kept(cell) => cell,
        }
    }
}

/// The number that a launch was given, or that its cell holds.
#[cube]
pub(crate) fn number(given: u32, cell: &[u32]) -> u32 {
    if given == KEPT { cell[0] } else { given }
}

/// What a worker takes of items that all workers go through: `first`, and every `turn` from there, below `last`.
#[derive(CubeType, Clone, Copy)]
pub(crate) struct Items {
    pub first: u32,
    pub last: u32,
    pub turn: u32,
}

/// This worker's items of `count`: a run of its own (`runs`, on the CPU), or those between which the others have theirs, so
/// that neighbours take neighbours (on a GPU).
#[cube]
pub(crate) fn own_items(count: u32, #[comptime] runs: bool) -> Items {
    let workers = CUBE_COUNT as u32 * CUBE_DIM;
    let own = ABSOLUTE_POS as u32;
    let each = count.div_ceil(workers);
    let first = if comptime!(runs) { own * each } else { own };
    let last = if comptime!(runs) { first + each } else { count };
    let last = select(last < count, last, count);
    let turn = if comptime!(runs) { 1u32.runtime() } else { workers };
    Items { first, last, turn }
}

/// Refuses a launch in which a unit looks `looks` times at each of its vectors of a group, where a driver leaves loops
/// before that.
pub(crate) fn allows(
    device: &Device,
    what: &'static str,
    looks: u64,
    sharing: Sharing,
    of: &Population,
) -> Result<()> {
    let units = if sharing.together { sharing.units as usize } else { 1 };
    let rounds = of.groups.div_ceil(65_535) as u64;
    let turns = rounds * looks * ((of.padded() / of.lanes).div_ceil(units) + of.blocks()) as u64;
    match device.max_turns().filter(|most| turns > *most) {
        Some(most) => {
            let wanted = format!("at most {most} on {}: fewer particles a group", device.name());
            Err(argument(what, turns, wanted))
        }
        None => Ok(()),
    }
}

/// How the units of a device share blocks of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sharing {
    /// The units of a cube work on one block together; else each unit has blocks of its own.
    pub together: bool,
    /// Units of a cube.
    pub units: u32,
}

/// Blocks of fewer slots than this are summed by one unit each.
const SMALL_BLOCK: usize = 8;

impl Sharing {
    /// On the CPU each unit works alone (barriers cost more than they gain there). On a GPU a cube of
    /// as many units as the block has slots, up to the device's, shares it; smaller blocks are packed
    /// many to a cube, a unit each. Only the block's size decides: the order of sums, and so the
    /// bits of a group, must not depend on how many groups run beside it.
    pub fn of(device: &Device, block: usize) -> Self {
        if device.is_cpu() || block < SMALL_BLOCK {
            return Self::apart(device);
        }
        let units = (block.next_power_of_two() as u32).min(device.units());
        Self { together: true, units }
    }

    /// Units that each take items of their own, whatever those are.
    pub fn apart(device: &Device) -> Self {
        Self { together: false, units: device.units() }
    }

    /// Cubes for `blocks` blocks: one on the CPU, whose threads are its units; on a GPU as many as
    /// there is work for, within the 65,535 that every backend allows.
    pub fn cubes(&self, device: &Device, blocks: usize) -> CubeCount {
        let wanted = if device.is_cpu() {
            1
        } else if self.together {
            blocks
        } else {
            blocks.div_ceil(self.units as usize)
        };
        CubeCount::Static(wanted.clamp(1, 65_535) as u32, 1, 1)
    }

    /// The cube's size.
    pub fn dim(&self) -> CubeDim {
        CubeDim::new_1d(self.units)
    }
}

/// The first block of this worker.
#[cube]
pub(crate) fn first_block(#[comptime] sharing: Sharing) -> u32 {
    if comptime!(sharing.together) { CUBE_POS as u32 } else { ABSOLUTE_POS as u32 }
}

/// Blocks between two of the same worker.
#[cube]
pub(crate) fn block_stride(#[comptime] sharing: Sharing) -> u32 {
    if comptime!(sharing.together) { CUBE_COUNT as u32 } else { CUBE_COUNT as u32 * comptime!(sharing.units) }
}

/// The first vector of this unit inside a block.
#[cube]
pub(crate) fn first_vector(#[comptime] sharing: Sharing) -> u32 {
    if comptime!(sharing.together) { UNIT_POS } else { 0u32.runtime() }
}

/// Vectors between two of the same unit.
#[cube]
pub(crate) fn vector_stride(#[comptime] sharing: Sharing) -> u32 {
    if comptime!(sharing.together) { comptime!(sharing.units).runtime() } else { 1u32.runtime() }
}
