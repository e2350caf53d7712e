//! Twisted runs beside their f64 oracle, what a step of theirs launches, and what they refuse.

use feynkac::kernels::device::Device;
use feynkac::verify::verify;
use feynkac::{
    Chain, Error, Method, Model, Options, Policy, Potential, Proposal, Rule, Schedule, Spread, State, Target,
    Task, Twisting, sample,
};

use crate::methods::s1::slow;
use crate::methods::tds::{gaussian, inpainting, linear, placement, tiny};
use crate::reference::target;

on_every_device! { every_task_agrees, two_launches_a_step, parts_and_whole_are_the_same }

fn mixture() -> Target {
    target(
        "kind = 'mixture'\nweights = [0.3, 0.7]\nmeans = [[-1.0, 0.5, 0.2], [1.2, 0.1, -0.4]]\n\
         scales = [[0.7, 0.4, 0.5], [0.5, 1.1, 0.6]]\n",
    )
}

/// A mixture in `dim` dimensions, whose coordinates do not fit into registers.
fn wide(dim: usize) -> Target {
    let row = |v: f64| format!("{:?}", (0..dim).map(|k| v * (k as f64).cos()).collect::<Vec<f64>>());
    target(&format!(
        "kind = 'mixture'\nweights = [0.4, 0.6]\nmeans = [{}, {}]\nscales = [0.7, 0.8]\n",
        row(-1.0),
        row(1.2)
    ))
}

fn agrees(device: &Device, name: &str, model: Target, options: &Options) {
    let verdict = verify(device, &[Model::Analytic(model)], options).expect("a walk");
    println!("{} {name}: {verdict}", device.backend());
    assert!(verdict.agrees(), "{name} on {}: {verdict}", options.schedule.name());
    assert_eq!(verdict.steps, options.steps);
}

/// Every task in three dimensions and in many, on every schedule and chain.
fn every_task_agrees(device: &Device) {
    let schedules = [
        Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 },
        Schedule::VpCosine { c: 0.008 },
        Schedule::RectifiedFlow,
        Schedule::VpLinear { b0: 0.1, b1: 20.0 },
        Schedule::Edm,
    ];
    let row = |len: usize| -> Vec<f64> { (0..len).map(|i| (1.3 * i as f64).sin()).collect() };
    let walls = |dim: usize| Task::Inequalities { operator: row(2 * dim), bounds: vec![0.7, 1.5] };
    let bounds = |dim: usize| Task::Bounds {
        lower: row(dim).iter().map(|v| if *v < 0.0 { *v - 1.0 } else { f64::NEG_INFINITY }).collect(),
        upper: row(dim).iter().map(|v| if *v > -0.5 { *v + 0.7 } else { f64::INFINITY }).collect(),
    };
    let reward = |dim: usize| Task::Reward {
        slope: row(dim),
        curvature: row(dim).iter().map(|c| c.abs()).collect(),
        centre: row(dim),
    };
    let few =
        [linear(), inpainting(0.0), inpainting(0.3), placement(0.0), placement(0.4), walls(3), reward(3)];
    let many = [
        Task::Linear { operator: row(9 * 17), measured: row(9), noise: vec![0.4; 9] },
        Task::Inpaint { mask: (0..17).map(|k| k % 3 == 0).collect(), known: row(17), noise: 0.0 },
        Task::Placement { motif: row(3), offsets: vec![0, 7, 14], noise: 0.0 },
        walls(17),
        reward(17),
        // By the residual.
        Task::Inpaint { mask: (0..17).map(|k| k % 3 != 0).collect(), known: row(17), noise: 0.2 },
        Task::Inpaint { mask: (0..17).map(|k| k % 3 == 0).collect(), known: row(17), noise: 0.0 },
        bounds(17),
        bounds(3),
    ];
    for (at, task) in few.into_iter().chain(many).enumerate() {
        // A kernel of its own for every task: a software driver compiles half of them.
        if slow(device) && at % 2 == 1 {
            continue;
        }
        let model = match at {
            7..15 => wide(17),
            _ if at % 2 == 0 => gaussian(),
            _ => mixture(),
        };
        let name = format!("{task:?}").split(' ').next().unwrap_or_default().to_owned();
        let mut options = tiny(task, schedules[at % 5]);
        (options.particles, options.groups) = [(1, 1), (17, 3), (257, 2), (33, 4)][at % 4];
        options.resample = [Policy::Every, Policy::Ess(0.7), Policy::Never][at % 3];
        let twisting = options.twisting.as_mut().expect("a twist");
        let pins =
            matches!(twisting.task, Task::Inpaint { noise: 0.0, .. } | Task::Placement { noise: 0.0, .. });
        let other = if pins { Chain::Clipped } else { Chain::Posterior };
        twisting.chain = [Chain::Forward, other][at % 2];
        twisting.spread = match at {
            12 | 13 => Spread::Residual,
            _ => [Spread::Data, Spread::Noise, Spread::Tau(0.4), Spread::Step][at % 4],
        };
        (twisting.lean, twisting.proposal_variance) = [(1.0, 1.0), (0.5, 1.2)][at / 2 % 2];
        agrees(device, &name, model, &options);
    }
}

