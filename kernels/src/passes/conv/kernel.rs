//! A tile of channels of one pixel, for some vectors of particles, at a time.

use cubecl::prelude::*;

use crate::passes::{number, own_items};

/// What changes the generated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvKey {
    /// Channels computed at once.
    pub rows: usize,
    /// Vectors of particles computed at once.
    pub vectors: usize,
    /// Weights read at once, a divisor of `rows`.
    pub pack: usize,
    /// Each unit takes a run of pixels (the CPU); else neighbours take neighbouring particles.
    pub runs: bool,
}

/// Sizes of what is read and written, and what is done with the sums.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub struct Sizes {
    /// Channels read.
    pub channels: u32,
    /// Rows of pixels read.
    pub height: u32,
    /// Columns of pixels read.
    pub width: u32,
    /// Channels written.
    pub out: u32,
    /// Rows of pixels written.
    pub to_height: u32,
    /// Columns of pixels written.
    pub to_width: u32,
    /// Taps of a row.
    pub taps: u32,
    /// Pixels between two that are written, or, backwards, read.
    pub stride: u32,
    /// Zeros above and left.
    pub before: u32,
    /// 1: transposed.
    pub back: u32,
    /// Groups of as many vectors of particles as are computed at once.
    pub groups: u32,
    /// 1: there is a bias.
    pub biased: u32,
    /// Number of the first bias in a row of the table.
    pub bias: u32,
    /// Numbers of the table to a level.
    pub level_numbers: u32,
    /// Level.
    pub level: u32,
    /// 1: `other` is added.
    pub others: u32,
    /// 1: it is added to what stands there.
    pub adds: u32,
    /// Multiplies all that.
    pub scale: f32,
    /// Is added to that.
    pub shift: f32,
}

/// The taps of one direction that meet pixels: `count` of them, the first is `tap` and meets `pixel`.
#[derive(CubeType, Clone, Copy)]
struct Span {
    tap: i32,
    count: i32,
    pixel: i32,
}

/// Those of pixel `at` that is written, of `size` that are read.
#[cube]
fn span(at: u32, size: u32, sizes: &Sizes) -> Span {
    let (at, size) = (i32::cast_from(at), i32::cast_from(size));
    let (taps, before) = (i32::cast_from(sizes.taps), i32::cast_from(sizes.before));
    let stride = i32::cast_from(sizes.stride);
    let start = at * stride - before;
    let mut tap = select(start < 0, 0 - start, 0);
    let mut count = select(size - start < taps, size - start, taps) - tap;
    let mut pixel = start + tap;
    if sizes.back == 1u32 {
        // Tap d meets pixel (at + before - d) / stride, where that is whole.
        let most = at + before;
        let first = most % stride;
        let least = most - stride * (size - 1);
        tap = select(least > first, least, first);
        let last = select(most < taps - 1, most, taps - 1);
        count = (last - tap + stride) / stride;
        pixel = (most - tap) / stride;
    }
    Span { tap, count, pixel }
}

/// Where a unit works.
#[derive(CubeType, Clone, Copy)]
struct Place {
    tile: u32,
    y: u32,
    x: u32,
    group: u32,
}

#[cube]
fn place(item: u32, sizes: &Sizes, #[comptime] key: ConvKey) -> Place {
    let pixels = sizes.to_height * sizes.to_width;
    let tiles = sizes.out.div_ceil(comptime!(key.rows as u32));
    let outer = if comptime!(key.runs) { item / pixels } else { item / sizes.groups };
    let tile = if comptime!(key.runs) { outer % tiles } else { outer / pixels };
    let pixel = if comptime!(key.runs) { item - outer * pixels } else { outer % pixels };
    let group = if comptime!(key.runs) { outer / tiles } else { item - outer * sizes.groups };
    let y = pixel / sizes.to_width;
    Place { tile, y, x: pixel - y * sizes.to_width, group }
}

