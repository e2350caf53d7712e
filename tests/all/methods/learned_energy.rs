//! An energy network carried by the score of another network, both trained, docs/maths.md (7.10), (9.4): weighted
//! means and the evidence against quadrature of exp(-beta E/sigma) of that very network. It is not quite the law
//! that it was trained on: its eight modes do not weigh the same, which only the weights know. Controls: particles
//! without weights, and weights without the divergence.

use std::path::Path;

use feynkac::eval::{self, Memory, Points};
use feynkac::kernels::device::Device;
use feynkac::kernels::methods::StepCoeffs;
use feynkac::layered::Loaded;
use feynkac::{Divergence, Method, Model, Noise, Options, Outcome, Policy, coeffs, sample};

use super::s1::{seed, slow};
use crate::experiments::{mean_and_error, normalised};

on_every_device! { its_own_score, the_score_of_a_square, the_divergence_counts }

const DIM: usize = 2;
/// What is judged: means of |x|^2, of the first coordinate, of E/sigma, and how much is inside the ring.
const FIGURES: [&str; 4] = ["|x|^2", "x_0", "E/sigma", "inside"];
/// |x_k| below it is inside. A whole number of cells of the quadrature.
const INSIDE: f32 = 0.3;
/// Standard errors that a figure may be off, and that one of a control must be off.
const WITHIN: f64 = 5.0;
const BEYOND: f64 = 10.0;

/// The energy of eight Gaussians on a ring, and the noise of `carrier` with derivatives.
fn models(carrier: &str) -> [Model; 2] {
    ["ring-energy", carrier].map(|name| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/composition2d").join(name);
        Model::open(&folder, None).expect("a network").0.layered().expect("a list of layers")
    })
}

/// Few enough particles that biases are below two standard errors, as runs of ten times as many say: that of the
/// trapezoid, of order h, is up to 0.04 of E/sigma and not seen elsewhere; that of log Z by two random signs, half
/// the variance of their noise, is 0.004 with `ring-score`.
fn options(models: &[Model], beta: f64) -> Options {
    let (schedule, ..) = models[0].schedule().expect("a network has one");
    let mut options = Options::new(Method::FkcTransport, schedule);
    (options.beta, options.t_max, options.t_min) = (beta, 0.8, 0.02);
    (options.steps, options.particles, options.groups, options.seed) = (80, 64, 16, seed(31));
    options
}

fn loaded(model: &Model) -> &Loaded {
    let Model::Layered(asked) = model else { panic!("{}", model.describe()) };
    &asked.loaded
}

/// E/sigma at the end of a run.
fn energies(device: &Device, models: &[Model], options: &Options, rows: &[f32]) -> Vec<f64> {
    let count = rows.len() / DIM;
    let (times, classes) = (vec![options.t_min; count], vec![None; count]);
    let points = Points { rows: rows.to_vec(), times, classes, cotangent: None };
    let energy = eval::evaluate(device, loaded(&models[0]), &points, Memory::default());
    let energy = energy.expect("answers").energy.expect("an energy");
    energy.iter().map(|e| f64::from(*e) / options.schedule.sigma(options.t_min)).collect()
}

/// The figures of one point.
fn figures(x: &[f32], energy: f64) -> [f64; 4] {
    let square: f64 = x.iter().map(|v| f64::from(*v).powi(2)).sum();
    let inside = x.iter().all(|v| v.abs() < INSIDE);
    [square, f64::from(x[0]), energy, f64::from(u8::from(inside))]
}

/// Means of the figures under weights that sum to one.
fn means(weights: &[f64], rows: &[f32], energies: &[f64]) -> [f64; 4] {
    let mut sums = [0.0; 4];
    for ((w, x), energy) in weights.iter().zip(rows.chunks(DIM)).zip(energies) {
        sums.iter_mut().zip(figures(x, *energy)).for_each(|(sum, figure)| *sum += w * figure);
    }
    sums
}

/// The figures and log Z by the midpoint rule, whose cells are a third of a mode's deviation wide.
fn wanted(device: &Device, models: &[Model], options: &Options) -> ([f64; 4], f64) {
    const CELLS: usize = 80;
    const SIDE: f64 = 1.2;
    let cell = 2.0 * SIDE / CELLS as f64;
    let middle = |i: usize| ((i as f64 + 0.5) * cell - SIDE) as f32;
    let rows: Vec<f32> = (0..CELLS * CELLS).flat_map(|i| [middle(i / CELLS), middle(i % CELLS)]).collect();
    let energies = energies(device, models, options, &rows);
    let density: Vec<f64> = energies.iter().map(|e| (-options.beta * e).exp()).collect();
    let mass: f64 = density.iter().sum();
    let outermost = |x: &[f32]| x.iter().any(|v| f64::from(v.abs()) > SIDE - cell);
    let edge: f64 = rows.chunks(DIM).zip(&density).filter(|(x, _)| outermost(x)).map(|(_, p)| p).sum();
    assert!(edge < 1e-9 * mass, "{edge} of {mass} on the edge");
    let weights: Vec<f64> = density.iter().map(|p| p / mass).collect();
    (means(&weights, &rows, &energies), (mass * cell * cell).ln())
}

