//! Log-densities carried along the particles by Ito's formula, docs/maths.md (7.9): they follow the exact ones, the closer
//! the finer the steps; runs of networks agree with the oracles; targets that need log-densities meet their closed forms
//! by estimates alone. Controls: without the noise's part, and without handing them to the offspring.

use std::path::Path;

use feynkac::aim::{Densities, Growth, Reward};
use feynkac::coeffs::{breadth, lean, levels, start, table};
use feynkac::kernels::device::Device;
use feynkac::kernels::methods::StepCoeffs;
use feynkac::kernels::passes::init::oracle::{draw, first};
use feynkac::kernels::passes::step::oracle::{At, Particle, Point, Rows, estimate, reach, step};
use feynkac::model::Noise;
use feynkac::verify::verify;
use feynkac::{Method, Model, Options, Policy, Rule, Schedule, Target};

use crate::methods::s1::{averaged, seed, slow};
use crate::reference::{mixture, model, product, q1, quadrature, target};

on_every_device! { devices_agree_with_the_oracles, moments }

const VE: Schedule = Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 };

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mistake {
    None,
    /// <s, dW> is left out.
    Still,
    /// Offspring keep the log-density of the slot instead of their parent's.
    Kept,
}

/// Annealing of q1 from 0.6 to 1.4 in f64, with estimates; resampled systematically at every step if asked.
struct Walk {
    options: Options,
    levels: Vec<Noise>,
    rows: Vec<StepCoeffs>,
    q: Target,
}

impl Walk {
    fn new(schedule: Schedule, steps: usize, particles: usize) -> Self {
        let mut options = Options::new(Method::FkcAnneal, schedule);
        (options.beta, options.beta_from, options.densities) = (1.4, Some(0.6), Densities::Ito);
        (options.steps, options.particles) = (steps, particles);
        let levels = levels(&options).expect("levels");
        let mut rows = table(&options, &levels, 1).expect("a table");
        lean(&mut rows, &levels, 1, breadth(&[model(&q1())]));
        Self { options, levels, rows, q: target(&q1()) }
    }

    /// What the model says, and the state as it is carried: the score to follow, that of the model, the estimate.
    fn carried(&self, x: Vec<f64>, log_q: f64, log_w: f64, level: usize) -> (Particle, Point) {
        let noise = self.levels[level];
        let score = self.q.score(&x, noise.alpha, noise.sigma);
        let point = Point { scores: vec![score.clone()], log_q: vec![log_q], ..Point::default() };
        let reached = reach(&x, &point, &self.rows[level], &self.options.law());
        let scores = vec![vec![reached.turns[0].score], score];
        (Particle { x, scores, log_w, log_p: 0.0, log_q: vec![log_q] }, point)
    }

    /// Particles at the end.
    fn run(&self, resample: bool, mistake: Mistake) -> Vec<Particle> {
        let start = start(&self.options, &[model(&q1())], self.levels[0]).expect("a start");
        let own = seed(70);
        let mut now: Vec<_> = (0..self.options.particles)
            .map(|slot| {
                let x = draw(&start, own, slot).0;
                let log_q = first(&start, &x)[0];
                self.carried(x, log_q, 0.0, 0)
            })
            .collect();
        for i in 0..self.options.steps {
            let (c, next) = (&self.rows[i], &self.rows[i + 1]);
            now = now
                .iter()
                .enumerate()
                .map(|(slot, (from, old))| {
                    let at = At { seed: own, slot, step: i };
                    let told = |x: &[f64]| {
                        let by = match mistake {
                            Mistake::Still => c.shrink * from.x[0] + c.drift * from.scores[0][0],
                            _ => x[0],
                        };
                        let gained = estimate(from, c, &[by])[0];
                        self.carried(x.to_vec(), gained, 0.0, i + 1)
                    };
                    let to = step(from, Some(old), at, Rows { c, next }, &self.options.law(), false, |x| {
                        told(x).1
                    });
                    let (to, point) = (told(&to.x).0, to.log_w);
                    let (to, told) = self.carried(to.x, to.log_q[0], point, i + 1);
                    (to, told)
                })
                .collect();
            if resample {
                now = self.resampled(&now, i, mistake);
            }
        }
        now.into_iter().map(|(particle, _)| particle).collect()
    }

