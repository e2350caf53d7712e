//! Runs by every resampling scheme: each step beside its oracle, launches, and evidence that stays unbiased.

use feynkac::kernels::device::Device;
use feynkac::registry::SCHEMES;
use feynkac::verify::verify;
use feynkac::{Method, Model, Options, Policy, Rule, Schedule, Scheme, sample};

use crate::reference::model;

on_every_device! { every_scheme_agrees_with_its_oracle, evidence_is_unbiased }

fn mixture() -> Model {
    model("kind = 'mixture'\nweights = [0.4, 0.6]\nmeans = [[-1.0], [1.2]]\nscales = [0.7, 0.8]\n")
}

fn options(scheme: Scheme) -> Options {
    let mut options = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 0.1, sigma_max: 10.0 });
    (options.beta, options.scheme, options.resample) = (1.5, scheme, Policy::Every);
    options
}

fn every_scheme_agrees_with_its_oracle(device: &Device) {
    for &(scheme, name, _) in SCHEMES {
        let mut options = options(scheme);
        (options.particles, options.groups, options.steps) = (700, 2, 4);
        let verdict = verify(device, &[mixture()], &options).expect("a walk");
        assert!(verdict.agrees(), "{name}: {verdict}");
        (options.steps, options.at_once) = (6, 4);
        let counters = sample(device, &[mixture()], &options, None).expect("a run").counters;
        let launches = if scheme == Scheme::Residual { 3 } else { 2 };
        if scheme != Scheme::Systematic {
            assert_eq!(counters.launches_per_step, f64::from(launches), "{name}");
        }
    }
}

/// E[exp log_z] is the integral of q^beta whatever unbiased scheme resamples: docs/maths.md (8).
fn evidence_is_unbiased(device: &Device) {
    for &(scheme, name, _) in SCHEMES {
        if scheme.with_steps(1).is_some() {
            continue;
        }
        let mut options = options(scheme);
        options.rule = Rule::Exact;
        (options.particles, options.groups, options.steps, options.beta) = (32, 3000, 12, 1.2);
        let out = sample(device, &[mixture()], &options, None).expect("a run");
        let z: Vec<f64> = out.log_z.iter().map(|log_z| log_z.exp()).collect();
        let mean = z.iter().sum::<f64>() / z.len() as f64;
        let variance = z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / (z.len() - 1) as f64;
        let error = (variance / z.len() as f64).sqrt();
        let exact = integral(&options);
        println!("{name}: Z = {mean:.4} +- {error:.4}, exactly {exact:.4}");
        assert!((mean - exact).abs() < 4.0 * error, "{name}: {mean} +- {error} for {exact}");
        assert!(error < 0.01 * exact, "{name}: {error}");
    }
}

/// The integral of q(x, t_min)^beta by the trapezium rule.
fn integral(options: &Options) -> f64 {
    let Model::Analytic(target) = mixture() else { panic!("a closed form") };
    let t = options.t_min;
    let (alpha, sigma) = (options.schedule.alpha(t), options.schedule.sigma(t));
    let step = 1.0e-3;
    (-15_000..=15_000)
        .map(|i| step * (options.beta * target.log_density(&[f64::from(i) * step], alpha, sigma)).exp())
        .sum()
}
