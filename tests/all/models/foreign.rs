//! A model of somebody else's, evaluated through rows [particles, dim] by a kernel that is not ours, against
//! the same Gaussian in closed form.

use std::sync::{Arc, Mutex};

use cubecl::prelude::*;
use feynkac::kernels::device::{Buf, Device};
use feynkac::kernels::passes::Work;
use feynkac::{Foreign, Method, Model, Noise, Options, Outcome, Policy, Result, Schedule, Target, sample};

on_every_device! {
    anneals_like_the_closed_form,
    guides_like_the_closed_form,
    sees_contiguous_rows,
    is_never_downloaded_in_the_loop,
}

const MEAN: [f64; 3] = [0.5, -1.0, 0.25];

/// What a spy saw: level by level, (particles, noise, rows).
type Seen = Arc<Mutex<Vec<(usize, Noise, Vec<f32>)>>>;

/// N(mean, std^2 I).
struct Own {
    mean: Vec<f64>,
    std: f64,
    seen: Option<Seen>,
}

/// (alpha m - x) / v of every number of rows [count, dim].
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn own_score_kernel(
    rows: &[f32],
    mean: &[f32],
    out: &mut [f32],
    first: u32,
    numbers: u32,
    dim: u32,
    alpha: f32,
    precision: f32,
) {
    let mut i = ABSOLUTE_POS;
    while i < numbers as usize {
        let k = i % dim as usize;
        out[first as usize + i] = (alpha * mean[k] - rows[i]) * precision;
        i += CUBE_COUNT * CUBE_DIM as usize;
    }
}

impl Foreign for Own {
    fn dim(&self) -> usize {
        self.mean.len()
    }

    fn score(
        &self,
        device: &Device,
        rows: &Buf<f32>,
        count: usize,
        noise: Noise,
        out: &Buf<f32>,
        first: usize,
    ) -> Result<()> {
        let numbers = count * self.dim();
        assert_eq!(rows.len(), numbers, "rows without padding");
        assert!(first.is_multiple_of(numbers) && out.len() >= first + numbers);
        if let Some(seen) = &self.seen {
            seen.lock().expect("no panic elsewhere").push((count, noise, device.download(rows)?));
        }
        let mean: Vec<f32> = self.mean.iter().map(|&m| m as f32).collect();
        let mean = device.upload("mean", &mean)?;
        let variance = (noise.alpha * self.std).powi(2) + noise.sigma.powi(2);
        let cubes = if device.is_cpu() { 1 } else { numbers.div_ceil(device.units() as usize) };
        own_score_kernel::launch(
            device.client(),
            CubeCount::Static(cubes as u32, 1, 1),
            CubeDim::new_1d(device.units()),
            rows.arg(),
            mean.arg(),
            out.arg(),
            first as u32,
            numbers as u32,
            self.dim() as u32,
            noise.alpha as f32,
            variance.recip() as f32,
        );
        let written = 4 * numbers as u64;
        Ok(device.launched(Work { read: written, written })?)
    }

    fn moments(&self) -> (Vec<f64>, f64) {
        (self.mean.clone(), self.std)
    }
}

fn foreign(mean: &[f64], std: f64, seen: Option<&Seen>) -> Model {
    Model::Foreign(Box::new(Own { mean: mean.to_vec(), std, seen: seen.cloned() }))
}

/// The same Gaussian in closed form.
fn analytic(mean: &[f64], std: f64) -> Model {
    let row = |i: usize| {
        let numbers = (0..mean.len()).map(|j| format!("{:?}", if i == j { std * std } else { 0.0 }));
        format!("[{}]", numbers.collect::<Vec<_>>().join(", "))
    };
    let rows: Vec<String> = (0..mean.len()).map(row).collect();
    let text = format!("kind = 'gaussian'\nmean = {mean:?}\ncovariance = [{}]", rows.join(", "));
    Model::Analytic(Target::parse("own.toml".as_ref(), &text).expect("a target").0)
}

const SCHEDULES: [Schedule; 2] =
    [Schedule::Ve { sigma_min: 0.05, sigma_max: 5.0 }, Schedule::VpLinear { b0: 0.1, b1: 20.0 }];

fn options(method: Method, schedule: Schedule, beta: f64, groups: usize, particles: usize) -> Options {
    let mut options = Options::new(method, schedule);
    (options.beta, options.groups, options.particles, options.steps) = (beta, groups, particles, 40);
    (options.resample, options.seed) = (Policy::Never, 5);
    options
}

