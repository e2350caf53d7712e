//! A run whose steps are recorded once and replayed is the run whose steps are launched, bit for bit.

use std::path::Path;

use feynkac::error::Error;
use feynkac::kernels::device::Device;
use feynkac::run::{Run, Steady, read};
use feynkac::{Method, Model, Options, Outcome, Policy, Rule, Schedule, sample};

use crate::reference::{model, q1};

on_every_device! {
    replays_are_launches, networks_are_replayed, a_run_is_replayed_again, other_steps_are_launched,
    what_is_not_recorded_is_launched, a_recording_that_fails_is_an_error,
}

const STEPS: usize = 12;

fn mixture(dim: usize) -> Model {
    let row = |v: f64| format!("{:?}", vec![v; dim]);
    let (low, high) = (row(-1.0), row(1.2));
    model(&format!("kind = 'mixture'\nweights = [0.4, 0.6]\nmeans = [{low}, {high}]\nscales = [0.7, 0.8]\n"))
}

fn options(rule: Rule, resample: Policy) -> Options {
    let mut options = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 0.1, sigma_max: 10.0 });
    (options.beta, options.rule, options.resample) = (1.5, rule, resample);
    (options.particles, options.steps) = (200, STEPS);
    options
}

fn same(one: &Outcome, two: &Outcome, what: &str) {
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert!(bits(&one.x) == bits(&two.x), "{what}: positions");
    assert!(bits(&one.log_w) == bits(&two.log_w), "{what}: log-weights");
    assert_eq!(one.ancestors, two.ancestors, "{what}");
    assert_eq!(one.distinct_roots, two.distinct_roots, "{what}");
    let f64s = |out: &Outcome| -> Vec<u64> {
        out.log_z.iter().chain(out.ess.iter().flatten()).map(|v| v.to_bits()).collect()
    };
    assert!(f64s(one) == f64s(two), "{what}: log-evidence and ESS");
}

/// Runs `options` both ways; of `per_step` launches a step. Returns the replays.
fn compare(device: &Device, models: &[Model], options: &Options, per_step: f64, what: &str) -> u64 {
    let launched = Options { graph: false, ..options.clone() };
    let launched = sample(device, models, &launched, None).expect("a run");
    let replayed = sample(device, models, options, None).expect("a run");
    same(&launched, &replayed, what);
    assert_eq!(launched.counters.replays, 0, "{what}");
    assert_eq!(launched.steady, Steady::Launched("no graph is asked for".to_owned()), "{what}");
    for out in [&launched, &replayed] {
        assert_eq!(out.counters.launches_per_step, per_step, "{what}");
        assert_eq!(out.counters.downloads_in_loop, 0, "{what}");
        assert_eq!(out.counters.allocations_in_loop, 0, "{what}");
    }
    assert_eq!(launched.counters.launches, replayed.counters.launches, "{what}");
    let bytes = |out: &Outcome| out.counters.bytes_per_particle_step;
    assert!((bytes(&launched) - bytes(&replayed)).abs() < 1e-9, "{what}");
    match replayed.steady {
        Steady::Replayed(window) => {
            assert_eq!(replayed.counters.replays, ((options.steps - 2) / window) as u64, "{what}");
        }
        Steady::Launched(_) => assert_eq!(replayed.counters.replays, 0, "{what}"),
    }
    replayed.counters.replays
}

fn replays_are_launches(device: &Device) {
    for (rule, policy) in
        [(Rule::Left, Policy::Every), (Rule::Trap, Policy::Ess(0.5)), (Rule::Exact, Policy::Every)]
    {
        let own = |steps: usize| Options { steps, ..options(rule, policy) };
        for steps in [1, 2, 3, 6, 7, 40] {
            let what = format!("{rule:?}, {steps} steps");
            let replays = compare(device, &[mixture(2)], &own(steps), 2.0, &what);
            assert_eq!(replays > 0, !device.is_cpu() && steps >= 6, "{what}");
        }
        let wide = Options { particles: 70, groups: 3, block: 32, ..own(STEPS) };
        compare(device, &[mixture(64)], &wide, 2.0, &format!("{rule:?}, D = 64"));
    }
    let plain = Options { method: Method::Plain, ..options(Rule::Left, Policy::Never) };
    compare(device, &[mixture(2)], &plain, 1.0, "nothing is weighed");
    let unfused = Options { unfused: true, ..options(Rule::Trap, Policy::Every) };
    compare(device, &[mixture(2)], &unfused, 3.0, "unfused");
}

fn networks_are_replayed(device: &Device) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/gmm40-mlp");
    let open = || Model::open(&path, None).expect("the network").0;
    let (schedule, t_max, t_min) = open().schedule().expect("a network has one");
    for (method, models, per_step) in [
        (Method::FkcAnneal, vec![open()], 4.0),
        // Both are one network, which is asked once.
        (Method::FkcGuidance, vec![open(), open()], 4.0),
        (Method::Plain, vec![open()], 3.0),
    ] {
        let mut options = Options::new(method, schedule);
        (options.t_max, options.t_min, options.particles, options.steps) = (t_max, t_min, 100, STEPS);
        if method == Method::Plain {
            options.resample = Policy::Never;
        } else {
            options.beta = 1.5;
        }
        let replays = compare(device, &models, &options, per_step, &format!("network, {method}"));
        assert_eq!(replays > 0, !device.is_cpu());
    }
}

