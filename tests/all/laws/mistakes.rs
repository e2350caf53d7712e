//! Mistakes that stand in released samplers, made on purpose: each must fail the check that the right version
//! passes. The sampler is plain loops in f64 around the step's oracle, with one switch; the numbers of the checks
//! are those of the list of known mistakes (1, 2, 5, 8, 9, 14, 15, 16; 11 is with resampling, 4 with determinism).

use std::path::Path;

use feynkac::coeffs;
use feynkac::kernels::device::Device;
use feynkac::kernels::methods::StepCoeffs;
use feynkac::kernels::passes::init;
use feynkac::kernels::passes::resample::oracle::offspring;
use feynkac::kernels::passes::step::oracle::{At, Particle, Point, Rows, step};
use feynkac::kernels::passes::weights::Weights;
use feynkac::kernels::prims::state::BLOCK;
use feynkac::run::group_seed;
use feynkac::{Error, Final, Method, Model, Noise, Options, Policy, Rule, Schedule, Target, sample};

use crate::methods::s1::{exact, models, seed};
use crate::passes::resample::{population, resampled};
use crate::reference::{evidence, model, normalised, q1, target};

on_every_device! {
    a_shift_of_log_weights_changes_nothing, dead_particles_leave_no_offspring, a_nan_is_refused,
    half_the_weights_are_zero, copies_part_at_once,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mistake {
    None,
    /// 1: only the last increment counts, not the product since the last resampling.
    NotMultiplied,
    /// 5: increments centred and clamped.
    Clamped,
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
struct Plain {
    models: Vec<Target>,
    options: Options,
    levels: Vec<Noise>,
    coeffs: Vec<StepCoeffs>,
    mistake: Mistake,
}

impl Plain {
    fn new(options: Options, mistake: Mistake) -> Self {
        let models = models(&options)
            .into_iter()
            .map(|m| if let Model::Analytic(t) = m { t } else { panic!("analytic") });
        let levels = coeffs::levels(&options).expect("levels");
        let coeffs = coeffs::steps(&options, &levels, 1).expect("coefficients");
        Self { models: models.collect(), options, levels, coeffs, mistake }
    }

    fn evaluate(&self, x: &[f64], level: usize) -> Point {
        let Noise { alpha, sigma, .. } = self.levels[level];
        Point {
            scores: self.models.iter().map(|q| q.score(x, alpha, sigma)).collect(),
            log_q: self.models.iter().map(|q| q.log_density(x, alpha, sigma)).collect(),
            laplacians: Vec::new(),
        }
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
                let point = self.evaluate(&x, 0);
                let log_p = point.log_q.iter().zip(&self.coeffs[0].beta).map(|(q, b)| q * b).sum();
                Particle { x, scores: point.scores, log_w, log_p }
            })
            .collect()
    }

    /// (log-evidence, particles) of one group.
    fn run(&self, seed: u64) -> (f64, Vec<Particle>) {
        let k = self.options.particles;
        let mut now = self.begin(seed);
        let mut ancestors: Option<Vec<usize>> = None;
        let mut log_z = 0.0;
        let oracle = self.options.law();
        for (at, c) in self.coeffs.iter().enumerate() {
            let mut next: Vec<Particle> = (0..k)
                .map(|i| {
                    let parent = ancestors.as_ref().map_or(i, |a| a[i]);
                    let mut from = now[parent].clone();
                    if ancestors.is_some() {
                        from.log_w = 0.0;
                    }
                    if self.mistake == Mistake::StaleScores {
                        from.scores.clone_from(&now[i].scores);
                    }
                    let slot = if self.mistake == Mistake::NoiseOfAncestor { parent } else { i };
                    let exact = self.options.rule == Rule::Exact;
                    let old = Point { scores: from.scores.clone(), ..Point::default() };
                    let (at, rows) = (At { seed, slot, step: at }, Rows { c, next: c });
                    let to = step(&from, Some(&old), at, rows, &oracle, exact, |x: &[f64]| {
                        self.evaluate(x, at.step + 1)
                    });
                    let carried = if self.mistake == Mistake::NotMultiplied { from.log_w } else { 0.0 };
                    Particle { log_w: to.log_w - carried, ..to }
                })
                .collect();
            if self.mistake == Mistake::Clamped {
                let before = |i: usize| ancestors.as_ref().map_or(now[i].log_w, |_| 0.0);
                let steps: Vec<f64> = (0..k).map(|i| next[i].log_w - before(i)).collect();
                let centre = steps.iter().sum::<f64>() / k as f64;
                for i in 0..k {
                    next[i].log_w = before(i) + (steps[i] - centre).clamp(-1.0, 1.0);
                }
            }
            let top = next.iter().map(|p| p.log_w).fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = next.iter().map(|p| (p.log_w - top).exp()).collect();
            let (sum, square) = (weights.iter().sum::<f64>(), weights.iter().map(|w| w * w).sum::<f64>());
            let log_mean = top + sum.ln() - (k as f64).ln();
            let resamples = sum * sum < c.ess_share * k as f64 * square;
            if resamples || at + 1 == self.coeffs.len() {
                log_z += if resamples && self.mistake == Mistake::ResetFirst { 0.0 } else { log_mean };
            }
            ancestors =
                resamples.then(|| systematic(&weights, group_seed(seed, at + 1) as f64 / 2.0_f64.powi(64)));
            now = next;
        }
        (log_z, now)
    }
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

/// Annealing to 0.5 with the exact rule: unbiased at any size.
fn tiny(policy: Policy) -> Options {
    let mut o = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 });
    (o.beta, o.rule, o.resample, o.particles, o.steps) = (0.5, Rule::Exact, policy, 32, 24);
    o
}

