//! Mixtures of IGSO(3): score, and what pulls a gradient back through the denoised rotation: docs/maths.md (14.4).
//!
//! Seen from a rotation, a component is an angle and the tangent vector from its mean. Components are weighted by one
//! pass whose largest log-density grows as it goes.

use std::f32::consts::TAU;

use cubecl::prelude::*;

use super::{SERIES_FROM, TERMS, kappa};
use crate::prims::math::{exp, larger, ln, sincos_turns};
use crate::prims::monoid::ZERO_WEIGHT;
use crate::prims::so3::exp as exp_so3;
use crate::prims::so3::{
    Quaternion, Tangent, Turn, bent, compose, dot, inverse, length, rotate, scaled, turn,
};

/// A component of a mixture, on the host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Component {
    /// Its share; shares need not add up to 1.
    pub weight: f64,
    /// Its mean, a unit quaternion (w, x, y, z).
    pub rotation: [f64; 4],
    /// Its variance, per tangent coordinate.
    pub spread: f64,
}

/// Numbers of a component on a device: ln of its share, mean, variance.
pub const COMPONENT: usize = 6;

/// Density of an IGSO(3), p of (14g), and p'/w.
#[derive(CubeType, Clone, Copy)]
struct Law<N: Size> {
    ln: Vector<f32, N>,
    pull: Vector<f32, N>,
    bend: Vector<f32, N>,
}

// A branch of a kernel returns no struct: its fields are assigned, and what they held before is never read.
#[allow(unused_assignments)]
#[cube]
fn law<N: Size>(away: &Turn<N>, t: f32) -> Law<N> {
    let mut ln = Vector::<f32, N>::new(0.0f32);
    let mut pull = Vector::<f32, N>::new(0.0f32);
    let mut bend = Vector::<f32, N>::new(0.0f32);
    if t >= SERIES_FROM {
        let own = law_of_series::<N>(away, t);
        ln = own.ln;
        pull = own.pull;
        bend = own.bend;
    } else {
        let own = law_of_images::<N>(away, t);
        ln = own.ln;
        pull = own.pull;
        bend = own.bend;
    }
    Law::<N> { ln, pull, bend }
}

/// With x = cos w and q = f_x/f: p = -q sin w/w, p'/w = -q (sin w/w)'/w + (sin w/w)^2 (f_xx/f - q^2).
#[cube]
fn law_of_series<N: Size>(away: &Turn<N>, t: f32) -> Law<N> {
    let zero = Vector::<f32, N>::new(0.0f32);
    let one = Vector::<f32, N>::new(1.0f32);
    let two = Vector::<f32, N>::new(2.0f32);
    let ratio = exp::<N>(Vector::new(0.0f32 - t));
    let mut power = ratio;
    let mut weight = ratio;
    let x2 = fma(Vector::new(-4.0f32) * away.sin, away.sin, two);
    let mut before = one;
    let mut character = one + x2;
    let mut slope_before = zero;
    let mut slope = two;
    let mut curve_before = zero;
    let mut curve = zero;
    let mut f = one;
    let mut f_slope = zero;
    let mut f_curve = zero;
    #[unroll]
    for l in 1..TERMS {
        let share = weight * Vector::new(f32::cast_from(2 * l + 1));
        f = fma(share, character, f);
        f_slope = fma(share, slope, f_slope);
        f_curve = fma(share, curve, f_curve);
        power *= ratio;
        weight *= power;
        let next_curve = fma(Vector::new(4.0f32), slope, fma(x2, curve, zero - curve_before));
        let next_slope = fma(two, character, fma(x2, slope, zero - slope_before));
        let next = fma(x2, character, zero - before);
        before = character;
        character = next;
        slope_before = slope;
        slope = next_slope;
        curve_before = curve;
        curve = next_curve;
    }
    let q = f_slope / f;
    let sine = two * away.sin * away.cos;
    let angle = larger::<N>(away.angle, Vector::new(1.0e-4f32));
    let sinc = select_many(away.angle.greater_than(&Vector::new(1.0e-4f32)), sine / angle, one);
    let falling = sinc_slope::<N>(away, sine);
    let second = f_curve / f - q * q;
    Law::<N> { ln: ln::<N>(f), pull: zero - sinc * q, bend: fma(sinc * sinc, second, zero - falling * q) }
}