    fn resampled(&self, now: &[(Particle, Point)], i: usize, mistake: Mistake) -> Vec<(Particle, Point)> {
        let top = now.iter().map(|(p, _)| p.log_w).fold(f64::NEG_INFINITY, f64::max);
        let mut sums = Vec::new();
        let mut sum = 0.0;
        for (p, _) in now {
            sum += (p.log_w - top).exp();
            sums.push(sum);
        }
        let count = now.len() as f64;
        (0..now.len())
            .map(|slot| {
                // Points of golden steps for offsets: any sequence does.
                let offset = ((i as f64 + 1.0) * 0.618_033_988_749_895).fract();
                let at = (slot as f64 + offset) / count * sum;
                let parent = sums.partition_point(|s| *s <= at).min(now.len() - 1);
                let log_q = now[if mistake == Mistake::Kept { slot } else { parent }].0.log_q[0];
                self.carried(now[parent].0.x.clone(), log_q, 0.0, i + 1)
            })
            .collect()
    }

    /// Mean and root mean square of estimate less exact log-density at the end.
    fn off(&self, end: &[Particle]) -> (f64, f64) {
        let noise = self.levels[self.options.steps];
        let off = || end.iter().map(|p| p.log_q[0] - self.q.log_density(&p.x, noise.alpha, noise.sigma));
        let count = end.len() as f64;
        (off().sum::<f64>() / count, (off().map(|d| d * d).sum::<f64>() / count).sqrt())
    }
}

/// Particles that follow 0.6 to 1.4 times the score, not the score itself, on three schedules.
#[test]
fn the_estimate_follows_the_density() {
    for schedule in [VE, Schedule::VpLinear { b0: 0.1, b1: 20.0 }, Schedule::RectifiedFlow] {
        let mut before = f64::INFINITY;
        for steps in [50, 200, 800] {
            let walk = Walk::new(schedule, steps, 400);
            let (mean, rms) = walk.off(&walk.run(false, Mistake::None));
            println!("estimates {}: {steps} steps: mean {mean:.4}, rms {rms:.4}", schedule.name());
            // A quarter of the step halves the error of a single path, which is of order 1/2.
            assert!(rms < 0.7 * before, "{rms} after {before}");
            before = rms;
        }
        assert!(before < 0.12, "{before}");
        let walk = Walk::new(schedule, 200, 400);
        let (_, rms) = walk.off(&walk.run(false, Mistake::Still));
        println!("estimates {}: without <s, dW>: rms {rms:.4}", schedule.name());
        assert!(rms > 0.5, "the control must fail: {rms}");
    }
}

/// Resampled at every step the estimates stay with their particles; kept by the slot they do not.
#[test]
fn offspring_have_the_estimate_of_their_parent() {
    let walk = Walk::new(VE, 200, 2000);
    let variance = |end: &[Particle]| {
        let mean = end.iter().map(|p| p.x[0]).sum::<f64>() / end.len() as f64;
        end.iter().map(|p| (p.x[0] - mean).powi(2)).sum::<f64>() / end.len() as f64
    };
    let wanted = product(&[(&target(&q1()), 1.4)], 1.0, 0.01).variance;
    let right = walk.run(true, Mistake::None);
    let wrong = walk.run(true, Mistake::Kept);
    let [(_, off), (_, lost)] = [&right, &wrong].map(|end| walk.off(end));
    println!(
        "estimates resampled: rms {off:.3}, variance {:.3} ({wanted:.3}); kept by the slot: rms {lost:.3}, variance {:.3}",
        variance(&right),
        variance(&wrong)
    );
    assert!(off < 0.3 && lost > 3.0 * off, "the control must fail: {lost}");
    // 2,000 particles of one run: a standard error of 4 %, and some more for what resampling adds.
    assert!((variance(&right) / wanted - 1.0).abs() < 0.2);
}

fn network(class: Option<usize>) -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/gmm40-mlp");
    Model::open(&path, class).expect("the network").0
}

