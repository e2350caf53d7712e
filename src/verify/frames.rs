//! Walks of frames, and the atoms that frames place, beside plain loops.

use feynkac_kernels::device::Device;
use feynkac_kernels::models::igso3::SERIES_FROM;
use feynkac_kernels::models::igso3::angles::{Angles, normal_density};
use feynkac_kernels::models::igso3::oracle::{angle_density, density, pull};
use feynkac_kernels::passes::frames::{FRAME, First, Level, Prior, Walk, oracle, place, step_numbers};
use feynkac_kernels::prims::philox::oracle::{Stream, normal};
use feynkac_kernels::prims::philox::{purpose, tag};
use feynkac_kernels::prims::so3::oracle::{angle, uniform};
use feynkac_kernels::prims::state::{BLOCK, Population};

use super::passes::{fraction, population};
use super::{EPS, Verdict};
use crate::error::Result;

/// What a normal may be off by: docs/maths.md (2).
pub(super) const NORMAL: f64 = 4.0e-6;
pub(super) const SEEDS: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98];

/// Frames of several variances; the last is a point.
fn priors(frames: usize) -> Vec<Prior> {
    let some = |i: usize| 4.0 * fraction(i) - 2.0;
    let one = |f: usize| Prior {
        rotation: uniform([1, 2, 3, 4].map(|k| some(4 * f + k))),
        spread: if f + 1 == frames { 0.0 } else { 0.05 * f as f64 },
        position: [1, 2, 3].map(|k| some(100 + 3 * f + k)),
        variance: if f + 1 == frames { 0.0 } else { 0.3 * f as f64 },
    };
    (0..frames).map(one).collect()
}

/// From more noise than a series of characters needs to none.
pub(super) const LEVELS: [Level; 7] = [
    Level { rotation: 4.0, alpha: 0.1, sigma: 1.0 },
    Level { rotation: 1.5, alpha: 0.4, sigma: 0.9 },
    Level { rotation: 0.79, alpha: 0.7, sigma: 0.7 },
    Level { rotation: 0.3, alpha: 0.9, sigma: 0.4 },
    Level { rotation: 0.02, alpha: 0.99, sigma: 0.1 },
    Level { rotation: 0.001, alpha: 1.0, sigma: 0.01 },
    Level { rotation: 0.0, alpha: 1.0, sigma: 0.0 },
];

/// Walks from either start, and the atoms of their ends.
pub(super) fn walked(device: &Device) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for (groups, slots, frames, first, zeta) in [
        (1, 1, 1, First::Exact, 1.0),
        (2, 17, 3, First::Uniform, 1.0),
        (1, 257, 5, First::Exact, 0.5),
        (2, 1025, 2, First::Exact, 1.0),
    ] {
        let dim = FRAME * frames;
        let of = Population { groups, dim, ..population(device, slots, BLOCK) };
        one(device, &of, first, zeta, &mut verdict)?;
    }
    Ok(verdict)
}

fn one(device: &Device, of: &Population, first: First, zeta: f64, verdict: &mut Verdict) -> Result<()> {
    let priors = priors(of.dim / FRAME);
    let walk = Walk::new(device, &priors, &LEVELS, zeta, first)?;
    let words: Vec<u32> = SEEDS[..of.groups].iter().flat_map(|s| [*s as u32, (s >> 32) as u32]).collect();
    let (seeds, x) = (device.upload("seeds", &words)?, device.empty("frames", of.dim * of.stride())?);
    walk.start(device, &x, &seeds, of)?;
    let mut before = particles(&device.download(&x)?, device, of);
    let angles: Vec<Angles> = priors.iter().map(|p| Angles::new(LEVELS[0].spread(p))).collect();
    for (i, found) in before.iter().enumerate() {
        let (seed, slot) = (SEEDS[i / of.slots], i % of.slots);
        let wanted = oracle::start(&priors, &LEVELS[0], &angles, first, (seed, slot));
        for (k, (found, wanted)) in found.iter().zip(wanted).enumerate() {
            let allowed = match k % FRAME {
                0..4 => turn_slack(&priors[k / FRAME], first, (seed, slot, k / FRAME)),
                _ => 2.0 * NORMAL + 4.0 * EPS * wanted.abs(),
            };
            verdict.compare("frames: start", 0, (i, k), *found as f32, wanted, allowed);
        }
    }
    for step in 0..walk.steps() {
        walk.step(device, &x, &seeds, of, step)?;
        let after = particles(&device.download(&x)?, device, of);
        for (i, (before, after)) in before.iter().zip(&after).enumerate() {
            let at = (SEEDS[i / of.slots], i % of.slots, step);
            let wanted = oracle::step(&priors, &LEVELS, zeta, before, at);
            for (k, (found, wanted)) in after.iter().zip(wanted).enumerate() {
                let own = &before[k - k % FRAME..][..FRAME];
                let allowed = step_slack(&priors[k / FRAME], (step, zeta), own, k % FRAME);
                verdict.compare("frames: step", step, (i, k), *found as f32, wanted, allowed);
            }
        }
        before = after;
    }
    placed(device, of, &x, &before, verdict)
}

