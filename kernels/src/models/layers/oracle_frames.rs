//! The layers of frames, each with its way back and along: docs/maths.md (9.7). A state is `[1, frames, 7]`, a quaternion
//! (w, x, y, z) and a position a frame. The matrix of a quaternion is a polynomial of its four numbers, of any length, and
//! slopes are those by the four.

use super::{FRAME, SEEN};

type Vector = [f64; 3];
/// Rows.
type Matrix = [[f64; 3]; 3];

#[derive(Clone, Copy)]
struct Frame {
    turn: Matrix,
    at: Vector,
}

/// I + 2 w hat(v) + 2 hat(v)^2.
fn matrix([w, x, y, z]: [f64; 4]) -> Matrix {
    let two = |a: f64| 2.0 * a;
    [
        [1.0 - two(y * y + z * z), two(x * y - w * z), two(x * z + w * y)],
        [two(x * y + w * z), 1.0 - two(x * x + z * z), two(y * z - w * x)],
        [two(x * z - w * y), two(y * z + w * x), 1.0 - two(x * x + y * y)],
    ]
}

/// How the matrix changes as the quaternion moves by `d`: half of the difference, exactly, as it is quadratic.
fn matrix_along(q: [f64; 4], d: [f64; 4]) -> Matrix {
    let at = |sign: f64| matrix([0, 1, 2, 3].map(|k| q[k] + sign * d[k]));
    let (more, less) = (at(1.0), at(-1.0));
    std::array::from_fn(|a| std::array::from_fn(|b| 0.5 * (more[a][b] - less[a][b])))
}

/// The slope by the quaternion, of the slope by the matrix.
fn matrix_back(q: [f64; 4], slope: Matrix) -> [f64; 4] {
    std::array::from_fn(|k| {
        let along = matrix_along(q, std::array::from_fn(|l| f64::from(u8::from(k == l))));
        slope.iter().flatten().zip(along.iter().flatten()).map(|(a, b)| a * b).sum()
    })
}

/// M v.
fn turned(m: &Matrix, v: Vector) -> Vector {
    m.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
}

/// M^T v.
fn seen(m: &Matrix, v: Vector) -> Vector {
    [0, 1, 2].map(|a| m[0][a] * v[0] + m[1][a] * v[1] + m[2][a] * v[2])
}

fn sum(a: Vector, b: Vector) -> Vector {
    [0, 1, 2].map(|k| a[k] + b[k])
}

/// m += a b^T.
fn add_product(m: &mut Matrix, a: Vector, b: Vector) {
    for (row, a) in m.iter_mut().zip(a) {
        row.iter_mut().zip(b).for_each(|(m, b)| *m += a * b);
    }
}

fn quaternion(frame: &[f64]) -> [f64; 4] {
    [frame[0], frame[1], frame[2], frame[3]]
}

fn position(frame: &[f64]) -> Vector {
    [frame[4], frame[5], frame[6]]
}

fn frames(x: &[f64]) -> Vec<Frame> {
    x.chunks(FRAME).map(|f| Frame { turn: matrix(quaternion(f)), at: position(f) }).collect()
}

/// How the frames change along a tangent of the state.
fn frames_along(x: &[f64], moved: &[f64]) -> Vec<Frame> {
    let one = |(f, d): (&[f64], &[f64])| Frame {
        turn: matrix_along(quaternion(f), quaternion(d)),
        at: position(d),
    };
    x.chunks(FRAME).zip(moved.chunks(FRAME)).map(one).collect()
}

/// What frame i is shown of frame j, in the axes of the world: x_j - x_i, and the columns of R_j.
fn shown(i: &Frame, j: &Frame) -> [Vector; 4] {
    let column = |b: usize| [0, 1, 2].map(|a| j.turn[a][b]);
    [sum(j.at, i.at.map(|v| -v)), column(0), column(1), column(2)]
}

/// Calls `each` with every i, j, and vector k of those shown, and the place of its first number; others of it are a
/// multiple of frames * frames further on.
fn each_view(frames: usize, mut each: impl FnMut(usize, usize, usize, usize)) {
    for (i, j) in (0..frames).flat_map(|i| (0..frames).map(move |j| (i, j))) {
        (0..SEEN / 3).for_each(|k| each(i, j, k, (3 * k * frames + i) * frames + j));
    }
}

