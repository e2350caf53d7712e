//! The three bodies, one after the other.

use cubecl::prelude::*;

use crate::passes::crew::{Crew, desk, first_group, group_stride, meet, own_first, resample_group, workers};
use crate::passes::gather::kernel::{gather_pieces, gather_run};
use crate::passes::weights::kernel::{TallyKey, record_block};
use crate::prims::state::{Shape, block_at};

/// Every group from weights to rows; `R` numbers are a piece of a row, of which a row has `pieces`.
#[cube(launch)]
pub fn survivors_kernel<N: Size, R: Size>(
    values: &[f32],
    records: &mut [u32],
    coeffs: &[f32],
    norms: &mut [f32],
    history: &mut [f32],
    seeds: &[u32],
    ancestors: &mut [u32],
    rows: &[Vector<f32, R>],
    out: &mut [Vector<f32, R>],
    shape: Shape,
    step: u32,
    pieces: u32,
    #[comptime] crew: Crew,
    #[comptime] key: TallyKey,
) {
    let units = key.sharing.units;
    let mut desk = desk(units, crew);
    let mut group = first_group(crew);
    while group < shape.groups {
        let mut block = own_first(crew);
        while block < shape.blocks {
            let index = group * shape.blocks + block;
            let at = block_at::<N>(&shape, index);
            record_block::<N>(values, &shape, &at, index, records, &mut desk.memory, key);
            block += workers(crew, units);
        }
        meet(crew);
        resample_group::<N>(
            values, &*records, coeffs, norms, history, seeds, ancestors, &shape, step, group, &mut desk,
            crew, key,
        );
        meet(crew);
        let (row, at) = (group * shape.slots, group * shape.padded);
        if comptime!(crew == Crew::Cube) {
            let count = shape.slots * pieces;
            gather_pieces::<R>(
                rows,
                &*ancestors,
                out,
                row,
                at,
                UNIT_POS,
                count,
                comptime!(units).runtime(),
                pieces,
            );
        } else {
            let each = shape.slots.div_ceil(workers(crew, units));
            let first = own_first(crew) * each;
            let first = select(first < shape.slots, first, shape.slots);
            let last = first + each;
            let last = select(last < shape.slots, last, shape.slots);
            gather_run::<R>(rows, &*ancestors, out, row, at, first, last, pieces);
        }
        // The next group's block records share the memory of this one's.
        meet(crew);
        group += group_stride(crew, units);
    }
}