/// The largest difference of two runs as a share of what rounding allows. Same draws, same sums, other
/// roundings: every step rounds each number in some 16 operations, each by half an ulp, and errors shrink with
/// the particles.
fn apart(found: &Outcome, wanted: &Outcome, options: &Options) -> f64 {
    let most = |values: &[f32]| 1.0 + values.iter().map(|v| f64::from(v.abs())).fold(0.0, f64::max);
    let x = 16.0 * options.steps as f64 * 0.5 * f64::from(f32::EPSILON) * most(&wanted.x);
    // The rates are squares of scores: an error of x counts by the score.
    let log_w = x * most(&wanted.log_w);
    let largest = |found: &[f32], wanted: &[f32]| {
        assert_eq!(found.len(), wanted.len());
        found.iter().zip(wanted).map(|(f, w)| f64::from((f - w).abs())).fold(0.0, f64::max)
    };
    let log_z = found.log_z.iter().zip(&wanted.log_z).map(|(f, w)| (f - w).abs()).fold(0.0, f64::max);
    (largest(&found.x, &wanted.x) / x).max(largest(&found.log_w, &wanted.log_w) / log_w).max(log_z / log_w)
}

fn anneals_like_the_closed_form(device: &Device) {
    for schedule in SCHEDULES {
        for (groups, particles, beta) in [(3, 17, 1.5), (1, 1000, 0.5), (3, 1000, 2.0)] {
            let mut options = options(Method::FkcAnneal, schedule, beta, groups, particles);
            let found = sample(device, &[foreign(&MEAN, 0.7, None)], &options, None).expect("a run");
            options.unfused = true; // as the foreign one is
            let wanted = sample(device, &[analytic(&MEAN, 0.7)], &options, None).expect("a run");
            assert_eq!(found.distinct_roots, wanted.distinct_roots);
            let share = apart(&found, &wanted, &options);
            assert!(share <= 1.0, "{schedule:?}, {groups} groups of {particles}, beta {beta}: {share}");
            // A model that is one percent wider is told apart.
            let wider = sample(device, &[foreign(&MEAN, 0.707, None)], &options, None);
            let share = apart(&wider.expect("a run"), &wanted, &options);
            assert!(share > 1.0, "the control must fail: {share}");
        }
    }
}

fn guides_like_the_closed_form(device: &Device) {
    let (base, guide) = ([0.0, 0.5], [1.0, -0.5]);
    for schedule in SCHEDULES {
        for (groups, particles) in [(3, 17), (1, 1000)] {
            let mut options = options(Method::FkcGuidance, schedule, 1.5, groups, particles);
            let own = [foreign(&base, 1.2, None), foreign(&guide, 0.8, None)];
            let found = sample(device, &own, &options, None).expect("a run");
            options.unfused = true;
            let closed = [analytic(&base, 1.2), analytic(&guide, 0.8)];
            let wanted = sample(device, &closed, &options, None).expect("a run");
            let share = apart(&found, &wanted, &options);
            assert!(share <= 1.0, "{schedule:?}, {groups} groups of {particles}: {share}");
            // The order of the models counts.
            let swapped = [foreign(&guide, 0.8, None), foreign(&base, 1.2, None)];
            let other = sample(device, &swapped, &options, None).expect("a run");
            assert!(apart(&other, &wanted, &options) > 1.0, "the control must fail");
        }
    }
}

/// Every level is asked for once, in order, of all particles, and the last rows are the particles returned,
/// after resamplings too.
fn sees_contiguous_rows(device: &Device) {
    for (groups, particles, resample) in [
        (3, 17, Policy::Never),
        (3, 17, Policy::Every),
        (1, 1000, Policy::Ess(0.9)),
        (2, 33, Policy::Interval(3)),
    ] {
        let mut options = options(Method::FkcAnneal, SCHEDULES[0], 2.0, groups, particles);
        options.resample = resample;
        let seen: Seen = Arc::default();
        let drawn = sample(device, &[foreign(&MEAN, 0.7, Some(&seen))], &options, None).expect("a run");
        let seen = seen.lock().expect("no panic elsewhere");
        assert_eq!(seen.len(), options.steps + 1);
        assert!(seen.iter().all(|(count, ..)| *count == groups * particles));
        assert!(seen.windows(2).all(|pair| pair[0].1.sigma > pair[1].1.sigma));
        assert!((seen[0].1.t, seen[options.steps].1.t) == (options.t_max, options.t_min));
        assert_eq!(seen[options.steps].2, drawn.x, "{groups} groups of {particles}, {resample:?}");
    }
}

fn is_never_downloaded_in_the_loop(device: &Device) {
    let mut options = options(Method::FkcAnneal, SCHEDULES[0], 2.0, 1, 1000);
    options.resample = Policy::Ess(0.5);
    let drawn = sample(device, &[foreign(&MEAN, 0.7, None)], &options, None).expect("a run");
    assert_eq!(drawn.counters.downloads_in_loop, 0);
    // Move, the model's own, weigh, resample.
    assert_eq!(drawn.counters.launches_per_step, 4.0);
}
