//! Resampling by other weights than the particles' own: docs/maths.md (3.1).

use feynkac::coeffs;
use feynkac::kernels::device::Device;
use feynkac::kernels::passes::init;
use feynkac::kernels::passes::priority::oracle::priorities;
use feynkac::kernels::passes::step::oracle::{At, Particle, plain_step as step};
use feynkac::plan::{Pass, Plan};
use feynkac::run::{group_seed, order};
use feynkac::verify::verify;
use feynkac::{Final, Langevin, Method, Model, Noise, Options, Policy, Rule, Schedule, Scheme, sample};

use super::plain::systematic;
use crate::methods::s1::{exact, models, seed, slow};
use crate::reference::estimate;

on_every_device! {
    runs_agree_with_their_oracles, evidence_is_unbiased, a_window_leaves_the_others_alone, all_weights_end_equal,
    moments_are_right,
}

fn anneal(beta: f64) -> Options {
    let mut options = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 0.1, sigma_max: 10.0 });
    (options.beta, options.resample) = (beta, Policy::Every);
    options
}

#[test]
fn usual_resampling_has_no_pass_more() {
    let mut options = anneal(1.5);
    let usual = Plan::of(&options, &models(&options)).expect("a plan");
    assert!(!usual.step.contains(&Pass::Priority) && !usual.keeps.handed);
    options.temper = 0.999;
    let plan = Plan::of(&options, &models(&options)).expect("a plan");
    assert_eq!(plan.step, [Pass::Fused, Pass::Priority, Pass::Resample]);
    options.weights = false;
    assert_eq!(Plan::of(&options, &models(&options)).expect("a plan").step, [Pass::Fused]);
}

fn runs_agree_with_their_oracles(device: &Device) {
    for (temper, partial, scheme, resample, unfused) in [
        (0.5, 1.0, Scheme::Systematic, Policy::Every, false),
        (0.3, 1.0, Scheme::Multinomial, Policy::Ess(0.8), true),
        (0.7, 1.0, Scheme::Residual, Policy::Every, false),
        (0.7, 1.0, Scheme::Rejection, Policy::Interval(2), false),
        (1.0, 0.4, Scheme::Systematic, Policy::Every, false),
        (1.0, 0.1, Scheme::Stratified, Policy::Ess(0.9), true),
    ] {
        let mut options = anneal(1.4);
        (options.temper, options.partial, options.scheme) = (temper, partial, scheme);
        (options.resample, options.unfused) = (resample, unfused);
        (options.particles, options.groups, options.steps) = (300, 2, 4);
        let verdict = verify(device, &models(&options), &options).expect("a walk");
        assert!(verdict.agrees() && verdict.steps == 4, "{temper} {partial} {scheme:?}: {verdict}");
    }
}

/// Mean of exp(log_z) over groups with its standard error.
fn mean(log_z: &[f64]) -> (f64, f64) {
    let z: Vec<f64> = log_z.iter().map(|log_z| log_z.exp()).collect();
    let mean = z.iter().sum::<f64>() / z.len() as f64;
    let variance = z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / (z.len() - 1) as f64;
    (mean, (variance / z.len() as f64).sqrt())
}

fn tiny(temper: f64, partial: f64, scheme: Scheme) -> Options {
    let mut options = anneal(0.8);
    (options.temper, options.partial, options.scheme, options.rule) = (temper, partial, scheme, Rule::Exact);
    (options.particles, options.groups, options.steps, options.seed) = (32, 3000, 12, seed(80));
    options
}

