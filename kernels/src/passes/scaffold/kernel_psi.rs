//! log psi of denoised chains and its gradient; one vector of particles a turn.
//!
//! With the motif's frames turned by U, <U, R R_m^T> is the trace that |R - U R_m|^2 has, and <U, x x_m^T> the product of
//! positions: what a placement is worth is linear in U, and all residues at an offset come down to one matrix.

use cubecl::prelude::*;

use super::kernel_aim::{added, load_three, store_three, tangents, three};
use super::{NUMBERS, RESIDUE, TANGENT};
use crate::passes::frames::FRAME;
use crate::passes::own_items;
use crate::prims::math::{exp, larger, ln};
use crate::prims::monoid::ZERO_WEIGHT;
use crate::prims::so3::{Tangent, dot, scaled};
use crate::prims::state::{Grid, Layout, Shape, load, load_row, store};

/// A matrix by its rows.
#[derive(CubeType, CubeTypeMut, Clone, Copy)]
struct Rows<N: Size> {
    x: Tangent<N>,
    y: Tangent<N>,
    z: Tangent<N>,
}

/// Three numbers of a table, for all lanes.
#[cube]
fn given<N: Size>(table: &[f32], at: usize) -> Tangent<N> {
    Tangent::<N> {
        x: Vector::new(table[at]),
        y: Vector::new(table[at + 1usize]),
        z: Vector::new(table[at + 2usize]),
    }
}

#[cube]
fn given_rows<N: Size>(table: &[f32], at: usize) -> Rows<N> {
    Rows::<N> {
        x: given::<N>(table, at),
        y: given::<N>(table, at + 3usize),
        z: given::<N>(table, at + 6usize),
    }
}

/// The trace of `a` transposed times `b`.
#[cube]
fn inner<N: Size>(a: &Rows<N>, b: &Rows<N>) -> Vector<f32, N> {
    dot::<N>(&a.x, &b.x) + dot::<N>(&a.y, &b.y) + dot::<N>(&a.z, &b.z)
}

/// `a` times `b` transposed.
#[cube]
fn across<N: Size>(a: &Rows<N>, b: &Rows<N>) -> Rows<N> {
    Rows::<N> { x: applied::<N>(b, &a.x), y: applied::<N>(b, &a.y), z: applied::<N>(b, &a.z) }
}

/// The matrix times a vector.
#[cube]
fn applied<N: Size>(a: &Rows<N>, v: &Tangent<N>) -> Tangent<N> {
    Tangent::<N> { x: dot::<N>(&a.x, v), y: dot::<N>(&a.y, v), z: dot::<N>(&a.z, v) }
}

/// `to` + `by` `from`.
#[cube]
fn added_rows<N: Size>(to: &Rows<N>, by: Vector<f32, N>, from: &Rows<N>) -> Rows<N> {
    Rows::<N> {
        x: added::<N>(&to.x, by, &from.x),
        y: added::<N>(&to.y, by, &from.y),
        z: added::<N>(&to.z, by, &from.z),
    }
}

/// The matrix `a` `b`^T of two vectors, times `by`.
#[cube]
fn outer<N: Size>(a: &Tangent<N>, b: &Tangent<N>, by: Vector<f32, N>) -> Rows<N> {
    Rows::<N> { x: scaled::<N>(b, a.x * by), y: scaled::<N>(b, a.y * by), z: scaled::<N>(b, a.z * by) }
}

/// The transposed matrix.
#[cube]
fn flipped<N: Size>(a: &Rows<N>) -> Rows<N> {
    Rows::<N> {
        x: Tangent::<N> { x: a.x.x, y: a.y.x, z: a.z.x },
        y: Tangent::<N> { x: a.x.y, y: a.y.y, z: a.z.y },
        z: Tangent::<N> { x: a.x.z, y: a.y.z, z: a.z.z },
    }
}