/// See the pass page.
#[cube(launch)]
pub fn conv_kernel<L: Size, W: Size>(
    from: &[Vector<f32, L>],
    to: &mut [Vector<f32, L>],
    other: &[Vector<f32, L>],
    weights: &[Vector<f32, W>],
    biases: &[f32],
    clock: &[u32],
    sizes: Sizes,
    #[comptime] key: ConvKey,
) {
    let tiles = sizes.out.div_ceil(comptime!(key.rows as u32));
    let count = tiles * sizes.groups * sizes.to_height * sizes.to_width;
    let bias = sizes.bias + number(sizes.level, clock) * sizes.level_numbers;
    let items = own_items(count, key.runs);
    let mut item = items.first;
    while item < items.last {
        let place = place(item, &sizes, key);
        let mut sums = Array::<Vector<f32, L>>::new(comptime!(key.rows * key.vectors));
        #[unroll]
        for i in 0..comptime!(key.rows * key.vectors) {
            sums[i] = Vector::new(0.0f32);
        }
        products::<L, W>(&mut sums, from, weights, &place, &sizes, key);
        finish::<L>(&sums, to, other, biases, bias, &place, &sizes, key);
        item += items.turn;
    }
}

/// sums += W x over all taps that meet a pixel.
#[cube]
fn products<L: Size, W: Size>(
    sums: &mut Array<Vector<f32, L>>,
    from: &[Vector<f32, L>],
    weights: &[Vector<f32, W>],
    place: &Place,
    sizes: &Sizes,
    #[comptime] key: ConvKey,
) {
    let own = comptime!((key.rows / key.pack) as u32);
    let step = select(sizes.back == 1u32, sizes.stride, 1u32);
    let vectors = sizes.groups * comptime!(key.vectors as u32);
    let plane = sizes.height * sizes.width * vectors;
    let (down, across) = (span(place.y, sizes.height, sizes), span(place.x, sizes.width, sizes));
    let turn = select(sizes.back == 1u32, -1i32, 1i32);
    for j in 0..down.count {
        for i in 0..across.count {
            let row = u32::cast_from(down.tap) + u32::cast_from(j) * step;
            let tap = row * sizes.taps + u32::cast_from(across.tap) + u32::cast_from(i) * step;
            let y = u32::cast_from(down.pixel + turn * j);
            let x = u32::cast_from(across.pixel + turn * i);
            let mut weight = (place.tile * sizes.taps * sizes.taps + tap) * sizes.channels * own;
            let mut value = (y * sizes.width + x) * vectors + place.group * comptime!(key.vectors as u32);
            for _channel in 0..sizes.channels {
                let mut a = Array::<Vector<f32, L>>::new(key.vectors);
                #[unroll]
                for v in 0..key.vectors {
                    a[v] = from[value as usize + v];
                }
                #[unroll]
                for w in 0..comptime!(key.rows / key.pack) {
                    let few = weights[weight as usize + w];
                    #[unroll]
                    for lane in 0..key.pack {
                        let one = Vector::<f32, L>::new(few.extract(lane));
                        #[unroll]
                        for v in 0..key.vectors {
                            let at = (w * key.pack + lane) * key.vectors + v;
                            sums[at] = fma(one, a[v], sums[at]);
                        }
                    }
                }
                weight += own;
                value += plane;
            }
        }
    }
}

/// Writes a tile of sums with all that is done to them.
#[cube]
#[allow(clippy::too_many_arguments)]
fn finish<L: Size>(
    sums: &Array<Vector<f32, L>>,
    to: &mut [Vector<f32, L>],
    other: &[Vector<f32, L>],
    biases: &[f32],
    bias: u32,
    place: &Place,
    sizes: &Sizes,
    #[comptime] key: ConvKey,
) {
    let vectors = sizes.groups * comptime!(key.vectors as u32);
    let scale = Vector::<f32, L>::new(sizes.scale);
    #[unroll]
    for r in 0..key.rows {
        let row = place.tile * comptime!(key.rows as u32) + comptime!(r as u32);
        if row < sizes.out {
            let pixel = (row * sizes.to_height + place.y) * sizes.to_width + place.x;
            let at = pixel * vectors + place.group * comptime!(key.vectors as u32);
            let mut added = Vector::<f32, L>::new(0.0f32);
            if sizes.biased == 1u32 {
                added = Vector::new(biases[(bias + row) as usize]);
            }
            #[unroll]
            for v in 0..key.vectors {
                let cell = at as usize + v;
                let mut sum = sums[r * key.vectors + v] + added;
                if sizes.others == 1u32 {
                    sum += other[cell];
                }
                sum = fma(sum, scale, Vector::new(sizes.shift));
                if sizes.adds == 1u32 {
                    sum += to[cell];
                }
                to[cell] = sum;
            }
        }
    }
}
