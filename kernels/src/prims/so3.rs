//! Rotations as unit quaternions (w, x, y, z), and their tangent vectors: docs/maths.md (14.1).
//!
//! A tangent vector at R stands for R hat(v), so it is in the axes of R and moves it to R Exp(v). All functions are
//! finite for every finite input; q and -q are the same rotation, and nothing here depends on which of them is kept.

pub mod oracle;

use cubecl::prelude::*;

use super::math::{larger, sincos_turns};
use super::space::Space;

/// A rotation for each lane.
#[derive(CubeType, Clone, Copy)]
pub struct Quaternion<N: Size> {
    /// Cosine of half the angle.
    pub w: Vector<f32, N>,
    /// Sine of half the angle along the first axis.
    pub x: Vector<f32, N>,
    /// Along the second.
    pub y: Vector<f32, N>,
    /// Along the third.
    pub z: Vector<f32, N>,
}

/// A tangent vector for each lane.
#[derive(CubeType, CubeTypeMut, Clone, Copy)]
pub struct Tangent<N: Size> {
    /// About the first axis.
    pub x: Vector<f32, N>,
    /// About the second.
    pub y: Vector<f32, N>,
    /// About the third.
    pub z: Vector<f32, N>,
}

/// The matrix of `a` times that of `b`.
#[cube]
pub fn compose<N: Size>(a: &Quaternion<N>, b: &Quaternion<N>) -> Quaternion<N> {
    let zero = Vector::new(0.0f32);
    let (back_x, back_y, back_z) = (zero - a.x, zero - a.y, zero - a.z);
    Quaternion::<N> {
        w: fma(a.w, b.w, fma(back_x, b.x, fma(back_y, b.y, back_z * b.z))),
        x: fma(a.w, b.x, fma(a.x, b.w, fma(a.y, b.z, back_z * b.y))),
        y: fma(a.w, b.y, fma(back_x, b.z, fma(a.y, b.w, a.z * b.x))),
        z: fma(a.w, b.z, fma(a.x, b.y, fma(back_y, b.x, a.z * b.w))),
    }
}

/// The way back.
#[cube]
pub fn inverse<N: Size>(q: &Quaternion<N>) -> Quaternion<N> {
    let zero = Vector::new(0.0f32);
    Quaternion::<N> { w: q.w, x: zero - q.x, y: zero - q.y, z: zero - q.z }
}

/// Of length 1, where the length is not below 1e-12.
#[cube]
pub fn normalised<N: Size>(q: &Quaternion<N>) -> Quaternion<N> {
    let square = fma(q.w, q.w, fma(q.x, q.x, fma(q.y, q.y, q.z * q.z)));
    let scale = Vector::new(1.0f32) / larger::<N>(square, Vector::new(1.0e-24f32)).sqrt();
    Quaternion::<N> { w: q.w * scale, x: q.x * scale, y: q.y * scale, z: q.z * scale }
}

/// Length of a vector, at least 1e-18.
#[cube]
pub fn length<N: Size>(v: &Tangent<N>) -> Vector<f32, N> {
    larger::<N>(fma(v.x, v.x, fma(v.y, v.y, v.z * v.z)), Vector::new(1.0e-36f32)).sqrt()
}

/// A vector times a number.
#[cube]
pub fn scaled<N: Size>(v: &Tangent<N>, by: Vector<f32, N>) -> Tangent<N> {
    Tangent::<N> { x: v.x * by, y: v.y * by, z: v.z * by }
}

/// The rotation by |v| about v.
#[cube]
pub fn exp<N: Size>(v: &Tangent<N>) -> Quaternion<N> {
    let angle = length::<N>(v);
    // Half the angle in turns: 1/(4 pi).
    let turns = angle * Vector::new(0.079_577_47f32);
    let half = sincos_turns::<N>(turns - turns.floor());
    // Where the square of the angle is below the rounding of 1, sin(angle/2)/angle is 1/2.
    let tiny = angle.less_than(&Vector::new(1.0e-4f32));
    let factor = select_many(tiny, Vector::new(0.5f32), half.sin / angle);
    Quaternion::<N> { w: half.cos, x: v.x * factor, y: v.y * factor, z: v.z * factor }
}

/// A rotation as an angle about an axis, the short way round.
#[derive(CubeType, Clone, Copy)]
pub struct Turn<N: Size> {
    /// The tangent vector at the identity that leads there.
    pub log: Tangent<N>,
    /// Its length, in [0, pi].
    pub angle: Vector<f32, N>,
    /// pi minus the angle, to its own digits.
    pub rest: Vector<f32, N>,
    /// Sine of half the angle.
    pub sin: Vector<f32, N>,
    /// Cosine of half the angle.
    pub cos: Vector<f32, N>,
}