/// Mean over groups of each figure, and its standard error.
fn found(device: &Device, models: &[Model], options: &Options, drawn: &Outcome) -> [(f64, f64); 4] {
    let energies = energies(device, models, options, &drawn.x);
    let each = options.particles;
    let groups = drawn.log_w.chunks(each).zip(drawn.x.chunks(each * DIM)).zip(energies.chunks(each));
    let all: Vec<[f64; 4]> = groups.map(|((w, x), e)| means(&normalised(w), x, e)).collect();
    std::array::from_fn(|at| mean_and_error(all.iter().map(|group| group[at])))
}

/// How many standard errors each is off.
fn off<const N: usize>(found: [(f64, f64); N], wanted: [f64; N]) -> [f64; N] {
    std::array::from_fn(|at| (found[at].0 - wanted[at]) / found[at].1)
}

/// Both divergences meet the quadrature; gives what that is.
fn judge(device: &Device, models: &[Model], options: &Options) -> [f64; 4] {
    let (figures, log_z) = wanted(device, models, options);
    println!("{FIGURES:?} by quadrature {figures:.4?}, log Z {log_z:.4}");
    for divergence in [Divergence::Exact, Divergence::Hutchinson(2)] {
        let options = Options { divergence, ..options.clone() };
        let drawn = sample(device, models, &options, None).expect("a run");
        let means = found(device, models, &options, &drawn);
        let evidence = mean_and_error(drawn.log_z.iter().copied());
        let errors = [&off(means, figures)[..], &off([evidence], [log_z])].concat();
        println!("{divergence:?} {means:.4?}, log Z {evidence:.4?}: off by {errors:.1?} standard errors");
        assert!(errors.iter().all(|e| e.abs() < WITHIN), "{divergence:?} is off by {errors:.1?}");
    }
    figures
}

/// Two networks of one law: what somebody has who trained both on the same data.
fn its_own_score(device: &Device) {
    if slow(device) {
        return eprintln!("skipped: the score of a square runs there");
    }
    let models = models("ring-score");
    judge(device, &models, &options(&models, 1.0));
}

/// A carrier that knows nothing of the ring but covers it, and an exponent. Without weights half of the drift is
/// that of a square.
fn the_score_of_a_square(device: &Device) {
    let models = models("outer-score");
    let own = options(&models, 1.5);
    let particles = if slow(device) { 32 } else { own.particles };
    let wanted = judge(device, &models, &Options { particles, ..own.clone() });
    let options = Options { weights: false, ..own };
    let drawn = sample(device, &models, &options, None).expect("a run");
    let means = found(device, &models, &options, &drawn);
    let off = off(means, wanted);
    println!("without weights {means:.4?}: off by {off:.1?} standard errors");
    assert!(off[2] > BEYOND, "without weights {means:.4?} for {wanted:.4?}: off by {off:.1?} only");
}

/// The divergence of the score along paths `[levels, slots, DIM]`: that of the network, whose output is noise, by
/// -1/sigma.
fn divergences(device: &Device, model: &Model, levels: &[Noise], paths: &[f32]) -> Vec<f64> {
    let count = paths.len() / DIM;
    let of = |i: usize| &levels[i * levels.len() / count];
    let mut sums = vec![0.0; count];
    for k in 0..DIM {
        let axis = (0..count * DIM).map(|i| f32::from(u8::from(i % DIM == k))).collect();
        let times = (0..count).map(|i| of(i).t).collect();
        let points =
            Points { rows: paths.to_vec(), times, classes: vec![None; count], cotangent: Some(axis) };
        let answers = eval::evaluate(device, loaded(model), &points, Memory::default()).expect("answers");
        let came = answers.vjp.expect("a way back");
        let rows = sums.iter_mut().zip(came.chunks(DIM)).enumerate();
        rows.for_each(|(i, (sum, row))| *sum -= f64::from(row[k]) / of(i).sigma);
    }
    sums
}

/// Takes the divergences along the paths of a run back out of its weights, (7w) and (8a): log Z is then far off.
fn the_divergence_counts(device: &Device) {
    let models = models("ring-score");
    let own = options(&models, 1.0);
    let options = Options { resample: Policy::Never, paths: true, particles: 20, ..own };
    let drawn = sample(device, &models, &options, None).expect("a run");
    let levels = coeffs::levels(&options).expect("levels");
    let steps = coeffs::steps(&options, &levels, DIM).expect("coefficients");
    let all = divergences(device, &models[1], &levels, drawn.paths.as_ref().expect("they were kept"));
    let slots = drawn.log_w.len();
    let without = |slot: usize| -> f64 {
        let at = |level: usize| all[level * slots + slot];
        let share = |(i, c): (usize, &StepCoeffs)| c.rate_old * at(i) + c.rate_new * at(i + 1);
        f64::from(drawn.log_w[slot]) - options.beta * steps.iter().enumerate().map(share).sum::<f64>()
    };
    let (_, log_z) = wanted(device, &models, &options);
    let log_w: Vec<f64> = (0..slots).map(without).collect();
    let log_mean = |w: &[f64]| (w.iter().map(|w| w.exp()).sum::<f64>() / w.len() as f64).ln();
    let evidence = [
        mean_and_error(drawn.log_z.iter().copied()),
        mean_and_error(log_w.chunks(options.particles).map(log_mean)),
    ];
    let [with, without] = off(evidence, [log_z; 2]);
    println!("log Z {log_z:.4}; with, without the divergence {evidence:.4?}: off by {with:.1}, {without:.1}");
    assert!(with.abs() < WITHIN, "log Z {:.4?} for {log_z:.4}", evidence[0]);
    assert!(without.abs() > BEYOND, "without the divergence {:.4?} for {log_z:.4}", evidence[1]);
}
