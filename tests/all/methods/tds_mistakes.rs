//! Mistakes that stand in released twisted samplers, made on purpose in a sampler of plain loops and f64: each must miss
//! what the right version meets. The numbers are those of the list of known mistakes.

use feynkac::kernels::device::Device;
use feynkac::run::{Outcome, group_seed};
use feynkac::{Model, Options, Policy, Schedule, Target, Task, sample};

use super::chain::{clean, posterior};
use super::s1::{seed, slow};
use super::tds::{gaussian, linear, tiny};
use super::tds_plain::{Mistake, Plain};
use crate::reference::{evidence, target};

on_every_device! { weights_beyond_an_exponential, a_group_stands_alone, copies_part_at_once }

const VE: Schedule = Schedule::Ve { sigma_min: 0.1, sigma_max: 10.0 };

fn options(policy: Policy) -> Options {
    let mut options = tiny(linear(), VE);
    options.resample = policy;
    options
}

/// The same twisted as if there were more noise: weights have more to say.
fn rough(policy: Policy) -> Options {
    let mut options = options(policy);
    options.twisting.as_mut().expect("a twist").scale = 4.0;
    options
}

/// From the model alone, by the ESS: groups resample at different steps.
fn alone() -> Options {
    let mut options = options(Policy::Ess(0.6));
    options.twisting.as_mut().expect("a twist").lean = 0.0;
    options
}

/// In few steps that end in much noise: there the last one has something to say.
fn coarse() -> Options {
    let mut options = rough(Policy::Every);
    (options.schedule, options.steps) = (Schedule::Ve { sigma_min: 1.0, sigma_max: 10.0 }, 6);
    options
}

/// log Z of `options` over a Gaussian.
fn exact(model: &Target, options: &Options) -> f64 {
    let Target::Gaussian(model) = model else { panic!("a Gaussian") };
    posterior(&clean(model, options), &options.twisting.as_ref().expect("a twist").task).0
}

