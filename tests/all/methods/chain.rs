//! What the twisted sampler converges to, in closed form: with a Gaussian model every kernel of its chain is an affine
//! map and Gaussian noise, so that the clean state is Gaussian, and what is wanted of it conditions a Gaussian.

use feynkac::target::Gaussian;
use feynkac::{Chain, Noise, Options, Task, coeffs};

use crate::passes::layers::dot;

/// A Gaussian.
#[derive(Clone, Debug)]
pub struct Law {
    pub mean: Vec<f64>,
    /// `[D, D]`.
    pub covariance: Vec<f64>,
}

/// A kernel N(factor x + constant, variance) of the untwisted chain on the line.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    pub factor: f64,
    pub constant: f64,
    pub variance: f64,
}

/// Mean and variance of the first state along an axis on which the model has mean `m` and variance `c`, and all kernels: a
/// kernel's mean is that of x' given x and x0, with the denoised state for x0.
pub fn line(m: f64, c: f64, options: &Options) -> ((f64, f64), Vec<Kernel>) {
    let levels = coeffs::levels(options).expect("levels");
    let chain = options.twisting.as_ref().map_or(Chain::Forward, |t| t.chain);
    let diffused = |at: &Noise| at.alpha.powi(2) * c + at.sigma.powi(2);
    let mut before = f64::NAN;
    let kernel = |pair: &[Noise]| {
        let (now, next) = (&pair[0], &pair[1]);
        let kept = now.alpha / next.alpha;
        let added = now.sigma.powi(2) - (kept * next.sigma).powi(2);
        let share = added / now.sigma.powi(2);
        // D = m + gain (x - alpha m).
        let gain = now.alpha * c / diffused(now);
        let posterior = added * (next.sigma / now.sigma).powi(2);
        let variance = match chain {
            Chain::Clipped if next.sigma == 0.0 => before,
            Chain::Posterior | Chain::Clipped => posterior,
            Chain::Truncated if next.sigma == 0.0 => 0.0,
            Chain::Learned => panic!("a closed form has learnt nothing"),
            Chain::Forward | Chain::Truncated => added,
        };
        before = posterior;
        Kernel {
            factor: next.alpha * share * gain + kept * next.sigma.powi(2) / now.sigma.powi(2),
            constant: next.alpha * share * m * (1.0 - gain * now.alpha),
            variance,
        }
    };
    ((levels[0].alpha * m, diffused(&levels[0])), levels.windows(2).map(kernel).collect())
}

/// The clean state of the untwisted chain, from each axis of the covariance.
pub fn clean(model: &Gaussian, options: &Options) -> Law {
    let dim = model.mean.len();
    let axes: Vec<&[f64]> = model.covariance.vectors.chunks_exact(dim).collect();
    let along = |axis: &[f64], c: f64| -> (f64, f64) {
        let (first, kernels) = line(dot(axis, &model.mean), c, options);
        kernels.iter().fold(first, |(mean, variance), k| {
            (k.factor * mean + k.constant, k.factor * k.factor * variance + k.variance)
        })
    };
    let each: Vec<(f64, f64)> =
        axes.iter().zip(&model.covariance.values).map(|(a, c)| along(a, *c)).collect();
    let sum = |f: &dyn Fn(usize) -> f64| (0..dim).map(f).sum::<f64>();
    Law {
        mean: (0..dim).map(|k| sum(&|j| axes[j][k] * each[j].0)).collect(),
        covariance: (0..dim * dim)
            .map(|at| sum(&|j| axes[j][at / dim] * each[j].1 * axes[j][at % dim]))
            .collect(),
    }
}

/// log p(y) and the mean of the clean state given y = A x0 + noise, one component of y after another.
fn measured(law: &Law, operator: &[f64], y: &[f64], noise: &[f64]) -> (f64, Vec<f64>) {
    let dim = law.mean.len();
    let (mut mean, mut covariance) = (law.mean.clone(), law.covariance.clone());
    let mut log_p = 0.0;
    for ((row, y), noise) in operator.chunks_exact(dim).zip(y).zip(noise) {
        let seen: Vec<f64> = covariance.chunks_exact(dim).map(|c| dot(c, row)).collect();
        let (left, variance) = (y - dot(row, &mean), dot(row, &seen) + noise * noise);
        log_p -= 0.5 * (left * left / variance + (std::f64::consts::TAU * variance).ln());
        for i in 0..dim {
            mean[i] += seen[i] * left / variance;
            for j in 0..dim {
                covariance[i * dim + j] -= seen[i] * seen[j] / variance;
            }
        }
    }
    (log_p, mean)
}

/// Rows that pick these coordinates.
fn picks(coordinates: impl Iterator<Item = usize>, dim: usize) -> Vec<f64> {
    coordinates.flat_map(|k| (0..dim).map(move |j| f64::from(u8::from(j == k)))).collect()
}

