//! Mistakes that stand in released twisted samplers, made on purpose in a sampler of plain loops and f64: each must miss the
//! evidence that the right version meets. The numbers are those of the list of known mistakes.

use feynkac::kernels::methods::StepCoeffs;
use feynkac::kernels::passes::init;
use feynkac::kernels::passes::step::oracle::At;
use feynkac::kernels::passes::step::oracle_twist::{Pins, Told, Twisted, log_normal, step as oracle_step};
use feynkac::run::group_seed;
use feynkac::{Model, Noise, Options, Policy, Schedule, Target, coeffs, sample};

use super::s1::seed;
use super::tds::{exact, gaussian, linear, tiny};
use crate::laws::plain::systematic;
use crate::reference::evidence;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mistake {
    None,
    /// 3: the weight of the last step is computed and never used.
    LastUnused,
    /// 12: no proposal ratio.
    NoRatio,
    /// 15: log psi and its gradient stay with the slot, positions come from the ancestor.
    StaleTwists,
    /// 18: the model's density in the ratio by the score of the new state.
    ScoreOfNewState,
}

/// One group at a time.
struct Plain {
    model: Target,
    options: Options,
    levels: Vec<Noise>,
    coeffs: Vec<StepCoeffs>,
    mistake: Mistake,
}

impl Plain {
    fn new(options: Options, mistake: Mistake) -> Self {
        let levels = coeffs::levels(&options).expect("levels");
        let coeffs = coeffs::steps(&options, &levels, 3).expect("coefficients");
        Self { model: gaussian(), options, levels, coeffs, mistake }
    }

    /// What model and twist say at `x`: the usual spread, of a Gaussian.
    fn told(&self, x: &[f64], level: usize) -> Told {
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

    fn begin(&self, seed: u64) -> Vec<Twisted> {
        let own = [Model::Analytic(gaussian())];
        let start = coeffs::start(&self.options, &own, self.levels[0]).expect("a start");
        let Noise { alpha, sigma, .. } = self.levels[0];
        let one = |slot: usize| {
            let (x, drawn) = init::oracle::draw(&start, seed, slot);
            let told = self.told(&x, 0);
            let log_w = drawn + self.model.log_density(&x, alpha, sigma) + told.log_psi;
            Twisted { x, told, log_w }
        };
        (0..self.options.particles).map(one).collect()
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

    fn moved(&self, at: usize, seed: u64, slot: usize, from: &Twisted) -> Twisted {
        let c = &self.coeffs[at];
        let place = At { seed, slot, step: at };
        let to = oracle_step(from, place, c, Pins::None, |x| self.told(x, at + 1));
        let twists = to.told.log_psi - from.told.log_psi;
        let log_w = match self.mistake {
            Mistake::NoRatio => from.log_w + twists,
            Mistake::ScoreOfNewState => from.log_w + twists + self.ratio_by(c, from, &to),
            Mistake::LastUnused if at + 1 == self.coeffs.len() => from.log_w,
            Mistake::None | Mistake::StaleTwists | Mistake::LastUnused => to.log_w,
        };
        Twisted { log_w, ..to }
    }

    /// log-evidence of one group.
    fn run(&self, seed: u64) -> f64 {
        let mut now = self.begin(seed);
        let (k, mut log_z) = (now.len() as f64, 0.0);
        let mut parents: Option<Vec<usize>> = None;
        for (at, c) in self.coeffs.iter().enumerate() {
            let parent = |slot: usize| {
                let Some(parents) = &parents else { return now[slot].clone() };
                let mut from = Twisted { log_w: 0.0, ..now[parents[slot]].clone() };
                if self.mistake == Mistake::StaleTwists {
                    (from.told.pull, from.told.log_psi) =
                        (now[slot].told.pull.clone(), now[slot].told.log_psi);
                }
                from
            };
            now = (0..now.len()).map(|slot| self.moved(at, seed, slot, &parent(slot))).collect();
            let top = now.iter().map(|p| p.log_w).fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = now.iter().map(|p| (p.log_w - top).exp()).collect();
            let total: f64 = weights.iter().sum();
            let ess = total * total / weights.iter().map(|w| w * w).sum::<f64>();
            let resamples = ess < c.ess_share * k;
            if resamples || at + 1 == self.coeffs.len() {
                log_z += top + (total / k).ln();
            }
            let offset = group_seed(seed, at + 1) as f64 / 2.0_f64.powi(64);
            parents = resamples.then(|| systematic(&weights, offset));
        }
        log_z
    }
}

fn options(policy: Policy) -> Options {
    let mut options = tiny(linear(), Schedule::Ve { sigma_min: 0.1, sigma_max: 10.0 });
    options.resample = policy;
    options
}

/// Few steps that end in much noise, twisted as if there were more: there the last one has something to say.
fn coarse() -> Options {
    let mut options = options(Policy::Every);
    (options.schedule, options.steps) = (Schedule::Ve { sigma_min: 1.0, sigma_max: 10.0 }, 6);
    options.twisting.as_mut().expect("a twist").scale = 4.0;
    options
}

/// The mean evidence of many tiny runs is exact within 4 standard errors, or it is not.
#[test]
fn each_mistake_misses_the_evidence() {
    for (mistake, options) in [
        (Mistake::None, options(Policy::Every)),
        (Mistake::None, options(Policy::Ess(0.5))),
        (Mistake::None, coarse()),
        (Mistake::LastUnused, coarse()),
        (Mistake::NoRatio, options(Policy::Every)),
        (Mistake::NoRatio, options(Policy::Never)),
        (Mistake::StaleTwists, options(Policy::Every)),
        (Mistake::ScoreOfNewState, options(Policy::Every)),
    ] {
        let policy = options.resample;
        let plain = Plain::new(options, mistake);
        let (wanted, _) = exact(&plain.options);
        // What is thirty times too much is no more than that: estimates beyond all bounds would have no error.
        let most = wanted + 30.0_f64.ln();
        let log_z: Vec<f64> = (0..500).map(|g| plain.run(group_seed(seed(12), g)).min(most)).collect();
        let (ratio, error) = evidence(&log_z, wanted);
        println!("{mistake:?}, {policy:?}: mean Z / Z = {ratio:.3e} +- {error:.1e}, ln {:+.2}", ratio.ln());
        let off = (ratio - 1.0).abs();
        if mistake == Mistake::None {
            assert!(off < 4.0 * error && error < 0.05, "{ratio} +- {error}");
        } else {
            assert!(off > 4.0 * error, "{mistake:?} must fail: {ratio} +- {error}");
        }
    }
}

/// Without a mistake it follows the device, before any resampling.
#[test]
fn the_plain_sampler_is_the_device() {
    let options = Options { seed: 21, ..options(Policy::Never) };
    let device = crate::support::device("cpu").expect("the CPU");
    let out = sample(&device, &[Model::Analytic(gaussian())], &options, None).expect("a run");
    let found = Plain::new(options, Mistake::None).run(21);
    assert!((out.log_z[0] - found).abs() < 1.0e-3, "{} for {found}", out.log_z[0]);
}
