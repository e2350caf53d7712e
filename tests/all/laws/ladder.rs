//! A reward whose weight is raised by the ESS: docs/maths.md (7.6a).

use std::path::Path;

use feynkac::kernels::device::Device;
use feynkac::kernels::passes::copy::copy;
use feynkac::plan::{Pass, Plan};
use feynkac::run::{Run, read};
use feynkac::verify::verify;
use feynkac::{Growth, Method, Model, Options, Outcome, Policy, Reward, Rule, Schedule, sample};

use crate::methods::s1::{averaged, seed, slow};
use crate::reference::{Moments, estimate, evidence, mixture, model, q1, quadrature, target};

on_every_device! {
    runs_agree_with_their_oracles, a_network_is_tilted, moments, held_where_the_schedule_fails, tiny_groups,
    groups_and_graphs, the_last_step_takes_the_rest,
}

const VE: Schedule = Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 };
const SHORT: Schedule = Schedule::Ve { sigma_min: 0.2, sigma_max: 10.0 };

/// The mixture of the other tests of rewards, and theirs: N(1.5, 0.8), which the usual schedule suits.
fn models() -> [Model; 2] {
    rewarded(1.5, 0.8)
}

/// The same mixture with the reward N(mean, variance).
fn rewarded(mean: f64, variance: f64) -> [Model; 2] {
    [model(&q1()), model(&mixture(&[1.0], &[mean], &[variance]))]
}

fn options(schedule: Schedule, rule: Rule, share: f64) -> Options {
    let mut options = Options::new(Method::FkcAnneal, schedule);
    options.reward = Some(Reward { scale: 1.0, growth: Growth::Ess(share), drift: None });
    (options.rule, options.resample) = (rule, Policy::Every);
    options
}

/// What a run must find.
fn exact(options: &Options) -> Moments {
    exact_of(options, 1.5, 0.8)
}

fn exact_of(options: &Options, mean: f64, variance: f64) -> Moments {
    let (alpha, sigma) = (options.schedule.alpha(options.t_min), options.schedule.sigma(options.t_min));
    let (model, reward) = (target(&q1()), target(&mixture(&[1.0], &[mean], &[variance])));
    quadrature(sigma, |x| model.log_density(&[x], alpha, sigma) + reward.log_density(&[x], 1.0, 0.0))
}

#[test]
fn two_launches_more() {
    let mut options = options(VE, Rule::Left, 0.5);
    let plan = |options: &Options| Plan::of(options, &models()).expect("a plan");
    let ours = plan(&options);
    assert_eq!(ours.step, [Pass::Fused, Pass::Ladder, Pass::Aim, Pass::Resample]);
    assert!(ours.keeps.ladder && ours.keeps.carried);
    (options.unfused, options.centre, options.temper) = (true, true, 0.5);
    let wanted =
        [Pass::Move, Pass::Weigh, Pass::Increments, Pass::Ladder, Pass::Aim, Pass::Priority, Pass::Resample];
    assert_eq!(plan(&options).step, wanted);
    options.reward = Some(Reward { scale: 1.0, growth: Growth::Signal, drift: None });
    assert!(!plan(&options).step.contains(&Pass::Ladder));
}

#[test]
fn what_would_wait_is_refused() {
    let refused = |change: &dyn Fn(&mut Options)| {
        let mut options = options(VE, Rule::Trap, 0.5);
        change(&mut options);
        options.check().expect_err("refused").to_string()
    };
    assert_eq!(
        refused(&|o| o.resample = Policy::Ess(0.4)),
        "resample ess: found 0.4, wanted at least reward-growth's 0.5, or the weight of the reward would wait"
    );
    assert_eq!(
        refused(&|o| o.resample = Policy::Never),
        "resample: found never with reward-growth ess, wanted every, interval or ess: the weight of the reward waits where \
         the ESS stays low"
    );
    assert_eq!(
        refused(&|o| o.weights = false),
        "reward-growth: found ess without weights, wanted signal or linear"
    );
    for share in [0.0, 1.0, -0.5, f64::NAN] {
        let reward = Reward { scale: 1.0, growth: Growth::Ess(share), drift: None };
        let message = refused(&|o| o.reward = Some(reward));
        assert_eq!(message, format!("reward-growth ess: found {share}, wanted a share above 0 and below 1"));
    }
}