/// The rotation matrix of the frame whose rows begin at `row`.
#[cube]
fn matrix_at<N: Size>(x: &[f32], grid: &Grid, row: usize, at: usize, #[comptime] layout: Layout) -> Rows<N> {
    let one = Vector::<f32, N>::new(1.0f32);
    let w = load_row::<f32, N>(x, grid, row, at, layout);
    let v = load_three::<N>(x, grid, row + 1usize, at, layout);
    let d = scaled::<N>(&v, Vector::new(2.0f32));
    Rows::<N> {
        x: Tangent::<N> { x: one - d.y * v.y - d.z * v.z, y: d.x * v.y - d.z * w, z: d.x * v.z + d.y * w },
        y: Tangent::<N> { x: d.x * v.y + d.z * w, y: one - d.x * v.x - d.z * v.z, z: d.y * v.z - d.x * w },
        z: Tangent::<N> { x: d.x * v.z - d.y * w, y: d.y * v.z + d.x * w, z: one - d.x * v.x - d.y * v.y },
    }
}

/// What all placements at an offset have in common: worth `level` + <U, `pull`> for the turn U.
#[derive(CubeType, Clone, Copy)]
struct Held<N: Size> {
    pull: Rows<N>,
    level: Vector<f32, N>,
    mean: Tangent<N>,
}

/// The motif held against the frames from `offset` on.
#[cube]
#[allow(clippy::too_many_arguments)]
fn held<N: Size>(
    denoised: &[f32],
    motif: &[f32],
    grid: &Grid,
    offset: usize,
    at: usize,
    turned: f32,
    moved: f32,
    #[comptime] layout: Layout,
) -> Held<N> {
    let residues = motif.len() / RESIDUE;
    let mut pull = Rows::<N> { x: three::<N>(0.0f32), y: three::<N>(0.0f32), z: three::<N>(0.0f32) };
    let mut sum = three::<N>(0.0f32);
    let mut squares = Vector::<f32, N>::new(0.0f32);
    for m in 0..residues {
        let row = (offset + m) * FRAME;
        let own = matrix_at::<N>(denoised, grid, row, at, layout);
        let wanted = given_rows::<N>(motif, m * RESIDUE);
        pull = added_rows::<N>(&pull, Vector::new(turned), &across::<N>(&own, &wanted));
        let x = load_three::<N>(denoised, grid, row + 4usize, at, layout);
        let goal = given::<N>(motif, m * RESIDUE + 9usize);
        let one = Vector::<f32, N>::new(1.0f32);
        pull = added_rows::<N>(&pull, one, &outer::<N>(&x, &goal, Vector::new(moved)));
        sum = added::<N>(&sum, one, &x);
        squares += dot::<N>(&x, &x) + dot::<N>(&goal, &goal);
    }
    let count = f32::cast_from(residues as u32);
    let mean = scaled::<N>(&sum, Vector::new(1.0f32 / count));
    let squares = squares - dot::<N>(&mean, &sum);
    let level = Vector::new(-3.0f32 * turned * count) - squares * Vector::new(0.5f32 * moved);
    Held::<N> { pull, level, mean }
}

/// Adds to the gradient what the turns at an offset, `turns` their weighted sum and `share` that of the weights, pull its
/// frames by.
#[cube]
#[allow(clippy::too_many_arguments)]
fn pull_frames<N: Size>(
    denoised: &[f32],
    slopes: &mut [f32],
    motif: &[f32],
    grid: &Grid,
    six: &Grid,
    offset: usize,
    at: usize,
    turns: &Rows<N>,
    share: Vector<f32, N>,
    mean: &Tangent<N>,
    turned: f32,
    moved: f32,
    #[comptime] layout: Layout,
) {
    for m in 0..motif.len() / RESIDUE {
        let row = (offset + m) * FRAME;
        let to = (offset + m) * TANGENT;
        let own = flipped::<N>(&matrix_at::<N>(denoised, grid, row, at, layout));
        let wanted = flipped::<N>(&given_rows::<N>(motif, m * RESIDUE));
        // R^T T R_m: rows of R^T, by columns of T, by columns of R_m.
        let a = across::<N>(&across::<N>(&own, &flipped::<N>(turns)), &wanted);
        let vee = Tangent::<N> { x: a.z.y - a.y.z, y: a.x.z - a.z.x, z: a.y.x - a.x.y };
        let old = load_three::<N>(&*slopes, six, to, at, layout);
        store_three::<N>(slopes, six, to, at, &added::<N>(&old, Vector::new(turned), &vee), layout);
        let x = load_three::<N>(denoised, grid, row + 4usize, at, layout);
        let apart = added::<N>(&x, Vector::new(-1.0f32), mean);
        let goal = applied::<N>(turns, &given::<N>(motif, m * RESIDUE + 9usize));
        let pull = added::<N>(&goal, Vector::new(0.0f32) - share, &apart);
        let old = load_three::<N>(&*slopes, six, to + 3usize, at, layout);
        store_three::<N>(slopes, six, to + 3usize, at, &added::<N>(&old, Vector::new(moved), &pull), layout);
    }
}