/// Mistakes 1, 5, 9, 14: the mean evidence of many tiny runs is exact within 4 standard errors, or it is not.
#[test]
fn unbiased_evidence() {
    let every = Policy::Every;
    for (mistake, policy) in [
        (Mistake::None, every),
        (Mistake::None, Policy::Ess(0.5)),
        (Mistake::NotMultiplied, Policy::Ess(0.5)),
        (Mistake::Clamped, every),
        (Mistake::ResetFirst, Policy::Ess(0.5)),
        (Mistake::WideStart, every),
    ] {
        let plain = Plain::new(tiny(policy), mistake);
        let wanted = exact(&plain.options).log_z;
        let groups = if mistake == Mistake::None { 600 } else { 400 };
        let log_z: Vec<f64> = (0..groups).map(|g| plain.run(group_seed(seed(14), g)).0).collect();
        let (ratio, error) = evidence(&log_z, wanted);
        println!("{mistake:?}, {policy:?}: mean Z / Z = {ratio:.4} +- {error:.4}");
        let off = (ratio - 1.0).abs();
        if mistake == Mistake::None {
            assert!(off < 4.0 * error && error < 0.04, "{ratio} +- {error}");
        } else {
            assert!(off > 4.0 * error, "{mistake:?} must fail: {ratio} +- {error}");
        }
    }
}

/// Mistake 15: scores that stay behind when their particles are copied. (The `exact` rule forgives it: any drift is
/// a proposal to it.) The variance is within 6 %, or it is not.
#[test]
fn scores_follow_their_particles() {
    let off = |mistake| {
        let mut options = tiny(Policy::Every);
        (options.rule, options.particles, options.steps) = (Rule::Trap, 3000, 100);
        let plain = Plain::new(options, mistake);
        let now = plain.run(seed(15)).1;
        let weights = normalised(&now.iter().map(|p| p.log_w as f32).collect::<Vec<f32>>());
        let moment =
            |f: &dyn Fn(f64) -> f64| now.iter().zip(&weights).map(|(p, w)| w * f(p.x[0])).sum::<f64>();
        let mean = moment(&|x| x);
        let ratio = moment(&|x| (x - mean).powi(2)) / exact(&plain.options).variance;
        println!("{mistake:?}: variance {ratio:.3} of the exact one");
        (ratio - 1.0).abs()
    };
    assert!(off(Mistake::None) < 0.06);
    assert!(off(Mistake::StaleScores) >= 0.06, "the control must fail");
}

