//! The weight rate makes weighted particles follow their target: at every point
//! G = d_r log p + div v + S.v - (e/2) (lap log p + |S|^2), with r = -t, S = grad log p, noise power e. G, v and
//! e are taken from the coefficients that runs use and from the methods' oracles; p from its closed form.

use feynkac::coeffs::table;
use feynkac::kernels::methods::StepCoeffs;
use feynkac::kernels::passes::step::oracle::{Point, Reached, reach};
use feynkac::{Growth, Method, Noise, Options, Policy, Reward, Rule, Schedule, Sde, Target};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::reference::target;

/// Of the sum of the absolute terms. The rates come from a step of 5e-8 of what is left of the time, over which they
/// change by a few times as much of themselves; fourth-order differences add up to 1e-6. What rounding does to so short a
/// step is allowed for apart.
const TOLERANCE: f64 = 2.0e-6;

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
    options: &'a Options,
    t: f64,
    x: Vec<f64>,
    /// Length of the step that the rows are for.
    h: f64,
    /// Of the step, and of the level it leads to.
    rows: [StepCoeffs; 2],
    /// The levels of the whole run, from which exponents are.
    ends: [f64; 2],
    /// The weight of the reward during the step, where the ESS raises it between steps.
    rung: Option<f64>,
}

impl Here<'_> {
    fn noise(&self, m: usize, t: f64) -> (f64, f64) {
        let schedule = &self.options.schedule;
        // A reward sees a state as it is.
        if m < self.options.models { (schedule.alpha(t), schedule.sigma(t)) } else { (1.0, 0.0) }
    }

    fn log_q(&self, x: &[f64], t: f64) -> Vec<f64> {
        let log = |(m, q): (usize, &Target)| q.log_density(x, self.noise(m, t).0, self.noise(m, t).1);
        self.models.iter().enumerate().map(log).collect()
    }

    /// log p at `x` and noise time `t`.
    fn log_p(&self, x: &[f64], t: f64) -> f64 {
        let levels = [self.ends[0], t, self.ends[1]].map(|t| level(self.options, t));
        let mut c = self.rows[0];
        let weights = self.options.weights_at(&levels, 1);
        c.beta[..weights.len()].copy_from_slice(&weights);
        if let Some(rung) = self.rung {
            c.beta[self.options.models] = rung;
        }
        (self.options.law().log_p)(&self.log_q(x, t), &c)
    }

    /// What the run makes of the models at `x`.
    fn reached(&self, x: &[f64]) -> Reached {
        let by = |f: &dyn Fn(&Target, f64, f64) -> f64| -> Vec<f64> {
            let one = |(m, q): (usize, &Target)| f(q, self.noise(m, self.t).0, self.noise(m, self.t).1);
            self.models.iter().enumerate().map(one).collect()
        };
        let score = |(m, q): (usize, &Target)| q.score(x, self.noise(m, self.t).0, self.noise(m, self.t).1);
        let point = Point {
            scores: self.models.iter().enumerate().map(score).collect(),
            log_q: self.log_q(x, self.t),
            laplacians: by(&|q, alpha, sigma| q.laplacian(x, alpha, sigma)),
        };
        reach(x, &point, &self.rows[0], &self.options.law())
    }

    /// (residual, what it is measured by) of the identity with `sign` times the rate.
    fn residual(&self, sign: f64) -> (f64, f64) {
        let [c, next] = &self.rows;
        let own = self.reached(&self.x);
        let velocity = |k: usize| ((c.shrink - 1.0) * self.x[k] + c.drift * own.turns[k].score) / self.h;
        let power = c.noise.powi(2) / self.h;
        let gained: f64 =
            (0..own.log_q.len()).map(|m| (next.beta[m] - c.beta[m]) * own.log_q[m]).sum::<f64>();
        let found =
            ((c.rate_old + c.rate_new) * own.rate + (c.swing_old + c.swing_new) * gained + c.constant)
                / self.h;
        // By differences of fourth order: of the target's density alone, not of the method's word for it.
        let d = 1.0e-3 * scale(self.options.schedule, self.t);
        let at = |m: f64| self.log_p(&self.x, self.t + m * d);
        // Reverse time runs against t.
        let slope = -(8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * d);
        let (alpha, sigma) = self.noise(0, self.t);
        let d = 3.0e-3 * (0.16 * alpha * alpha + sigma * sigma).sqrt().min(1.0);
        let moved = |k: usize, m: f64| {
            let mut x = self.x.clone();
            x[k] += m * d;
            x
        };
        let (mut score, mut lap, mut spread) = (Vec::new(), 0.0, 0.0);
        let here = self.log_p(&self.x, self.t);
        for k in 0..self.x.len() {
            let p = |m: f64| self.log_p(&moved(k, m), self.t);
            score.push((8.0 * (p(1.0) - p(-1.0)) - (p(2.0) - p(-2.0))) / (12.0 * d));
            lap += (16.0 * (p(1.0) + p(-1.0)) - (p(2.0) + p(-2.0)) - 30.0 * here) / (12.0 * d * d);
            let f = |m: f64| self.reached(&moved(k, m)).turns[k].score;
            spread += (8.0 * (f(1.0) - f(-1.0)) - (f(2.0) - f(-2.0))) / (12.0 * d);
        }
        let divergence = (self.x.len() as f64 * (c.shrink - 1.0) + c.drift * spread) / self.h;
        let along: f64 = score.iter().enumerate().map(|(k, s)| s * velocity(k)).sum();
        let square: f64 = score.iter().map(|s| s * s).sum();
        let terms = [slope, divergence, along, -0.5 * power * lap, -0.5 * power * square, -sign * found];
        // 1 - h a and ln(alpha / alpha') are rounded near 1 and divided by h, as exponents are.
        let reach: f64 = score.iter().zip(&self.x).map(|(s, x)| (s * x).abs() + 2.0).sum();
        let exponents: f64 = own.log_q.iter().zip(&c.beta).map(|(q, b)| (q * b).abs()).sum();
        let rounding = 2.0 * f64::EPSILON / self.h * (reach + exponents)
            // Differences of log p in place and in time.
            + 4.0 * f64::EPSILON * here.abs() * power / (d * d);
        (terms.iter().sum::<f64>().abs(), terms.iter().map(|t| t.abs()).sum::<f64>() + rounding / TOLERANCE)
    }
}

