//! Conditional sweeps: they leave the exact law of paths as it is, whatever the number of particles and steps; slot 0 is
//! where its path says, with the weight of any particle there; and refining brings a biased sample to the exact law.

use feynkac::kernels::device::Device;
use feynkac::run::{Run, group_seed};
use feynkac::{Method, Model, Options, Policy, Rule, Schedule, Scheme, Sde, sample};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::sweep::{Slip, Sweep, uniform};
use crate::methods::s1::{models, seed, slow};
use crate::reference::{model, q1};

on_every_device! { the_law_of_paths_stays, slot_0_follows_its_path, split_is_fused, refining }

/// Eight steps from noise 10 to 0.2.
fn options(scheme: Scheme, policy: Policy, particles: usize) -> Options {
    let mut options = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 0.2, sigma_max: 10.0 });
    (options.beta, options.rule, options.steps, options.particles) = (1.5, Rule::Exact, 8, particles);
    (options.scheme, options.resample) = (scheme, policy);
    options
}

/// The least chance of the four uniform numbers of a set of paths `[paths][levels]`.
fn chance(sweep: &Sweep, paths: &[Vec<f64>]) -> [f64; 4] {
    let all: Vec<[f64; 4]> = paths.iter().map(|path| sweep.uniforms(path)).collect();
    [0, 1, 2, 3].map(|i| uniform(all.iter().map(|u| u[i]).collect()))
}

fn shown(chances: [f64; 4]) -> String {
    chances.map(|chance| format!("{chance:.1e}")).join(", ")
}

fn least(chances: [f64; 4]) -> f64 {
    chances.into_iter().fold(1.0, f64::min)
}

/// `groups` exact paths.
fn exact_paths(sweep: &Sweep, groups: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..groups).map(|_| sweep.exact(&mut rng)).collect()
}

/// The test itself in f64: it passes what is right, and finds every slip.
#[test]
fn every_slip_is_found() {
    let groups = 40_000;
    let judge = |slip: Slip| {
        let sweep = Sweep::new(options(Scheme::Multinomial, Policy::Every, 2), slip);
        let before = exact_paths(&sweep, groups, seed(60));
        let after: Vec<Vec<f64>> =
            before.iter().enumerate().map(|(g, path)| sweep.run(path, group_seed(seed(61), g))).collect();
        let chances = chance(&sweep, &after);
        println!("{slip:?}: chances {}", shown(chances));
        (least(chance(&sweep, &before)), least(chances))
    };
    let (before, after) = judge(Slip::None);
    assert!(before > 1.0e-6 && after > 1.0e-6, "{before}, {after}");
    // Noise that is not the path's own is as often too small as too large, and shows least.
    for (slip, most) in [
        (Slip::NotRetained, 1.0e-12),
        (Slip::Unconditional, 1.0e-12),
        (Slip::Flipped, 1.0e-12),
        (Slip::DrawnNoise, 1.0e-6),
    ] {
        let (_, found) = judge(slip);
        assert!(found < most, "{slip:?} must be found: {found}");
    }
}

/// Paths `[group][level, coordinate]` after one sweep of the device from `before`.
pub fn swept(device: &Device, models: &[Model], options: &Options, before: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let (groups, levels, dim) = (before.len(), options.steps + 1, models[0].dim());
    let of = |l: usize| before.iter().flat_map(move |path| &path[l * dim..(l + 1) * dim]);
    let flat: Vec<f32> = (0..levels).flat_map(|l| of(l).map(|x| *x as f32)).collect();
    let path = device.upload("path", &flat).expect("an upload");
    let options = Options { groups, refine: 1, ..options.clone() };
    let run = Run::retaining(device, models, &options, 0..groups, 1, path).expect("a sweep");
    run.begin().expect("a start");
    run.advance_through(0..options.steps).expect("steps");
    traced(&run)
}

/// The path `[groups][level, coordinate]` of a particle of each group, chosen by its weight at the end of a run.
pub fn traced(run: &Run) -> Vec<Vec<f64>> {
    let (levels, groups, dim) = (run.coeffs.len() + 1, run.of.groups, run.of.dim);
    let traced = run.trace(&run.choose().expect("a choice")).expect("paths");
    let out = run.device.download(&traced).expect("paths");
    let level = |l: usize, g: usize| &out[(l * groups + g) * dim..][..dim];
    let path = |g: usize| (0..levels).flat_map(move |l| level(l, g)).map(|x| f64::from(*x)).collect();
    (0..groups).map(path).collect()
}

