//! IGSO(3), Brownian motion on rotations, about a mean: docs/maths.md (14.2).
//!
//! The law of variance t per tangent coordinate. Noise adds to the variance, so a prior of this kind stays one at
//! every level. Of the two sums for its density the one that takes few terms is chosen by t, which is the same for all
//! lanes.

pub mod angles;
pub mod mixture;
pub mod oracle;

use cubecl::prelude::*;

use crate::prims::math::{exp, larger};
use crate::prims::so3::{Quaternion, Tangent, Turn, compose, inverse, scaled, turn};
use crate::prims::state::gather;
use angles::{KNOTS, REACH, SPACING};

/// From this variance on the series is summed, below it two images of the angle.
pub const SERIES_FROM: f32 = 0.8;
/// Terms of the series: the next is below 2e-11 of the first.
const TERMS: usize = 8;
/// The last knot that another follows.
const LAST: f32 = (KNOTS - 2) as f32;

/// The gradient of the log-density of variance `t` about `mean` at `q`, in the axes of `q`.
#[cube]
pub fn score<N: Size>(mean: &Quaternion<N>, q: &Quaternion<N>, t: f32) -> Tangent<N> {
    let away = turn::<N>(&compose::<N>(&inverse::<N>(mean), q));
    scaled::<N>(&away.log, pull::<N>(&away, t))
}

/// (d/dw ln f)/w at this angle w, at most 0.
#[cube]
pub fn pull<N: Size>(away: &Turn<N>, t: f32) -> Vector<f32, N> {
    if t >= SERIES_FROM { pull_of_series::<N>(away, t) } else { pull_of_images::<N>(away, t) }
}

/// -(sin w/w) (df/dx)/f with x = cos w: characters and their slopes by recursion, no division by a small number.
#[cube]
fn pull_of_series<N: Size>(away: &Turn<N>, t: f32) -> Vector<f32, N> {
    let one = Vector::<f32, N>::new(1.0f32);
    let two = Vector::<f32, N>::new(2.0f32);
    // exp(-l (l + 1) t/2), one l after the other.
    let ratio = exp::<N>(Vector::new(0.0f32 - t));
    let mut power = ratio;
    let mut weight = ratio;
    let x2 = fma(Vector::new(-4.0f32) * away.sin, away.sin, two);
    let mut before = one;
    let mut character = one + x2;
    let mut slope_before = Vector::<f32, N>::new(0.0f32);
    let mut slope = two;
    let mut f = one;
    let mut f_slope = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for l in 1..TERMS {
        let share = weight * Vector::new(f32::cast_from(2 * l + 1));
        f = fma(share, character, f);
        f_slope = fma(share, slope, f_slope);
        power *= ratio;
        weight *= power;
        let next_slope = fma(two, character, fma(x2, slope, Vector::new(0.0f32) - slope_before));
        let next = fma(x2, character, Vector::new(0.0f32) - before);
        before = character;
        character = next;
        slope_before = slope;
        slope = next_slope;
    }
    let sine = two * away.sin * away.cos;
    let wide = away.angle.greater_than(&Vector::new(1.0e-4f32));
    let sinc = select_many(wide, sine / larger::<N>(away.angle, Vector::new(1.0e-4f32)), one);
    Vector::new(0.0f32) - sinc * f_slope / f
}

/// -1/t + (1/w - cot(w/2)/2)/w + what the image on the other side adds: docs/maths.md (14g).
#[cube]
fn pull_of_images<N: Size>(away: &Turn<N>, t: f32) -> Vector<f32, N> {
    // Below this angle the other image is less than exp(-22) of the first.
    let w = larger::<N>(away.angle, Vector::new(0.25f32));
    let round = Vector::<f32, N>::new(std::f32::consts::TAU);
    let inverse = 1.0f32 / t;
    let other = exp::<N>(away.rest * Vector::new(inverse * -std::f32::consts::TAU));
    let back = round - w;
    let density = fma(back, other, w);
    let image = other * round * fma(w * back, Vector::new(inverse), Vector::new(-1.0f32));
    let image = image / (w * w * density);
    kappa::<N>(away) + (image - Vector::new(inverse))
}

/// (1/w - cot(w/2)/2)/w.
#[cube]
fn kappa<N: Size>(away: &Turn<N>) -> Vector<f32, N> {
    let w = away.angle;
    let square = w * w;
    // The next term of the power series is below 2e-8 where it is used.
    let near = fma(square, Vector::new(8.267_196e-7f32), Vector::new(3.306_878_3e-5f32));
    let near = fma(near, square, Vector::new(1.388_888_9e-3f32));
    let near = fma(near, square, Vector::new(8.333_333_6e-2f32));
    let wide = larger::<N>(w, Vector::new(1.0f32));
    let cotangent = Vector::new(0.5f32) * away.cos / larger::<N>(away.sin, Vector::new(0.1f32));
    let far = (Vector::new(1.0f32) / wide - cotangent) / wide;
    select_many(w.less_than(&Vector::new(1.0f32)), near, far)
}

/// The angle whose probability is that of `z` in a standard normal law, from a table of `KNOTS` angles and slopes from
/// `first` on: cubic between them.
#[cube]
pub fn angle_of<N: Size>(table: &[f32], first: usize, z: Vector<f32, N>) -> Vector<f32, N> {
    let place = (z + Vector::new(REACH)) / Vector::new(SPACING);
    let least = larger::<N>(place, Vector::new(0.0f32));
    let most = Vector::new(LAST);
    let knot = least.floor();
    let knot = select_many(knot.less_than(&most), knot, most);
    let s = least - knot;
    let index = Vector::<u32, N>::cast_from(knot) * Vector::new(2u32);
    let start = gather::<f32, N>(table, first, index);
    let slope = gather::<f32, N>(table, first + 1usize, index);
    let end = gather::<f32, N>(table, first + 2usize, index);
    let slope_end = gather::<f32, N>(table, first + 3usize, index);
    let rise = end - start;
    let a = slope - rise;
    let b = rise - slope_end;
    let r = Vector::<f32, N>::new(1.0f32) - s;
    fma(s * r, fma(a, r, b * s), fma(rise, s, start))
}