fn level(options: &Options, t: f64) -> Noise {
    Noise { t, alpha: options.schedule.alpha(t), sigma: options.schedule.sigma(t) }
}

/// What is tried: a method, and how it goes beyond constant exponents.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Case {
    Constant(Method),
    Changing(Method),
    Reward(Method, bool),
    Ladder(Method, bool),
}

/// Options of a random problem.
fn random_options(rng: &mut StdRng, case: Case, schedule: Schedule, problem: usize) -> Options {
    let (Case::Constant(method) | Case::Changing(method) | Case::Reward(method, _) | Case::Ladder(method, _)) =
        case;
    let mut options = Options::new(method, schedule);
    let (least, most) = method.row().needs.models;
    options.models = least.max(if most > 2 { 2 + problem % 3 } else { most });
    let beta = |rng: &mut StdRng| match method {
        Method::FkcGuidance => rng.random_range(-1.0..2.5),
        _ => rng.random_range(0.3..3.0),
    };
    let powers = |rng: &mut StdRng, models: usize| {
        let mut powers: Vec<f64> = (0..models).map(|_| rng.random_range(-1.0..2.0)).collect();
        // A total above 0.
        powers[0] += (0.2 - powers.iter().sum::<f64>()).max(0.0);
        powers
    };
    options.beta = beta(rng);
    match method {
        Method::FkcCompose => options.powers = powers(rng, options.models),
        Method::FkcMixture => {
            options.powers = (0..options.models).map(|_| rng.random_range(0.2..2.0)).collect()
        }
        _ => (),
    }
    match case {
        Case::Changing(Method::FkcCompose) => options.powers_from = powers(rng, options.models),
        Case::Changing(_) => options.beta_from = Some(beta(rng)),
        Case::Reward(_, drift) | Case::Ladder(_, drift) => {
            options.reward = Some(Reward {
                scale: rng.random_range(-1.0..2.0),
                growth: [Growth::Linear, Growth::Signal][problem % 2],
                drift: drift.then(|| rng.random_range(0.0..1.5)),
            });
        }
        Case::Constant(_) => (),
    }
    options.resample = Policy::Never;
    if let (Case::Ladder(..), Some(reward)) = (case, &mut options.reward) {
        (reward.growth, options.resample) = (Growth::Ess(0.5), Policy::Every);
    }
    options.sde =
        [Sde::TargetScore, Sde::Ode, Sde::TemperedNoise, Sde::Zeta(rng.random_range(0.0..2.0))][problem % 4];
    if method == Method::FkcGuidance && options.sde == Sde::TemperedNoise {
        options.sde = Sde::Zeta(1.7);
    }
    if options.sde == Sde::Ode && matches!(case, Case::Ladder(..)) {
        options.sde = Sde::Zeta(0.3);
    }
    options
}

