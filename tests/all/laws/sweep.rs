//! One sweep of particle Gibbs on the line in plain loops and f64, with one switch for each slip; and exact draws of
//! what it must leave as it is.
//!
//! Under the exact rule paths have the density p(x_N) times all backward kernels, of docs/maths.md (8): the last state is
//! drawn from q^beta by rejection, those before it are Gaussian one by one. So of a path F(x_N) and the standardised
//! steps back are independent, with known laws.

use feynkac::coeffs;
use feynkac::kernels::methods::StepCoeffs;
use feynkac::kernels::passes::init::{self, Start};
use feynkac::kernels::passes::retain;
use feynkac::kernels::passes::step::oracle::{At, Particle, plain_step as step};
use feynkac::kernels::prims::philox::oracle::{Stream, normal};
use feynkac::kernels::prims::philox::{purpose, tag};
use feynkac::{Noise, Options, Target};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::plain::systematic;
use crate::methods::s1::models;
use crate::reference::{normalised, q1, target};

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Slip {
    None,
    /// No path is followed: a run of its own, from which a path is drawn.
    NotRetained,
    /// The weight of slot 0 counts the noise that was drawn for it, not that of its path.
    DrawnNoise,
    /// Slot 0 is resampled like the others.
    Unconditional,
    /// The increments have the wrong sign.
    Flipped,
}

/// A sweep.
pub struct Sweep {
    target: Target,
    pub options: Options,
    levels: Vec<Noise>,
    coeffs: Vec<StepCoeffs>,
    start: Start,
    slip: Slip,
    /// The distribution function of q^beta at the last level: from -20 in steps of 1e-3.
    through: Vec<f64>,
}

impl Sweep {
    pub fn new(options: Options, slip: Slip) -> Self {
        let target = target(&q1());
        let levels = coeffs::levels(&options).expect("levels");
        let coeffs = coeffs::steps(&options, &levels, 1).expect("coefficients");
        let start = coeffs::start(&options, &models(&options), levels[0]).expect("a start");
        let Noise { alpha, sigma, .. } = levels[levels.len() - 1];
        let density =
            |i: i32| (options.beta * target.log_density(&[f64::from(i) * 1.0e-3], alpha, sigma)).exp();
        let mut sum = 0.0;
        let mut through: Vec<f64> = (-20_000..20_000)
            .map(|i| {
                sum += 0.5 * (density(i) + density(i + 1));
                sum
            })
            .collect();
        through.iter_mut().for_each(|f| *f /= sum);
        Self { target, options, levels, coeffs, start, slip, through }
    }

    fn evaluate(&self, x: &[f64], level: usize) -> (Vec<Vec<f64>>, Vec<f64>) {
        let Noise { alpha, sigma, .. } = self.levels[level];
        (vec![self.target.score(x, alpha, sigma)], vec![self.target.log_density(x, alpha, sigma)])
    }

    /// Mean and standard deviation of the state before step `at`, given the one after it.
    fn back(&self, x: f64, at: usize) -> (f64, f64) {
        let c = &self.coeffs[at];
        let score = self.options.beta * self.evaluate(&[x], at + 1).0[0][0];
        (c.back_shrink * x + c.back_drift * score, c.back_precision.sqrt().recip())
    }

    /// An exact draw, from the first level to the last.
    pub fn exact(&self, rng: &mut StdRng) -> Vec<f64> {
        let u: f64 = rng.random_range(0.0..1.0);
        let i = self.through.partition_point(|f| *f <= u).min(self.through.len() - 1);
        let below = if i == 0 { 0.0 } else { self.through[i - 1] };
        let last = 1.0e-3 * (i as f64 - 20_000.0 + (u - below) / (self.through[i] - below));
        let mut path = vec![last];
        for at in (0..self.coeffs.len()).rev() {
            let (mean, deviation) = self.back(path[path.len() - 1], at);
            path.push(mean + deviation * standard(rng));
        }
        path.reverse();
        path
    }

    /// Numbers that are uniform where `path` is an exact draw: of the last state, of the first and the last step back, and
    /// of the sum of the squares of all (an even number of) steps.
    pub fn uniforms(&self, path: &[f64]) -> [f64; 4] {
        let z: Vec<f64> = (0..self.coeffs.len())
            .map(|at| {
                let (mean, deviation) = self.back(path[at + 1], at);
                (path[at] - mean) / deviation
            })
            .collect();
        let at = (1.0e3 * path[path.len() - 1] + 20_000.0).clamp(1.0, 39_998.0);
        let (i, part) = (at.floor() as usize, at.fract());
        let last = self.through[i - 1] + part * (self.through[i] - self.through[i - 1]);
        [last, phi(z[0]), phi(z[z.len() - 1]), squares(&z)]
    }