fn evidence_is_unbiased(device: &Device) {
    let mut cases = vec![
        (0.5, 1.0, Scheme::Systematic, Policy::Every, Final::Weighted),
        (1.0, 0.25, Scheme::Systematic, Policy::Every, Final::Weighted),
        (1.0, 0.5, Scheme::Stratified, Policy::Ess(0.9), Final::Resample),
    ];
    if !slow(device) {
        cases.extend([
            (0.5, 1.0, Scheme::Multinomial, Policy::Ess(0.9), Final::Resample),
            (0.3, 1.0, Scheme::Residual, Policy::Every, Final::Weighted),
            (0.5, 1.0, Scheme::Rejection, Policy::Every, Final::Weighted),
            (1.0, 0.3, Scheme::Systematic, Policy::Interval(2), Final::Weighted),
        ]);
    }
    for (temper, partial, scheme, resample, last) in cases {
        let mut options = tiny(temper, partial, scheme);
        options.groups = if slow(device) { 2000 } else { 3000 };
        (options.resample, options.last) = (resample, last);
        let out = sample(device, &models(&options), &options, None).expect("a run");
        let (found, error) = mean(&out.log_z);
        let wanted = exact(&options).log_z.exp();
        let what = format!("temper {temper}, partial {partial}, {scheme:?}, {resample:?}");
        println!("{}: {what}: Z {found:.4} +- {error:.4}, exactly {wanted:.4}", device.backend());
        assert!(out.resampled_at.iter().any(|steps| steps.len() > 1), "{what}: it must resample");
        assert!((found - wanted).abs() < 4.0 * error, "{what}: {found} +- {error} for {wanted}");
        assert!(error < 0.02 * wanted, "{what}: {error}");
    }
}

/// Plain loops in f64: log Z of every group, what survivors keep being remembered or forgotten.
fn plainly(options: &Options, kept: bool) -> Vec<f64> {
    let Some(Model::Analytic(target)) = models(options).pop() else { panic!("a closed form") };
    let levels = coeffs::levels(options).expect("levels");
    let rows = coeffs::steps(options, &levels, 1).expect("coefficients");
    let start = coeffs::start(options, &models(options), levels[0]).expect("a start");
    let evaluate = |x: &[f64], Noise { alpha, sigma, .. }: Noise| {
        (vec![target.score(x, alpha, sigma)], vec![target.log_density(x, alpha, sigma)])
    };
    let k = options.particles;
    let log_mean = |logs: &[f64]| {
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        top + (logs.iter().map(|l| (l - top).exp()).sum::<f64>() / k as f64).ln()
    };
    let group = |seed: u64| {
        let begin = |slot: usize| {
            let (x, log_w) = init::oracle::draw(&start, seed, slot);
            let (scores, log_q) = evaluate(&x, levels[0]);
            let log_p = options.beta * log_q[0];
            Particle { x, scores, log_w: log_w + log_p, log_p, log_q: Vec::new() }
        };
        let mut now: Vec<Particle> = (0..k).map(begin).collect();
        let mut log_z = 0.0;
        for (i, row) in rows.iter().enumerate() {
            let method = options.method.row().oracle;
            let moved = |(slot, from): (usize, &Particle)| {
                step(from, At { seed, slot, step: i }, row, method, true, |x| evaluate(x, levels[i + 1]))
            };
            now = now.iter().enumerate().map(moved).collect();
            let log_w: Vec<f64> = now.iter().map(|p| p.log_w).collect();
            if i + 1 == rows.len() {
                log_z += log_mean(&log_w);
                continue;
            }
            let (power, first, count) = order(options, i, rows.len(), k);
            let chosen = priorities(&log_w, power, first, count);
            let logs: Vec<f64> = chosen.iter().map(|(v, _)| *v).collect();
            log_z += log_mean(&logs);
            let weights: Vec<f64> = logs.iter().map(|v| (v - log_mean(&logs)).exp()).collect();
            let parents = systematic(&weights, group_seed(seed, i + 1) as f64 / 2.0_f64.powi(64));
            let survivor = |&p: &usize| {
                let log_w = if kept { chosen[p].1 } else { 0.0 };
                Particle { log_w, ..now[p].clone() }
            };
            now = parents.iter().map(survivor).collect();
        }
        log_z
    };
    (0..options.groups).map(|g| group(group_seed(options.seed, g))).collect()
}

#[test]
fn a_kept_weight_that_is_forgotten_biases_the_evidence() {
    for (temper, partial) in [(0.5, 1.0), (1.0, 0.25)] {
        let options = tiny(temper, partial, Scheme::Systematic);
        let wanted = exact(&options).log_z.exp();
        let [(right, error), (wrong, wrong_error)] = [true, false].map(|kept| mean(&plainly(&options, kept)));
        println!("{temper} {partial}: {right:.4} +- {error:.4}, {wrong:.4} +- {wrong_error:.4}, {wanted:.4}");
        assert!((right - wanted).abs() < 4.0 * error, "{right} +- {error} for {wanted}");
        assert!((wrong - wanted).abs() > 4.0 * wrong_error, "the control must fail: {wrong}");
    }
}

