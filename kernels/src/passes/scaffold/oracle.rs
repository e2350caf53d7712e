//! Plain loops from the formulas, one particle at a time: docs/maths.md (14.4) to (14.6).

use super::{Chain, Motif, NUMBERS, TANGENT, precision};
use crate::models::igso3::oracle::mixture::blend;
use crate::passes::frames::oracle::rotation;
use crate::passes::frames::{FRAME, Level};
use crate::prims::philox::oracle::{Stream, normal};
use crate::prims::philox::{purpose, tag};
use crate::prims::so3::oracle::{Quaternion, retract, rotate, uniform};

type Matrix = [[f64; 3]; 3];

/// What the model says of a particle at a level.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Scores, six numbers a frame.
    pub score: Vec<f64>,
    /// Denoised frames, seven numbers each.
    pub denoised: Vec<f64>,
}

/// Three normals of a frame's rotation (`part` 0) or position (1), and a fourth.
pub fn normals(seed: u64, slot: usize, step: usize, purpose: u32) -> impl Fn(usize, usize) -> [f64; 4] {
    let stream = Stream { seed, slot: slot as u32, step: step as u32, tag: tag(purpose, 0) };
    move |frame, part| std::array::from_fn(|k| normal(stream, 8 * frame + 4 * part + k, usize::MAX))
}

fn centre(x: &mut [f64]) {
    let n = (x.len() / FRAME) as f64;
    for k in 4..FRAME {
        let mean = x.iter().skip(k).step_by(FRAME).sum::<f64>() / n;
        x.iter_mut().skip(k).step_by(FRAME).for_each(|x| *x -= mean);
    }
}

/// A particle of pure noise: uniform rotations, and positions of variance `numbers[4]` about their centre.
pub fn start(frames: usize, numbers: &[f64; NUMBERS], (seed, slot): (u64, usize)) -> Vec<f64> {
    let z = normals(seed, slot, 0, purpose::INIT);
    let one = |f: usize| {
        let (q, x) = (uniform(z(f, 0)), z(f, 1).map(|z| numbers[4].sqrt() * z));
        [q[0], q[1], q[2], q[3], x[0], x[1], x[2]]
    };
    let mut x: Vec<f64> = (0..frames).flat_map(one).collect();
    centre(&mut x);
    x
}

/// `matrix` (rows first) times coordinate `k` of rows of `stride` numbers.
fn times(matrix: &[f64], x: &[f64], stride: usize, k: usize) -> Vec<f64> {
    let n = x.len() / stride;
    (0..n).map(|i| (0..n).map(|j| matrix[i * n + j] * x[j * stride + k]).sum()).collect()
}

/// Scores and the denoised chain.
pub fn told(chain: &Chain, level: &Level, x: &[f64]) -> Told {
    let (frames, means) = (chain.frames(), chain.means());
    let (mut score, mut denoised) = (vec![0.0; TANGENT * frames], vec![0.0; FRAME * frames]);
    for f in 0..frames {
        let seen = blend(&chain.rotations[f], level.rotation, rotation(&x[FRAME * f..]));
        score[TANGENT * f..][..3].copy_from_slice(&seen.score);
        denoised[FRAME * f..][..4].copy_from_slice(&seen.denoised());
    }
    let apart: Vec<f64> =
        (0..3 * frames).map(|i| x[i / 3 * FRAME + 4 + i % 3] - level.alpha * means[i / 3][i % 3]).collect();
    let precision = precision(chain, level);
    for k in 0..3 {
        for (f, pull) in times(&precision, &apart, 3, k).into_iter().enumerate() {
            score[TANGENT * f + 3 + k] = -pull;
            denoised[FRAME * f + 4 + k] = (x[FRAME * f + 4 + k] - level.sigma.powi(2) * pull) / level.alpha;
        }
    }
    Told { score, denoised }
}

fn matrix(q: Quaternion) -> Matrix {
    let columns = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(|axis| rotate(q, axis));
    std::array::from_fn(|i| std::array::from_fn(|j| columns[j][i]))
}

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| a[i][k] * b[k][j]).sum()))
}

fn transposed(a: &Matrix) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| a[j][i]))
}