/// What `Op::FrameViews` writes before the numbers of the places.
pub(super) fn views(x: &[f64]) -> Vec<f64> {
    let all = frames(x);
    let pairs = all.len() * all.len();
    let mut out = vec![0.0; SEEN * pairs];
    each_view(all.len(), |i, j, k, at| {
        let y = seen(&all[i].turn, shown(&all[i], &all[j])[k]);
        (0..3).for_each(|a| out[at + a * pairs] = y[a]);
    });
    out
}

/// The tangent of what [`views`] writes.
pub(super) fn views_along(x: &[f64], moved: &[f64]) -> Vec<f64> {
    let (all, ways) = (frames(x), frames_along(x, moved));
    let pairs = all.len() * all.len();
    let mut out = vec![0.0; SEEN * pairs];
    each_view(all.len(), |i, j, k, at| {
        let (v, dv) = (shown(&all[i], &all[j])[k], shown(&ways[i], &ways[j])[k]);
        let y = sum(seen(&ways[i].turn, v), seen(&all[i].turn, dv));
        (0..3).for_each(|a| out[at + a * pairs] = y[a]);
    });
    out
}

/// The slope of the state.
pub(super) fn views_back(x: &[f64], slope: &[f64]) -> Vec<f64> {
    let all = frames(x);
    let pairs = all.len() * all.len();
    let mut slopes = vec![Frame { turn: [[0.0; 3]; 3], at: [0.0; 3] }; all.len()];
    each_view(all.len(), |i, j, k, at| {
        let g = [0, 1, 2].map(|a| slope[at + a * pairs]);
        add_product(&mut slopes[i].turn, shown(&all[i], &all[j])[k], g);
        let back = turned(&all[i].turn, g);
        if k == 0 {
            slopes[j].at = sum(slopes[j].at, back);
            slopes[i].at = sum(slopes[i].at, back.map(|v| -v));
        } else {
            (0..3).for_each(|a| slopes[j].turn[a][k - 1] += back[a]);
        }
    });
    state_slope(x, &slopes)
}

fn state_slope(x: &[f64], slopes: &[Frame]) -> Vec<f64> {
    let one = |(f, slope): (&[f64], &Frame)| -> Vec<f64> {
        matrix_back(quaternion(f), slope.turn).into_iter().chain(slope.at).collect()
    };
    x.chunks(FRAME).zip(slopes).flat_map(one).collect()
}

/// The six numbers of frame f of `[6, frames, 1]`.
fn six(v: &[f64], f: usize) -> (Vector, Vector) {
    let frames = v.len() / 6;
    let three = |first: usize| [0, 1, 2].map(|k| v[(first + k) * frames + f]);
    (three(0), three(3))
}

/// What `Op::FrameTurn` writes.
pub(super) fn turn(x: &[f64], v: &[f64]) -> Vec<f64> {
    let all = frames(x);
    let one = |f: usize| {
        let (own, other) = six(v, f);
        [own, turned(&all[f].turn, other)].concat()
    };
    (0..all.len()).flat_map(one).collect()
}

/// The tangent of what [`turn`] writes.
pub(super) fn turn_along(read: &[&[f64]], moved: &[&[f64]]) -> Vec<f64> {
    let (all, ways) = (frames(read[0]), frames_along(read[0], moved[0]));
    let one = |f: usize| {
        let ((_, other), (own, way)) = (six(read[1], f), six(moved[1], f));
        [own, sum(turned(&ways[f].turn, other), turned(&all[f].turn, way))].concat()
    };
    (0..all.len()).flat_map(one).collect()
}

/// The slopes by the state and by the six numbers.
pub(super) fn turn_back(x: &[f64], v: &[f64], slope: &[f64]) -> Vec<Vec<f64>> {
    let all = frames(x);
    let (mut state, mut numbers) = (Vec::new(), vec![0.0; v.len()]);
    for (f, g) in slope.chunks(6).enumerate() {
        let g_turned = [g[3], g[4], g[5]];
        let mut of = Frame { turn: [[0.0; 3]; 3], at: [0.0; 3] };
        add_product(&mut of.turn, g_turned, six(v, f).1);
        state.push(of);
        let back = seen(&all[f].turn, g_turned);
        for (k, value) in [g[0], g[1], g[2], back[0], back[1], back[2]].into_iter().enumerate() {
            numbers[k * all.len() + f] = value;
        }
    }
    vec![state_slope(x, &state), numbers]
}

#[cfg(test)]
mod tests;