/// Gather, move, score, weight and gradient in one launch, resampling in another.
fn two_launches_a_step(device: &Device) {
    let mut options = tiny(linear(), Schedule::Edm);
    (options.particles, options.steps) = (300, 9);
    let out = sample(device, &[Model::Analytic(gaussian())], &options, None).expect("a run");
    assert_eq!(out.counters.launches_per_step, 2.0);
    assert_eq!((out.counters.downloads_in_loop, out.counters.allocations_in_loop), (0, 0));
    assert_eq!(out.ess[0].len(), 9, "the step to the clean state is one of them");
}

/// A step in its parts, or several in a launch: the same particles to the bit.
fn parts_and_whole_are_the_same(device: &Device) {
    let usual = [linear(), inpainting(0.0), placement(0.0)].map(Twisting::new);
    let replaced = Twisting { proposal: Proposal::Replacement, ..Twisting::new(inpainting(0.0)) };
    let cut = Twisting { range: Some((-0.5, 0.6)), chain: Chain::Clipped, ..Twisting::new(placement(0.0)) };
    for twisting in usual.into_iter().chain([replaced, cut]) {
        let mut options = tiny(linear(), Schedule::Edm);
        options.twisting = Some(twisting);
        (options.particles, options.groups, options.at_once) = (70, 3, 1);
        let run = |options: &Options| {
            let out = sample(device, &[Model::Analytic(gaussian())], options, None).expect("a run");
            (out.x, out.log_w, out.log_z)
        };
        let whole = run(&options);
        assert_eq!(run(&Options { unfused: true, ..options.clone() }), whole);
        if device.is_cpu() {
            assert_eq!(run(&Options { at_once: 5, ..options.clone() }), whole);
        }
    }
}

fn refusal(change: impl Fn(&mut Options)) -> String {
    let mut options = tiny(linear(), Schedule::Edm);
    change(&mut options);
    let device = crate::support::device("cpu").expect("the CPU");
    match sample(&device, &[Model::Analytic(gaussian())], &options, None) {
        Err(error @ Error::Input { .. }) => error.to_string(),
        other => panic!("refused, but for {:?}", other.map(|out| out.log_z)),
    }
}

