//! The law of paths of a twisted chain, of a Gaussian model whose coordinates do not know of each other, each of them
//! measured or not: exact draws, numbers that are uniform where a path is one, and a sweep of particle Gibbs on the line in
//! plain loops and f64, with one switch for each slip.
//!
//! With N(F x + e, v) for the kernel of a coordinate, who measures x' as y, with variance r, has measured x as (y - e)/F, with
//! variance (r + v)/F^2. So what is known of the last state goes back level by level, and a path is drawn forwards, each state
//! given the one before it and what is known of it.

use feynkac::Options;
use feynkac::kernels::passes::step::oracle_twist::Twisted;
use feynkac::kernels::passes::{paths, retain};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::sweep::{draw, phi, squares, standard};
use crate::methods::chain::{Kernel, line};
use crate::methods::tds_plain::{Mistake, Plain};
use crate::reference::normalised;

/// Mean and variance.
type Normal = (f64, f64);

/// One coordinate.
pub struct Line {
    first: Normal,
    kernels: Vec<Kernel>,
    /// What is known of each level: a value, and the variance of its error, infinite where nothing is known.
    seen: Vec<Normal>,
}

impl Line {
    /// Of a model N(mean, variance), the clean state being `measured`.
    pub fn new(model: Normal, options: &Options, measured: Option<Normal>) -> Self {
        let (first, kernels) = line(model.0, model.1, options);
        let mut seen = vec![measured.unwrap_or((0.0, f64::INFINITY))];
        for k in kernels.iter().rev() {
            let (y, r) = seen[seen.len() - 1];
            seen.push(((y - k.constant) / k.factor, (r + k.variance) / k.factor.powi(2)));
        }
        seen.reverse();
        Self { first, kernels, seen }
    }

    /// The law of the state at `level`, given that before it.
    fn given(&self, level: usize, before: f64) -> Normal {
        let (mean, variance) = match level {
            0 => self.first,
            _ => {
                let k = self.kernels[level - 1];
                (k.factor * before + k.constant, k.variance)
            }
        };
        let (y, r) = self.seen[level];
        let left = 1.0 / (1.0 + variance / r);
        (y + left * (mean - y), left * variance)
    }

    /// The law of the state at each level.
    fn marginals(&self) -> Vec<Normal> {
        let mut now = self.given(0, 0.0);
        let mut all = vec![now];
        for level in 1..self.seen.len() {
            let ((constant, variance), (more, _)) = (self.given(level, 0.0), self.given(level, 1.0));
            let factor = more - constant;
            now = (factor * now.0 + constant, factor.powi(2) * now.1 + variance);
            all.push(now);
        }
        all
    }

    /// An exact draw.
    pub fn exact(&self, rng: &mut StdRng) -> Vec<f64> {
        let mut path: Vec<f64> = Vec::with_capacity(self.seen.len());
        for level in 0..self.seen.len() {
            let (mean, variance) = self.given(level, path.last().copied().unwrap_or(0.0));
            path.push(mean + variance.sqrt() * standard(rng));
        }
        path
    }

    /// Numbers that are uniform where `path` is an exact draw: of the first, the middle and the last state that is not
    /// certain, of the step to the middle one, and of the sum of the squares of an even number of steps.
    pub fn uniforms(&self, path: &[f64]) -> [f64; 5] {
        let (middle, marginals) = (path.len() / 2, self.marginals());
        let standardised = |x: f64, (mean, variance): Normal| (x - mean) / variance.sqrt();
        let at = |level: usize| phi(standardised(path[level], marginals[level]));
        let step = |level: usize| self.given(level, if level > 0 { path[level - 1] } else { 0.0 });
        let own = |level: usize| standardised(path[level], step(level));
        let z: Vec<f64> = (0..path.len()).filter(|level| step(*level).1 > 0.0).map(own).collect();
        let last = marginals.iter().rposition(|law| law.1 > 0.0).expect("a state that is not certain");
        [at(0), at(middle), at(last), phi(own(middle)), squares(&z[z.len() % 2..])]
    }
}

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Slip {
    None,
    /// No path is followed: a run of its own, from which a path is drawn.
    NotRetained,
    /// The weight of slot 0 has no proposal ratio.
    NoRatio,
    /// Its proposal ratio is that of the noise that was drawn for it.
    DrawnNoise,
    /// Slot 0 is resampled like the others.
    Unconditional,
}

