//! Plain loops from the formulas, one particle at a time.

use super::{FRAME, First, Level, Prior, step_numbers};
use crate::models::igso3::angles::Angles;
use crate::models::igso3::oracle::score;
use crate::prims::philox::oracle::{Stream, normal};
use crate::prims::philox::{purpose, tag};
use crate::prims::so3::oracle::{Quaternion, compose, exp, length, retract, rotate, uniform};

/// Four normals of a frame's rotation (`part` 0) or position (1).
fn normals(stream: Stream, frame: usize, part: usize) -> [f64; 4] {
    std::array::from_fn(|k| normal(stream, 8 * frame + 4 * part + k, usize::MAX))
}

/// The quaternion of a frame's seven numbers.
pub fn rotation(frame: &[f64]) -> Quaternion {
    [frame[0], frame[1], frame[2], frame[3]]
}

/// The frames of one particle at the first level; `angles` are those of each frame's law there.
pub fn start(
    priors: &[Prior],
    level: &Level,
    angles: &[Angles],
    first: First,
    (seed, slot): (u64, usize),
) -> Vec<f64> {
    let stream = Stream { seed, slot: slot as u32, step: 0, tag: tag(purpose::INIT, 0) };
    let one = |(frame, prior): (usize, &Prior)| {
        let z = normals(stream, frame, 0);
        let q = match first {
            First::Uniform => uniform(z),
            First::Exact => {
                let axis = [z[0], z[1], z[2]];
                let factor = angles[frame].quantile(z[3]) / length(axis);
                compose(prior.rotation, exp(axis.map(|v| factor * v)))
            }
        };
        let z = normals(stream, frame, 1);
        let std = (level.alpha * level.alpha * prior.variance + level.sigma * level.sigma).sqrt();
        let at = |k: usize| level.alpha * prior.position[k] + std * z[k];
        [q[0], q[1], q[2], q[3], at(0), at(1), at(2)]
    };
    priors.iter().enumerate().flat_map(one).collect()
}

/// One particle's frames after the step from `levels[step]` to the next.
pub fn step(
    priors: &[Prior],
    levels: &[Level],
    zeta: f64,
    x: &[f64],
    (seed, slot, step): (u64, usize, usize),
) -> Vec<f64> {
    let stream = Stream { seed, slot: slot as u32, step: step as u32, tag: tag(purpose::MOVE, 0) };
    let (from, to) = (&levels[step], &levels[step + 1]);
    let [_, drift, noise, alpha, variance, shrink, drift_x, noise_x] = step_numbers(from, to, zeta);
    let one = |(frame, prior): (usize, &Prior)| {
        let x = &x[FRAME * frame..][..FRAME];
        let z = normals(stream, frame, 0);
        let q = rotation(x);
        let s = score(prior.rotation, q, from.spread(prior));
        let q = retract(q, [0, 1, 2].map(|k| drift * s[k] + noise * z[k]));
        let z = normals(stream, frame, 1);
        let at = |k: usize| {
            let s = (alpha * prior.position[k] - x[4 + k]) / (alpha * alpha * prior.variance + variance);
            shrink * x[4 + k] + drift_x * s + noise_x * z[k]
        };
        [q[0], q[1], q[2], q[3], at(0), at(1), at(2)]
    };
    priors.iter().enumerate().flat_map(one).collect()
}

/// Where the atoms of one particle's frames are, three numbers each.
pub fn place(x: &[f64], local: &[[f64; 3]]) -> Vec<f64> {
    let one = |frame: &[f64]| -> Vec<f64> {
        let at = |atom: &[f64; 3]| {
            let turned = rotate(rotation(frame), *atom);
            [0, 1, 2].map(|k| frame[4 + k] + turned[k])
        };
        local.iter().flat_map(at).collect()
    };
    x.chunks(FRAME).flat_map(one).collect()
}