/// Every number of runs of networks, of networks beside closed forms, and of closed forms by estimates.
fn devices_agree_with_the_oracles(device: &Device) {
    let wide =
        || model("kind = 'gaussian'\nmean = [3.0, -2.0]\ncovariance = [[500.0, 100.0], [100.0, 400.0]]\n");
    let five = |m: f64| {
        model(&format!("kind = 'mixture'\nweights = [0.5, 0.5]\nmeans = [[{m}, 0, 0, 1, 0], [1, 0, 2, 0, {m}]]\nscales = [0.7, 0.9]\n").replace(" 0,", " 0.0,").replace(" 1,", " 1.0,").replace(" 2,", " 2.0,").replace("[1,", "[1.0,").replace(" 0]", " 0.0]"))
    };
    let base = |method: Method, models: usize| {
        let mut o = Options::new(method, Schedule::Ve { sigma_min: 0.3, sigma_max: 50.0 });
        (o.models, o.particles, o.groups, o.steps, o.resample) = (models, 33, 2, 5, Policy::Every);
        o
    };
    let mut mixed = base(Method::FkcMixture, 2);
    mixed.powers = vec![0.3, 0.7];
    let mut changing = base(Method::FkcAnneal, 1);
    (changing.beta, changing.beta_from) = (1.4, Some(0.6));
    let mut flow = base(Method::FkcCompose, 2);
    flow.schedule = Schedule::RectifiedFlow;
    (flow.t_max, flow.t_min, flow.rule) = (0.97, 0.3, Rule::Left);
    (flow.powers, flow.powers_from) = (vec![0.4, 0.7], vec![1.2, 0.1]);
    let mut rewarded = changing.clone();
    rewarded.reward = Some(Reward { scale: 0.5, growth: Growth::Signal, drift: Some(0.8) });
    let mut closed = base(Method::FkcMixture, 2);
    (closed.densities, closed.powers, closed.resample) = (Densities::Ito, vec![0.5, 0.5], Policy::Ess(0.9));
    let mut cases = vec![
        ("mixture of a network and a closed form", mixed, vec![network(None), wide()]),
        ("network, exponent that changes", changing, vec![network(None)]),
        ("closed forms in 5 dimensions", closed, vec![five(-1.0), five(3.0)]),
    ];
    if !slow(device) {
        cases.push(("two models on another schedule", flow, vec![wide(), network(None)]));
        cases.push(("network and reward", rewarded, vec![network(None), wide()]));
    }
    for (name, options, models) in cases {
        let verdict = verify(device, &models, &options).expect("a walk");
        println!("estimates {}: {name}: {verdict}", device.backend());
        assert!(verdict.agrees(), "{name}: {verdict}");
    }
}

/// The closed forms of `methods::aims`, by estimates alone.
fn moments(device: &Device) {
    let apart =
        [mixture(&[0.4, 0.6], &[-2.0, -1.0], &[0.3, 0.2]), mixture(&[0.5, 0.5], &[1.0, 2.0], &[0.4, 0.3])];
    let mut changing = Options::new(Method::FkcAnneal, VE);
    (changing.beta, changing.beta_from) = (1.4, Some(0.6));
    let mut mixed = Options::new(Method::FkcMixture, VE);
    (mixed.models, mixed.powers) = (2, vec![0.3, 0.7]);
    let annealed = product(&[(&target(&q1()), 1.4)], 1.0, 0.01);
    let both: Vec<_> = apart.iter().map(|toml| target(toml)).collect();
    let sum = quadrature(0.01, |x| {
        (0.3 * both[0].log_density(&[x], 1.0, 0.01).exp() + 0.7 * both[1].log_density(&[x], 1.0, 0.01).exp())
            .ln()
    });
    let cases = [
        ("anneal .6 to 1.4", changing, vec![model(&q1())], annealed),
        ("mixture .3 .7", mixed, apart.iter().map(|toml| model(toml)).collect(), sum),
    ];
    for (name, mut options, models, wanted) in cases {
        options.densities = Densities::Ito;
        // docs/maths.md (7.9) has the figures of the full runs.
        let full = std::env::var_os("FEYNKAC_EXPERIMENTS").is_some();
        let particles = if full { 10_000 } else { 2_500 };
        (options.particles, options.groups, options.seed) = (particles, 4, seed(980));
        for steps in if full { vec![200, 800] } else { vec![200] } {
            options.steps = steps;
            let [(mean, mean_se), (variance, variance_se), (log_z, log_z_se)] =
                averaged(device, &models, &options);
            println!(
                "estimates {}: {name}, {steps} steps: mean {mean:.3}+-{mean_se:.3} ({:.3}), variance \
                 {variance:.3}+-{variance_se:.3} ({:.3}), log Z {log_z:.4}+-{log_z_se:.4} ({:.4})",
                device.backend(),
                wanted.mean,
                wanted.variance,
                wanted.log_z
            );
            // As `methods::aims`.
            assert!((mean - wanted.mean).abs() < 0.05, "{name}: {mean}");
            assert!((variance / wanted.variance - 1.0).abs() < 0.06, "{name}: {variance}");
            assert!((log_z - wanted.log_z).abs() < 0.1, "{name}: {log_z}");
        }
    }
}
