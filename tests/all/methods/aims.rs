//! Targets beyond a product of constant powers, on the line, against quadrature: a mixture of models, exponents that
//! change on the way, a reward by two drifts, an energy with a transport of its own. Acceptance as in `s1`: mean within
//! 0.05, variance within 6 %, log-evidence within 0.1; the controls are the same particles without weights, and for a
//! mixture the average of the scores.

use feynkac::kernels::device::Device;
use feynkac::{Growth, Method, Model, Options, Policy, Reward, Rule, Schedule, sample};

use super::s1::{averaged, seed, slow};
use crate::reference::{Moments, evidence, mixture, model, q1, q2, quadrature, target};

on_every_device! { moments, tiny_groups }

const VE: Schedule = Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 };
const SHORT: Schedule = Schedule::Ve { sigma_min: 0.2, sigma_max: 10.0 };

/// Two models far enough apart that their mixture is not their average.
fn apart() -> [String; 2] {
    [mixture(&[0.4, 0.6], &[-2.0, -1.0], &[0.3, 0.2]), mixture(&[0.5, 0.5], &[1.0, 2.0], &[0.4, 0.3])]
}

/// N(1.5, 0.8): what is rewarded.
fn reward() -> String {
    mixture(&[1.0], &[1.5], &[0.8])
}

struct Case {
    name: &'static str,
    options: Options,
    tomls: Vec<String>,
    /// Without its weights the variance is off by more than this share.
    control: Option<f64>,
}

fn cases(schedule: Schedule) -> Vec<Case> {
    let case = |name, method, tomls: Vec<String>, control| {
        let mut options = Options::new(method, schedule);
        options.models = tomls.len();
        Case { name, options, tomls, control }
    };
    let mut mixed = case("mixture .3 .7", Method::FkcMixture, apart().into(), None);
    mixed.options.powers = vec![0.3, 0.7];
    let mut changing = case("anneal .6 to 1.4", Method::FkcAnneal, vec![q1()], Some(0.1));
    (changing.options.beta, changing.options.beta_from) = (1.4, Some(0.6));
    let mut pair = case("(1.2, .1) to (.4, .7)", Method::FkcCompose, vec![q1(), q2()], None);
    (pair.options.powers, pair.options.powers_from) = (vec![0.4, 0.7], vec![1.2, 0.1]);
    let tilted = |name, drift, control| {
        let mut tilted = case(name, Method::FkcAnneal, vec![q1()], control);
        tilted.options.reward = Some(Reward { scale: 1.0, growth: Growth::Signal, drift });
        tilted.tomls.push(reward());
        tilted
    };
    let mut carried = case("q1^1.2 by q2", Method::FkcTransport, vec![q1(), q2()], Some(0.1));
    carried.options.beta = 1.2;
    vec![
        mixed,
        changing,
        pair,
        tilted("reward", None, Some(0.1)),
        tilted("reward, c = .75", Some(0.75), None),
        carried,
    ]
}

impl Case {
    fn models(&self) -> Vec<Model> {
        self.tomls.iter().map(|toml| model(toml)).collect()
    }

    /// What the run must find.
    fn exact(&self) -> Moments {
        let o = &self.options;
        let (alpha, sigma) = (o.schedule.alpha(o.t_min), o.schedule.sigma(o.t_min));
        let models: Vec<_> = self.tomls.iter().map(|toml| target(toml)).collect();
        let log_q = |m: usize, x: f64| {
            let (alpha, sigma) = if m < o.models { (alpha, sigma) } else { (1.0, 0.0) };
            models[m].log_density(&[x], alpha, sigma)
        };
        let powers = o.exponents();
        quadrature(sigma, |x| match o.method {
            Method::FkcMixture => (0..o.models).map(|m| powers[m] * log_q(m, x).exp()).sum::<f64>().ln(),
            _ => {
                let product: f64 = (0..o.models).map(|m| powers[m] * log_q(m, x)).sum();
                product + o.reward.map_or(0.0, |reward| reward.scale * log_q(o.models, x))
            }
        })
    }
}