/// Outside of the window every particle is its own parent.
fn a_window_leaves_the_others_alone(device: &Device) {
    for scheme in [Scheme::Systematic, Scheme::Stratified] {
        let mut options = anneal(1.4);
        (options.partial, options.scheme, options.genealogy) = (0.3, scheme, true);
        (options.particles, options.steps, options.groups) = (1500, 8, 2);
        let out = sample(device, &models(&options), &options, None).expect("a run");
        let genealogy = out.genealogy.expect("parents");
        for step in 0..7 {
            let (_, first, count) = order(&options, step, 8, 1500);
            let inside = |slot: usize| (slot + 1500 - first) % 1500 < count;
            let own = |slot: usize| genealogy.row(step, 1)[slot] == slot as u32;
            let moved = (0..1500).filter(|&slot| !inside(slot) && !own(slot)).count();
            // Rounding of the mean by 1e-6 of itself shifts the points by a thousandth of a slot: one of them, if any.
            assert!(moved <= 8, "{scheme:?}, step {step}: {moved} outside of the window moved");
            let chosen = (0..1500).filter(|&slot| inside(slot) && !own(slot)).count();
            assert!(chosen > 20, "{scheme:?}, step {step}: {chosen} inside of it");
        }
    }
}

fn all_weights_end_equal(device: &Device) {
    for (temper, partial) in [(0.4, 1.0), (1.0, 0.2)] {
        let mut options = anneal(1.4);
        (options.temper, options.partial, options.last) = (temper, partial, Final::Resample);
        (options.particles, options.steps) = (200, 6);
        options.langevin = Langevin { moves: 1, size: 0.1 };
        let out = sample(device, &models(&options), &options, None).expect("a run");
        assert!(out.log_w.iter().all(|l| *l == 0.0));
        assert_eq!(out.resampled_at[0], [0, 1, 2, 3, 4, 5]);
        options.last = Final::Weighted;
        let out = sample(device, &models(&options), &options, None).expect("a run");
        assert!(out.ess[0].iter().all(|ess| *ess < 199.9 && *ess > 1.0), "{:?}", out.ess[0]);
    }
}

/// The moments of S1, by the exact rule.
fn moments_are_right(device: &Device) {
    for (temper, partial) in [(0.5, 1.0), (1.0, 0.3)] {
        let mut options = anneal(0.5);
        (options.temper, options.partial, options.rule) = (temper, partial, Rule::Exact);
        let (particles, steps) = if slow(device) { (1000, 20) } else { (8000, 40) };
        (options.particles, options.steps, options.groups) = (particles, steps, 8);
        options.seed = seed(90);
        let out = sample(device, &models(&options), &options, None).expect("a run");
        let runs: Vec<_> = (0..8).map(|g| estimate(&out, g, 8)).collect();
        let wanted = exact(&options);
        let figures = [
            ("mean", runs.iter().map(|m| m.mean).collect::<Vec<f64>>(), wanted.mean),
            ("variance", runs.iter().map(|m| m.variance).collect(), wanted.variance),
            ("log Z", runs.iter().map(|m| m.log_z).collect(), wanted.log_z),
        ];
        for (what, found, wanted) in figures {
            let mean = found.iter().sum::<f64>() / 8.0;
            let error = (found.iter().map(|f| (f - mean).powi(2)).sum::<f64>() / 56.0).sqrt();
            println!(
                "{} {temper} {partial}: {what} {mean:.4} +- {error:.4} for {wanted:.4}",
                device.backend()
            );
            // Eight runs: a t of 7 degrees of freedom is beyond 9 as often as a normal beyond five errors.
            assert!((mean - wanted).abs() < 9.0 * error, "{temper} {partial}: {what} {mean} for {wanted}");
        }
    }
}
