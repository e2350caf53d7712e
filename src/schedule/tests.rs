//! Schedules against finite differences, inverses and a closed form; grids against their own promises.

use super::*;
use proptest::prelude::*;

pub(super) fn schedules() -> Vec<Schedule> {
    vec![
        Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 },
        Schedule::Edm,
        Schedule::VpLinear { b0: 0.1, b1: 20.0 },
        Schedule::VpLinear { b0: 2.0, b1: 2.0 },
        Schedule::VpCosine { c: 0.008 },
        Schedule::VpCosine { c: 0.0 },
        Schedule::RectifiedFlow,
    ]
}

/// A dozen times inside the default range, equally spaced in lambda.
pub(super) fn some_times(schedule: &Schedule) -> Vec<f64> {
    let (t_max, t_min) = schedule.default_range();
    Grid::LogSnr.times(schedule, 11, t_max, t_min).unwrap()
}

pub(super) fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1e-300)
}

#[test]
fn known_values() {
    let vp = Schedule::VpLinear { b0: 0.1, b1: 20.0 };
    assert!(close(vp.alpha(1.0), (-5.025f64).exp(), 1e-15));
    assert!(close(vp.sigma(1.0), (1.0 - (-10.05f64).exp()).sqrt(), 1e-15));
    let ve = Schedule::Ve { sigma_min: 0.01, sigma_max: 100.0 };
    assert!(close(ve.sigma(0.5), 1.0, 1e-14));
    assert_eq!(ve.alpha(0.5), 1.0);
    assert!(close(ve.diffusion_sq(0.5), 2.0 * 1e4f64.ln(), 1e-14));
    let cosine = Schedule::VpCosine { c: 0.0 };
    assert!(close(cosine.alpha(0.5), 0.5f64.sqrt(), 1e-15));
    assert!(close(cosine.sigma(0.5), 0.5f64.sqrt(), 1e-15));
    let flow = Schedule::RectifiedFlow;
    assert_eq!((flow.alpha(0.25), flow.sigma(0.25)), (0.75, 0.25));
    assert!(close(flow.diffusion_sq(0.25), 2.0 / 3.0, 1e-15));
    assert_eq!((Schedule::Edm.sigma(3.0), Schedule::Edm.diffusion_sq(3.0)), (3.0, 6.0));
}

#[test]
fn rates_are_the_derivatives_of_the_levels() {
    // central differences of step t h: truncation O(h^2) times a third derivative of order 10/t^3, rounding
    // eps/h; 1e-7 relative covers both at h = 1e-5
    for schedule in schedules() {
        for t in some_times(&schedule).into_iter().filter(|t| *t > 0.0) {
            let h = 1e-5 * t.min(1.0 - t).abs().max(1e-3 * t);
            let slope = |f: &dyn Fn(f64) -> f64| (f(t + h) - f(t - h)) / (2.0 * h);
            if t + h >= 1.0 && schedule != Schedule::Edm {
                continue; // the far side has left the domain
            }
            let a = slope(&|t| schedule.log_alpha(t));
            assert!(
                (a - schedule.drift_rate(t)).abs() <= 1e-7 * (1.0 + a.abs()),
                "{schedule} at {t}: a = {}, difference {a}",
                schedule.drift_rate(t)
            );
            // g^2 = 2 sigma sigma' - 2 a sigma^2, and g^2 = 2 sigma^2 lambda'
            let sigma = schedule.sigma(t);
            let one =
                2.0 * sigma * slope(&|t| schedule.sigma(t)) - 2.0 * schedule.drift_rate(t) * sigma * sigma;
            let two = 2.0 * sigma * sigma * slope(&|t| schedule.log_noise_ratio(t));
            for g2 in [one, two] {
                assert!(
                    close(g2, schedule.diffusion_sq(t), 1e-6),
                    "{schedule} at {t}: g^2 = {}, difference {g2}",
                    schedule.diffusion_sq(t)
                );
            }
        }
    }
}

