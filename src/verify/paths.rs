//! Paths, and slots that follow one, beside their oracles.

use feynkac_kernels::device::Device;
use feynkac_kernels::methods::{ROW, StepCoeffs, compose};
use feynkac_kernels::models::{Twist, TwistKey};
use feynkac_kernels::passes::init::Start;
use feynkac_kernels::passes::retain::{self, Retain};
use feynkac_kernels::passes::step::oracle::Particle;
use feynkac_kernels::passes::step::oracle_twist::{Told, Twisted};
use feynkac_kernels::passes::step::{Carried, Cells, Keeps, Named};
use feynkac_kernels::passes::{Number, paths};
use feynkac_kernels::prims::state::{BLOCK, Element, Population};

use super::Verdict;
use super::passes::{fraction, population};
use crate::coeffs;
use crate::error::Result;
use crate::options::{Options, Rule};
use crate::registry::Method;
use crate::schedule::Schedule;
use crate::twist::{Chain, Task, Twisting};

const KEEPS: Keeps = Keeps {
    models: 1,
    carried: true,
    follows: false,
    ladder: false,
    estimated: 0,
    twist: None,
    handed: false,
    weighed: true,
    exact: true,
    roots: false,
    element: Element::F32,
};

/// Positions of four levels of two groups, and the paths of all their particles.
pub(super) fn traced(device: &Device) -> Result<Verdict> {
    const STEPS: usize = 3;
    let mut verdict = Verdict::default();
    for (slots, dim) in [(1, 1), (17, 3), (1025, 2)] {
        let of = Population { groups: 2, dim, ..population(device, slots, BLOCK) };
        let length = dim * of.stride();
        let rows = Cells::F32(device.empty("positions of all steps", (STEPS + 1) * length)?);
        let all: Vec<f32> = (0..(STEPS + 1) * length).map(|i| fraction(i) as f32).collect();
        for (level, x) in all.chunks(length).enumerate() {
            let x = Cells::F32(device.upload("positions", x)?);
            let from = Carried { x, ..Carried::new(device, &of, &KEEPS)? };
            paths::keep(device, &from, &rows, &KEEPS, &of, Number::Given(level))?;
        }
        let parent = |i: usize| (fraction(i + 7) * slots as f64) as u32;
        let parents: Vec<u32> = (0..STEPS * of.stride()).map(parent).collect();
        let ends: Vec<u32> = (0..2 * slots).map(|i| (i % slots) as u32).collect();
        let genealogy = device.upload("genealogy", &parents)?;
        let out = paths::trace(device, &rows, &genealogy, &ends, &KEEPS, &of, STEPS)?;
        let out = device.download(&out)?;
        for (path, &end) in ends.iter().enumerate() {
            let g = path / slots;
            let own = |step: usize| parents[step * of.stride() + g * of.padded()..][..slots].to_vec();
            let own: Vec<Vec<u32>> = (0..STEPS).map(own).collect();
            for (level, slot) in paths::oracle::slots(&own, end as usize).into_iter().enumerate() {
                for k in 0..dim {
                    let cell = of.cell(device.layout(), dim, k, g * of.padded() + slot);
                    let found = out[(level * ends.len() + path) * dim + k];
                    let wanted = f64::from(all[level * length + cell]);
                    verdict.compare("paths", level, (g, end as usize), found, wanted, 0.0);
                }
            }
        }
    }
    Ok(verdict)
}

/// The coefficients of four steps by the exact rule, or of a twisted chain.
fn four_steps(dim: usize, twist: Option<TwistKey>) -> Result<Vec<StepCoeffs>> {
    let method = if twist.is_some() { Method::Tds } else { Method::FkcAnneal };
    let mut options = Options::new(method, Schedule::Ve { sigma_min: 0.1, sigma_max: 10.0 });
    options.steps = 4;
    if let Some(twist) = twist {
        let task = Task::Reward { slope: vec![1.0; dim], curvature: vec![0.0; dim], centre: vec![0.0; dim] };
        let usual = Twisting { lean: 0.7, proposal_variance: 1.3, ..Twisting::new(task) };
        let range = twist.ranged.then_some((-0.4, 0.3));
        let chain = if twist.broad { Chain::Learned } else { usual.chain };
        options.twisting = Some(Twisting { range, chain, ..usual });
    } else {
        (options.beta, options.rule) = (1.5, Rule::Exact);
    }
    coeffs::steps(&options, &coeffs::levels(&options)?, dim)
}

