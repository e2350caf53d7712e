//! Density, score and angles of IGSO(3), in f64: docs/maths.md (14.2).

pub mod mixture;

use std::f64::consts::{PI, TAU};

use crate::prims::so3::oracle::{Quaternion, Tangent, between, retract};

/// From this variance on the series is summed, below it the images.
const SERIES_FROM: f64 = 0.5;

/// (2l + 1) exp(-l (l + 1) t/2) as far as it counts, l = 0, 1, ...
fn coefficients(t: f64) -> impl Iterator<Item = (usize, f64)> {
    let exponent = move |l: usize| 0.5 * (l * (l + 1)) as f64 * t;
    (0..)
        .take_while(move |l| exponent(*l) < 50.0)
        .map(move |l| (l, (2 * l + 1) as f64 * (-exponent(l)).exp()))
}

/// sin((l + 1/2) w)/sin(w/2), the trace of a rotation by w in 2l + 1 dimensions.
fn character(l: usize, w: f64) -> f64 {
    1.0 + 2.0 * (1..=l).map(|k| (k as f64 * w).cos()).sum::<f64>()
}

/// Density at angle `w` of variance `t`, as a series of characters: for t that are not small.
pub fn series(w: f64, t: f64) -> f64 {
    coefficients(t).map(|(l, c)| c * character(l, w)).sum()
}

/// The images of the angle, w - 2 pi n, each with the sign of n and its Gaussian over that of n = 0.
fn images(w: f64, t: f64) -> impl Iterator<Item = (f64, f64)> {
    (-3..=3).map(move |n: i32| {
        let u = w - TAU * f64::from(n);
        let sign = if n % 2 == 0 { 1.0 } else { -1.0 };
        (u, sign * (0.5 * (w * w - u * u) / t).exp())
    })
}

/// The same density, as a sum over the images of the angle: for t that are not large. `w` is not 0.
pub fn wrapped(w: f64, t: f64) -> f64 {
    let sum: f64 = images(w, t).map(|(u, e)| u * e).sum();
    PI.sqrt() * (0.5 * t).powf(-1.5) * (t / 8.0 - 0.5 * w * w / t).exp() * sum / (2.0 * (0.5 * w).sin())
}

/// The density of IGSO(3) with variance `t` at angle `w`, over the uniform law of all rotations.
pub fn density(w: f64, t: f64) -> f64 {
    if t < SERIES_FROM { wrapped(w, t) } else { series(w, t) }
}

/// (d/dw ln f)/w: what a tangent vector from the mean is multiplied by to become a score.
pub fn pull(w: f64, t: f64) -> f64 {
    if t >= SERIES_FROM {
        // d/dw cos(k w), over w.
        let bend = |k: f64| if w < 1.0e-8 { -k * k } else { -k * (k * w).sin() / w };
        let slope = |l: usize| 2.0 * (1..=l).map(|k| bend(k as f64)).sum::<f64>();
        coefficients(t).map(|(l, c)| c * slope(l)).sum::<f64>() / series(w, t)
    } else if w < 1.0e-2 {
        // Other images are exp(-40) here.
        1.0 / 12.0 + w * w / 720.0 - 1.0 / t
    } else {
        let sum: f64 = images(w, t).map(|(u, e)| u * e).sum();
        let slope: f64 = images(w, t).map(|(u, e)| (1.0 - u * u / t) * e).sum();
        (slope / sum - 0.5 / (0.5 * w).tan()) / w
    }
}

/// Gradient of the log-density at `q` of IGSO(3) about `mean`, in the axes of `q`.
pub fn score(mean: Quaternion, q: Quaternion, t: f64) -> Tangent {
    let from_mean = between(mean, q);
    let pull = pull(from_mean.iter().map(|v| v * v).sum::<f64>().sqrt(), t);
    from_mean.map(|v| pull * v)
}

/// What `q` is taken for with its noise of variance `noise` removed, by the score there.
pub fn denoised(q: Quaternion, noise: f64, score: Tangent) -> Quaternion {
    retract(q, score.map(|s| noise * s))
}

/// Density of the angle on (0, pi).
pub fn angle_density(w: f64, t: f64) -> f64 {
    density(w, t) * 2.0 * (0.5 * w).sin().powi(2) / PI
}

#[cfg(test)]
mod tests;
