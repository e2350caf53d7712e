//! Mixtures of IGSO(3), in f64: docs/maths.md (14.4).

use std::f64::consts::PI;

use super::{coefficients, images, pull, series};
use crate::models::igso3::mixture::Component;
use crate::prims::so3::oracle::{Quaternion, Tangent, between, length, retract, rotate};

/// ln f(w, t), the images without dividing by what underflows.
pub fn ln_density(w: f64, t: f64) -> f64 {
    if t >= super::SERIES_FROM {
        return series(w, t).ln();
    }
    let over_sine = if w < 1.0e-6 {
        1.0
    } else {
        images(w, t).map(|(u, e)| u * e).sum::<f64>() / (2.0 * (0.5 * w).sin())
    };
    0.5 * PI.ln() - 1.5 * (0.5 * t).ln() + t / 8.0 - 0.5 * w * w / t + over_sine.ln()
}

/// p'(w)/w: how fast what a tangent vector is multiplied by changes.
pub fn bend(w: f64, t: f64) -> f64 {
    if t >= super::SERIES_FROM {
        let sum = |part: &dyn Fn(f64) -> f64| -> f64 {
            coefficients(t).map(|(l, c)| c * 2.0 * (1..=l).map(|k| part(k as f64)).sum::<f64>()).sum()
        };
        if w < 1.0e-3 {
            // Even powers: f = f0 + f2 w^2/2 + f4 w^4/24.
            let (f0, f2, f4) = (series(0.0, t), sum(&|k| -k * k), sum(&|k| k.powi(4)));
            return f4 / (3.0 * f0) - (f2 / f0).powi(2);
        }
        let f = series(w, t);
        let slope = sum(&|k| -k * (k * w).sin()) / f;
        let second = sum(&|k| -k * k * (k * w).cos()) / f;
        (second - slope * slope - slope / w) / (w * w)
    } else if w < 5.0e-2 {
        // Other images are exp(-38) here.
        1.0 / 360.0 + w * w / 7560.0 + w.powi(4) / 201_600.0
    } else {
        let sum = |part: &dyn Fn(f64) -> f64| images(w, t).map(|(u, e)| part(u) * e).sum::<f64>();
        let f = sum(&|u| u);
        let slope = sum(&|u| 1.0 - u * u / t) / f;
        let second = sum(&|u| u * u * u / (t * t) - 3.0 * u / t) / f;
        let whole = second - slope * slope + 0.25 / (0.5 * w).sin().powi(2);
        (whole - pull(w, t)) / (w * w)
    }
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `v` + `a` (`of` x `v`) + `b` (`of` x (`of` x `v`)).
fn bent(v: Tangent, of: Tangent, a: f64, b: f64) -> Tangent {
    let once = cross(of, v);
    let twice = cross(of, once);
    [0, 1, 2].map(|k| v[k] + a * once[k] + b * twice[k])
}

/// A component as it is seen from a rotation.
#[derive(Clone, Debug)]
struct Seen {
    share: f64,
    away: Tangent,
    score: Tangent,
    t: f64,
}

/// A mixture as it is seen from a rotation, at a level.
#[derive(Clone, Debug)]
pub struct Blend {
    /// Log-density over the uniform law.
    pub log_p: f64,
    /// Its gradient, in the axes of the rotation.
    pub score: Tangent,
    noise: f64,
    from: Quaternion,
    parts: Vec<Seen>,
}

/// The mixture with noise of variance `noise`, at `q`.
pub fn blend(components: &[Component], noise: f64, q: Quaternion) -> Blend {
    let mut parts = Vec::new();
    for c in components.iter().filter(|c| c.weight > 0.0) {
        let (away, t) = (between(c.rotation, q), c.spread + noise);
        let w = length(away);
        let score = away.map(|v| pull(w, t) * v);
        parts.push(Seen { share: c.weight.ln() + ln_density(w, t), away, score, t });
    }
    let most = parts.iter().map(|p| p.share).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = parts.iter().map(|p| (p.share - most).exp()).sum();
    for part in &mut parts {
        part.share = (part.share - most).exp() / sum;
    }
    let weights: f64 = components.iter().map(|c| c.weight).sum();
    let score = [0, 1, 2].map(|k| parts.iter().map(|p| p.share * p.score[k]).sum());
    Blend { log_p: most + sum.ln() - weights.ln(), score, noise, from: q, parts }
}

impl Blend {
    /// The rotation without its noise, by the score: R Exp(noise s).
    pub fn denoised(&self) -> Quaternion {
        retract(self.from, self.score.map(|s| self.noise * s))
    }

    /// The derivative of the score along the axes of the rotation, transposed, times `h`.
    fn turned(&self, h: Tangent) -> Tangent {
        let mut sum = [0.0; 3];
        for part in &self.parts {
            let w = length(part.away);
            let kappa = if w < 1.0e-3 { 1.0 / 12.0 } else { (1.0 / w - 0.5 / (0.5 * w).tan()) / w };
            let own = bent(h, part.away, -0.5, kappa);
            let (p, bend) = (pull(w, part.t), bend(w, part.t));
            let (along, met) = (dot(part.away, h), dot(part.score, h));
            for k in 0..3 {
                let apart = part.score[k] - self.score[k];
                sum[k] += part.share * (p * own[k] + bend * along * part.away[k] + apart * met);
            }
        }
        sum
    }

    /// The gradient at the noisy rotation of a function whose gradient at the denoised one is `g`, each in its own axes.
    pub fn pulled(&self, g: Tangent) -> Tangent {
        let y = self.score.map(|s| self.noise * s);
        let th = length(y);
        let (a, b) = if th < 1.0e-4 {
            (0.5 - th * th / 24.0, 1.0 / 6.0 - th * th / 120.0)
        } else {
            (2.0 * (0.5 * th).sin().powi(2) / (th * th), (th - th.sin()) / th.powi(3))
        };
        let carried = rotate(crate::prims::so3::oracle::exp(y), g);
        let bent = self.turned(bent(g, y, a, b));
        [0, 1, 2].map(|k| carried[k] + self.noise * bent[k])
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::prims::philox::oracle::{Stream, normal};
    use crate::prims::so3::oracle::{exp, uniform};

    fn numbers(slot: u32) -> [f64; 8] {
        std::array::from_fn(|k| normal(Stream { seed: 5, slot, step: 0, tag: 0 }, k, 8))
    }

    fn mixture(slot: u32, spread: f64) -> Vec<Component> {
        let one = |i: u32| {
            let [a, b, c, d, e, ..] = numbers(10 * slot + i);
            Component {
                weight: 0.2 + e.abs(),
                rotation: uniform([a, b, c, d]),
                spread: spread * (1.0 + 0.5 * f64::from(i)),
            }
        };
        (0..3).map(one).collect()
    }

    fn uniformly(slot: u32) -> Quaternion {
        let [a, b, c, d, ..] = numbers(slot);
        uniform([a, b, c, d])
    }

    fn nudged(q: Quaternion, k: usize, by: f64) -> Quaternion {
        let mut v = [0.0; 3];
        v[k] = by;
        retract(q, v)
    }

    #[test]
    fn slopes_are_those_of_the_density() {
        for t in [0.02, 0.1, 0.4, 0.49, 0.51, 0.9, 2.0, 5.0] {
            for w in [2.0e-4, 0.02, 0.04, 0.06, 0.3, 1.0, 2.0, 3.0, 3.13] {
                // Near pi a density changes over t/(2 pi).
                let h = 1.0e-4 * if w < 2.5 { f64::min(w, 1.0) } else { f64::min(t, 1.0) };
                let first = (ln_density(w + h, t) - ln_density(w - h, t)) / (2.0 * h);
                let found = w * pull(w, t);
                // Rounding of a logarithm of up to 500, over 2 h.
                assert!((first - found).abs() < 1.0e-5 * (1.0 + 1.0 / t) + 1.0e-13 / h, "t {t}, w {w}");
                let second = (pull(w + h, t) - pull(w - h, t)) / (2.0 * h * w);
                let found = bend(w, t);
                let rounding = 1.0e-14 * (1.0 / t + 1.0) / (h * w);
                assert!(
                    (second - found).abs() < 1.0e-5 * (1.0 + found.abs()) + rounding,
                    "t {t}, w {w}: {second} {found}"
                );
            }
        }
    }

    #[test]
    fn scores_and_pulls_are_gradients() {
        for slot in 0..60 {
            let (spread, noise) =
                ([0.03, 0.2, 0.7][slot as usize % 3], [0.05, 0.4, 2.0][slot as usize / 3 % 3]);
            let (components, q, aim) =
                (mixture(slot, spread), uniformly(1000 + slot), uniformly(2000 + slot));
            // Half the squared way to a goal at the denoised rotation; Log is its gradient.
            let value =
                |q: Quaternion| 0.5 * length(between(aim, blend(&components, noise, q).denoised())).powi(2);
            let here = blend(&components, noise, q);
            let away = between(aim, here.denoised());
            // Away from the cut, where the way is not smooth.
            if length(away) > 2.8 {
                continue;
            }
            let pulled = here.pulled(away);
            for (k, pulled) in pulled.into_iter().enumerate() {
                let h = 1.0e-5;
                let (up, down) = (nudged(q, k, h), nudged(q, k, -h));
                let score =
                    (blend(&components, noise, up).log_p - blend(&components, noise, down).log_p) / (2.0 * h);
                assert!((score - here.score[k]).abs() < 1.0e-6 * (1.0 + score.abs()), "{slot}: {score}");
                let slope = (value(up) - value(down)) / (2.0 * h);
                assert!((slope - pulled).abs() < 1.0e-6 * (1.0 + slope.abs()), "{slot}: {slope} {}", pulled);
            }
        }
    }

    /// Over uniform rotations the mean of a density is 1, and that of its score is the vector zero.
    #[test]
    fn densities_are_normalised() {
        let components = mixture(3, 0.5);
        let n = 20_000;
        let values: Vec<f64> =
            (0..n).map(|i| blend(&components, 0.3, uniformly(5000 + i)).log_p.exp()).collect();
        let mean = values.iter().sum::<f64>() / f64::from(n);
        let spread = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(n);
        // Four standard errors.
        assert!((mean - 1.0).abs() < 4.0 * (spread / f64::from(n)).sqrt(), "{mean}");
        assert!(
            (blend(&components, 0.3, exp([TAU, 0.0, 0.0])).log_p
                - blend(&components, 0.3, exp([0.0; 3])).log_p)
                .abs()
                < 1.0e-12
        );
    }
}
