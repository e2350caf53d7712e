//! Layers that look at one number at a time, and those that only move numbers.

use cubecl::prelude::*;

use crate::passes::{number, own_items};
use crate::prims::activation::{Activation, act, act_slope};

/// What is made of a number before it is scaled and shifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Nothing: the shift alone is written.
    Nothing,
    /// The number itself.
    Same,
    /// Its activation.
    Act(Activation),
    /// A second number times the slope of the activation.
    Slope(Activation),
}

/// What it is scaled and shifted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// Two constants.
    Constants,
    /// A row of the table for each channel: scales, then shifts.
    Row,
    /// The same, but nothing is shifted.
    RowScale,
    /// The shift is a vector's number for each channel.
    Shift,
    /// So are both: a constant plus a number of the vector is the scale, and the shifts follow.
    Both,
    /// As `Both`, but nothing is shifted.
    Scale,
}

/// What changes the generated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PointKey {
    /// Of a number.
    pub form: Form,
    /// Scale and shift.
    pub by: By,
    /// A third value is added.
    pub other: bool,
    /// Vectors of particles at once.
    pub vectors: usize,
    /// Each unit takes a run of numbers (the CPU); else neighbours take neighbours.
    pub runs: bool,
}

/// Sizes.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub struct PointSizes {
    /// Channels.
    pub channels: u32,
    /// Pixels.
    pub pixels: u32,
    /// Vectors of particles.
    pub vectors: u32,
    /// The first scale in the rows of a level.
    pub row: u32,
    /// Numbers of the table to a level.
    pub level_numbers: u32,
    /// Level.
    pub level: u32,
    /// The constant scale, or that to which a vector's is added.
    pub scale: f32,
    /// The constant shift.
    pub shift: f32,
}

/// What a number becomes; `second` is the slope that comes back.
#[cube]
fn formed<L: Size>(x: Vector<f32, L>, second: Vector<f32, L>, #[comptime] form: Form) -> Vector<f32, L> {
    match comptime!(form) {
        Form::Nothing => Vector::new(0.0f32),
        Form::Same => x,
        Form::Act(_) => act::<L>(x, comptime!(kind_of(form))),
        Form::Slope(_) => second * act_slope::<L>(x, comptime!(kind_of(form))),
    }
}

/// The nonlinearity of a form.
fn kind_of(form: Form) -> Activation {
    match form {
        Form::Act(kind) | Form::Slope(kind) => kind,
        _ => Activation::Relu,
    }
}

/// scale f(x) + shift + other.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
pub fn point_kernel<L: Size>(
    x: &[Vector<f32, L>],
    second: &[Vector<f32, L>],
    other: &[Vector<f32, L>],
    out: &mut [Vector<f32, L>],
    table: &[f32],
    clock: &[u32],
    sizes: PointSizes,
    #[comptime] key: PointKey,
) {
    let at_once = comptime!(key.vectors as u32);
    let chunks = sizes.vectors / at_once;
    let rows = (number(sizes.level, clock) * sizes.level_numbers + sizes.row) as usize;
    let items = own_items(sizes.channels * sizes.pixels * chunks, key.runs);
    let mut item = items.first;
    while item < items.last {
        let at = item as usize * key.vectors;
        let channel = (item / (chunks * sizes.pixels)) as usize;
        let vector = channel * sizes.vectors as usize + (item % chunks) as usize * key.vectors;
        let more = (sizes.channels * sizes.vectors) as usize;
        #[unroll]
        for v in 0..key.vectors {
            let mut scale = Vector::<f32, L>::new(sizes.scale);
            let mut shift = Vector::<f32, L>::new(sizes.shift);
            if comptime!(key.by == By::Row || key.by == By::RowScale) {
                scale = Vector::new(table[rows + channel]);
            }
            if comptime!(key.by == By::Row) {
                shift = Vector::new(table[rows + channel + sizes.channels as usize]);
            }
            if comptime!(key.by == By::Shift) {
                shift = second[vector + v];
            }
            if comptime!(key.by == By::Both || key.by == By::Scale) {
                scale += second[vector + v];
            }
            if comptime!(key.by == By::Both) {
                shift = second[vector + more + v];
            }
            let formed = if comptime!(matches!(key.form, Form::Slope(_))) {
                formed::<L>(x[at + v], second[at + v], key.form)
            } else {
                formed::<L>(x[at + v], x[at + v], key.form)
            };
            let y = fma(formed, scale, shift);
            out[at + v] = if comptime!(key.other) { y + other[at + v] } else { y };
        }
        item += items.turn;
    }
}

