//! Closed forms that samplers are judged by: targets, their products by quadrature, and what a run
//! estimates of them.

use feynkac::Target;

pub use crate::experiments::line::{
    Moments, estimate, gaussian, mixture, model, product, q1, q2, quadrature, target,
};
pub use crate::experiments::normalised;

/// Mean of exp(log_z) over Z, and its standard error, from independent groups.
pub fn evidence(log_z: &[f64], exact: f64) -> (f64, f64) {
    let z: Vec<f64> = log_z.iter().map(|l| (l - exact).exp()).collect();
    let n = z.len() as f64;
    let mean = z.iter().sum::<f64>() / n;
    let variance = z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

#[test]
fn quadrature_of_a_gaussian() {
    // N(.3, 3)^1.5: mean .3, variance 2, integral by the closed form of a power of a Gaussian.
    let q = target(&gaussian());
    let found = product(&[(&q, 1.5)], 1.0, 0.0);
    let tau = std::f64::consts::TAU;
    let log_z = -0.25 * tau.ln() - 0.25 * 3.0_f64.ln() - 0.5 * 1.5_f64.ln();
    assert!((found.mean - 0.3).abs() < 1.0e-12 && (found.variance - 2.0).abs() < 1.0e-12);
    assert!((found.log_z - log_z).abs() < 1.0e-12);
}

#[test]
fn quadrature_of_the_mixtures() {
    // Three decimals of an independent quadrature: mean, variance, log Z.
    let (a, b, n) = (target(&q1()), target(&q2()), target(&gaussian()));
    type Case<'a> = (&'a [(&'a Target, f64)], [f64; 3]);
    let cases: [Case; 4] = [
        (&[(&a, 1.5)], [0.376, 1.430, -0.787]),
        (&[(&a, 0.5)], [0.272, 2.516, 0.877]),
        (&[(&n, -1.0), (&a, 2.0)], [0.391, 1.568, 0.169]),
        (&[(&a, 0.5), (&b, 0.5)], [0.529, 1.495, -0.0311]),
    ];
    for (models, [mean, variance, log_z]) in cases {
        let found = product(models, 1.0, 0.01);
        let off = [found.mean - mean, found.variance - variance, found.log_z - log_z];
        assert!(off.iter().all(|o| o.abs() < 6.0e-4), "{off:?}");
    }
}

#[test]
fn laplacian_is_the_divergence_of_the_score() {
    let two = "kind = 'mixture'\nweights = [0.3, 0.7]\nmeans = [[-1.0, 0.5], [1.2, 0.1]]\nscales = [[0.7, 0.4], [0.5, 1.1]]\n";
    let full = "kind = 'gaussian'\nmean = [0.2, -0.3]\ncovariance = [[2.0, 0.5], [0.5, 1.0]]\n";
    for q in [target(two), target(full)] {
        for x in [[0.3, -0.4], [-2.0, 1.0], [1.1, 0.2]] {
            // Central differences: truncation h^2, rounding eps / h.
            let h = 1.0e-5;
            let wanted: f64 = (0..2)
                .map(|d| {
                    let at = |h: f64| {
                        let mut x = x;
                        x[d] += h;
                        q.score(&x, 0.8, 0.3)[d]
                    };
                    (at(h) - at(-h)) / (2.0 * h)
                })
                .sum();
            let found = q.laplacian(&x, 0.8, 0.3);
            assert!((found - wanted).abs() < 1.0e-7 * (1.0 + wanted.abs()), "{found} for {wanted}");
        }
    }
}
