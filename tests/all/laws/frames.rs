//! Models of different schedules in one run: docs/maths.md (9d). Under the preconditioning of Karras et al. 2022, and told
//! the noise as ln(sigma/alpha), a network is one function of y = x/alpha and sigma/alpha, whatever schedule it is declared
//! under: so the same weights under three schedules are one model, and must move and weigh particles as one. A network
//! of zeros is the normal of its sigma_data, which whole runs are judged by.

use feynkac::kernels::device::Device;
use feynkac::model::{Network, Noise, dense_network, shape};
use feynkac::netconfig::{
    Activation, DataMoments, Dense, Embedding, Layer, NetConfig, NetWeights, Norm, TimeConfig, TimeWeights,
    Trunk, TrunkConfig,
};
use feynkac::schedule::{Preconditioning, Prediction, TimeFeature};
use feynkac::verify::verify;
use feynkac::{Method, Model, Options, Policy, Schedule, sample};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::methods::s1::slow;
use crate::reference::model;

on_every_device! { one_function, one_run, a_product_of_three_frames, networks_of_any_kind }

const VE: Schedule = Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 };
/// The schedules that networks are declared under, with the ends of what they were trained on.
const OWN: [(Schedule, f64, f64); 3] = [
    (Schedule::Edm, 80.0, 0.005),
    (Schedule::VpCosine { c: 0.008 }, 0.999, 1.0e-4),
    (Schedule::RectifiedFlow, 0.995, 1.0e-3),
];
const DIM: usize = 2;
const SD: f64 = 1.3;

/// A network of random weights, or of zeros, as if trained under `OWN[at]`.
fn network(at: usize, size: f32, prediction: Prediction, preconditioning: Preconditioning) -> Network {
    let mut rng = StdRng::seed_from_u64(5);
    let (hidden, layers, cond) = (64, 2, 3);
    let mut dense = |rows: usize, columns: usize| {
        let mut list = |len: usize, size: f32| (0..len).map(|_| size * rng.random_range(-1.0..1.0)).collect();
        Dense { weight: list(rows * columns, size / (columns as f32).sqrt()), bias: list(rows, size) }
    };
    let trunk =
        TrunkConfig { dim: DIM, hidden, layers, activation: Activation::Silu, norm: Norm::None, skip: true };
    let config = NetConfig {
        trunk,
        cond,
        time: TimeConfig {
            embedding: Embedding::Sinusoidal { max_period: 100.0, scale: 3.0 },
            dim: 4,
            feature: TimeFeature::LogSnr,
        },
        classes: None,
        schedule: OWN[at].0,
        t_max: OWN[at].1,
        t_min: OWN[at].2,
        prediction,
        preconditioning,
        energy: None,
        data: Some(DataMoments { mean: 0.0, std: SD }),
    };
    let layer = |dense: Dense, cond: Dense| Layer { dense, cond: cond.weight, norm: None };
    let weights = NetWeights {
        trunk: Trunk {
            input: dense(hidden, DIM),
            layers: (0..layers).map(|_| layer(dense(hidden, hidden), dense(hidden, cond))).collect(),
            out: dense(DIM, hidden),
        },
        time: TimeWeights { freqs: Vec::new(), first: dense(cond, 4), second: dense(cond, cond) },
        class: None,
    };
    Network { name: format!("net {at}"), config, weights, class: None }
}

fn karras(at: usize, size: f32) -> Network {
    network(at, size, Prediction::X0, Preconditioning::Edm { sigma_data: SD })
}

/// The score that (9b) gives for the noise `rho` = sigma/alpha at y = x/alpha, in f64; it knows no schedule.
fn by_hand(net: &Network, y: &[f64], rho: f64) -> Vec<f64> {
    // Under `edm` alpha is 1 and t is rho, so the forward pass of that declaration is in this frame already.
    let config = NetConfig { schedule: Schedule::Edm, ..net.config };
    net.weights.forward(&config, y, rho, None).expect("a forward pass").score
}

