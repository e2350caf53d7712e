//! Every folder of `kernels/src/passes` beside its f64 oracle, at small and awkward sizes: what a machine must pass
//! before its figures count. Passes that a run launches are walked in runs, the others stand alone.

use feynkac_kernels::device::Device;
use feynkac_kernels::passes::copy::{copy, widen};
use feynkac_kernels::passes::draws::{draws, normals};
use feynkac_kernels::passes::mlp::oracle::{forward, forward_rounded};
use feynkac_kernels::passes::mlp::{Activation, Compute, Dense, Half, MlpShape, Network, Numbers};
use feynkac_kernels::passes::{Number, gather, genealogy};
use feynkac_kernels::prims::philox::oracle::{Stream, normal, uniform, words};
use feynkac_kernels::prims::state::{BLOCK, Population};

use super::problems::runs;
use super::{EPS, Verdict, energies, frames, images, layers, paths, scaffold, verify, walk, weighed};
use crate::aim::{Growth, Reward};
use crate::error::Result;
use crate::model::Model;
use crate::options::{Options, Policy, Rule};
use crate::registry::{Method, Scheme};
use crate::run::{Outcome, sample};
use crate::schedule::Schedule;
use crate::target::{Mixture, Scales, Target};

/// A pass by the name of its folder, and its check.
pub type Row = (&'static str, fn(&Device) -> Result<Verdict>);

/// Every pass.
pub const PASSES: &[Row] = &[
    ("classes", energies::classes),
    ("conv", images::convolved),
    ("copy", copied),
    ("divergence", energies::divergences),
    ("draws", drawn),
    ("energy", energies::energies),
    ("frames", frames::walked),
    ("gather", gathered),
    ("genealogy", kept),
    ("increments", milder),
    ("init", started),
    ("jumps", jumped),
    ("ladder", climbing),
    ("layers", layers::asked),
    ("mlp", networks),
    ("paths", paths::traced),
    ("priority", chosen),
    ("resample", weighed::resampled),
    ("retain", paths::retained),
    ("rows", images::turned),
    ("scaffold", scaffold::twisted),
    ("scan", weighed::scanned),
    ("step", stepped),
    ("steps", together),
    ("survivors", weighed::survived),
    ("weights", weighed::normalised),
];

/// Particles of a group: one, around the width of a vector, around a block, several blocks and a prime.
pub(super) const SIZES: [usize; 9] = [1, 2, 17, 127, 257, 1023, 1025, 4099, 20_011];
const SEED: u64 = 0x0123_4567_89ab_cdef;

/// In [0, 1), in no order.
pub(super) fn fraction(i: usize) -> f64 {
    (i as f64 * 0.618_033_988_749_895).fract()
}

/// One group of particles on the line.
pub(super) fn population(device: &Device, slots: usize, max_block: usize) -> Population {
    Population { groups: 1, slots, dim: 1, lanes: device.lanes_for(slots, 1), max_block }
}

impl Verdict {
    /// Adds what another walk found.
    fn and(mut self, other: Self) -> Self {
        self.steps += other.steps;
        self.compared += other.compared;
        self.worst = self.worst.max(other.worst);
        self.first = self.first.or(other.first);
        self
    }
}

fn copied(device: &Device) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for len in [64, 1024, 64 * 1031] {
        let wanted: Vec<f32> = (0..len).map(|i| i as f32 - 0.5).collect();
        let (from, to) = (device.upload("from", &wanted)?, device.upload("to", &vec![0.0_f32; len])?);
        copy(device, &from, &to, 0)?;
        for (i, (found, wanted)) in device.download(&to)?.iter().zip(&wanted).enumerate() {
            verdict.compare("copy", 0, (0, i), *found, f64::from(*wanted), 0.0);
        }
    }
    let (rows, dim, first) = (7, 5, 3);
    let values: Vec<f32> = (0..first + rows * dim).map(|i| i as f32 + 0.5).collect();
    let (from, to) = (device.upload("from", &values)?, device.upload("to", &vec![1.0_f32; 2 * rows * dim])?);
    widen(device, (&from, first), &to, rows, dim)?;
    for (i, found) in device.download(&to)?.into_iter().enumerate() {
        let (row, k) = (i / (2 * dim), i % (2 * dim));
        let wanted = if k < dim { f64::from(values[first + row * dim + k]) } else { 0.0 };
        verdict.compare("copy: widened", 0, (row, k), found, wanted, 0.0);
    }
    Ok(verdict)
}

