//! The `exact` rule: exp(log Z) is unbiased at any number of particles and steps.

use feynkac::kernels::device::Device;
use feynkac::{Method, Model, Options, Policy, Rule, Schedule, sample};

use super::s1::{exact, models, seed, slow};
use crate::reference::{evidence, gaussian, model, product, target};

on_every_device! { every_step_count, tiny_groups }

const VE: Schedule = Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 };
/// So few steps cannot span more without weights of endless variance.
const SHORT: Schedule = Schedule::Ve { sigma_min: 0.2, sigma_max: 10.0 };
const VP: Schedule = Schedule::VpLinear { b0: 0.1, b1: 20.0 };

/// Log-mean of the evidence estimates within three standard errors of exact at every number of steps.
fn every_step_count(device: &Device) {
    let cases = [
        ("CFG 2", Method::FkcGuidance, 2.0, VE, false),
        ("geometric 0.5", Method::FkcGuidance, 0.5, VE, false),
        ("anneal 1.5", Method::FkcAnneal, 1.5, VP, false),
        ("Gaussian 1.5", Method::FkcAnneal, 1.5, VE, true),
    ];
    let mut wrong = Vec::new();
    for (case, (name, method, beta, schedule, single)) in cases.into_iter().enumerate() {
        let mut options = Options::new(method, schedule);
        options.beta = beta;
        options.groups = 64;
        // Fewer particles give larger standard errors; the rule is unbiased at any number.
        options.particles = if slow(device) { 250 } else { 1000 };
        let (models, wanted) = if single {
            let (alpha, sigma) = (schedule.alpha(options.t_min), schedule.sigma(options.t_min));
            let q = target(&gaussian());
            (vec![model(&gaussian())], product(&[(&q, beta)], alpha, sigma).log_z)
        } else {
            (models(&options), exact(&options).log_z)
        };
        for steps in [15, 25, 50, 100, 200] {
            options.steps = steps;
            let mut judge = |rule: Rule| {
                options.rule = rule;
                options.seed = seed(700 + 10 * case as u64 + steps as u64);
                let out = sample(device, &models, &options, None).expect("a run");
                let (ratio, error) = evidence(&out.log_z, wanted);
                let label = format!("{rule:?}").to_lowercase();
                println!(
                    "S2 {:<5} {name:<13} {label:<5} N = {steps:<3} log-mean Z - exact {:+.4} +- {:.4}",
                    device.backend(),
                    ratio.ln(),
                    error / ratio
                );
                (ratio.ln(), error / ratio)
            };
            let (off, error) = judge(Rule::Exact);
            if off.abs() > 3.0 * error {
                wrong.push(format!("{name}, N = {steps}: {off} +- {error}"));
            }
            // The control: the other rules are off at few steps. (An estimate beyond f64 has no error, and is off.)
            if steps == 25 {
                for rule in [Rule::Trap, Rule::Left] {
                    let (off, error) = judge(rule);
                    if off.abs() <= 3.0 * error {
                        wrong.push(format!("{name}: {rule:?} must miss at N = {steps}: {off} +- {error}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Thousands of groups of 8 to 64 particles and 10 to 30 steps: |mean Z / Z - 1| < 4 standard errors, each
/// below 1 %, whether resampled at every step, by the ESS, or never.
fn tiny_groups(device: &Device) {
    let cases: [(&str, Method, f64, Schedule, usize, usize, usize); 4] = [
        ("anneal 0.5", Method::FkcAnneal, 0.5, SHORT, 64, 30, 2000),
        ("anneal 1.5", Method::FkcAnneal, 1.5, Schedule::RectifiedFlow, 64, 30, 4000),
        ("CFG 2", Method::FkcGuidance, 2.0, SHORT, 32, 20, 5000),
        ("geometric 0.5", Method::FkcGuidance, 0.5, Schedule::RectifiedFlow, 8, 10, 8000),
    ];
    let mut wrong = Vec::new();
    for (case, (name, method, beta, schedule, particles, steps, groups)) in cases.into_iter().enumerate() {
        let mut options = Options::new(method, schedule);
        (options.beta, options.particles, options.steps, options.groups) = (beta, particles, steps, groups);
        if schedule == Schedule::RectifiedFlow {
            (options.t_max, options.t_min) = if beta > 1.0 { (0.8, 0.2) } else { (0.9, 0.1) };
        }
        if slow(device) && case % 2 == 1 {
            continue;
        }
        let models: Vec<Model> = models(&options);
        let wanted = exact(&options).log_z;
        for (at, policy) in [Policy::Every, Policy::Ess(0.5), Policy::Never].into_iter().enumerate() {
            options.resample = policy;
            // Without resampling the estimates spread more.
            let groups = if policy == Policy::Never { 3 * groups } else { groups };
            options.groups = groups;
            options.seed = seed(3000 + 10 * case as u64 + at as u64);
            let mut judge = |rule: Rule| {
                options.rule = rule;
                let out = sample(device, &models, &options, None).expect("a run");
                let (ratio, error) = evidence(&out.log_z, wanted);
                println!(
                    "S2 {:<5} {name:<13} {rule:?} {groups} x {particles} x {steps} {policy:?}: mean Z / Z = {ratio:.4} +- {error:.4}",
                    device.backend()
                );
                (ratio, error)
            };
            let (ratio, error) = judge(Rule::Exact);
            if (ratio - 1.0).abs() >= 4.0 * error || error >= 0.01 {
                wrong.push(format!("{name}, {policy:?}: {ratio} +- {error}"));
            }
            // The control; the geometric average changes too little here for the rule to matter (below 0.1 %).
            if policy == Policy::Every && (method == Method::FkcAnneal || beta > 1.0) {
                let (ratio, error) = judge(Rule::Trap);
                if (ratio - 1.0).abs() < 4.0 * error {
                    wrong.push(format!("{name}: the trapezoid must miss: {ratio} +- {error}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