    /// A path after a sweep from `path`.
    pub fn run(&self, path: &[f64], seed: u64) -> Vec<f64> {
        let k = self.options.particles;
        let mut rng = StdRng::seed_from_u64(seed);
        let retains = self.slip != Slip::NotRetained;
        let now: Vec<Particle> = (0..k)
            .map(|i| {
                let (mut x, mut log_w) = init::oracle::draw(&self.start, seed, i);
                if i == 0 && retains {
                    x = vec![path[0]];
                    log_w = retain::oracle::begin(&self.start, &x);
                }
                let (scores, log_q) = self.evaluate(&x, 0);
                let log_p = self.options.beta * log_q[0];
                Particle { x, scores, log_w: log_w + log_p, log_p, log_q: Vec::new() }
            })
            .collect();
        let (mut all, mut parents) = (vec![now], Vec::<Option<Vec<usize>>>::new());
        for (at, c) in self.coeffs.iter().enumerate() {
            let now = &all[at];
            let from = if at == 0 { &None } else { &parents[at - 1] };
            let next: Vec<Particle> = (0..k)
                .map(|i| {
                    let mut parent = now[from.as_ref().map_or(i, |from| from[i])].clone();
                    if from.is_some() {
                        parent.log_w = 0.0;
                    }
                    self.advance(
                        &parent,
                        if i == 0 && retains { Some(path[at + 1]) } else { None },
                        c,
                        seed,
                        i,
                        at,
                    )
                })
                .collect();
            let weights = normalised(&next.iter().map(|p| p.log_w as f32).collect::<Vec<f32>>());
            let ess = 1.0 / weights.iter().map(|w| w * w).sum::<f64>();
            let resamples = ess < c.ess_share * k as f64;
            parents.push(resamples.then(|| self.choose(&weights, &mut rng)));
            all.push(next);
        }
        let last = &all[all.len() - 1];
        let weights = normalised(&last.iter().map(|p| p.log_w as f32).collect::<Vec<f32>>());
        let mut slot = draw(&weights, &mut rng);
        let mut out = vec![last[slot].x[0]];
        for level in (0..all.len() - 1).rev() {
            if level > 0 {
                slot = parents[level - 1].as_ref().map_or(slot, |from| from[slot]);
            }
            out.push(all[level][slot].x[0]);
        }
        out.reverse();
        out
    }

    fn advance(
        &self,
        from: &Particle,
        to: Option<f64>,
        c: &StepCoeffs,
        seed: u64,
        slot: usize,
        at: usize,
    ) -> Particle {
        let oracle = self.options.method.row().oracle;
        let moved = step(from, At { seed, slot, step: at }, c, oracle, true, |x| self.evaluate(x, at + 1));
        let mut out = match to {
            None => moved,
            Some(x) => {
                let (scores, log_q) = self.evaluate(&[x], at + 1);
                let log_p = self.options.beta * log_q[0];
                let stream = Stream { seed, slot: slot as u32, step: at as u32, tag: tag(purpose::MOVE, 0) };
                let z = if self.slip == Slip::DrawnNoise {
                    normal(stream, 0, 1)
                } else {
                    retain::oracle::noise(from, &[x], c, oracle)[0]
                };
                let (mean, deviation) = self.back(x, at);
                let back = (from.x[0] - mean) / deviation;
                let log_w = from.log_w
                    + c.constant
                    + c.exact * (log_p - from.log_p + 0.5 * z * z - 0.5 * back * back);
                Particle { x: vec![x], scores, log_w, log_p, log_q: Vec::new() }
            }
        };
        if self.slip == Slip::Flipped {
            out.log_w = 2.0 * from.log_w - out.log_w;
        }
        out
    }

    /// Independent parents; slot 0 keeps its particle.
    fn choose(&self, weights: &[f64], rng: &mut StdRng) -> Vec<usize> {
        if self.slip == Slip::Unconditional {
            return systematic(weights, rng.random_range(0.0..1.0));
        }
        let mut parents: Vec<usize> = weights.iter().map(|_| draw(weights, rng)).collect();
        if self.slip != Slip::NotRetained {
            parents[0] = 0;
        }
        parents
    }
}

/// A particle by its weight.
pub fn draw(weights: &[f64], rng: &mut StdRng) -> usize {
    let u: f64 = rng.random_range(0.0..1.0);
    let mut through = 0.0;
    let found = weights.iter().position(|w| {
        through += w;
        u < through
    });
    found.unwrap_or(weights.len() - 1)
}

/// A standard normal number.
pub fn standard(rng: &mut StdRng) -> f64 {
    let (u, v): (f64, f64) = (rng.random_range(1.0e-300..1.0), rng.random_range(0.0..1.0));
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Of an even number of independent standard normal numbers the distribution function of the sum of their squares, a Poisson
/// sum.
pub fn squares(z: &[f64]) -> f64 {
    assert_eq!(z.len() % 2, 0, "an even number");
    let half = 0.5 * z.iter().map(|z| z * z).sum::<f64>();
    let terms = (0..z.len() / 2).scan(1.0, |term, i| {
        let own = *term;
        *term *= half / (i + 1) as f64;
        Some(own)
    });
    1.0 - (-half).exp() * terms.sum::<f64>()
}

/// The normal distribution function, by 7.1.26 of Abramowitz and Stegun: off by at most 1e-7.
pub fn phi(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let tail = 0.5 * series.iter().fold(0.0, |sum, c| (sum + c) * t) * (-x * x).exp();
    if z > 0.0 { 1.0 - tail } else { tail }
}

/// The chance that as many uniform numbers lie as far from their law, by Kolmogorov and Smirnov.
pub fn uniform(mut u: Vec<f64>) -> f64 {
    u.sort_by(f64::total_cmp);
    let n = u.len() as f64;
    let far =
        u.iter().enumerate().map(|(i, u)| (u - i as f64 / n).max((i + 1) as f64 / n - u)).fold(0.0, f64::max);
    let lambda = (n.sqrt() + 0.12 + 0.11 / n.sqrt()) * far;
    let terms = (1..100).map(|k| {
        let k = f64::from(k);
        (if k as u32 % 2 == 1 { 2.0 } else { -2.0 }) * (-2.0 * k * k * lambda * lambda).exp()
    });
    terms.sum::<f64>().clamp(0.0, 1.0)
}