/// Logarithm and angle of `q`.
#[cube]
pub fn turn<N: Size>(q: &Quaternion<N>) -> Turn<N> {
    let zero = Vector::new(0.0f32);
    let other = q.w.less_than(&zero);
    let cos = select_many(other, zero - q.w, q.w);
    let v = Tangent::<N> { x: q.x, y: q.y, z: q.z };
    let sin = length::<N>(&v);
    // The angle's half is atan(sin/cos), counted from the nearest of 0, pi/4 and pi/2: tan(pi/8) and tan(3 pi/8).
    let far = sin.greater_than(&(cos * Vector::new(2.414_213_6f32)));
    let middle = sin.greater_than(&(cos * Vector::new(0.414_213_57f32)));
    let above = select_many(far, zero - cos, select_many(middle, sin - cos, sin));
    let below = select_many(far, sin, select_many(middle, sin + cos, cos));
    let near = arctangent::<N>(above / below);
    let eighth = Vector::new(std::f32::consts::FRAC_PI_4);
    let quarter = Vector::new(std::f32::consts::FRAC_PI_2);
    let half = select_many(far, quarter + near, select_many(middle, eighth + near, near));
    let rest = select_many(far, zero - near, select_many(middle, eighth - near, quarter - near));
    let angle = half + half;
    let factor = select_many(sin.less_than(&Vector::new(1.0e-6f32)), Vector::new(2.0f32), angle / sin);
    let factor = select_many(other, zero - factor, factor);
    Turn::<N> { log: scaled::<N>(&v, factor), angle, rest: rest + rest, sin, cos }
}

/// atan(x) for |x| <= tan(pi/8), to 2^-22 of itself; polynomial of S. Moshier's Cephes.
#[cube]
fn arctangent<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let square = x * x;
    let p = fma(Vector::new(8.053_744_5e-2f32), square, Vector::new(-1.387_768_6e-1f32));
    let p = fma(p, square, Vector::new(1.997_771_1e-1f32));
    let p = fma(p, square, Vector::new(-3.333_295e-1f32));
    fma(p * square, x, x)
}

/// The vector `v` turned: v + 2 w (u x v) + 2 u x (u x v), with u the vector part.
#[cube]
pub fn rotate<N: Size>(q: &Quaternion<N>, v: &Tangent<N>) -> Tangent<N> {
    let u = Tangent::<N> { x: q.x + q.x, y: q.y + q.y, z: q.z + q.z };
    let once = cross::<N>(&u, v);
    let axis = Tangent::<N> { x: q.x, y: q.y, z: q.z };
    let twice = cross::<N>(&axis, &once);
    Tangent::<N> {
        x: v.x + fma(q.w, once.x, twice.x),
        y: v.y + fma(q.w, once.y, twice.y),
        z: v.z + fma(q.w, once.z, twice.z),
    }
}

/// The product of two vectors.
#[cube]
pub fn dot<N: Size>(a: &Tangent<N>, b: &Tangent<N>) -> Vector<f32, N> {
    fma(a.x, b.x, fma(a.y, b.y, a.z * b.z))
}

/// `v` + `a` (`of` x `v`) + `b` (`of` x (`of` x `v`)): what derivatives of Exp and Log do to a vector.
#[cube]
pub fn bent<N: Size>(v: &Tangent<N>, of: &Tangent<N>, a: Vector<f32, N>, b: Vector<f32, N>) -> Tangent<N> {
    let once = cross::<N>(of, v);
    let twice = cross::<N>(of, &once);
    Tangent::<N> {
        x: v.x + fma(a, once.x, b * twice.x),
        y: v.y + fma(a, once.y, b * twice.y),
        z: v.z + fma(a, once.z, b * twice.z),
    }
}

/// a x b.
#[cube]
pub fn cross<N: Size>(a: &Tangent<N>, b: &Tangent<N>) -> Tangent<N> {
    Tangent::<N> { x: a.y * b.z - a.z * b.y, y: a.z * b.x - a.x * b.z, z: a.x * b.y - a.y * b.x }
}

/// Rotations, as a space of four stored numbers and three tangent coordinates.
pub struct So3;

#[cube]
impl Space for So3 {
    fn ambient() -> comptime_type!(usize) {
        4usize
    }

    fn tangent() -> comptime_type!(usize) {
        3usize
    }

    /// Along the geodesic; there is no linear drift, and `shrink` is not looked at.
    fn retract<N: Size>(
        point: &mut Array<Vector<f32, N>>,
        step: &Array<Vector<f32, N>>,
        _shrink: Vector<f32, N>,
    ) {
        let from = Quaternion::<N> { w: point[0], x: point[1], y: point[2], z: point[3] };
        let by = exp::<N>(&Tangent::<N> { x: step[0], y: step[1], z: step[2] });
        let to = normalised::<N>(&compose::<N>(&from, &by));
        point[0] = to.w;
        point[1] = to.x;
        point[2] = to.y;
        point[3] = to.z;
    }
}