/// Slot 0 of three groups at the start and after a step, where it is and what it weighs; the others stay.
pub(super) fn retained(device: &Device) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let sizes = [(1, 1), (33, 2), (257, 5)];
    let twisted = |beyond: bool| {
        let (ranged, broad) = (beyond, beyond);
        let twist = TwistKey { twist: Twist::Separable, pins: false, steers: None, ranged, broad };
        Keeps { exact: false, twist: Some(twist), ..KEEPS }
    };
    for (keeps, (slots, dim)) in
        [KEEPS, twisted(false), twisted(true)].into_iter().flat_map(|keeps| sizes.map(|of| (keeps, of)))
    {
        let of = Population { groups: 3, dim, ..population(device, slots, BLOCK) };
        let steps = four_steps(dim, keeps.twist)?;
        let numbers = |seed: usize, len: usize| -> Vec<f32> {
            (0..len).map(|i| 2.0 * fraction(i + 31 * seed) as f32 - 1.0).collect()
        };
        let (cells, rows) = (dim * of.stride(), keeps.carried_rows(dim));
        let held = [
            numbers(1, cells),
            numbers(2, rows * of.stride()),
            numbers(3, of.stride()),
            numbers(4, of.stride()),
        ];
        let carried = |seed: usize| -> Result<Carried> {
            Ok(Carried {
                x: Cells::F32(device.upload("positions", &numbers(seed, cells))?),
                scores: Cells::F32(device.upload("scores", &held[1])?),
                log_w: device.upload("log-weights", &held[2])?,
                log_p: device.upload("log-densities", &held[3])?,
                ..Carried::new(device, &of, &keeps)?
            })
        };
        let start = Start { mean: vec![0.25; dim], std: 3.0, weighted: true, offset: 0.5, first: Vec::new() };
        let path = numbers(5, 5 * of.groups * dim);
        let table: Vec<f32> = steps.iter().flat_map(|c| c.row()).collect();
        debug_assert_eq!(table.len(), ROW * steps.len());
        let decisions = [0.0_f32, 1.0, 0.0];
        let norms: Vec<f32> = decisions.iter().flat_map(|d| [0.0, 1.0, 1.0, *d]).collect();
        let (before, after) = (carried(1)?, carried(6)?);
        let retain = Retain {
            path: &device.upload("path", &path)?,
            before: &before,
            after: &after,
            keeps,
            rows: &device.empty("rows", 1)?,
            outside: false,
            norms: &device.upload("group records", &norms)?,
            coeffs: &device.upload("coefficients", &table)?,
            start: &start,
            of: &of,
        };
        for step in [None, Some(2)] {
            match step {
                None => retain.begin(device)?,
                Some(step) if keeps.exact => retain.launch(device, Named::Compose, Some(step))?,
                Some(step) => retain.launch(device, Named::Plain, Some(step))?,
            }
            let level = step.map_or(0, |step| step + 1);
            let (x, log_w) = (after.x.download(device)?, device.download(&after.log_w)?);
            for (g, decision) in decisions.iter().enumerate() {
                let base = g * of.padded();
                let cell = |k: usize, slot: usize| of.cell(device.layout(), dim, k, base + slot);
                let own = &path[(level * of.groups + g) * dim..][..dim];
                let to: Vec<f64> = own.iter().map(|x| f64::from(*x)).collect();
                let at =
                    |values: &[f32]| (0..dim).map(|k| f64::from(values[cell(k, 0)])).collect::<Vec<f64>>();
                let wanted = match step {
                    None => retain::oracle::begin(&start, &to),
                    Some(step) => {
                        let old = if *decision > 0.5 { 0.0 } else { f64::from(held[2][base]) };
                        let log_p = f64::from(held[3][base]);
                        let carried = |first: usize| -> Vec<f64> {
                            let cell = |k: usize| of.cell(device.layout(), rows, first + k, base);
                            (0..dim).map(|k| f64::from(held[1][cell(k)])).collect()
                        };
                        let (x, score, c) = (at(&numbers(1, cells)), carried(0), &steps[step]);
                        if keeps.exact {
                            let (scores, log_q) = (vec![score], Vec::new());
                            let parent = Particle { x, scores, log_w: old, log_p, log_q };
                            let z = retain::oracle::noise(&parent, &to, c, compose::oracle::LAW);
                            old - log_p + 0.5 * z.iter().map(|z| z * z).sum::<f64>()
                        } else {
                            let told = Told { score, pull: carried(dim), log_psi: log_p };
                            let said = if rows > 2 * dim { carried(2 * dim) } else { Vec::new() };
                            retain::oracle::twisted(&Twisted { x, told, log_w: old }, &to, c, &said)
                        }
                    }
                };
                for (k, wanted) in to.iter().enumerate() {
                    verdict.compare("retain: positions", level, (g, 0), x[cell(k, 0)], *wanted, 0.0);
                }
                // A handful of roundings of each square, of numbers that may be some times larger before a difference.
                let allowed = 2.0e-5 * (1.0 + wanted.abs());
                verdict.compare("retain: log-weights", level, (g, 0), log_w[base], wanted, allowed);
                let others = numbers(6, cells);
                for slot in 1..slots {
                    let wanted = f64::from(held[2][base + slot]);
                    verdict.compare("retain: the others", level, (g, slot), log_w[base + slot], wanted, 0.0);
                    let (found, wanted) = (x[cell(0, slot)], f64::from(others[cell(0, slot)]));
                    verdict.compare("retain: the others", level, (g, slot), found, wanted, 0.0);
                }
            }
        }
    }
    Ok(verdict)
}
