//! Plain loops from the formulas, one particle at a time.

use super::{FRAME, First, Level, Prior, TANGENT, step_numbers};
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
    let Level { alpha, sigma, .. } = levels[step];
    let one = |(prior, x): (&Prior, &[f64])| -> Vec<f64> {
        let turn = score(prior.rotation, rotation(x), levels[step].spread(prior));
        let variance = alpha * alpha * prior.variance + sigma * sigma;
        let pull = (0..3).map(|k| (alpha * prior.position[k] - x[4 + k]) / variance);
        turn.into_iter().chain(pull).collect()
    };
    let scores: Vec<f64> = priors.iter().zip(x.chunks(FRAME)).flat_map(one).collect();
    follow(levels, zeta, x, &scores, (seed, slot, step))
}

/// The same along `scores`, six numbers a frame.
pub fn follow(
    levels: &[Level],
    zeta: f64,
    x: &[f64],
    scores: &[f64],
    (seed, slot, step): (u64, usize, usize),
) -> Vec<f64> {
    let stream = Stream { seed, slot: slot as u32, step: step as u32, tag: tag(purpose::MOVE, 0) };
    let [_, drift, noise, _, _, shrink, drift_x, noise_x] =
        step_numbers(&levels[step], &levels[step + 1], zeta);
    let one = |(frame, (x, s)): (usize, (&[f64], &[f64]))| {
        let z = normals(stream, frame, 0);
        let q = retract(rotation(x), [0, 1, 2].map(|k| drift * s[k] + noise * z[k]));
        let z = normals(stream, frame, 1);
        let at = |k: usize| shrink * x[4 + k] + drift_x * s[3 + k] + noise_x * z[k];
        [q[0], q[1], q[2], q[3], at(0), at(1), at(2)]
    };
    x.chunks(FRAME).zip(scores.chunks(TANGENT)).enumerate().flat_map(one).collect()
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
