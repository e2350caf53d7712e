//! Twists of which a part is the caller's own: likelihoods and models.

use std::path::Path;

use cubecl::prelude::*;
use feynkac::kernels::device::{Buf, Device};
use feynkac::kernels::passes::Work;
use feynkac::model::{Likelihood, Seen};
use feynkac::verify::verify;
use feynkac::{
    Error, Foreign, Method, Model, Noise, Options, Policy, Potential, Result, Schedule, Task, Twisting,
    sample,
};

use crate::methods::tds::{gaussian, linear, tiny};
use crate::reference::target;

use super::twisted_networks::{learned, network, shipped_classifier};

on_every_device! {
    an_own_likelihood_is_a_built_in_one,
    it_stands_behind_learned_variances,
    a_foreign_model_is_a_closed_form,
    the_host_may_reward,
    an_own_likelihood_that_is_no_number_is_an_error,
}

const SLOPE: [f32; 3] = [0.5, 0.0, -0.3];

/// exp(<slope, x0>), slope being three numbers over and over.
struct Linear {
    slope: [f32; 3],
    dim: usize,
}

#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn linear_kernel(
    d: &[f32],
    out: &mut [f32],
    value: u32,
    slope: u32,
    triples: u32,
    count: u32,
    a: f32,
    b: f32,
    c: f32,
) {
    let mut i = ABSOLUTE_POS;
    while i < count as usize {
        let mut sum = 0.0;
        for t in 0..triples as usize {
            let at = 3 * (triples as usize * i + t);
            sum += a * d[at] + b * d[at + 1] + c * d[at + 2];
            out[slope as usize + at] = a;
            out[slope as usize + at + 1] = b;
            out[slope as usize + at + 2] = c;
        }
        out[value as usize + i] = sum;
        i += CUBE_COUNT * CUBE_DIM as usize;
    }
}

impl Likelihood for Linear {
    fn dim(&self) -> usize {
        self.dim
    }

    fn log_psi(&self, device: &Device, seen: Seen, out: &Buf<f32>, value: usize, slope: usize) -> Result<()> {
        let cubes = if device.is_cpu() { 1 } else { seen.count.div_ceil(device.units() as usize) };
        let [a, b, c] = self.slope;
        assert_eq!(seen.denoised.len(), self.dim * seen.count, "rows without padding");
        assert!(seen.variance > 0.0 || seen.noise.sigma == 0.0);
        linear_kernel::launch(
            device.client(),
            CubeCount::Static(cubes as u32, 1, 1),
            CubeDim::new_1d(device.units()),
            seen.denoised.arg(),
            out.arg(),
            value as u32,
            slope as u32,
            (self.dim / 3) as u32,
            seen.count as u32,
            a,
            b,
            c,
        );
        Ok(device.launched(Work::default())?)
    }
}

fn own(slope: [f32; 3]) -> Model {
    Model::Likelihood(Box::new(Linear { slope, dim: 3 }))
}

fn ve() -> Schedule {
    Schedule::Ve { sigma_min: 0.1, sigma_max: 10.0 }
}

/// The same particles as a reward that the step knows, but for rounding.
fn an_own_likelihood_is_a_built_in_one(device: &Device) {
    let mut options = tiny(Task::Own, ve());
    (options.particles, options.groups, options.resample) = (70, 3, Policy::Every);
    let outside = sample(device, &[Model::Analytic(gaussian()), own(SLOPE)], &options, None).expect("a run");
    let slope = SLOPE.iter().map(|s| f64::from(*s)).collect();
    let reward = Task::Reward { slope, curvature: vec![0.0; 3], centre: vec![0.0; 3] };
    options.twisting = Some(Twisting::new(reward));
    let inside = sample(device, &[Model::Analytic(gaussian())], &options, None).expect("a run");
    for (outside, inside) in outside.log_z.iter().zip(&inside.log_z) {
        assert!((outside - inside).abs() < 1e-4, "log Z {outside} outside, {inside} inside");
    }
    let off = outside.x.iter().zip(&inside.x).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-3, "a coordinate is {off} off");
}

