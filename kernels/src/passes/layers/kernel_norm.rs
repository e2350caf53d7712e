//! A norm over groups of channels, with the affine map of each channel and the activation: forwards, back, along.
//!
//! A group of a vector of particles is one unit's: moments are those of each lane, and no lane asks another. Sums go
//! over a channel first and then over channels, so that an f32 sum of N numbers has rounded at most N^(1/2) or so
//! times for each. The variance is taken about the mean in a second pass, less the square of what the mean was off by:
//! what is left of the rounding of the mean is of second order, however large the mean is beside the deviation.

use cubecl::prelude::*;

use crate::passes::{number, own_items};
use crate::prims::activation::{Activation, act, act_slope};
use crate::prims::math::larger;

/// What changes the generated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NormKey {
    /// Vectors of particles at once.
    pub vectors: usize,
    /// What follows the affine map.
    pub act: Option<Activation>,
    /// Back: what there is already is added. Along: the affine map changes too.
    pub more: bool,
    /// A unit takes neighbouring groups (the CPU); else neighbours take neighbouring particles.
    pub runs: bool,
}

/// Sizes.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub struct NormSizes {
    /// Groups.
    pub groups: u32,
    /// Channels of a group.
    pub channels: u32,
    /// Pixels.
    pub pixels: u32,
    /// Vectors of particles.
    pub vectors: u32,
    /// The first gain in the rows of a level; shifts follow the gains of all channels.
    pub affine: u32,
    /// Numbers of the table to a level.
    pub level_numbers: u32,
    /// Level.
    pub level: u32,
    /// Added to the variance.
    pub eps: f32,
}

/// What a group has: mean and one over the deviation, of each vector of particles.
#[derive(CubeType)]
struct Moments<L: Size> {
    mean: Array<Vector<f32, L>>,
    over: Array<Vector<f32, L>>,
}

/// An array of zeros.
#[cube]
fn zeros<L: Size>(#[comptime] count: usize) -> Array<Vector<f32, L>> {
    let mut all = Array::<Vector<f32, L>>::new(count);
    #[unroll]
    for v in 0..count {
        all[v] = Vector::new(0.0f32);
    }
    all
}

/// 1 / the numbers of a group.
#[cube]
fn share<L: Size>(sizes: &NormSizes) -> Vector<f32, L> {
    Vector::new(1.0f32 / f32::cast_from(sizes.channels * sizes.pixels))
}

#[cube]
fn moments<L: Size>(
    x: &[Vector<f32, L>],
    first: u32,
    sizes: &NormSizes,
    #[comptime] vectors: usize,
) -> Moments<L> {
    let share = share::<L>(sizes);
    let mut mean = zeros::<L>(vectors);
    let mut at = first;
    for _channel in 0..sizes.channels {
        let mut sum = zeros::<L>(vectors);
        for _pixel in 0..sizes.pixels {
            #[unroll]
            for v in 0..vectors {
                sum[v] += x[at as usize + v];
            }
            at += sizes.vectors;
        }
        #[unroll]
        for v in 0..vectors {
            mean[v] = fma(sum[v], share, mean[v]);
        }
    }
    let mut off = zeros::<L>(vectors);
    let mut over = zeros::<L>(vectors);
    at = first;
    for _channel in 0..sizes.channels {
        let mut sum = zeros::<L>(vectors);
        let mut square = zeros::<L>(vectors);
        for _pixel in 0..sizes.pixels {
            #[unroll]
            for v in 0..vectors {
                let centred = x[at as usize + v] - mean[v];
                sum[v] += centred;
                square[v] = fma(centred, centred, square[v]);
            }
            at += sizes.vectors;
        }
        #[unroll]
        for v in 0..vectors {
            off[v] = fma(sum[v], share, off[v]);
            over[v] = fma(square[v], share, over[v]);
        }
    }
    #[unroll]
    for v in 0..vectors {
        let variance = larger::<L>(over[v] - off[v] * off[v], Vector::new(0.0f32));
        over[v] = Vector::new(1.0f32) / (variance + Vector::new(sizes.eps)).sqrt();
    }
    Moments::<L> { mean, over }
}

