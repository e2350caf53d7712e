//! What a step adds to log-weights, made milder: docs/maths.md (3.2).

use feynkac::kernels::device::Device;
use feynkac::plan::{Pass, Plan};
use feynkac::verify::verify;
use feynkac::{Method, Options, Policy, Rule, Schedule, sample};

use crate::methods::s1::{exact, models, seed, slow};
use crate::reference::estimate;

on_every_device! { runs_agree_with_their_oracles, a_centre_is_counted, cuts_bias_and_wide_ones_do_not }

fn anneal(beta: f64) -> Options {
    let mut options = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 0.1, sigma_max: 10.0 });
    options.beta = beta;
    options
}

#[test]
fn usual_weights_have_no_pass_more() {
    let mut options = anneal(1.5);
    let plan = |options: &Options| Plan::of(options, &models(options)).expect("a plan").step;
    assert_eq!(plan(&options), [Pass::Fused, Pass::Resample]);
    (options.centre, options.temper) = (true, 0.5);
    assert_eq!(plan(&options), [Pass::Fused, Pass::Increments, Pass::Priority, Pass::Resample]);
    options.weights = false;
    assert_eq!(plan(&options), [Pass::Fused]);
}

fn runs_agree_with_their_oracles(device: &Device) {
    for (rule, quantile, centre, clamp, unfused) in [
        (Rule::Left, Some(0.9), false, None, false),
        (Rule::Trap, Some(0.7), true, Some(0.5), true),
        (Rule::Exact, None, true, Some(2.0), false),
    ] {
        let mut options = anneal(1.4);
        (options.rule, options.quantile, options.centre, options.clamp) = (rule, quantile, centre, clamp);
        (options.particles, options.groups, options.steps, options.unfused) = (300, 2, 5, unfused);
        options.resample = Policy::Ess(0.8);
        let verdict = verify(device, &models(&options), &options).expect("a walk");
        assert!(verdict.agrees() && verdict.steps == 5, "{rule:?}: {verdict}");
    }
}

/// Log Z counts what the centre took off the weights, which without resampling is all that it changes.
fn a_centre_is_counted(device: &Device) {
    let mut options = anneal(1.5);
    (options.particles, options.groups, options.steps, options.resample) = (500, 3, 12, Policy::Never);
    let usual = sample(device, &models(&options), &options, None).expect("a run");
    options.centre = true;
    let centred = sample(device, &models(&options), &options, None).expect("a run");
    assert_eq!(centred.x, usual.x);
    for group in 0..3 {
        let shift = |slot: usize| f64::from(usual.log_w[slot] - centred.log_w[slot]);
        let first = shift(500 * group);
        // The control: what is forgotten would be missed.
        assert!(first.abs() > 0.5, "group {group}: {first} was taken off");
        let largest = usual.log_w.iter().map(|l| l.abs()).fold(0.0, f32::max);
        // Twelve sums of numbers of that size.
        let rounding = 24.0 * f64::from(largest) * f64::from(f32::EPSILON);
        assert!((0..500).all(|slot| (shift(500 * group + slot) - first).abs() < rounding), "group {group}");
        let off = centred.log_z[group] - usual.log_z[group];
        assert!(off.abs() < rounding + 1.0e-5, "group {group}: log Z off by {off}");
    }
}

fn log_z(device: &Device, options: &Options) -> (f64, f64) {
    let out = sample(device, &models(options), options, None).expect("a run");
    let found: Vec<f64> = (0..options.groups).map(|g| estimate(&out, g, options.groups).log_z).collect();
    let n = found.len() as f64;
    let mean = found.iter().sum::<f64>() / n;
    (mean, (found.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt())
}

/// The known mistake of cuts that are on by default (5, 6): they bias the target. So wide that they cut nothing they
/// leave it as it is.
fn cuts_bias_and_wide_ones_do_not(device: &Device) {
    let mut options = anneal(1.5);
    (options.rule, options.resample, options.steps) = (Rule::Exact, Policy::Every, 40);
    (options.particles, options.groups, options.seed) = (if slow(device) { 1000 } else { 4000 }, 8, seed(60));
    let wanted = exact(&options).log_z;
    (options.centre, options.clamp) = (true, Some(1.0e4));
    let (wide, wide_error) = log_z(device, &options);
    (options.centre, options.clamp) = (false, Some(0.1));
    let (clamped, clamped_error) = log_z(device, &options);
    (options.quantile, options.clamp) = (Some(0.8), None);
    let (cut, cut_error) = log_z(device, &options);
    println!(
        "{}: log Z {wanted:.3}: wide {wide:.3} +- {wide_error:.3}, clamped {clamped:.3} +- {clamped_error:.3}, \
         quantile {cut:.3} +- {cut_error:.3}",
        device.backend()
    );
    // Eight runs: a t of 7 degrees of freedom is beyond 9 as often as a normal beyond five errors.
    assert!((wide - wanted).abs() < 9.0 * wide_error, "{wide} +- {wide_error} for {wanted}");
    assert!((clamped - wanted).abs() > 9.0 * clamped_error, "a clamp that bites: {clamped}");
    assert!((cut - wanted).abs() > 9.0 * cut_error, "a quantile that bites: {cut}");
}