/// (sin w/w)'/w.
#[cube]
fn sinc_slope<N: Size>(away: &Turn<N>, sine: Vector<f32, N>) -> Vector<f32, N> {
    let square = away.angle * away.angle;
    let near = fma(square, Vector::new(-2.505_210_8e-7f32), Vector::new(2.204_585_5e-5f32));
    let near = fma(near, square, Vector::new(-1.190_476_2e-3f32));
    let near = fma(near, square, Vector::new(3.333_333_5e-2f32));
    let near = fma(near, square, Vector::new(-0.333_333_34f32));
    let w = larger::<N>(away.angle, Vector::new(1.0f32));
    let cosine = fma(Vector::new(-2.0f32) * away.sin, away.sin, Vector::new(1.0f32));
    let far = fma(w, cosine, Vector::new(0.0f32) - sine) / (w * w * w);
    select_many(away.angle.less_than(&Vector::new(1.0f32)), near, far)
}

/// Of the images n = 0 and 1: (14g) and its derivative.
#[cube]
fn law_of_images<N: Size>(away: &Turn<N>, t: f32) -> Law<N> {
    let one = Vector::<f32, N>::new(1.0f32);
    let inverse = 1.0f32 / t;
    // Below this angle the other image is less than exp(-22) of the first.
    let w = larger::<N>(away.angle, Vector::new(0.25f32));
    let round = Vector::<f32, N>::new(TAU);
    let rate = Vector::<f32, N>::new(inverse * TAU);
    let back = round - w;
    let other = exp::<N>(Vector::new(0.0f32) - away.rest * rate);
    let density = fma(back, other, w);
    let kink = fma(w * back, Vector::new(inverse), Vector::new(-1.0f32));
    let scale = other * round / (w * w * density);
    // A'/A of A = w + (2 pi - w) E.
    let growth = (one - other + back * other * rate) / density;
    let turning = (round - w - w) * Vector::new(inverse);
    let image_bend = scale * fma(kink, rate - (one + one) / w - growth, turning) / w;
    let kappa = kappa::<N>(away);
    // ln of the density: 2 sin(w/2) is the angle itself where it is small.
    let half = larger::<N>(away.sin + away.sin, Vector::new(1.0e-12f32));
    let near = select_many(half.greater_than(&Vector::new(1.0e-6f32)), away.angle / half, one);
    let sine = larger::<N>(half, Vector::new(0.2f32));
    let over_sine = fma(back, other / sine, near);
    let constant = fma(
        Vector::new(-1.5f32),
        ln::<N>(Vector::new(0.5f32 * t)),
        Vector::new(0.125f32 * t + 0.572_364_9f32),
    );
    let fall = away.angle * away.angle * Vector::new(0.5f32 * inverse);
    Law::<N> {
        ln: constant - fall + ln::<N>(over_sine),
        pull: kappa + (scale * kink - Vector::new(inverse)),
        bend: kappa_bend::<N>(away, kappa) + image_bend,
    }
}

/// kappa'(w)/w.
#[cube]
fn kappa_bend<N: Size>(away: &Turn<N>, kappa: Vector<f32, N>) -> Vector<f32, N> {
    let square = away.angle * away.angle;
    let near = fma(square, Vector::new(5.284_19e-9f32), Vector::new(1.670_140_6e-7f32));
    let near = fma(near, square, Vector::new(4.960_317_5e-6f32));
    let near = fma(near, square, Vector::new(1.322_751_3e-4f32));
    let near = fma(near, square, Vector::new(2.777_777_8e-3f32));
    let w = larger::<N>(away.angle, Vector::new(1.0f32));
    let sin = larger::<N>(away.sin, Vector::new(0.1f32));
    let slope = (Vector::new(0.25f32) * w / sin - Vector::new(0.5f32) * away.cos) / (sin * w * w * w);
    let far = slope - (kappa + kappa) / (w * w);
    select_many(away.angle.less_than(&Vector::new(1.0f32)), near, far)
}

/// A component as it is seen from a rotation.
#[derive(CubeType, Clone, Copy)]
struct Seen<N: Size> {
    /// From its mean.
    away: Turn<N>,
    /// ln of its share and density, and their slopes.
    law: Law<N>,
}

#[cube]
fn seen<N: Size>(components: &[f32], at: usize, noise: f32, q: &Quaternion<N>) -> Seen<N> {
    let mean = Quaternion::<N> {
        w: Vector::new(components[at + 1usize]),
        x: Vector::new(components[at + 2usize]),
        y: Vector::new(components[at + 3usize]),
        z: Vector::new(components[at + 4usize]),
    };
    let away = turn::<N>(&compose::<N>(&inverse::<N>(&mean), q));
    let own = law::<N>(&away, components[at + 5usize] + noise);
    let law = Law::<N> { ln: own.ln + Vector::new(components[at]), pull: own.pull, bend: own.bend };
    Seen::<N> { away, law }
}