fn moments(device: &Device) {
    let mut wrong = Vec::new();
    for (at, case) in cases(VE).into_iter().enumerate() {
        let (models, wanted) = (case.models(), case.exact());
        for (label, rule, weights) in
            [("trap", Rule::Trap, true), ("exact", Rule::Exact, true), ("none", Rule::Trap, false)]
        {
            if !weights && case.control.is_none() || slow(device) && (label != "trap" || at % 2 == 1) {
                continue;
            }
            let mut options = case.options.clone();
            // A drift of its own has twice the bias of the common one under the trapezoid: twice the steps.
            let own = options.reward.is_some_and(|reward| reward.drift.is_some());
            (options.particles, options.steps, options.groups) = (10_000, if own { 400 } else { 200 }, 4);
            (options.rule, options.weights, options.seed) = (rule, weights, seed(900 + at as u64));
            if !weights {
                options.resample = Policy::Never;
            }
            let [(mean, mean_se), (variance, variance_se), (log_z, log_z_se)] =
                averaged(device, &models, &options);
            println!(
                "aims {:<5} {:<22} {label:<5} mean {mean:6.3}+-{mean_se:.3} ({:6.3})  variance \
                 {variance:6.3}+-{variance_se:.3} ({:6.3})  log Z {log_z:7.4}+-{log_z_se:.4} ({:7.4})",
                device.backend(),
                case.name,
                wanted.mean,
                wanted.variance,
                wanted.log_z
            );
            let off = (variance / wanted.variance - 1.0).abs();
            let right = (mean - wanted.mean).abs() < 0.05 && off < 0.06 && (log_z - wanted.log_z).abs() < 0.1;
            if weights && !right {
                wrong.push(format!("{}, {label}", case.name));
            }
            if !weights && case.control.is_some_and(|least| off <= least) {
                wrong.push(format!(
                    "{}: without weights the variance must be off, and is by {off}",
                    case.name
                ));
            }
        }
    }
    // The control of a mixture: the average of the scores is the score of another density.
    let mixed = &cases(VE)[0];
    let mut options = Options::new(Method::FkcCompose, VE);
    (options.models, options.powers) = (2, vec![0.3, 0.7]);
    (options.particles, options.groups, options.weights) = (10_000, 4, false);
    options.resample = Policy::Never;
    let [_, (variance, _), _] = averaged(device, &mixed.models(), &options);
    println!(
        "aims average of the scores: variance {variance:.3}, of the mixture {:.3}",
        mixed.exact().variance
    );
    assert!((variance / mixed.exact().variance - 1.0).abs() > 0.3, "the control must fail");
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Thousands of small groups under the exact rule: |mean Z / Z - 1| < 4 standard errors, each below 2 %.
fn tiny_groups(device: &Device) {
    let mut wrong = Vec::new();
    for (at, case) in cases(SHORT).into_iter().enumerate() {
        if slow(device) && at != 2 {
            continue;
        }
        let (models, wanted) = (case.models(), case.exact().log_z);
        let judge = |rule: Rule, policy: Policy| {
            let mut options = case.options.clone();
            (options.particles, options.steps, options.groups) = (32, 20, 4000);
            (options.rule, options.resample, options.seed) = (rule, policy, seed(950 + at as u64));
            let out = sample(device, &models, &options, None).expect("a run");
            let (ratio, error) = evidence(&out.log_z, wanted);
            println!(
                "aims {:<5} {:<22} {rule:?} {policy:?}: mean Z / Z = {ratio:.4} +- {error:.4}",
                device.backend(),
                case.name
            );
            (ratio, error)
        };
        for policy in [Policy::Every, Policy::Ess(0.5)] {
            let (ratio, error) = judge(Rule::Exact, policy);
            if (ratio - 1.0).abs() >= 4.0 * error || error >= 0.02 {
                wrong.push(format!("{}, {policy:?}: {ratio} +- {error}", case.name));
            }
        }
        // The control: at so few steps the trapezoid is biased. A mixture's rate is zero, and nothing is weighed.
        let (ratio, error) = judge(Rule::Trap, Policy::Every);
        if case.options.method != Method::FkcMixture && (ratio - 1.0).abs() < 4.0 * error {
            wrong.push(format!("{}: the trapezoid must miss: {ratio} +- {error}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
