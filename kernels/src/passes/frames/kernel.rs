//! One frame of one vector of particles a turn.

use cubecl::prelude::*;

use super::{FRAME, First, PRIOR, STEP, TANGENT};
use crate::models::igso3::angles::KNOTS;
use crate::models::igso3::{angle_of, score};
use crate::passes::own_items;
use crate::prims::philox::{Normals, Stream, draw, lanes, purpose, tag};
use crate::prims::so3::{Quaternion, So3, Tangent, compose, exp, length, normalised, rotate, scaled};
use crate::prims::space::Space;
use crate::prims::state::{Grid, Layout, Shape, load_row, store_row};

/// Which frame of which particles an item is.
#[derive(CubeType, Clone, Copy)]
pub(crate) struct Place {
    pub frame: usize,
    pub at: usize,
    pub group: u32,
    pub slot: u32,
}

/// Item `item` of frames by vectors. Neighbours in memory come one after the other: frames of a vector in tiles, vectors of
/// a frame in columns.
#[cube]
pub(crate) fn place_of<N: Size>(shape: &Shape, frames: u32, item: u32, #[comptime] layout: Layout) -> Place {
    let vectors = shape.stride() as u32 / (N::value() as u32);
    let tiles = comptime!(layout == Layout::Tiles);
    let vector = if tiles { item / frames } else { item % vectors };
    let frame = if tiles { item % frames } else { item / vectors };
    frame_of::<N>(shape, vector, frame as usize)
}

/// A frame of vector number `vector` of particles.
#[cube]
pub(crate) fn frame_of<N: Size>(shape: &Shape, vector: u32, frame: usize) -> Place {
    let at = vector * (N::value() as u32);
    let group = at / shape.padded;
    Place { frame, at: at as usize, group, slot: at - group * shape.padded }
}

/// The quaternion of the frame there.
#[cube]
pub(crate) fn rotation_at<N: Size>(
    x: &[f32],
    grid: &Grid,
    place: &Place,
    #[comptime] layout: Layout,
) -> Quaternion<N> {
    let row = place.frame * FRAME;
    Quaternion::<N> {
        w: load_row::<f32, N>(x, grid, row, place.at, layout),
        x: load_row::<f32, N>(x, grid, row + 1usize, place.at, layout),
        y: load_row::<f32, N>(x, grid, row + 2usize, place.at, layout),
        z: load_row::<f32, N>(x, grid, row + 3usize, place.at, layout),
    }
}

/// Stores the quaternion of a frame whose rows begin at `row`.
#[cube]
pub(crate) fn store_rotation<N: Size>(
    x: &mut [f32],
    grid: &Grid,
    row: usize,
    at: usize,
    q: &Quaternion<N>,
    #[comptime] layout: Layout,
) {
    store_row::<f32, N>(x, grid, row, at, q.w, layout);
    store_row::<f32, N>(x, grid, row + 1usize, at, q.x, layout);
    store_row::<f32, N>(x, grid, row + 2usize, at, q.y, layout);
    store_row::<f32, N>(x, grid, row + 3usize, at, q.z, layout);
}

/// The mean rotation of a prior.
#[cube]
fn mean_at<N: Size>(priors: &[f32], prior: usize) -> Quaternion<N> {
    Quaternion::<N> {
        w: Vector::new(priors[prior]),
        x: Vector::new(priors[prior + 1usize]),
        y: Vector::new(priors[prior + 2usize]),
        z: Vector::new(priors[prior + 3usize]),
    }
}

/// The normals of a frame's rotation (`part` 0) or position (1).
#[cube]
pub(crate) fn noise<N: Size>(
    seeds: &[u32],
    place: &Place,
    step: u32,
    part: u32,
    #[comptime] purpose: u32,
    #[comptime] wide: bool,
) -> Normals<N> {
    let stream = Stream::<N> {
        slot: lanes::<N>(place.slot),
        step,
        tag: comptime!(tag(purpose, 0)).runtime(),
        key0: seeds[2 * place.group as usize],
        key1: seeds[2 * place.group as usize + 1],
    };
    draw::<N, N>(&stream, 2u32 * place.frame as u32 + part, false, wide)
}

/// Three of four normals.
#[cube]
pub(crate) fn vector_of<N: Size>(z: &Normals<N>) -> Tangent<N> {
    Tangent::<N> { x: z.z0, y: z.z1, z: z.z2 }
}

