//! The twisted sampler in plain loops and f64 around its step's oracle, of a Gaussian, with one switch for each mistake that
//! released samplers have made.

use feynkac::kernels::methods::StepCoeffs;
use feynkac::kernels::passes::init::{self, Start};
use feynkac::kernels::passes::step::oracle::At;
use feynkac::kernels::passes::step::oracle_twist::{Pins, Told, Twisted, log_normal, step as oracle_step};
use feynkac::run::group_seed;
use feynkac::{Model, Noise, Options, Target, coeffs};

use crate::laws::plain::systematic;

/// By the numbers of the list of known mistakes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mistake {
    None,
    /// 1: only the last increment counts, not the product since the last resampling.
    NotMultiplied,
    /// 2: exponentials in f32 before anything is normalised, cut at 1e10, and a share that is no number made 0.
    ExponentialFirst,
    /// 3: the weight of the last step is computed and never used.
    LastUnused,
    /// 4: one ESS, averaged over all groups, decides for every group.
    OneDecision,
    /// 12: no proposal ratio.
    NoRatio,
    /// 15: log psi and its gradient stay with the slot, positions come from the ancestor.
    StaleTwists,
    /// 16: noise drawn for the ancestor's slot.
    NoiseOfAncestor,
    /// 18: the model's density in the ratio by the score of the new state.
    ScoreOfNewState,
}

/// A sampler in f64.
pub struct Plain {
    model: Target,
    pub options: Options,
    levels: Vec<Noise>,
    pub coeffs: Vec<StepCoeffs>,
    pub start: Start,
    mistake: Mistake,
}

/// A group under way.
pub struct Group {
    seed: u64,
    pub now: Vec<Twisted>,
    parents: Option<Vec<usize>>,
    pub log_z: f64,
}

/// Weights in units of the exponential of `top`.
struct Weights {
    top: f64,
    all: Vec<f64>,
}

impl Plain {
    pub fn new(model: Target, options: Options, mistake: Mistake) -> Self {
        let dim = Model::Analytic(model.clone()).dim();
        let levels = coeffs::levels(&options).expect("levels");
        let coeffs = coeffs::steps(&options, &levels, dim).expect("coefficients");
        let own = [Model::Analytic(model.clone())];
        let start = coeffs::start(&options, &own, levels[0]).expect("a start");
        Self { model, options, levels, coeffs, start, mistake }
    }

    /// What model and twist say at `x`: the usual spread, of a Gaussian.
    pub fn told(&self, x: &[f64], level: usize) -> Told {
        let Noise { alpha, sigma, .. } = self.levels[level];
        let (noise, data) = ((sigma / alpha).powi(2), self.model.moments().1);
        let score = self.model.score(x, alpha, sigma);
        let d: Vec<f64> = x.iter().zip(&score).map(|(x, s)| (x + sigma * sigma * s) / alpha).collect();
        let twisting = self.options.twisting.as_ref().expect("a twist");
        let (log_psi, w) = twisting.task.log_psi(&d, twisting.scale * noise * data / (noise + data));
        let bent = self.model.bend(x, &w, alpha, sigma);
        let pull = w.iter().zip(&bent).map(|(w, b)| (w + sigma * sigma * b) / alpha).collect();
        Told { score, pull, log_psi }
    }

    /// A particle that begins at `x`, whose log-weight is `drawn` but for what model and twist say there.
    pub fn first(&self, x: Vec<f64>, drawn: f64) -> Twisted {
        let (told, Noise { alpha, sigma, .. }) = (self.told(&x, 0), self.levels[0]);
        let log_w = drawn + self.model.log_density(&x, alpha, sigma) + told.log_psi;
        Twisted { x, told, log_w }
    }

    pub fn begin(&self, seed: u64, slot: usize) -> Twisted {
        let (x, drawn) = init::oracle::draw(&self.start, seed, slot);
        self.first(x, drawn)
    }

    /// log p(x'|x) by the score of x', less log q(x'|x).
    fn ratio_by(&self, c: &StepCoeffs, from: &Twisted, to: &Twisted) -> f64 {
        let variance = c.noise * c.noise;
        (0..from.x.len())
            .map(|k| {
                let mean = |score: f64| c.shrink * from.x[k] + c.drift * score;
                let proposed = mean(from.told.score[k]) + c.side[0] * from.told.pull[k];
                let own = log_normal(to.x[k], mean(to.told.score[k]), variance);
                own - log_normal(to.x[k], proposed, variance)
            })
            .sum()
    }

