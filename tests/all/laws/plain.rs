//! A sampler in plain loops and f64 around the step's oracle, with one switch for each mistake that released samplers
//! have made.

use feynkac::coeffs;
use feynkac::kernels::methods::StepCoeffs;
use feynkac::kernels::passes::init;
use feynkac::kernels::passes::step::oracle::{At, Particle, plain_step as step};
use feynkac::run::group_seed;
use feynkac::{Model, Noise, Options, Rule, Target};

use crate::methods::s1::{exact, models};

/// By the numbers of the list of known mistakes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mistake {
    None,
    /// 1: only the last increment counts, not the product since the last resampling.
    NotMultiplied,
    /// 3: the increment of the last step is computed and never used.
    LastUnused,
    /// 4: one ESS, averaged over all groups, decides for every group.
    OneDecision,
    /// 5: increments centred and clamped.
    Clamped,
    /// 6: the largest tenth of the weights cut to their quantile.
    Cut,
    /// 9: evidence taken after the weights were reset.
    ResetFirst,
    /// 14: the start is wider by sqrt(B).
    WideStart,
    /// 15: scores stay with the slot, positions come from the ancestor.
    StaleScores,
    /// 16: noise drawn for the ancestor's slot.
    NoiseOfAncestor,
}

/// A sampler in f64.
pub struct Plain {
    models: Vec<Target>,
    pub options: Options,
    levels: Vec<Noise>,
    coeffs: Vec<StepCoeffs>,
    mistake: Mistake,
}

impl Plain {
    pub fn new(options: Options, mistake: Mistake) -> Self {
        let models = models(&options)
            .into_iter()
            .map(|m| if let Model::Analytic(t) = m { t } else { panic!("analytic") });
        let levels = coeffs::levels(&options).expect("levels");
        let coeffs = coeffs::steps(&options, &levels, 1).expect("coefficients");
        Self { models: models.collect(), options, levels, coeffs, mistake }
    }

    fn evaluate(&self, x: &[f64], level: usize) -> (Vec<Vec<f64>>, Vec<f64>) {
        let Noise { alpha, sigma, .. } = self.levels[level];
        (
            self.models.iter().map(|q| q.score(x, alpha, sigma)).collect(),
            self.models.iter().map(|q| q.log_density(x, alpha, sigma)).collect(),
        )
    }

    /// Particles of the start. As for a network, their weights are not corrected: a wrong width shows.
    fn begin(&self, seed: u64) -> Vec<Particle> {
        let own = models(&self.options);
        let mut start = coeffs::start(&self.options, &own, self.levels[0]).expect("a start");
        if self.mistake == Mistake::WideStart {
            start.std *= self.options.exponents().iter().sum::<f64>().sqrt();
        }
        let mut from = self.options.clone();
        from.t_min = from.t_max;
        (start.weighted, start.offset) = (false, exact(&from).log_z);
        (0..self.options.particles)
            .map(|i| {
                let (x, log_w) = init::oracle::draw(&start, seed, i);
                let (scores, log_q) = self.evaluate(&x, 0);
                let log_p = log_q.iter().zip(&self.coeffs[0].beta).map(|(q, b)| q * b).sum();
                Particle { x, scores, log_w, log_p, log_q: Vec::new() }
            })
            .collect()
    }

    /// (log-evidence, particles) of one group.
    pub fn run(&self, seed: u64) -> (f64, Vec<Particle>) {
        self.run_beside(&[seed]).swap_remove(0)
    }

