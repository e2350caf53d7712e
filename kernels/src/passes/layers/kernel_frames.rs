//! The layers of frames, a vector of particles (states) at a time: docs/maths.md (9.7). Number k of frame i of a state is
//! 7 i + k; a number c of the pair (i, j) is (c frames + i) frames + j.

use cubecl::prelude::*;

use crate::passes::own_items;
use crate::prims::so3::{Quaternion, Tangent, cross, dot, inverse, rotate, scaled};

/// Sizes.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub struct FrameSizes {
    /// Frames.
    pub frames: u32,
    /// Numbers of a place.
    pub places: u32,
    /// Vectors of particles.
    pub vectors: u32,
}

/// Three numbers `step` apart.
#[cube]
fn three<L: Size>(values: &[Vector<f32, L>], first: usize, step: usize) -> Tangent<L> {
    Tangent::<L> { x: values[first], y: values[first + step], z: values[first + 2usize * step] }
}

#[cube]
fn put<L: Size>(values: &mut [Vector<f32, L>], first: usize, step: usize, v: &Tangent<L>) {
    values[first] = v.x;
    values[first + step] = v.y;
    values[first + 2usize * step] = v.z;
}

/// The quaternion that begins at `first`.
#[cube]
fn quaternion<L: Size>(x: &[Vector<f32, L>], first: usize, step: usize) -> Quaternion<L> {
    Quaternion::<L> {
        w: x[first],
        x: x[first + step],
        y: x[first + 2usize * step],
        z: x[first + 3usize * step],
    }
}

#[cube]
fn sum<L: Size>(a: &Tangent<L>, b: &Tangent<L>) -> Tangent<L> {
    Tangent::<L> { x: a.x + b.x, y: a.y + b.y, z: a.z + b.z }
}

#[cube]
fn gap<L: Size>(a: &Tangent<L>, b: &Tangent<L>) -> Tangent<L> {
    Tangent::<L> { x: a.x - b.x, y: a.y - b.y, z: a.z - b.z }
}

/// Axis number `k` - 1 of three.
#[cube]
fn axis<L: Size>(#[comptime] k: usize) -> Tangent<L> {
    let (x, y, z) = comptime!((f32::from(k == 1), f32::from(k == 2), f32::from(k == 3)));
    Tangent::<L> { x: Vector::new(x), y: Vector::new(y), z: Vector::new(z) }
}

/// How q v changes along `dq` and `dv`, with u the vector part of q:
/// q dv + 2 (dw u x v + w du x v + du x (u x v) + u x (du x v)).
#[cube]
fn rotate_along<L: Size>(
    q: &Quaternion<L>,
    dq: &Quaternion<L>,
    v: &Tangent<L>,
    dv: &Tangent<L>,
) -> Tangent<L> {
    let u = Tangent::<L> { x: q.x, y: q.y, z: q.z };
    let du = Tangent::<L> { x: dq.x, y: dq.y, z: dq.z };
    let once = cross::<L>(&u, v);
    let way = cross::<L>(&du, v);
    let by_w = sum::<L>(&scaled::<L>(&once, dq.w), &scaled::<L>(&way, q.w));
    let by_u = sum::<L>(&cross::<L>(&du, &once), &cross::<L>(&u, &way));
    sum::<L>(&rotate::<L>(q, dv), &scaled::<L>(&sum::<L>(&by_w, &by_u), Vector::new(2.0f32)))
}

/// The slope of <g, q v> by q: 2 <g, u x v>, and 2 (w v x g + <u, v> g + <g, u> v - 2 <g, v> u).
#[cube]
fn rotate_back<L: Size>(q: &Quaternion<L>, v: &Tangent<L>, g: &Tangent<L>) -> Quaternion<L> {
    let two = Vector::<f32, L>::new(2.0f32);
    let u = Tangent::<L> { x: q.x, y: q.y, z: q.z };
    let turn = cross::<L>(v, g);
    let (uv, gu, gv) = (dot::<L>(&u, v), dot::<L>(g, &u), two * dot::<L>(g, v));
    Quaternion::<L> {
        w: two * dot::<L>(&u, &turn),
        x: two * (fma(q.w, turn.x, fma(uv, g.x, gu * v.x)) - gv * u.x),
        y: two * (fma(q.w, turn.y, fma(uv, g.y, gu * v.y)) - gv * u.y),
        z: two * (fma(q.w, turn.z, fma(uv, g.z, gu * v.z)) - gv * u.z),
    }
}