/// The score at a state of the run, alpha_run s(alpha_run y): (9d) in f64 and on the device, with the control that a
/// point which is not rescaled has another score.
fn one_function(device: &Device) {
    let mut rng = StdRng::seed_from_u64(8);
    let count = 32;
    for (run, t) in [
        (VE, 0.8),
        (VE, 0.3),
        (Schedule::VpLinear { b0: 0.1, b1: 20.0 }, 0.4),
        (Schedule::RectifiedFlow, 0.9),
    ] {
        let noise = Noise { t, alpha: run.alpha(t), sigma: run.sigma(t) };
        let rho = noise.sigma / noise.alpha;
        let spread = noise.alpha.hypot(noise.sigma) * SD;
        let x: Vec<f32> = (0..count * DIM).map(|_| (spread * rng.random_range(-2.0..2.0)) as f32).collect();
        let rows = device.upload("rows", &x).expect("an upload");
        for at in 0..OWN.len() {
            let net = karras(at, 1.0);
            let own = net.config.schedule;
            let out = device.empty("out", count * DIM).expect("a buffer");
            let ready = net.upload(device, &[noise], &[None], Default::default()).expect("an upload");
            ready.launch(device, &rows, &out, 0, count, 0usize).expect("a launch");
            let found = device.download(&out).expect("scores");
            // The mistake: the network's own numbers at that noise, for a point in the run's frame.
            let time = own.time_at(rho.ln());
            let c = net.config.preconditioning.score_coeffs(net.config.prediction, &own, time);
            let cond = [net.weights.conditioning(&net.config, time, None).expect("conditioning")];
            let numbers = [[c.input, c.x, c.out].map(|v| v as f32)];
            let form = shape(&net.config.trunk, DIM);
            let wrong = dense_network(device, form, &net.weights.trunk, &cond, &numbers, Default::default());
            wrong.expect("an upload").launch(device, &rows, &out, 0, count, 0usize).expect("a launch");
            let unscaled = device.download(&out).expect("scores");
            let (mut exact, mut worst, mut control, mut size) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
            for (i, x) in x.chunks(DIM).enumerate() {
                let y: Vec<f64> = x.iter().map(|x| f64::from(*x) / noise.alpha).collect();
                let wanted: Vec<f64> = by_hand(&net, &y, rho).iter().map(|s| s / noise.alpha).collect();
                let k = own.alpha(time) / noise.alpha;
                let scaled: Vec<f64> = x.iter().map(|x| k * f64::from(*x)).collect();
                let own =
                    net.weights.forward(&net.config, &scaled, time, None).expect("a forward pass").score;
                for (d, wanted) in wanted.iter().enumerate() {
                    exact = exact.max((k * own[d] - wanted).abs());
                    worst = worst.max((f64::from(found[i * DIM + d]) - wanted).abs());
                    control = control.max((f64::from(unscaled[i * DIM + d]) - wanted).abs());
                    size = size.max(wanted.abs());
                }
            }
            let of = [exact, worst, control].map(|v| v / size);
            println!(
                "frames {}: {} at {t} by {}: f64 {:.1e}, device {:.1e}, not rescaled {:.1e}",
                device.backend(),
                run.name(),
                own.name(),
                of[0],
                of[1],
                of[2]
            );
            assert!(of[0] < 1.0e-6, "the change of frame is exact");
            // As the shipped networks promise.
            assert!(of[1] < 1.0e-4, "the device");
            // Where both frames are the same, or nearly, there is nothing to rescale.
            let apart = (own.alpha(time) / noise.alpha - 1.0).abs();
            assert!(apart < 0.01 || of[2] > 0.005, "the control must fail");
        }
    }
}

/// Options of a short run that never resamples, so that nothing but rounding can part two of them.
fn short(method: Method, schedule: Schedule, models: usize) -> Options {
    let mut options = Options::new(method, schedule);
    (options.models, options.beta) = (models, 0.7);
    (options.particles, options.steps, options.resample) = (64, 12, Policy::Never);
    (options.t_max, options.t_min) = (schedule.time_at(30.0_f64.ln()), schedule.time_at(0.05_f64.ln()));
    options
}

/// A product of one network with itself, and of the same with its second copy under another schedule: the same
/// positions, the same log-weights.
fn one_run(device: &Device) {
    let run = |schedule: Schedule, second: usize| {
        let models = [0, second].map(|at| Model::Network(Box::new(karras(at, 1.0))));
        sample(device, &models, &short(Method::FkcProduct, schedule, 2), None).expect("a run")
    };
    for schedule in [VE, Schedule::RectifiedFlow].into_iter().take(if slow(device) { 1 } else { 2 }) {
        let wanted = run(schedule, 0);
        let spread = |v: &[f32]| v.iter().map(|v| f64::from(v.abs())).fold(0.0, f64::max);
        assert!(spread(&wanted.log_w) > 1.0, "there is something to weigh");
        for (second, (own, ..)) in OWN.iter().enumerate().skip(1) {
            let found = run(schedule, second);
            let off = |a: &[f32], b: &[f32]| {
                a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max) / spread(b)
            };
            let (x, w) = (off(&found.x, &wanted.x), off(&found.log_w, &wanted.log_w));
            println!(
                "frames {}: {} beside {}: x {x:.1e}, log w {w:.1e}",
                device.backend(),
                schedule.name(),
                own.name()
            );
            // Rounding of 12 steps from sigma/alpha 30 on, of scores good to 1e-5.
            assert!(x < 1.0e-4 && w < 1.0e-3, "{x} {w}");
        }
    }
}

