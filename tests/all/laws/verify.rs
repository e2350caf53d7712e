//! `verify` walks runs on a device and on the oracles in lockstep: every method, rule, kind of target and awkward
//! size agrees to rounding, and a device that leaves its oracle is caught.

use std::path::Path;

use crate::methods::s1::slow;
use feynkac::eigen::Eigen;
use feynkac::kernels::device::Device;
use feynkac::target::{Gaussian, Mixture, Scales};
use feynkac::verify::verify;
use feynkac::{Final, Growth, Method, Model, Options, Policy, Reward, Rule, Schedule, Target};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

on_every_device! { anneal, guidance_and_plain, following, wide, long_loops, unfused, networks, an_overflow_is_caught }

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Full,
    Isotropic,
    Diagonal,
}

const KINDS: [Kind; 3] = [Kind::Full, Kind::Isotropic, Kind::Diagonal];
const SIZES: [(usize, usize); 7] = [(1, 1), (2, 3), (17, 1), (257, 3), (1030, 1), (17, 3), (1030, 3)];
const SCHEDULES: [Schedule; 5] = [
    Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 },
    Schedule::VpLinear { b0: 0.1, b1: 20.0 },
    Schedule::Edm,
    Schedule::VpCosine { c: 0.008 },
    Schedule::RectifiedFlow,
];

/// A random target; a full covariance has a reflection for eigenvectors.
fn target(kind: Kind, dim: usize, seed: u64) -> Model {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut row = |n: usize, lo: f64, hi: f64| (0..n).map(|_| rng.random_range(lo..hi)).collect::<Vec<f64>>();
    Model::Analytic(match kind {
        Kind::Full => {
            let v = row(dim, -1.0, 1.0);
            let square: f64 = v.iter().map(|v| v * v).sum();
            let entry = |i: usize, j: usize| f64::from(u8::from(i == j)) - 2.0 * v[i] * v[j] / square;
            let vectors = (0..dim * dim).map(|at| entry(at / dim, at % dim)).collect();
            let mut values = row(dim, 0.3, 2.0);
            values.sort_by(|a, b| b.total_cmp(a));
            Target::Gaussian(Gaussian { mean: row(dim, -1.0, 1.0), covariance: Eigen { values, vectors } })
        }
        _ => Target::Mixture(Mixture {
            dim,
            weights: vec![0.2, 0.3, 0.5],
            means: row(3 * dim, -1.5, 1.5),
            scales: if kind == Kind::Isotropic {
                Scales::Isotropic(row(3, 0.4, 1.2))
            } else {
                Scales::Diagonal(row(3 * dim, 0.4, 1.2))
            },
        }),
    })
}

/// Walks one run; returns the largest share of the allowed rounding that was used where nothing was resampled (an
/// offspring count may be off by one, and nearly is).
fn check(device: &Device, name: &str, models: &[Model], options: &Options) -> f64 {
    let verdict = verify(device, models, options).expect("a walk");
    assert!(
        verdict.agrees(),
        "{name}, {:?}, {:?}, {} x {} on {}: {verdict}",
        options.method,
        options.rule,
        options.groups,
        options.particles,
        options.schedule.name()
    );
    assert_eq!(verdict.steps, options.steps);
    if options.resample == Policy::Never { verdict.worst } else { 0.0 }
}

/// The `n`th run: sizes, schedules and policies in turn.
fn options(n: usize, method: Method, rule: Rule) -> Options {
    let mut o = Options::new(method, SCHEDULES[n % SCHEDULES.len()]);
    (o.particles, o.groups) = SIZES[n % SIZES.len()];
    (o.beta, o.rule, o.steps, o.seed) = (1.4, rule, 12, 90 + n as u64);
    o.resample = [Policy::Never, Policy::Every, Policy::Ess(0.7), Policy::Interval(2)][n % 4];
    if o.resample != Policy::Never {
        o.last = [Final::Weighted, Final::Resample][n / 4 % 2];
    }
    o
}

