//! What is timed: seconds of one step or launch in a queue of many, each first compared with its oracle.

use feynkac::kernels::device::Device;
use feynkac::kernels::passes::mlp::{Compute, Half};
use feynkac::kernels::passes::resample::oracle::{systematic, word};
use feynkac::kernels::passes::weights::Weights;
use feynkac::kernels::passes::weights::oracle::integers;
use feynkac::measure::{Measured, Spread, timed};
use feynkac::options::State;
use feynkac::plan::Pass;
use feynkac::run::Run;
use feynkac::{Error, Model, Options, Policy, Result, Rule};

use crate::peers::{mixture, network};
use crate::problem::{Problem, SEED};
use crate::questions::dims::standard;
use crate::questions::networks::on_its_schedule;
use crate::questions::{annealed, walked};

/// Rounds that are timed.
pub const ROUNDS: usize = 9;
/// Seconds of a round, at least; and calls, at most.
const ROUND_S: f64 = 0.03;
const MOST_CALLS: usize = 2000;
/// Steps of a run that is timed.
const STEPS: usize = 4000;
/// On a device that is none, and the largest population there.
const SOFTWARE_ROUND_S: f64 = 0.005;
const SOFTWARE_PARTICLES: usize = 1 << 12;

/// Seconds, and bytes that had to be moved.
type Timed = Result<(Spread, f64)>;

/// Something to time.
pub struct Figure {
    /// Its name in [`super::goals`].
    pub key: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Particles.
    pub particles: usize,
    /// Does it.
    pub time: fn(&Device, usize) -> Timed,
}

/// Everything; smaller where software does a GPU's work.
pub fn all(device: &Device, software: bool) -> Vec<Figure> {
    let figure =
        |key, what, particles, time: fn(&Device, usize) -> Timed| Figure { key, what, particles, time };
    let mut all = vec![
        figure("resample", "log-sum-exp, ESS, scan, ancestors", 1 << 20, resample),
        figure("resample", "log-sum-exp, ESS, scan, ancestors", 1 << 24, resample),
        figure("gmm", "GMM-40 annealed, a whole step", 1 << 14, gmm),
        figure("gmm", "GMM-40 annealed, a whole step", 1 << 20, gmm),
        figure("wide", "gather-fused step, D = 64, f32", 1 << 20, wide),
        figure("wide-f16", "gather-fused step, D = 64, f16", 1 << 20, wide_f16),
        figure("mlp", "network 4 x 128, f32", 1 << 20, mlp),
        figure("mlp-bf16", "network 4 x 128, bf16", 1 << 20, mlp_bf16),
    ];
    if software || device.is_cpu() {
        all.iter_mut().for_each(|figure| figure.particles = figure.particles.min(SOFTWARE_PARTICLES));
        all.dedup_by_key(|figure| (figure.key, figure.particles));
    }
    all
}

fn rounds(device: &Device, mut call: impl FnMut() -> Result<()>) -> Timed {
    // The first compiles, the second says how many make a round.
    timed(device, &mut call)?;
    let one = timed(device, &mut call)?.seconds;
    let software = device.is_cpu() || device.max_turns().is_some();
    let round = if software { SOFTWARE_ROUND_S } else { ROUND_S };
    let calls = ((round / one.max(1e-9)).ceil() as usize).clamp(1, MOST_CALLS);
    let measure = |_| timed(device, || (0..calls).try_for_each(|_| call()));
    let measured = (0..ROUNDS).map(measure).collect::<Result<Vec<Measured>>>()?;
    let seconds: Vec<f64> = measured.iter().map(|m| m.seconds / calls as f64).collect();
    Ok((Spread::of(&seconds), measured[0].bytes as f64 / calls as f64))
}

fn wrong(what: String) -> Error {
    Error::input("a result that is to be timed", what, "what its oracle says")
}

/// From log-weights to ancestors: the records of the blocks, then the rest in one launch.
fn resample(device: &Device, particles: usize) -> Timed {
    let fraction = |i: usize| (i as f64 * 0.618_033_988_749_895).fract();
    let weights: Vec<f32> = (0..particles.min(1 << 18)).map(|i| (-8.0 * fraction(i)).exp() as f32).collect();
    let problem = Problem::new(device.clone(), Weights::Linear, &weights, 1)?;
    problem.launch()?;
    let found = device.download(&problem.group.ancestors)?;
    let wanted = systematic(&integers(&weights, problem.group.of.block()), word(SEED, 0));
    if let Some(i) = found.iter().zip(&wanted).position(|(a, b)| a != b) {
        return Err(wrong(format!("slot {i} descends from {}, not from {}", found[i], wanted[i])));
    }
    let log_w: Vec<f32> = (0..particles).map(|i| (-8.0 * fraction(i)) as f32).collect();
    let problem = Problem::new(device.clone(), Weights::Log, &log_w, 1)?;
    rounds(device, || Ok(problem.launch()?))
}

/// All steps of a run in turn, as it takes them (replayed where the device can), anew when they are through.
fn steps(device: &Device, models: &[Model], options: &Options) -> Timed {
    walked(device, models, options).map_err(wrong)?;
    // So many that starting anew counts for nothing.
    let long = Options { steps: STEPS, ..options.clone() };
    let run = Run::new(device, models, &long)?;
    let mut step = run.open()?;
    let stride = run.stride();
    let (seconds, bytes) = rounds(device, || {
        if step + stride > STEPS {
            run.begin()?;
            step = 0;
        }
        run.advance_through(step..step + stride)?;
        step += stride;
        Ok(())
    })?;
    Ok((seconds.scaled(1.0 / stride as f64), bytes / stride as f64))
}

/// One launch of a run that is under way.
fn launch(device: &Device, models: &[Model], options: &Options, pass: Pass) -> Timed {
    walked(device, models, options).map_err(wrong)?;
    let run = Run::new(device, models, options)?;
    run.begin()?;
    run.advance_through(0..1)?;
    rounds(device, || run.pass(pass, 1, 2))
}

fn gmm(device: &Device, particles: usize) -> Timed {
    let options = Options { rule: Rule::Left, roots: false, ..annealed(particles, Policy::Every) };
    steps(device, &[mixture(1)], &options)
}

fn wide(device: &Device, particles: usize) -> Timed {
    wide_in(device, particles, State::F32)
}

fn wide_f16(device: &Device, particles: usize) -> Timed {
    wide_in(device, particles, State::F16)
}

fn wide_in(device: &Device, particles: usize, state: State) -> Timed {
    let options = Options { rule: Rule::Left, roots: false, state, ..annealed(particles, Policy::Every) };
    launch(device, &[standard(64)], &options, Pass::Fused)
}

fn mlp(device: &Device, particles: usize) -> Timed {
    mlp_in(device, particles, Compute::F32)
}

fn mlp_bf16(device: &Device, particles: usize) -> Timed {
    mlp_in(device, particles, Compute::Tensor(Half::Bf16))
}

fn mlp_in(device: &Device, particles: usize, compute: Compute) -> Timed {
    let options = Options { compute, ..on_its_schedule(particles) };
    launch(device, &[network(2, 128)], &options, Pass::Evaluate(0))
}
