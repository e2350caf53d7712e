//! The start and the move; one vector of particles a turn, since the centre of all its frames is taken off.

use cubecl::prelude::*;

use super::kernel_aim::{added, load_three, store_three, tangents, three};
use super::{NUMBERS, TANGENT};
use crate::passes::frames::FRAME;
use crate::passes::frames::kernel::{Place, frame_of, noise, store_rotation, vector_of};
use crate::passes::own_items;
use crate::prims::math::larger;
use crate::prims::philox::purpose;
use crate::prims::so3::{Quaternion, Tangent, compose, dot, exp, length, normalised, scaled};
use crate::prims::state::{Grid, Layout, Past, Shape, load, recall, recall_row, store};

/// Takes the mean of the positions, whose sum is `sum`, off all of them.
#[cube]
fn centre<N: Size>(
    x: &mut [f32],
    grid: &Grid,
    frames: u32,
    at: usize,
    sum: &Tangent<N>,
    #[comptime] layout: Layout,
) {
    let share = Vector::<f32, N>::new(-1.0f32 / f32::cast_from(frames));
    for frame in 0..frames as usize {
        let row = frame * FRAME + 4usize;
        let own = load_three::<N>(&*x, grid, row, at, layout);
        store_three::<N>(x, grid, row, at, &added::<N>(&own, share, sum), layout);
    }
}

/// Draws particles of pure noise, padding included.
#[cube(launch)]
pub fn noise_kernel<N: Size>(
    x: &mut [f32],
    log_w: &mut [f32],
    numbers: &[f32],
    seeds: &[u32],
    shape: Shape,
    frames: u32,
    #[comptime] layout: Layout,
    #[comptime] wide: bool,
) {
    let grid = Grid { rows: shape.dim as usize, stride: shape.stride() };
    let std = Vector::<f32, N>::new(numbers[4]).sqrt();
    let items = own_items(shape.stride() as u32 / (N::value() as u32), wide);
    let mut item = items.first;
    while item < items.last {
        let at = item as usize * N::value();
        let mut sum = three::<N>(0.0f32);
        for frame in 0..frames as usize {
            let place = frame_of::<N>(&shape, item, frame);
            let z = noise::<N>(seeds, &place, 0u32.runtime(), 0u32.runtime(), purpose::INIT, wide);
            let q = normalised::<N>(&Quaternion::<N> { w: z.z0, x: z.z1, y: z.z2, z: z.z3 });
            store_rotation::<N>(x, &grid, frame * FRAME, at, &q, layout);
            let z = noise::<N>(seeds, &place, 0u32.runtime(), 1u32.runtime(), purpose::INIT, wide);
            let position = scaled::<N>(&vector_of::<N>(&z), std);
            store_three::<N>(x, &grid, frame * FRAME + 4usize, at, &position, layout);
            sum = added::<N>(&sum, Vector::new(1.0f32), &position);
        }
        centre::<N>(x, &grid, frames, at, &sum, layout);
        store::<f32, N>(log_w, at, Vector::new(0.0f32));
        item += items.turn;
    }
}

/// Three rows of the past.
#[cube]
fn recall_three<N: Size>(
    x: &[f32],
    grid: &Grid,
    row: usize,
    past: &Past<N>,
    #[comptime] layout: Layout,
) -> Tangent<N> {
    Tangent::<N> {
        x: recall_row::<f32, N>(x, grid, row, past, layout),
        y: recall_row::<f32, N>(x, grid, row + 1usize, past, layout),
        z: recall_row::<f32, N>(x, grid, row + 2usize, past, layout),
    }
}

/// What a frame does in tangent coordinates, over the noise of the step, and what that costs: the shift of the proposal,
/// the way in all, and the ratio of the two kernels.
#[cube]
fn leant<N: Size>(
    pull: &Tangent<N>,
    z: &Tangent<N>,
    std: Vector<f32, N>,
    lean: f32,
    most: f32,
) -> Shifted<N> {
    let shift = scaled::<N>(pull, std * Vector::new(lean));
    let most = Vector::<f32, N>::new(most);
    let shift = scaled::<N>(&shift, most / larger::<N>(length::<N>(&shift), most));
    let whole = added::<N>(z, Vector::new(1.0f32), &shift);
    let twice = added::<N>(&whole, Vector::new(1.0f32), z);
    Shifted::<N> { way: scaled::<N>(&whole, std), ratio: Vector::new(-0.5f32) * dot::<N>(&shift, &twice) }
}

/// See [`leant`].
#[derive(CubeType, Clone, Copy)]
struct Shifted<N: Size> {
    way: Tangent<N>,
    ratio: Vector<f32, N>,
}

