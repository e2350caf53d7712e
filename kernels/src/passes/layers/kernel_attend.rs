//! Attention between pixels, a tile of them against a tile of others at a time.
//!
//! A unit has a head, a tile of queries and a vector of particles. Keys stream past: the softmax is that of those seen
//! so far, what was summed is scaled down where a larger score turns up, and the sums stand in the output. So no
//! score is kept beyond a tile.

use cubecl::prelude::*;

use crate::passes::own_items;
use crate::prims::math::{exp, larger};

/// Below every score.
pub const LEAST: f32 = -1.0e30;

/// What changes the generated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttendKey {
    /// Pixels of a tile.
    pub tile: usize,
    /// Each unit takes a run of tiles (the CPU); else neighbours take neighbouring particles.
    pub runs: bool,
}

/// Sizes.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub struct AttendSizes {
    /// Heads.
    pub heads: u32,
    /// Channels of a head.
    pub channels: u32,
    /// Pixels.
    pub pixels: u32,
    /// Vectors of particles.
    pub vectors: u32,
    /// Multiplies every product of a query and a key.
    pub over: f32,
}

/// What a unit works on.
#[derive(CubeType, Clone, Copy)]
pub struct Work {
    /// The first number of the head.
    pub base: u32,
    /// The first number of the head in a value of one channel a head.
    pub narrow: u32,
    /// The first pixel of the tile.
    pub first: u32,
}

/// Item `item`.
#[cube]
pub fn work(item: u32, sizes: &AttendSizes, #[comptime] tile: usize) -> Work {
    let tiles = sizes.pixels.div_ceil(comptime!(tile as u32));
    let rest = item / sizes.vectors;
    let vector = item - rest * sizes.vectors;
    let head = rest / tiles;
    let narrow = head * sizes.pixels * sizes.vectors;
    let first = (rest - head * tiles) * comptime!(tile as u32);
    Work { base: narrow * sizes.channels + vector, narrow: narrow + vector, first }
}

/// Where the pixels of a tile stand in a channel; the last pixel in place of those behind it.
#[cube]
pub fn places(first: u32, sizes: &AttendSizes, #[comptime] tile: usize) -> Array<u32> {
    let mut all = Array::<u32>::new(tile);
    #[unroll]
    for i in 0..tile {
        let pixel = first + comptime!(i as u32);
        all[i] = select(pixel < sizes.pixels, pixel, sizes.pixels - 1) * sizes.vectors;
    }
    all
}

/// sums += a_i b_j over the channels of a head.
#[cube]
pub fn products<L: Size>(
    sums: &mut Array<Vector<f32, L>>,
    a: &[Vector<f32, L>],
    b: &[Vector<f32, L>],
    base: u32,
    at_a: &Array<u32>,
    at_b: &Array<u32>,
    sizes: &AttendSizes,
    #[comptime] tile: usize,
) {
    let mut row = base;
    for _channel in 0..sizes.channels {
        let mut left = Array::<Vector<f32, L>>::new(tile);
        #[unroll]
        for i in 0..tile {
            left[i] = a[(row + at_a[i]) as usize];
        }
        #[unroll]
        for j in 0..tile {
            let right = b[(row + at_b[j]) as usize];
            #[unroll]
            for i in 0..tile {
                sums[i * tile + j] = fma(left[i], right, sums[i * tile + j]);
            }
        }
        row += sizes.pixels * sizes.vectors;
    }
}

/// An array of one number.
#[cube]
pub fn filled<L: Size>(with: f32, #[comptime] count: usize) -> Array<Vector<f32, L>> {
    let mut all = Array::<Vector<f32, L>>::new(count);
    #[unroll]
    for i in 0..count {
        all[i] = Vector::new(with);
    }
    all
}

/// The softmax so far of each query of a tile.
#[derive(CubeType)]
pub struct Soft<L: Size> {
    /// The largest score.
    pub most: Array<Vector<f32, L>>,
    /// The sum of exp(score - largest).
    pub total: Array<Vector<f32, L>>,
    /// What the last tile scaled earlier sums by.
    pub fade: Array<Vector<f32, L>>,
}