#[cube]
fn activated<L: Size>(y: Vector<f32, L>, #[comptime] kind: Option<Activation>) -> Vector<f32, L> {
    if comptime!(kind.is_some()) { act::<L>(y, comptime!(kind.unwrap())) } else { y }
}

/// `g` times the slope of the activation at `y`.
#[cube]
fn sloped<L: Size>(
    g: Vector<f32, L>,
    y: Vector<f32, L>,
    #[comptime] kind: Option<Activation>,
) -> Vector<f32, L> {
    if comptime!(kind.is_some()) { g * act_slope::<L>(y, comptime!(kind.unwrap())) } else { g }
}

/// act(gain (x - mean) / deviation + shift).
#[cube(launch)]
pub fn norm_kernel<L: Size>(
    x: &[Vector<f32, L>],
    out: &mut [Vector<f32, L>],
    table: &[f32],
    clock: &[u32],
    sizes: NormSizes,
    #[comptime] key: NormKey,
) {
    let chunks = sizes.vectors / comptime!(key.vectors as u32);
    let affine = number(sizes.level, clock) * sizes.level_numbers + sizes.affine;
    let all = sizes.groups * sizes.channels;
    let items = own_items(sizes.groups * chunks, key.runs);
    let mut item = items.first;
    while item < items.last {
        let channel = item / chunks * sizes.channels;
        let mut at = channel * sizes.pixels * sizes.vectors + item % chunks * comptime!(key.vectors as u32);
        let moments = moments::<L>(x, at, &sizes, key.vectors);
        for c in 0..sizes.channels {
            let row = (affine + channel + c) as usize;
            let (gain, shift) = (Vector::new(table[row]), Vector::new(table[row + all as usize]));
            for _pixel in 0..sizes.pixels {
                #[unroll]
                for v in 0..key.vectors {
                    let z = (x[at as usize + v] - moments.mean[v]) * moments.over[v];
                    out[at as usize + v] = activated::<L>(fma(z, gain, shift), key.act);
                }
                at += sizes.vectors;
            }
        }
        item += items.turn;
    }
}

/// The slope of x, of the slope of what [`norm_kernel`] writes: docs/maths.md (9r).
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
pub fn norm_back_kernel<L: Size>(
    x: &[Vector<f32, L>],
    slope: &[Vector<f32, L>],
    other: &[Vector<f32, L>],
    out: &mut [Vector<f32, L>],
    table: &[f32],
    clock: &[u32],
    sizes: NormSizes,
    #[comptime] key: NormKey,
) {
    let chunks = sizes.vectors / comptime!(key.vectors as u32);
    let affine = number(sizes.level, clock) * sizes.level_numbers + sizes.affine;
    let all = sizes.groups * sizes.channels;
    let share = share::<L>(&sizes);
    let items = own_items(sizes.groups * chunks, key.runs);
    let mut item = items.first;
    while item < items.last {
        let channel = item / chunks * sizes.channels;
        let first = channel * sizes.pixels * sizes.vectors + item % chunks * comptime!(key.vectors as u32);
        let moments = moments::<L>(x, first, &sizes, key.vectors);
        let mut h_mean = zeros::<L>(key.vectors);
        let mut hz_mean = zeros::<L>(key.vectors);
        let mut at = first;
        for c in 0..sizes.channels {
            let row = (affine + channel + c) as usize;
            let (gain, shift) = (Vector::new(table[row]), Vector::new(table[row + all as usize]));
            let mut sum = zeros::<L>(key.vectors);
            let mut product = zeros::<L>(key.vectors);
            for _pixel in 0..sizes.pixels {
                #[unroll]
                for v in 0..key.vectors {
                    let z = (x[at as usize + v] - moments.mean[v]) * moments.over[v];
                    let h = sloped::<L>(slope[at as usize + v], fma(z, gain, shift), key.act) * gain;
                    sum[v] += h;
                    product[v] = fma(h, z, product[v]);
                    // Kept where the result will be: the same unit reads it.
                    out[at as usize + v] = h;
                }
                at += sizes.vectors;
            }
            #[unroll]
            for v in 0..key.vectors {
                h_mean[v] = fma(sum[v], share, h_mean[v]);
                hz_mean[v] = fma(product[v], share, hz_mean[v]);
            }
        }
        at = first;
        for _number in 0..sizes.channels * sizes.pixels {
            #[unroll]
            for v in 0..key.vectors {
                let z = (x[at as usize + v] - moments.mean[v]) * moments.over[v];
                let back = (out[at as usize + v] - h_mean[v] - z * hz_mean[v]) * moments.over[v];
                out[at as usize + v] = if comptime!(key.more) { back + other[at as usize + v] } else { back };
            }
            at += sizes.vectors;
        }
        item += items.turn;
    }
}