/// Mistake 16 in f64: after a resampling at every step no two particles are the same.
#[test]
fn copies_part() {
    let twins = |mistake| {
        let mut x: Vec<f64> =
            Plain::new(tiny(Policy::Every), mistake).run(seed(3)).1.iter().map(|p| p.x[0]).collect();
        x.sort_by(f64::total_cmp);
        x.windows(2).filter(|pair| pair[0] == pair[1]).count()
    };
    assert_eq!(twins(Mistake::None), 0);
    assert!(twins(Mistake::NoiseOfAncestor) > 0, "the control must fail");
}

/// The same on a device, in the plane: two f32 pairs never meet by chance.
fn copies_part_at_once(device: &Device) {
    let toml = "kind = 'gaussian'\nmean = [0.0, 1.0]\ncovariance = [[2.0, 0.5], [0.5, 1.0]]\n";
    let mut options = tiny(Policy::Every);
    (options.beta, options.particles, options.seed) = (2.0, 3000, seed(3));
    let out = sample(device, &[model(toml)], &options, None).expect("a run");
    assert!(out.distinct_roots[0] < options.particles / 2, "there were copies");
    let mut x: Vec<[u32; 2]> = out.x.chunks(2).map(|p| [p[0].to_bits(), p[1].to_bits()]).collect();
    x.sort_unstable();
    assert!(x.windows(2).all(|pair| pair[0] != pair[1]), "two particles are the same");
}

/// The device's record (exponent, sum, squares, decision) of one group, always to be resampled, and its
/// ancestors.
fn weigh(device: &Device, log_w: &[f32]) -> ([f32; 4], Vec<u32>) {
    let of = population(device, 1, log_w.len(), BLOCK);
    let mut padded = log_w.to_vec();
    padded.resize(of.stride(), -1.0e30);
    let found = resampled(device, (Weights::Log, &padded), &of, &[5], 2.0, u32::MAX);
    let record = &found.norms;
    ([record[0], record[1], record[2], record[3]], found.ancestors[..log_w.len()].to_vec())
}

/// Log of the mean weight, and the effective sample size.
fn summary([m, s, q, _]: [f32; 4], k: usize) -> (f64, f64) {
    (
        f64::from(m) * std::f64::consts::LN_2 + f64::from(s).ln() - (k as f64).ln(),
        f64::from(s).powi(2) / f64::from(q),
    )
}

/// Mistake 2: exp first, clamped at 1e10, NaN to 0.
fn a_shift_of_log_weights_changes_nothing(device: &Device) {
    let base: Vec<f32> = (0..1500).map(|i| (i % 97) as f32 / 16.0).collect();
    let right = |shift: f32| {
        let log_w: Vec<f32> = base.iter().map(|l| l + shift).collect();
        let (log_mean, ess) = summary(weigh(device, &log_w).0, base.len());
        (log_mean - f64::from(shift), ess)
    };
    let wrong = |shift: f32| {
        let w: Vec<f32> = base
            .iter()
            .map(|l| (l + shift).exp().min(1.0e10))
            .map(|w| if w.is_nan() { 0.0 } else { w })
            .collect();
        let (s, q) = (w.iter().sum::<f32>(), w.iter().map(|w| w * w).sum::<f32>());
        (f64::from((s / w.len() as f32).ln() - shift), f64::from(s * s / q))
    };
    let moved = |f: &dyn Fn(f32) -> (f64, f64), shift: f32| {
        let (a, b) = (f(0.0), f(shift));
        // Sums of 1500 terms in f32 along a tree, and f32 shifts that are exact.
        (a.0 - b.0).abs() > 1.0e-4 || (a.1 / b.1 - 1.0).abs() > 1.0e-4 || (a.1 / b.1).is_nan()
    };
    for shift in [-1024.0, -64.0, 64.0, 1024.0] {
        assert!(!moved(&right, shift), "shifted by {shift}: {:?} and {:?}", right(0.0), right(shift));
    }
    for shift in [-1024.0, 64.0, 1024.0] {
        assert!(moved(&wrong, shift), "the control must fail at {shift}");
    }
}

