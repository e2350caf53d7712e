//! What a step launches, moves and reserves: counted by the device layer, held to the number.

use std::path::Path;

use feynkac::kernels::device::Device;
use feynkac::run::{Run, read};
use feynkac::{Final, Method, Model, Options, Outcome, Policy, Rule, Schedule, sample};

use crate::reference::{model, q1};

on_every_device! {
    bytes_of_a_step, launches_of_a_step, classes_share_a_launch, steps_together_are_steps_apart, a_run_starts_anew_in_its_buffers,
}

const PARTICLES: usize = 4096;

/// A mixture of two components in `dim` dimensions.
fn mixture(dim: usize) -> Model {
    let row = |v: f64| format!("{:?}", vec![v; dim]);
    model(&format!(
        "kind = 'mixture'\nweights = [0.4, 0.6]\nmeans = [{}, {}]\nscales = [0.7, 0.8]\n",
        row(-1.0),
        row(1.2)
    ))
}

fn options(method: Method, rule: Rule, resample: Policy) -> Options {
    let mut options = Options::new(method, Schedule::Ve { sigma_min: 0.1, sigma_max: 10.0 });
    (options.beta, options.rule, options.resample) = (1.5, rule, resample);
    (options.particles, options.steps, options.roots, options.at_once) = (PARTICLES, 12, false, 1);
    options
}

fn run(device: &Device, models: &[Model], options: &Options) -> Outcome {
    let out = sample(device, models, options, None).expect("a run");
    assert_eq!(out.counters.downloads_in_loop, 0);
    assert_eq!(out.counters.allocations_in_loop, 0);
    out
}

/// 16 + 8 D with the left rule, resampled at every step; 5 % for records of blocks and groups.
fn bytes_of_a_step(device: &Device) {
    let one = |dim: usize, rule: Rule, policy: Policy, roots: bool| {
        let mut options = options(Method::FkcAnneal, rule, policy);
        (options.roots, options.particles) = (roots, if dim > 100 { 512 } else { PARTICLES });
        run(device, &[mixture(dim)], &options).counters.bytes_per_particle_step
    };
    let near = |found: f64, wanted: f64, what: &str| {
        println!("{}: {what}: {found:.2} bytes a particle-step for {wanted}", device.backend());
        assert!(found >= wanted && found <= 1.05 * wanted, "{what}: {found} bytes, wanted {wanted}");
    };
    near(one(2, Rule::Left, Policy::Every, false), 32.0, "left, every step, D = 2");
    near(one(2, Rule::Left, Policy::Ess(0.5), false), 36.0, "left, by ESS, D = 2");
    near(one(2, Rule::Left, Policy::Every, true), 40.0, "left, every step, roots, D = 2");
    near(one(2, Rule::Trap, Policy::Every, false), 48.0, "trap, every step, D = 2");
    near(one(2, Rule::Exact, Policy::Every, false), 56.0, "exact, every step, D = 2");
    // Scores of many coordinates share scratch rows on the CPU and live in shared memory elsewhere.
    near(one(64, Rule::Left, Policy::Every, false), 528.0, "left, every step, D = 64");
    near(one(64, Rule::Trap, Policy::Every, false), 1040.0, "trap, every step, D = 64");
    // More do not fit there: coordinates and scores go through memory, there and back.
    let outgrown = if device.is_cpu() { 0.0 } else { 4.0 * 784.0 * 4.0 };
    near(one(784, Rule::Left, Policy::Every, false), 6288.0 + outgrown, "left, every step, D = 784");
}

fn launches_of_a_step(device: &Device) {
    let anneal = options(Method::FkcAnneal, Rule::Trap, Policy::Ess(0.5));
    assert_eq!(run(device, &[mixture(2)], &anneal).counters.launches_per_step, 2.0, "step, resample");
    let plain = options(Method::Plain, Rule::Left, Policy::Never);
    assert_eq!(run(device, &[mixture(2)], &plain).counters.launches_per_step, 1.0, "nothing is weighed");
    let mut together = anneal;
    together.at_once = 0;
    let out = run(device, &[mixture(2)], &together);
    // The first step alone, then eleven in one; software Vulkan is left out.
    let wanted = if device.max_turns().is_some() { 2.0 } else { 1.0 / 11.0 };
    assert_eq!(out.counters.launches_per_step, wanted, "all steps in a launch");
}

/// A network is asked for all its classes at once, and takes memory once.
fn classes_share_a_launch(device: &Device) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/digits8-mlp");
    let models: Vec<Model> = [None, Some(3), Some(5)]
        .into_iter()
        .map(|class| Model::open(&folder, class).expect("the network").0)
        .collect();
    let counted = |models: &[Model], method: Method| {
        let (schedule, t_max, t_min) = models[0].schedule().expect("a schedule");
        let mut options = options(method, Rule::Left, Policy::Every);
        (options.schedule, options.t_max, options.t_min) = (schedule, t_max, t_min);
        (options.models, options.particles, options.steps) = (models.len(), 20, 3);
        options.beta = if models.len() > 1 { 0.8 } else { 1.5 };
        let buffers = Run::new(device, models, &options).expect("a run").buffers();
        let bytes: u64 = buffers.iter().filter(|(what, _)| *what == "network weights").map(|b| b.1).sum();
        (run(device, models, &options).counters.launches_per_step, bytes)
    };
    let one = counted(&models[..1], Method::FkcAnneal);
    let three = counted(&models, Method::FkcGuidance);
    assert_eq!((one.0, three.0), (4.0, 4.0), "move, ask, weigh, resample");
    // Beside the weights, which are shared, a row of conditioning a level and class.
    assert!(three.1 < one.1 * 11 / 10, "{} bytes of weights for {}", three.1, one.1);
}

/// Bit for bit: the same functions in the same order.
fn steps_together_are_steps_apart(device: &Device) {
    for (particles, groups) in [(1, 1), (5, 3), (100, 1), (300, 40), (3000, 1)] {
        for (rule, policy) in
            [(Rule::Left, Policy::Every), (Rule::Trap, Policy::Ess(0.5)), (Rule::Exact, Policy::Every)]
        {
            let mut options = options(Method::FkcAnneal, rule, policy);
            (options.particles, options.groups, options.roots) = (particles, groups, true);
            let apart = run(device, &[model(&q1())], &options);
            options.at_once = 4;
            let together = run(device, &[model(&q1())], &options);
            let what = format!("{groups} groups of {particles}, {rule:?}");
            assert_eq!(apart.x, together.x, "{what}");
            assert_eq!(apart.log_w, together.log_w, "{what}");
            assert_eq!(apart.ancestors, together.ancestors, "{what}");
            assert_eq!(apart.distinct_roots, together.distinct_roots, "{what}");
            assert_eq!(apart.ess, together.ess, "{what}");
            assert_eq!(apart.log_z, together.log_z, "{what}");
        }
    }
}

/// A second run in the same buffers does not see the first one's last resampling.
fn a_run_starts_anew_in_its_buffers(device: &Device) {
    let mut options = options(Method::FkcAnneal, Rule::Trap, Policy::Every);
    (options.particles, options.last, options.roots) = (500, Final::Resample, true);
    let models = [model(&q1())];
    let run = Run::new(device, &models, &options).expect("a run");
    let once = || {
        run.begin().expect("a start");
        run.advance_through(0..options.steps).expect("steps");
        read(&run).expect("an outcome")
    };
    let (first, second) = (once(), once());
    assert_eq!(first.x, second.x);
    assert_eq!(first.log_z, second.log_z);
    assert_eq!(first.distinct_roots, second.distinct_roots);
}
