//! The ends of what can be asked: a hundred thousand groups, groups of one particle, a window in which no step starts.

use feynkac::kernels::device::Device;
use feynkac::registry::SCHEMES;
use feynkac::{Final, Method, Model, Options, Policy, Rule, Schedule, sample};

use crate::methods::s1::{exact, models, seed, slow};
use crate::reference::{evidence, model, q1};

on_every_device! { a_hundred_thousand_groups, one_particle, a_window_that_never_opens }

/// Annealing to 0.5 over so little noise that a few steps do.
fn short() -> Options {
    let mut options = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 0.2, sigma_max: 10.0 });
    (options.beta, options.rule) = (0.5, Rule::Exact);
    options
}

/// More groups than a dispatch has cubes in a dimension: every one is a run, and together they are unbiased.
fn a_hundred_thousand_groups(device: &Device) {
    let mut options = short();
    (options.groups, options.particles, options.steps) = (100_000, 4, 8);
    (options.resample, options.seed) = (Policy::Every, seed(100));
    if slow(device) {
        // Groups of which a cube each takes one, beyond 65,535.
        (options.particles, options.steps) = (8, 3);
    }
    let out = sample(device, &models(&options), &options, None).expect("a run");
    assert_eq!((out.log_z.len(), out.x.len()), (options.groups, options.groups * options.particles));
    assert!(out.resampled_at.iter().all(|at| at.len() == options.steps - 1));
    let (ratio, error) = evidence(&out.log_z, exact(&options).log_z);
    println!("{}: 100,000 groups: mean Z / Z = {ratio:.4} +- {error:.4}", device.backend());
    assert!((ratio - 1.0).abs() < 4.0 * error && error < 0.01, "{ratio} +- {error}");
    // The last group is the run of its own.
    let mut alone = options.clone();
    (alone.groups, alone.seed) = (1, feynkac::run::group_seed(options.seed, options.groups - 1));
    let own = sample(device, &models(&alone), &alone, None).expect("a run");
    assert_eq!(out.log_z[options.groups - 1].to_bits(), own.log_z[0].to_bits());
    let (all, few) = (out.x.len(), own.x.len());
    assert_eq!(out.x[all - few..], own.x[..]);
    // The control: without its weights the first half of a run is not unbiased.
    let (ratio, error) = evidence(&vec![0.0; options.groups], exact(&options).log_z);
    assert!((ratio - 1.0).abs() > 4.0 * error, "the control must fail");
}

/// A group of one particle is an importance sample of one: it is its own ancestor under every scheme and policy, and its
/// weights multiply up.
fn one_particle(device: &Device) {
    // So little to weigh that single paths have weights of a moderate spread.
    let schedule = Schedule::Ve { sigma_min: 0.5, sigma_max: 2.0 };
    let mild = Options { schedule, beta: 0.8, ..short() };
    let of = |scheme, policy, last| {
        let mut options = mild.clone();
        (options.groups, options.particles, options.steps, options.seed) = (1000, 1, 10, seed(101));
        (options.scheme, options.resample, options.last) = (scheme, policy, last);
        sample(device, &models(&options), &options, None).expect("a run")
    };
    let alone = of(SCHEMES[0].0, Policy::Never, Final::Weighted);
    let (ratio, error) = evidence(&alone.log_z, exact(&mild).log_z);
    println!("{}: groups of one: mean Z / Z = {ratio:.4} +- {error:.4}", device.backend());
    assert!((ratio - 1.0).abs() < 4.0 * error && error < 0.05, "{ratio} +- {error}");
    for &(scheme, name, _) in SCHEMES {
        for (policy, last) in [(Policy::Every, Final::Weighted), (Policy::Ess(1.0), Final::Resample)] {
            let out = of(scheme, policy, last);
            assert!(out.x == alone.x, "{name}, {policy:?}: positions");
            assert!(out.ancestors.iter().all(|&a| a == 0), "{name}, {policy:?}");
            assert!(out.distinct_roots.iter().all(|&n| n == 1), "{name}, {policy:?}");
            assert!(out.ess.iter().flatten().all(|ess| (ess - 1.0).abs() < 1.0e-6), "{name}, {policy:?}");
            for (found, wanted) in out.log_z.iter().zip(&alone.log_z) {
                // Ten increments of up to some tens, rounded one by one or as a sum.
                assert!((found - wanted).abs() < 1.0e-4, "{name}, {policy:?}: {found} for {wanted}");
            }
        }
    }
}

/// docs/maths.md (7.3): where no step starts inside the window, nothing is weighed but the start.
fn a_window_that_never_opens(device: &Device) {
    let models = [model(&q1())];
    for rule in [Rule::Trap, Rule::Exact] {
        let mut options = short();
        (options.rule, options.particles, options.steps, options.groups) = (rule, 300, 10, 2);
        options.resample = Policy::Window(20.0, 30.0);
        let out = sample(device, &models, &options, None).expect("a run");
        assert!(out.resampled_at.iter().all(Vec::is_empty));
        let mut plain = options.clone();
        plain.weights = false;
        let without = sample(device, &models, &plain, None).expect("a run");
        assert_eq!(out.x, without.x, "{rule:?}: the particles of a run without weights");
        // What is left is the weight of the start, which does not change any more.
        for ess in &out.ess {
            assert!(ess.iter().all(|e| e == &ess[0]) && ess[0] > 100.0, "{rule:?}: {ess:?}");
        }
        let mut start = options.clone();
        start.t_min = start.t_max;
        let wanted = exact(&start).log_z;
        for (found, ess) in out.log_z.iter().zip(&out.ess) {
            // Five standard errors of 300 weights with that ESS.
            let error = (1.0 / ess[0] - 1.0 / 300.0).max(0.0).sqrt();
            // And constants in f32, of which a start has a handful.
            assert!(
                (found - wanted).abs() < 5.0 * error + 5.0e-5,
                "{rule:?}: {found} for {wanted} +- {error}"
            );
        }
        // The control: an open window resamples, and ends elsewhere.
        options.resample = Policy::Window(0.0, 1.0);
        let open = sample(device, &models, &options, None).expect("a run");
        assert!(open.resampled_at.iter().all(|at| !at.is_empty()) && open.x != out.x);
    }
}

/// A hundred thousand groups of one particle each: no room for a group's own tables is needed.
#[test]
fn small_groups_are_packed() {
    let device = crate::support::device("cpu").expect("the CPU");
    let mut options = short();
    (options.groups, options.particles, options.steps) = (100_000, 1, 2);
    let models: Vec<Model> = models(&options);
    let held = feynkac::run::batches(&device, &models, &options).expect("room");
    let each = held.bytes as f64 / 100_000.0;
    assert!(each < 1000.0, "{each} bytes a group");
    assert_eq!(sample(&device, &models, &options, None).expect("a run").log_z.len(), 100_000);
}
