//! Density, score and angles of IGSO(3), in f64: docs/maths.md (14.2).

use std::f64::consts::{PI, TAU};

use crate::prims::so3::oracle::{Quaternion, Tangent, between, retract};

/// From this variance on the series is summed, below it the images.
const SERIES_FROM: f64 = 0.5;

/// (2l + 1) exp(-l (l + 1) t/2) as far as it counts, l = 0, 1, ...
fn coefficients(t: f64) -> impl Iterator<Item = (usize, f64)> {
    let exponent = move |l: usize| 0.5 * (l * (l + 1)) as f64 * t;
    (0..).take_while(move |l| exponent(*l) < 50.0).map(move |l| (l, (2 * l + 1) as f64 * (-exponent(l)).exp()))
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

/// Nodes and weights of Gauss and Legendre on [-1, 1].
const GAUSS: [(f64, f64); 4] = [
    (0.183_434_642_495_649_8, 0.362_683_783_378_362),
    (0.525_532_409_916_329, 0.313_706_645_877_887_3),
    (0.796_666_477_413_626_7, 0.222_381_034_453_374_5),
    (0.960_289_856_497_536_3, 0.101_228_536_290_376_3),
];

/// Integral over [a, b] of a function that is smooth there.
fn integral(f: impl Fn(f64) -> f64, a: f64, b: f64) -> f64 {
    let (middle, half) = (0.5 * (a + b), 0.5 * (b - a));
    half * GAUSS.iter().map(|(x, g)| g * (f(middle - half * x) + f(middle + half * x))).sum::<f64>()
}

/// The law of the angle: its distribution function and its quantiles.
#[derive(Clone, Debug)]
pub struct Angles {
    t: f64,
    width: f64,
    below: Vec<f64>,
    above: Vec<f64>,
}

impl Angles {
    /// Of variance `t`.
    pub fn new(t: f64) -> Self {
        const CELLS: usize = 96;
        // Beyond 12 standard deviations nothing is left of a Gaussian in f64.
        let width = PI.min(12.0 * t.sqrt()) / CELLS as f64;
        let cell = |i: usize| integral(|w| angle_density(w, t), i as f64 * width, (i + 1) as f64 * width);
        let (mut below, mut above) = (vec![0.0; CELLS + 1], vec![0.0; CELLS + 1]);
        for i in 0..CELLS {
            below[i + 1] = below[i] + cell(i);
            above[CELLS - 1 - i] = above[CELLS - i] + cell(CELLS - 1 - i);
        }
        Self { t, width, below, above }
    }

    /// Probability of an angle below `w`.
    pub fn below(&self, w: f64) -> f64 {
        let cells = self.below.len() - 1;
        let i = ((w / self.width) as usize).min(cells - 1);
        let end = w.min(cells as f64 * self.width);
        self.below[i] + integral(|w| angle_density(w, self.t), i as f64 * self.width, end)
    }

    /// The angle below which there is as much probability as below `z` in a standard normal law.
    pub fn quantile(&self, z: f64) -> f64 {
        // From the nearer end, so that no digit of a small probability is lost.
        let low = z < 0.0;
        let wanted = normal_below(-z.abs());
        let reached = |i: usize| if low { self.below[i] >= wanted } else { self.above[i] <= wanted };
        let cells = self.below.len() - 1;
        let cell = (1..cells).find(|i| reached(*i)).unwrap_or(cells) - 1;
        let (start, end) = (cell as f64 * self.width, (cell + 1) as f64 * self.width);
        let (mut a, mut b) = (start, end);
        for _ in 0..60 {
            let w = 0.5 * (a + b);
            let beyond = if low {
                self.below[cell] + integral(|w| angle_density(w, self.t), start, w) >= wanted
            } else {
                self.above[cell + 1] + integral(|w| angle_density(w, self.t), w, end) <= wanted
            };
            if beyond { b = w } else { a = w }
        }
        0.5 * (a + b)
    }
}

/// Density of the standard normal law.
pub fn normal_density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / TAU.sqrt()
}

/// Its probability below `z`, to 14 digits of itself below 0.
pub fn normal_below(z: f64) -> f64 {
    if z > 0.0 {
        return 1.0 - normal_below(-z);
    }
    if z > -2.0 {
        // phi(z) (z + z^3/3 + z^5/15 + ...)
        let terms = (1..60).scan(z, |term, k| {
            let own = *term;
            *term *= z * z / f64::from(2 * k + 1);
            Some(own)
        });
        return 0.5 + normal_density(z) * terms.sum::<f64>();
    }
    // Laplace's continued fraction, from its end.
    let rest = (1..200).rev().fold(-z, |rest, k| -z + f64::from(k) / rest);
    normal_density(z) / rest
}

#[cfg(test)]
mod tests;
