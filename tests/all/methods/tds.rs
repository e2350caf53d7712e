//! The twisted sampler against the closed form of its own chain (S5 of the experiments): evidence that is unbiased at any
//! number of particles and steps, and a posterior mean whose error falls as one over the number of particles.

use feynkac::kernels::device::Device;
use feynkac::run::group_seed;
use feynkac::{
    Chain, Method, Model, Options, Policy, Potential, Proposal, Schedule, Spread, Target, Task, Twisting,
    sample,
};

use super::chain::{clean, posterior};
use super::s1::{seed, slow};
use super::tds_plain::{Mistake, Plain};
use crate::reference::{evidence, target};

on_every_device! { unbiased_evidence, errors_fall_with_particles, a_path_is_not_enough, no_ratio_no_end_to_the_error }

pub const VE: Schedule = Schedule::Ve { sigma_min: 0.1, sigma_max: 10.0 };

/// A Gaussian in three dimensions whose coordinates know of each other.
pub fn gaussian() -> Target {
    target(
        "kind = 'gaussian'\nmean = [0.5, -0.3, 0.2]\n\
         covariance = [[1.0, 0.6, 0.2], [0.6, 1.2, -0.3], [0.2, -0.3, 0.8]]\n",
    )
}

pub fn linear() -> Task {
    Task::Linear {
        operator: vec![1.0, 0.5, 0.0, 0.0, -0.4, 1.0],
        measured: vec![1.2, -0.6],
        noise: vec![0.3, 0.5],
    }
}

pub fn inpainting(noise: f64) -> Task {
    Task::Inpaint { mask: vec![true, false, true], known: vec![1.1, 0.0, -0.4], noise }
}

pub fn placement(noise: f64) -> Task {
    Task::Placement { motif: vec![0.8, 0.1], offsets: vec![0, 1], noise }
}

/// Groups of 16 particles.
pub fn tiny(task: Task, schedule: Schedule) -> Options {
    let mut options = Options::new(Method::Tds, schedule);
    (options.particles, options.steps) = (16, 12);
    options.twisting = Some(Twisting::new(task));
    options
}

/// The logarithm of the evidence that `options` estimates, and the posterior mean.
pub fn exact(options: &Options) -> (f64, Vec<f64>) {
    let Target::Gaussian(model) = gaussian() else { panic!("a Gaussian") };
    let task = &options.twisting.as_ref().expect("a twist").task;
    posterior(&clean(&model, options), task)
}

