//! A run is a function of its arguments: same seed, same bits, on any number of threads, fused or not, whoever
//! runs beside it; and two devices draw the same particles until rounding flips an ancestor.

use feynkac::kernels::device::Device;
use feynkac::run::{Outcome, Run};
use feynkac::{Final, Grid, Method, Model, Options, Policy, Rule, Schedule, sample};

use crate::reference::{gaussian, model, q1, q2};
use crate::support::device;

on_every_device! { same_seed, fused_or_not, neighbours_do_not_matter, sizes_do_not_matter }

const VE: Schedule = Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 };

const RING: &str = "kind = 'mixture'\nweights = [0.2, 0.3, 0.5]\nmeans = [[-2.0, 0.0, 1.0], [1.5, 0.5, 0.0], [0.0, 2.0, -1.0]]\nscales = [[0.5, 0.4, 0.7], [0.3, 0.8, 0.6], [1.0, 0.5, 0.4]]\n";
const FULL: &str = "kind = 'gaussian'\nmean = [0.0, 1.0]\ncovariance = [[2.0, 0.5], [0.5, 1.0]]\n";

/// What two runs must share to the last bit.
#[allow(clippy::type_complexity)] // compared whole, never taken apart
fn bits(out: &Outcome) -> (Vec<u32>, Vec<u32>, Vec<u32>, Vec<u64>, Vec<Vec<usize>>, Vec<usize>) {
    let words = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect();
    let log_z = out.log_z.iter().map(|z| z.to_bits()).collect();
    let (at, roots) = (out.resampled_at.clone(), out.distinct_roots.clone());
    (words(&out.x), words(&out.log_w), out.ancestors.clone(), log_z, at, roots)
}

fn run(device: &Device, models: &[Model], options: &Options) -> Outcome {
    sample(device, models, options, None).expect("a run")
}

/// Runs of every method and rule, several blocks a group, several groups, with resampling.
fn cases() -> Vec<(&'static str, Vec<Model>, Options)> {
    let base = |method, beta| {
        let mut o = Options::new(method, VE);
        (o.beta, o.steps, o.particles, o.groups, o.seed) = (beta, 30, 2100, 3, 77);
        o
    };
    let mut cases = vec![
        ("plain", vec![model(RING)], base(Method::Plain, 1.0)),
        ("anneal", vec![model(&q1())], base(Method::FkcAnneal, 1.5)),
        ("guidance", vec![model(&q1()), model(&q2())], base(Method::FkcGuidance, 2.0)),
        ("diagonal", vec![model(RING)], base(Method::FkcAnneal, 2.0)),
        ("full", vec![model(FULL)], base(Method::FkcAnneal, 0.7)),
    ];
    for (_, _, o) in &mut cases[3..] {
        o.resample = Policy::Every;
        o.last = Final::Resample;
    }
    let mut left = base(Method::FkcAnneal, 1.5);
    left.rule = Rule::Left;
    cases.push(("left", vec![model(RING)], left));
    cases
}

fn same_seed(device: &Device) {
    for (name, models, options) in cases() {
        let first = bits(&run(device, &models, &options));
        assert!(first == bits(&run(device, &models, &options)), "{name}: the same seed twice");
        let mut other = options.clone();
        other.seed += 1;
        assert!(first.0 != bits(&run(device, &models, &other)).0, "{name}: another seed draws others");
    }
    let mut exact = cases().swap_remove(1);
    exact.2.rule = Rule::Exact;
    let twice = [0, 1].map(|_| bits(&run(device, &exact.1, &exact.2)));
    assert!(twice[0] == twice[1], "exact: the same seed twice");
}

fn fused_or_not(device: &Device) {
    for (name, models, mut options) in cases() {
        let fused = bits(&run(device, &models, &options));
        options.unfused = true;
        let apart = bits(&run(device, &models, &options));
        assert!(fused == apart, "{name}: fused and unfused, {}", first_difference(&fused.0, &apart.0));
    }
}

fn first_difference(a: &[u32], b: &[u32]) -> String {
    match a.iter().zip(b).position(|(a, b)| a != b) {
        None => "positions equal".to_owned(),
        Some(i) => format!("number {i}: {} and {}", f32::from_bits(a[i]), f32::from_bits(b[i])),
    }
}

/// The first group of five is the run of its own; every group resamples by its own ESS (known mistake 4).
fn neighbours_do_not_matter(device: &Device) {
    for (name, models, mut options) in cases() {
        for particles in [37, 2100] {
            options.particles = particles;
            options.groups = 5;
            let (x, log_w, ancestors, log_z, at, roots) = bits(&run(device, &models, &options));
            options.groups = 1;
            let alone = bits(&run(device, &models, &options));
            let dim = models[0].dim();
            let group = (
                x[..particles * dim].to_vec(),
                log_w[..particles].to_vec(),
                ancestors[..particles].to_vec(),
                log_z[..1].to_vec(),
                at[..1].to_vec(),
                roots[..1].to_vec(),
            );
            assert!(
                group == alone,
                "{name}, {particles} particles: {}",
                first_difference(&group.0, &alone.0)
            );
        }
    }
}