/// Words to the bit, uniforms exactly, normals to the error stated in docs/maths.md (2).
fn drawn(device: &Device) -> Result<Verdict> {
    const NORMAL: f64 = 4.0e-6;
    let (step, tag, block) = (7, 0x0100_0003, 5);
    let stream = |slot: usize| Stream { seed: SEED, slot: slot as u32, step, tag };
    let mut verdict = Verdict::default();
    for count in [1, 17, 5000] {
        let out = draws(device, SEED, count, step, tag, block)?;
        let (bits, flat) = (device.download(&out.words)?, device.download(&out.uniforms)?);
        let gaussian = device.download(&out.normals)?;
        for slot in 0..count {
            for (i, word) in words(stream(slot), block).into_iter().enumerate() {
                let at = 4 * slot + i;
                verdict.compare("draws: words", 0, (0, at), bits[at], f64::from(word), 0.0);
                verdict.compare("draws: uniforms", 0, (0, at), flat[at], uniform(word), 0.0);
                let wanted = normal(stream(slot), 4 * block as usize + i, 64);
                verdict.compare("draws: normals", 0, (0, at), gaussian[at], wanted, NORMAL);
            }
        }
    }
    let (lanes, tiles) = (device.lanes(), 100);
    let seed = device.upload("seed", &[SEED as u32, (SEED >> 32) as u32])?;
    let out = device.empty("normals", tiles * 4 * lanes)?;
    normals(device, &seed, &out, step, tag)?;
    for (at, found) in device.download(&out)?.into_iter().enumerate() {
        let (tile, within) = (at / (4 * lanes), at % (4 * lanes));
        let wanted = normal(stream(tile * lanes + within % lanes), within / lanes, 64);
        verdict.compare("draws: normals alone", 0, (0, at), found, wanted, NORMAL);
    }
    Ok(verdict)
}

fn gathered(device: &Device) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for (slots, dim) in [(1, 1), (257, 2), (1025, 3), (300, 64), (33, 784)] {
        let of = Population { dim, ..population(device, slots, BLOCK) };
        let rows: Vec<f32> = (0..slots * dim).map(|i| i as f32).collect();
        let mut ancestors: Vec<u32> = (0..slots).map(|i| (fraction(i) * slots as f64) as u32).collect();
        let wanted = gather::oracle::gather(&rows, dim, &ancestors);
        ancestors.resize(of.stride(), 0);
        let (rows, ancestors) = (device.upload("rows", &rows)?, device.upload("ancestors", &ancestors)?);
        let out = device.empty("gathered rows", slots * dim)?;
        gather::gather(device, &rows, &ancestors, &out, &of)?;
        for (i, (found, wanted)) in device.download(&out)?.into_iter().zip(wanted).enumerate() {
            verdict.compare("gather", 0, (0, i), found, f64::from(wanted), 0.0);
        }
    }
    Ok(verdict)
}

/// The parents of two steps of three groups, of which the second was not resampled.
fn kept(device: &Device) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for slots in [1, 17, 257, 1025] {
        let of = Population { groups: 3, ..population(device, slots, BLOCK) };
        let ancestors: Vec<u32> = (0..of.stride()).map(|i| (fraction(i) * slots as f64) as u32).collect();
        let resampled = [1.0_f32, 0.0, 1.0];
        let norms: Vec<f32> = resampled.iter().flat_map(|d| [0.0, 1.0, 1.0, *d]).collect();
        let (from, norms) =
            (device.upload("ancestors", &ancestors)?, device.upload("group records", &norms)?);
        let rows = device.upload("genealogy", &vec![u32::MAX; 2 * of.stride()])?;
        for step in 0..2 {
            genealogy::record(device, &from, &norms, &rows, &of, Number::Given(step))?;
        }
        let found = device.download(&rows)?;
        for (at, decision) in (0..2 * of.groups).zip(resampled.iter().cycle()) {
            let first = at * of.padded();
            let own = &ancestors[at % of.groups * of.padded()..];
            let wanted = genealogy::oracle::record(own, slots, *decision > 0.5);
            for (i, (found, wanted)) in found[first..].iter().zip(wanted).enumerate() {
                verdict.compare(
                    "genealogy",
                    at / of.groups,
                    (at % of.groups, i),
                    *found,
                    f64::from(wanted),
                    0.0,
                );
            }
        }
    }
    Ok(verdict)
}

