//! The tail of a set of weights: docs/maths.md (11.3).

use serde::Serialize;

/// Draws of which a generalised Pareto distribution is not fitted to the tail.
const FEWEST: usize = 5;

/// The tail of some weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tail {
    /// k^: moments of order 1/k and above are infinite.
    pub k: f64,
    /// ESS of the largest weights alone, those that k^ is fitted to.
    pub ess: f64,
    /// How many these are.
    pub count: usize,
}

/// How many of `draws` weights are their tail: min(0.2 S, 3 sqrt S), rounded up.
pub fn tail_length(draws: usize) -> usize {
    let s = draws as f64;
    (0.2 * s).min(3.0 * s.sqrt()).ceil() as usize
}

/// The k^ above which `draws` weights do not average out: min(1 - 1/log10 S, 0.7).
pub fn threshold(draws: usize) -> f64 {
    (1.0 - 1.0 / (draws.max(2) as f64).log10()).min(0.7)
}

/// The tail of `weights`, not negative, of any scale. `None` where they are too few or do not vary.
pub fn tail(weights: &[f64]) -> Option<Tail> {
    let count = tail_length(weights.len());
    if count < FEWEST || count >= weights.len() {
        return None;
    }
    let mut sorted = weights.to_vec();
    // The largest `count + 1` come last; the first of them is where the tail begins.
    let from = sorted.len() - count - 1;
    sorted.select_nth_unstable_by(from, f64::total_cmp);
    let largest = &mut sorted[from..];
    largest.sort_unstable_by(f64::total_cmp);
    let (edge, top) = (largest[0], largest[count]);
    if top.is_nan() || top <= 0.0 || top.is_infinite() {
        return None;
    }
    let (sum, square) =
        largest[1..].iter().fold((0.0, 0.0), |(s, q), w| (s + w / top, q + (w / top).powi(2)));
    let excess: Vec<f64> = largest[1..].iter().map(|w| (w - edge) / top).filter(|e| *e > 0.0).collect();
    let k = shape(&excess)?;
    Some(Tail { k, ess: sum * sum / square, count })
}

/// The heaviest of several tails.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Heaviest {
    /// The step (0-based) after which there was a resampling by these weights.
    pub step: usize,
    /// Their tail.
    pub tail: Tail,
    /// Resamplings whose weights had a tail.
    pub of: usize,
}

/// The heaviest tail of weights `exp(log_w)`, each set with its step; `None` where none has a tail.
pub fn heaviest<'a>(sets: impl Iterator<Item = (usize, &'a [f32])>) -> Option<Heaviest> {
    let mut of = 0;
    let mut worst: Option<(usize, Tail)> = None;
    for (step, log_w) in sets {
        let top = log_w.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f64> = log_w.iter().map(|l| f64::from(l - top).exp()).collect();
        let Some(found) = tail(&weights) else { continue };
        of += 1;
        if worst.is_none_or(|(_, before)| found.k > before.k) {
            worst = Some((step, found));
        }
    }
    worst.map(|(step, tail)| Heaviest { step, tail, of })
}

