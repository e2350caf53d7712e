//! The loop over steps around the bodies of the step and the resampling.

use cubecl::ir::ElemType;
use cubecl::prelude::*;

use crate::methods::Method;
use crate::models::{Models, Score};
use crate::passes::crew::{
    Crew, Desk, desk, first_group, group_stride, meet, own_first, resample_group, workers,
};
use crate::passes::step::kernel::step_block;
use crate::passes::step::key::{Carry, Common, StepKey, Tables};
use crate::prims::space::Space;
use crate::prims::state::Shape;

/// Steps `first` to `last`; the state before step `first` is in `a`, and then in `b` and `a` in turn.
#[cube(launch)]
pub fn steps_kernel<S: Score, M: Method, P: Space, E: Float, N: Size, H: Size>(
    mut a: Carry<E>,
    mut b: Carry<E>,
    mut common: Common,
    history: &mut [f32],
    scratch: &mut [f32],
    models: Models,
    tables: Tables,
    shape: Shape,
    first: u32,
    last: u32,
    #[comptime] crew: Crew,
    #[comptime] key: StepKey,
    #[define(E)] _element: ElemType,
) {
    if comptime!(key.shared() > 0) {
        let mut own = Shared::<[f32]>::new_slice(comptime!(key.shared()));
        all_steps::<S, M, P, E, N, H>(
            &mut a,
            &mut b,
            &mut common,
            history,
            &mut own,
            &models,
            &tables,
            &shape,
            first,
            last,
            crew,
            key,
        );
    } else {
        all_steps::<S, M, P, E, N, H>(
            &mut a,
            &mut b,
            &mut common,
            history,
            scratch,
            &models,
            &tables,
            &shape,
            first,
            last,
            crew,
            key,
        );
    }
}

/// The steps of this worker's groups.
#[cube]
#[allow(clippy::too_many_arguments)]
fn all_steps<S: Score, M: Method, P: Space, E: Float, N: Size, H: Size>(
    a: &mut Carry<E>,
    b: &mut Carry<E>,
    common: &mut Common,
    history: &mut [f32],
    scratch: &mut [f32],
    models: &Models,
    tables: &Tables,
    shape: &Shape,
    first: u32,
    last: u32,
    #[comptime] crew: Crew,
    #[comptime] key: StepKey,
) {
    let mut desk = desk(key.sharing.units, crew);
    let mut group = first_group(crew);
    while group < shape.groups {
        let mut step = first;
        while step < last {
            one_step::<S, M, P, E, N, H>(
                &*a, b, common, history, scratch, models, tables, shape, group, step, &mut desk, crew, key,
            );
            step += 1u32;
            if step < last {
                one_step::<S, M, P, E, N, H>(
                    &*b, a, common, history, scratch, models, tables, shape, group, step, &mut desk, crew,
                    key,
                );
                step += 1u32;
            }
        }
        group += group_stride(crew, key.sharing.units);
    }
}

#[cube]
#[allow(clippy::too_many_arguments)]
fn one_step<S: Score, M: Method, P: Space, E: Float, N: Size, H: Size>(
    before: &Carry<E>,
    after: &mut Carry<E>,
    common: &mut Common,
    history: &mut [f32],
    scratch: &mut [f32],
    models: &Models,
    tables: &Tables,
    shape: &Shape,
    group: u32,
    step: u32,
    desk: &mut Desk,
    #[comptime] crew: Crew,
    #[comptime] key: StepKey,
) {
    let mut block = own_first(crew);
    while block < shape.blocks {
        let index = group * shape.blocks + block;
        let memory = &mut desk.memory;
        step_block::<S, M, P, E, N, H>(
            before, after, common, scratch, models, tables, shape, index, step, memory, key,
        );
        block += workers(crew, key.sharing.units);
    }
    meet(crew);
    if comptime!(key.weighed) {
        let tally = comptime!(key.tally());
        resample_group::<N>(
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
            desk,
            crew,
            tally,
        );
        meet(crew);
    }
}
