//! Gradients against differences, and the numbers of the device against the definition.

use super::*;
use crate::eigen::dot;
use crate::operator::Filter;
use crate::target::{Mixture, Scales, Target};

fn tasks() -> Vec<Task> {
    let operator = vec![1.0, 0.5, -0.2, 0.0, 1.0, 2.0];
    vec![
        Task::Linear { operator: operator.clone(), measured: vec![0.4, -1.0], noise: vec![0.3, 0.7] },
        Task::Inpaint { mask: vec![true, false, true], known: vec![0.5, 0.0, -1.0], noise: 0.2 },
        Task::Placement { motif: vec![0.5, -0.3], offsets: vec![0, 1], noise: 0.4 },
        Task::Inequalities { operator, bounds: vec![0.1, 1.0] },
        Task::Bounds { lower: vec![-0.5, f64::NEG_INFINITY, 0.9], upper: vec![f64::INFINITY, -1.0, 1.3] },
        Task::Reward {
            slope: vec![1.0, 0.0, -0.5],
            curvature: vec![0.0, 2.0, 0.3],
            centre: vec![0.0, 1.0, 2.0],
        },
    ]
}

/// Differences of `f` along each coordinate.
fn differences(f: impl Fn(&[f64]) -> f64, at: &[f64]) -> Vec<f64> {
    let step = 1.0e-5;
    let moved = |k: usize, by: f64| {
        let mut at = at.to_vec();
        at[k] += by;
        f(&at)
    };
    (0..at.len()).map(|k| (moved(k, step) - moved(k, -step)) / (2.0 * step)).collect()
}

fn close(found: &[f64], wanted: &[f64], within: f64) {
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() < within * (1.0 + wanted.abs()), "found {found}, wanted {wanted}");
    }
}

#[test]
fn gradients_are_those_of_log_psi() {
    let d = [0.3, -0.8, 0.6];
    for task in tasks() {
        task.check(3).unwrap();
        let (_, pull) = task.log_psi(&d, 0.6);
        close(&pull, &differences(|d| task.log_psi(d, 0.6).0, &d), 1.0e-7);
    }
    // Of what is missed by .2 and by 1.6 one below and one above where the variance begins to grow.
    let doubt = Doubt { variance: 0.6, growth: 0.8 };
    let said = |d: &[f64]| tasks()[1].log_psi(d, doubt);
    close(&said(&d).1, &differences(|d| said(d).0, &d), 1.0e-7);
    let one = |miss: f64| crate::target::log_normal(miss, 0.0, 0.04 + f64::max(0.6, 0.8 * miss.abs()));
    close(&[said(&d).0], &[one(0.2) + one(-1.6)], 1.0e-12);
}

/// b of a step of DDPM is its beta, and alpha the root of alpha bar.
#[test]
fn a_step_says_how_far_a_sample_is() {
    let at = |alpha_bar: f64| Noise { t: 0.5, alpha: alpha_bar.sqrt(), sigma: (1.0 - alpha_bar).sqrt() };
    let levels = [at(0.5), at(0.5 / 0.9), CLEAN_LEVEL];
    let task = || Task::Inpaint { mask: vec![true], known: vec![0.0], noise: 0.0 };
    let of = |spread| Twisting { spread, scale: 3.0, ..Twisting::new(task()) };
    let doubt = |spread, at| of(spread).doubt(&levels, at, 1.0);
    close(&[doubt(Spread::Step, 0).variance], &[3.0 * 0.1 / 0.5_f64.sqrt()], 1.0e-12);
    let residual = doubt(Spread::Residual, 0);
    close(&[residual.variance, residual.growth], &[0.3, 0.6], 1.0e-12);
    for spread in [Spread::Step, Spread::Residual] {
        assert_eq!(doubt(spread, 2), Doubt::default());
    }
}

const CLEAN_LEVEL: Noise = Noise { t: 0.0, alpha: 1.0, sigma: 0.0 };

#[test]
fn a_hessian_bends_as_differences_of_the_score_do() {
    let mixture = Target::Mixture(Mixture {
        dim: 3,
        weights: vec![0.3, 0.7],
        means: vec![-1.0, 0.0, 0.5, 1.0, 0.4, -0.3],
        scales: Scales::Diagonal(vec![0.4, 0.5, 0.6, 0.7, 0.3, 0.9]),
    });
    let (x, w) = ([0.2, -0.1, 0.7], [0.5, -1.0, 0.8]);
    let along = |x: &[f64]| mixture.score(x, 0.8, 0.5).iter().zip(&w).map(|(s, w)| s * w).sum();
    close(&mixture.bend(&x, &w, 0.8, 0.5), &differences(along, &x), 1.0e-7);
}

/// A clean state is told from one that is known very well.
#[test]
fn what_is_known_without_noise_says_nothing_at_the_end() {
    let pinned = Task::Inpaint { mask: vec![true, false], known: vec![1.0, 0.0], noise: 0.0 };
    assert_eq!(pinned.log_psi(&[9.0, 9.0], 0.0), (0.0, vec![0.0; 2]));
    assert!(pinned.log_psi(&[9.0, 9.0], 1.0e-4).0 < -1.0e5);
    let walls = Task::Inequalities { operator: vec![1.0], bounds: vec![0.5] };
    assert_eq!(walls.log_psi(&[0.4], 0.0).0, 0.0);
    assert_eq!(walls.log_psi(&[0.6], 0.0).0, f64::NEG_INFINITY);
    // Bounds are the walls that stand there.
    let bounds = Task::Bounds { lower: vec![f64::NEG_INFINITY], upper: vec![0.5] };
    for (at, variance) in [(0.4, 0.0), (0.6, 0.0), (0.4, 0.3), (0.6, 0.3)] {
        assert_eq!(bounds.log_psi(&[at], variance), walls.log_psi(&[at], variance));
    }
}

