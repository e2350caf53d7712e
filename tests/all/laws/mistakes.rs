//! Mistakes that stand in released samplers, made on purpose: each must fail the check that the right version
//! passes. The numbers are those of the list of known mistakes: 1 to 9, 14 to 16 here; 10 is with the command line, 11
//! with resampling; 12 and 18 are with the twisted sampler; 13 and 17 belong to samplers that are not here.

use std::path::Path;

use feynkac::kernels::device::Device;
use feynkac::kernels::passes::resample::oracle::offspring;
use feynkac::kernels::passes::weights::Weights;
use feynkac::kernels::prims::state::BLOCK;
use feynkac::run::group_seed;
use feynkac::{Error, Final, Method, Model, Options, Policy, Rule, Schedule, sample};

use super::plain::{Mistake, Plain, systematic};
use crate::methods::s1::{exact, seed};
use crate::passes::resample::{population, resampled};
use crate::reference::{evidence, model, normalised, q1, target};

on_every_device! {
    a_shift_of_log_weights_changes_nothing, dead_particles_leave_no_offspring, a_nan_is_refused,
    half_the_weights_are_zero, copies_part_at_once, decisions_follow_the_ess,
}

/// Annealing to 0.5 with the exact rule: unbiased at any size.
fn tiny(policy: Policy) -> Options {
    let mut o = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 });
    (o.beta, o.rule, o.resample, o.particles, o.steps) = (0.5, Rule::Exact, policy, 32, 24);
    o
}

/// Mistakes 1, 3, 5, 6, 9, 14: the mean evidence of many tiny runs is exact within 4 standard errors, or it is not.
#[test]
fn unbiased_evidence() {
    let every = Policy::Every;
    for (mistake, policy) in [
        (Mistake::None, every),
        (Mistake::None, Policy::Ess(0.5)),
        (Mistake::NotMultiplied, Policy::Ess(0.5)),
        (Mistake::LastUnused, every),
        (Mistake::LastUnused, Policy::Ess(0.5)),
        (Mistake::Clamped, every),
        (Mistake::Cut, every),
        (Mistake::ResetFirst, Policy::Ess(0.5)),
        (Mistake::WideStart, every),
    ] {
        let mut options = tiny(policy);
        if mistake == Mistake::LastUnused {
            // Few steps that end in noise: there the last one has something to say.
            (options.schedule, options.steps) = (Schedule::Ve { sigma_min: 0.5, sigma_max: 50.0 }, 6);
        }
        let plain = Plain::new(options, mistake);
        let wanted = exact(&plain.options).log_z;
        let groups = match mistake {
            Mistake::None => 600,
            Mistake::LastUnused => 1500,
            _ => 400,
        };
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

/// Mistake 4: what comes of a group does not depend on who runs beside it. (`determinism` and `schemes` ask this of the
/// device, to the bit.)
#[test]
fn groups_decide_for_themselves() {
    let seeds: Vec<u64> = (0..8).map(|g| group_seed(seed(4), g)).collect();
    let moved = |mistake| {
        let plain = Plain::new(tiny(Policy::Ess(0.5)), mistake);
        let together = plain.run_beside(&seeds);
        let apart = seeds.iter().map(|&seed| plain.run(seed));
        together.iter().zip(apart).filter(|(beside, alone)| **beside != *alone).count()
    };
    assert_eq!(moved(Mistake::None), 0);
    let moved = moved(Mistake::OneDecision);
    println!("one decision for all changes {moved} of 8 groups");
    assert!(moved >= 4, "the control must fail");
}

/// Mistake 7, for a threshold on the ESS: a group is resampled after exactly those steps at which few of its particles
/// count, judged by the weights themselves where they are left.
fn decisions_follow_the_ess(device: &Device) {
    let mut options = tiny(Policy::Ess(0.5));
    (options.groups, options.seed) = (200, seed(7));
    let out = sample(device, &[Model::Analytic(target(&q1()))], &options, None).expect("a run");
    let (k, half) = (options.particles, 0.5 * options.particles as f64);
    let wrong = |asks: &dyn Fn(f64) -> bool| -> usize {
        let groups = out.ess.iter().zip(&out.resampled_at);
        // The last step has nothing after it to resample for.
        groups
            .map(|(ess, at)| (0..options.steps - 1).filter(|s| asks(ess[*s]) != at.contains(s)).count())
            .sum()
    };
    let times: usize = out.resampled_at.iter().map(Vec::len).sum();
    assert!(times > 200 && times < 200 * (options.steps - 1), "resampled {times} times");
    assert_eq!(wrong(&|ess| ess < half), 0);
    assert!(wrong(&|ess| ess > half) > 200, "the control must fail");
    for (g, ess) in out.ess.iter().enumerate() {
        let weights = normalised(&out.log_w[g * k..(g + 1) * k]);
        let wanted = 1.0 / weights.iter().map(|w| w * w).sum::<f64>();
        // Sums of 32 squares in f32.
        assert!((ess[options.steps - 1] / wanted - 1.0).abs() < 1.0e-4, "{ess:?} ends with {wanted}");
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