/// What is refused says what was wanted.
#[test]
fn bad_runs_are_refused() {
    let task = |task: Task| refusal(|o| o.twisting = Some(Twisting::new(task.clone())));
    let twist = |change: &dyn Fn(&mut Twisting)| refusal(|o| change(o.twisting.as_mut().expect("a twist")));
    let known = |mask: Vec<bool>, noise: f64| Task::Inpaint { mask, known: vec![0.0; 3], noise };
    let places = |offsets: Vec<usize>| Task::Placement { motif: vec![1.0; 2], offsets, noise: 0.1 };
    let measured =
        |noise: f64, y: f64| Task::Linear { operator: vec![1.0; 3], measured: vec![y], noise: vec![noise] };
    for (found, wanted) in [
        (refusal(|o| o.twisting = None), "task of tds: found none, wanted what is wanted of a sample"),
        (refusal(|o| o.method = Method::FkcAnneal), "task: found fkc-anneal, wanted the method tds"),
        (refusal(|o| o.rule = Rule::Left), "rule with tds: found left"),
        (refusal(|o| o.beta = 2.0), "beta with tds: found 2"),
        (refusal(|o| o.steps = 1), "steps with tds: found 1, wanted at least 2"),
        (refusal(|o| o.state = State::F16), "state with tds"),
        (refusal(|o| o.langevin.moves = 1), "langevin with tds"),
        (refusal(|o| o.resample = Policy::Window(0.1, 0.2)), "resample with tds"),
        (twist(&|t| t.scale = 0.0), "twist-scale: found 0, wanted a finite number, above 0"),
        (twist(&|t| t.lean = f64::NAN), "twist-lean: found NaN, wanted a finite number, at least 0"),
        (twist(&|t| t.proposal_variance = 0.9), "proposal-variance: found 0.9"),
        (twist(&|t| t.spread = Spread::Tau(-1.0)), "twist-variance tau: found -1"),
        (
            twist(&|t| t.spread = Spread::Residual),
            "twist-variance: found residual with task linear, wanted another one",
        ),
        (
            twist(&|t| t.potential = Potential::Max),
            "twist-lean with potential max: found 1, wanted 0: what steers by the past has no gradient",
        ),
        (
            refusal(|o| {
                let usual = Twisting::new(inpainting(0.0));
                o.twisting = Some(Twisting { potential: Potential::Sum, lean: 0.0, ..usual });
            }),
            "potential with noise 0: found sum, wanted difference",
        ),
        (
            refusal(|o| {
                o.twisting = Some(Twisting { chain: Chain::Posterior, ..Twisting::new(inpainting(0.0)) });
            }),
            "chain: found posterior with noise 0, wanted forward or clipped",
        ),
        (
            refusal(|o| {
                o.twisting = Some(Twisting { chain: Chain::Truncated, ..Twisting::new(inpainting(0.0)) });
            }),
            "chain: found truncated with noise 0, wanted forward or clipped",
        ),
        (twist(&|t| t.range = Some((1.0, 1.0))), "twist-range: found 1:1, wanted LOW:HIGH"),
        (twist(&|t| t.range = Some((f64::NEG_INFINITY, 1.0))), "twist-range: found -inf:1"),
        (
            twist(&|t| (t.range, t.lean) = (Some((-1.0, 1.0)), 0.0)),
            "twist-range: found -1:1, wanted none where nothing leans",
        ),
        (
            twist(&|t| t.proposal = Proposal::Replacement),
            "proposal: found replacement with task linear, wanted the task inpaint with noise 0",
        ),
        (
            refusal(|o| {
                let usual = Twisting::new(inpainting(0.0));
                let proposal = Proposal::Replacement;
                o.twisting = Some(Twisting { proposal, proposal_variance: 1.5, ..usual });
            }),
            "proposal-variance: found 1.5, wanted 1 with proposal replacement",
        ),
        (
            refusal(|o| {
                let proposal = Proposal::Replacement;
                o.twisting = Some(Twisting { proposal, lean: 0.5, ..Twisting::new(inpainting(0.0)) });
            }),
            "twist: found lean 0.5, scale 1, variance data, wanted none of these with proposal replacement",
        ),
        (
            refusal(|o| {
                let proposal = Proposal::Replacement;
                (o.refine, o.twisting) = (1, Some(Twisting { proposal, ..Twisting::new(inpainting(0.0)) }));
            }),
            "proposal of a sweep: found replacement",
        ),
        (twist(&|t| t.chain = Chain::Learned), "model of the chain learned: found Gaussian"),
        (
            task(Task::Linear {
                operator: vec![1.0; 3 << 14],
                measured: vec![1.0; 1 << 14],
                noise: vec![0.1; 1 << 14],
            }),
            "y of the task: found 16384, wanted at most 8192 numbers",
        ),
        (refusal(|o| o.times = Some(vec![1.0; 12])), "noise times: found 1 before 1, wanted falling ones"),
        (refusal(|o| o.times = Some(vec![1.0, 0.5])), "noise times: found 2, wanted 12 for 12 steps of tds"),
        (task(known(vec![true; 4], 0.1)), "mask of the task: found 4, wanted 3, one a coordinate"),
        (task(known(vec![false; 3], 0.1)), "mask of the task: found no coordinate"),
        (task(known(vec![true; 3], -0.1)), "noise of the task: found -0.1"),
        (task(places(Vec::new())), "offsets of the task: found none, wanted at least one place"),
        (
            task(places(vec![0, 2])),
            "offsets of the task: found 2, 2 coordinates from there, wanted places within 3",
        ),
        (task(places(vec![usize::MAX])), "offsets of the task"),
        (task(measured(0.0, 1.0)), "noise of the task: found 0, wanted a standard deviation above 0"),
        (task(measured(0.1, f64::NAN)), "y of the task: found NaN, wanted finite numbers"),
        (
            task(Task::Linear { operator: vec![1.0; 4], measured: vec![1.0], noise: vec![0.1] }),
            "A of the task: found 4 numbers, wanted 3, 1 x 3",
        ),
        (
            task(Task::Inequalities { operator: vec![0.0; 3], bounds: vec![1.0] }),
            "row 0 of A of the task: found zeros",
        ),
        (
            task(Task::Reward { slope: vec![0.0; 3], curvature: vec![-1.0; 3], centre: vec![0.0; 3] }),
            "curvature of the task: found -1",
        ),
    ] {
        assert!(found.starts_with(wanted), "found {found:?}, wanted {wanted:?}");
    }
}
