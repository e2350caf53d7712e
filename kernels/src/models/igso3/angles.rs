//! The law of the angle of IGSO(3), in f64, and its table for devices: docs/maths.md (14.2).

use std::f64::consts::{PI, TAU};

use super::oracle::angle_density;

/// Nodes and weights of Gauss and Legendre on [-1, 1].
const GAUSS: [(f64, f64); 4] = [
    (0.183_434_642_495_649_8, 0.362_683_783_378_362),
    (0.525_532_409_916_329, 0.313_706_645_877_887_3),
    (0.796_666_477_413_626_7, 0.222_381_034_453_374_5),
    (0.960_289_856_497_536_3, 0.101_228_536_290_376_3),
];

/// Integral over [a, b] of a function that is smooth there.
pub(super) fn integral(f: impl Fn(f64) -> f64, a: f64, b: f64) -> f64 {
    let (middle, half) = (0.5 * (a + b), 0.5 * (b - a));
    half * GAUSS.iter().map(|(x, g)| g * (f(middle - half * x) + f(middle + half * x))).sum::<f64>()
}

/// The law of the angle: its distribution function and its quantiles.
#[derive(Clone, Debug)]
pub struct Angles {
    t: f64,
    width: f64,
    below: Vec<f64>,
    above: Vec<f64>,
}

impl Angles {
    /// Of variance `t`.
    pub fn new(t: f64) -> Self {
        const CELLS: usize = 96;
        // Beyond 12 standard deviations nothing is left of a Gaussian in f64.
        let width = PI.min(12.0 * t.sqrt()) / CELLS as f64;
        let cell = |i: usize| integral(|w| angle_density(w, t), i as f64 * width, (i + 1) as f64 * width);
        let (mut below, mut above) = (vec![0.0; CELLS + 1], vec![0.0; CELLS + 1]);
        for i in 0..CELLS {
            below[i + 1] = below[i] + cell(i);
            above[CELLS - 1 - i] = above[CELLS - i] + cell(CELLS - 1 - i);
        }
        Self { t, width, below, above }
    }

    /// Probability of an angle below `w`.
    pub fn below(&self, w: f64) -> f64 {
        let cells = self.below.len() - 1;
        let i = ((w / self.width) as usize).min(cells - 1);
        let end = w.min(cells as f64 * self.width);
        self.below[i] + integral(|w| angle_density(w, self.t), i as f64 * self.width, end)
    }

    /// The angle below which there is as much probability as below `z` in a standard normal law.
    pub fn quantile(&self, z: f64) -> f64 {
        // From the nearer end, so that no digit of a small probability is lost.
        let low = z < 0.0;
        let wanted = normal_below(-z.abs());
        let reached = |i: usize| if low { self.below[i] >= wanted } else { self.above[i] <= wanted };
        let cells = self.below.len() - 1;
        let cell = (1..cells).find(|i| reached(*i)).unwrap_or(cells) - 1;
        let (start, end) = (cell as f64 * self.width, (cell + 1) as f64 * self.width);
        let (mut a, mut b) = (start, end);
        for _ in 0..60 {
            let w = 0.5 * (a + b);
            let beyond = if low {
                self.below[cell] + integral(|w| angle_density(w, self.t), start, w) >= wanted
            } else {
                self.above[cell + 1] + integral(|w| angle_density(w, self.t), w, end) <= wanted
            };
            if beyond { b = w } else { a = w }
        }
        0.5 * (a + b)
    }

    /// Quantiles at normal numbers from -`REACH` to `REACH`, each with its slope times their distance.
    pub fn table(&self) -> Vec<f32> {
        let knot = |k: usize| {
            let z = f64::from(SPACING) * k as f64 - f64::from(REACH);
            let angle = self.quantile(z);
            let slope = f64::from(SPACING) * normal_density(z) / angle_density(angle, self.t);
            [angle as f32, slope as f32]
        };
        (0..KNOTS).flat_map(knot).collect()
    }
}

