//! The weight rate makes weighted particles follow their target: at every point
//! G = d_r log p + div v + S.v - (e/2) (lap log p + |S|^2), with r = -t, S = grad log p, noise power e. G, v and
//! e are taken from the coefficients that runs use and from the methods' oracles; p from its closed form.

use feynkac::coeffs::steps;
use feynkac::kernels::methods::StepCoeffs;
use feynkac::kernels::passes::step::oracle::Coordinate;
use feynkac::{Method, Noise, Options, Rule, Schedule, Sde, Target};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::reference::{laplacian, target};

/// Of the sum of the absolute terms. The rates come from a step of 3e-7 of what is left of the time, the time
/// derivative from fourth-order differences over 1e-3 of it: errors of some 3e-7. What rounding does to so short a
/// step is allowed for apart.
const TOLERANCE: f64 = 1.0e-6;

const SCHEDULES: [(Schedule, f64, f64); 5] = [
    (Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 }, 0.05, 0.95),
    (Schedule::Edm, 0.02, 40.0),
    (Schedule::VpLinear { b0: 0.1, b1: 20.0 }, 0.02, 0.98),
    (Schedule::VpCosine { c: 0.008 }, 0.02, 0.98),
    (Schedule::RectifiedFlow, 0.02, 0.98),
];

/// A random target in `dim` dimensions: mixtures of both kinds and full Gaussians in turn.
fn random_target(rng: &mut StdRng, dim: usize, kind: usize) -> Target {
    let row =
        |rng: &mut StdRng, lo: f64, hi: f64| (0..dim).map(|_| rng.random_range(lo..hi)).collect::<Vec<f64>>();
    if kind == 2 {
        let factor: Vec<Vec<f64>> = (0..dim).map(|_| row(rng, -1.0, 1.0)).collect();
        let covariance: Vec<Vec<f64>> = (0..dim)
            .map(|i| {
                let dot = |j: usize| (0..dim).map(|k| factor[i][k] * factor[j][k]).sum::<f64>();
                (0..dim).map(|j| dot(j) + if i == j { 0.3 } else { 0.0 }).collect()
            })
            .collect();
        return target(&format!(
            "kind = 'gaussian'\nmean = {:?}\ncovariance = {covariance:?}\n",
            row(rng, -1.0, 1.0)
        ));
    }
    let components = rng.random_range(2..5);
    let weights: Vec<f64> = (0..components).map(|_| rng.random_range(0.2..1.0)).collect();
    let total: f64 = weights.iter().sum();
    let weights: Vec<f64> = weights.iter().map(|w| w / total).collect();
    let means: Vec<Vec<f64>> = (0..components).map(|_| row(rng, -2.0, 2.0)).collect();
    let scales = if kind == 0 {
        format!("{:?}", (0..components).map(|_| rng.random_range(0.4..1.2)).collect::<Vec<f64>>())
    } else {
        format!("{:?}", (0..components).map(|_| row(rng, 0.4, 1.2)).collect::<Vec<Vec<f64>>>())
    };
    target(&format!("kind = 'mixture'\nweights = {weights:?}\nmeans = {means:?}\nscales = {scales}\n"))
}

/// How far the nearest end of the schedule's times is, where some rates diverge.
fn scale(schedule: Schedule, t: f64) -> f64 {
    if schedule == Schedule::Edm { t } else { t.min(1.0 - t) }
}

/// A point in time and space, and what a run does there.
struct Here<'a> {
    models: &'a [Target],
    beta: &'a [f64],
    schedule: Schedule,
    t: f64,
    x: Vec<f64>,
    /// Length of the step that `c` is for.
    h: f64,
    c: StepCoeffs,
    method: Coordinate,
}

