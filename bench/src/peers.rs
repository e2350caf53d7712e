//! The problems of `bench/peers`, solved by feynkac: see `bench/peers/problem.py` for their numbers.

use std::rc::Rc;

use feynkac::kernels::device::Device;
use feynkac::kernels::passes::resample::oracle::offspring;
use feynkac::kernels::passes::weights::Weights;
use feynkac::kernels::passes::{draws, gather};
use feynkac::kernels::prims::philox::oracle::{Stream, normal};
use feynkac::model::Network;
use feynkac::netconfig::{
    Activation, Dense, Embedding, Layer, NetConfig, NetWeights, Norm, TimeConfig, TimeWeights, Trunk,
    TrunkConfig,
};
use feynkac::run::{Outcome, Run, read};
use feynkac::schedule::{Preconditioning, Prediction, TimeFeature};
use feynkac::target::{Mixture, Scales};
use feynkac::{Grid, Method, Model, Options, Policy, Rule, Schedule, Target};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::problem::Problem;

/// Components of a mixture.
const COMPONENTS: usize = 40;
/// First and last noise of every run.
pub(crate) const SIGMA: (f64, f64) = (30.0, 0.01);
/// It falls geometrically.
const SCHEDULE: Schedule = Schedule::Ve { sigma_min: SIGMA.1, sigma_max: SIGMA.0 };

/// A request.
#[derive(Clone, Debug, Deserialize)]
pub struct Request {
    /// What to do.
    pub op: String,
    /// Particles.
    pub n: usize,
    /// Numbers a row; of `gmm` 0 annealed, 1 geometric average.
    #[serde(default)]
    pub d: usize,
    /// Width of the network; of `gmm` 1, resample at every step.
    #[serde(default)]
    pub h: usize,
    /// Steps of a run.
    #[serde(default)]
    pub steps: usize,
    /// Timed calls.
    #[serde(default)]
    pub reps: usize,
    /// Repeated in the answer.
    #[serde(default)]
    pub variant: Option<String>,
}