/// Before any key.
#[cube]
pub fn soft<L: Size>(#[comptime] tile: usize) -> Soft<L> {
    Soft::<L> {
        most: filled::<L>(LEAST, tile),
        total: filled::<L>(0.0f32, tile),
        fade: filled::<L>(0.0f32, tile),
    }
}

/// Takes a tile of products in, and makes exp(score - largest) of them; 0 for keys behind the last pixel.
#[cube]
pub fn soften<L: Size>(
    soft: &mut Soft<L>,
    scores: &mut Array<Vector<f32, L>>,
    keys: u32,
    sizes: &AttendSizes,
    #[comptime] tile: usize,
) {
    let over = Vector::new(sizes.over);
    #[unroll]
    for j in 0..tile {
        if keys + comptime!(j as u32) < sizes.pixels {
            #[unroll]
            for i in 0..tile {
                scores[i * tile + j] *= over;
            }
        } else {
            #[unroll]
            for i in 0..tile {
                scores[i * tile + j] = Vector::new(LEAST);
            }
        }
    }
    #[unroll]
    for i in 0..tile {
        let mut top = soft.most[i];
        #[unroll]
        for j in 0..tile {
            top = larger::<L>(top, scores[i * tile + j]);
        }
        let fade = exp::<L>(soft.most[i] - top);
        let mut sum = soft.total[i] * fade;
        #[unroll]
        for j in 0..tile {
            let p = exp::<L>(scores[i * tile + j] - top);
            scores[i * tile + j] = p;
            sum += p;
        }
        soft.most[i] = top;
        soft.total[i] = sum;
        soft.fade[i] = fade;
    }
}

/// out_i = out_i fade_i + sum_j p_ij v_j in every channel; 0 in place of out_i where these are the `first` keys.
#[cube]
#[allow(clippy::too_many_arguments)]
fn gather<L: Size>(
    out: &mut [Vector<f32, L>],
    v: &[Vector<f32, L>],
    p: &Array<Vector<f32, L>>,
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
        let mut right = Array::<Vector<f32, L>>::new(tile);
        #[unroll]
        for j in 0..tile {
            right[j] = v[(row + at_b[j]) as usize];
        }
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
                    sum = fma(p[i * tile + j], right[j], sum);
                }
                out[cell] = sum;
            }
        }
        row += sizes.pixels * sizes.vectors;
    }
}

/// out_i / total_i in every channel.
#[cube]
fn divide<L: Size>(
    out: &mut [Vector<f32, L>],
    total: &Array<Vector<f32, L>>,
    work: &Work,
    at_a: &Array<u32>,
    sizes: &AttendSizes,
    #[comptime] tile: usize,
) {
    #[unroll]
    for i in 0..tile {
        if work.first + comptime!(i as u32) < sizes.pixels {
            let share = Vector::new(1.0f32) / total[i];
            let mut row = work.base;
            for _channel in 0..sizes.channels {
                let cell = (row + at_a[i]) as usize;
                out[cell] *= share;
                row += sizes.pixels * sizes.vectors;
            }
        }
    }
}

/// softmax(q k over) v.
#[cube(launch)]
pub fn attend_kernel<L: Size>(
    q: &[Vector<f32, L>],
    k: &[Vector<f32, L>],
    v: &[Vector<f32, L>],
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
        for t in 0..tiles {
            let keys = t * comptime!(tile as u32);
            let at_b = places(keys, &sizes, tile);
            let mut p = filled::<L>(0.0f32, comptime!(tile * tile));
            products::<L>(&mut p, q, k, work.base, &at_a, &at_b, &sizes, tile);
            soften::<L>(&mut soft, &mut p, keys, &sizes, tile);
            gather::<L>(out, v, &p, &soft.fade, &work, &at_a, &at_b, t == 0u32, &sizes, tile);
        }
        divide::<L>(out, &soft.total, &work, &at_a, &sizes, tile);
        item += items.turn;
    }
}
