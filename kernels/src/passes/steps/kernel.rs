//! The loop over steps around the bodies of the step and the resampling.

use cubecl::prelude::*;

use crate::methods::Method;
use crate::models::{Models, Score};
use crate::passes::resample::kernel_cube::{EACH, resample_piece};
use crate::passes::resample::kernel_serial::resample_alone;
use crate::passes::step::kernel::step_block;
use crate::passes::step::key::{Carry, Common, StepKey, Tables};
use crate::prims::space::Space;
use crate::prims::state::{MAX_BLOCKS, Shape};

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

/// Steps `first` to `last`; the state before step `first` is in `a`, and then in `b` and `a` in turn.
#[cube(launch)]
pub fn steps_kernel<S: Score, M: Method, P: Space, N: Size, H: Size>(
    mut a: Carry,
    mut b: Carry,
    mut common: Common,
    history: &mut [f32],
    models: Models,
    tables: Tables,
    shape: Shape,
    first: u32,
    last: u32,
    #[comptime] crew: Crew,
    #[comptime] key: StepKey,
) {
    let units = comptime!(key.sharing.units as usize);
    let cube = comptime!(crew == Crew::Cube);
    let mut memory = scratch(comptime!(4 * units), cube);
    let mut offsets = scratch(comptime!(2 * MAX_BLOCKS), cube);
    let mut ends = scratch(comptime!(EACH as usize * units), cube);
    let mut group = match comptime!(crew) {
        Crew::Cube => CUBE_POS as u32,
        Crew::Everyone => 0u32.runtime(),
        Crew::One => ABSOLUTE_POS as u32,
    };
    let stride = match comptime!(crew) {
        Crew::Cube => CUBE_COUNT as u32,
        Crew::Everyone => 1u32.runtime(),
        Crew::One => CUBE_COUNT as u32 * comptime!(key.sharing.units),
    };
    while group < shape.groups {
        let mut step = first;
        while step < last {
            one_step::<S, M, P, N, H>(
                &a,
                &mut b,
                &mut common,
                history,
                &models,
                &tables,
                &shape,
                group,
                step,
                &mut memory,
                &mut offsets,
                &mut ends,
                crew,
                key,
            );
            step += 1u32;
            if step < last {
                one_step::<S, M, P, N, H>(
                    &b,
                    &mut a,
                    &mut common,
                    history,
                    &models,
                    &tables,
                    &shape,
                    group,
                    step,
                    &mut memory,
                    &mut offsets,
                    &mut ends,
                    crew,
                    key,
                );
                step += 1u32;
            }
        }
        group += stride;
    }
}

/// Shared memory where a cube works together; else next to nothing.
#[cube]
fn scratch(#[comptime] words: usize, #[comptime] shared: bool) -> Shared<[u32]> {
    Shared::<[u32]>::new_slice(comptime!(if shared { words } else { 1 }))
}

#[cube]
#[allow(clippy::too_many_arguments)]
fn one_step<S: Score, M: Method, P: Space, N: Size, H: Size>(
    before: &Carry,
    after: &mut Carry,
    common: &mut Common,
    history: &mut [f32],
    models: &Models,
    tables: &Tables,
    shape: &Shape,
    group: u32,
    step: u32,
    memory: &mut [u32],
    offsets: &mut [u32],
    ends: &mut [u32],
    #[comptime] crew: Crew,
    #[comptime] key: StepKey,
) {
    let everyone = comptime!(crew == Crew::Everyone);
    let stride = if comptime!(everyone) { comptime!(key.sharing.units).runtime() } else { 1u32.runtime() };
    let mut block = if comptime!(everyone) { UNIT_POS } else { 0u32.runtime() };
    while block < shape.blocks {
        let index = group * shape.blocks + block;
        step_block::<S, M, P, N, H>(before, after, common, models, tables, shape, index, step, memory, key);
        block += stride;
    }
    meet(crew);
    if comptime!(key.weighed) {
        let tally = comptime!(key.tally());
        if comptime!(crew == Crew::Cube) {
            resample_piece(
                &after.log_w,
                &common.blocks,
                &tables.coeffs,
                &mut common.norms,
                history,
                &tables.seeds,
                &mut common.ancestors,
                shape,
                step,
                group,
                0u32.runtime(),
                1u32.runtime(),
                memory,
                offsets,
                ends,
                tally,
            );
        } else {
            let pieces =
                if comptime!(everyone) { comptime!(key.sharing.units).runtime() } else { 1u32.runtime() };
            resample_alone::<N>(
                &after.log_w,
                &common.blocks,
                &tables.coeffs,
                &mut common.norms,
                history,
                &tables.seeds,
                &mut common.ancestors,
                shape,
                step,
                group,
                if comptime!(everyone) { UNIT_POS } else { 0u32.runtime() },
                pieces,
                tally,
            );
        }
        meet(crew);
    }
}

/// What one pass wrote, the next one reads.
#[cube]
fn meet(#[comptime] crew: Crew) {
    if comptime!(crew == Crew::Cube) {
        sync_storage();
    } else if comptime!(crew == Crew::Everyone) {
        // The CPU runtime has no other barrier, and this one orders all of memory.
        sync_cube();
    }
}