/// N(0, sd^2) as a network under each schedule, beside a closed form: the product is a normal, whose variance and evidence
/// are known.
fn a_product_of_three_frames(device: &Device) {
    let toml = "kind = 'gaussian'\nmean = [0.6, -0.4]\ncovariance = [[0.8, 0.0], [0.0, 0.8]]\n";
    // Of sum 1, where the bias of the steps is small beside what is asked of the evidence.
    let powers = [0.5, 0.6, -0.4, 0.3];
    let mut models: Vec<Model> = (0..3).map(|at| Model::Network(Box::new(karras(at, 0.0)))).collect();
    models.insert(1, model(toml));
    let all = [VE, Schedule::VpCosine { c: 0.008 }];
    for schedule in all.into_iter().take(if slow(device) { 1 } else { 2 }) {
        let mut options = short(Method::FkcCompose, schedule, 4);
        options.powers = vec![powers[0], powers[3], powers[1], powers[2]];
        (options.particles, options.groups, options.steps, options.resample) =
            (2_000, 4, 120, Policy::Ess(0.5));
        if slow(device) {
            (options.particles, options.steps) = (500, 40);
        }
        let out = sample(device, &models, &options, None).expect("a run");
        let (alpha, sigma) = (schedule.alpha(options.t_min), schedule.sigma(options.t_min));
        let v = alpha * alpha * SD * SD + sigma * sigma;
        let own = alpha * alpha * 0.8 + sigma * sigma;
        let (net, toml_power) = (powers[0] + powers[1] + powers[2], powers[3]);
        let precision = net / v + toml_power / own;
        let mean = |m: f64| toml_power * alpha * m / own / precision;
        let log_z: f64 = [0.6, -0.4]
            .iter()
            .map(|m| {
                let tau = std::f64::consts::TAU;
                0.5 * (tau / precision).ln()
                    - 0.5 * net * (tau * v).ln()
                    - 0.5 * toml_power * (tau * own).ln()
                    + 0.5 * mean(*m).powi(2) * precision
                    - 0.5 * toml_power * (alpha * m).powi(2) / own
            })
            .sum();
        let weights: Vec<f64> = out
            .log_w
            .chunks(options.particles)
            .flat_map(|group| {
                let total: f64 = group.iter().map(|l| f64::from(*l).exp()).sum();
                group.iter().map(move |l| f64::from(*l).exp() / total)
            })
            .collect();
        let total = options.groups as f64;
        let moment = |f: &dyn Fn(&[f32]) -> f64| {
            out.x.chunks(DIM).zip(&weights).map(|(x, w)| w * f(x)).sum::<f64>() / total
        };
        let (m0, m1) = (moment(&|x| f64::from(x[0])), moment(&|x| f64::from(x[1])));
        let variance = 0.5 * moment(&|x| (f64::from(x[0]) - m0).powi(2) + (f64::from(x[1]) - m1).powi(2));
        let found = out.log_z.iter().sum::<f64>() / out.log_z.len() as f64;
        println!(
            "frames {}: {}: mean {m0:.3} {m1:.3} ({:.3} {:.3}), variance {variance:.4} ({:.4}), log Z {found:.4} ({log_z:.4})",
            device.backend(),
            schedule.name(),
            mean(0.6),
            mean(-0.4),
            1.0 / precision
        );
        // 8,000 particles or 2,000: a mean to 0.01 or 0.02 by one standard error; an evidence with the bias of its steps.
        assert!((m0 - mean(0.6)).abs() < 0.1 && (m1 - mean(-0.4)).abs() < 0.1);
        assert!((variance * precision - 1.0).abs() < 0.12, "{variance}");
        assert!((found - log_z).abs() < 0.15, "{found} for {log_z}");
    }
}

/// Every number of a run of a network by velocity, a closed form, and a network by eps, against the f64 oracles.
fn networks_of_any_kind(device: &Device) {
    let nets = [(1, Prediction::Eps), (2, Prediction::Velocity)];
    let [first, last] = nets.map(|(at, prediction)| {
        Model::Network(Box::new(network(at, 0.5, prediction, Preconditioning::None)))
    });
    let models = [
        first,
        model(
            "kind = 'mixture'\nweights = [0.5, 0.5]\nmeans = [[-1.0, 0.0], [1.0, 0.5]]\nscales = [0.7, 0.6]\n",
        ),
        last,
    ];
    for schedule in [VE, Schedule::VpLinear { b0: 0.1, b1: 20.0 }] {
        let mut options = short(Method::FkcCompose, schedule, 3);
        options.powers = vec![0.5, 0.8, -0.2];
        (options.particles, options.steps, options.resample) = (33, 6, Policy::Every);
        let verdict = verify(device, &models, &options).expect("a walk");
        println!("frames {}: {}: {verdict}", device.backend(), schedule.name());
        assert!(verdict.agrees(), "{verdict}");
    }
}
