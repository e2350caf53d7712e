//! The numbers of a twist on a device: what kernels read at [`feynkac_kernels::models::twist`].

use feynkac_kernels::prims::monoid::ZERO_WEIGHT;

use super::task::LOGISTIC;
use super::{Doubt, Spread, Task, Trail, Twisting};
use crate::eigen::{dot, positive_definite};
use crate::error::{Error, Result};
use crate::model::Noise;

/// A bound that no state comes near.
const FAR: f64 = 1.0e30;

/// Ready to be put behind those of the models.
pub(crate) struct Numbers {
    /// Static ones.
    pub params: Vec<f32>,
    /// Those of each level.
    pub rows: Vec<Vec<f32>>,
    /// M, the number of places, and the places.
    pub map: Vec<u32>,
    /// Turns of the loops of one evaluation, and of one choice of a place.
    pub turns: u64,
}

impl Twisting {
    /// At `levels`, of a model of `dim` coordinates whose samples have `variance`. From element `first` on a likelihood
    /// outside writes `cells` coordinates. `seeds`: one a group.
    pub(crate) fn numbers(
        &self,
        levels: &[Noise],
        dim: usize,
        variance: f64,
        (first, cells): (usize, usize),
        seeds: &[u64],
    ) -> Result<Numbers> {
        let doubts: Vec<Doubt> = (0..levels.len()).map(|at| self.doubt(levels, at, variance)).collect();
        let spreads: Vec<f64> = doubts.iter().map(|doubt| doubt.variance).collect();
        let (params, own, map): Parts = match &self.task {
            Task::Inpaint { mask, .. } if self.replaces() => replaced(&self.task, mask, levels, seeds),
            Task::Linear { operator, measured, noise } => measurement(operator, measured, noise, &spreads)?,
            Task::Inpaint { mask, known, noise } if self.spread == Spread::Residual => {
                let weights = mask.iter().map(|m| f64::from(u8::from(*m)));
                let params = known.iter().zip(mask).map(|(y, m)| if *m { *y } else { 0.0 }).chain(weights);
                (params.collect(), doubts.iter().map(|doubt| missed(*noise, *doubt)).collect(), vec![dim, 0])
            }
            Task::Inpaint { mask, known, noise } => {
                let count = mask.iter().filter(|m| **m).count();
                let params = known.iter().zip(mask).map(|(y, m)| if *m { *y } else { 0.0 });
                let params = params.chain(mask.iter().map(|m| f64::from(u8::from(*m))));
                let own =
                    |spread: &f64| vec![gaussian(*noise, *spread, count), precision(*noise, *spread), 0.0];
                (params.chain(vec![0.0; dim]).collect(), spreads.iter().map(own).collect(), vec![dim, 0])
            }
            Task::Placement { motif, offsets, noise } => {
                let places = (offsets.len() as f64).ln();
                let own = |spread: &f64| {
                    vec![gaussian(*noise, *spread, motif.len()) - places, precision(*noise, *spread)]
                };
                let map = [motif.len(), offsets.len()].into_iter().chain(offsets.iter().copied()).collect();
                (motif.clone(), spreads.iter().map(own).collect(), map)
            }
            Task::Inequalities { operator, bounds } => {
                let rows = operator.chunks_exact(dim).zip(bounds);
                let params = rows.flat_map(|(row, bound)| {
                    let length = dot(row, row).sqrt();
                    [*bound].into_iter().chain(row.iter().copied()).map(move |v| v / length)
                });
                let halves = bounds.len() as f64 * std::f64::consts::LN_2;
                let own = |spread: &f64| match *spread {
                    // Each soft wall is 1/2 everywhere: a constant that is given back.
                    0.0 => vec![halves, 0.0, f64::from(ZERO_WEIGHT)],
                    spread => vec![0.0, LOGISTIC / spread.sqrt(), 0.0],
                };
                (params.collect(), spreads.iter().map(own).collect(), vec![bounds.len(), 0])
            }
            Task::Bounds { lower, upper } => {
                let near = |bound: &f64| bound.clamp(-FAR, FAR);
                let own = |spread: &f64| match *spread {
                    0.0 => vec![0.0, 0.0, f64::from(ZERO_WEIGHT), 0.0],
                    spread => vec![0.0, LOGISTIC / spread.sqrt(), 0.0, 1.0],
                };
                let params = lower.iter().chain(upper).map(near).collect();
                (params, spreads.iter().map(own).collect(), vec![dim, 0])
            }
            Task::Reward { slope, curvature, centre } => {
                let params = [centre, curvature, slope].into_iter().flatten().copied().collect();
                (params, vec![vec![0.0, 1.0, 1.0]; levels.len()], vec![dim, 0])
            }
            Task::Classifier { .. } | Task::Own => {
                let room = vec![0.0; cells + cells / dim];
                (room, vec![vec![0.0]; levels.len()], vec![first + cells, 0])
            }
        };
        let row = |(at, own): (&Noise, &Vec<f64>)| -> Vec<f32> {
            [1.0 / at.alpha, at.sigma * at.sigma].iter().chain(own).map(|v| *v as f32).collect()
        };
        let rows: Vec<Vec<f32>> = levels.iter().zip(&own).map(row).collect();
        let params: Vec<f32> = params.iter().map(|v| *v as f32).collect();
        if !params.iter().chain(rows.iter().flatten()).all(|v| v.is_finite()) {
            return Err(Error::input(
                "numbers of the task",
                "not finite in f32",
                "a noise and values of ordinary size",
            ));
        }
        let (m, places) = (map[0] as u64, map[1] as u64);
        let turns = match &self.task {
            Task::Placement { .. } => 6 * places * (1 + m),
            Task::Linear { .. } | Task::Inequalities { .. } => m * (1 + 2 * dim as u64),
            _ => 0,
        };
        let map = map.into_iter().map(|v| v as u32).collect();
        Ok(Numbers { params, rows, map, turns: turns + 6 * dim as u64 })
    }
}