/// Largest relative residual over random problems, and over the same with the sign of the rate flipped.
fn worst(case: Case, rule: Rule, schedule: (Schedule, f64, f64), seed: u64) -> (f64, f64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut right, mut flipped) = (0.0_f64, 0.0_f64);
    for problem in 0..20 {
        let dim = 1 + problem % 3;
        let mut options = random_options(&mut rng, case, schedule.0, problem);
        options.rule = rule;
        options.check().expect("options");
        let models: Vec<Target> =
            (0..options.all_models()).map(|m| random_target(&mut rng, dim, (problem + m) % 3)).collect();
        let ends = [options.t_max, options.t_min];
        for _ in 0..64 {
            let t = rng.random_range(schedule.1..schedule.2);
            let h = 5.0e-8 * scale(schedule.0, t);
            let levels = [ends[0], t, t - h, ends[1]].map(|t| level(&options, t));
            let mut rows = table(&options, &levels, dim).expect("coefficients");
            let rung = matches!(case, Case::Ladder(..)).then(|| rng.random_range(-1.0..2.0));
            if let Some(rung) = rung {
                rows.iter_mut().for_each(|row| row.beta[options.models] = rung);
            }
            let (alpha, sigma) = (schedule.0.alpha(t), schedule.0.sigma(t));
            let x = (0..dim)
                .map(|_| alpha * rng.random_range(-2.5..2.5) + sigma * rng.random_range(-2.0..2.0))
                .collect();
            let here =
                Here { models: &models, options: &options, t, x, h, rows: [rows[1], rows[2]], ends, rung };
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
    use Method::{FkcAnneal, FkcCompose, FkcGuidance, FkcMixture, FkcProduct, FkcTransport};
    let constant =
        [FkcAnneal, FkcGuidance, FkcProduct, FkcCompose, FkcTransport, FkcMixture].map(Case::Constant);
    let changing = [FkcAnneal, FkcGuidance, FkcProduct, FkcCompose, FkcTransport].map(Case::Changing);
    let rewards = [FkcAnneal, FkcGuidance, FkcCompose].map(|method| Case::Reward(method, false));
    let pulled = [FkcAnneal, FkcProduct].map(|method| Case::Reward(method, true));
    let ladders = [(FkcGuidance, false), (FkcAnneal, true)].map(|(method, own)| Case::Ladder(method, own));
    for (at, schedule) in SCHEDULES.into_iter().enumerate() {
        for case in constant.into_iter().chain(changing).chain(rewards).chain(pulled).chain(ladders) {
            for rule in [Rule::Left, Rule::Trap] {
                let (right, flipped) = worst(case, rule, schedule, 60 + at as u64);
                let name = format!("{case:?}");
                println!(
                    "identity {:<14} {name:<24} {rule:?}: {right:.1e}, with the sign flipped {flipped:.1e}",
                    schedule.0.name(),
                );
                assert!(right < TOLERANCE, "{} {name}: {right}", schedule.0.name());
                // A mixture's rate is zero, and has no sign.
                let control = case == Case::Constant(FkcMixture) || flipped > 1.0e5 * TOLERANCE;
                assert!(control, "the control must fail: {flipped}");
            }
        }
    }
}