/// The logarithm of the evidence of `task` under `law`, and the posterior mean.
pub fn posterior(law: &Law, task: &Task) -> (f64, Vec<f64>) {
    let dim = law.mean.len();
    match task {
        Task::Linear { operator, measured: y, noise } => measured(law, operator, y, noise),
        Task::Inpaint { mask, known, noise } => {
            let which: Vec<usize> = (0..dim).filter(|k| mask[*k]).collect();
            let y: Vec<f64> = which.iter().map(|k| known[*k]).collect();
            measured(law, &picks(which.iter().copied(), dim), &y, &vec![*noise; which.len()])
        }
        Task::Placement { motif, offsets, noise } => {
            let one = |at: &usize| {
                let rows = picks(*at..at + motif.len(), dim);
                measured(law, &rows, motif, &vec![*noise; motif.len()])
            };
            let all: Vec<(f64, Vec<f64>)> = offsets.iter().map(one).collect();
            let most = all.iter().map(|(l, _)| *l).fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = all.iter().map(|(l, _)| (l - most).exp()).sum();
            let share = |l: f64| (l - most).exp() / total;
            let mean = (0..dim).map(|k| all.iter().map(|(l, mean)| share(*l) * mean[k]).sum()).collect();
            (most + (total / all.len() as f64).ln(), mean)
        }
        // A quadratic term is a measurement without its constant, after a linear one, which moves the mean.
        Task::Classifier { .. } | Task::Own => panic!("no closed form of {task:?}"),
        Task::Reward { slope, curvature, centre } => {
            let moved: Vec<f64> = law.covariance.chunks_exact(dim).map(|c| dot(c, slope)).collect();
            let mut log_z = dot(slope, &law.mean) + 0.5 * dot(slope, &moved);
            let mean = law.mean.iter().zip(&moved).map(|(m, by)| m + by).collect();
            let which: Vec<usize> = (0..dim).filter(|k| curvature[*k] > 0.0).collect();
            let y: Vec<f64> = which.iter().map(|k| centre[*k]).collect();
            let noise: Vec<f64> = which.iter().map(|k| curvature[*k].sqrt().recip()).collect();
            let tilted = Law { mean, covariance: law.covariance.clone() };
            let (log_p, mean) = measured(&tilted, &picks(which.iter().copied(), dim), &y, &noise);
            log_z += log_p + noise.iter().map(|s| 0.5 * (std::f64::consts::TAU * s * s).ln()).sum::<f64>();
            (log_z, mean)
        }
        // Of one coordinate: two walls.
        Task::Bounds { lower, upper } => {
            let bounded = |k: &usize| lower[*k].is_finite() && upper[*k].is_finite();
            let which: Vec<usize> = (0..dim).filter(bounded).collect();
            let [k] = which[..] else { panic!("bounds of one coordinate") };
            let operator =
                [1.0, -1.0].into_iter().flat_map(|a| (0..dim).map(move |j| if j == k { a } else { 0.0 }));
            let bounds = vec![upper[k], -lower[k]];
            posterior(law, &Task::Inequalities { operator: operator.collect(), bounds })
        }
        // One wall, or two that face each other: of a Gaussian along their normal what lies before or between them.
        Task::Inequalities { operator, bounds } => {
            let normal = &operator[..dim];
            assert!(operator[dim..].iter().zip(normal).all(|(a, b)| *a == -b), "walls that face each other");
            let seen: Vec<f64> = law.covariance.chunks_exact(dim).map(|c| dot(c, normal)).collect();
            let (mean, std) = (dot(normal, &law.mean), dot(normal, &seen).sqrt());
            let height = |u: f64| (-0.5 * u * u).exp() / std::f64::consts::TAU.sqrt();
            let at = |bound: f64| ((bound - mean) / std, normal_below((bound - mean) / std));
            let (upper, below) = at(bounds[0]);
            let (lower, beyond) = bounds.get(1).map_or((f64::NEG_INFINITY, 0.0), |bound| at(-bound));
            let share = below - beyond;
            let by = (height(lower) - height(upper)) / share / std;
            (share.ln(), law.mean.iter().zip(&seen).map(|(m, s)| m + s * by).collect())
        }
    }
}

/// The normal distribution function, by the trapezoid rule over 12 standard deviations: its error is far below 1e-9.
fn normal_below(u: f64) -> f64 {
    let (from, steps) = (-12.0, 20_000);
    let h = (u - from) / f64::from(steps);
    let height = |i: i32| (-0.5 * (from + h * f64::from(i)).powi(2)).exp() / std::f64::consts::TAU.sqrt();
    h * ((1..steps).map(height).sum::<f64>() + 0.5 * (height(0) + height(steps)))
}

#[test]
fn a_plane_by_hand() {
    let law = Law { mean: vec![1.0, -1.0], covariance: vec![2.0, 1.0, 1.0, 3.0] };
    let tau = std::f64::consts::TAU;
    let (log_p, mean) =
        posterior(&law, &Task::Inpaint { mask: vec![true, false], known: vec![3.0, 0.0], noise: 0.0 });
    assert!((log_p + 0.5 * (2.0 + (tau * 2.0).ln())).abs() < 1.0e-12);
    assert!((mean[0] - 3.0).abs() < 1.0e-12 && mean[1].abs() < 1.0e-12);
    let slope = Task::Reward { slope: vec![1.0, 0.0], curvature: vec![0.0; 2], centre: vec![0.0; 2] };
    let (log_z, mean) = posterior(&law, &slope);
    assert!((log_z - 2.0).abs() < 1.0e-12 && (mean[0] - 3.0).abs() < 1.0e-12 && mean[1].abs() < 1.0e-12);
    let wall = Task::Inequalities { operator: vec![1.0, 0.0], bounds: vec![1.0] };
    let (log_z, mean) = posterior(&law, &wall);
    assert!((log_z + 2.0_f64.ln()).abs() < 1.0e-9);
    assert!((mean[0] - (1.0 - 2.0 / std::f64::consts::PI.sqrt())).abs() < 1.0e-6, "{mean:?}");
}