    /// Step `at` of `from`, by the noise of `slot`.
    pub fn moved(&self, at: usize, seed: u64, slot: usize, from: &Twisted) -> Twisted {
        let c = &self.coeffs[at];
        let place = At { seed, slot, step: at };
        let to = oracle_step(from, place, c, Pins::None, |x| self.told(x, at + 1));
        let twists = to.told.log_psi - from.told.log_psi;
        let log_w = match self.mistake {
            Mistake::NotMultiplied => to.log_w - from.log_w,
            Mistake::NoRatio => from.log_w + twists,
            Mistake::ScoreOfNewState => from.log_w + twists + self.ratio_by(c, from, &to),
            Mistake::LastUnused if at + 1 == self.coeffs.len() => from.log_w,
            _ => to.log_w,
        };
        Twisted { log_w, ..to }
    }

    /// One group.
    pub fn run(&self, seed: u64) -> Group {
        self.run_beside(&[seed]).swap_remove(0)
    }

    /// Several groups side by side.
    pub fn run_beside(&self, seeds: &[u64]) -> Vec<Group> {
        let k = self.options.particles;
        let begin = |&seed: &u64| {
            let now = (0..k).map(|slot| self.begin(seed, slot)).collect();
            Group { seed, now, parents: None, log_z: 0.0 }
        };
        let mut all: Vec<Group> = seeds.iter().map(begin).collect();
        for (at, c) in self.coeffs.iter().enumerate() {
            let weights: Vec<Weights> = all.iter_mut().map(|group| self.advance(group, at)).collect();
            let shared = weights.iter().map(Weights::effective).sum::<f64>() / all.len() as f64;
            for (group, weights) in all.iter_mut().zip(&weights) {
                let ess = if self.mistake == Mistake::OneDecision { shared } else { weights.effective() };
                let resamples = ess < c.ess_share * k as f64;
                if resamples || at + 1 == self.coeffs.len() {
                    group.log_z += weights.log_mean();
                }
                let offset = group_seed(group.seed, at + 1) as f64 / 2.0_f64.powi(64);
                group.parents = resamples.then(|| systematic(&weights.shares(), offset));
            }
        }
        all
    }

    /// Moves and weighs one group.
    fn advance(&self, group: &mut Group, at: usize) -> Weights {
        let Group { seed, now, parents, .. } = group;
        let one = |slot: usize| {
            let Some(parents) = &*parents else { return self.moved(at, *seed, slot, &now[slot]) };
            let mut from = Twisted { log_w: 0.0, ..now[parents[slot]].clone() };
            if self.mistake == Mistake::StaleTwists {
                (from.told.pull, from.told.log_psi) = (now[slot].told.pull.clone(), now[slot].told.log_psi);
            }
            let by = if self.mistake == Mistake::NoiseOfAncestor { parents[slot] } else { slot };
            self.moved(at, *seed, by, &from)
        };
        let next: Vec<Twisted> = (0..now.len()).map(one).collect();
        *now = next;
        let log_w: Vec<f64> = now.iter().map(|p| p.log_w).collect();
        if self.mistake == Mistake::ExponentialFirst {
            let cut = |log_w: &f64| f64::from((*log_w as f32).exp().min(1.0e10));
            return Weights { top: 0.0, all: log_w.iter().map(cut).collect() };
        }
        let top = log_w.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Weights { top, all: log_w.iter().map(|log_w| (log_w - top).exp()).collect() }
    }
}

impl Weights {
    fn total(&self) -> f64 {
        self.all.iter().sum()
    }

    /// They add up to one, but for those that are 0 because nothing is left of any.
    fn shares(&self) -> Vec<f64> {
        let total = self.total();
        self.all.iter().map(|w| w / total).map(|w| if w.is_nan() { 0.0 } else { w }).collect()
    }

    /// The effective sample size, 0 where nothing is left.
    fn effective(&self) -> f64 {
        let squares: f64 = self.shares().iter().map(|w| w * w).sum();
        if squares > 0.0 { 1.0 / squares } else { 0.0 }
    }

    fn log_mean(&self) -> f64 {
        self.top + (self.total() / self.all.len() as f64).ln()
    }
}