impl Request {
    /// Asks for the same work.
    pub fn same(&self, other: &Self) -> bool {
        let key = |r: &Self| (r.op.clone(), r.n, r.d, r.h, r.steps);
        key(self) == key(other)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Why {
    /// This worker does not do that.
    Skip(String),
    /// Something went wrong.
    Failed(String),
}

impl Why {
    /// Key and text of the answer.
    pub fn told(self) -> (&'static str, String) {
        match self {
            Why::Skip(why) => ("skip", why),
            Why::Failed(why) => ("error", why),
        }
    }
}

impl From<feynkac::Error> for Why {
    fn from(error: feynkac::Error) -> Self {
        Why::Failed(error.to_string())
    }
}

impl From<feynkac::kernels::error::KernelError> for Why {
    fn from(error: feynkac::kernels::error::KernelError) -> Self {
        Why::Failed(error.to_string())
    }
}

/// Work that is ready to be done again and again.
pub struct Prepared {
    /// Does it once, to the end.
    pub call: Box<dyn FnMut() -> Result<(), Why>>,
    /// What came out of the last call.
    pub check: Box<dyn Fn() -> Result<Value, Why>>,
}

/// Everything up to the first call.
pub fn prepare(request: &Request) -> Result<Prepared, Why> {
    let device = device()?;
    match request.op.as_str() {
        "resample" => resample(device, request),
        "gmm" => gmm(device, request),
        "mlp" => mlp(device, request),
        "normals" => normals(device, request),
        other => Err(Why::Skip(format!("feynkac has no {other}"))),
    }
}

fn device() -> Result<Device, Why> {
    let named = std::env::var("FEYNKAC_BENCH_DEVICE").ok();
    let threads = std::env::var("OMP_NUM_THREADS").ok().filter(|n| !n.is_empty());
    let name = named.unwrap_or_else(|| threads.map_or_else(|| "cpu".to_owned(), |n| format!("cpu:{n}")));
    Ok(Device::open(name.parse()?)?)
}

fn resample(device: Device, request: &Request) -> Result<Prepared, Why> {
    let stream = |slot: usize| Stream { seed: 1, slot: slot as u32, step: 0, tag: 0 };
    let log_w: Vec<f32> = (0..request.n).map(|i| normal(stream(i), 0, 3) as f32).collect();
    let work = Rc::new(Problem::new(device, Weights::Log, &log_w, request.d)?);
    let also = work.clone();
    Ok(Prepared {
        call: Box::new(move || Ok(work.resample_and_gather()?)),
        check: Box::new(move || check_resampled(&also, &log_w)),
    })
}

fn check_resampled(problem: &Problem, log_w: &[f32]) -> Result<Value, Why> {
    let (n, dim) = (problem.group.of.slots, problem.group.of.dim);
    let ancestors = problem.device.download(&problem.group.ancestors)?;
    let w: Vec<f64> = log_w.iter().map(|l| f64::from(*l).exp()).collect();
    let total: f64 = w.iter().sum();
    let square: f64 = w.iter().map(|w| w * w).sum();
    let counts = offspring(&ancestors[..n], n);
    let off = |(count, w): (&u32, &f64)| (f64::from(*count) - n as f64 * w / total).abs();
    let worst = counts.iter().zip(&w).map(off).fold(0.0, f64::max);
    let (rows, out) = (problem.device.download(&problem.rows)?, problem.device.download(&problem.out)?);
    let gathered = out[..n * dim] == gather::oracle::gather(&rows, dim, &ancestors[..n])[..];
    Ok(json!({
        "max_count_err": (worst * 1.0e4).round() / 1.0e4,
        "n_ok": counts.iter().sum::<u32>() as usize == n && gathered,
        "mono": ancestors[..n].is_sorted(),
        "ess_frac": (total * total / square / n as f64 * 1.0e4).round() / 1.0e4,
    }))
}

fn normals(device: Device, request: &Request) -> Result<Prepared, Why> {
    let seed = device.upload("seed", &[1_u32, 2])?;
    let out = device.empty::<f32>("normals", request.n)?;
    let (device, seed, out) = (Rc::new(device), Rc::new(seed), Rc::new(out));
    let (also, drawn) = (device.clone(), out.clone());
    let mut step = 0;
    Ok(Prepared {
        call: Box::new(move || {
            step += 1;
            draws::normals(&device, &seed, &out, step, 0)?;
            Ok(device.sync()?)
        }),
        check: Box::new(move || {
            let z = also.download(&drawn)?;
            let var = z.iter().map(|z| f64::from(*z).powi(2)).sum::<f64>() / z.len() as f64;
            Ok(json!({ "var": var }))
        }),
    })
}

/// Means of a mixture, from the generator that all peers share.
fn means(mut seed: u64) -> Vec<f64> {
    let mut draw = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        80.0 * ((seed >> 33) as f64 / 2_147_483_648.0) - 40.0
    };
    (0..2 * COMPONENTS).map(|_| draw()).collect()
}

/// Forty Gaussians in the plane.
pub(crate) fn mixture(seed: u64) -> Model {
    Model::Analytic(Target::Mixture(Mixture {
        dim: 2,
        weights: vec![1.0 / COMPONENTS as f64; COMPONENTS],
        means: means(seed),
        scales: Scales::Isotropic(vec![1.0; COMPONENTS]),
    }))
}

fn gmm(device: Device, request: &Request) -> Result<Prepared, Why> {
    let averaged = request.d == 1;
    let method = if averaged { Method::FkcGuidance } else { Method::FkcAnneal };
    let models = if averaged { vec![mixture(1), mixture(2)] } else { vec![mixture(1)] };
    let policy = if request.h == 1 { Policy::Every } else { Policy::Ess(0.5) };
    let options = options(method, if averaged { 0.5 } else { 2.0 }, policy, request);
    // The peers count from the start, where the square of N(0, sigma^2) is not normalised.
    let start = if averaged { 0.0 } else { (2.0 * std::f64::consts::TAU * SIGMA.0 * SIGMA.0).ln() };
    repeated(device, models, options, move |out| {
        let r2 = out.x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / (out.x.len() / 2) as f64;
        json!({ "mean_r2": r2, "logZ": out.log_z[0] + start })
    })
}

fn options(method: Method, beta: f64, policy: Policy, request: &Request) -> Options {
    let mut options = Options::new(method, SCHEDULE);
    (options.beta, options.rule, options.grid) = (beta, Rule::Left, Grid::Uniform);
    (options.particles, options.steps, options.resample) = (request.n, request.steps, policy);
    // The worker answers again and again: what takes longer to compile pays.
    (options.roots, options.at_once) = (false, 0);
    options
}

/// A run that is done anew at each call, in buffers that stay.
fn repeated(
    device: Device,
    models: Vec<Model>,
    options: Options,
    check: impl Fn(&Outcome) -> Value + 'static,
) -> Result<Prepared, Why> {
    // A run borrows what it is made of; the worker keeps it for good.
    let (device, models): (&'static Device, &'static [Model]) = (Box::leak(Box::new(device)), models.leak());
    let options: &'static Options = Box::leak(Box::new(options));
    let run = Rc::new(Run::new(device, models, options)?);
    let also = run.clone();
    Ok(Prepared {
        call: Box::new(move || {
            let done = run.open()?;
            run.advance_through(done..run.coeffs.len())?;
            Ok(run.device.sync()?)
        }),
        check: Box::new(move || Ok(check(&read(&also)?))),
    })
}

fn mlp(device: Device, request: &Request) -> Result<Prepared, Why> {
    let mut options = options(Method::FkcAnneal, 2.0, Policy::Every, request);
    // Ten Euler steps in the time of the geometric schedule would overshoot.
    (options.schedule, options.grid) = (Schedule::Edm, Grid::LogSnr);
    (options.t_max, options.t_min) = SIGMA;
    repeated(
        device,
        vec![network(request.d, request.h)],
        options,
        |out| json!({ "mean_x2": out.x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / out.x.len() as f64 }),
    )
}

/// A denoiser of four layers of width `h` in `d` dimensions, of the numbers that all peers share.
pub(crate) fn network(d: usize, h: usize) -> Model {
    let mut state = 5_u64;
    let mut draw = |count: usize, scale: f64| -> Vec<f32> {
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (scale * ((state >> 33) as f64 / 1_073_741_824.0 - 1.0)) as f32
            })
            .collect()
    };
    let mut dense = |inputs: usize, outputs: usize| Dense {
        weight: draw(inputs * outputs, (3.0 / inputs as f64).sqrt()),
        bias: vec![0.01; outputs],
    };
    let (input, out) = (dense(d, h), dense(h, d));
    let layers = (0..3).map(|_| Layer { dense: dense(h, h), cond: vec![0.0; h], norm: None }).collect();
    let small = || Dense { weight: vec![0.0; 2], bias: vec![0.0] };
    let time = TimeWeights {
        freqs: vec![1.0],
        first: small(),
        second: Dense { weight: vec![0.0], bias: vec![0.0] },
    };
    let config = NetConfig {
        trunk: TrunkConfig {
            dim: d,
            hidden: h,
            layers: 3,
            activation: Activation::Silu,
            norm: Norm::None,
            skip: false,
        },
        cond: 1,
        time: TimeConfig { embedding: Embedding::Fourier, dim: 2, feature: TimeFeature::LogSnr },
        classes: None,
        schedule: Schedule::Edm,
        t_max: SIGMA.0,
        t_min: SIGMA.1,
        prediction: Prediction::X0,
        preconditioning: Preconditioning::Edm { sigma_data: 1.0 },
        energy: None,
        data: None,
    };
    let weights = NetWeights { trunk: Trunk { input, layers, out }, time, class: None };
    Model::Network(Box::new(Network { name: "the peers' network".into(), config, weights, class: None }))
}