/// The channels of `x`, `cut` vectors, then those of `y`.
#[cube(launch)]
pub fn join_kernel<L: Size>(
    x: &[Vector<f32, L>],
    y: &[Vector<f32, L>],
    out: &mut [Vector<f32, L>],
    cut: u32,
    count: u32,
    #[comptime] runs: bool,
) {
    let items = own_items(count, runs);
    let mut at = items.first;
    while at < items.last {
        if at < cut {
            out[at as usize] = x[at as usize];
        } else {
            out[at as usize] = y[(at - cut) as usize];
        }
        at += items.turn;
    }
}

/// `count` vectors of `x` from the `first` on, with `other` added.
#[cube(launch)]
pub fn part_kernel<L: Size>(
    x: &[Vector<f32, L>],
    other: &[Vector<f32, L>],
    out: &mut [Vector<f32, L>],
    first: u32,
    count: u32,
    #[comptime] adds: bool,
    #[comptime] runs: bool,
) {
    let items = own_items(count, runs);
    let mut at = items.first;
    while at < items.last {
        let from = x[(first + at) as usize];
        out[at as usize] = if comptime!(adds) { from + other[at as usize] } else { from };
        at += items.turn;
    }
}

/// Each pixel of `x` four times; `back` the sum of the four, with `other` added. `numbers`, `width` and `vectors` are
/// those of the smaller value.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
pub fn upsample_kernel<L: Size>(
    x: &[Vector<f32, L>],
    other: &[Vector<f32, L>],
    out: &mut [Vector<f32, L>],
    numbers: u32,
    width: u32,
    vectors: u32,
    #[comptime] back: bool,
    #[comptime] adds: bool,
    #[comptime] runs: bool,
) {
    let items = own_items(numbers * vectors, runs);
    let mut item = items.first;
    while item < items.last {
        let small = item / vectors;
        let row = small / width;
        let corner = (4u32 * row * width + 2u32 * (small - row * width)) * vectors + item % vectors;
        let below = corner + 2u32 * width * vectors;
        let (a, b) = (corner as usize, (corner + vectors) as usize);
        let (c, d) = (below as usize, (below + vectors) as usize);
        if comptime!(back) {
            let sum = (x[a] + x[b]) + (x[c] + x[d]);
            out[item as usize] = if comptime!(adds) { sum + other[item as usize] } else { sum };
        } else {
            let pixel = x[item as usize];
            out[a] = pixel;
            out[b] = pixel;
            out[c] = pixel;
            out[d] = pixel;
        }
        item += items.turn;
    }
}

/// `scale` times the sum over the pixels of each channel of `x`, and with `both`, before it, of x y.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
pub fn sums_kernel<L: Size>(
    x: &[Vector<f32, L>],
    y: &[Vector<f32, L>],
    out: &mut [Vector<f32, L>],
    channels: u32,
    pixels: u32,
    vectors: u32,
    scale: f32,
    #[comptime] both: bool,
    #[comptime] runs: bool,
) {
    let items = own_items(channels * vectors, runs);
    let mut item = items.first;
    while item < items.last {
        let mut at = item / vectors * pixels * vectors + item % vectors;
        let mut sum = Vector::<f32, L>::new(0.0f32);
        let mut product = Vector::<f32, L>::new(0.0f32);
        for _pixel in 0..pixels {
            sum += x[at as usize];
            if comptime!(both) {
                product = fma(x[at as usize], y[at as usize], product);
            }
            at += vectors;
        }
        if comptime!(both) {
            out[item as usize] = product * Vector::new(scale);
            out[(item + channels * vectors) as usize] = sum * Vector::new(scale);
        } else {
            out[item as usize] = sum * Vector::new(scale);
        }
        item += items.turn;
    }
}