/// How what [`norm_kernel`] writes changes as x moves along `moved`, and the affine map along its own table.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
pub fn norm_along_kernel<L: Size>(
    x: &[Vector<f32, L>],
    moved: &[Vector<f32, L>],
    out: &mut [Vector<f32, L>],
    table: &[f32],
    moving: &[f32],
    clock: &[u32],
    sizes: NormSizes,
    #[comptime] key: NormKey,
) {
    let chunks = sizes.vectors / comptime!(key.vectors as u32);
    let affine = number(sizes.level, clock) * sizes.level_numbers + sizes.affine;
    let all = sizes.groups * sizes.channels;
    let share = share::<L>(&sizes);
    let items = own_items(sizes.groups * chunks, key.runs);
    let mut item = items.first;
    while item < items.last {
        let channel = item / chunks * sizes.channels;
        let first = channel * sizes.pixels * sizes.vectors + item % chunks * comptime!(key.vectors as u32);
        let moments = moments::<L>(x, first, &sizes, key.vectors);
        let mut d_mean = zeros::<L>(key.vectors);
        let mut dz_mean = zeros::<L>(key.vectors);
        let mut at = first;
        for _channel in 0..sizes.channels {
            let mut sum = zeros::<L>(key.vectors);
            let mut product = zeros::<L>(key.vectors);
            for _pixel in 0..sizes.pixels {
                #[unroll]
                for v in 0..key.vectors {
                    let z = (x[at as usize + v] - moments.mean[v]) * moments.over[v];
                    sum[v] += moved[at as usize + v];
                    product[v] = fma(moved[at as usize + v], z, product[v]);
                }
                at += sizes.vectors;
            }
            #[unroll]
            for v in 0..key.vectors {
                d_mean[v] = fma(sum[v], share, d_mean[v]);
                dz_mean[v] = fma(product[v], share, dz_mean[v]);
            }
        }
        at = first;
        for c in 0..sizes.channels {
            let row = (affine + channel + c) as usize;
            let (gain, shift) = (Vector::new(table[row]), Vector::new(table[row + all as usize]));
            let (dgain, dshift) = (Vector::new(moving[row]), Vector::new(moving[row + all as usize]));
            for _pixel in 0..sizes.pixels {
                #[unroll]
                for v in 0..key.vectors {
                    let z = (x[at as usize + v] - moments.mean[v]) * moments.over[v];
                    let d = (moved[at as usize + v] - d_mean[v] - z * dz_mean[v]) * moments.over[v] * gain;
                    let d = if comptime!(key.more) { d + fma(z, dgain, dshift) } else { d };
                    out[at as usize + v] = sloped::<L>(d, fma(z, gain, shift), key.act);
                }
                at += sizes.vectors;
            }
        }
        item += items.turn;
    }
}