#[test]
fn levels_agree_with_each_other() {
    for schedule in schedules() {
        for t in some_times(&schedule) {
            let (alpha, sigma) = (schedule.alpha(t), schedule.sigma(t));
            assert!((schedule.log_alpha(t) - alpha.ln()).abs() <= 1e-14 * (1.0 + alpha.ln().abs()));
            assert!((schedule.log_noise_ratio(t) - (sigma / alpha).ln()).abs() <= 1e-13, "{schedule} at {t}");
            if matches!(schedule, Schedule::VpLinear { .. } | Schedule::VpCosine { .. }) {
                assert!((alpha * alpha + sigma * sigma - 1.0).abs() <= 1e-14, "{schedule} at {t}");
            }
        }
    }
}

#[test]
fn time_at_inverts_lambda() {
    for schedule in schedules() {
        let (t_max, t_min) = schedule.default_range();
        for i in 0..=1000 {
            let t = t_min + (t_max - t_min) * f64::from(i) / 1000.0;
            let back = schedule.time_at(schedule.log_noise_ratio(t));
            // lambda of size 10 is known to 1e-15 absolutely, and dt/t is at most 2 dlambda times (1-t)^-1
            assert!((back - t).abs() <= 2e-14 * t.max(0.1), "{schedule}: {t} came back as {back}");
        }
        // small times keep their relative precision where lambda is not cancelling
        if !matches!(schedule, Schedule::Ve { .. }) {
            for t in [1e-8, 1e-6, 1e-4] {
                let back = schedule.time_at(schedule.log_noise_ratio(t));
                assert!(close(back, t, 1e-13), "{schedule}: {t} came back as {back}");
            }
        }
    }
}

#[test]
fn extreme_lambdas_stay_in_the_domain() {
    for schedule in schedules() {
        for lambda in [-1e4, -700.0, -50.0, 50.0, 400.0, 1e4] {
            let t = schedule.time_at(lambda);
            assert!(!t.is_nan(), "{schedule} at lambda {lambda}");
            if matches!(schedule, Schedule::VpCosine { .. } | Schedule::RectifiedFlow) {
                assert!((0.0..=1.0 + 1e-15).contains(&t), "{schedule}: {t}");
            }
        }
    }
}

#[test]
fn grids_fall_strictly_from_end_to_end() {
    let grids = [Grid::Uniform, Grid::EdmRho { rho: 7.0 }, Grid::EdmRho { rho: 1.0 }, Grid::LogSnr];
    for schedule in schedules() {
        let (t_max, t_min) = schedule.default_range();
        for grid in grids {
            for steps in [1, 2, 3, 17, 1000] {
                let times = grid.times(&schedule, steps, t_max, t_min).unwrap();
                assert_eq!(times.len(), steps + 1);
                assert_eq!((times[0], times[steps]), (t_max, t_min));
                assert!(times.windows(2).all(|p| p[1] < p[0]), "{schedule}, {grid}, {steps}");
            }
        }
        // what each grid is uniform in
        let even = |f: &dyn Fn(f64) -> f64, grid: Grid| {
            let f: Vec<f64> = grid.times(&schedule, 40, t_max, t_min).unwrap().into_iter().map(f).collect();
            let step = (f[0] - f[40]) / 40.0;
            assert!(f.windows(2).all(|p| (p[0] - p[1] - step).abs() <= 1e-10 * step), "{schedule}, {grid}");
        };
        even(&|t| t, Grid::Uniform);
        even(&|t| schedule.log_noise_ratio(t), Grid::LogSnr);
        even(&|t| schedule.log_noise_ratio(t).exp().powf(1.0 / 7.0), Grid::EdmRho { rho: 7.0 });
    }
    // the numbers of Karras et al. with N = 5: sigma_i from 80 to 0.002
    let times = Grid::EdmRho { rho: 7.0 }.times(&Schedule::Edm, 4, 80.0, 0.002).unwrap();
    let one = (0.75 * 80f64.powf(1.0 / 7.0) + 0.25 * 0.002f64.powf(1.0 / 7.0)).powi(7);
    assert!(close(times[1], one, 1e-13));
}

