//! What the model says of a frame, and the gradient of log psi pulled back to it; one frame of one vector of particles a
//! turn.

use cubecl::prelude::*;

use super::{NUMBERS, TANGENT};
use crate::models::igso3::mixture::{COMPONENT, pulled, score};
use crate::passes::frames::FRAME;
use crate::passes::frames::kernel::{place_of, rotation_at, store_rotation};
use crate::passes::own_items;
use crate::prims::so3::{Tangent, compose, exp, normalised, scaled};
use crate::prims::state::{Grid, Layout, Shape, load_row, store_row};

/// Rows of tangent vectors, six a frame.
#[cube]
pub fn tangents(shape: &Shape, frames: u32) -> Grid {
    Grid { rows: frames as usize * TANGENT, stride: shape.stride() }
}

/// Three rows from `row` on.
#[cube]
pub fn load_three<N: Size>(
    x: &[f32],
    grid: &Grid,
    row: usize,
    at: usize,
    #[comptime] layout: Layout,
) -> Tangent<N> {
    Tangent::<N> {
        x: load_row::<f32, N>(x, grid, row, at, layout),
        y: load_row::<f32, N>(x, grid, row + 1usize, at, layout),
        z: load_row::<f32, N>(x, grid, row + 2usize, at, layout),
    }
}

/// Stores what [`load_three()`] loads.
#[cube]
pub fn store_three<N: Size>(
    x: &mut [f32],
    grid: &Grid,
    row: usize,
    at: usize,
    value: &Tangent<N>,
    #[comptime] layout: Layout,
) {
    store_row::<f32, N>(x, grid, row, at, value.x, layout);
    store_row::<f32, N>(x, grid, row + 1usize, at, value.y, layout);
    store_row::<f32, N>(x, grid, row + 2usize, at, value.z, layout);
}

/// `to` + `by` `from`.
#[cube]
pub fn added<N: Size>(to: &Tangent<N>, by: Vector<f32, N>, from: &Tangent<N>) -> Tangent<N> {
    Tangent::<N> { x: fma(by, from.x, to.x), y: fma(by, from.y, to.y), z: fma(by, from.z, to.z) }
}

/// The same number three times.
#[cube]
pub fn three<N: Size>(value: f32) -> Tangent<N> {
    Tangent::<N> { x: Vector::new(value), y: Vector::new(value), z: Vector::new(value) }
}

/// Scores `[6 frames]` and denoised frames `[7 frames]` of the particles `x` at level `level`.
#[cube(launch)]
pub fn told_kernel<N: Size>(
    x: &[f32],
    scores: &mut [f32],
    denoised: &mut [f32],
    components: &[f32],
    means: &[f32],
    precisions: &[f32],
    numbers: &[f32],
    shape: Shape,
    frames: u32,
    count: u32,
    level: u32,
    #[comptime] layout: Layout,
) {
    let grid = Grid { rows: shape.dim as usize, stride: shape.stride() };
    let six = tangents(&shape, frames);
    let own = level as usize * NUMBERS;
    let (noise, alpha, variance) = (numbers[own], numbers[own + 3usize], numbers[own + 4usize]);
    let items =
        own_items(frames * (shape.stride() as u32 / (N::value() as u32)), comptime!(layout == Layout::Tiles));
    let mut item = items.first;
    while item < items.last {
        let place = place_of::<N>(&shape, frames, item, layout);
        let (row, to, at) = (place.frame * FRAME, place.frame * TANGENT, place.at);
        let q = rotation_at::<N>(x, &grid, &place, layout);
        let s = score::<N>(components, place.frame * count as usize * COMPONENT, count, noise, &q);
        store_three::<N>(scores, &six, to, at, &s, layout);
        let way = exp::<N>(&scaled::<N>(&s, Vector::new(noise)));
        let clean = normalised::<N>(&compose::<N>(&q, &way));
        store_rotation::<N>(denoised, &grid, row, at, &clean, layout);
        // Minus the precision times what the chain is off its mean by.
        let table = (level * frames + place.frame as u32) as usize * frames as usize;
        let mut s = three::<N>(0.0f32);
        for j in 0..frames as usize {
            let x = load_three::<N>(x, &grid, j * FRAME + 4usize, at, layout);
            let mean = Tangent::<N> {
                x: Vector::new(alpha * means[3usize * j]),
                y: Vector::new(alpha * means[3usize * j + 1usize]),
                z: Vector::new(alpha * means[3usize * j + 2usize]),
            };
            let apart = added::<N>(&mean, Vector::new(-1.0f32), &x);
            s = added::<N>(&s, Vector::new(precisions[table + j]), &apart);
        }
        store_three::<N>(scores, &six, to + 3usize, at, &s, layout);
        let x = load_three::<N>(x, &grid, row + 4usize, at, layout);
        let clean = scaled::<N>(&added::<N>(&x, Vector::new(variance), &s), Vector::new(1.0f32 / alpha));
        store_three::<N>(denoised, &grid, row + 4usize, at, &clean, layout);
        item += items.turn;
    }
}

/// The gradient `slopes` at the denoised chain becomes `pulls` at the noisy one, both `[6 frames]`.
#[cube(launch)]
pub fn pull_kernel<N: Size>(
    x: &[f32],
    scores: &[f32],
    slopes: &[f32],
    pulls: &mut [f32],
    components: &[f32],
    precisions: &[f32],
    numbers: &[f32],
    shape: Shape,
    frames: u32,
    count: u32,
    level: u32,
    #[comptime] layout: Layout,
) {
    let grid = Grid { rows: shape.dim as usize, stride: shape.stride() };
    let six = tangents(&shape, frames);
    let own = level as usize * NUMBERS;
    let (noise, alpha, variance) = (numbers[own], numbers[own + 3usize], numbers[own + 4usize]);
    let items =
        own_items(frames * (shape.stride() as u32 / (N::value() as u32)), comptime!(layout == Layout::Tiles));
    let mut item = items.first;
    while item < items.last {
        let place = place_of::<N>(&shape, frames, item, layout);
        let (to, at) = (place.frame * TANGENT, place.at);
        let first = place.frame * count as usize * COMPONENT;
        let q = rotation_at::<N>(x, &grid, &place, layout);
        let s = load_three::<N>(scores, &six, to, at, layout);
        let g = load_three::<N>(slopes, &six, to, at, layout);
        let turned = pulled::<N>(components, first, count, noise, &q, &s, &g);
        store_three::<N>(pulls, &six, to, at, &turned, layout);
        let table = (level * frames + place.frame as u32) as usize * frames as usize;
        let mut sum = load_three::<N>(slopes, &six, to + 3usize, at, layout);
        for j in 0..frames as usize {
            let g = load_three::<N>(slopes, &six, j * TANGENT + 3usize, at, layout);
            sum = added::<N>(&sum, Vector::new(0.0f32 - variance * precisions[table + j]), &g);
        }
        let moved = scaled::<N>(&sum, Vector::new(1.0f32 / alpha));
        store_three::<N>(pulls, &six, to + 3usize, at, &moved, layout);
        item += items.turn;
    }
}