/// What every frame sees of every other, and the numbers of the places; or, along the tangent `moved`, how that changes.
#[cube(launch)]
pub fn views_kernel<L: Size>(
    x: &[Vector<f32, L>],
    moved: &[Vector<f32, L>],
    places: &[f32],
    out: &mut [Vector<f32, L>],
    sizes: FrameSizes,
    #[comptime] along: bool,
    #[comptime] runs: bool,
) {
    let pairs = sizes.frames * sizes.frames;
    let one = sizes.vectors as usize;
    let step = pairs as usize * one;
    let items = own_items(pairs * sizes.vectors, runs);
    let mut item = items.first;
    while item < items.last {
        let pair = item / sizes.vectors;
        let vector = item - pair * sizes.vectors;
        let own = pair / sizes.frames;
        let other = pair - own * sizes.frames;
        let i = (7u32 * own * sizes.vectors + vector) as usize;
        let j = (7u32 * other * sizes.vectors + vector) as usize;
        let back = inverse::<L>(&quaternion::<L>(x, i, one));
        let there = quaternion::<L>(x, j, one);
        let (here, far) = (i + 4usize * one, j + 4usize * one);
        #[unroll]
        for k in 0..4usize {
            let shown = if comptime!(k == 0) {
                gap::<L>(&three::<L>(x, far, one), &three::<L>(x, here, one))
            } else {
                rotate::<L>(&there, &axis::<L>(k))
            };
            let seen = if comptime!(along) {
                let way = if comptime!(k == 0) {
                    gap::<L>(&three::<L>(moved, far, one), &three::<L>(moved, here, one))
                } else {
                    let still = axis::<L>(0usize);
                    rotate_along::<L>(&there, &quaternion::<L>(moved, j, one), &axis::<L>(k), &still)
                };
                rotate_along::<L>(&back, &inverse::<L>(&quaternion::<L>(moved, i, one)), &shown, &way)
            } else {
                rotate::<L>(&back, &shown)
            };
            put::<L>(out, item as usize + 3usize * k * step, step, &seen);
        }
        for place in 0..sizes.places as usize {
            let at = item as usize + (12usize + place) * step;
            out[at] = if comptime!(along) {
                Vector::new(0.0f32)
            } else {
                Vector::new(places[place * pairs as usize + pair as usize])
            };
        }
        item += items.turn;
    }
}

/// The slope of the state, of the slope of what every frame sees: a frame gathers what it saw of all, and what all saw of
/// it.
#[cube(launch)]
pub fn views_back_kernel<L: Size>(
    x: &[Vector<f32, L>],
    slope: &[Vector<f32, L>],
    out: &mut [Vector<f32, L>],
    sizes: FrameSizes,
    #[comptime] runs: bool,
) {
    let one = sizes.vectors as usize;
    let step = (sizes.frames * sizes.frames * sizes.vectors) as usize;
    let items = own_items(sizes.frames * sizes.vectors, runs);
    let mut item = items.first;
    while item < items.last {
        let frame = item / sizes.vectors;
        let vector = item - frame * sizes.vectors;
        let i = (7u32 * frame * sizes.vectors + vector) as usize;
        let own = quaternion::<L>(x, i, one);
        let back = inverse::<L>(&own);
        let here = three::<L>(x, i + 4usize * one, one);
        let (mut w, mut a) = (Vector::<f32, L>::new(0.0f32), axis::<L>(0usize));
        let mut at = axis::<L>(0usize);
        for other in 0..sizes.frames {
            let j = (7u32 * other * sizes.vectors + vector) as usize;
            let there = quaternion::<L>(x, j, one);
            let saw = ((frame * sizes.frames + other) * sizes.vectors + vector) as usize;
            let seen = ((other * sizes.frames + frame) * sizes.vectors + vector) as usize;
            #[unroll]
            for k in 0..4usize {
                let first = 3usize * k * step;
                let g = three::<L>(slope, saw + first, step);
                let shown = if comptime!(k == 0) {
                    gap::<L>(&three::<L>(x, j + 4usize * one, one), &here)
                } else {
                    rotate::<L>(&there, &axis::<L>(k))
                };
                let by = rotate_back::<L>(&back, &shown, &g);
                w += by.w;
                a = gap::<L>(&a, &Tangent::<L> { x: by.x, y: by.y, z: by.z });
                let pulled = rotate::<L>(&there, &three::<L>(slope, seen + first, step));
                if comptime!(k == 0) {
                    at = sum::<L>(&at, &gap::<L>(&pulled, &rotate::<L>(&own, &g)));
                } else {
                    let by = rotate_back::<L>(&own, &axis::<L>(k), &pulled);
                    w += by.w;
                    a = sum::<L>(&a, &Tangent::<L> { x: by.x, y: by.y, z: by.z });
                }
            }
        }
        out[i] = w;
        put::<L>(out, i + one, one, &a);
        put::<L>(out, i + 4usize * one, one, &at);
        item += items.turn;
    }
}