#[test]
fn bad_values_are_named() {
    let ve = |sigma_min, sigma_max| Schedule::Ve { sigma_min, sigma_max };
    for (bad, key) in [
        (ve(0.0, 1.0), "sigma_min"),
        (ve(f64::NAN, 1.0), "sigma_min"),
        (ve(2.0, 1.0), "sigma_max"),
        (ve(1.0, 1.0), "sigma_max"),
        (ve(1.0, f64::INFINITY), "sigma_max"),
        (Schedule::VpLinear { b0: 0.0, b1: 1.0 }, "b0"),
        (Schedule::VpLinear { b0: 2.0, b1: 1.0 }, "b1"),
        (Schedule::VpLinear { b0: 2.0, b1: f64::NAN }, "b1"),
        (Schedule::VpCosine { c: 1.0 }, "c"),
        (Schedule::VpCosine { c: -0.1 }, "c"),
    ] {
        let message = bad.validate().unwrap_err().to_string();
        assert!(message.starts_with(&format!("{key} of the {} schedule: found", bad.name())), "{message}");
    }
    let flow = Schedule::RectifiedFlow;
    for (schedule, t_max, t_min, named) in [
        (flow, 1.0, 0.001, "t_max"),
        (flow, f64::NAN, 0.001, "t_max"),
        (flow, 0.9, 0.0, "t_min"),
        (flow, 0.9, f64::NAN, "t_min"),
        (flow, 0.5, 0.5, "the time range"),
        (flow, 0.2, 0.5, "the time range"),
        (ve(0.1, 1.0), 1.1, 0.0, "t_max"),
        (ve(0.1, 1.0), 1.0, -0.1, "t_min"),
        (Schedule::Edm, f64::INFINITY, 0.1, "t_max"),
        (Schedule::Edm, 1e10, 0.1, "t_max"),
        (Schedule::Edm, 1.0, 1e-10, "t_min"),
        (Schedule::VpCosine { c: 0.008 }, 1.0, 0.1, "t_max"),
    ] {
        let message = Grid::Uniform.times(&schedule, 3, t_max, t_min).unwrap_err().to_string();
        assert!(message.starts_with(named), "{named}: {message}");
    }
    for (grid, steps) in [
        (Grid::LogSnr, 0),
        (Grid::LogSnr, MAX_STEPS + 1),
        (Grid::EdmRho { rho: 0.5 }, 3),
        (Grid::EdmRho { rho: f64::NAN }, 3),
    ] {
        assert!(grid.times(&flow, steps, 0.9, 0.1).is_err(), "{grid}, {steps}");
    }
    // more steps than there are numbers between the ends
    let tight = Grid::LogSnr.times(&flow, 1000, 0.5 + 1e-14, 0.5).unwrap_err();
    assert!(tight.to_string().contains("steps of the log-snr grid"), "{tight}");
    assert!(Preconditioning::Edm { sigma_data: 0.0 }.validate().is_err());
}

proptest! {
    #[test]
    fn any_range_is_a_falling_grid_or_an_error(
        which in 0usize..7, grid in 0usize..3, steps in 1usize..200,
        a in -0.5f64..1.5, b in -0.5f64..1.5,
    ) {
        let schedule = schedules()[which];
        let grid = [Grid::Uniform, Grid::EdmRho { rho: 7.0 }, Grid::LogSnr][grid];
        if let Ok(times) = grid.times(&schedule, steps, a, b) {
            prop_assert_eq!(times.len(), steps + 1);
            prop_assert!(times.windows(2).all(|p| p[1] < p[0]));
            prop_assert!(times[0] == a && times[steps] == b);
        } else {
            prop_assert!(schedule.check_range(a, b).is_err() || a - b < 1e-9);
        }
    }
}