/// Mistake 5, second half: weights clipped to 1e-6 after the softmax.
fn dead_particles_leave_no_offspring(device: &Device) {
    let n = 1 << 20;
    let log_w: Vec<f32> = (0..n).map(|i| if i % 2 == 0 { 0.0 } else { -80.0 }).collect();
    let ancestors = weigh(device, &log_w).1;
    let dead = |counts: &[u32]| counts.iter().skip(1).step_by(2).sum::<u32>();
    assert_eq!(dead(&offspring(&ancestors, n)), 0);
    let clipped: Vec<f64> =
        log_w.iter().map(|l| (f64::from(*l).exp() / (0.5 * n as f64)).max(1.0e-6)).collect();
    let wrong: Vec<u32> = systematic(&clipped, 0.5).iter().map(|&a| a as u32).collect();
    assert!(dead(&offspring(&wrong, n)) > n as u32 / 4, "the control must fail");
}

/// Mistake 8: a NaN makes every ancestor index 0.
fn a_nan_is_refused(device: &Device) {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut log_w = vec![0.25_f32; 1500];
        log_w[700] = bad;
        let (record, ancestors) = weigh(device, &log_w);
        assert_eq!(record[3], -2.0, "a log-weight of {bad} is reported");
        assert!(ancestors.iter().all(|&a| a == u32::MAX), "and nothing is resampled");
    }
    // The mistake: cumulative sums that are NaN compare false with everything.
    let mut through = 0.0;
    let sums: Vec<f64> = (0..1500)
        .map(|i| {
            through += if i == 0 { f64::NAN } else { 1.0 };
            through
        })
        .collect();
    let wrong: Vec<usize> = (0..1500).map(|j| sums.partition_point(|&c| c <= j as f64)).collect();
    assert!(wrong.iter().all(|&a| a == 0), "the control resamples the first particle only");
    // A whole run: a network with one bad number.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/gmm40-mlp");
    let (mut network, _) = Model::open(&path, None).expect("the network");
    let Model::Network(own) = &mut network else { panic!("a network") };
    own.weights.trunk.out.bias[1] = f32::NAN;
    let mut options = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 0.05, sigma_max: 60.0 });
    (options.beta, options.steps, options.particles, options.last) = (2.0, 5, 64, Final::Resample);
    let error = sample(device, &[network], &options, None).expect_err("a NaN must not pass");
    assert!(
        matches!(error, Error::Run { step: 0, group: 0, .. }) && error.to_string().contains("NaN"),
        "{error}"
    );
}

/// Mistake 9: with half of the weights zero the log-evidence is -0.69, not 0.
fn half_the_weights_are_zero(device: &Device) {
    for zero in [-1.0e30_f32, f32::NEG_INFINITY] {
        let log_w: Vec<f32> = (0..2000).map(|i| if i % 2 == 0 { 0.0 } else { zero }).collect();
        let (record, ancestors) = weigh(device, &log_w);
        assert_eq!(record[3], 1.0, "resampled");
        let log_mean = summary(record, 2000).0;
        assert!((log_mean + std::f64::consts::LN_2).abs() < 1.0e-5, "{log_mean}");
        assert!(ancestors.iter().all(|a| a % 2 == 0), "the dead have no offspring");
        // The mistake: all weights of the survivors, counted after the reset, are one.
        let after: f64 = ancestors.iter().map(|&a| if a % 2 == 0 { 1.0 } else { 0.0 }).sum::<f64>() / 2000.0;
        assert!((after.ln() + std::f64::consts::LN_2).abs() > 0.5, "the control must fail");
    }
}

/// The switchboard itself: without a mistake it follows the device, particle by particle, before any resampling.
#[test]
fn the_plain_sampler_is_the_device() {
    let mut options = tiny(Policy::Never);
    (options.rule, options.seed) = (Rule::Trap, 21);
    let device = crate::support::device("cpu").expect("the CPU");
    let out = sample(&device, &[Model::Analytic(target(&q1()))], &options, None).expect("a run");
    let (_, now) = Plain::new(options, Mistake::None).run(21);
    // 24 steps of f32, each moving x by some eps of up to 50 at first.
    for (x, p) in out.x.iter().zip(&now) {
        assert!((f64::from(*x) - p.x[0]).abs() < 1.0e-3, "{x} for {}", p.x[0]);
    }
}