/// In the same buffers, with the graph of the first time.
fn a_run_is_replayed_again(device: &Device) {
    let options = options(Rule::Trap, Policy::Every);
    let models = [model(&q1())];
    let run = Run::new(device, &models, &options).expect("a run");
    let once = || {
        let done = run.open().expect("a start");
        let before = device.counts();
        run.advance_through(done..STEPS).expect("steps");
        let replays = device.counts().replays - before.replays;
        (done, replays, read(&run).expect("an outcome"))
    };
    let (first, second, third) = (once(), once(), once());
    same(&first.2, &second.2, "again");
    same(&first.2, &third.2, "and again");
    if !device.is_cpu() {
        // Ten steps after the two that warm up, then twelve; four in a window.
        assert_eq!((first.0, first.1, second.0, second.1), (2, 2, 0, 3));
    }
}

/// A graph knows one way on: from the step whose number the device holds.
fn other_steps_are_launched(device: &Device) {
    let options = options(Rule::Trap, Policy::Every);
    let models = [model(&q1())];
    let of = |walk: &dyn Fn(&Run)| {
        let run = Run::new(device, &models, &options).expect("a run");
        run.open().expect("a start");
        run.begin().expect("a start");
        walk(&run);
        read(&run).expect("an outcome")
    };
    let wanted = of(&|run| (0..STEPS).try_for_each(|step| run.advance(step)).expect("steps"));
    let odd = of(&|run| {
        run.advance(0).expect("a step");
        run.advance_through(1..4).expect("steps");
        run.advance_through(4..STEPS).expect("steps");
    });
    same(&wanted, &odd, "from an odd step on");
    let twice = of(&|run| {
        run.advance_through(0..STEPS).expect("steps");
        // The number on the device is another one now.
        let before = device.counts().replays;
        run.advance_through(STEPS - 4..STEPS).expect("steps");
        assert_eq!(device.counts().replays, before, "not what comes next");
        run.begin().expect("a start");
        run.advance_through(0..STEPS).expect("steps");
    });
    same(&wanted, &twice, "steps that were done");
}

fn what_is_not_recorded_is_launched(device: &Device) {
    let launched = |run: &Run, wanted: &str| {
        let Steady::Launched(why) = run.steady() else { panic!("{wanted}: captured") };
        assert!(why.contains(wanted), "{why}: {wanted}");
    };
    let models = [model(&q1())];
    let options = options(Rule::Trap, Policy::Every);
    let run = Run::new(device, &models, &options).expect("a run");
    let guarded = device_guarded(device);
    let watched = Run::new(&guarded, &models, &options).expect("a run");
    if device.is_cpu() {
        launched(&run, "the CPU runtime records no graphs");
        launched(&watched, "the CPU runtime records no graphs");
        return;
    }
    assert_eq!(run.steady(), Steady::Replayed(4));
    launched(&watched, "guard zones");
    let short = Options { steps: 5, ..options.clone() };
    launched(&Run::new(device, &models, &short).expect("a run"), "too few steps");
    // A stream that is taken: what is asked for cannot be had, and the run says so and goes on.
    device.client().graph_prepare().expect("a window of somebody else's");
    let taken = sample(device, &models, &options, None).expect("a run");
    device.client().stop_capture().expect_err("nothing was recorded");
    let Steady::Launched(why) = &taken.steady else { panic!("captured") };
    assert!(why.starts_with("the device failed while recording a graph: "), "{why}");
    assert_eq!(taken.counters.replays, 0);
    let free = sample(device, &models, &options, None).expect("a run");
    assert_eq!((&free.steady, free.counters.replays), (&Steady::Replayed(4), 2));
    same(&free, &taken, "refused");
}

fn device_guarded(device: &Device) -> Device {
    use feynkac::kernels::device::Request;
    Device::open_guarded(Request::Exactly(device.backend())).expect("the same device")
}

/// A host that reads while it records gets no graph; the buffers are as good as new once they are written anew.
fn a_recording_that_fails_is_an_error(device: &Device) {
    let options = options(Rule::Trap, Policy::Every);
    let models = [model(&q1())];
    let run = Run::new(device, &models, &options).expect("a run");
    let whole = || {
        run.begin().expect("a start");
        (0..STEPS).try_for_each(|step| run.advance(step)).expect("steps");
        read(&run).expect("an outcome")
    };
    let wanted = whole();
    run.begin().expect("a start");
    let counts = device.counts();
    let pair = || (0..2).try_for_each(|step| run.advance(step));
    let failed = device.capture::<Error>(pair, || {
        pair()?;
        device.download(&run.norms)?;
        Ok(())
    });
    let error = failed.expect_err("a read cannot be recorded").to_string();
    if device.is_cpu() {
        assert!(error.contains("records no graphs"), "{error}");
    } else {
        assert!(error.contains("cannot be part of a graph"), "{error}");
        assert_eq!(device.counts().launches - counts.launches, 4, "what warmed up, not what was recorded");
    }
    same(&wanted, &whole(), "afterwards");
    // What is launched while nothing is recorded is run.
    assert_eq!(device.counts().launches - counts.launches, if device.is_cpu() { 26 } else { 30 });
}