/// The gradient of the log-density at `q`, in its axes, of the `count` components from `first` on with noise of variance
/// `noise`.
#[cube]
pub fn score<N: Size>(
    components: &[f32],
    first: usize,
    count: u32,
    noise: f32,
    q: &Quaternion<N>,
) -> Tangent<N> {
    let mut most = Vector::<f32, N>::new(ZERO_WEIGHT);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let mut x = Vector::<f32, N>::new(0.0f32);
    let mut y = Vector::<f32, N>::new(0.0f32);
    let mut z = Vector::<f32, N>::new(0.0f32);
    for c in 0..count as usize {
        let seen = seen::<N>(components, first + c * COMPONENT, noise, q);
        let top = larger::<N>(most, seen.law.ln);
        let kept = exp::<N>(most - top);
        let share = exp::<N>(seen.law.ln - top);
        most = top;
        sum = fma(sum, kept, share);
        let share = share * seen.law.pull;
        x = fma(x, kept, share * seen.away.log.x);
        y = fma(y, kept, share * seen.away.log.y);
        z = fma(z, kept, share * seen.away.log.z);
    }
    scaled::<N>(&Tangent::<N> { x, y, z }, Vector::new(1.0f32) / sum)
}

/// The gradient at `q` of a function whose gradient at the denoised rotation `q` Exp(`noise` `score`) is `g`: (14k).
#[cube]
pub fn pulled<N: Size>(
    components: &[f32],
    first: usize,
    count: u32,
    noise: f32,
    q: &Quaternion<N>,
    score: &Tangent<N>,
    g: &Tangent<N>,
) -> Tangent<N> {
    let way = scaled::<N>(score, Vector::new(noise));
    let carried = rotate::<N>(&exp_so3::<N>(&way), g);
    let h = through_exp::<N>(&way, g);
    let mut most = Vector::<f32, N>::new(ZERO_WEIGHT);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let mut x = Vector::<f32, N>::new(0.0f32);
    let mut y = Vector::<f32, N>::new(0.0f32);
    let mut z = Vector::<f32, N>::new(0.0f32);
    for c in 0..count as usize {
        let seen = seen::<N>(components, first + c * COMPONENT, noise, q);
        let (away, law) = (seen.away, seen.law);
        let top = larger::<N>(most, law.ln);
        let kept = exp::<N>(most - top);
        let share = exp::<N>(law.ln - top);
        most = top;
        sum = fma(sum, kept, share);
        let own = bent::<N>(&h, &away.log, Vector::new(-0.5f32), kappa::<N>(&away));
        let along = dot::<N>(&away.log, &h) * fma(law.pull, law.pull, law.bend) * share;
        let share = share * law.pull;
        x = fma(x, kept, fma(share, own.x, along * away.log.x));
        y = fma(y, kept, fma(share, own.y, along * away.log.y));
        z = fma(z, kept, fma(share, own.z, along * away.log.z));
    }
    let noise = Vector::<f32, N>::new(noise);
    let scale = noise / sum;
    let back = noise * dot::<N>(score, &h);
    Tangent::<N> {
        x: carried.x + fma(scale, x, Vector::new(0.0f32) - back * score.x),
        y: carried.y + fma(scale, y, Vector::new(0.0f32) - back * score.y),
        z: carried.z + fma(scale, z, Vector::new(0.0f32) - back * score.z),
    }
}

/// The transposed derivative of Exp at `way`, in the axes of where it leads, times `g`.
#[cube]
fn through_exp<N: Size>(way: &Tangent<N>, g: &Tangent<N>) -> Tangent<N> {
    let angle = length::<N>(way);
    let square = angle * angle;
    let turns = angle * Vector::new(0.079_577_47f32);
    let half = sincos_turns::<N>(turns - turns.floor());
    let tiny = angle.less_than(&Vector::new(1.0e-4f32));
    let sinc = select_many(tiny, Vector::new(0.5f32), half.sin / angle);
    let near = fma(square, Vector::new(2.755_732e-6f32), Vector::new(-1.984_127e-4f32));
    let near = fma(near, square, Vector::new(8.333_334e-3f32));
    let near = fma(Vector::new(0.0f32) - near, square, Vector::new(0.166_666_67f32));
    let wide = larger::<N>(angle, Vector::new(1.0f32));
    let sine = (half.sin + half.sin) * half.cos;
    let far = (wide - sine) / (wide * wide * wide);
    let b = select_many(angle.less_than(&Vector::new(1.0f32)), near, far);
    bent::<N>(g, way, (sinc + sinc) * sinc, b)
}
