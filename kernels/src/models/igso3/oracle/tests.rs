//! The two sums against each other, against quadrature, differences and the heat equation.

use super::*;
use crate::models::igso3::angles::integral;
use crate::prims::philox::oracle::{Stream, normal};
use crate::prims::so3::oracle::{IDENTITY, angle, exp, uniform};

/// Integral over the angles of this function, by cells.
fn over_angles(f: impl Fn(f64) -> f64) -> f64 {
    let width = PI / 400.0;
    (0..400).map(|i| integral(&f, f64::from(i) * width, f64::from(i + 1) * width)).sum()
}

fn normals(slot: u32, step: u32) -> [f64; 4] {
    std::array::from_fn(|k| normal(Stream { seed: 5, slot, step, tag: 0 }, k, 4))
}

const VARIANCES: [f64; 9] = [1.0e-3, 0.01, 0.1, 0.3, 0.499, 0.5, 1.0, 2.25, 9.0];

#[test]
fn densities_integrate_to_one() {
    for t in VARIANCES {
        let total = over_angles(|w| angle_density(w, t));
        assert!((total - 1.0).abs() < 1.0e-12, "t = {t}: {total}");
    }
}

#[test]
fn series_and_images_are_the_same() {
    for t in [0.3, 0.5, 1.0, 2.25] {
        for i in 1..=40 {
            let w = PI * f64::from(i) / 40.0;
            let off = (series(w, t) - wrapped(w, t)).abs();
            // What cancels in the series is of the size of its sum at angle 0.
            assert!(
                off < 1.0e-15 * series(0.0, t) + 1.0e-14 * wrapped(w, t),
                "t = {t}, w = {w}: off by {off:e}"
            );
        }
    }
    // So are the pulls on either side of the change.
    for w in [0.0, 1.0e-3, 9.9e-3, 1.1e-2, 0.5, 2.0, 3.0, PI] {
        let (images, series) = (pull(w, SERIES_FROM - 1.0e-12), pull(w, SERIES_FROM));
        assert!((images - series).abs() < 1.0e-10, "w = {w}: {images}, {series}");
    }
}

#[test]
fn pulls_are_slopes_of_the_log_density() {
    for t in VARIANCES {
        for i in 1..30 {
            let w = PI * f64::from(i) / 30.0;
            if density(w, t) < 1.0e-200 {
                continue;
            }
            let h = 1.0e-5 * w;
            let slope = (density(w + h, t).ln() - density(w - h, t).ln()) / (2.0 * h);
            let off = (w * pull(w, t) - slope).abs();
            assert!(off < 1.0e-7 * (1.0 + w / t), "t = {t}, w = {w}: off by {off:e}");
        }
        // A rotation by pi is as far as any: nothing pulls.
        assert!(pull(PI, t).abs() < 1.0e-9 / t, "t = {t}");
        // Near the mean: docs/maths.md (14g).
        if t < 0.5 {
            assert!((pull(1.0e-3, t) + 1.0 / t - 1.0 / 12.0).abs() < 1.0e-8 / t, "t = {t}");
        }
    }
}

#[test]
fn scores_are_gradients_in_the_axes_of_the_rotation() {
    for (slot, t) in (0..30).zip(VARIANCES.into_iter().skip(2).cycle()) {
        let mean = uniform(normals(slot, 0));
        let [x, y, z, _] = normals(slot, 1);
        let q = retract(mean, [x, y, z].map(|v| 0.5 * v));
        let found = score(mean, q, t);
        let h = 1.0e-5;
        for axis in 0..3 {
            let at = |h: f64| {
                let mut step = [0.0; 3];
                step[axis] = h;
                density(angle(mean, retract(q, step)), t).ln()
            };
            let wanted = (at(h) - at(-h)) / (2.0 * h);
            let off = (found[axis] - wanted).abs();
            assert!(off < 1.0e-8 / t, "t = {t}: {} for {wanted}", found[axis]);
        }
    }
}

/// d/dt f = 1/2 (f'' + cot(w/2) f'), divided by f.
#[test]
fn densities_obey_the_heat_equation() {
    for t in [0.1, 0.3, 0.7, 1.0, 2.25] {
        for w in [0.3, 1.0, 2.0, 2.9] {
            let h = 1.0e-4;
            let rate = (density(w, t + h * t).ln() - density(w, t - h * t).ln()) / (2.0 * h * t);
            let slope = |w: f64| w * pull(w, t);
            let bend = (slope(w + h) - slope(w - h)) / (2.0 * h);
            let wanted = 0.5 * (bend + slope(w).powi(2) + slope(w) / (0.5 * w).tan());
            assert!(
                (rate - wanted).abs() < 1.0e-5 * (1.0 + wanted.abs()),
                "t = {t}, w = {w}: {rate}, {wanted}"
            );
        }
    }
}

/// E (1 + 2 cos w) = 3 exp(-t); a walk of 200 geodesic steps is nearly there.
#[test]
fn walks_along_geodesics_become_igso3() {
    let t = 0.5;
    let exact = 0.5 * (3.0 * f64::exp(-t) - 1.0);
    assert!((exact - 0.4098).abs() < 5.0e-5);
    assert!((over_angles(|w| w.cos() * angle_density(w, t)) - exact).abs() < 1.0e-12);
    let (n, steps) = (10_000, 200);
    let size = (t / f64::from(steps)).sqrt();
    let cosines = (0..n).map(|slot| {
        let step = |q, step| {
            let [x, y, z, _] = normals(slot, step);
            retract(q, [x, y, z].map(|v| size * v))
        };
        angle(IDENTITY, (0..steps).fold(IDENTITY, step)).cos()
    });
    let mean = cosines.sum::<f64>() / f64::from(n);
    // The standard deviation of cos w is 0.47: four standard errors are 0.019. The bias of the steps, t v/12 of
    // E (1 + 2 cos w), is 2e-4.
    assert!((mean - exact).abs() < 0.019, "{mean}");
}

/// Tweedie's formula is exact to first order in the variances: the mean tangent vector from q to the clean rotation,
/// by quadrature, beside noise times score.
#[test]
fn denoised_rotations_are_posterior_means_to_first_order() {
    let off = |own: f64, noise: f64| {
        let w = 1.5 * (own + noise).sqrt();
        let q = exp([w, 0.0, 0.0]);
        // Clean rotations exp(x, r, 0): turned about the first axis they are all of them.
        let (mut sum, mut mass) = (0.0, 0.0);
        let (cells, reach) = (160, 7.0 * own.sqrt());
        for i in 0..2 * cells {
            for j in 0..cells {
                let at = |i: i32| (f64::from(i) + 0.5) * reach / f64::from(cells);
                let (x, r) = (at(i - cells), at(j));
                let clean = exp([x, r, 0.0]);
                let own_angle = x.hypot(r);
                let volume = r * (2.0 * (0.5 * own_angle).sin() / own_angle).powi(2);
                let p = volume * density(own_angle, own) * density(angle(clean, q), noise);
                mass += p;
                sum += p * between(q, clean)[0];
            }
        }
        let wanted = sum / mass;
        let found = noise * score(IDENTITY, q, own + noise)[0];
        assert!(
            (angle(IDENTITY, denoised(q, noise, [found / noise, 0.0, 0.0])) - (w + found)).abs() < 1.0e-12
        );
        (found / wanted - 1.0).abs()
    };
    let (large, small) = (off(0.08, 0.08), off(0.04, 0.04));
    assert!(large < 0.02 && small < 0.6 * large, "{large}, {small}");
}