fn anneal(device: &Device) {
    let mut n = 0;
    let mut worst = [0.0_f64; 3];
    // A kernel of its own for every size, kind and rule: a software driver compiles half of them.
    let sizes: &[usize] = if slow(device) { &[2, 3] } else { &[1, 2, 3, 5] };
    for &dim in sizes {
        for (k, kind) in KINDS.into_iter().enumerate() {
            for rule in [Rule::Left, Rule::Trap, Rule::Exact] {
                // Each rule over several sizes and schedules.
                for _ in 0..2 {
                    let share = check(
                        device,
                        &format!("{kind:?} {dim}"),
                        &[target(kind, dim, 1)],
                        &options(n, Method::FkcAnneal, rule),
                    );
                    worst[k] = worst[k].max(share);
                    n += 1;
                }
            }
        }
    }
    println!(
        "verify {}: {n} runs of fkc-anneal, worst shares of the allowed rounding {worst:.2?}",
        device.backend()
    );
}

fn guidance_and_plain(device: &Device) {
    let mut n = 0;
    let mut worst = 0.0_f64;
    for (dim, a, b) in [
        (1, Kind::Isotropic, Kind::Full),
        (2, Kind::Diagonal, Kind::Isotropic),
        (5, Kind::Full, Kind::Diagonal),
    ] {
        if slow(device) && dim == 1 {
            continue;
        }
        let models = [target(a, dim, 1), target(b, dim, 2)];
        for rule in [Rule::Left, Rule::Trap, Rule::Exact] {
            for _ in 0..3 {
                worst = worst.max(check(
                    device,
                    &format!("{a:?} to {b:?} {dim}"),
                    &models,
                    &options(n, Method::FkcGuidance, rule),
                ));
                n += 1;
            }
        }
        worst = worst.max(check(
            device,
            &format!("{a:?} {dim}"),
            &models[..1],
            &options(n, Method::Plain, Rule::Trap),
        ));
    }
    println!("verify {}: {n} runs of fkc-guidance and plain, worst share {worst:.2}", device.backend());
}

/// Methods that follow: mixtures, transports, exponents that change, rewards of either drift, fused and apart.
fn following(device: &Device) {
    let mut n = 0;
    let mut worst = 0.0_f64;
    for dim in [2, 5] {
        let models = || -> Vec<Model> {
            KINDS.into_iter().enumerate().map(|(at, kind)| target(kind, dim, 1 + at as u64)).collect()
        };
        for rule in [Rule::Left, Rule::Right, Rule::Trap, Rule::Exact] {
            for case in 0..6 {
                let method =
                    [Method::FkcMixture, Method::FkcTransport, Method::FkcCompose, Method::FkcProduct]
                        [case.min(3)];
                let mut o = options(n, method, rule);
                n += 1;
                // A kernel of its own each: a third of them, of which a software driver compiles half.
                if !(n + n / 6).is_multiple_of(if slow(device) { 6 } else { 3 }) {
                    continue;
                }
                (o.models, o.steps) = (if case == 0 || case == 2 { 3 } else { 2 }, 6);
                match case {
                    0 => o.powers = vec![0.5, 2.0, 1.0],
                    1 => o.beta_from = (n % 2 == 0).then_some(0.8),
                    2 => (o.powers, o.powers_from) = (vec![1.0, 0.7, -0.4], vec![0.5, 0.5, 0.2]),
                    3 => o.beta_from = Some(0.6),
                    _ => {
                        (o.beta, o.beta_from) = (0.7, (n % 2 == 0).then_some(0.9));
                        let growth = [Growth::Signal, Growth::Linear][n % 2];
                        o.reward = Some(Reward { scale: 0.6, growth, drift: (case == 5).then_some(0.9) });
                    }
                }
                o.unfused = rule != Rule::Exact && n % 3 == 0;
                let models: Vec<Model> = models().into_iter().take(o.all_models()).collect();
                worst = worst.max(check(device, &format!("case {case} in {dim}"), &models, &o));
            }
        }
    }
    println!("verify {}: of {n} runs of methods that follow, worst share {worst:.2}", device.backend());
}

