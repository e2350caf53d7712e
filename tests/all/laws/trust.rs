//! A run's own errors: intervals cover as they say, heavy tails are seen, and a genealogy is what happened.

use feynkac::coeffs;
use feynkac::kernels::device::Device;
use feynkac::run::{Outcome, Run};
use feynkac::trust::{self, Verdict};
use feynkac::{Final, Method, Model, Options, Policy, Rule, Schedule, Scheme, Sde, Target, sample};

use crate::methods::s1::{exact, models, seed};
use crate::reference::{Moments, mixture, model, normalised, q1, target};

on_every_device! { a_genealogy_is_what_happened, weights_of_all_steps_are_kept }

const VE: Schedule = Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 };
/// Of 1,000 runs 95 % has a standard error of 0.7 %.
const RUNS: usize = 1000;

fn cpu() -> Device {
    crate::support::device("cpu").expect("the CPU")
}

/// Mean and log-evidence that annealing on the line converges to with its number of steps: the law of the weighted
/// particles carried from level to level by quadrature. A level's points lie 1/1.5 of the next noise apart, which for
/// a Gaussian kernel leaves an error below 1e-15.
fn discretised(options: &Options, q: &Target) -> Moments {
    let levels = coeffs::levels(options).expect("levels");
    let steps = coeffs::steps(options, &levels, 1).expect("coefficients");
    let start = coeffs::start(options, &models(options), levels[0]).expect("a start");
    let grid = |at: usize| {
        let noise = steps[at.min(steps.len() - 1)].noise / 1.5;
        let half = 8.0 + 8.0 * levels[at].sigma;
        (noise, (half / noise).ceil() as i64)
    };
    let (power, noise) = (options.beta, |at: usize| (levels[at].alpha, levels[at].sigma));
    let score = |x: f64, at: usize| q.score(&[x], noise(at).0, noise(at).1)[0];
    let (mut h, mut half) = grid(0);
    let mut mass: Vec<f64> = (-half..=half)
        .map(|i| {
            let x = h * i as f64;
            if start.weighted {
                (power * q.log_density(&[x], noise(0).0, noise(0).1)).exp()
            } else {
                let z = (x - start.mean[0]) / start.std;
                (start.offset - 0.5 * z * z).exp() / (start.std * std::f64::consts::TAU.sqrt())
            }
        })
        .collect();
    for (at, c) in steps.iter().enumerate() {
        let (next_h, next_half) = grid(at + 1);
        let mut next = vec![0.0; 2 * next_half as usize + 1];
        for (i, m) in mass.iter().enumerate().filter(|(_, m)| **m > 0.0) {
            let x = h * (i as i64 - half) as f64;
            let s = score(x, at);
            let rate = power * (power - 1.0) * s * s;
            let centre = c.shrink * x + c.drift * power * s;
            let share =
                m * h * (c.rate_old * rate + c.constant).exp() / (c.noise * std::f64::consts::TAU.sqrt());
            let reach = 9.0 * c.noise;
            let first = (((centre - reach) / next_h).ceil() as i64).max(-next_half);
            let last = (((centre + reach) / next_h).floor() as i64).min(next_half);
            for j in first..=last {
                let z = (next_h * j as f64 - centre) / c.noise;
                next[(j + next_half) as usize] += share * (-0.5 * z * z).exp();
            }
        }
        for (j, m) in next.iter_mut().enumerate() {
            let s = score(next_h * (j as i64 - next_half) as f64, at + 1);
            *m *= (c.rate_new * power * (power - 1.0) * s * s).exp();
        }
        (mass, h, half) = (next, next_h, next_half);
    }
    let moment = |f: &dyn Fn(f64) -> f64| -> f64 {
        mass.iter().enumerate().map(|(i, m)| f(h * (i as i64 - half) as f64) * m * h).sum()
    };
    let z = moment(&|_| 1.0);
    let mean = moment(&|x| x) / z;
    Moments { mean, variance: moment(&|x| (x - mean).powi(2)) / z, log_z: z.ln() }
}

/// Shares of runs whose intervals of 95 % hold the truth: log Z, the mean, and the mean as if its particles were
/// independent draws.
fn coverage(out: &Outcome, wanted: &Moments) -> [f64; 3] {
    let k = out.log_w.len() / out.trust.len();
    let mut held = [0; 3];
    for (g, trust) in out.trust.iter().enumerate() {
        let se = trust.mean_se.as_ref().expect("a standard error")[0];
        let x = &out.x[g * k..(g + 1) * k];
        let alone: f64 = normalised(&out.log_w[g * k..(g + 1) * k])
            .iter()
            .zip(x)
            .map(|(w, x)| (w * (f64::from(*x) - trust.mean[0])).powi(2))
            .sum();
        let inside = |found: f64, wanted: f64, se: f64| usize::from((found - wanted).abs() <= 1.959_964 * se);
        held[0] += inside(out.log_z[g], wanted.log_z, trust.log_z_se.expect("a standard error"));
        held[1] += inside(trust.mean[0], wanted.mean, se);
        held[2] += inside(trust.mean[0], wanted.mean, alone.sqrt());
    }
    held.map(|n| n as f64 / out.trust.len() as f64)
}

