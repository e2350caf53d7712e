//! Runs by every resampling scheme: each step beside its oracle, launches, and evidence that stays unbiased.

use feynkac::kernels::device::{Buf, Device};
use feynkac::kernels::passes::step::{Carried, Cells};
use feynkac::registry::SCHEMES;
use feynkac::run::{Outcome, Run, group_seed, read};
use feynkac::verify::verify;
use feynkac::{Method, Model, Options, Policy, Rule, Schedule, Scheme, sample};

use crate::methods::s1::slow;
use crate::reference::{evidence, model};

on_every_device! { every_scheme_agrees_with_its_oracle, evidence_is_unbiased, groups_stand_alone }

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

/// How the particles of the start lie.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    AsDrawn,
    /// By position: a scheme that favours early slots would favour one side of the target.
    Sorted,
}

/// A run from the start in that order.
fn run_from(device: &Device, options: &Options, order: Order) -> Outcome {
    let models = [mixture()];
    if order == Order::AsDrawn {
        return sample(device, &models, options, None).expect("a run");
    }
    let mut run = Run::new(device, &models, options).expect("a run");
    run.begin().expect("a start");
    let first = &run.carried[0];
    // On the line every buffer has one number a slot.
    let x = first.x.download(device).expect("positions");
    let of = &run.of;
    let mut order: Vec<usize> = (0..of.stride()).collect();
    for group in order.chunks_exact_mut(of.padded()) {
        group[..of.slots].sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    }
    let permuted = |values: &[f32]| -> Buf<f32> {
        let values: Vec<f32> = order.iter().map(|&from| values[from]).collect();
        device.upload("sorted", &values).expect("an upload")
    };
    let scores = Cells::F32(permuted(&first.scores.download(device).expect("scores")));
    let log_w = permuted(&device.download(&first.log_w).expect("log-weights"));
    let log_p = permuted(&device.download(&first.log_p).expect("log-densities"));
    let x = Cells::F32(permuted(&x));
    run.carried[0] = Carried { x, scores, log_w, log_p, ..first.clone() };
    (0..options.steps).for_each(|step| run.advance(step).expect("a step"));
    read(&run).expect("an end")
}

/// E[exp log_z] is the integral of q^beta whatever unbiased scheme resamples, when, and however the particles of the
/// start lie: docs/maths.md (8).
fn evidence_is_unbiased(device: &Device) {
    // As many as make a standard error of 1 %, or in software one of 2 %.
    let (groups, most) = if slow(device) { (800, 0.02) } else { (3000, 0.01) };
    let judge = |scheme: Scheme, policy: Policy, order: Order, beta: f64| {
        let mut options = options(scheme);
        (options.rule, options.resample) = (Rule::Exact, policy);
        (options.particles, options.groups, options.steps, options.beta) = (32, groups, 12, beta);
        let out = run_from(device, &options, order);
        let (ratio, error) = evidence(&out.log_z, integral(&options).ln());
        let times = out.resampled_at.iter().map(Vec::len).sum::<usize>() as f64 / groups as f64;
        println!(
            "{} {scheme:?} {policy:?} {order:?}: mean Z / Z = {ratio:.4} +- {error:.4}, {times:.1} resamplings",
            device.backend()
        );
        (ratio, error, times)
    };
    let (every, ess) = (Policy::Every, Policy::Ess(0.8));
    for &(scheme, name, _) in SCHEMES {
        if scheme.with_steps(1).is_some() {
            continue;
        }
        for (policy, order) in [(every, Order::AsDrawn), (ess, Order::AsDrawn), (every, Order::Sorted)] {
            let (ratio, error, times) = judge(scheme, policy, order, 1.2);
            assert!((ratio - 1.0).abs() < 4.0 * error, "{name}, {policy:?}, {order:?}: {ratio} +- {error}");
            assert!(error < most, "{name}: {error}");
            assert!(times > 0.9, "{name}, {policy:?}: resampled {times} times a run");
        }
    }
    // The control: one Metropolis step leaves its bias.
    for scheme in [Scheme::Metropolis(1), Scheme::Megopolis(1)] {
        let (ratio, error, _) = judge(scheme, every, Order::AsDrawn, 0.5);
        assert!((ratio - 1.0).abs() > 4.0 * error, "{scheme:?} must miss: {ratio} +- {error}");
    }
}

/// Each of five groups is the run of its own, whatever scheme resamples (known mistake 4).
fn groups_stand_alone(device: &Device) {
    for &(scheme, name, _) in SCHEMES {
        for particles in [37, 700] {
            let mut options = options(scheme);
            (options.resample, options.particles, options.steps) = (Policy::Ess(0.7), particles, 12);
            (options.groups, options.seed) = (5, 91);
            let beside = run_from(device, &options, Order::AsDrawn);
            assert!(beside.resampled_at.iter().all(|at| !at.is_empty()), "{name}: every group is resampled");
            options.groups = 1;
            for g in [0, 3] {
                options.seed = group_seed(91, g);
                let alone = run_from(device, &options, Order::AsDrawn);
                let own = g * particles..(g + 1) * particles;
                let words = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
                let what = format!("{name}, group {g} of {particles}");
                assert!(words(&beside.x[own.clone()]) == words(&alone.x), "{what}: positions");
                assert!(words(&beside.log_w[own.clone()]) == words(&alone.log_w), "{what}: log-weights");
                assert_eq!(beside.ancestors[own], alone.ancestors, "{what}");
                assert_eq!(beside.log_z[g].to_bits(), alone.log_z[0].to_bits(), "{what}");
                assert_eq!(beside.resampled_at[g], alone.resampled_at[0], "{what}");
            }
        }
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
