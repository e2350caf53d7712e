//! Groups in batches, one after another: the same bits as all at once; and what a run was said to hold is what it
//! holds.

use feynkac::kernels::device::Device;
use feynkac::run::{Outcome, Run, batches};
use feynkac::{Method, Model, Options, Policy, Proposal, Rule, Schedule, Twisting, sample};

use crate::methods::tds::{VE, gaussian, inpainting, linear, tiny};
use crate::reference::{model, q1, q2};

on_every_device! {
    batches_do_not_matter,
    twisted_batches_do_not_matter,
    the_peak_is_what_was_said,
    nothing_is_reserved_by_planning,
}

fn options(method: Method, particles: usize, groups: usize) -> Options {
    let mut options = Options::new(method, Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 });
    (options.beta, options.steps, options.seed) = (1.5, 12, 5);
    (options.particles, options.groups) = (particles, groups);
    options
}

fn run(device: &Device, models: &[Model], options: &Options, at_once: usize) -> Outcome {
    let options = Options { micro_batch: at_once, ..options.clone() };
    assert_eq!(batches(device, models, &options).expect("batches").at_once, at_once.min(options.groups));
    sample(device, models, &options, None).expect("a run")
}

fn batches_do_not_matter(device: &Device) {
    for (particles, groups, policy, rule) in [
        (1, 7, Policy::Every, Rule::Trap),
        (37, 5, Policy::Ess(0.7), Rule::Exact),
        (2100, 5, Policy::Every, Rule::Left),
    ] {
        for (method, models) in
            [(Method::FkcAnneal, vec![model(&q1())]), (Method::FkcGuidance, vec![model(&q1()), model(&q2())])]
        {
            let options = Options { resample: policy, rule, ..options(method, particles, groups) };
            as_whole(device, &models, &options);
        }
    }
}

/// Each group is told its own numbers, be they the same or, with replacement, a path of its own.
fn twisted_batches_do_not_matter(device: &Device) {
    let replaced = Twisting { proposal: Proposal::Replacement, ..Twisting::new(inpainting(0.0)) };
    for twisting in [Twisting::new(linear()), replaced] {
        let mut options = tiny(linear(), VE);
        (options.particles, options.groups, options.twisting) = (37, 5, Some(twisting));
        as_whole(device, &[Model::Analytic(gaussian())], &options);
    }
}

fn as_whole(device: &Device, models: &[Model], options: &Options) {
    let groups = options.groups;
    let whole = run(device, models, options, groups);
    for at_once in [1, 2, 3, groups - 1] {
        let parts = run(device, models, options, at_once);
        let what = format!("{}, {groups} groups of {}, {at_once} at once", options.method, options.particles);
        let words = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
        assert!(words(&whole.x) == words(&parts.x), "{what}: positions");
        assert!(words(&whole.log_w) == words(&parts.log_w), "{what}: log-weights");
        assert_eq!(whole.ancestors, parts.ancestors, "{what}");
        assert_eq!(whole.log_z, parts.log_z, "{what}");
        assert_eq!(whole.ess, parts.ess, "{what}");
        assert_eq!(whole.resampled_at, parts.resampled_at, "{what}");
        assert_eq!(whole.distinct_roots, parts.distinct_roots, "{what}");
        let count = groups.div_ceil(at_once) as u64;
        assert_eq!(parts.counters.launches, count * whole.counters.launches, "{what}");
        assert_eq!(parts.counters.allocations_in_loop, 0, "{what}");
        assert_eq!(parts.counters.downloads_in_loop, 0, "{what}");
    }
}

/// Within a tenth, as the runtime counts it.
fn the_peak_is_what_was_said(device: &Device) {
    for (particles, groups) in [(1 << 16, 1), (1 << 12, 40)] {
        let (models, options) = ([model(&q1())], options(Method::FkcAnneal, particles, groups));
        let said = batches(device, &models, &options).expect("batches").bytes as f64;
        let before = device.memory().0;
        let run = Run::new(device, &models, &options).expect("a run");
        run.begin().expect("a start");
        run.advance_through(0..options.steps).expect("steps");
        device.sync().expect("an end");
        let held = (device.memory().0 - before) as f64;
        assert!((said / held - 1.0).abs() < 0.1, "{groups} of {particles}: said {said}, held {held}");
    }
}

fn nothing_is_reserved_by_planning(device: &Device) {
    let (models, options) = ([model(&q1())], options(Method::FkcAnneal, 1 << 20, 4));
    let (before, counts) = (device.memory().0, device.counts());
    let planning = device.planning();
    let planned = Run::new(&planning, &models, &options).expect("a plan");
    assert!(planned.buffers().iter().map(|(_, bytes)| bytes).sum::<u64>() > 100 << 20);
    assert!(device.memory().0.saturating_sub(before) < 1 << 20);
    assert_eq!(device.counts(), counts);
}