/// Normal numbers of the table: the largest of docs/maths.md (2) is 6.77.
pub const REACH: f32 = 7.0;
/// Their distance.
pub const SPACING: f32 = 0.031_25;
/// How many there are.
pub const KNOTS: usize = 449;

/// Density of the standard normal law.
pub fn normal_density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / TAU.sqrt()
}

/// Its probability below `z`, to 14 digits of itself below 0.
pub fn normal_below(z: f64) -> f64 {
    if z > 0.0 {
        return 1.0 - normal_below(-z);
    }
    if z > -2.0 {
        // phi(z) (z + z^3/3 + z^5/15 + ...)
        let terms = (1..60).scan(z, |term, k| {
            let own = *term;
            *term *= z * z / f64::from(2 * k + 1);
            Some(own)
        });
        return 0.5 + normal_density(z) * terms.sum::<f64>();
    }
    // Laplace's continued fraction, from its end.
    let rest = (1..200).rev().fold(-z, |rest, k| -z + f64::from(k) / rest);
    normal_density(z) / rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles_have_their_distribution() {
        for t in [0.01, 0.3, 1.0, 2.25, 9.0] {
            let angles = Angles::new(t);
            for w in [0.05, 0.3, 1.0, 2.0, 3.0, PI] {
                // The series, term by term.
                let own = |k: usize| if k == 0 { w } else { (k as f64 * w).sin() / k as f64 };
                let term = |l: usize| {
                    (2 * l + 1) as f64 * (-0.5 * (l * (l + 1)) as f64 * t).exp() * (own(l) - own(l + 1))
                };
                let wanted = (0..120).map(term).sum::<f64>() / PI;
                assert!((angles.below(w) - wanted).abs() < 1.0e-13, "t = {t}, w = {w}");
            }
            assert!((angles.below(PI) - 1.0).abs() < 1.0e-13);
            for z in [-6.8, -5.0, -2.0, -0.5, 0.0, 0.7, 2.0, 4.0] {
                let share = angles.below(angles.quantile(z));
                let wanted = normal_below(z);
                assert!((share - wanted).abs() < 1.0e-9 * wanted, "t = {t}, z = {z}: {share}, {wanted}");
            }
            assert!((angles.quantile(6.8) - PI).abs() < 1.0e-3 || t < 0.3);
        }
    }

    #[test]
    fn normal_probabilities_are_known() {
        // Abramowitz and Stegun, table 26.1 and 26.2.
        for (z, wanted) in [
            (0.0, 0.5),
            (-1.0, 0.158_655_253_931_457),
            (-2.0, 0.022_750_131_948_179),
            (-5.0, 2.866_515_719e-7),
        ] {
            assert!((normal_below(z) / wanted - 1.0).abs() < 1.0e-9, "{z}: {}", normal_below(z));
            assert!((normal_below(-z) - (1.0 - wanted)).abs() < 1.0e-12);
        }
        let gap = normal_below(-2.0 + 1.0e-12) / normal_below(-2.0 - 1.0e-12) - 1.0;
        assert!(gap.abs() < 1.0e-11, "{gap}");
    }

    #[test]
    fn tables_are_quantiles_between_their_knots() {
        for t in [1.0e-4, 0.01, 0.3, 2.25, 9.0] {
            let (angles, mut worst) = (Angles::new(t), 0.0_f64);
            let table = angles.table();
            for k in 0..KNOTS - 1 {
                let [start, slope, end, slope_end] = [0, 1, 2, 3].map(|i| f64::from(table[2 * k + i]));
                for s in [0.25, 0.5, 0.75] {
                    let (rise, r) = (end - start, 1.0 - s);
                    let found = start + rise * s + s * r * ((slope - rise) * r + (rise - slope_end) * s);
                    let wanted = angles.quantile(f64::from(SPACING) * (k as f64 + s) - f64::from(REACH));
                    worst = worst.max((found - wanted).abs());
                }
            }
            // docs/maths.md (14.2).
            assert!(worst < 5.0e-7, "t = {t}: {worst:e}");
        }
    }
}