/// (name, model, options, about log Z) of runs whose weights have no exponential in f32: a measurement far from all that the
/// model draws, and a reward of coordinates far from 0.
fn beyond() -> [(&'static str, Target, Options, f64); 2] {
    let outlying = Task::Linear { operator: vec![1.0, 0.5, 0.0], measured: vec![170.0], noise: vec![10.0] };
    let large = Task::Reward { slope: vec![1.0, 0.0, 0.3], curvature: vec![0.0; 3], centre: vec![0.0; 3] };
    let far = target(
        "kind = 'gaussian'\nmean = [120.5, -0.3, 0.2]\n\
         covariance = [[1.0, 0.6, 0.2], [0.6, 1.2, -0.3], [0.2, -0.3, 0.8]]\n",
    );
    [("outlying", gaussian(), tiny(outlying, VE), -145.0), ("large", far, tiny(large, VE), 121.0)]
}

/// The mean evidence of many tiny runs is exact within 4 standard errors, or it is not.
fn judge(mistake: Mistake, model: Target, options: Options) {
    let policy = options.resample;
    let plain = Plain::new(model.clone(), options, mistake);
    let wanted = exact(&model, &plain.options);
    // Of a mistake what is thirty times too much is no more than that: estimates beyond all bounds would have no error.
    let most = if mistake == Mistake::None { f64::INFINITY } else { wanted + 30.0_f64.ln() };
    let log_z: Vec<f64> = (0..500).map(|g| plain.run(group_seed(seed(12), g)).log_z.min(most)).collect();
    let (ratio, error) = evidence(&log_z, wanted);
    println!("{mistake:?}, {policy:?}: mean Z / Z = {ratio:.3e} +- {error:.1e}, ln {:+.2}", ratio.ln());
    let off = (ratio - 1.0).abs();
    if mistake == Mistake::None {
        assert!(off < 4.0 * error && error < 0.05, "{ratio} +- {error}");
    } else {
        assert!(off > 4.0 * error, "{mistake:?} must fail: {ratio} +- {error}");
    }
}

/// Mistakes 1, 3, 12, 15, 18.
#[test]
fn each_mistake_misses_the_evidence() {
    for (mistake, options) in [
        (Mistake::None, options(Policy::Every)),
        (Mistake::None, options(Policy::Ess(0.5))),
        (Mistake::None, coarse()),
        (Mistake::NotMultiplied, options(Policy::Ess(0.5))),
        (Mistake::LastUnused, coarse()),
        (Mistake::NoRatio, options(Policy::Every)),
        (Mistake::NoRatio, options(Policy::Never)),
        (Mistake::StaleTwists, options(Policy::Every)),
        (Mistake::ScoreOfNewState, options(Policy::Every)),
    ] {
        judge(mistake, gaussian(), options);
    }
}

/// Mistake 2: weights below and above all numbers that an f32 or a bound of 1e10 leaves them.
#[test]
fn exponentials_need_their_largest() {
    for (name, model, options, about) in beyond() {
        let wanted = exact(&model, &options);
        assert!((wanted - about).abs() < 5.0, "{name}: log Z = {wanted}");
        for mistake in [Mistake::None, Mistake::ExponentialFirst] {
            judge(mistake, model.clone(), options.clone());
        }
    }
}

/// The same runs on a device, which meet their evidence.
fn weights_beyond_an_exponential(device: &Device) {
    for (name, model, mut options, _) in beyond() {
        options.groups = if slow(device) { 400 } else { 4000 };
        options.seed = seed(22);
        let wanted = exact(&model, &options);
        let out = sample(device, &[Model::Analytic(model)], &options, None).expect("a run");
        let (ratio, error) = evidence(&out.log_z, wanted);
        println!("{} {name}, log Z = {wanted:.1}: mean Z / Z = {ratio:.4} +- {error:.4}", device.backend());
        let most = if slow(device) { 0.08 } else { 0.02 };
        assert!((ratio - 1.0).abs() < 4.0 * error && error < most, "{name}: {ratio} +- {error}");
    }
}

/// Mistake 4 in f64: what comes of a group does not depend on who runs beside it.
#[test]
fn groups_decide_for_themselves() {
    let seeds: Vec<u64> = (0..8).map(|g| group_seed(seed(4), g)).collect();
    let moved = |mistake| {
        let plain = Plain::new(gaussian(), alone(), mistake);
        let beside = plain.run_beside(&seeds);
        let pairs = beside.iter().zip(&seeds).map(|(beside, &seed)| (beside, plain.run(seed)));
        pairs.filter(|(a, b)| a.log_z != b.log_z || a.now != b.now).count()
    };
    assert_eq!(moved(Mistake::None), 0);
    let moved = moved(Mistake::OneDecision);
    println!("one decision for all changes {moved} of 8 groups");
    assert!(moved >= 4, "the control must fail");
}

/// The same on a device, to the bit: every group is the run of its own, though they resample at different steps.
fn a_group_stands_alone(device: &Device) {
    let run = |options: &Options| -> Outcome {
        sample(device, &[Model::Analytic(gaussian())], options, None).expect("a run")
    };
    let mut options = alone();
    let bits = |all: &[f32]| all.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    for particles in [16, 37] {
        (options.particles, options.groups, options.seed) = (particles, 5, seed(44));
        let beside = run(&options);
        let at = &beside.resampled_at;
        assert!(at.iter().any(|other| *other != at[0]), "the same decisions everywhere: {at:?}");
        for (g, at) in at.iter().enumerate() {
            let own = Options { groups: 1, seed: group_seed(options.seed, g), ..options.clone() };
            let alone = run(&own);
            let (x, w) = (g * particles * 3..(g + 1) * particles * 3, g * particles..(g + 1) * particles);
            assert_eq!(*at, alone.resampled_at[0], "decisions of group {g} of {particles}");
            assert_eq!(bits(&beside.x[x]), bits(&alone.x), "positions of group {g} of {particles}");
            assert_eq!(bits(&beside.log_w[w]), bits(&alone.log_w), "log-weights of group {g} of {particles}");
            assert_eq!(beside.log_z[g].to_bits(), alone.log_z[0].to_bits(), "log Z of group {g}");
        }
    }
}

/// Mistake 16 in f64: after a resampling at every step no two particles are the same.
#[test]
fn copies_part() {
    let twins = |mistake| {
        let plain = Plain::new(gaussian(), rough(Policy::Every), mistake);
        let twice = |g: usize| {
            let now = plain.run(group_seed(seed(3), g)).now;
            (0..now.len()).filter(|i| now[..*i].iter().any(|other| other.x == now[*i].x)).count()
        };
        (0..8).map(twice).sum::<usize>()
    };
    assert_eq!(twins(Mistake::None), 0);
    let twins = twins(Mistake::NoiseOfAncestor);
    println!("noise of the ancestor leaves {twins} of 128 particles that another is already");
    assert!(twins > 0, "the control must fail");
}

/// The same on a device: three f32 never meet by chance.
fn copies_part_at_once(device: &Device) {
    let mut options = rough(Policy::Every);
    (options.particles, options.seed) = (3000, seed(3));
    let out = sample(device, &[Model::Analytic(gaussian())], &options, None).expect("a run");
    assert!(out.distinct_roots[0] < options.particles / 2, "there were copies: {:?}", out.distinct_roots);
    let mut x: Vec<Vec<u32>> = out.x.chunks(3).map(|p| p.iter().map(|x| x.to_bits()).collect()).collect();
    x.sort_unstable();
    assert!(x.windows(2).all(|pair| pair[0] != pair[1]), "two particles are the same");
}

/// Without a mistake it follows the device, before any resampling.
#[test]
fn the_plain_sampler_is_the_device() {
    let options = Options { seed: 21, ..options(Policy::Never) };
    let device = crate::support::device("cpu").expect("the CPU");
    let out = sample(&device, &[Model::Analytic(gaussian())], &options, None).expect("a run");
    let found = Plain::new(gaussian(), options, Mistake::None).run(21).log_z;
    assert!((out.log_z[0] - found).abs() < 1.0e-3, "{} for {found}", out.log_z[0]);
}