/// A network of numbers in no order, with everything that a layer may have.
fn networks(device: &Device) -> Result<Verdict> {
    let (silu, gelu) = (Activation::Silu, Activation::Gelu);
    let plain =
        MlpShape { dim: 2, hidden: 128, layers: 3, outputs: 2, activation: silu, norm: false, skip: false };
    let mut verdict = Verdict::default();
    for shape in [
        plain,
        MlpShape { dim: 64, hidden: 256, outputs: 64, ..plain },
        MlpShape { activation: gelu, norm: true, skip: true, hidden: 70, ..plain },
        MlpShape { activation: Activation::Tanh, dim: 13, hidden: 17, outputs: 10, ..plain },
        MlpShape { activation: Activation::Relu, layers: 0, ..plain },
    ] {
        for count in [1, 47, 300] {
            verdict = verdict.and(network(device, shape, count, Compute::F32)?);
            for half in [Half::F16, Half::Bf16] {
                // A device without such cores refuses, and has nothing to be checked.
                if let Ok(found) = network(device, shape, count, Compute::Tensor(half)) {
                    verdict = verdict.and(found);
                }
            }
        }
    }
    Ok(verdict)
}

fn network(device: &Device, shape: MlpShape, count: usize, compute: Compute) -> Result<Verdict> {
    let (dim, hidden, layers) = (shape.dim, shape.hidden, shape.layers);
    let mut next = 0;
    let mut some = |len: usize, size: f64| -> Vec<f32> {
        next += len;
        (next - len..next).map(|i| (size * (2.0 * fraction(i) - 1.0)) as f32).collect()
    };
    let fan = |inputs: usize| (3.0 / inputs as f64).sqrt();
    let input = Dense { weight: some(hidden * dim, fan(dim)), bias: some(hidden, 0.5) };
    let between: Vec<Vec<f32>> = (0..layers).map(|_| some(hidden * hidden, fan(hidden))).collect();
    let count_of_norms = if shape.norm { layers } else { 0 };
    let norms: Vec<_> = (0..count_of_norms).map(|_| (some(hidden, 1.0), some(hidden, 0.5))).collect();
    let output = Dense { weight: some(shape.outputs * hidden, fan(hidden)), bias: some(shape.outputs, 0.5) };
    let cond = [some(layers * hidden, 0.5), some(layers * hidden, 0.5)];
    let levels = [[0.0; 3], [0.8, if dim == shape.outputs { -0.7 } else { 0.0 }, 1.3]];
    let x = some(count * dim, 2.0);
    let numbers = Numbers {
        input: &input,
        hidden: &between,
        norms: &norms,
        output: &output,
        cond: &cond,
        levels: &levels,
    };
    let network = Network::new(device, shape, &numbers, compute)?;
    let (rows, out) = (device.upload("rows", &x)?, device.empty("outputs", count * shape.outputs)?);
    network.launch(device, &rows, &out, 0, count, 1)?;
    let found = device.download(&out)?;
    // Each layer sums as many products of numbers of size about 1, rounded each time; where activations are
    // rounded to 16 bits, a sum may fall to either side.
    let rounding = match compute {
        Compute::Tensor(Half::F16) => 4.0e-3,
        Compute::Tensor(Half::Bf16) => 3.0e-2,
        _ => 0.0,
    };
    let allowed = rounding + 4.0 * EPS * ((layers + 2) * hidden.max(dim)) as f64;
    let mut verdict = Verdict::default();
    for (row, x) in x.chunks(dim).enumerate() {
        let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let wanted = match compute {
            Compute::Tensor(half) => forward_rounded(half, &shape, &numbers, 1, &x),
            _ => forward(&shape, &numbers, 1, &x),
        };
        for (k, wanted) in wanted.into_iter().enumerate() {
            verdict.compare("mlp", 0, (row, k), found[row * shape.outputs + k], wanted, allowed);
        }
    }
    Ok(verdict)
}

/// Three Gaussians of unequal weight; isotropic, or with a scale for each coordinate.
pub(super) fn mixture(dim: usize, seed: usize, isotropic: bool) -> Model {
    let some = |len: usize, low: f64, high: f64| -> Vec<f64> {
        (0..len).map(|i| low + (high - low) * fraction(i + 1000 * seed + 1)).collect()
    };
    let scales = if isotropic {
        Scales::Isotropic(some(3, 0.4, 1.2))
    } else {
        Scales::Diagonal(some(3 * dim, 0.4, 1.2))
    };
    Model::Analytic(Target::Mixture(Mixture {
        dim,
        weights: vec![0.2, 0.3, 0.5],
        means: some(3 * dim, -1.5, 1.5),
        scales,
    }))
}

/// The start: particles, first scores and log-weights.
fn started(device: &Device) -> Result<Verdict> {
    runs(false).iter().try_fold(Verdict::default(), |sum, (models, options)| {
        Ok(sum.and(walk(device, models, options, 0, |_, _| Ok(()))?))
    })
}

