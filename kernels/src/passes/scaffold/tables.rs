//! What a twisted walk is told, and the numbers that a launch takes of it.

use super::{NUMBERS, RESIDUE};
use crate::error::{Result, argument};
use crate::models::igso3::mixture::{COMPONENT, Component};
use crate::passes::frames::{LEAST, Level, step_numbers};
use crate::prims::monoid::ZERO_WEIGHT;

/// The law of a clean chain of frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// Each frame's mixture.
    pub rotations: Vec<Vec<Component>>,
    /// Mean positions; their centre is taken off.
    pub positions: Vec<[f64; 3]>,
    /// Variance of each coordinate of the way from a frame to the next, one fewer than frames.
    pub links: Vec<f64>,
}

/// Frames of known shape that a chain is to hold somewhere, turned somehow.
#[derive(Clone, Debug, PartialEq)]
pub struct Motif {
    /// Rotation matrices, rows first.
    pub rotations: Vec<[[f64; 3]; 3]>,
    /// Positions; their centre is taken off, and so is that of the frames they are held against.
    pub positions: Vec<[f64; 3]>,
    /// Frames at which it may begin.
    pub offsets: Vec<usize>,
    /// Rotations by which the whole of it may be turned, unit quaternions (w, x, y, z).
    pub turns: Vec<[f64; 4]>,
    /// Variances of what is known: of a rotation, per tangent coordinate, and of a position's coordinate.
    pub noise: [f64; 2],
    /// Variances of clean rotations and positions, by which the twist of noisy ones is widened.
    pub breadth: [f64; 2],
}

/// How much of the twist's gradient a proposal follows. Any is exact: what was drawn is weighed as it was drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lean {
    /// Share of the gradient; 0 is a proposal from the model alone.
    pub share: f64,
    /// Longest shift of a rotation, and of a position, in standard deviations of the step. The gradient through a denoised
    /// rotation grows without bound where the rotation could as well be on the other side.
    pub most: f64,
}

impl Lean {
    /// All of the gradient, within a standard deviation.
    pub const FULL: Lean = Lean { share: 1.0, most: 1.0 };
    /// Proposals from the model.
    pub const NONE: Lean = Lean { share: 0.0, most: 1.0 };

    pub(super) fn check(&self) -> Result<()> {
        if !self.share.is_finite() {
            return Err(argument("lean of a twisted walk", self.share, "a finite number"));
        }
        above_zero("longest shift of a twisted walk", self.most, "")
    }
}

/// Vectors less their mean.
fn centred(of: &[[f64; 3]]) -> Vec<[f64; 3]> {
    let mean: [f64; 3] = std::array::from_fn(|k| of.iter().map(|x| x[k]).sum::<f64>() / of.len() as f64);
    of.iter().map(|x| std::array::from_fn(|k| x[k] - mean[k])).collect()
}

/// Refuses a number that is not finite and above 0.
fn above_zero(what: &'static str, value: f64, at: &str) -> Result<()> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(argument(what, format!("{value}{at}"), "a finite number above 0"))
}

fn unit(what: &'static str, q: [f64; 4], at: &str) -> Result<()> {
    let length = q.iter().map(|q| q * q).sum::<f64>().sqrt();
    if (length - 1.0).abs() < 1.0e-5 {
        return Ok(());
    }
    Err(argument(what, format!("{q:?} of length {length}{at}"), "a quaternion (w, x, y, z) of length 1"))
}

fn finite(what: &'static str, x: &[[f64; 3]]) -> Result<()> {
    match x.iter().position(|x| x.iter().any(|x| !x.is_finite())) {
        Some(i) => Err(argument(what, format!("{:?} of frame {i}", x[i]), "three finite numbers")),
        None => Ok(()),
    }
}

impl Chain {
    /// Frames.
    pub fn frames(&self) -> usize {
        self.rotations.len()
    }

