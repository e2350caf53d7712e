//! Conditional sweeps of twisted chains: they leave the exact law of paths as it is, and slot 0 weighs on its path what the
//! particle weighed that drew it.

use feynkac::kernels::device::Device;
use feynkac::run::{Run, group_seed};
use feynkac::{
    Chain, Method, Model, Options, Policy, Potential, Schedule, Scheme, Spread, Task, Twisting, sample,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::gibbs::{swept, traced};
use super::sweep::uniform;
use super::sweep_twisted::{Line, Slip, Sweep, plain};
use super::twisted_networks::{network, shipped_classifier, short};
use crate::methods::s1::{seed, slow};
use crate::methods::tds::{gaussian, inpainting, linear, placement, tiny};
use crate::reference::model;

on_every_device! { the_law_of_paths_stays, a_path_weighs_what_it_did, refining }

/// Of each coordinate of the model.
const MODEL: (f64, f64) = (0.4, 1.5);
/// What is measured, three of its standard deviations away.
const FAR: f64 = 4.0;
const VE: Schedule = Schedule::Ve { sigma_min: 0.3, sigma_max: 8.0 };
const COSINE: Schedule = Schedule::VpCosine { c: 0.008 };

/// 2 x0 is measured as 2 y, and what that says of x0.
fn measured(y: f64) -> (Task, Option<(f64, f64)>) {
    (Task::Linear { operator: vec![2.0], measured: vec![2.0 * y], noise: vec![1.0] }, Some((y, 0.25)))
}

/// Eight steps, twisted by a spread that is wrong by the factor `scale`, so that weights have something to do.
fn options(task: Task, schedule: Schedule, scale: f64) -> Options {
    let mut options = Options::new(Method::Tds, schedule);
    (options.steps, options.particles, options.resample) = (8, 4, Policy::Every);
    options.twisting = Some(Twisting { scale, ..Twisting::new(task) });
    options
}

fn changed(mut options: Options, change: impl Fn(&mut Options, &mut Twisting)) -> Options {
    let mut twisting = options.twisting.take().expect("a twist");
    change(&mut options, &mut twisting);
    options.twisting = Some(twisting);
    options
}

/// The least chances of the uniform numbers of a set of paths `[paths][level, coordinate]`.
fn chances(lines: &[Line], paths: &[Vec<f64>]) -> Vec<f64> {
    let dim = lines.len();
    let of = |(k, line): (usize, &Line)| {
        let own = |path: &Vec<f64>| path.iter().skip(k).step_by(dim).copied().collect::<Vec<f64>>();
        let all: Vec<[f64; 5]> = paths.iter().map(|path| line.uniforms(&own(path))).collect();
        [0, 1, 2, 3, 4].map(|i| uniform(all.iter().map(|u| u[i]).collect()))
    };
    lines.iter().enumerate().flat_map(of).collect()
}

fn least(chances: &[f64]) -> f64 {
    chances.iter().copied().fold(1.0, f64::min)
}

fn shown(chances: &[f64]) -> String {
    chances.iter().map(|chance| format!("{chance:.1e}")).collect::<Vec<_>>().join(", ")
}

/// `groups` exact paths.
fn exact_paths(lines: &[Line], groups: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let one = |rng: &mut StdRng| {
        let each: Vec<Vec<f64>> = lines.iter().map(|line| line.exact(rng)).collect();
        (0..each[0].len()).flat_map(|level| each.iter().map(move |x| x[level])).collect()
    };
    (0..groups).map(|_| one(&mut rng)).collect()
}

/// The test itself in f64: it passes what is right, and finds every slip.
#[test]
fn every_slip_is_found() {
    let groups = 40_000;
    let judge = |slip: Slip| {
        let (task, known) = measured(FAR);
        let options = Options { particles: 2, ..options(task, VE, 0.3) };
        let lines = [Line::new(MODEL, &options, known)];
        let sweep = Sweep::new(plain(MODEL, options), slip);
        let before = exact_paths(&lines, groups, seed(160));
        let after: Vec<Vec<f64>> =
            before.iter().enumerate().map(|(g, path)| sweep.run(path, group_seed(seed(161), g))).collect();
        let (before, after) = (chances(&lines, &before), chances(&lines, &after));
        println!("{slip:?}: chances {}", shown(&after));
        (least(&before), least(&after))
    };
    let (before, after) = judge(Slip::None);
    assert!(before > 1.0e-6 && after > 1.0e-6, "{before}, {after}");
    for slip in [Slip::NotRetained, Slip::NoRatio, Slip::DrawnNoise, Slip::Unconditional] {
        let (_, found) = judge(slip);
        assert!(found < 1.0e-12, "{slip:?} must be found: {found}");
    }
}

/// (name, options, what is known of each coordinate).
type Case = (&'static str, Options, Vec<Option<(f64, f64)>>);

fn cases() -> Vec<Case> {
    let (task, known) = measured(FAR);
    let with = |schedule, change: &dyn Fn(&mut Options, &mut Twisting)| {
        changed(options(task.clone(), schedule, 0.3), change)
    };
    let pinned = Task::Inpaint { mask: vec![true, false], known: vec![1.8, 0.0], noise: 0.0 };
    vec![
        ("every step", with(VE, &|_, _| ()), vec![known]),
        (
            "posterior, by the ESS, independent points",
            with(VE, &|o, t| {
                (o.resample, o.scheme, o.particles) = (Policy::Ess(0.6), Scheme::Multinomial, 3);
                t.chain = Chain::Posterior;
            }),
            vec![known],
        ),
        ("from the model", with(VE, &|o, t| (o.particles, t.lean) = (7, 0.0)), vec![known]),
        (
            "by the largest, by the ESS",
            with(VE, &|o, t| {
                (o.resample, o.particles) = (Policy::Ess(0.6), 7);
                (t.lean, t.potential) = (0.0, Potential::Max);
            }),
            vec![known],
        ),
        ("a broader proposal", with(COSINE, &|_, t| t.proposal_variance = 1.5), vec![known]),
        (
            "a broader proposal, half as far, posterior",
            with(COSINE, &|o, t| {
                o.resample = Policy::Ess(0.6);
                (t.proposal_variance, t.lean, t.chain) = (1.3, 0.5, Chain::Posterior);
            }),
            vec![known],
        ),
        ("in its place", options(pinned.clone(), VE, 3.0), vec![Some((1.8, 0.0)), None]),
        (
            "in its place, clipped",
            changed(options(pinned, VE, 1.5), |o, t| (o.particles, t.chain) = (16, Chain::Clipped)),
            vec![Some((1.8, 0.0)), None],
        ),
    ]
}

/// Normal coordinates that do not know of each other.
fn independent(dim: usize) -> Model {
    let row = |k: usize| (0..dim).map(|j| if j == k { MODEL.1 } else { 0.0 }).collect::<Vec<f64>>();
    let rows: Vec<Vec<f64>> = (0..dim).map(row).collect();
    model(&format!("kind = 'gaussian'\nmean = {:?}\ncovariance = {rows:?}\n", vec![MODEL.0; dim]))
}

/// Paths `[groups][level, coordinate]` of runs that follow none.
fn unswept(device: &Device, models: &[Model], options: &Options) -> Vec<Vec<f64>> {
    let options = Options { paths: true, ..options.clone() };
    let run = Run::new(device, models, &options).expect("a run");
    run.begin().expect("a start");
    run.advance_through(0..options.steps).expect("steps");
    traced(&run)
}

fn the_law_of_paths_stays(device: &Device) {
    let groups = if slow(device) { 3000 } else { 20_000 };
    for (case, (name, mut options, known)) in cases().into_iter().enumerate() {
        (options.groups, options.seed) = (groups, seed(170 + case as u64));
        let lines: Vec<Line> = known.iter().map(|known| Line::new(MODEL, &options, *known)).collect();
        let models = [independent(lines.len())];
        let before = exact_paths(&lines, groups, seed(180 + case as u64));
        let after = swept(device, &models, &options, &before);
        // From the middle on; of independent coordinates one that is known does not move at the end.
        let middle = lines.len() * (options.steps / 2);
        let moved = before.iter().zip(&after).filter(|(a, b)| (a[middle] - b[middle]).abs() > 1.0e-3);
        let (moved, found) = (moved.count(), chances(&lines, &after));
        // The control: a few particles without a path do not draw from that law, where there are enough groups to tell.
        let control = least(&chances(&lines, &unswept(device, &models, &options)));
        println!(
            "{} {name}: chances {}; {moved} of {groups} moved; without a path {control:.1e}",
            device.backend(),
            shown(&found)
        );
        assert!(least(&found) > 1.0e-6, "{name}: {found:?}");
        assert!(moved > groups / 20, "{name}: paths move: {moved}");
        assert!(slow(device) || control < 1.0e-12, "{name}: the control must fail: {control}");
    }
}

/// A particle of a run that resamples nothing, and slot 0 of a sweep along its path: the same place to the bit, and the same
/// log-weight.
fn a_path_weighs_what_it_did(device: &Device) {
    let with = |task: Task, change: &dyn Fn(&mut Options, &mut Twisting)| changed(tiny(task, VE), change);
    let slope = Task::Reward { slope: vec![0.02, -0.03], curvature: vec![0.0; 2], centre: vec![0.0; 2] };
    let exact = || vec![Model::Analytic(gaussian())];
    let (plane, digits) = (network("gmm40-mlp"), network("digits8-mlp"));
    let far = changed(short(&plane, slope), |_, t| t.spread = Spread::Noise);
    let class = Options { steps: 5, ..short(&digits, Task::Classifier { class: 3, scale: 1.0 }) };
    let mut cases = vec![
        ("linear", exact(), with(linear(), &|_, t| t.proposal_variance = 1.3)),
        ("posterior", exact(), with(linear(), &|_, t| t.chain = Chain::Posterior)),
        ("the largest", exact(), with(linear(), &|_, t| (t.lean, t.potential) = (0.0, Potential::Max))),
        ("truncated", exact(), with(linear(), &|o, t| (o.t_min, t.chain) = (0.3, Chain::Truncated))),
        ("cut off", exact(), with(linear(), &|_, t| t.range = Some((-0.5, 0.6)))),
        ("in its place", exact(), tiny(inpainting(0.0), VE)),
        ("in its place, clipped", exact(), with(inpainting(0.0), &|_, t| t.chain = Chain::Clipped)),
        ("in one of its places", exact(), tiny(placement(0.0), VE)),
        ("a network", vec![plane], far),
    ];
    if !slow(device) {
        cases.push(("a classifier", vec![digits, shipped_classifier("digits8-classifier")], class));
    }
    for (name, models, options) in cases {
        let mut options = Options { resample: Policy::Never, groups: 3, paths: true, ..options };
        options.seed = seed(190);
        let levels = options.steps + 1;
        let (k, dim) = (options.particles, models[0].dim());
        let out = sample(device, &models, &options, None).expect("a run");
        // Slot 5 of each group, in a run that keeps slots where they are.
        let all = out.paths.as_ref().expect("paths");
        let rows = (0..levels).flat_map(|l| (0..3).map(move |g| (l * 3 + g) * k + 5));
        let path: Vec<f32> = rows.flat_map(|row| &all[row * dim..(row + 1) * dim]).copied().collect();
        let options = Options { refine: 1, ..options };
        let buffer = device.upload("path", &path).expect("an upload");
        let run = Run::retaining(device, &models, &options, 0..3, 1, buffer).expect("a sweep");
        run.begin().expect("a start");
        run.advance_through(0..options.steps).expect("steps");
        let found = feynkac::run::read(&run).expect("an end");
        let own = device.download(&run.trace(&[0, 0, 0]).expect("paths")).expect("paths");
        assert_eq!(own, path, "{name}");
        for g in 0..3 {
            let (found, wanted) = (found.log_w[g * k], out.log_w[g * k + 5]);
            println!("{} {name}: {found} for {wanted}", device.backend());
            // Twelve steps, each of a noise that is a difference of numbers up to some hundred times larger, in f32.
            let allowed = 1.0e-3 * (1.0 + wanted.abs());
            assert!((found - wanted).abs() < allowed, "{name}, group {g}: {found} for {wanted}");
            // The control: other particles weigh something else.
            let others = (0..k).filter(|i| (out.log_w[g * k + i] - wanted).abs() > 2.0 * allowed).count();
            assert!(others > k / 2, "{name}: the control must fail");
        }
    }
}

/// Sweeps from the command's own entry: few particles leave a bias, which they take away.
fn refining(device: &Device) {
    let (task, known) = measured(1.8);
    let mut options = changed(options(task, VE, 3.0), |_, t| t.lean = 0.0);
    (options.groups, options.refine) = if slow(device) { (1500, 10) } else { (10_000, 30) };
    options.seed = seed(195);
    let line = Line::new(MODEL, &options, known);
    let out = sample(device, &[independent(1)], &options, None).expect("a run");
    let refined = out.refined.expect("sweeps");
    let at = |sweep: usize| {
        let own = &refined.x[sweep * options.groups..(sweep + 1) * options.groups];
        let ends = own.iter().map(|x| {
            let mut path = vec![0.0; options.steps + 1];
            path[options.steps] = f64::from(*x);
            line.uniforms(&path)[2]
        });
        uniform(ends.collect())
    };
    let (first, last) = (at(0), at(options.refine));
    println!("{}: chance of the ends {first:.1e} before, {last:.1e} after", device.backend());
    assert!(last > 1.0e-6, "{last}");
    assert!(slow(device) || first < 1.0e-12, "the control must fail: {first}");
}
