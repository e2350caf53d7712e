//! Attention along tangents of queries, keys and values.

use cubecl::prelude::*;

use super::kernel_attend::{AttendKey, AttendSizes, Work, filled, places, products, soft, soften, work};
use crate::passes::own_items;

/// out_i = out_i fade_i + sum_j p_ij (da_ij v_j + dv_j) in every channel.
#[cube]
#[allow(clippy::too_many_arguments)]
fn gather<L: Size>(
    out: &mut [Vector<f32, L>],
    v: &[Vector<f32, L>],
    dv: &[Vector<f32, L>],
    p: &Array<Vector<f32, L>>,
    da: &Array<Vector<f32, L>>,
    fade: &Array<Vector<f32, L>>,
    work: &Work,
    at_a: &Array<u32>,
    at_b: &Array<u32>,
    first: bool,
    sizes: &AttendSizes,
    #[comptime] tile: usize,
) {
    let mut row = work.base;
    for _channel in 0..sizes.channels {
        #[unroll]
        for i in 0..tile {
            if work.first + comptime!(i as u32) < sizes.pixels {
                let cell = (row + at_a[i]) as usize;
                let mut sum = Vector::<f32, L>::new(0.0f32);
                if !first {
                    sum = out[cell] * fade[i];
                }
                #[unroll]
                for j in 0..tile {
                    let from = (row + at_b[j]) as usize;
                    let change = fma(da[i * tile + j], v[from], dv[from]);
                    sum = fma(p[i * tile + j], change, sum);
                }
                out[cell] = sum;
            }
        }
        row += sizes.pixels * sizes.vectors;
    }
}

/// How softmax(q k over) v, which is `value`, changes: p (da - sum p da) v + p dv.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
pub fn attend_along_kernel<L: Size>(
    q: &[Vector<f32, L>],
    k: &[Vector<f32, L>],
    v: &[Vector<f32, L>],
    dq: &[Vector<f32, L>],
    dk: &[Vector<f32, L>],
    dv: &[Vector<f32, L>],
    value: &[Vector<f32, L>],
    out: &mut [Vector<f32, L>],
    sizes: AttendSizes,
    #[comptime] key: AttendKey,
) {
    let tile = comptime!(key.tile);
    let tiles = sizes.pixels.div_ceil(comptime!(tile as u32));
    let items = own_items(sizes.heads * tiles * sizes.vectors, key.runs);
    let mut item = items.first;
    while item < items.last {
        let work = work(item, &sizes, tile);
        let at_a = places(work.first, &sizes, tile);
        let mut soft = soft::<L>(tile);
        let mut change = filled::<L>(0.0f32, tile);
        for t in 0..tiles {
            let keys = t * comptime!(tile as u32);
            let at_b = places(keys, &sizes, tile);
            let mut p = filled::<L>(0.0f32, comptime!(tile * tile));
            let mut da = filled::<L>(0.0f32, comptime!(tile * tile));
            products::<L>(&mut p, q, k, work.base, &at_a, &at_b, &sizes, tile);
            products::<L>(&mut da, dq, k, work.base, &at_a, &at_b, &sizes, tile);
            products::<L>(&mut da, q, dk, work.base, &at_a, &at_b, &sizes, tile);
            soften::<L>(&mut soft, &mut p, keys, &sizes, tile);
            #[unroll]
            for i in 0..tile {
                let mut sum = change[i] * soft.fade[i];
                #[unroll]
                for j in 0..tile {
                    da[i * tile + j] *= Vector::new(sizes.over);
                    sum = fma(p[i * tile + j], da[i * tile + j], sum);
                }
                change[i] = sum;
            }
            let first = t == 0u32;
            gather::<L>(out, v, dv, &p, &da, &soft.fade, &work, &at_a, &at_b, first, &sizes, tile);
        }
        #[unroll]
        for i in 0..tile {
            if work.first + comptime!(i as u32) < sizes.pixels {
                let share = Vector::new(1.0f32) / soft.total[i];
                let mean = change[i] * share;
                let mut row = work.base;
                for _channel in 0..sizes.channels {
                    let cell = (row + at_a[i]) as usize;
                    out[cell] = out[cell] * share - mean * value[cell];
                    row += sizes.pixels * sizes.vectors;
                }
            }
        }
        item += items.turn;
    }
}