/// Six numbers of every frame, the last three turned by it; or how they change along `moved_x` and `moved_v`.
#[cube(launch)]
pub fn turn_kernel<L: Size>(
    x: &[Vector<f32, L>],
    v: &[Vector<f32, L>],
    moved_x: &[Vector<f32, L>],
    moved_v: &[Vector<f32, L>],
    out: &mut [Vector<f32, L>],
    sizes: FrameSizes,
    #[comptime] along: bool,
    #[comptime] runs: bool,
) {
    let one = sizes.vectors as usize;
    let step = (sizes.frames * sizes.vectors) as usize;
    let items = own_items(sizes.frames * sizes.vectors, runs);
    let mut item = items.first;
    while item < items.last {
        let frame = item / sizes.vectors;
        let vector = item - frame * sizes.vectors;
        let i = (7u32 * frame * sizes.vectors + vector) as usize;
        let to = (6u32 * frame * sizes.vectors + vector) as usize;
        let (at, last) = (item as usize, item as usize + 3usize * step);
        let q = quaternion::<L>(x, i, one);
        let body = three::<L>(v, last, step);
        if comptime!(along) {
            let (dq, way) = (quaternion::<L>(moved_x, i, one), three::<L>(moved_v, last, step));
            put::<L>(out, to, one, &three::<L>(moved_v, at, step));
            put::<L>(out, to + 3usize * one, one, &rotate_along::<L>(&q, &dq, &body, &way));
        } else {
            put::<L>(out, to, one, &three::<L>(v, at, step));
            put::<L>(out, to + 3usize * one, one, &rotate::<L>(&q, &body));
        }
        item += items.turn;
    }
}

/// The slopes of the state and of the six numbers, of the slope of what `turn_kernel` writes.
#[cube(launch)]
pub fn turn_back_kernel<L: Size>(
    x: &[Vector<f32, L>],
    v: &[Vector<f32, L>],
    slope: &[Vector<f32, L>],
    of_x: &mut [Vector<f32, L>],
    of_v: &mut [Vector<f32, L>],
    sizes: FrameSizes,
    #[comptime] runs: bool,
) {
    let one = sizes.vectors as usize;
    let step = (sizes.frames * sizes.vectors) as usize;
    let items = own_items(sizes.frames * sizes.vectors, runs);
    let mut item = items.first;
    while item < items.last {
        let frame = item / sizes.vectors;
        let vector = item - frame * sizes.vectors;
        let i = (7u32 * frame * sizes.vectors + vector) as usize;
        let from = (6u32 * frame * sizes.vectors + vector) as usize;
        let (at, last) = (item as usize, item as usize + 3usize * step);
        let q = quaternion::<L>(x, i, one);
        let g = three::<L>(slope, from + 3usize * one, one);
        let by = rotate_back::<L>(&q, &three::<L>(v, last, step), &g);
        of_x[i] = by.w;
        put::<L>(of_x, i + one, one, &Tangent::<L> { x: by.x, y: by.y, z: by.z });
        put::<L>(of_x, i + 4usize * one, one, &axis::<L>(0usize));
        put::<L>(of_v, at, step, &three::<L>(slope, from, one));
        put::<L>(of_v, last, step, &rotate::<L>(&inverse::<L>(&q), &g));
        item += items.turn;
    }
}
