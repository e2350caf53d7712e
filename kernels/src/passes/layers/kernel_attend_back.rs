//! Attention back: scores are computed again from queries and keys, and p from them and what was kept of each query's
//! softmax: its log-normaliser l and the mean of dp = g v, so that p = exp(score - l) and the slope of a score is
//! p (dp - mean): docs/maths.md (9r).

use cubecl::prelude::*;

use super::kernel_attend::{AttendKey, AttendSizes, filled, places, products, soft, soften, work};
use crate::passes::own_items;
use crate::prims::math::{exp, ln};

/// l and mean dp of each head and query: `[2, heads, pixels]`.
#[cube(launch)]
pub fn attend_sums_kernel<L: Size>(
    q: &[Vector<f32, L>],
    k: &[Vector<f32, L>],
    v: &[Vector<f32, L>],
    slope: &[Vector<f32, L>],
    out: &mut [Vector<f32, L>],
    sizes: AttendSizes,
    #[comptime] key: AttendKey,
) {
    let tile = comptime!(key.tile);
    let tiles = sizes.pixels.div_ceil(comptime!(tile as u32));
    let half = sizes.heads * sizes.pixels * sizes.vectors;
    let items = own_items(sizes.heads * tiles * sizes.vectors, key.runs);
    let mut item = items.first;
    while item < items.last {
        let work = work(item, &sizes, tile);
        let at_a = places(work.first, &sizes, tile);
        let mut soft = soft::<L>(tile);
        let mut mean = filled::<L>(0.0f32, tile);
        for t in 0..tiles {
            let keys = t * comptime!(tile as u32);
            let at_b = places(keys, &sizes, tile);
            let mut p = filled::<L>(0.0f32, comptime!(tile * tile));
            let mut dp = filled::<L>(0.0f32, comptime!(tile * tile));
            products::<L>(&mut p, q, k, work.base, &at_a, &at_b, &sizes, tile);
            products::<L>(&mut dp, slope, v, work.base, &at_a, &at_b, &sizes, tile);
            soften::<L>(&mut soft, &mut p, keys, &sizes, tile);
            #[unroll]
            for i in 0..tile {
                let mut sum = mean[i] * soft.fade[i];
                #[unroll]
                for j in 0..tile {
                    sum = fma(p[i * tile + j], dp[i * tile + j], sum);
                }
                mean[i] = sum;
            }
        }
        #[unroll]
        for i in 0..tile {
            if work.first + comptime!(i as u32) < sizes.pixels {
                let cell = work.narrow + at_a[i];
                out[cell as usize] = soft.most[i] + ln::<L>(soft.total[i]);
                out[(half + cell) as usize] = mean[i] / soft.total[i];
            }
        }
        item += items.turn;
    }
}

/// Makes p of scores and ds = p (dp - mean) over of dp, for queries i and keys j; 0 where either is behind the last pixel.
#[cube]
#[allow(clippy::too_many_arguments)]
fn score_slopes<L: Size>(
    p: &mut Array<Vector<f32, L>>,
    ds: &mut Array<Vector<f32, L>>,
    sums: &[Vector<f32, L>],
    narrow: u32,
    queries: u32,
    at_q: &Array<u32>,
    keys: u32,
    sizes: &AttendSizes,
    #[comptime] tile: usize,
) {
    let half = sizes.heads * sizes.pixels * sizes.vectors;
    let over = Vector::new(sizes.over);
    #[unroll]
    for i in 0..tile {
        let cell = narrow + at_q[i];
        let (normaliser, mean) = (sums[cell as usize], sums[(half + cell) as usize]);
        #[unroll]
        for j in 0..tile {
            let at = comptime!(i * tile + j);
            let there =
                queries + comptime!(i as u32) < sizes.pixels && keys + comptime!(j as u32) < sizes.pixels;
            if there {
                let one = exp::<L>(fma(p[at], over, Vector::new(0.0f32) - normaliser));
                p[at] = one;
                ds[at] = one * (ds[at] - mean) * over;
            } else {
                p[at] = Vector::new(0.0f32);
                ds[at] = Vector::new(0.0f32);
            }
        }
    }
}