/// The same behind a network that says how broad its steps are.
fn it_stands_behind_learned_variances(device: &Device) {
    let slope = [0.05, 0.0, -0.03];
    let dim = learned(Task::Own).0.dim();
    let all = |v: f64| vec![v; dim];
    let reward = Task::Reward {
        slope: (0..dim).map(|k| f64::from(slope[k % 3])).collect(),
        curvature: all(0.0),
        centre: all(0.0),
    };
    let run = |task: Task, behind: Option<Model>| {
        let (model, mut options) = learned(task);
        (options.particles, options.groups) = (3, 2);
        let models: Vec<Model> = [model].into_iter().chain(behind).collect();
        sample(device, &models, &options, None).expect("a run")
    };
    let outside = run(Task::Own, Some(Model::Likelihood(Box::new(Linear { slope, dim }))));
    let inside = run(reward, None);
    for (outside, inside) in outside.log_z.iter().zip(&inside.log_z) {
        println!("{}: log Z {outside} outside, {inside} inside", device.backend());
        assert!((outside - inside).abs() < 1e-3, "log Z {outside} outside, {inside} inside");
    }
    let off = outside.x.iter().zip(&inside.x).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-3, "a coordinate is {off} off");
}

/// A closure of the host's steers as a reward that the step knows does, and what it says is looked at.
fn the_host_may_reward(device: &Device) {
    for potential in [Potential::Difference, Potential::Max, Potential::Sum] {
        let mut options = tiny(Task::Own, ve());
        (options.particles, options.groups, options.resample) = (70, 3, Policy::Interval(4));
        let steered = |task: Task| Twisting { lean: 0.0, potential, ..Twisting::new(task) };
        options.twisting = Some(steered(Task::Own));
        let reward = |x: &[f32]| x.iter().zip(SLOPE).map(|(x, s)| x * s).sum();
        let models = [Model::Analytic(gaussian()), Model::reward(3, reward)];
        let outside = sample(device, &models, &options, None).expect("a run");
        assert_eq!(outside.counters.launches_per_step, 5.0, "move, look, judge, weigh, resample");
        let slope = SLOPE.iter().map(|s| f64::from(*s)).collect();
        let task = Task::Reward { slope, curvature: vec![0.0; 3], centre: vec![0.0; 3] };
        options.twisting = Some(steered(task));
        let inside = sample(device, &[Model::Analytic(gaussian())], &options, None).expect("a run");
        for (outside, inside) in outside.log_z.iter().zip(&inside.log_z) {
            assert!((outside - inside).abs() < 1e-4, "log Z {outside} outside, {inside} inside");
        }
        options.twisting = Some(steered(Task::Own));
        let models = [Model::Analytic(gaussian()), Model::reward(3, |_| f32::NAN)];
        let error = sample(device, &models, &options, None).map(|out| out.log_z).expect_err("no number");
        let text = error.to_string();
        assert!(text.starts_with("reward of particle 0 at sigma") && text.contains("found NaN"), "{text}");
    }
}

/// N(0, I), from outside.
struct Own;

/// factor x of every number.
#[cube(launch)]
fn times_kernel(x: &[f32], out: &mut [f32], from: u32, first: u32, numbers: u32, factor: f32) {
    let mut i = ABSOLUTE_POS;
    while i < numbers as usize {
        out[first as usize + i] = factor * x[from as usize + i];
        i += CUBE_COUNT * CUBE_DIM as usize;
    }
}

fn times(device: &Device, x: (&Buf<f32>, usize), out: (&Buf<f32>, usize), numbers: usize, noise: Noise) {
    let cubes = if device.is_cpu() { 1 } else { numbers.div_ceil(device.units() as usize) };
    times_kernel::launch(
        device.client(),
        CubeCount::Static(cubes as u32, 1, 1),
        CubeDim::new_1d(device.units()),
        x.0.arg(),
        out.0.arg(),
        x.1 as u32,
        out.1 as u32,
        numbers as u32,
        -1.0 / (noise.alpha * noise.alpha + noise.sigma * noise.sigma) as f32,
    );
}

impl Foreign for Own {
    fn dim(&self) -> usize {
        3
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
        times(device, (rows, 0), (out, first), 3 * count, noise);
        Ok(device.launched(Work::default())?)
    }

    fn goes_back(&self) -> bool {
        true
    }

    fn back(
        &self,
        device: &Device,
        _rows: &Buf<f32>,
        count: usize,
        noise: Noise,
        w: (&Buf<f32>, usize),
        out: (&Buf<f32>, usize),
    ) -> Result<()> {
        times(device, w, out, 3 * count, noise);
        Ok(device.launched(Work::default())?)
    }

    fn moments(&self) -> (Vec<f64>, f64) {
        (vec![0.0; 3], 1.0)
    }
}