/// Draws the frames of the first level, padding included: `numbers` are those of the step from there.
#[cube(launch)]
pub fn start_kernel<N: Size>(
    x: &mut [f32],
    priors: &[f32],
    numbers: &[f32],
    angles: &[f32],
    seeds: &[u32],
    shape: Shape,
    frames: u32,
    #[comptime] first: First,
    #[comptime] layout: Layout,
    #[comptime] wide: bool,
) {
    let grid = Grid { rows: shape.dim as usize, stride: shape.stride() };
    let items = own_items(frames * (shape.stride() as u32 / (N::value() as u32)), wide);
    let mut item = items.first;
    while item < items.last {
        let place = place_of::<N>(&shape, frames, item, layout);
        let row = place.frame * FRAME;
        let prior = place.frame * PRIOR;
        let z = noise::<N>(seeds, &place, 0u32.runtime(), 0u32.runtime(), purpose::INIT, wide);
        let q = if comptime!(first == First::Uniform) {
            normalised::<N>(&Quaternion::<N> { w: z.z0, x: z.z1, y: z.z2, z: z.z3 })
        } else {
            let table = place.frame * comptime!(2 * KNOTS);
            let angle = angle_of::<N>(angles, table, z.z3);
            let axis = vector_of::<N>(&z);
            let by = exp::<N>(&scaled::<N>(&axis, angle / length::<N>(&axis)));
            normalised::<N>(&compose::<N>(&mean_at::<N>(priors, prior), &by))
        };
        store_rotation::<N>(x, &grid, row, place.at, &q, layout);
        let z = noise::<N>(seeds, &place, 0u32.runtime(), 1u32.runtime(), purpose::INIT, wide);
        let alpha = numbers[3];
        let std = Vector::<f32, N>::new(alpha * alpha * priors[prior + 8usize] + numbers[4]).sqrt();
        let z = vector_of::<N>(&z);
        #[unroll]
        for k in 0..3usize {
            let own = match comptime!(k) {
                0usize => z.x,
                1usize => z.y,
                _ => z.z,
            };
            let value = fma(own, std, Vector::new(alpha * priors[prior + 5usize + k]));
            store_row::<f32, N>(x, &grid, row + 4usize + k, place.at, value, layout);
        }
        item += items.turn;
    }
}

/// Takes the rotation of a frame along drift times score plus noise.
#[cube]
fn walk_rotation<N: Size>(
    x: &mut [f32],
    priors: &[f32],
    numbers: &[f32],
    grid: &Grid,
    place: &Place,
    first: usize,
    z: &Normals<N>,
    #[comptime] layout: Layout,
) {
    let prior = place.frame * PRIOR;
    let q = rotation_at::<N>(&*x, grid, place, layout);
    let drift = Vector::<f32, N>::new(numbers[first + 1usize]);
    let noise = Vector::<f32, N>::new(numbers[first + 2usize]);
    let variance = priors[prior + 4usize] + numbers[first];
    let score = score::<N>(&mean_at::<N>(priors, prior), &q, variance);
    let mut step = Array::<Vector<f32, N>>::new(3usize);
    step[0] = fma(drift, score.x, noise * z.z0);
    step[1] = fma(drift, score.y, noise * z.z1);
    step[2] = fma(drift, score.z, noise * z.z2);
    let mut point = Array::<Vector<f32, N>>::new(4usize);
    point[0] = q.w;
    point[1] = q.x;
    point[2] = q.y;
    point[3] = q.z;
    So3::retract::<N>(&mut point, &step, Vector::new(1.0f32));
    #[unroll]
    for k in 0..4usize {
        store_row::<f32, N>(x, grid, place.frame * FRAME + k, place.at, point[k], layout);
    }
}

/// The step from level `step`: see the pass page.
#[cube(launch)]
pub fn walk_kernel<N: Size>(
    x: &mut [f32],
    priors: &[f32],
    numbers: &[f32],
    seeds: &[u32],
    shape: Shape,
    frames: u32,
    step: u32,
    #[comptime] layout: Layout,
    #[comptime] wide: bool,
) {
    let grid = Grid { rows: shape.dim as usize, stride: shape.stride() };
    let first = step as usize * STEP;
    let alpha = numbers[first + 3usize];
    let items = own_items(frames * (shape.stride() as u32 / (N::value() as u32)), wide);
    let mut item = items.first;
    while item < items.last {
        let place = place_of::<N>(&shape, frames, item, layout);
        let prior = place.frame * PRIOR;
        let z = noise::<N>(seeds, &place, step, 0u32.runtime(), purpose::MOVE, wide);
        walk_rotation::<N>(x, priors, numbers, &grid, &place, first, &z, layout);
        let z = noise::<N>(seeds, &place, step, 1u32.runtime(), purpose::MOVE, wide);
        // The score is (alpha m - x)/variance: what x keeps, and what m adds.
        let pull =
            numbers[first + 6usize] / (alpha * alpha * priors[prior + 8usize] + numbers[first + 4usize]);
        let kept = Vector::<f32, N>::new(numbers[first + 5usize] - pull);
        let noise = Vector::<f32, N>::new(numbers[first + 7usize]);
        #[unroll]
        for k in 0..3usize {
            let own = match comptime!(k) {
                0usize => z.z0,
                1usize => z.z1,
                _ => z.z2,
            };
            let row = place.frame * FRAME + 4usize + k;
            let old = load_row::<f32, N>(&*x, &grid, row, place.at, layout);
            let mean = Vector::new(pull * alpha * priors[prior + 5usize + k]);
            store_row::<f32, N>(x, &grid, row, place.at, fma(kept, old, fma(noise, own, mean)), layout);
        }
        item += items.turn;
    }
}