/// Multiplies rows of tangent vectors by a number a particle.
#[cube]
fn scale_all<N: Size>(
    slopes: &mut [f32],
    six: &Grid,
    at: usize,
    by: Vector<f32, N>,
    #[comptime] layout: Layout,
) {
    for k in 0..six.rows / 3usize {
        let old = load_three::<N>(&*slopes, six, 3usize * k, at, layout);
        store_three::<N>(slopes, six, 3usize * k, at, &scaled::<N>(&old, by), layout);
    }
}

/// log psi of the denoised chains into `log_psi` and on to `log_w`, its gradient into `slopes` `[6 frames]`.
#[cube(launch)]
#[allow(clippy::needless_range_loop)]
pub fn psi_kernel<N: Size>(
    denoised: &[f32],
    slopes: &mut [f32],
    log_psi: &mut [f32],
    log_w: &mut [f32],
    motif: &[f32],
    offsets: &[u32],
    turns: &[f32],
    numbers: &[f32],
    shape: Shape,
    frames: u32,
    level: u32,
    #[comptime] layout: Layout,
    #[comptime] wide: bool,
) {
    let grid = Grid { rows: shape.dim as usize, stride: shape.stride() };
    let six = tangents(&shape, frames);
    let own = level as usize * NUMBERS;
    let (turned, moved) = (numbers[own + 8usize], numbers[own + 9usize]);
    let items = own_items(shape.stride() as u32 / (N::value() as u32), wide);
    let mut item = items.first;
    while item < items.last {
        let at = item as usize * N::value();
        let mut most = Vector::<f32, N>::new(ZERO_WEIGHT);
        for o in 0..offsets.len() {
            let held = held::<N>(denoised, motif, &grid, offsets[o] as usize, at, turned, moved, layout);
            for u in 0..turns.len() / 9usize {
                let fit = held.level + inner::<N>(&given_rows::<N>(turns, 9usize * u), &held.pull);
                most = larger::<N>(most, fit);
            }
        }
        for k in 0..2usize * frames as usize {
            store_three::<N>(slopes, &six, 3usize * k, at, &three::<N>(0.0f32), layout);
        }
        let mut sum = Vector::<f32, N>::new(0.0f32);
        for o in 0..offsets.len() {
            let offset = offsets[o] as usize;
            let held = held::<N>(denoised, motif, &grid, offset, at, turned, moved, layout);
            let mut whole = Rows::<N> { x: three::<N>(0.0f32), y: three::<N>(0.0f32), z: three::<N>(0.0f32) };
            let mut share = Vector::<f32, N>::new(0.0f32);
            for u in 0..turns.len() / 9usize {
                let turn = given_rows::<N>(turns, 9usize * u);
                let own = exp::<N>(held.level + inner::<N>(&turn, &held.pull) - most);
                share += own;
                whole = added_rows::<N>(&whole, own, &turn);
            }
            sum += share;
            pull_frames::<N>(
                denoised, slopes, motif, &grid, &six, offset, at, &whole, share, &held.mean, turned, moved,
                layout,
            );
        }
        scale_all::<N>(slopes, &six, at, Vector::new(1.0f32) / sum, layout);
        let count = f32::cast_from((offsets.len() * (turns.len() / 9usize)) as u32);
        let value = most + ln::<N>(sum / Vector::new(count));
        store::<f32, N>(log_psi, at, value);
        let old = load::<f32, N>(&*log_w, at);
        store::<f32, N>(log_w, at, old + value);
        item += items.turn;
    }
}