/// Before anything is resampled a slot's bits do not depend on how many slots there are.
fn sizes_do_not_matter(device: &Device) {
    let (_, models, mut options) = cases().swap_remove(2);
    (options.resample, options.groups) = (Policy::Never, 1);
    let many = run(device, &models, &options);
    for particles in [1, 7, 1024, 1025] {
        options.particles = particles;
        let few = run(device, &models, &options);
        assert_eq!(few.x[..], many.x[..particles], "{particles} particles");
        assert_eq!(few.log_w[..], many.log_w[..particles], "{particles} particles");
    }
}

#[test]
fn threads_do_not_matter() {
    if std::thread::available_parallelism().is_ok_and(|n| n.get() < 2) {
        eprintln!("skipped: this machine has one core");
        return;
    }
    let (one, two) = (device("cpu:1").expect("the CPU"), device("cpu:2").expect("the CPU"));
    let mut all = cases();
    for (_, models, options) in cases().into_iter().take(2) {
        let exact = Options { rule: Rule::Exact, ..options };
        all.push(("exact", models, exact));
    }
    for (name, models, options) in all {
        assert!(
            bits(&run(&one, &models, &options)) == bits(&run(&two, &models, &options)),
            "{name}: one thread and two"
        );
    }
}

/// Positions [step][slot * dim] of the first 50 steps of a run that never resamples.
fn walk(device: &Device, models: &[Model], options: &Options) -> Vec<Vec<f32>> {
    let run = Run::new(device, models, options).expect("a run");
    run.begin().expect("a launch");
    let dim = run.of.dim;
    (0..50)
        .map(|step| {
            run.advance(step).expect("a launch");
            let x = run.carried[(step + 1) % 2].x.download(device).expect("positions");
            (0..options.particles)
                .flat_map(|i| (0..dim).map(move |k| (k, i)))
                .map(|(k, i)| x[run.of.cell(device.layout(), dim, k, i)])
                .collect()
        })
        .collect()
}

/// |dx| <= 1e-4 (1 + sigma_t) over the first 50 steps: all particles of a Gaussian, 99.9 % of mixtures.
fn agree(one: &Device, two: &Device) {
    let schedules = [
        VE,
        Schedule::VpLinear { b0: 0.1, b1: 20.0 },
        Schedule::VpCosine { c: 0.008 },
        Schedule::RectifiedFlow,
        Schedule::Edm,
    ];
    for (name, toml, share) in [
        ("Gaussian", gaussian(), 0.0),
        ("full Gaussian", FULL.to_owned(), 0.0),
        ("mixture", q1(), 1.0e-3),
        ("ring", RING.to_owned(), 1.0e-3),
    ] {
        for schedule in schedules {
            let mut options = Options::new(Method::FkcAnneal, schedule);
            (options.beta, options.steps, options.particles) = (1.5, 200, 2000);
            (options.resample, options.grid, options.seed) = (Policy::Never, Grid::LogSnr, 4);
            let models = [model(&toml)];
            let levels = feynkac::coeffs::levels(&options).expect("levels");
            let (a, b) = (walk(one, &models, &options), walk(two, &models, &options));
            let (mut far, mut worst) = (0, 0.0_f64);
            let dim = models[0].dim();
            for i in 0..options.particles {
                let off = (0..50).map(|step| {
                    let own = i * dim..(i + 1) * dim;
                    let apart =
                        a[step][own.clone()].iter().zip(&b[step][own]).map(|(a, b)| f64::from((a - b).abs()));
                    apart.fold(0.0, f64::max) / (1.0e-4 * (1.0 + levels[step + 1].sigma))
                });
                let off = off.fold(0.0, f64::max);
                worst = worst.max(off);
                far += usize::from(off > 1.0);
            }
            println!(
                "{} and {}: {name} on {}: worst {:.3} of what is allowed, {far} beyond",
                one.backend(),
                two.backend(),
                schedule.name(),
                worst
            );
            assert!(
                far as f64 <= share * options.particles as f64,
                "{name} on {}: {far} beyond",
                schedule.name()
            );
        }
    }
}

#[test]
fn cpu_and_wgpu_agree() {
    agree(&device("cpu").expect("the CPU"), &device("wgpu").expect("a Vulkan driver"));
}

#[test]
fn cpu_and_cuda_agree() {
    if let Some(cuda) = device("cuda") {
        agree(&device("cpu").expect("the CPU"), &cuda);
    }
}