fn runs_agree_with_their_oracles(device: &Device) {
    for (at, (rule, share, policy, scale, drift)) in [
        (Rule::Left, 0.5, Policy::Ess(0.6), 0.8, None),
        (Rule::Trap, 0.9, Policy::Every, -0.4, Some(1.25)),
        (Rule::Exact, 0.7, Policy::Interval(2), 2.0, None),
    ]
    .into_iter()
    .enumerate()
    {
        let mut options = options(Schedule::Ve { sigma_min: 0.3, sigma_max: 8.0 }, rule, share);
        options.reward = Some(Reward { scale, growth: Growth::Ess(share), drift });
        (options.particles, options.groups, options.steps) = ([300, 17, 1030][at], [2, 5, 1][at], 6);
        (options.resample, options.unfused) = (policy, rule == Rule::Trap);
        (options.centre, options.temper) = (at == 0, if at == 0 { 0.5 } else { 1.0 });
        let verdict = verify(device, &models(), &options).expect("a walk");
        println!("ladder {}: {rule:?}: {verdict}", device.backend());
        assert!(verdict.agrees() && verdict.steps == 6, "{rule:?}: {verdict}");
    }
}

/// The scores of a network are not asked for again when the weight goes up.
fn a_network_is_tilted(device: &Device) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/gmm40-mlp");
    let network = Model::open(&path, None).expect("the network").0;
    let reward = model("kind = 'mixture'\nweights = [1.0]\nmeans = [[5.0, -8.0]]\nscales = [12.0]\n");
    let mut options = options(Schedule::Ve { sigma_min: 0.05, sigma_max: 60.0 }, Rule::Trap, 0.6);
    (options.particles, options.groups, options.steps) = (40, 2, 5);
    let models = [network, reward];
    let wanted = [Pass::Move, Pass::Evaluate(0), Pass::Weigh, Pass::Ladder, Pass::Aim, Pass::Resample];
    assert_eq!(Plan::of(&options, &models).expect("a plan").step, wanted);
    let verdict = verify(device, &models, &options).expect("a walk");
    assert!(verdict.agrees() && verdict.steps == 5, "{verdict}");
}