/// Each place counts once: where all places fit alike, ln of the mean is that of one of them.
#[test]
fn a_mean_over_places_counts_each_once() {
    let one = Task::Placement { motif: vec![1.0], offsets: vec![0], noise: 0.5 };
    let four = Task::Placement { motif: vec![1.0], offsets: vec![0, 1, 2, 3], noise: 0.5 };
    for variance in [0.0, 0.7] {
        let (alone, all) = (one.log_psi(&[0.2; 4], variance).0, four.log_psi(&[0.2; 4], variance).0);
        assert!((alone - all).abs() < 1.0e-12, "found {all}, wanted {alone}");
    }
}

/// Between training steps of a scheduler the chain is DDPM's own, from its betas (Ho, Jain, Abbeel 2020, equations 6 and 7,
/// over the steps that are left).
#[test]
fn a_respaced_chain_is_that_of_ddpm() {
    let text = r#"{"_class_name": "DDPMScheduler", "timestep_spacing": "leading"}"#;
    let (scheduler, _) = crate::unet::Scheduler::parse(std::path::Path::new("s.json"), text).unwrap();
    let steps = 20;
    let times = scheduler.noise_times(&scheduler.schedule, steps).unwrap();
    let mut kept = vec![1.0_f64];
    for i in 0..1000 {
        kept.push(kept[i] * (1.0 - (1.0e-4 + (0.02 - 1.0e-4) * f64::from(i as u32) / 999.0)));
    }
    let levels: Vec<f64> =
        scheduler.timesteps(steps).unwrap().into_iter().map(|i| kept[i + 1]).chain([1.0]).collect();
    let mut options = Options::new(crate::Method::Tds, scheduler.schedule);
    (options.steps, options.t_max, options.t_min) = (steps, times[0], times[steps - 1]);
    options.times = Some(times);
    for chain in [Chain::Forward, Chain::Posterior, Chain::Clipped, Chain::Truncated] {
        options.twisting = Some(Twisting { chain, ..Twisting::new(tasks().remove(0)) });
        let at = crate::coeffs::levels(&options).unwrap();
        let rows = crate::coeffs::steps(&options, &at, 3).unwrap();
        let mut before = f64::NAN;
        for ((c, at), pair) in rows.iter().zip(&at).zip(levels.windows(2)) {
            let (now, next) = (pair[0], pair[1]);
            let beta = 1.0 - now / next;
            // s = (alpha D - x)/sigma^2
            let found = [c.drift * at.alpha / (1.0 - now), c.shrink - c.drift / (1.0 - now), c.noise.powi(2)];
            let variance = match chain {
                Chain::Clipped if next == 1.0 => before,
                Chain::Posterior | Chain::Clipped => beta * (1.0 - next) / (1.0 - now),
                Chain::Truncated if next == 1.0 => 0.0,
                _ => beta,
            };
            let of_x = (now / next).sqrt() * (1.0 - next) / (1.0 - now);
            close(&found, &[next.sqrt() * beta / (1.0 - now), of_x, variance], 1.0e-9);
            before = variance;
        }
    }
    assert!(scheduler.noise_times(&scheduler.schedule, 1001).is_err());
    options.times = Some(vec![0.5; steps]);
    assert!(crate::coeffs::levels(&options).is_err());
}

/// What the kernel adds up is log psi, also of measurements of many components that know of each other: half of the square of
/// each turned component over its variance.
#[test]
fn filters_are_turned() {
    let bell = [1.0, 2.0, 1.0, 2.0, 4.0, 2.0, 1.0, 2.0, 1.0].map(|v| v / 16.0).to_vec();
    let blur = |side| Filter::new([1, side, side], bell.clone(), [3, 3], 1).unwrap();
    for filter in [blur(8), Filter::smaller([1, 28, 28], 4).unwrap(), blur(16)] {
        let (m, dim) = crate::Operator::sizes(&filter);
        let wave = |count: usize, by: f64| (0..count).map(|i| (by * i as f64).sin()).collect::<Vec<f64>>();
        let noise = (0..m).map(|i| 0.2 + 0.01 * (i % 7) as f64).collect();
        let twisting = Twisting::new(Task::measured(&filter, wave(m, 0.7), noise).unwrap());
        let levels = [(0.5, 2.0), (1.0, 0.0)].map(|(alpha, sigma)| Noise { t: 0.5, alpha, sigma });
        let numbers = twisting.numbers(&levels, dim, 0.8, (0, 0), &[]).unwrap();
        let d = wave(dim, 1.3);
        for (at, row) in numbers.rows.iter().enumerate() {
            // Behind 1/alpha and sigma^2 the constant, and a precision a component.
            let squares = numbers.params.chunks_exact(1 + dim).zip(&row[3..]).map(|(turned, precision)| {
                let turned: Vec<f64> = turned.iter().map(|v| f64::from(*v)).collect();
                -0.5 * f64::from(*precision) * (turned[0] - dot(&turned[1..], &d)).powi(2)
            });
            let (found, wanted) = (
                f64::from(row[2]) + squares.sum::<f64>(),
                twisting.task.log_psi(&d, twisting.doubt(&levels, at, 0.8)).0,
            );
            // Rows and precisions of f32.
            assert!((found - wanted).abs() < 1.0e-5 * wanted.abs(), "{m} x {dim}: {found} for {wanted}");
        }
    }
}