/// Dimensions beyond registers.
fn wide(device: &Device) {
    let mut n = 0;
    for kind in KINDS {
        for rule in [Rule::Left, Rule::Trap, Rule::Exact] {
            let mut o = options(n, Method::FkcAnneal, rule);
            check(
                device,
                &format!("{kind:?} 64"),
                &[target(kind, 64, 3)],
                &options(n + 1, Method::FkcAnneal, rule),
            );
            (o.resample, o.last) = (Policy::Never, Final::Weighted);
            let worst = check(device, &format!("{kind:?} 64"), &[target(kind, 64, 3)], &o);
            // The loops of a full 784 are a test of their own.
            let widest = if kind == Kind::Full { 60 } else { 784 };
            (o.steps, o.particles, o.groups) = (2, 5, 2);
            let wider = check(device, &format!("{kind:?} {widest}"), &[target(kind, widest, 3)], &o);
            println!(
                "verify {}: {kind:?} {rule:?}: worst share {worst:.2} in 64, {wider:.2} in {widest} dimensions",
                device.backend()
            );
            n += 1;
        }
    }
}

/// One unit goes through more than 65,535 turns of its loops: as many as Mesa's software driver allows a shader in
/// all before it leaves the loop, whatever it was doing.
fn long_loops(device: &Device) {
    for (kind, dim, particles) in
        [(Kind::Full, 784, 5), (Kind::Isotropic, 64, 127), (Kind::Diagonal, 64, 127), (Kind::Full, 20, 127)]
    {
        let mut o = options(0, Method::FkcAnneal, Rule::Left);
        (o.steps, o.particles, o.groups) = (2, particles, 2);
        // That driver would give a wrong answer for 1.2 million turns a particle; it must be refused there.
        if dim == 784 && device.max_turns().is_some() {
            let error = verify(device, &[target(kind, dim, 3)], &o).expect_err("a refusal");
            assert!(error.to_string().contains("65535 on llvmpipe"), "{error}");
            continue;
        }
        check(device, &format!("{kind:?} {dim}"), &[target(kind, dim, 3)], &o);
    }
}

fn unfused(device: &Device) {
    for (n, (dim, kind)) in
        [(2, Kind::Isotropic), (5, Kind::Full), (1, Kind::Diagonal)].into_iter().enumerate()
    {
        for rule in [Rule::Left, Rule::Trap] {
            let mut o = options(n + 3, Method::FkcAnneal, rule);
            o.unfused = true;
            check(device, &format!("unfused {kind:?} {dim}"), &[target(kind, dim, 5)], &o);
        }
    }
}

fn networks(device: &Device) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/gmm40-mlp");
    for particles in [1, 17, 130] {
        let mut models = vec![Model::open(&path, None).expect("the network").0];
        let mut o = options(0, Method::FkcAnneal, Rule::Trap);
        o.schedule = Schedule::Ve { sigma_min: 0.05, sigma_max: 60.0 };
        (o.beta, o.particles, o.groups) = (2.0, particles, 2);
        o.resample = if particles == 17 { Policy::Every } else { Policy::Never };
        // A closed form beside the network: its reward.
        if particles == 17 {
            let reward = Reward { scale: 0.5, growth: Growth::Signal, drift: Some(0.8) };
            o.reward = Some(reward);
            models.push(target(Kind::Isotropic, 2, 8));
        }
        let worst = check(device, "network", &models, &o);
        println!("verify {}: network, {particles} particles: worst share {worst:.2}", device.backend());
    }
}

/// Scores beyond 2e19 have no square in f32, but have one in f64: the device leaves its oracle, and that is said.
fn an_overflow_is_caught(device: &Device) {
    let narrow = Mixture {
        dim: 1,
        weights: vec![0.5, 0.5],
        means: vec![-900.0, 900.0],
        scales: Scales::Isotropic(vec![1.0e-9; 2]),
    };
    let mut o = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 1.0e-9, sigma_max: 1.0 });
    (o.beta, o.particles, o.steps, o.resample) = (1.5, 40, 4, Policy::Never);
    let verdict = verify(device, &[Model::Analytic(Target::Mixture(narrow))], &o).expect("a walk");
    println!("verify {}: {verdict}", device.backend());
    assert!(verdict.first.is_some_and(|d| d.pass.contains("log-weight")), "the overflow must be found");
}
