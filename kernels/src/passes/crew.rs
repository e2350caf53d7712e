//! Who works on a group in a launch that takes several passes one after the other.

use cubecl::prelude::*;

use super::resample::kernel_cube::{EACH, resample_piece};
use super::resample::kernel_serial::resample_alone;
use super::weights::kernel::TallyKey;
use crate::device::Device;
use crate::prims::state::{MAX_BLOCKS, Shape};

/// Slots of a group that one cube of a GPU takes on: more would wait for it.
pub const SMALL_GROUP: usize = 4096;

/// Who works on a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Crew {
    /// A cube of its own.
    Cube,
    /// All units of the only cube, which meet between the passes.
    Everyone,
    /// One unit.
    One,
}

impl Crew {
    /// Who works on each of `groups` groups, of which units share blocks or not.
    pub fn of(device: &Device, groups: usize, together: bool) -> Self {
        let units = device.units() as usize;
        if together {
            Crew::Cube
        } else if device.is_cpu() && groups < 8 * units && units > 1 {
            Crew::Everyone
        } else {
            Crew::One
        }
    }

    /// Cubes of `units` units for `groups` groups.
    pub fn cubes(self, device: &Device, groups: usize, units: u32) -> CubeCount {
        let cubes = match self {
            Crew::Cube => groups,
            Crew::Everyone => 1,
            Crew::One if device.is_cpu() => 1,
            Crew::One => groups.div_ceil(units as usize),
        };
        CubeCount::Static(cubes.min(65_535) as u32, 1, 1)
    }
}

/// The first group of this worker.
#[cube]
pub(crate) fn first_group(#[comptime] crew: Crew) -> u32 {
    match comptime!(crew) {
        Crew::Cube => CUBE_POS as u32,
        Crew::Everyone => 0u32.runtime(),
        Crew::One => ABSOLUTE_POS as u32,
    }
}

/// Groups between two of the same worker.
#[cube]
pub(crate) fn group_stride(#[comptime] crew: Crew, #[comptime] units: u32) -> u32 {
    match comptime!(crew) {
        Crew::Cube => CUBE_COUNT as u32,
        Crew::Everyone => 1u32.runtime(),
        Crew::One => CUBE_COUNT as u32 * units,
    }
}

/// The first of its group's blocks that this worker takes.
#[cube]
pub(crate) fn own_first(#[comptime] crew: Crew) -> u32 {
    if comptime!(crew == Crew::Everyone) { UNIT_POS } else { 0u32.runtime() }
}

/// Workers that share a group's blocks.
#[cube]
pub(crate) fn workers(#[comptime] crew: Crew, #[comptime] units: u32) -> u32 {
    if comptime!(crew == Crew::Everyone) { comptime!(units).runtime() } else { 1u32.runtime() }
}

/// Shared memory of a crew.
#[derive(CubeType)]
pub(crate) struct Desk {
    /// Four words a unit.
    pub memory: Shared<[u32]>,
    offsets: Shared<[u32]>,
    ends: Shared<[u32]>,
}

/// As much as a cube needs that works together; else next to nothing.
#[cube]
pub(crate) fn desk(#[comptime] units: u32, #[comptime] crew: Crew) -> Desk {
    let cube = comptime!(crew == Crew::Cube);
    Desk {
        memory: Shared::<[u32]>::new_slice(comptime!(if cube { 4 * units as usize } else { 1 })),
        offsets: Shared::<[u32]>::new_slice(comptime!(if cube { 2 * MAX_BLOCKS } else { 1 })),
        ends: Shared::<[u32]>::new_slice(comptime!(if cube { (EACH * units) as usize } else { 1 })),
    }
}

/// Decides for group `group` and resamples it, its block records being there.
#[cube]
#[allow(clippy::too_many_arguments)]
pub(crate) fn resample_group<N: Size>(
    values: &[f32],
    records: &[u32],
    coeffs: &[f32],
    norms: &mut [f32],
    history: &mut [f32],
    seeds: &[u32],
    ancestors: &mut [u32],
    shape: &Shape,
    step: u32,
    group: u32,
    desk: &mut Desk,
    #[comptime] crew: Crew,
    #[comptime] key: TallyKey,
) {
    let own = own_first(crew);
    let pieces = workers(crew, key.sharing.units);
    if comptime!(crew == Crew::Cube) {
        resample_piece(
            values,
            records,
            coeffs,
            norms,
            history,
            seeds,
            ancestors,
            shape,
            step,
            group,
            own,
            pieces,
            &mut desk.memory,
            &mut desk.offsets,
            &mut desk.ends,
            key,
        );
    } else {
        resample_alone::<N>(
            values, records, coeffs, norms, history, seeds, ancestors, shape, step, group, own, pieces, key,
        );
    }
}

/// What one pass wrote, the next one reads.
#[cube]
pub(crate) fn meet(#[comptime] crew: Crew) {
    if comptime!(crew == Crew::Cube) {
        sync_storage();
    } else if comptime!(crew == Crew::Everyone) {
        // The CPU runtime has no other barrier, and this one orders all of memory.
        sync_cube();
    }
}