/// Rows of particles, without padding.
pub(super) fn particles(x: &[f32], device: &Device, of: &Population) -> Vec<Vec<f64>> {
    let cell = |k: usize, at: usize| f64::from(x[of.cell(device.layout(), of.dim, k, at)]);
    let slots = (0..of.groups).flat_map(|g| (0..of.slots).map(move |slot| g * of.padded() + slot));
    slots.map(|at| (0..of.dim).map(|k| cell(k, at)).collect()).collect()
}

/// What rounding can do to a quaternion that is drawn: to its angle, and to the direction of its axis.
fn turn_slack(prior: &Prior, first: First, (seed, slot, frame): (u64, usize, usize)) -> f64 {
    let stream = Stream { seed, slot: slot as u32, step: 0, tag: tag(purpose::INIT, 0) };
    let z: [f64; 4] = std::array::from_fn(|k| normal(stream, 8 * frame + k, usize::MAX));
    let size = |z: &[f64]| z.iter().map(|z| z * z).sum::<f64>().sqrt();
    let rounded = 16.0 * EPS;
    if first == First::Uniform {
        return 2.0 * NORMAL / size(&z) + rounded;
    }
    let t = LEVELS[0].spread(prior);
    let slope = normal_density(z[3]) / angle_density(Angles::new(t).quantile(z[3]), t);
    0.5 * NORMAL * slope + 2.0 * NORMAL / size(&z[..3]) + rounded
}

/// What rounding can do to number `k` of a frame in a step from `x`.
fn step_slack(prior: &Prior, (step, zeta): (usize, f64), x: &[f64], k: usize) -> f64 {
    let level = &LEVELS[step];
    let [_, drift, noise, alpha, variance, shrink, drift_x, noise_x] =
        step_numbers(level, &LEVELS[step + 1], zeta);
    if k >= 4 {
        let own = alpha * alpha * prior.variance + variance;
        let parts =
            (shrink + drift_x / own) * x[k].abs() + drift_x * alpha * prior.position[k - 4].abs() / own;
        return 8.0 * EPS * (parts + 7.0 * noise_x) + NORMAL * noise_x;
    }
    let (t, w) = (level.spread(prior), angle(prior.rotation, oracle::rotation(x)));
    let score = |w: f64| w * pull(w, t);
    let off = 8.0 * EPS;
    let (less, more) = ((w - off).max(0.0), (w + off).min(std::f64::consts::PI));
    // Where terms of the series cancel, they are as large as at angle 0.
    let cancelled = if t >= f64::from(SERIES_FROM) { w * density(1.0e-3, t) / density(w, t) } else { 0.0 };
    let score = (score(more) - score(less)).abs() + off * (score(w).abs() + w / t + cancelled);
    0.5 * (drift * score + 2.0 * NORMAL * noise) + 16.0 * EPS * (1.0 + drift / t + 7.0 * noise)
}

/// The backbone of a residue, and a point far off.
fn placed(
    device: &Device,
    of: &Population,
    x: &feynkac_kernels::device::Buf<f32>,
    frames: &[Vec<f64>],
    verdict: &mut Verdict,
) -> Result<()> {
    let local = [[-0.525, 1.363, 0.0], [0.0, 0.0, 0.0], [1.526, 0.0, 0.0], [30.0, -20.0, 10.0]];
    let numbers: Vec<f32> = local.iter().flatten().map(|x| *x as f32).collect();
    let own = device.upload("atoms of a frame", &numbers)?;
    let row = numbers.len() * of.dim / FRAME;
    let out = device.empty("placed atoms", of.particles() * row)?;
    place(device, x, &own, &out, of)?;
    let found = device.download(&out)?;
    for (i, frame) in frames.iter().enumerate() {
        for (k, wanted) in oracle::place(frame, &local).into_iter().enumerate() {
            let far = local[k / 3 % local.len()].iter().map(|x| x.abs()).sum::<f64>();
            let allowed = 8.0 * EPS * (far + wanted.abs());
            verdict.compare("frames: atoms", 0, (i, k), found[i * row + k], wanted, allowed);
        }
    }
    Ok(())
}