impl Here<'_> {
    fn noise(&self, t: f64) -> (f64, f64) {
        (self.schedule.alpha(t), self.schedule.sigma(t))
    }

    /// log p at noise time `t`.
    fn log_p(&self, t: f64) -> f64 {
        let (alpha, sigma) = self.noise(t);
        self.models.iter().zip(self.beta).map(|(q, b)| b * q.log_density(&self.x, alpha, sigma)).sum()
    }

    /// (residual, what it is measured by) of the identity with `sign` times the rate.
    fn residual(&self, sign: f64) -> (f64, f64) {
        let (alpha, sigma) = self.noise(self.t);
        let scores: Vec<Vec<f64>> = self.models.iter().map(|q| q.score(&self.x, alpha, sigma)).collect();
        let lap: f64 =
            self.models.iter().zip(self.beta).map(|(q, b)| b * laplacian(q, &self.x, alpha, sigma)).sum();
        let (mut follow, mut rate) = (Vec::new(), 0.0);
        for k in 0..self.x.len() {
            let column: Vec<f64> = scores.iter().map(|s| s[k]).collect();
            let (s, r) = (self.method)(&column, &self.c.beta);
            follow.push(s);
            rate += r;
        }
        // The target's own score, not the method's word for it.
        let score: Vec<f64> =
            (0..self.x.len()).map(|k| scores.iter().zip(self.beta).map(|(s, b)| b * s[k]).sum()).collect();
        let velocity = |k: usize| ((self.c.shrink - 1.0) * self.x[k] + self.c.drift * follow[k]) / self.h;
        let divergence = (self.x.len() as f64 * (self.c.shrink - 1.0) + self.c.drift * lap) / self.h;
        let power = self.c.noise.powi(2) / self.h;
        let found = ((self.c.rate_old + self.c.rate_new) * rate + self.c.constant) / self.h;
        // Reverse time runs against t.
        let d = 1.0e-3 * scale(self.schedule, self.t);
        let at = |m: f64| self.log_p(self.t + m * d);
        let slope = -(8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * d);
        let along: f64 = score.iter().enumerate().map(|(k, s)| s * velocity(k)).sum();
        let square: f64 = score.iter().map(|s| s * s).sum();
        let terms = [slope, divergence, along, -0.5 * power * lap, -0.5 * power * square, -sign * found];
        // 1 - h a and ln(alpha / alpha') are rounded near 1 and divided by h.
        let reach: f64 = score.iter().zip(&self.x).map(|(s, x)| (s * x).abs() + 2.0).sum();
        let rounding = 2.0 * f64::EPSILON / self.h * reach;
        (terms.iter().sum::<f64>().abs(), terms.iter().map(|t| t.abs()).sum::<f64>() + rounding / TOLERANCE)
    }
}

/// Largest relative residual over random problems, and over the same with the sign of the rate flipped.
fn worst(method: Method, rule: Rule, schedule: (Schedule, f64, f64), seed: u64) -> (f64, f64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut right, mut flipped) = (0.0_f64, 0.0_f64);
    for problem in 0..20 {
        let dim = 1 + problem % 3;
        let mut options = Options::new(method, schedule.0);
        let (least, most) = method.row().needs.models;
        options.models = least.max(if most > 1 { 2 + problem % 3 } else { 1 });
        let models: Vec<Target> =
            (0..options.models).map(|m| random_target(&mut rng, dim, (problem + m) % 3)).collect();
        options.rule = rule;
        options.beta = if method == Method::FkcGuidance {
            rng.random_range(-1.0..2.5)
        } else {
            rng.random_range(0.3..3.0)
        };
        if method == Method::FkcCompose {
            options.powers = (0..options.models).map(|_| rng.random_range(-1.0..2.0)).collect();
            // A total above 0.
            options.powers[0] += (0.2 - options.powers.iter().sum::<f64>()).max(0.0);
        }
        options.sde = [Sde::TargetScore, Sde::Ode, Sde::TemperedNoise, Sde::Zeta(rng.random_range(0.0..2.0))]
            [problem % 4];
        if method == Method::FkcGuidance && options.sde == Sde::TemperedNoise {
            options.sde = Sde::Zeta(1.7);
        }
        for _ in 0..64 {
            let t = rng.random_range(schedule.1..schedule.2);
            let h = 3.0e-7 * scale(schedule.0, t);
            let level = |t: f64| Noise { t, alpha: schedule.0.alpha(t), sigma: schedule.0.sigma(t) };
            let c = steps(&options, &[level(t), level(t - h)], dim).expect("coefficients")[0];
            let (alpha, sigma) = (schedule.0.alpha(t), schedule.0.sigma(t));
            let x = (0..dim)
                .map(|_| alpha * rng.random_range(-2.5..2.5) + sigma * rng.random_range(-2.0..2.0))
                .collect();
            let beta = options.exponents();
            let here = Here {
                models: &models,
                beta: &beta,
                schedule: schedule.0,
                t,
                x,
                h,
                c,
                method: method.row().oracle,
            };
            let (off, size) = here.residual(1.0);
            right = right.max(off / size);
            let (off, size) = here.residual(-1.0);
            flipped = flipped.max(off / size);
        }
    }
    (right, flipped)
}

#[test]
fn rates_keep_the_target() {
    for (at, schedule) in SCHEDULES.into_iter().enumerate() {
        for method in [Method::FkcAnneal, Method::FkcGuidance, Method::FkcProduct, Method::FkcCompose] {
            for rule in [Rule::Left, Rule::Trap] {
                let (right, flipped) = worst(method, rule, schedule, 60 + at as u64);
                println!(
                    "identity {:<14} {:<12} {rule:?}: {right:.1e}, with the sign flipped {flipped:.1e}",
                    schedule.0.name(),
                    method.row().name
                );
                assert!(right < TOLERANCE, "{} {}: {right}", schedule.0.name(), method.row().name);
                assert!(flipped > 1.0e5 * TOLERANCE, "the control must fail: {flipped}");
            }
        }
    }
}