/// A sweep on the line.
pub struct Sweep {
    plain: Plain,
    slip: Slip,
}

impl Sweep {
    pub fn new(plain: Plain, slip: Slip) -> Self {
        Self { plain, slip }
    }

    /// A path after a sweep from `path`.
    pub fn run(&self, path: &[f64], seed: u64) -> Vec<f64> {
        let (plain, k) = (&self.plain, self.plain.options.particles);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut now: Vec<Twisted> = (0..k).map(|slot| plain.begin(seed, slot)).collect();
        if self.slip != Slip::NotRetained {
            now[0] = plain.first(vec![path[0]], retain::oracle::begin(&plain.start, &path[..1]));
        }
        let (mut all, mut parents) = (vec![now], Vec::<Vec<u32>>::new());
        let mut resampled = false;
        for (at, c) in plain.coeffs.iter().enumerate() {
            let own = |slot: usize| {
                let from = if at == 0 { slot } else { parents[at - 1][slot] as usize };
                let mut from = all[at][from].clone();
                if resampled {
                    from.log_w = 0.0;
                }
                let moved = plain.moved(at, seed, slot, &from);
                if slot == 0 && self.slip != Slip::NotRetained {
                    self.retained(at, &from, &moved, path[at + 1])
                } else {
                    moved
                }
            };
            let next: Vec<Twisted> = (0..k).map(own).collect();
            let weights = normalised(&next.iter().map(|p| p.log_w as f32).collect::<Vec<f32>>());
            resampled = 1.0 / weights.iter().map(|w| w * w).sum::<f64>() < c.ess_share * k as f64;
            parents.push(if resampled { self.choose(&weights, &mut rng) } else { (0..k as u32).collect() });
            all.push(next);
        }
        let log_w: Vec<f32> = all[all.len() - 1].iter().map(|p| p.log_w as f32).collect();
        let end = draw(&normalised(&log_w), &mut rng);
        let slots = paths::oracle::slots(&parents, end);
        slots.into_iter().zip(&all).map(|(slot, level)| level[slot].x[0]).collect()
    }

    /// The particle of slot 0 at `x`, where its own noise would have `moved` it elsewhere.
    fn retained(&self, at: usize, from: &Twisted, moved: &Twisted, x: f64) -> Twisted {
        let told = self.plain.told(&[x], at + 1);
        let old = match self.slip {
            Slip::NoRatio => from.log_w - from.told.log_psi,
            Slip::DrawnNoise => moved.log_w - moved.told.log_psi,
            _ => retain::oracle::twisted(from, &[x], &self.plain.coeffs[at], &[]),
        };
        Twisted { x: vec![x], log_w: old + told.log_psi, told }
    }

    /// Independent parents; slot 0 keeps its particle.
    fn choose(&self, weights: &[f64], rng: &mut StdRng) -> Vec<u32> {
        let mut parents: Vec<u32> = weights.iter().map(|_| draw(weights, rng) as u32).collect();
        if !matches!(self.slip, Slip::NotRetained | Slip::Unconditional) {
            parents[0] = 0;
        }
        parents
    }
}

/// The plain sampler of `options` over a Gaussian on the line.
pub fn plain((mean, variance): Normal, options: Options) -> Plain {
    let toml = format!("kind = 'gaussian'\nmean = [{mean:?}]\ncovariance = [[{variance:?}]]\n");
    Plain::new(crate::reference::target(&toml), options, Mistake::None)
}

/// Of a law by hand: a state N(1, 2), a last one of mean 0.5 x and variance 1, measured as 3 with variance 0.5. Both together
/// are a Gaussian of three numbers, of which the measurement is one.
#[test]
fn a_path_by_hand() {
    let kernel = Kernel { factor: 0.5, constant: 0.0, variance: 1.0 };
    let line = Line { first: (1.0, 2.0), kernels: vec![kernel], seen: vec![(6.0, 6.0), (3.0, 0.5)] };
    let found = line.marginals();
    // The measurement has mean 0.5 and variance 0.5 + 1 + 0.5; its covariances are 1 and 1.5.
    let wanted = [(1.0 + 2.5 / 2.0, 2.0 - 1.0 / 2.0), (0.5 + 1.5 * 2.5 / 2.0, 1.5 - 2.25 / 2.0)];
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found.0 - wanted.0).abs() < 1.0e-12 && (found.1 - wanted.1).abs() < 1.0e-12, "{found:?}");
    }
}