fn the_law_of_paths_stays(device: &Device) {
    let groups = if slow(device) { 4000 } else { 20_000 };
    for (case, (scheme, policy, sde, particles)) in [
        (Scheme::Systematic, Policy::Every, Sde::TargetScore, 4),
        (Scheme::Systematic, Policy::Ess(0.6), Sde::TemperedNoise, 7),
        (Scheme::Multinomial, Policy::Every, Sde::TemperedNoise, 4),
        (Scheme::Multinomial, Policy::Ess(0.6), Sde::TargetScore, 7),
    ]
    .into_iter()
    .enumerate()
    {
        let mut options = options(scheme, policy, particles);
        (options.sde, options.seed) = (sde, seed(70 + case as u64));
        let sweep = Sweep::new(options.clone(), Slip::None);
        let before = exact_paths(&sweep, groups, seed(80 + case as u64));
        let models = models(&options);
        let after = swept(device, &models, &options, &before);
        let changed = before.iter().zip(&after).filter(|(a, b)| (a[8] - b[8]).abs() > 1.0e-3).count();
        let chances = chance(&sweep, &after);
        println!(
            "{} {scheme:?} {policy:?} {sde:?}: chances {}, {changed} moved",
            device.backend(),
            shown(chances)
        );
        assert!(least(chances) > 1.0e-6, "{scheme:?}, {policy:?}: {chances:?}");
        assert!(changed > groups / 4, "paths move: {changed}");
        // The control: paths that were not exact are found, however they are swept.
        let wrong: Vec<Vec<f64>> = before.iter().map(|path| path.iter().map(|x| 1.2 * x).collect()).collect();
        let after = swept(device, &models, &options, &wrong);
        assert!(least(chance(&sweep, &after)) < 1.0e-12, "the control must fail");
    }
}

/// Under every rule slot 0 is on its path to the bit, weighs what a particle there weighs, and nobody else notices.
fn slot_0_follows_its_path(device: &Device) {
    let mut telling = 0;
    for rule in [Rule::Exact, Rule::Trap, Rule::Left, Rule::Right] {
        let mut options = options(Scheme::Systematic, Policy::Never, 33);
        (options.rule, options.groups, options.refine) = (rule, 3, 1);
        let models = [model(&q1())];
        let path: Vec<f32> = (0..27).map(|i| 0.5 - 0.07 * i as f32 + (i % 5) as f32 * 0.3).collect();
        let buffer = device.upload("path", &path).expect("an upload");
        let run = Run::retaining(device, &models, &options, 0..3, 1, buffer).expect("a sweep");
        run.begin().expect("a start");
        run.advance_through(0..8).expect("steps");
        let found = feynkac::run::read(&run).expect("an end");
        let own = run.trace(&[0, 0, 0]).expect("paths");
        assert_eq!(device.download(&own).expect("paths"), path, "{rule:?}");
        for g in 0..3 {
            let alone = Options { groups: 1, seed: run.seeds[g], refine: 0, ..options.clone() };
            let other = sample(device, &models, &alone, None).expect("a run");
            let of = g * 33 + 1..(g + 1) * 33;
            assert_eq!(found.x[of.clone()], other.x[1..], "{rule:?}: positions of the others");
            assert_eq!(found.log_w[of], other.log_w[1..], "{rule:?}: their log-weights");
            let (first, wanted) =
                weight_along(&options, &(0..9).map(|l| f64::from(path[3 * l + g])).collect::<Vec<f64>>());
            let off = (f64::from(found.log_w[g * 33]) - wanted).abs();
            // Steps whose squares over variances are some tens to hundreds, in f32.
            let allowed = 2.0e-4 * (1.0 + wanted.abs());
            // The control: without its first weight it would be found.
            telling += usize::from(first.abs() > 2.0 * allowed);
            assert!(off < allowed, "{rule:?}, group {g}: {} for {wanted}", found.log_w[g * 33]);
        }
    }
    assert!(telling > 0, "the control must fail");
}