/// 1 / variance of a number known with `noise`, of a denoised state; 0 where it is put in its place.
fn precision(noise: f64, spread: f64) -> f64 {
    let variance = noise * noise + spread;
    if variance > 0.0 { 1.0 / variance } else { 0.0 }
}

/// What the kernel reads of a level where the variance grows with what is missed.
fn missed(noise: f64, doubt: Doubt) -> Vec<f64> {
    let says = noise > 0.0 || doubt.variance > 0.0;
    let noise = if says { noise * noise } else { 1.0 };
    vec![0.0, noise, doubt.variance, doubt.growth, f64::from(u8::from(says))]
}

/// The constant of the log-density of `count` of them.
fn gaussian(noise: f64, spread: f64, count: usize) -> f64 {
    let variance = noise * noise + spread;
    if variance > 0.0 { -0.5 * count as f64 * (std::f64::consts::TAU * variance).ln() } else { 0.0 }
}

/// Static numbers, those of each level, and the map.
type Parts = (Vec<f64>, Vec<Vec<f64>>, Vec<usize>);

/// The mask, and the trail of every group at every level with what its draw takes off the log-weight.
fn replaced(task: &Task, mask: &[bool], levels: &[Noise], seeds: &[u64]) -> Parts {
    let (dim, each) = (mask.len(), mask.len() + 1);
    let mut params: Vec<f64> = mask.iter().map(|m| f64::from(u8::from(*m))).collect();
    params.resize(dim + levels.len() * seeds.len() * each, 0.0);
    for (group, seed) in seeds.iter().enumerate() {
        let trail = Trail::new(task, levels, *seed);
        for (level, (at, log_q)) in trail.at.iter().zip(&trail.log_q).enumerate() {
            let row = &mut params[dim + (level * seeds.len() + group) * each..][..each];
            row[..dim].copy_from_slice(at);
            row[dim] = -log_q;
        }
    }
    (params, vec![vec![0.0]; levels.len()], vec![mask.len(), 0])
}

/// With R = S S the rows of S^-1 A, turned by the eigenvectors of S^-1 A A^T S^-1, have independent noise of variance
/// 1 + spread l at every spread, with l their eigenvalue.
fn measurement(operator: &[f64], measured: &[f64], noise: &[f64], spreads: &[f64]) -> Result<Parts> {
    let m = measured.len();
    let dim = operator.len() / m;
    let whitened = |i: usize| operator[i * dim..][..dim].iter().map(move |a| a / noise[i]);
    let rows: Vec<Vec<f64>> = (0..m).map(|i| whitened(i).collect()).collect();
    let gram = |i: usize, j: usize| dot(&rows[i], &rows[j]) + f64::from(u8::from(i == j));
    let gram: Vec<f64> = (0..m * m).map(|at| gram(at / m, at % m)).collect();
    let eigen = positive_definite(&gram, m).map_err(|why| {
        Error::input("operator of the task", format!("{why:?}"), "numbers of ordinary size over their noise")
    })?;
    let y: Vec<f64> = measured.iter().zip(noise).map(|(y, s)| y / s).collect();
    let turned = |axis: &[f64]| -> Vec<f64> {
        let along = |k: usize| axis.iter().zip(&rows).map(|(u, row)| u * row[k]).sum::<f64>();
        [dot(axis, &y)].into_iter().chain((0..dim).map(along)).collect()
    };
    let params = eigen.vectors.chunks_exact(m).flat_map(turned).collect();
    let scale: f64 = noise.iter().map(|s| s.ln()).sum();
    let own = |spread: &f64| {
        let variances = || eigen.values.iter().map(|one_more| 1.0 + spread * (one_more - 1.0).max(0.0));
        let logs: f64 = variances().map(|v| (std::f64::consts::TAU * v).ln()).sum();
        [-0.5 * logs - scale].into_iter().chain(variances().map(|v| 1.0 / v)).collect()
    };
    Ok((params, spreads.iter().map(own).collect(), vec![m, 0]))
}