/// Under a task of the step, and under a likelihood of one's own.
fn a_foreign_model_is_a_closed_form(device: &Device) {
    let inside = target(
        "kind = 'gaussian'\nmean = [0.0, 0.0, 0.0]\n\
         covariance = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]\n",
    );
    for task in [linear(), Task::Own] {
        let mut options = tiny(task, ve());
        (options.particles, options.groups, options.resample) = (70, 3, Policy::Every);
        let run = |model: Model| {
            let behind = matches!(options.twisting.as_ref().expect("a twist").task, Task::Own);
            let models: Vec<Model> = [model].into_iter().chain(behind.then(|| own(SLOPE))).collect();
            sample(device, &models, &options, None).expect("a run")
        };
        let (foreign, inside) = (run(Model::Foreign(Box::new(Own))), run(Model::Analytic(inside.clone())));
        for (foreign, inside) in foreign.log_z.iter().zip(&inside.log_z) {
            assert!((foreign - inside).abs() < 2e-4, "log Z {foreign} foreign, {inside} closed");
        }
    }
}

fn an_own_likelihood_that_is_no_number_is_an_error(device: &Device) {
    let options = tiny(Task::Own, ve());
    let models = [Model::Analytic(gaussian()), own([f32::NAN, 0.0, 0.0])];
    match sample(device, &models, &options, None) {
        Err(error) => println!("{error}"),
        Ok(out) => panic!("a log Z of {:?}", out.log_z),
    }
}

/// A model without a way back.
struct OneWay;

impl Foreign for OneWay {
    fn dim(&self) -> usize {
        3
    }

    fn score(
        &self,
        _device: &Device,
        _rows: &Buf<f32>,
        _count: usize,
        _noise: Noise,
        _out: &Buf<f32>,
        _first: usize,
    ) -> Result<()> {
        Ok(())
    }
}

fn refusal(models: &[Model], task: Task) -> String {
    let device = crate::support::device("cpu").expect("the CPU");
    match sample(&device, models, &tiny(task, ve()), None) {
        Err(error @ Error::Input { .. }) => error.to_string(),
        other => panic!("refused, but for {:?}", other.map(|out| out.log_z)),
    }
}

#[test]
fn bad_runs_are_refused() {
    let plain = || Model::Analytic(gaussian());
    let digits = || shipped_classifier("digits8-classifier");
    let wide = || {
        let zeros = format!("{:?}", vec![0.0; 64]);
        let text = format!("kind = 'mixture'\nweights = [1.0]\nmeans = [{zeros}]\nscales = [1.0]\n");
        Model::Analytic(target(&text))
    };
    let class = |class: usize, scale: f64| Task::Classifier { class, scale };
    for (found, wanted) in [
        (refusal(&[plain()], Task::Own), "models: found 1, wanted 2 for tds and the likelihood behind it"),
        (refusal(&[plain(), plain()], Task::Own), "likelihood behind the model: found Gaussian"),
        (refusal(&[wide(), digits()], Task::Own), "likelihood behind the model: found classifier"),
        (refusal(&[plain(), own(SLOPE)], class(1, 1.0)), "likelihood behind the model: found likelihood"),
        (refusal(&[plain(), digits()], class(1, 1.0)), "dimension of another model: found 64, wanted 3"),
        (refusal(&[wide(), digits()], class(10, 1.0)), "class: found 10, wanted 0 to 9"),
        (refusal(&[wide(), digits()], class(1, 0.0)), "classifier-scale: found 0, wanted a finite number"),
        (
            refusal(&[plain(), Model::reward(3, |_| 0.0)], Task::Own),
            "twist-lean: found 1, wanted 0: the likelihood",
        ),
        (refusal(&[digits(), digits()], class(1, 1.0)), "model: found classifier"),
        (refusal(&[Model::Foreign(Box::new(OneWay)), own(SLOPE)], Task::Own), "model of tds: found foreign"),
        (refusal(&[network("digits8-energy"), digits()], class(1, 1.0)), "model of tds: found"),
    ] {
        assert!(found.starts_with(wanted), "found {found:?}, wanted {wanted:?}");
    }
    let device = crate::support::device("cpu").expect("the CPU");
    let plain = Options::new(Method::Plain, ve());
    let error = sample(&device, &[digits()], &plain, None).map(|out| out.log_z).expect_err("no model");
    assert!(error.to_string().starts_with("model: found classifier"), "{error}");
    let error = verify(&device, &[Model::Analytic(gaussian()), own(SLOPE)], &tiny(Task::Own, ve()));
    assert!(error.is_err_and(|e| e.to_string().starts_with("likelihood: found one of your own")));
    let noisy = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/mnist-classifier-noisy");
    let error = Model::classifier(&noisy).map(|_| ()).expect_err("one of noisy images");
    assert!(error.to_string().contains("found one of noisy images, wanted one of clean images"), "{error}");
    let net = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/digits8-mlp");
    let error = Model::classifier(&net).map(|_| ()).expect_err("a network of scores");
    assert!(error.to_string().contains("found dense, wanted a classifier"), "{error}");
}