/// The log-weights of a particle that goes along `path` on the line, at the start and at the end, from the formulas of
/// docs/maths.md (8).
fn weight_along(options: &Options, path: &[f64]) -> (f64, f64) {
    let levels = feynkac::coeffs::levels(options).expect("levels");
    let steps = feynkac::coeffs::steps(options, &levels, 1).expect("coefficients");
    let start = feynkac::coeffs::start(options, &models(options), levels[0]).expect("a start");
    let q = crate::reference::target(&q1());
    let at = |l: usize| {
        let (alpha, sigma) = (levels[l].alpha, levels[l].sigma);
        (options.beta * q.log_density(&[path[l]], alpha, sigma), q.score(&[path[l]], alpha, sigma)[0])
    };
    let tau = std::f64::consts::TAU;
    let normal =
        |x: f64, mean: f64, variance: f64| -0.5 * ((x - mean).powi(2) / variance + (tau * variance).ln());
    let rate = |s: f64| options.beta * (options.beta - 1.0) * s * s;
    let first = at(0).0 - normal(path[0], start.mean[0], start.std.powi(2));
    let mut log_w = first;
    for (l, c) in steps.iter().enumerate() {
        let ((log_p, s), (log_p_new, s_new)) = (at(l), at(l + 1));
        let (x, x_new) = (path[l], path[l + 1]);
        if options.rule == Rule::Exact {
            let forward = normal(x_new, c.shrink * x + c.drift * options.beta * s, c.noise.powi(2));
            let backward = normal(
                x,
                c.back_shrink * x_new + c.back_drift * options.beta * s_new,
                1.0 / c.back_precision,
            );
            log_w += log_p_new - log_p + backward - forward;
        } else {
            log_w += c.rate_old * rate(s) + c.rate_new * rate(s_new) + c.constant;
        }
    }
    (first, log_w)
}

/// A step of two launches is the step of one, under the exact rule too, to the bit.
fn split_is_fused(device: &Device) {
    let mut options = options(Scheme::Systematic, Policy::Ess(0.5), 700);
    options.groups = 2;
    let models = models(&options);
    let fused = sample(device, &models, &options, None).expect("a run");
    options.unfused = true;
    let split = sample(device, &models, &options, None).expect("a run");
    assert!(fused.x == split.x && fused.log_w == split.log_w && fused.log_z == split.log_z);
    assert!(fused.resampled_at.iter().all(|at| !at.is_empty()));
    // Nor does keeping positions change a run; its paths end where its particles are.
    (options.unfused, options.paths) = (false, true);
    let kept = sample(device, &models, &options, None).expect("a run");
    assert!(fused.x == kept.x && fused.log_w == kept.log_w && fused.log_z == kept.log_z);
    let paths = kept.paths.expect("paths");
    assert_eq!(paths.len(), 9 * 1400);
    assert_eq!(paths[8 * 1400..], kept.x[..]);
    let roots = |g: usize| {
        let mut own: Vec<u32> = paths[g * 700..(g + 1) * 700].iter().map(|x| x.to_bits()).collect();
        own.sort_unstable();
        own.dedup();
        own.len()
    };
    assert_eq!([roots(0), roots(1)].to_vec(), kept.distinct_roots, "paths begin at the roots");
}

/// Few particles leave a bias, which sweeps take away.
fn refining(device: &Device) {
    let mut options = options(Scheme::Systematic, Policy::Every, 5);
    (options.groups, options.refine, options.seed) = (if slow(device) { 2000 } else { 15_000 }, 30, seed(90));
    if slow(device) {
        options.refine = 8;
    }
    let sweep = Sweep::new(options.clone(), Slip::None);
    let out = sample(device, &models(&options), &options, None).expect("a run");
    let refined = out.refined.expect("sweeps");
    let groups = options.groups;
    assert_eq!(refined.x.len(), (options.refine + 1) * groups);
    let at = |s: usize| -> f64 {
        let own = &refined.x[s * groups..(s + 1) * groups];
        let ends = own.iter().map(|&x| {
            let mut path = vec![0.0; 9];
            path[8] = f64::from(x);
            sweep.uniforms(&path)[0]
        });
        uniform(ends.collect())
    };
    let (first, last) = (at(0), at(options.refine));
    println!(
        "{}: chance of the ends {first:.2e} before, {last:.2e} after; renewed {:.2?}",
        device.backend(),
        refined.renewed
    );
    assert!(last > 1.0e-6, "{last}");
    assert!(slow(device) || first < 1.0e-12, "the control must fail: {first}");
    assert!(refined.renewed.iter().all(|share| *share > 0.1 && *share <= 1.0), "{:?}", refined.renewed);
    // A group's chain does not depend on who is beside it, nor on batches.
    let alone = Options { groups: 3, ..options.clone() };
    let few = sample(device, &models(&alone), &alone, None).expect("a run").refined.expect("sweeps");
    let batched = Options { micro_batch: 2, ..alone.clone() };
    let parts = sample(device, &models(&batched), &batched, None).expect("a run").refined.expect("sweeps");
    assert_eq!(few.x, parts.x);
    for s in 0..=options.refine {
        assert_eq!(few.x[3 * s..3 * s + 3], refined.x[s * groups..s * groups + 3], "sweep {s}");
    }
}