    /// Components of the frame that has the most.
    pub fn components(&self) -> usize {
        self.rotations.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Mean positions, centred.
    pub fn means(&self) -> Vec<[f64; 3]> {
        centred(&self.positions)
    }

    /// Refuses what is no law.
    pub fn check(&self) -> Result<()> {
        let frames = self.frames();
        if frames == 0 {
            return Err(argument("frames of a chain", 0, "at least 1"));
        }
        if self.positions.len() != frames {
            return Err(argument("mean positions", self.positions.len(), format!("{frames}, one a frame")));
        }
        if self.links.len() + 1 != frames {
            return Err(argument(
                "links of a chain",
                self.links.len(),
                format!("{}, one between frames", frames - 1),
            ));
        }
        finite("mean position", &self.positions)?;
        for (i, link) in self.links.iter().enumerate() {
            above_zero("variance of a link", *link, &format!(" for link {i}"))?;
        }
        for (f, mixture) in self.rotations.iter().enumerate() {
            if mixture.is_empty() {
                return Err(argument("components", format!("0 for frame {f}"), "at least 1"));
            }
            let at = format!(" for frame {f}");
            for c in mixture {
                unit("mean rotation", c.rotation, &at)?;
                above_zero("weight of a component", c.weight, &at)?;
                if !(c.spread >= LEAST && c.spread.is_finite()) {
                    return Err(argument(
                        "variance of rotations",
                        format!("{}{at}", c.spread),
                        format!("at least {LEAST:e}"),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The numbers of all components, each frame with as many; what is added has no weight.
    pub(super) fn table(&self) -> Vec<f32> {
        let most = self.components();
        let mut table = Vec::with_capacity(COMPONENT * most * self.frames());
        for mixture in &self.rotations {
            let sum: f64 = mixture.iter().map(|c| c.weight).sum();
            for c in mixture {
                table.push((c.weight / sum).ln() as f32);
                table.extend(c.rotation.map(|q| q as f32));
                table.push(c.spread as f32);
            }
            for _ in mixture.len()..most {
                table.extend([ZERO_WEIGHT, 1.0, 0.0, 0.0, 0.0, 1.0]);
            }
        }
        table
    }
}

impl Motif {
    /// Refuses what no chain of `frames` frames can hold.
    pub fn check(&self, frames: usize) -> Result<()> {
        let residues = self.rotations.len();
        if residues == 0 || residues > frames {
            return Err(argument(
                "frames of a motif",
                residues,
                format!("1 to {frames}, those of the chain"),
            ));
        }
        if self.positions.len() != residues {
            return Err(argument(
                "positions of a motif",
                self.positions.len(),
                format!("{residues}, one a frame"),
            ));
        }
        finite("position of a motif", &self.positions)?;
        for (i, matrix) in self.rotations.iter().enumerate() {
            rotation(matrix, i)?;
        }
        if self.offsets.is_empty() || self.turns.is_empty() {
            let found = format!("{} offsets and {} rotations", self.offsets.len(), self.turns.len());
            return Err(argument("placements of a motif", found, "at least 1 of each"));
        }
        let last = frames - residues;
        if let Some(offset) = self.offsets.iter().find(|o| **o > last) {
            return Err(argument("offset of a motif", offset, format!("0 to {last}")));
        }
        for (i, q) in self.turns.iter().enumerate() {
            unit("rotation of a motif", *q, &format!(" for rotation {i}"))?;
        }
        for (what, v) in [("noise of a motif", self.noise), ("breadth of a motif", self.breadth)] {
            above_zero(what, v[0], " for rotations")?;
            above_zero(what, v[1], " for positions")?;
        }
        Ok(())
    }

    /// Positions, centred.
    pub fn centred(&self) -> Vec<[f64; 3]> {
        centred(&self.positions)
    }

    /// Rotations and positions of all residues.
    pub(super) fn table(&self) -> Vec<f32> {
        let one = |(r, x): (&[[f64; 3]; 3], [f64; 3])| -> [f32; RESIDUE] {
            std::array::from_fn(|k| if k < 9 { r[k / 3][k % 3] as f32 } else { x[k - 9] as f32 })
        };
        self.rotations.iter().zip(self.centred()).flat_map(one).collect()
    }

    /// The rotations it may be turned by, as matrices, rows first.
    pub(super) fn turns(&self) -> Vec<f32> {
        self.turns.iter().flat_map(|q| matrix(*q)).map(|v| v as f32).collect()
    }
}

/// The matrix of a unit quaternion, rows first.
fn matrix([w, x, y, z]: [f64; 4]) -> [f64; 9] {
    [
        1.0 - 2.0 * (y * y + z * z),
        2.0 * (x * y - w * z),
        2.0 * (x * z + w * y),
        2.0 * (x * y + w * z),
        1.0 - 2.0 * (x * x + z * z),
        2.0 * (y * z - w * x),
        2.0 * (x * z - w * y),
        2.0 * (y * z + w * x),
        1.0 - 2.0 * (x * x + y * y),
    ]
}

/// Refuses a matrix that does not keep lengths, or that mirrors.
fn rotation(m: &[[f64; 3]; 3], residue: usize) -> Result<()> {
    let product = |i: usize, j: usize| (0..3).map(|k| m[i][k] * m[j][k]).sum::<f64>();
    let off = |i: usize, j: usize| (product(i, j) - f64::from(u8::from(i == j))).abs();
    let apart = (0..9).map(|k| off(k / 3, k % 3)).sum::<f64>();
    let minor = |a: usize, b: usize| m[1][a] * m[2][b] - m[1][b] * m[2][a];
    let volume = m[0][0] * minor(1, 2) - m[0][1] * minor(0, 2) + m[0][2] * minor(0, 1);
    if apart < 1.0e-4 && volume > 0.0 {
        return Ok(());
    }
    let found = format!("{m:?} for frame {residue}, R R^T off by {apart:.1e}, determinant {volume:.3}");
    Err(argument("rotation of a motif", found, "a rotation matrix: R R^T = 1, determinant 1"))
}

/// Refuses levels that a twisted walk cannot go through: noise falls to none.
pub(super) fn check_levels(levels: &[Level]) -> Result<()> {
    Level::falling(levels)?;
    let last = levels[levels.len() - 1];
    if last != (Level { rotation: 0.0, alpha: 1.0, sigma: 0.0 }) {
        return Err(argument("last level", format!("{last:?}"), "no noise, and alpha 1"));
    }
    for (i, pair) in levels.windows(2).enumerate() {
        let ratio = |l: &Level| l.sigma / l.alpha;
        if pair[1].rotation >= pair[0].rotation || ratio(&pair[1]) >= ratio(&pair[0]) {
            let found = format!("as much noise at {} as at {i}", i + 1);
            return Err(argument("levels", found, "less of each noise at every level"));
        }
    }
    Ok(())
}

/// The numbers of every level.
pub fn twist_numbers(levels: &[Level], motif: &Motif, lean: Lean) -> Vec<[f64; NUMBERS]> {
    let wider = |known: f64, noise: f64, clean: f64| known + noise * clean / (noise + clean);
    let one = |(i, from): (usize, &Level)| {
        let to = levels.get(i + 1).unwrap_or(from);
        let turned = wider(motif.noise[0], from.rotation, motif.breadth[0]);
        let moved = wider(motif.noise[1], (from.sigma / from.alpha).powi(2), motif.breadth[1]);
        let step = step_numbers(from, to, 1.0);
        std::array::from_fn(|k| match k {
            0..8 => step[k],
            8 => 0.5 / turned,
            9 => 1.0 / moved,
            10 => lean.share,
            _ => lean.most,
        })
    };
    levels.iter().enumerate().map(one).collect()
}

/// The precision of one coordinate of all positions at a level, on the vectors whose sum is 0, rows first: the inverse of
/// alpha^2 C + sigma^2 there, C being the covariance of the centred chain.
pub fn precision(chain: &Chain, level: &Level) -> Vec<f64> {
    let n = chain.frames();
    let mean = 1.0 / n as f64;
    // The way from the first frame: sums of links.
    let reach: Vec<f64> = std::iter::once(0.0)
        .chain(chain.links.iter().scan(0.0, |sum, link| {
            *sum += link;
            Some(*sum)
        }))
        .collect();
    let walk = |i: usize, j: usize| reach[i.min(j)];
    let row = |i: usize| (0..n).map(|j| walk(i, j)).sum::<f64>() * mean;
    let rows: Vec<f64> = (0..n).map(row).collect();
    let all = rows.iter().sum::<f64>() * mean;
    let (alpha, sigma) = (level.alpha * level.alpha, level.sigma * level.sigma);
    let entry = |k: usize| {
        let (i, j) = (k / n, k % n);
        let own = f64::from(u8::from(i == j));
        alpha * (walk(i, j) - rows[i] - rows[j] + all) + sigma * (own - mean) + mean
    };
    let mut inverse = inverted((0..n * n).map(entry).collect(), n);
    inverse.iter_mut().for_each(|v| *v -= mean);
    inverse
}

/// The inverse of a symmetric positive matrix, by Gauss and Jordan.
fn inverted(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    let mut b: Vec<f64> = (0..n * n).map(|k| f64::from(u8::from(k / n == k % n))).collect();
    for k in 0..n {
        let pivot = a[k * n + k];
        for j in 0..n {
            a[k * n + j] /= pivot;
            b[k * n + j] /= pivot;
        }
        for i in (0..n).filter(|i| *i != k) {
            let factor = a[i * n + k];
            for j in 0..n {
                a[i * n + j] -= factor * a[k * n + j];
                b[i * n + j] -= factor * b[k * n + j];
            }
        }
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The precision undoes the covariance on centred vectors, and knows nothing of the centre.
    #[test]
    fn precision_is_that_of_the_centred_chain() {
        let links = vec![0.5, 2.0, 0.1, 1.0];
        let frame = vec![Component { weight: 1.0, rotation: [1.0, 0.0, 0.0, 0.0], spread: 1.0 }];
        let chain = Chain { rotations: vec![frame; 5], positions: vec![[0.0; 3]; 5], links };
        let clean = precision(&chain, &Level { rotation: 0.0, alpha: 1.0, sigma: 0.0 });
        // Of a walk it is the sum over links of (difference)^2/variance.
        let energy = |x: &[f64]| (0..25).map(|k| clean[k] * x[k / 5] * x[k % 5]).sum::<f64>();
        let x = [0.3_f64, -1.0, 2.0, 0.4, 5.0];
        let wanted: f64 = x.windows(2).zip(&chain.links).map(|(x, l)| (x[1] - x[0]).powi(2) / l).sum();
        assert!((energy(&x) - wanted).abs() < 1.0e-12 * wanted, "{} {wanted}", energy(&x));
        let noisy = precision(&chain, &Level { rotation: 0.0, alpha: 1.0e-9, sigma: 2.0 });
        assert!((noisy[0] - 0.25 * 0.8).abs() < 1.0e-12 && (noisy[1] + 0.25 * 0.2).abs() < 1.0e-12);
    }
}