/// The fused step.
fn fused(device: &Device) -> Result<Verdict> {
    runs(false)
        .iter()
        .try_fold(Verdict::default(), |sum, (models, options)| Ok(sum.and(verify(device, models, options)?)))
}

/// The step fused, and as move and weigh.
fn stepped(device: &Device) -> Result<Verdict> {
    runs(true)
        .iter()
        .try_fold(fused(device)?, |sum, (models, options)| Ok(sum.and(verify(device, models, options)?)))
}

/// Runs of the mixture in two dimensions, in several sizes, each changed a little.
fn walked(device: &Device, changes: &[fn(&mut Options)]) -> Result<Verdict> {
    let mut sum = Verdict::default();
    for (i, change) in changes.iter().enumerate() {
        let mut options = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 0.5, sigma_max: 8.0 });
        (options.beta, options.steps, options.resample) = (1.4, 4, Policy::Every);
        (options.particles, options.groups) = [(257, 3), (2060, 1), (17, 40), (5, 2)][i % 4];
        change(&mut options);
        sum = sum.and(verify(device, &[mixture(2, i, true)], &options)?);
    }
    Ok(sum)
}

/// Resampling by a power of the weights, and inside a window of slots.
fn chosen(device: &Device) -> Result<Verdict> {
    walked(
        device,
        &[
            |o| o.temper = 0.5,
            |o| (o.partial, o.resample) = (0.3, Policy::Ess(0.9)),
            |o| o.temper = 0.8,
            |o| o.partial = 0.01,
        ],
    )
}

/// Increments cut at a quantile, centred, cut to an interval.
fn milder(device: &Device) -> Result<Verdict> {
    walked(
        device,
        &[
            |o| o.quantile = Some(0.9),
            |o| o.centre = true,
            |o| (o.centre, o.clamp, o.temper) = (true, Some(0.3), 0.5),
            |o| (o.quantile, o.centre, o.clamp, o.resample) = (Some(0.5), true, Some(1.0), Policy::Ess(0.9)),
        ],
    )
}

/// A reward whose weight is raised by the ESS.
fn climbing(device: &Device) -> Result<Verdict> {
    let mut sum = Verdict::default();
    for (i, (rule, share, scale, drift)) in
        [(Rule::Trap, 0.6, 1.5, None), (Rule::Exact, 0.9, -0.3, Some(1.25))].into_iter().enumerate()
    {
        let mut options = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 0.5, sigma_max: 8.0 });
        (options.rule, options.steps, options.resample) = (rule, 5, Policy::Ess(0.95));
        (options.particles, options.groups) = [(257, 3), (2060, 1)][i];
        options.reward = Some(Reward { scale, growth: Growth::Ess(share), drift });
        sum = sum.and(verify(device, &[mixture(2, i, true), mixture(2, i + 7, true)], &options)?);
    }
    Ok(sum)
}

/// Birth and death, drawn anew and by the clock.
fn jumped(device: &Device) -> Result<Verdict> {
    walked(
        device,
        &[
            |o| o.scheme = Scheme::BirthDeath,
            |o| o.scheme = Scheme::Clock,
            |o| o.scheme = Scheme::Clock,
            |o| (o.scheme, o.resample) = (Scheme::BirthDeath, Policy::Ess(0.9)),
        ],
    )
}

/// Steps by the kernel of many steps: one at a time beside the oracles, then several in a launch, which must be the
/// same to the bit.
fn together(device: &Device) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    // Its kernel takes seconds to compile: not every run.
    for (models, options) in runs(false).into_iter().step_by(5) {
        let many = Options { at_once: 3, ..options };
        verdict = verdict
            .and(walk(device, &models, &many, usize::MAX, |run, step| run.advance_through(step..step + 1))?);
        let apart = sample(device, &models, &Options { at_once: 1, ..many.clone() }, None)?;
        let out = sample(device, &models, &many, None)?;
        let numbers = |out: &Outcome| [out.x.clone(), out.log_w.clone()].concat();
        for (i, (found, wanted)) in numbers(&out).into_iter().zip(numbers(&apart)).enumerate() {
            verdict.compare("steps: together", 0, (0, i), found, f64::from(wanted), 0.0);
        }
        for (i, (found, wanted)) in out.ancestors.iter().zip(&apart.ancestors).enumerate() {
            verdict.compare("steps: ancestors", 0, (0, i), *found, f64::from(*wanted), 0.0);
        }
    }
    Ok(verdict)
}