/// The step from level `step` of rows of frames along scores that are given; lanes are one particle's.
#[cube(launch)]
pub fn follow_kernel<N: Size>(
    x: &mut [f32],
    scores: &[f32],
    numbers: &[f32],
    seeds: &[u32],
    frames: u32,
    count: u32,
    step: u32,
    #[comptime] wide: bool,
) {
    let first = step as usize * STEP;
    let drift = Vector::<f32, N>::new(numbers[first + 1usize]);
    let spread = Vector::<f32, N>::new(numbers[first + 2usize]);
    let items = own_items(frames * count, wide);
    let mut item = items.first;
    while item < items.last {
        let slot = item / frames;
        let frame = (item - slot * frames) as usize;
        let place = Place { frame, at: 0usize.runtime(), group: 0u32.runtime(), slot };
        let (row, score) = (item as usize * FRAME, item as usize * TANGENT);
        let z = noise::<N>(seeds, &place, step, 0u32.runtime(), purpose::MOVE, wide);
        let mut way = Array::<Vector<f32, N>>::new(3usize);
        way[0] = fma(drift, Vector::new(scores[score]), spread * z.z0);
        way[1] = fma(drift, Vector::new(scores[score + 1usize]), spread * z.z1);
        way[2] = fma(drift, Vector::new(scores[score + 2usize]), spread * z.z2);
        let mut point = Array::<Vector<f32, N>>::new(4usize);
        #[unroll]
        for k in 0..4usize {
            point[k] = Vector::new(x[row + k]);
        }
        So3::retract::<N>(&mut point, &way, Vector::new(1.0f32));
        #[unroll]
        for k in 0..4usize {
            x[row + k] = point[k].extract(0usize);
        }
        let z = noise::<N>(seeds, &place, step, 1u32.runtime(), purpose::MOVE, wide);
        let z = vector_of::<N>(&z);
        #[unroll]
        for k in 0..3usize {
            let own = match comptime!(k) {
                0usize => z.x,
                1usize => z.y,
                _ => z.z,
            };
            let at = row + 4usize + k;
            let moved =
                fma(numbers[first + 5usize], x[at], numbers[first + 6usize] * scores[score + 3usize + k]);
            x[at] = fma(numbers[first + 7usize], own.extract(0usize), moved);
        }
        item += items.turn;
    }
}

/// Rows `[particles, frames, atoms, 3]` of where the atoms of each frame are, `local` `[atoms, 3]` being where they are in it.
#[cube(launch)]
pub fn place_kernel<N: Size>(
    x: &[f32],
    local: &[f32],
    out: &mut [f32],
    shape: Shape,
    frames: u32,
    atoms: u32,
    #[comptime] layout: Layout,
) {
    let grid = Grid { rows: shape.dim as usize, stride: shape.stride() };
    let items =
        own_items(frames * (shape.stride() as u32 / (N::value() as u32)), comptime!(layout == Layout::Tiles));
    let mut item = items.first;
    while item < items.last {
        let place = place_of::<N>(&shape, frames, item, layout);
        let q = rotation_at::<N>(x, &grid, &place, layout);
        let row = place.frame * FRAME + 4usize;
        let from_x = load_row::<f32, N>(x, &grid, row, place.at, layout);
        let from_y = load_row::<f32, N>(x, &grid, row + 1usize, place.at, layout);
        let from_z = load_row::<f32, N>(x, &grid, row + 2usize, place.at, layout);
        for atom in 0..atoms as usize {
            let own = Tangent::<N> {
                x: Vector::new(local[3 * atom]),
                y: Vector::new(local[3 * atom + 1usize]),
                z: Vector::new(local[3 * atom + 2usize]),
            };
            let turned = rotate::<N>(&q, &own);
            let (to_x, to_y, to_z) = (from_x + turned.x, from_y + turned.y, from_z + turned.z);
            #[unroll]
            for lane in 0..N::value() {
                let slot = place.slot + (lane as u32);
                if slot < shape.slots {
                    let particle = (place.group * shape.slots + slot) as usize;
                    let cell = ((particle * frames as usize + place.frame) * atoms as usize + atom) * 3usize;
                    out[cell] = to_x.extract(lane);
                    out[cell + 1usize] = to_y.extract(lane);
                    out[cell + 2usize] = to_z.extract(lane);
                }
            }
        }
        item += items.turn;
    }
}