    /// The same of several groups side by side.
    pub fn run_beside(&self, seeds: &[u64]) -> Vec<(f64, Vec<Particle>)> {
        let k = self.options.particles;
        let mut all: Vec<Group> = seeds
            .iter()
            .map(|&seed| Group { seed, now: self.begin(seed), ancestors: None, log_z: 0.0 })
            .collect();
        for (at, c) in self.coeffs.iter().enumerate() {
            let last = at + 1 == self.coeffs.len();
            let weights: Vec<(f64, Vec<f64>)> = all.iter_mut().map(|g| self.advance(g, at)).collect();
            let ess: Vec<f64> = weights.iter().map(|(_, w)| effective(w)).collect();
            let shared = ess.iter().sum::<f64>() / ess.len() as f64;
            for (i, (group, (top, weights))) in all.iter_mut().zip(&weights).enumerate() {
                let ess = if self.mistake == Mistake::OneDecision { shared } else { ess[i] };
                let resamples = ess < c.ess_share * k as f64;
                if resamples || last {
                    let log_mean = top + (weights.iter().sum::<f64>() / k as f64).ln();
                    let reset = resamples && self.mistake == Mistake::ResetFirst;
                    group.log_z += if reset { 0.0 } else { log_mean };
                }
                let u = group_seed(group.seed, at + 1) as f64 / 2.0_f64.powi(64);
                group.ancestors = resamples.then(|| systematic(weights, u));
            }
        }
        all.into_iter().map(|group| (group.log_z, group.now)).collect()
    }

    /// Moves and weighs one group; returns the logarithm of its largest weight, and all in units of that.
    fn advance(&self, group: &mut Group, at: usize) -> (f64, Vec<f64>) {
        let Group { seed, now, ancestors, .. } = group;
        let (seed, k, c) = (*seed, now.len(), &self.coeffs[at]);
        let oracle = self.options.method.row().oracle;
        let resampled = ancestors.is_some();
        let mut next: Vec<Particle> = (0..k)
            .map(|i| {
                let parent = ancestors.as_ref().map_or(i, |a| a[i]);
                let mut from = now[parent].clone();
                if resampled {
                    from.log_w = 0.0;
                }
                if self.mistake == Mistake::StaleScores {
                    from.scores.clone_from(&now[i].scores);
                }
                let slot = if self.mistake == Mistake::NoiseOfAncestor { parent } else { i };
                let exact = self.options.rule == Rule::Exact;
                let to =
                    step(&from, At { seed, slot, step: at }, c, oracle, exact, |x| self.evaluate(x, at + 1));
                let log_w = match self.mistake {
                    Mistake::NotMultiplied => to.log_w - from.log_w,
                    Mistake::LastUnused if at + 1 == self.coeffs.len() => from.log_w,
                    _ => to.log_w,
                };
                Particle { log_w, ..to }
            })
            .collect();
        if self.mistake == Mistake::Clamped {
            let before = |i: usize| if resampled { 0.0 } else { now[i].log_w };
            let steps: Vec<f64> = (0..k).map(|i| next[i].log_w - before(i)).collect();
            let centre = steps.iter().sum::<f64>() / k as f64;
            for i in 0..k {
                next[i].log_w = before(i) + (steps[i] - centre).clamp(-1.0, 1.0);
            }
        }
        if self.mistake == Mistake::Cut {
            let mut sorted: Vec<f64> = next.iter().map(|p| p.log_w).collect();
            sorted.sort_by(f64::total_cmp);
            let most = sorted[k - 1 - k / 10];
            next.iter_mut().for_each(|p| p.log_w = p.log_w.min(most));
        }
        let top = next.iter().map(|p| p.log_w).fold(f64::NEG_INFINITY, f64::max);
        let weights = next.iter().map(|p| (p.log_w - top).exp()).collect();
        *now = next;
        (top, weights)
    }
}

/// A group under way.
struct Group {
    seed: u64,
    now: Vec<Particle>,
    ancestors: Option<Vec<usize>>,
    log_z: f64,
}

/// The effective sample size.
fn effective(weights: &[f64]) -> f64 {
    weights.iter().sum::<f64>().powi(2) / weights.iter().map(|w| w * w).sum::<f64>()
}

/// Systematic resampling with offset `u` in [0, 1).
pub fn systematic(weights: &[f64], u: f64) -> Vec<usize> {
    let k = weights.len();
    let total: f64 = weights.iter().sum();
    let (mut parent, mut through) = (0, weights[0]);
    (0..k)
        .map(|j| {
            while through <= (j as f64 + u) / k as f64 * total && parent + 1 < k {
                parent += 1;
                through += weights[parent];
            }
            parent
        })
        .collect()
}
