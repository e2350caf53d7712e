//! Closed forms that samplers are judged by: targets, their products by quadrature, and what a run
//! estimates of them.

use feynkac::run::Outcome;
use feynkac::{Model, Target};

/// A target from its TOML text.
pub fn target(toml: &str) -> Target {
    Target::parse("test.toml".as_ref(), toml).expect("a target").0
}

/// The same, as a model.
pub fn model(toml: &str) -> Model {
    Model::Analytic(target(toml))
}

/// A mixture on the line; variances, not standard deviations.
pub fn mixture(weights: &[f64], means: &[f64], variances: &[f64]) -> String {
    let means: Vec<[f64; 1]> = means.iter().map(|&m| [m]).collect();
    let scales: Vec<f64> = variances.iter().map(|v| v.sqrt()).collect();
    format!("kind = 'mixture'\nweights = {weights:?}\nmeans = {means:?}\nscales = {scales:?}\n")
}

/// .4 N(-1, .5) + .6 N(1.2, .6).
pub fn q1() -> String {
    mixture(&[0.4, 0.6], &[-1.0, 1.2], &[0.5, 0.6])
}

/// .7 N(.2, .9) + .3 N(1.8, .7).
pub fn q2() -> String {
    mixture(&[0.7, 0.3], &[0.2, 1.8], &[0.9, 0.7])
}

/// N(.3, 3).
pub fn gaussian() -> String {
    "kind = 'gaussian'\nmean = [0.3]\ncovariance = [[3.0]]\n".to_owned()
}

/// Mean, variance and log-integral of an unnormalised density on the line.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    pub mean: f64,
    pub variance: f64,
    pub log_z: f64,
}

/// Moments of prod q_i^beta_i at a noise level, by the trapezoid rule. For an analytic integrand that has
/// died away at both ends its error falls exponentially in the number of points: none is left here.
pub fn product(models: &[(&Target, f64)], alpha: f64, sigma: f64) -> Moments {
    quadrature(sigma, |x| models.iter().map(|(q, b)| b * q.log_density(&[x], alpha, sigma)).sum())
}

/// The same of any log-density on the line, at noise `sigma`.
pub fn quadrature(sigma: f64, log_p: impl Fn(f64) -> f64) -> Moments {
    const POINTS: usize = 20_001;
    let half = 25.0 + 25.0 * sigma;
    let h = 2.0 * half / (POINTS - 1) as f64;
    let grid: Vec<(f64, f64)> = (0..POINTS)
        .map(|i| {
            let x = -half + h * i as f64;
            (x, log_p(x))
        })
        .collect();
    let top = grid.iter().map(|(_, l)| *l).fold(f64::NEG_INFINITY, f64::max);
    assert!(grid[0].1 < top - 30.0 && grid[POINTS - 1].1 < top - 30.0, "the grid holds all of the density");
    let moment = |f: &dyn Fn(f64) -> f64| grid.iter().map(|(x, l)| f(*x) * (l - top).exp()).sum::<f64>();
    let mass = moment(&|_| 1.0);
    let mean = moment(&|x| x) / mass;
    let variance = moment(&|x| (x - mean).powi(2)) / mass;
    Moments { mean, variance, log_z: top + (mass * h).ln() }
}

/// Weighted mean and variance of the first coordinate of group `group`, and its log-evidence.
pub fn estimate(out: &Outcome, group: usize, groups: usize) -> Moments {
    let k = out.log_w.len() / groups;
    let own = group * k..(group + 1) * k;
    let weights = normalised(&out.log_w[own.clone()]);
    let x = || own.clone().map(|i| f64::from(out.x[i * out.dim])).zip(&weights);
    let mean = x().map(|(x, w)| w * x).sum::<f64>();
    let variance = x().map(|(x, w)| w * (x - mean).powi(2)).sum();
    Moments { mean, variance, log_z: out.log_z[group] }
}

/// Weights that sum to one.
pub fn normalised(log_w: &[f32]) -> Vec<f64> {
    let top = log_w.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let w: Vec<f64> = log_w.iter().map(|&l| (f64::from(l) - f64::from(top)).exp()).collect();
    let total: f64 = w.iter().sum();
    w.iter().map(|w| w / total).collect()
}

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