/// Every task, schedule, chain, proposal and policy: |mean Z / Z - 1| < 4 standard errors.
fn unbiased_evidence(device: &Device) {
    let with = |task: Task, schedule: Schedule, change: &dyn Fn(&mut Options, &mut Twisting)| {
        let mut options = tiny(task, schedule);
        let mut twisting = options.twisting.take().expect("a twist");
        change(&mut options, &mut twisting);
        options.twisting = Some(twisting);
        options
    };
    let same = |_: &mut Options, _: &mut Twisting| ();
    let cosine = Schedule::VpCosine { c: 0.008 };
    let walls = Task::Inequalities { operator: vec![1.0, -0.5, 0.3], bounds: vec![0.2] };
    let slab = Task::Inequalities { operator: vec![0.0, 1.0, 0.0, 0.0, -1.0, 0.0], bounds: vec![0.4, 0.9] };
    let none = f64::INFINITY;
    let boxed = Task::Bounds { lower: vec![-none, -0.9, -none], upper: vec![none, 0.4, none] };
    let reward = Task::Reward {
        slope: vec![0.5, 0.0, -0.3],
        curvature: vec![0.0, 0.7, 0.4],
        centre: vec![0.0, 1.0, 0.5],
    };
    // Potentials of the past add rewards up: small ones, or the spread of the weights is beyond use.
    let small = |slope: f64| Task::Reward {
        slope: vec![slope, 0.0, -slope],
        curvature: vec![0.0; 3],
        centre: vec![0.0; 3],
    };
    let cases = [
        ("linear, by the ESS", with(linear(), VE, &same)),
        ("linear, every step", with(linear(), VE, &|o, _| o.resample = Policy::Every)),
        ("linear, never", with(linear(), VE, &|o, _| o.resample = Policy::Never)),
        ("from the model", with(linear(), VE, &|_, t| t.lean = 0.0)),
        (
            "steered by the largest",
            with(small(0.2), VE, &|_, t| (t.lean, t.potential) = (0.0, Potential::Max)),
        ),
        (
            "steered by the sum of rewards",
            with(small(0.03), VE, &|_, t| (t.lean, t.potential) = (0.0, Potential::Sum)),
        ),
        ("a broader proposal", with(linear(), VE, &|_, t| t.proposal_variance = 1.3)),
        ("the noise as the spread", with(linear(), VE, &|_, t| (t.spread, t.scale) = (Spread::Noise, 0.7))),
        ("posterior chain", with(linear(), VE, &|_, t| t.chain = Chain::Posterior)),
        ("vp-cosine", with(linear(), cosine, &same)),
        (
            "vp-linear, posterior",
            with(linear(), Schedule::VpLinear { b0: 0.1, b1: 20.0 }, &|_, t| t.chain = Chain::Posterior),
        ),
        ("rectified flow", with(linear(), Schedule::RectifiedFlow, &same)),
        ("inpainting", with(inpainting(0.0), VE, &same)),
        ("inpainting, vp-cosine", with(inpainting(0.0), cosine, &|o, _| o.resample = Policy::Every)),
        ("inpainting with noise", with(inpainting(0.3), VE, &same)),
        ("cut off within a range", with(linear(), VE, &|_, t| t.range = Some((-1.5, 2.0)))),
        (
            "the same, broader",
            with(linear(), cosine, &|_, t| (t.range, t.proposal_variance) = (Some((-2.0, 2.0)), 1.2)),
        ),
        ("truncated", with(linear(), VE, &|o, t| (o.t_min, t.chain) = (0.3, Chain::Truncated))),
        (
            "replacement, by the ESS",
            with(inpainting(0.0), Schedule::RectifiedFlow, &|_, t| t.proposal = Proposal::Replacement),
        ),
        (
            "replacement, vp-cosine",
            with(inpainting(0.0), cosine, &|o, t| {
                (o.resample, t.proposal) = (Policy::Every, Proposal::Replacement);
            }),
        ),
        ("placement", with(placement(0.0), VE, &same)),
        ("placement with noise", with(placement(0.4), Schedule::RectifiedFlow, &same)),
        ("a wall", with(walls, VE, &same)),
        ("a reward", with(reward, VE, &same)),
        ("inpainting, clipped", with(inpainting(0.0), VE, &|_, t| t.chain = Chain::Clipped)),
        (
            "inpainting, vp-cosine, clipped",
            // Its last steps are small ones, and weights vary more.
            with(inpainting(0.0), cosine, &|o, t| (o.particles, t.chain) = (256, Chain::Clipped)),
        ),
        ("clipped", with(linear(), cosine, &|_, t| t.chain = Chain::Clipped)),
        ("between two walls", with(slab, VE, &same)),
        ("within bounds", with(boxed, cosine, &|_, t| t.chain = Chain::Posterior)),
        ("a narrow spread", with(linear(), VE, &|_, t| t.spread = Spread::Tau(0.5))),
        ("the step as the spread", with(linear(), VE, &|_, t| t.spread = Spread::Step)),
        ("the same, vp-cosine", with(inpainting(0.3), cosine, &|_, t| t.spread = Spread::Step)),
        ("the residual as the spread", with(inpainting(0.3), VE, &|_, t| t.spread = Spread::Residual)),
        (
            "the same, without noise",
            with(inpainting(0.0), cosine, &|o, t| {
                (o.particles, t.spread, t.scale) = (64, Spread::Residual, 2.0);
            }),
        ),
    ];
    let mut wrong = Vec::new();
    for (at, (name, mut options)) in cases.into_iter().enumerate() {
        options.groups = if slow(device) { 400 } else { 6000 };
        options.seed = seed(5000 + at as u64);
        let (wanted, _) = exact(&options);
        let out = sample(device, &[Model::Analytic(gaussian())], &options, None).expect("a run");
        let (ratio, error) = evidence(&out.log_z, wanted);
        println!("S5 {:<5} {name:<24} mean Z / Z = {ratio:.4} +- {error:.4}", device.backend());
        if (ratio - 1.0).abs() >= 4.0 * error || error >= if slow(device) { 0.08 } else { 0.02 } {
            wrong.push(format!("{name}: {ratio} +- {error}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// The weighted mean of each run, and its log Z.
fn means(device: &Device, options: &Options) -> (Vec<[f64; 3]>, Vec<f64>) {
    let out = sample(device, &[Model::Analytic(gaussian())], options, None).expect("a run");
    let k = options.particles;
    let mean = |(log_w, x): (&[f32], &[f32])| {
        let weights = crate::reference::normalised(log_w);
        [0, 1, 2].map(|c| weights.iter().enumerate().map(|(i, w)| w * f64::from(x[i * 3 + c])).sum())
    };
    (out.log_w.chunks(k).zip(out.x.chunks(k * 3)).map(mean).collect(), out.log_z)
}

fn distance(found: &[f64], wanted: &[f64]) -> f64 {
    found.iter().zip(wanted).map(|(a, b)| (a - b).powi(2)).sum()
}

/// Mean over runs of the square error of the posterior mean; mean Z / Z and its standard error.
fn found(device: &Device, options: &Options) -> (f64, (f64, f64)) {
    let (log_z, wanted) = exact(options);
    let (means, estimates) = means(device, options);
    let error = means.iter().map(|mean| distance(mean, &wanted)).sum::<f64>() / options.groups as f64;
    (error, evidence(&estimates, log_z))
}

/// The first of the two.
fn square_error(device: &Device, options: &Options) -> f64 {
    found(device, options).0
}

/// With replacement a run is conditioned on its own path of noise as well, which of a coarse chain says more than what is
/// known: there is an end to what particles help, and runs that are weighted by their Z go on.
fn a_path_is_not_enough(device: &Device) {
    if slow(device) {
        return;
    }
    let run = |particles: usize, groups: usize, proposal: Proposal| {
        let mut options = tiny(inpainting(0.0), VE);
        (options.particles, options.groups, options.seed) = (particles, groups, seed(5100));
        options.twisting.as_mut().expect("a twist").proposal = proposal;
        options
    };
    let (groups, most) = (100, 8192);
    let error = |particles, proposal| square_error(device, &run(particles, groups, proposal));
    let (few, many) = (error(most / 16, Proposal::Replacement), error(most, Proposal::Replacement));
    let twisted = error(most, Proposal::Twisted);
    let options = run(most / 16, 16 * groups, Proposal::Replacement);
    let (means, log_z) = means(device, &options);
    let (_, wanted) = exact(&options);
    let log_z: Vec<f32> = log_z.iter().map(|z| *z as f32).collect();
    let weights = crate::reference::normalised(&log_z);
    let all: Vec<f64> = (0..3).map(|c| means.iter().zip(&weights).map(|(m, w)| m[c] * w).sum()).collect();
    let together = distance(&all, &wanted);
    let (name, least) = (device.backend(), most / 16);
    println!(
        "{name:<5} MSE by replacement {few:.5} (K = {least}), {many:.5} ({most}), {together:.1e} (all runs)"
    );
    println!("{name:<5} MSE twisted {twisted:.5} ({most})");
    assert!(many > 0.3 * few && many > 3.0 * twisted, "{few}, {many}, {twisted}");
    assert!(together < 0.3 * many, "{together} for {many}");
}

/// Slope of a line through points.
pub fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (x, y) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let (xy, xx) =
        points.iter().fold((0.0, 0.0), |(xy, xx), p| (xy + (p.0 - x) * (p.1 - y), xx + (p.0 - x).powi(2)));
    xy / xx
}

/// `task` in 60 steps, of `particles`.
fn fine(task: Task, particles: usize) -> Options {
    let mut options = tiny(task, VE);
    (options.particles, options.steps) = (particles, 60);
    options
}

/// The slope of log MSE against log K is in [-1.2, -0.8], and the mean evidence is exact within three standard errors.
fn errors_fall_with_particles(device: &Device) {
    if slow(device) {
        return;
    }
    for (at, (name, task)) in
        [("linear", linear()), ("inpainting", inpainting(0.0)), ("placement", placement(0.0))]
            .into_iter()
            .enumerate()
    {
        let mut points = Vec::new();
        for particles in [4, 16, 64, 256, 1024] {
            let mut options = fine(task.clone(), particles);
            options.groups = (40_000 / particles).clamp(100, 2000);
            options.seed = seed(6000 + 10 * at as u64 + particles as u64);
            let (error, (ratio, off)) = found(device, &options);
            println!(
                "S5 {:<5} {name:<10} K = {particles:<4} MSE {error:.5}, mean Z / Z = {ratio:.4} +- {off:.4}",
                device.backend()
            );
            assert!((ratio - 1.0).abs() < 3.0 * off, "{name}, K = {particles}: {ratio} +- {off}");
            points.push(((particles as f64).ln(), error.ln()));
        }
        let found = slope(&points);
        println!("S5 {:<5} {name:<10} slope {found:.3}", device.backend());
        assert!((-1.2..=-0.8).contains(&found), "{name}: slope {found}");
    }
}

/// Mistake 12: without the ratio of proposals a measurement counts twice, and particles do not help. At 1024 of them its error
/// is more than twenty times that of the sampler, and no less than half of its own at 64.
fn no_ratio_no_end_to_the_error(device: &Device) {
    if slow(device) {
        return;
    }
    // What says less than the model does is the more wrong if it is said twice.
    let weak = || Task::Linear {
        operator: vec![1.0, 0.5, 0.0, 0.0, -0.4, 1.0],
        measured: vec![2.4, -1.2],
        noise: vec![1.0; 2],
    };
    let mistaken = |particles: usize| {
        let plain = Plain::new(gaussian(), fine(weak(), particles), Mistake::NoRatio);
        let (_, wanted) = exact(&plain.options);
        let one = |group: usize| {
            let now = plain.run(group_seed(seed(6100), group)).now;
            let log_w: Vec<f32> = now.iter().map(|particle| particle.log_w as f32).collect();
            let weights = crate::reference::normalised(&log_w);
            let mean = [0, 1, 2].map(|c| now.iter().zip(&weights).map(|(p, w)| w * p.x[c]).sum());
            distance(&mean, &wanted)
        };
        (0..20).map(one).sum::<f64>() / 20.0
    };
    let (few, many) = (mistaken(64), mistaken(1024));
    let mut options = fine(weak(), 1024);
    (options.groups, options.seed) = (100, seed(6101));
    let right = square_error(device, &options);
    println!(
        "S5 {:<5} without the ratio MSE {few:.5} (K = 64), {many:.5} (1024), with it {right:.6} (1024)",
        device.backend()
    );
    assert!(many > 20.0 * right && many > 0.5 * few, "{few}, {many}, {right}");
}