/// Mean, variance and log-evidence as in `methods/aims`; the control leaves out what a raised weight brings.
fn moments(device: &Device) {
    let mut wrong = Vec::new();
    for (rule, share) in [(Rule::Trap, 0.9), (Rule::Exact, 0.5)] {
        let mut options = options(VE, rule, share);
        (options.particles, options.steps, options.groups, options.seed) = (10_000, 200, 4, seed(970));
        if slow(device) {
            (options.particles, options.steps) = (2_000, 100);
        }
        let wanted = exact(&options);
        let [(mean, mean_se), (variance, variance_se), (log_z, log_z_se)] =
            averaged(device, &models(), &options);
        println!(
            "ladder {:<5} {rule:?}, ess:{share}: mean {mean:.3}+-{mean_se:.3} ({:.3})  variance \
             {variance:.3}+-{variance_se:.3} ({:.3})  log Z {log_z:.4}+-{log_z_se:.4} ({:.4})",
            device.backend(),
            wanted.mean,
            wanted.variance,
            wanted.log_z
        );
        // Of the trapezoid at half the steps, twice the bias.
        let part = if slow(device) { 2.0 } else { 1.0 };
        let off = (variance / wanted.variance - 1.0).abs();
        if (mean - wanted.mean).abs() > 0.05 * part
            || off > 0.06 * part
            || (log_z - wanted.log_z).abs() > 0.1 * part
        {
            wrong.push(format!("{rule:?}: {mean} {variance} {log_z}"));
        }
        if slow(device) {
            break;
        }
    }
    if !slow(device) {
        let (mean, log_z, wanted) = left_out(device);
        println!(
            "ladder {}: without the weight of what was raised: mean {mean:.3} ({:.3}), log Z {log_z:.4} ({:.4})",
            device.backend(),
            wanted.mean,
            wanted.log_z
        );
        assert!((log_z - wanted.log_z).abs() > 0.5, "the control must fail: log Z {log_z}");
        assert!((mean - wanted.mean).abs() > 0.05, "the control must fail: mean {mean}");
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Mean and log-evidence of a run that follows the ladder of another one, but never weighs by what it gained.
fn left_out(device: &Device) -> (f64, f64, Moments) {
    let mut options = options(VE, Rule::Exact, 0.5);
    (options.particles, options.steps, options.groups, options.seed) = (4_000, 63, 4, seed(971));
    let models = models();
    let raised = Run::new(device, &models, &options).expect("a run");
    let run = Run::new(device, &models, &options).expect("a run");
    for run in [&raised, &run] {
        run.begin().expect("a start");
    }
    raised.advance_through(0..63).expect("steps");
    copy(device, &raised.chosen.rungs, &run.chosen.rungs, 0).expect("a copy");
    for step in 0..63 {
        for pass in run.plan.step.iter().filter(|pass| **pass != Pass::Ladder) {
            run.pass(*pass, step, step + 1).expect("a launch");
        }
    }
    let moments = |run: &Run| {
        let out = read(run).expect("what came of it");
        let all: Vec<Moments> = (0..4).map(|g| estimate(&out, g, 4)).collect();
        let of = |figure: fn(&Moments) -> f64| all.iter().map(figure).sum::<f64>() / 4.0;
        (of(|m| m.mean), of(|m| m.log_z))
    };
    let (wanted, (mean, log_z)) = (exact(&options), moments(&raised));
    assert!((mean - wanted.mean).abs() < 0.05 && (log_z - wanted.log_z).abs() < 0.1, "{mean}, {log_z}");
    let (mean, log_z) = moments(&run);
    (mean, log_z, wanted)
}

/// A narrow reward far out, N(2.5, 0.04), in so few steps that the schedule by itself loses the evidence by many orders of
/// magnitude; held back by the ESS it is found.
fn held_where_the_schedule_fails(device: &Device) {
    if slow(device) {
        return;
    }
    let mut options = options(VE, Rule::Exact, 0.9);
    (options.particles, options.steps, options.groups, options.seed) = (1000, 50, 16, seed(973));
    let (models, wanted) = (rewarded(2.5, 0.04), exact_of(&options, 2.5, 0.04));
    let out = sample(device, &models, &options, None).expect("a run");
    let ladder = out.ladder.expect("a ladder");
    let held = ladder.climbed().held;
    let found = averaged(device, &models, &options);
    options.reward = Some(Reward { scale: 1.0, growth: Growth::Signal, drift: None });
    let usual = averaged(device, &models, &options);
    for (what, [(mean, mean_se), (variance, variance_se), (log_z, log_z_se)]) in
        [("ess:0.9", found), ("signal", usual)]
    {
        println!(
            "ladder {}: narrow, {what}: mean {mean:.3}+-{mean_se:.3} ({:.3})  variance {variance:.4}+-{variance_se:.4} \
             ({:.4})  log Z {log_z:.3}+-{log_z_se:.3} ({:.3}), held after {} steps",
            device.backend(),
            wanted.mean,
            wanted.variance,
            wanted.log_z,
            held.median
        );
    }
    assert!(held.min > 10.0, "{held:?}");
    let [(mean, _), (variance, _), (log_z, log_z_se)] = found;
    assert!((mean - wanted.mean).abs() < 0.02 && (variance / wanted.variance - 1.0).abs() < 0.1);
    // Of 16 runs; the mean of log Z, which is below log of the mean.
    assert!((log_z - wanted.log_z).abs() < 0.15 && log_z_se < 0.06, "log Z {log_z} +- {log_z_se}");
    assert!((usual[2].0 - wanted.log_z).abs() > 5.0, "the control must fail: log Z {}", usual[2].0);
}

/// A weight that is chosen by the particles that it then weighs: exp(log Z) has a bias, which falls with their number.
fn tiny_groups(device: &Device) {
    if slow(device) {
        return;
    }
    let models = rewarded(1.5, 0.3);
    for (particles, groups, most) in [(8, 8000, 0.12), (32, 4000, 0.05), (128, 2000, 0.03)] {
        let mut options = options(SHORT, Rule::Exact, 0.9);
        (options.particles, options.steps, options.groups, options.seed) = (particles, 20, groups, seed(972));
        let out = sample(device, &models, &options, None).expect("a run");
        let (ratio, error) = evidence(&out.log_z, exact_of(&options, 1.5, 0.3).log_z);
        let held = out.ladder.expect("a ladder").climbed().held;
        println!(
            "ladder {}: groups of {particles}: mean Z / Z = {ratio:.4} +- {error:.4}, held after {} of 20 steps",
            device.backend(),
            held.median
        );
        assert!(held.median > 2.0, "{held:?}");
        assert!((ratio - 1.0).abs() < most + 4.0 * error && error < 0.02, "{particles}: {ratio} +- {error}");
    }
}

/// The same bits in batches and by replays; nothing is read, and no weight depends on other groups.
fn groups_and_graphs(device: &Device) {
    let mut options = options(SHORT, Rule::Trap, 0.6);
    (options.particles, options.groups, options.steps, options.seed) = (130, 3, 14, 5);
    let models = rewarded(2.5, 0.04);
    let run = |options: &Options| sample(device, &models, options, None).expect("a run");
    let usual = run(&options);
    assert_eq!((usual.counters.downloads_in_loop, usual.counters.allocations_in_loop), (0, 0));
    assert_eq!(usual.counters.launches_per_step, 4.0);
    let same = |other: &Outcome, what: &str| {
        assert_eq!(other.x, usual.x, "{what}");
        assert_eq!((&other.log_w, &other.log_z), (&usual.log_w, &usual.log_z), "{what}");
        assert_eq!(other.ladder, usual.ladder, "{what}");
    };
    same(&run(&Options { micro_batch: 1, ..options.clone() }), "in batches");
    same(&run(&Options { graph: false, ..options.clone() }), "launched");
    let ladder = usual.ladder.as_ref().expect("a ladder");
    assert_ne!(ladder.weights[0], ladder.weights[1], "each group has its own");
    for weights in &ladder.weights {
        assert_eq!((weights.len(), weights[0], weights[14]), (15, 0.0, 1.0));
        assert!(weights.windows(2).all(|pair| pair[0] <= pair[1]), "{weights:?}");
    }
}

/// Where the ESS does not let the weight up in time, what is left is taken at the end, and that is told.
fn the_last_step_takes_the_rest(device: &Device) {
    let mut options = options(SHORT, Rule::Trap, 0.98);
    (options.particles, options.groups, options.steps, options.seed) = (200, 3, 4, 6);
    let out = sample(device, &rewarded(2.0, 0.2), &options, None).expect("a run");
    let ladder = out.ladder.expect("a ladder");
    for group in 0..3 {
        let weights = &ladder.weights[group];
        assert!(weights[3] < 0.9 && weights[4] == 1.0, "{weights:?}");
        assert!(ladder.held(group) > 1, "{weights:?}");
        assert_eq!(ladder.steps(group), 4);
        let (before, after) = (ladder.before[group], ladder.after[group]);
        assert!(after < 0.95 * before && before <= 200.5, "ESS {before} before, {after} after");
    }
    let climbed = ladder.climbed();
    assert!(climbed.left.min > 0.1 && climbed.ess_after.max < climbed.ess_before.max);
    assert!(climbed.to_string().contains("the last step took what was left"), "{climbed}");
}