/// Where the twisted proposal takes a frame of the past, into `x`; what it adds to the log-weight and the new position.
#[cube]
#[allow(clippy::too_many_arguments)]
fn move_frame<N: Size>(
    before: &Before,
    x: &mut [f32],
    numbers: &[f32],
    shape: &Shape,
    place: &Place,
    past: &Past<N>,
    step: u32,
    #[comptime] layout: Layout,
    #[comptime] wide: bool,
) -> Shifted<N> {
    let grid = Grid { rows: shape.dim as usize, stride: shape.stride() };
    let six = tangents(shape, shape.dim / comptime!(FRAME as u32));
    let (row, from) = (place.frame * FRAME, place.frame * TANGENT);
    let own = step as usize * NUMBERS;
    let lean = numbers[own + 10usize];
    let most = numbers[own + 11usize];
    let std = Vector::<f32, N>::new(numbers[own + 2usize]);
    let z = noise::<N>(&before.seeds, place, step, 0u32.runtime(), purpose::MOVE, wide);
    let pull = recall_three::<N>(&before.pulls, &six, from, past, layout);
    let turned = leant::<N>(&pull, &vector_of::<N>(&z), std, lean, most);
    let s = recall_three::<N>(&before.scores, &six, from, past, layout);
    let by = added::<N>(&turned.way, Vector::new(numbers[own + 1usize]), &s);
    let q = Quaternion::<N> {
        w: recall_row::<f32, N>(&before.x, &grid, row, past, layout),
        x: recall_row::<f32, N>(&before.x, &grid, row + 1usize, past, layout),
        y: recall_row::<f32, N>(&before.x, &grid, row + 2usize, past, layout),
        z: recall_row::<f32, N>(&before.x, &grid, row + 3usize, past, layout),
    };
    let q = normalised::<N>(&compose::<N>(&q, &exp::<N>(&by)));
    store_rotation::<N>(x, &grid, row, place.at, &q, layout);
    let std = Vector::<f32, N>::new(numbers[own + 7usize]);
    let z = noise::<N>(&before.seeds, place, step, 1u32.runtime(), purpose::MOVE, wide);
    let pull = recall_three::<N>(&before.pulls, &six, from + 3usize, past, layout);
    let gone = leant::<N>(&pull, &vector_of::<N>(&z), std, lean, most);
    let s = recall_three::<N>(&before.scores, &six, from + 3usize, past, layout);
    let old = recall_three::<N>(&before.x, &grid, row + 4usize, past, layout);
    let way = added::<N>(&gone.way, Vector::new(numbers[own + 6usize]), &s);
    let to = added::<N>(&way, Vector::new(numbers[own + 5usize]), &old);
    store_three::<N>(x, &grid, row + 4usize, place.at, &to, layout);
    Shifted::<N> { way: to, ratio: turned.ratio + gone.ratio }
}

/// What a move reads: the state before it, who descends from whom, and the seeds.
#[derive(CubeType, CubeLaunch)]
pub struct Before {
    /// Frames.
    pub x: Box<[f32]>,
    /// Scores.
    pub scores: Box<[f32]>,
    /// Gradients of log psi.
    pub pulls: Box<[f32]>,
    /// log psi.
    pub log_psi: Box<[f32]>,
    /// Parents within the group.
    pub ancestors: Box<[u32]>,
    /// Group records.
    pub norms: Box<[f32]>,
    /// Seeds.
    pub seeds: Box<[u32]>,
}

/// The step from level `step`: see the pass page.
#[cube(launch)]
pub fn advance_kernel<N: Size>(
    before: Before,
    x: &mut [f32],
    log_w: &mut [f32],
    numbers: &[f32],
    shape: Shape,
    frames: u32,
    step: u32,
    #[comptime] layout: Layout,
    #[comptime] wide: bool,
) {
    let grid = Grid { rows: shape.dim as usize, stride: shape.stride() };
    let items = own_items(shape.stride() as u32 / (N::value() as u32), wide);
    let mut item = items.first;
    while item < items.last {
        let at = item as usize * N::value();
        let group = at as u32 / shape.padded;
        let resampled = before.norms[group as usize * 4usize + 3usize] > 0.5f32;
        let parents = load::<u32, N>(&before.ancestors, at) + Vector::new(group * shape.padded);
        let past = Past::<N> { at, resampled, parents };
        let mut sum = three::<N>(0.0f32);
        let mut ratio = Vector::<f32, N>::new(0.0f32);
        for frame in 0..frames as usize {
            let place = frame_of::<N>(&shape, item, frame);
            let moved = move_frame::<N>(&before, x, numbers, &shape, &place, &past, step, layout, wide);
            sum = added::<N>(&sum, Vector::new(1.0f32), &moved.way);
            ratio += moved.ratio;
        }
        centre::<N>(x, &grid, frames, at, &sum, layout);
        let began = if resampled { Vector::new(0.0f32) } else { load::<f32, N>(&*log_w, at) };
        let log_psi = recall::<f32, N>(&before.log_psi, &past);
        store::<f32, N>(log_w, at, began + ratio - log_psi);
        item += items.turn;
    }
}