/// out_i += sum_j w_ij y_j in every channel, or with `turned` out_j += sum_i w_ij y_i; written, where it is the `first`.
#[cube]
#[allow(clippy::too_many_arguments)]
fn collect<L: Size>(
    out: &mut [Vector<f32, L>],
    y: &[Vector<f32, L>],
    w: &Array<Vector<f32, L>>,
    base: u32,
    own: u32,
    at_own: &Array<u32>,
    at_y: &Array<u32>,
    first: bool,
    sizes: &AttendSizes,
    #[comptime] turned: bool,
    #[comptime] tile: usize,
) {
    let mut row = base;
    for _channel in 0..sizes.channels {
        let mut right = Array::<Vector<f32, L>>::new(tile);
        #[unroll]
        for j in 0..tile {
            right[j] = y[(row + at_y[j]) as usize];
        }
        #[unroll]
        for i in 0..tile {
            if own + comptime!(i as u32) < sizes.pixels {
                let cell = (row + at_own[i]) as usize;
                let mut sum = Vector::<f32, L>::new(0.0f32);
                if !first {
                    sum = out[cell];
                }
                #[unroll]
                for j in 0..tile {
                    let at = comptime!(if turned { j * tile + i } else { i * tile + j });
                    sum = fma(w[at], right[j], sum);
                }
                out[cell] = sum;
            }
        }
        row += sizes.pixels * sizes.vectors;
    }
}

/// The slope of the queries.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
pub fn attend_queries_kernel<L: Size>(
    q: &[Vector<f32, L>],
    k: &[Vector<f32, L>],
    v: &[Vector<f32, L>],
    slope: &[Vector<f32, L>],
    sums: &[Vector<f32, L>],
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
        let at_q = places(work.first, &sizes, tile);
        for t in 0..tiles {
            let keys = t * comptime!(tile as u32);
            let at_k = places(keys, &sizes, tile);
            let mut p = filled::<L>(0.0f32, comptime!(tile * tile));
            let mut ds = filled::<L>(0.0f32, comptime!(tile * tile));
            products::<L>(&mut p, q, k, work.base, &at_q, &at_k, &sizes, tile);
            products::<L>(&mut ds, slope, v, work.base, &at_q, &at_k, &sizes, tile);
            score_slopes::<L>(&mut p, &mut ds, sums, work.narrow, work.first, &at_q, keys, &sizes, tile);
            let first = t == 0u32;
            collect::<L>(out, k, &ds, work.base, work.first, &at_q, &at_k, first, &sizes, false, tile);
        }
        item += items.turn;
    }
}

/// The slopes of the keys and of the values.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
pub fn attend_keys_kernel<L: Size>(
    q: &[Vector<f32, L>],
    k: &[Vector<f32, L>],
    v: &[Vector<f32, L>],
    slope: &[Vector<f32, L>],
    sums: &[Vector<f32, L>],
    out_k: &mut [Vector<f32, L>],
    out_v: &mut [Vector<f32, L>],
    sizes: AttendSizes,
    #[comptime] key: AttendKey,
) {
    let tile = comptime!(key.tile);
    let tiles = sizes.pixels.div_ceil(comptime!(tile as u32));
    let items = own_items(sizes.heads * tiles * sizes.vectors, key.runs);
    let mut item = items.first;
    while item < items.last {
        let work = work(item, &sizes, tile);
        let at_k = places(work.first, &sizes, tile);
        for t in 0..tiles {
            let queries = t * comptime!(tile as u32);
            let at_q = places(queries, &sizes, tile);
            let mut p = filled::<L>(0.0f32, comptime!(tile * tile));
            let mut ds = filled::<L>(0.0f32, comptime!(tile * tile));
            products::<L>(&mut p, q, k, work.base, &at_q, &at_k, &sizes, tile);
            products::<L>(&mut ds, slope, v, work.base, &at_q, &at_k, &sizes, tile);
            score_slopes::<L>(&mut p, &mut ds, sums, work.narrow, queries, &at_q, work.first, &sizes, tile);
            let first = t == 0u32;
            collect::<L>(out_k, q, &ds, work.base, work.first, &at_k, &at_q, first, &sizes, true, tile);
            collect::<L>(out_v, slope, &p, work.base, work.first, &at_k, &at_q, first, &sizes, true, tile);
        }
        item += items.turn;
    }
}
