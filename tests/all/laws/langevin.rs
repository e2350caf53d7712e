//! Langevin moves between steps: docs/maths.md (7.8).

use std::cell::RefCell;

use feynkac::coeffs;
use feynkac::kernels::device::Device;
use feynkac::kernels::methods::StepCoeffs;
use feynkac::kernels::passes::init;
use feynkac::kernels::passes::step::oracle::{At, Particle, plain_step as step};
use feynkac::run::{Glance, group_seed};
use feynkac::verify::verify;
use feynkac::{Langevin, Method, Model, Noise, Options, Policy, Rule, Schedule, Sde, Target, sample};

use crate::methods::s1::{exact, models, seed, slow};
use crate::reference::estimate;

on_every_device! {
    none_is_the_run_without, rows_agree_with_their_oracle, a_coarse_run_comes_closer, steps_are_what_is_reported,
    copies_of_an_ode_part, evidence_stays_unbiased,
}

fn anneal(beta: f64) -> Options {
    let mut options = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 0.1, sigma_max: 10.0 });
    options.beta = beta;
    options
}

fn none_is_the_run_without(device: &Device) {
    let mut options = anneal(1.5);
    (options.particles, options.groups, options.steps) = (300, 2, 9);
    let without = sample(device, &models(&options), &options, None).expect("a run");
    options.langevin.size = 0.7;
    let none = sample(device, &models(&options), &options, None).expect("a run");
    assert_eq!((&none.x, &none.log_w, &none.log_z), (&without.x, &without.log_w, &without.log_z));
    assert_eq!((&none.ess, &none.resampled_at), (&without.ess, &without.resampled_at));
    assert_eq!(none.counters, without.counters);
    // And one is not: the control.
    options.langevin.moves = 1;
    assert_ne!(sample(device, &models(&options), &options, None).expect("a run").x, without.x);
}

fn rows_agree_with_their_oracle(device: &Device) {
    for (rule, resample, unfused) in [
        (Rule::Trap, Policy::Ess(0.7), false),
        (Rule::Trap, Policy::Every, true),
        (Rule::Left, Policy::Interval(2), false),
        (Rule::Exact, Policy::Window(0.2, 0.9), false),
        (Rule::Exact, Policy::Every, false),
    ] {
        let mut options = anneal(1.4);
        (options.rule, options.resample, options.unfused) = (rule, resample, unfused);
        (options.particles, options.groups, options.steps) = (150, 2, 4);
        options.langevin = Langevin { moves: 2, size: 0.3 };
        let rows = coeffs::rows(&options).expect("rows").count();
        let verdict = verify(device, &models(&options), &options).expect("a walk");
        assert!(verdict.agrees(), "{rule:?}, {resample:?}: {verdict}");
        assert!(verdict.steps == rows && rows > options.steps, "{rule:?}, {resample:?}: {verdict}");
    }
}

/// Twenty steps are too few for the trapezoid rule, whose bias is O(h): its log-evidence is off by a half. Moves take
/// the cloud back to the target of each level, which halves that.
fn a_coarse_run_comes_closer(device: &Device) {
    let mut options = anneal(1.5);
    (options.steps, options.resample) = (20, Policy::Every);
    (options.groups, options.particles, options.seed) =
        (8, if slow(device) { 3000 } else { 20_000 }, seed(700));
    let wanted = exact(&options);
    let off = |options: &Options| {
        let out = sample(device, &models(options), options, None).expect("a run");
        let runs: Vec<_> = (0..options.groups).map(|g| estimate(&out, g, options.groups)).collect();
        let average = |of: &dyn Fn(usize) -> f64| (0..runs.len()).map(of).sum::<f64>() / runs.len() as f64;
        let log_z = average(&|g| runs[g].log_z);
        let se = (average(&|g| (runs[g].log_z - log_z).powi(2)) / (runs.len() - 1) as f64).sqrt();
        (log_z - wanted.log_z, se, average(&|g| runs[g].mean) - wanted.mean)
    };
    let (without, without_se, _) = off(&options);
    options.langevin = Langevin { moves: 5, size: 0.2 };
    let (with, with_se, mean) = off(&options);
    println!(
        "S1 {} anneal 1.5, {} steps: log Z off by {without:+.4} +- {without_se:.4}, with 5 moves by {with:+.4} +- \
         {with_se:.4}; mean {mean:+.4}",
        device.backend(),
        options.steps
    );
    let error = (without_se.powi(2) + with_se.powi(2)).sqrt();
    assert!(without.abs() > 10.0 * without_se, "the control: a coarse run must be wrong");
    assert!(with.abs() + 5.0 * error < without.abs(), "moves must help by five standard errors");
    assert!(mean.abs() < 0.05, "acceptance of S1: {mean}");
}

