//! Birth and death in place of resampling: docs/maths.md (6.3).

use feynkac::kernels::device::Device;
use feynkac::plan::{Pass, Plan};
use feynkac::verify::verify;
use feynkac::{Given, Method, Options, Policy, Rule, Schedule, Scheme, resample, sample};

use crate::methods::s1::{exact, models, seed, slow};
use crate::reference::{Moments, estimate};

on_every_device! { runs_agree_with_their_oracles, moments_of_fine_steps_are_right, who_lives_stays, weights_alone_are_refused }

fn anneal(beta: f64, scheme: Scheme) -> Options {
    let mut options = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 0.1, sigma_max: 10.0 });
    (options.beta, options.scheme, options.resample) = (beta, scheme, Policy::Every);
    options
}

#[test]
fn passes_are_three() {
    let options = anneal(1.5, Scheme::Clock);
    let plan = Plan::of(&options, &models(&options)).expect("a plan");
    assert_eq!(plan.step, [Pass::Fused, Pass::Births, Pass::Resample, Pass::Deaths]);
}

fn runs_agree_with_their_oracles(device: &Device) {
    for (scheme, resample, unfused) in [
        (Scheme::BirthDeath, Policy::Every, true),
        (Scheme::BirthDeath, Policy::Interval(2), false),
        (Scheme::Clock, Policy::Every, false),
        (Scheme::Clock, Policy::Ess(0.9), false),
    ] {
        let mut options = anneal(1.4, scheme);
        (options.resample, options.unfused) = (resample, unfused);
        (options.particles, options.groups, options.steps) = (300, 2, 6);
        let verdict = verify(device, &models(&options), &options).expect("a walk");
        assert!(verdict.agrees() && verdict.steps == 6, "{scheme:?}, {resample:?}: {verdict}");
    }
}

/// Steps so fine that the bias of the scheme is below the acceptance of S1. The control is the run without weights.
fn moments_of_fine_steps_are_right(device: &Device) {
    let few = slow(device);
    for scheme in if few { vec![Scheme::Clock] } else { vec![Scheme::BirthDeath, Scheme::Clock] } {
        let mut options = anneal(0.5, scheme);
        (options.rule, options.steps, options.groups) = (Rule::Trap, if few { 100 } else { 300 }, 8);
        (options.particles, options.seed) = (if few { 1500 } else { 5000 }, seed(77));
        let wanted = exact(&options);
        let average = |options: &Options| {
            let out = sample(device, &models(options), options, None).expect("a run");
            let runs: Vec<Moments> = (0..8).map(|g| estimate(&out, g, 8)).collect();
            let mean = |of: &dyn Fn(&Moments) -> f64| runs.iter().map(of).sum::<f64>() / 8.0;
            (mean(&|m| m.mean), mean(&|m| m.variance), mean(&|m| m.log_z))
        };
        let (mean, variance, log_z) = average(&options);
        options.weights = false;
        let (_, without, _) = average(&options);
        println!(
            "{} {scheme:?}: mean {mean:.3} ({:.3}), variance {variance:.3} ({:.3}), without weights {without:.3}, log Z \
             {log_z:.4} ({:.4})",
            device.backend(),
            wanted.mean,
            wanted.variance,
            wanted.log_z
        );
        assert!((mean - wanted.mean).abs() < 0.08, "{mean}");
        assert!((variance / wanted.variance - 1.0).abs() < 0.06, "{variance} for {}", wanted.variance);
        assert!((log_z - wanted.log_z).abs() < 0.1, "{log_z} for {}", wanted.log_z);
        assert!((without / wanted.variance - 1.0).abs() > 0.1, "the control must fail: {without}");
    }
}

/// A jump moves those who die and nobody else: far fewer than a resampling of the same weights.
fn who_lives_stays(device: &Device) {
    let stays = |scheme: Scheme| {
        let mut options = anneal(1.4, scheme);
        (options.particles, options.steps, options.genealogy) = (2000, 40, true);
        let out = sample(device, &models(&options), &options, None).expect("a run");
        assert!(!scheme.jumps() || out.resampled_at[0].len() == 39);
        let all = out.genealogy.expect("parents");
        let own = |step: usize| all.row(step, 0).iter().enumerate().filter(|(i, p)| **p == *i as u32).count();
        (20..30).map(own).sum::<usize>() as f64 / 20_000.0
    };
    let [jumps, clock, drawn] = [Scheme::BirthDeath, Scheme::Clock, Scheme::Multinomial].map(stays);
    println!("{}: {jumps} and {clock} stay, {drawn} by multinomial resampling", device.backend());
    assert!(jumps > 0.7 && jumps < 0.9999, "{jumps}");
    assert!(clock > 0.7 && clock < 0.9999, "{clock}");
    assert!(drawn < 0.1, "the control: {drawn}");
}

fn weights_alone_are_refused(device: &Device) {
    let error =
        resample(device, Given::Weights(&[1.0, 2.0]), 1, Scheme::BirthDeath, 0).expect_err("no steps");
    assert!(error.to_string().starts_with("scheme: found BirthDeath, wanted one that resamples"), "{error}");
}
