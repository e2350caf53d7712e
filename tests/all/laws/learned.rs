//! Energies and transports that are networks, docs/maths.md (7.10), (9.3), (9.4): every pass agrees with the oracles, and
//! the evidence is that of exp(-gamma U), known in closed form for an energy that is a square. Control: what it would be
//! without the divergence of the transport.

use feynkac::kernels::device::Device;
use feynkac::kernels::models::layers::{Extent, Features, Layers, Op};
use feynkac::layered::{Energy, Kind, Loaded};
use feynkac::model::Asked;
use feynkac::netconfig::DataMoments;
use feynkac::schedule::{Preconditioning, Prediction};
use feynkac::unet::{Scheduler, Spacing, Timestep};
use feynkac::verify::verify;
use feynkac::{Divergence, Layered, Method, Model, Options, Policy, Rule, Schedule, sample};

on_every_device! { every_pass_agrees, evidence_of_an_energy, evidence_with_a_transport }

const DIM: usize = 2;
/// sigma where a run starts and ends.
const ENDS: (f64, f64) = (3.0, 0.5);
/// Of the energy: U = A (1 + W sin t) |x|^2 / (2 t).
const A: f64 = 0.4;
const W: f64 = 0.3;
/// The transport s_2 = M x, of which only the trace is in the divergence.
const M: [f32; 4] = [-0.3, 0.2, -0.4, -0.25];

fn asked(net: Layered, prediction: Prediction) -> Model {
    let scheduler = Scheduler {
        schedule: Schedule::Edm,
        timestep: Timestep::Sigma,
        prediction,
        preconditioning: Preconditioning::None,
        range: (ENDS.0.ln(), ENDS.1.ln()),
        spacing: Spacing::Linspace,
        offset: 0,
        learned: false,
    };
    let data = Some(DataMoments { mean: 0.0, std: 1.0 });
    let loaded =
        Loaded { name: "layers".into(), kind: Kind::Own, net, scheduler: Some(scheduler.clone()), data };
    Model::Layered(Box::new(Asked { loaded, scheduler, class: None, wide: None }))
}

/// <x, f> with f = A/2 (1 + W sin t) x: E/t is U.
fn energy() -> Model {
    let mut layers = Layers::default();
    let features = Features::Positional { count: 2, shift: 0.0, period: 1e4, cosines_first: false };
    let time = layers.push(Op::Time(features), &[], &[]).expect("a layer");
    let conv = |out| Op::Conv { out, taps: 1, stride: 1, before: 0 };
    let stretch = layers.push(conv(2 * DIM), &[time], &[0, 1]).expect("a layer");
    let x = layers.push(Op::State(Extent::vector(DIM)), &[], &[]).expect("a layer");
    let half = layers.push(Op::Affine { scale: 0.5 * A, shift: 0.0 }, &[x], &[]).expect("a layer");
    layers.push(Op::Modulate, &[half, stretch], &[]).expect("a layer");
    // (sin, cos) to (W sin of each channel, no shift)
    let mut weights = vec![0.0; 2 * DIM * 2];
    (0..DIM).for_each(|c| weights[2 * c] = W as f32);
    let net = Layered::new(layers, vec![weights, vec![0.0; 2 * DIM]], None);
    asked(Layered { energy: Some(Energy::Dot), ..net }, Prediction::Eps)
}

fn transport() -> Model {
    let mut layers = Layers::default();
    let x = layers.push(Op::State(Extent::vector(DIM)), &[], &[]).expect("a layer");
    layers.push(Op::Conv { out: DIM, taps: 1, stride: 1, before: 0 }, &[x], &[0, 1]).expect("a layer");
    asked(Layered::new(layers, vec![M.to_vec(), vec![0.0; DIM]], None), Prediction::Score)
}

/// 1 / variance of exp(-U) at t.
fn precision(t: f64) -> f64 {
    A * (1.0 + W * t.sin()) / t
}

/// ln of the integral of exp(-gamma U) at the end.
fn log_z(gamma: f64) -> f64 {
    0.5 * DIM as f64 * (std::f64::consts::TAU / (gamma * precision(ENDS.1))).ln()
}

fn options(method: Method) -> Options {
    let mut options = Options::new(method, Schedule::Edm);
    (options.t_max, options.t_min, options.beta) = (ENDS.0, ENDS.1, 1.3);
    options
}