fn steps_are_what_is_reported(device: &Device) {
    let mut options = anneal(1.5);
    (options.particles, options.groups, options.steps) = (64, 2, 7);
    (options.resample, options.genealogy) = (Policy::Interval(3), true);
    options.langevin = Langevin { moves: 2, size: 0.1 };
    let rows = 7 + 2 * 2;
    let seen = RefCell::new(Vec::new());
    let mut watch = |glance: Glance| seen.borrow_mut().push((glance.step, glance.steps));
    let out = sample(device, &models(&options), &options, Some(&mut watch)).expect("a run");
    assert!(seen.borrow().iter().all(|(step, steps)| step <= steps && *steps == 7), "{seen:?}");
    for group in 0..2 {
        assert_eq!((out.ess[group].len(), &out.resampled_at[group]), (7, &vec![2, 5]));
    }
    let genealogy = out.genealogy.expect("parents");
    assert_eq!(genealogy.steps(), 7);
    for step in 0..7 {
        let own = (0..64).all(|slot| genealogy.row(step, 1)[slot] == slot as u32);
        assert_eq!(own, ![2, 5].contains(&step), "step {step}");
    }
    let launches = out.counters.launches_per_step;
    // Three launches a row (step, resampling, genealogy); the share of moves among the rows of the loop differs by
    // less than a row.
    let wanted = 3.0 * rows as f64 / 7.0;
    assert!((launches - wanted).abs() < 1.0e-9, "{launches} for {wanted}");
    // Errors name the step that was asked for, not the row.
    options.langevin.moves = 4;
    assert_eq!(coeffs::rows(&options).expect("rows").step(5), 2);
}

/// Without noise of its own an ODE may resample, because moves part the copies.
fn copies_of_an_ode_part(device: &Device) {
    let mut options = anneal(1.5);
    (options.particles, options.steps, options.resample, options.sde) = (500, 20, Policy::Every, Sde::Ode);
    let error = sample(device, &models(&options), &options, None).expect_err("copies would stay together");
    assert!(error.to_string().contains("or Langevin moves"), "{error}");
    options.langevin = Langevin { moves: 1, size: 0.1 };
    let out = sample(device, &models(&options), &options, None).expect("a run");
    let mut bits: Vec<u32> = out.x.iter().map(|x| x.to_bits()).collect();
    bits.sort_unstable();
    bits.dedup();
    assert!(bits.len() > 490, "{} of 500 particles differ", bits.len());
}

/// Mean of exp(log_z) over many tiny groups, its standard error, and the truth.
fn unbiased(z: &[f64], options: &Options) -> (f64, f64, f64) {
    let mean = z.iter().sum::<f64>() / z.len() as f64;
    let variance = z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / (z.len() - 1) as f64;
    (mean, (variance / z.len() as f64).sqrt(), exact(options).log_z.exp())
}

/// Under the exact rule moves are weighed, so that evidence stays unbiased whatever their size: here a large one. The control forgets the weight of a move.
fn evidence_stays_unbiased(device: &Device) {
    let mut options = anneal(0.8);
    (options.rule, options.resample) = (Rule::Exact, Policy::Every);
    (options.particles, options.groups, options.steps) = (32, 4000, 10);
    options.langevin = Langevin { moves: 2, size: 1.0 };
    let out = sample(device, &models(&options), &options, None).expect("a run");
    let z: Vec<f64> = out.log_z.iter().map(|log_z| log_z.exp()).collect();
    let (mean, error, exact) = unbiased(&z, &options);
    println!("{}: Z with moves {mean:.4} +- {error:.4}, exactly {exact:.4}", device.backend());
    assert!((mean - exact).abs() < 4.0 * error, "{mean} +- {error} for {exact}");
    assert!(error < 0.01 * exact, "{error}");
}

/// Plain loops in f64 without any resampling: log Z of each group, moves weighed or forgotten.
fn plainly(options: &Options, weighed: bool) -> Vec<f64> {
    let Some(Model::Analytic(target)) = models(options).pop() else { panic!("a closed form") };
    let levels = coeffs::levels(options).expect("levels");
    let mut rows = coeffs::steps(options, &levels, 1).expect("coefficients");
    for row in rows.iter_mut().filter(|row| !weighed && row.back_shrink == 1.0 && row.back_drift > 0.0) {
        row.exact = 0.0;
    }
    let start = coeffs::start(options, &models(options), levels[0]).expect("a start");
    let evaluate = |target: &Target, x: &[f64], at: Noise| {
        (vec![target.score(x, at.alpha, at.sigma)], vec![target.log_density(x, at.alpha, at.sigma)])
    };
    let one = |seed: u64, slot: usize| {
        let (x, log_w) = init::oracle::draw(&start, seed, slot);
        let (scores, log_q) = evaluate(&target, &x, levels[0]);
        let log_p = options.beta * log_q[0];
        let mut now = Particle { x, scores, log_w: log_w + log_p, log_p, log_q: Vec::new() };
        for (i, row) in rows.iter().enumerate() {
            let row: &StepCoeffs = row;
            let method = options.method.row().oracle;
            let at = At { seed, slot, step: i };
            now = step(&now, at, row, method, true, |x| evaluate(&target, x, levels[i + 1]));
        }
        now.log_w.exp()
    };
    let k = options.particles;
    (0..options.groups)
        .map(|g| (0..k).map(|slot| one(group_seed(options.seed, g), slot)).sum::<f64>() / k as f64)
        .collect()
}

#[test]
fn a_move_whose_weight_is_forgotten_biases_the_evidence() {
    let mut options = anneal(0.8);
    (options.rule, options.resample) = (Rule::Exact, Policy::Never);
    (options.particles, options.groups, options.steps) = (32, 4000, 10);
    options.langevin = Langevin { moves: 2, size: 1.0 };
    let (right, error, exact) = unbiased(&plainly(&options, true), &options);
    let (wrong, wrong_error, _) = unbiased(&plainly(&options, false), &options);
    println!("Z {right:.4} +- {error:.4}, forgotten {wrong:.4} +- {wrong_error:.4}, exactly {exact:.4}");
    assert!((right - exact).abs() < 4.0 * error, "{right} +- {error} for {exact}");
    assert!((wrong - exact).abs() > 4.0 * wrong_error, "the control must fail: {wrong} +- {wrong_error}");
}