/// 95 % intervals over 1,000 runs: 93 to 97 % where the scheme draws every slot by itself, at least 93 % where it does
/// not, and too few without the genealogy.
#[test]
fn intervals_cover() {
    let device = cpu();
    let mut wrong = Vec::new();
    for (case, (beta, rule, particles)) in
        [(1.5, Rule::Exact, 8192), (0.5, Rule::Exact, 1024), (1.5, Rule::Trap, 8192), (0.5, Rule::Left, 1024)]
            .into_iter()
            .enumerate()
    {
        let mut options = Options::new(Method::FkcAnneal, VE);
        (options.beta, options.rule, options.particles) = (beta, rule, particles);
        (options.steps, options.groups, options.seed) = (100, RUNS, seed(9000 + case as u64));
        let wanted =
            if rule == Rule::Exact { exact(&options) } else { discretised(&options, &target(&q1())) };
        for scheme in [Scheme::Systematic, Scheme::Multinomial] {
            options.scheme = scheme;
            let out = sample(&device, &models(&options), &options, None).expect("runs");
            let [log_z, mean, alone] = coverage(&out, &wanted).map(|share| 100.0 * share);
            println!(
                "{scheme:?} anneal {beta} {rule:?} K = {particles}: log Z {log_z:.1} %, mean {mean:.1} %, without \
                 the genealogy {alone:.1} % (each +- 0.7)"
            );
            let most = if scheme == Scheme::Systematic { 100.0 } else { 97.0 };
            // Other rules have their own evidence, with a heavier tail than this many particles see.
            for (what, share, judged) in [("log Z", log_z, rule == Rule::Exact), ("mean", mean, true)] {
                if judged && !(93.0..=most).contains(&share) {
                    wrong.push(format!("{scheme:?} {beta} {rule:?} {what}: {share}"));
                }
            }
            if beta > 1.0 && alone >= 90.0 {
                wrong.push(format!("{scheme:?} {beta} {rule:?}: the control must cover less: {alone}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// The quadrature itself: many steps come to the exact moments, few do not; and it is where the device's runs are.
#[test]
fn the_quadrature_converges() {
    let q = target(&q1());
    let mut options = Options::new(Method::FkcAnneal, VE);
    (options.beta, options.rule) = (1.5, Rule::Trap);
    let wanted = exact(&options);
    let off = |steps: usize| {
        let mut options = options.clone();
        options.steps = steps;
        discretised(&options, &q).log_z - wanted.log_z
    };
    let (few, many) = (off(100), off(400));
    println!("log Z off by {few:.4} after 100 steps, {many:.4} after 400");
    assert!(few > 0.05 && (3.5..6.0).contains(&(few / many)), "of first order or better: {few}, {many}");
}

/// Two separated modes, annealed to 2.5.
fn hard() -> Vec<Model> {
    vec![model(&mixture(&[0.3, 0.7], &[-2.0, 1.5], &[0.3, 0.5]))]
}

/// Weights so heavy-tailed that 20,000 particles miss a mode are seen in every run, by the run alone; mild ones at the
/// same size are not accused.
#[test]
fn heavy_tails_are_seen() {
    let device = cpu();
    let mut options = Options::new(Method::FkcAnneal, VE);
    (options.particles, options.steps, options.groups, options.tails) = (20_000, 300, 8, true);
    let mut judge = |name: &str, models: &[Model], beta: f64, sde: Sde| {
        (options.beta, options.sde, options.seed) = (beta, sde, seed(77));
        let out = sample(&device, models, &options, None).expect("a run");
        let k: Vec<f64> = out.trust.iter().map(|t| t.families_tail.map_or(f64::NAN, |t| t.k)).collect();
        let last: Vec<f64> = out.trust.iter().map(|t| t.weights_tail.map_or(f64::NAN, |t| t.k)).collect();
        let steps: Vec<_> = out.trust.iter().map(|t| t.increments_tail.map(|h| (h.step, h.tail.k))).collect();
        println!("{name}: heaviest at a resampling: {steps:.2?}");
        let worst = steps.iter().flatten().map(|(_, k)| *k).fold(f64::MIN, f64::max);
        let verdicts: Vec<Verdict> = out.trust.iter().map(|t| t.verdict).collect();
        println!("{name}: k of families {k:.2?}, of the last weights {last:.2?}, {verdicts:?}");
        (verdicts, last, worst)
    };
    let (tempered, last, worst) = judge("hard, tempered noise", &hard(), 2.5, Sde::TemperedNoise);
    assert!(tempered.iter().all(|v| *v > Verdict::Reliable), "{tempered:?}");
    // A weight between two resamplings is too heavy in some of the groups.
    assert!(worst > 0.7, "{worst}");
    // The control: the last weights alone show nothing.
    assert!(last.iter().all(|k| *k < 0.7), "{last:?}");
    let q = vec![Model::Analytic(target(&q1()))];
    for (name, models, beta) in [("S1, 1.5", &q, 1.5), ("S1, 0.5", &q, 0.5), ("hard, 0.5", &hard(), 0.5)] {
        let (verdicts, _, worst) = judge(name, models, beta, Sde::TargetScore);
        assert!(verdicts.iter().all(|v| *v == Verdict::Reliable), "{name}: {verdicts:?}");
        assert!(worst < 0.7, "{name}: {worst}");
    }
}

fn a_genealogy_is_what_happened(device: &Device) {
    for (particles, groups, policy, last) in [
        (70, 3, Policy::Ess(0.7), Final::Weighted),
        (1500, 1, Policy::Every, Final::Resample),
        (1, 2, Policy::Never, Final::Weighted),
    ] {
        let mut options = Options::new(Method::FkcAnneal, VE);
        (options.beta, options.particles, options.groups, options.steps) = (1.5, particles, groups, 24);
        (options.resample, options.last, options.seed) = (policy, last, seed(5));
        let models = models(&options);
        let without = sample(device, &models, &options, None).expect("a run");
        options.genealogy = true;
        let with = sample(device, &models, &options, None).expect("a run");
        assert_eq!((&with.x, &with.log_z), (&without.x, &without.log_z), "nothing else changes");
        assert_eq!(without.genealogy, None);
        let all = with.genealogy.as_ref().expect("a genealogy");
        assert_eq!((all.steps(), all.groups, all.slots), (24, groups, particles));
        let mut resamplings = 0;
        for g in 0..groups {
            for step in 0..24 {
                let row = all.row(step, g);
                let own = row.iter().enumerate().all(|(i, &parent)| parent == i as u32);
                let resampled = with.resampled_at[g].contains(&step);
                assert!(own || resampled, "group {g} stays as it is at step {step}");
                assert!(row.is_sorted() && row.iter().all(|&p| (p as usize) < particles), "{row:?}");
                resamplings += usize::from(resampled && !own);
            }
            let ended = last == Final::Resample;
            let until = if ended { 24 } else { 23 };
            let roots = all.ancestors(g, 0, until);
            let mut seen: Vec<u32> = roots.clone();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), with.distinct_roots[g], "group {g}");
            if ended {
                assert_eq!(all.row(23, g), &with.ancestors[g * particles..][..particles]);
            }
            let entering = all.ancestors(g, 0, 23);
            for slot in [0, particles / 2, particles - 1] {
                assert_eq!(all.path(g, slot)[0], entering[slot]);
            }
            assert!(all.distinct_roots(g).is_sorted_by(|a, b| a >= b));
        }
        assert!(resamplings > 0 || policy == Policy::Never);
        // Errors are the same from the genealogy as from the roots that the device follows.
        options.roots = false;
        let other = sample(device, &models, &options, None).expect("a run");
        assert_eq!(format!("{:?}", other.trust), format!("{:?}", with.trust));
    }
}

/// Each row is what a step left, before it was resampled; nothing else changes; replays keep the same.
fn weights_of_all_steps_are_kept(device: &Device) {
    let mut options = Options::new(Method::FkcAnneal, VE);
    (options.beta, options.particles, options.groups, options.steps) = (1.5, 70, 3, 24);
    (options.resample, options.seed, options.tails) = (Policy::Ess(0.7), seed(5), true);
    let models = models(&options);
    let run = Run::new(device, &models, &options).expect("a run");
    let bytes = run.buffers().into_iter().find(|(what, _)| *what == "log-weights of all steps");
    assert_eq!(bytes.expect("the buffer is planned").1, (4 * 24 * run.of.stride()) as u64);
    run.begin().expect("launches");
    let mut wanted: Vec<f32> = Vec::new();
    for step in 0..24 {
        run.advance(step).expect("launches");
        wanted.extend(device.download(&run.carried[(step + 1) % 2].log_w).expect("log-weights"));
    }
    assert_eq!(run.log_weights().expect("rows"), wanted);
    let tails = sample(device, &models, &options, None).expect("a run");
    for (g, trust) in tails.trust.iter().enumerate() {
        let row = |step: usize| &wanted[step * run.of.stride() + g * run.of.padded()..][..70];
        let resampled = tails.resampled_at[g].iter().filter(|s| **s < 23).map(|&s| (s, row(s)));
        assert_eq!(trust.increments_tail, trust::heaviest(resampled), "group {g}");
        assert!(trust.increments_tail.is_some_and(|h| h.of > 0 && h.step < 23), "group {g} was resampled");
    }
    options.tails = false;
    let without = sample(device, &models, &options, None).expect("a run");
    assert_eq!((&without.x, &without.log_z), (&tails.x, &tails.log_z), "nothing else changes");
    assert!(without.trust.iter().all(|t| t.increments_tail.is_none()));
}