/// log psi of a denoised chain and its gradient, six numbers a frame: every placement by itself, residue by residue.
pub fn psi(motif: &Motif, numbers: &[f64; NUMBERS], denoised: &[f64]) -> (f64, Vec<f64>) {
    let residues = motif.rotations.len();
    let (goal, turns) = (motif.centred(), motif.turns.iter().map(|q| matrix(*q)).collect::<Vec<_>>());
    let mut fits = Vec::new();
    for offset in &motif.offsets {
        let held = &denoised[FRAME * offset..FRAME * (offset + residues)];
        let mean: [f64; 3] =
            std::array::from_fn(|k| held.iter().skip(4 + k).step_by(FRAME).sum::<f64>() / residues as f64);
        for turn in &turns {
            let mut fit = 0.0;
            let mut gradient = vec![0.0; TANGENT * residues];
            for (m, frame) in held.chunks(FRAME).enumerate() {
                let (own, wanted) = (matrix(rotation(frame)), product(turn, &motif.rotations[m]));
                let apart = (0..9).map(|k| (own[k / 3][k % 3] - wanted[k / 3][k % 3]).powi(2)).sum::<f64>();
                fit -= 0.5 * numbers[8] * apart;
                // Along R hat(v) the square of |R - W| changes by -2 v vee(A - A^T), with A = R^T W.
                let a = product(&transposed(&own), &wanted);
                let vee = [a[2][1] - a[1][2], a[0][2] - a[2][0], a[1][0] - a[0][1]];
                let goal: [f64; 3] = std::array::from_fn(|i| (0..3).map(|k| turn[i][k] * goal[m][k]).sum());
                for k in 0..3 {
                    let off = frame[4 + k] - mean[k] - goal[k];
                    fit -= 0.5 * numbers[9] * off * off;
                    gradient[TANGENT * m + k] = numbers[8] * vee[k];
                    gradient[TANGENT * m + 3 + k] = -numbers[9] * off;
                }
            }
            fits.push((*offset, fit, gradient));
        }
    }
    let most = fits.iter().map(|f| f.1).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = fits.iter().map(|f| (f.1 - most).exp()).sum();
    let mut whole = vec![0.0; TANGENT * denoised.len() / FRAME];
    for (offset, fit, gradient) in &fits {
        let share = (fit - most).exp() / sum;
        for (sum, own) in whole[TANGENT * offset..].iter_mut().zip(gradient) {
            *sum += share * own;
        }
    }
    (most + sum.ln() - (fits.len() as f64).ln(), whole)
}

/// The gradient at the noisy chain of what has the gradient `g` at the denoised one.
pub fn pulled(chain: &Chain, level: &Level, x: &[f64], g: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; g.len()];
    for (f, mixture) in chain.rotations.iter().enumerate() {
        let seen = blend(mixture, level.rotation, rotation(&x[FRAME * f..]));
        let own = std::array::from_fn(|k| g[TANGENT * f + k]);
        out[TANGENT * f..][..3].copy_from_slice(&seen.pulled(own));
    }
    let precision = precision(chain, level);
    for k in 3..TANGENT {
        for (f, bent) in times(&precision, g, TANGENT, k).into_iter().enumerate() {
            out[TANGENT * f + k] = (g[TANGENT * f + k] - level.sigma.powi(2) * bent) / level.alpha;
        }
    }
    out
}

/// The chain after a step, and the log of the model's kernel over the one that was drawn from: both are Gaussians of one
/// variance in the tangent coordinates of the old state, whose volume elements cancel.
pub fn moved(
    numbers: &[f64; NUMBERS],
    x: &[f64],
    (score, pull): (&[f64], &[f64]),
    z: impl Fn(usize, usize) -> [f64; 4],
) -> (Vec<f64>, f64) {
    let [_, drift, noise, _, _, shrink, drift_x, noise_x, _, _, lean, most] = *numbers;
    let (mut out, mut ratio) = (Vec::with_capacity(x.len()), 0.0);
    // Rotations and positions in turn, each as long as it may be.
    let bounded = |(i, pull): (usize, &[f64])| {
        let std = if i % 2 == 0 { noise } else { noise_x };
        let size = lean.abs() * std * pull.iter().map(|p| p * p).sum::<f64>().sqrt();
        let kept = if size > most { most / size } else { 1.0 };
        [0, 1, 2].map(|k| kept * lean * std * pull[k])
    };
    let shifts: Vec<f64> = pull.chunks(3).enumerate().flat_map(bounded).collect();
    for f in 0..x.len() / FRAME {
        let (own, s, u) = (&x[FRAME * f..], &score[TANGENT * f..], &shifts[TANGENT * f..]);
        let (turned, gone) = (z(f, 0), z(f, 1));
        let q = retract(rotation(own), [0, 1, 2].map(|k| drift * s[k] + noise * (u[k] + turned[k])));
        out.extend(q);
        for k in 0..3 {
            out.push(shrink * own[4 + k] + drift_x * s[3 + k] + noise_x * (u[3 + k] + gone[k]));
            ratio -= 0.5 * u[k] * (u[k] + 2.0 * turned[k]) + 0.5 * u[3 + k] * (u[3 + k] + 2.0 * gone[k]);
        }
    }
    centre(&mut out);
    (out, ratio)
}

#[cfg(test)]
mod tests;