/// k^ of a generalised Pareto distribution by the posterior mean of Zhang and Stephens, drawn towards 1/2 as by ten
/// draws more; `excess` is above zero and ascending.
pub fn shape(excess: &[f64]) -> Option<f64> {
    let n = excess.len();
    let (first, last) = (*excess.first()?, *excess.last()?);
    if n < FEWEST || first <= 0.0 || last - first < 1.0e-12 * last {
        return None;
    }
    let quartile = excess[((n as f64 / 4.0 + 0.5).floor() as usize).max(1) - 1];
    let points = 30 + (n as f64).sqrt().floor() as usize;
    let grid: Vec<f64> = (1..=points)
        .map(|j| 1.0 / last + (1.0 - (points as f64 / (j as f64 - 0.5)).sqrt()) / (3.0 * quartile))
        .collect();
    let k_of = |theta: f64| excess.iter().map(|x| (-theta * x).ln_1p()).sum::<f64>() / n as f64;
    let log_profile: Vec<f64> = grid
        .iter()
        .map(|&theta| {
            let k = k_of(theta);
            n as f64 * ((-theta / k).ln() - k - 1.0)
        })
        .collect();
    let best = log_profile.iter().copied().filter(|l| l.is_finite()).fold(f64::NEG_INFINITY, f64::max);
    let (mut mass, mut theta) = (0.0, 0.0);
    for (t, l) in grid.iter().zip(&log_profile).filter(|(_, l)| l.is_finite()) {
        let weight = (l - best).exp();
        mass += weight;
        theta += weight * t;
    }
    let n = n as f64;
    let k = k_of(theta / mass);
    k.is_finite().then_some((n * k + 5.0) / (n + 10.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles of a generalised Pareto distribution of scale 1, in the middle of `n` equal shares.
    fn quantiles(k: f64, n: usize) -> Vec<f64> {
        let at = |i: usize| 1.0 - (i as f64 + 0.5) / n as f64;
        (0..n).map(|i| if k == 0.0 { -at(i).ln() } else { (at(i).powf(-k) - 1.0) / k }).collect()
    }

    #[test]
    fn the_shape_of_pareto_quantiles() {
        for k in [-0.3, 0.0, 0.2, 0.5, 0.7, 1.0, 1.5] {
            for n in [50, 400, 5000] {
                let found = shape(&quantiles(k, n)).unwrap();
                // The prior of ten draws at 1/2 is known; the estimate itself is off by a few over n.
                let wanted = (n as f64 * k + 5.0) / (n as f64 + 10.0);
                assert!((found - wanted).abs() < 0.02 + 5.0 / n as f64, "{found} for {wanted}, {n}");
            }
        }
    }

    /// The posterior mean by brute force: the profile likelihood, maximised over the scale by bisection of its
    /// derivative, on the same points.
    #[test]
    fn the_profile_is_a_likelihood() {
        let x = quantiles(0.4, 60);
        let n = x.len() as f64;
        for theta in [-2.0, -0.7, -0.2, 0.3 / x[59]] {
            let k = x.iter().map(|x| (-theta * x).ln_1p()).sum::<f64>() / n;
            // With scale = -k/theta the density is (1/s) (1 + k x/s)^(-1/k - 1); any other k is no better.
            let log_likelihood = |k: f64| {
                let scale = -k / theta;
                x.iter().map(|x| -scale.ln() - (1.0 / k + 1.0) * (k * x / scale).ln_1p()).sum::<f64>()
            };
            let own = n * ((-theta / k).ln() - k - 1.0);
            assert!((log_likelihood(k) - own).abs() < 1.0e-9 * own.abs().max(1.0));
            assert!(own >= log_likelihood(1.02 * k) && own >= log_likelihood(0.98 * k));
        }
    }

    #[test]
    fn the_heaviest_is_found() {
        let log = |k: f64| -> Vec<f32> {
            quantiles(k, 2000).iter().map(|x| (0.1 + x).ln() as f32 - 80.0).collect()
        };
        let (mild, heavy) = (log(0.2), log(0.9));
        let even = vec![-3.0_f32; 2000];
        let sets = [(3, &even[..]), (4, &mild[..]), (7, &heavy[..]), (9, &mild[..])];
        let found = heaviest(sets.into_iter()).unwrap();
        assert_eq!((found.step, found.of), (7, 3));
        let alone: Vec<f64> = heavy.iter().map(|l| f64::from(*l).exp()).collect();
        assert!((found.tail.k - tail(&alone).unwrap().k).abs() < 1.0e-4, "{found:?}");
        assert_eq!(heaviest([(3, &even[..])].into_iter()), None);
        assert_eq!(heaviest(std::iter::empty()), None);
    }

    #[test]
    fn tails_of_weights() {
        assert_eq!((tail_length(100), tail_length(10_000), tail_length(20)), (20, 300, 4));
        assert!((threshold(100) - 0.5).abs() < 1.0e-12 && (threshold(1 << 20) - 0.7).abs() < 1.0e-12);
        assert_eq!(tail(&[1.0; 1000]), None, "weights that do not vary");
        assert_eq!(tail(&[1.0, 2.0, 3.0]), None, "too few");
        assert_eq!(tail(&[0.0; 1000]), None, "no weight");
        // Scale and order do not matter; u^-k has tail k.
        for k in [0.3, 0.8] {
            let mut weights: Vec<f64> = (0..20_000).map(|i| ((i as f64 + 0.5) / 20_000.0).powf(-k)).collect();
            let found = tail(&weights).unwrap();
            assert!((found.k - k).abs() < 0.05, "{found:?} for {k}");
            assert_eq!(found.count, 425);
            weights.reverse();
            weights.iter_mut().for_each(|w| *w *= 1.0e-30);
            let other = tail(&weights).unwrap();
            assert!((other.k - found.k).abs() < 1.0e-9 && (other.ess - found.ess).abs() < 1.0e-6);
        }
        let mut one = vec![1.0e-9; 1000];
        one[3] = 1.0;
        assert!(tail(&one).is_none_or(|t| t.ess < 1.01));
    }
}