/// Rules, divergences, densities for a mixture and for exponents that change.
fn every_pass_agrees(device: &Device) {
    let small = |method| Options { steps: 3, particles: 9, groups: 2, ..options(method) };
    let carried = Options { models: 2, ..small(Method::FkcTransport) };
    let runs = [
        (carried.clone(), vec![energy(), transport()]),
        (Options { rule: Rule::Left, ..carried.clone() }, vec![energy(), transport()]),
        (Options { beta_from: Some(0.8), ..carried }, vec![energy(), transport()]),
        (small(Method::FkcAnneal), vec![energy()]),
        (Options { rule: Rule::Exact, ..small(Method::FkcAnneal) }, vec![energy()]),
        (Options { beta_from: Some(0.7), ..small(Method::FkcAnneal) }, vec![energy()]),
        (
            Options { models: 2, powers: vec![0.4, 0.6], ..small(Method::FkcMixture) },
            vec![energy(), energy()],
        ),
    ];
    for (options, models) in runs {
        let verdict = verify(device, &models, &options).unwrap_or_else(|e| panic!("{}: {e}", options.method));
        assert!(
            verdict.agrees() && verdict.compared > 100,
            "{}, {:?}: {verdict}",
            options.method,
            options.rule
        );
    }
}

/// (mean of log Z over groups, its standard error, weighted mean square of a coordinate over that of the target).
fn measured(device: &Device, models: &[Model], options: &Options) -> (f64, f64, f64) {
    let drawn = sample(device, models, options, None).expect("a run");
    let over = drawn.over_groups().expect("several groups");
    let most = drawn.log_w.iter().copied().fold(f32::MIN, f32::max);
    let weights: Vec<f64> = drawn.log_w.iter().map(|w| f64::from(w - most).exp()).collect();
    let square = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / DIM as f64;
    let sum: f64 = drawn.x.chunks(DIM).zip(&weights).map(|(x, w)| w * square(x)).sum();
    let spread = sum / weights.iter().sum::<f64>();
    (over.log_z, over.log_z_se, spread * options.beta * precision(ENDS.1))
}

/// Unbiased under the exact rule, at few steps.
fn evidence_of_an_energy(device: &Device) {
    let models = [energy()];
    let run = Options {
        rule: Rule::Exact,
        steps: 24,
        particles: 500,
        groups: 16,
        resample: Policy::Ess(0.5),
        ..options(Method::FkcAnneal)
    };
    let (found, error, spread) = measured(device, &models, &run);
    println!("log Z {found:.4} +- {error:.4} for {:.4}; spread {spread:.3}", log_z(run.beta));
    assert!((found - log_z(run.beta)).abs() < 5.0 * error && error < 0.05, "{found} +- {error}");
    // 8,000 draws of two coordinates each, fewer once resampled: 5 standard errors of a variance
    assert!((spread - 1.0).abs() < 5.0 * (2.0 / 4000.0_f64).sqrt(), "{spread}");
}

/// The transport's divergence is constant here, so that a run without it has all but log Z right.
fn evidence_with_a_transport(device: &Device) {
    let models = [energy(), transport()];
    let run = Options { models: 2, steps: 150, particles: 250, groups: 16, ..options(Method::FkcTransport) };
    let wanted = log_z(run.beta);
    // integral of gamma g^2/2 times the trace, g^2 = 2 t
    let trace = f64::from(M[0] + M[3]);
    let dropped = run.beta * trace * (ENDS.0.powi(2) - ENDS.1.powi(2)) / 2.0;
    for divergence in [Divergence::Exact, Divergence::Hutchinson(2)] {
        let (found, error, spread) = measured(device, &models, &Options { divergence, ..run.clone() });
        let few = Options { divergence, steps: 2, particles: 4000, groups: 1, ..run.clone() };
        let estimated = sample(device, &models, &few, None).expect("a run").divergence_error;
        // (9ab): of two probes, each off by plus or minus twice the mean of what is off the diagonal
        let wanted_error = f64::from(M[1] + M[2]).abs() / 2.0_f64.sqrt();
        match estimated {
            None => assert_eq!(divergence, Divergence::Exact),
            // the mean over 4,000 of squares that are 0 or 2 of it: 5 standard errors of a square
            Some(e) => assert!((e * e / wanted_error.powi(2) - 1.0).abs() < 5.0 / 4000.0_f64.sqrt(), "{e}"),
        }
        println!(
            "{divergence:?}: log Z {found:.4} +- {error:.4} for {wanted:.4} ({dropped:.3}), spread {spread:.3}"
        );
        // the trapezoid's own bias, of order h: that of (8) at as many steps is below 0.05
        let allowed = 5.0 * error + 0.05;
        assert!((found - wanted).abs() < allowed, "{divergence:?}: {found} +- {error} for {wanted}");
        assert!((spread - 1.0).abs() < 5.0 * (2.0 / 2000.0_f64).sqrt(), "{divergence:?}: {spread}");
        assert!(dropped.abs() > 3.0 * allowed, "without the divergence it would be off by {dropped} only");
    }
}
