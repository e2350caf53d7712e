//! Paths of particles, and sweeps of particle Gibbs that refine them: docs/maths.md (12).

use std::ops::Range;

use feynkac_kernels::device::{Buf, Device};
use feynkac_kernels::passes::retain::Retain;
use feynkac_kernels::passes::step::Carried;
use feynkac_kernels::passes::{Number, paths};
use feynkac_kernels::prims::philox::oracle::{Stream, words};
use feynkac_kernels::prims::philox::{purpose, tag};

use super::Run;
use super::outcome::check_records;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::options::Options;
use crate::plan::{Pass, Plan};
use crate::trust::normalised;

/// What sweeps of particle Gibbs came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Refined {
    /// Sweeps.
    pub sweeps: usize,
    /// Independent chains, one a group.
    pub groups: usize,
    /// Coordinates.
    pub dim: usize,
    /// Where the chains are at the last noise level, `[sweeps + 1, groups, dim]`: as drawn from the run, then after each
    /// sweep.
    pub x: Vec<f32>,
    /// How often a sweep changed where the path is, by noise level `[steps + 1]`: a share of sweeps and groups. Near 0,
    /// the chain does not move there.
    pub renewed: Vec<f64>,
}

impl Refined {
    /// Adds the groups of another run of as many sweeps and steps.
    pub(super) fn append(&mut self, more: &Self) {
        let [own, other] = [self.groups, more.groups].map(|groups| groups * self.dim);
        let rows = self.x.chunks(own).zip(more.x.chunks(other));
        self.x = rows.flat_map(|(own, other)| own.iter().chain(other)).copied().collect();
        let [a, b] = [self.groups as f64, more.groups as f64];
        self.renewed.iter_mut().zip(&more.renewed).for_each(|(r, s)| *r = (a * *r + b * s) / (a + b));
        self.groups += more.groups;
    }
}

/// Seed of sweep `sweep`, from 1 on, of a group whose own is `seed`: docs/maths.md (2j).
pub(super) fn sweep_seed(seed: u64, sweep: usize) -> u64 {
    super::group_seed(seed ^ 0xa076_1d64_78bd_642f, sweep)
}

impl<'a> Run<'a> {
    /// Sweep `sweep`, from 1 on, of particle Gibbs: a run of which slot 0 of each group follows `path`
    /// `[steps + 1, groups, dim]`, given that it does. Its evidence is not unbiased.
    pub fn retaining(
        device: &'a Device,
        models: &'a [Model],
        options: &'a Options,
        groups: Range<usize>,
        sweep: usize,
        path: Buf<f32>,
    ) -> Result<Self> {
        let plan = Plan::retaining(options, models)?;
        let mut run = Self::planned(device, models, options, groups, plan)?;
        let wanted = (run.coeffs.len() + 1) * run.of.groups * run.of.dim;
        if path.len() != wanted {
            return Err(Error::input("numbers of a path", path.len(), wanted));
        }
        for seed in &mut run.seeds {
            *seed = sweep_seed(*seed, sweep);
        }
        let keys: Vec<u32> = run.seeds.iter().flat_map(|s| [*s as u32, (s >> 32) as u32]).collect();
        run.keys = device.upload("seeds", &keys)?;
        run.path = Some(path);
        Ok(run)
    }

    /// [`Pass::Positions`] and [`Pass::Retain`], as [`Run::put`] launches them. Level 0 is the start.
    pub(super) fn follow_paths(
        &self,
        pass: Pass,
        before: &Carried,
        after: &Carried,
        step: usize,
        level: Option<usize>,
    ) -> Result<()> {
        let (device, begins) = (self.device, level == Some(0));
        if pass == Pass::Positions {
            let Some(positions) = &self.positions else { return Ok(()) };
            let from = if begins { before } else { after };
            let number = level.map_or(Number::Kept(&after.clock), Number::Given);
            return Ok(paths::keep(device, from, positions, &self.plan.keeps, &self.of, number)?);
        }
        let Some(path) = &self.path else { return Ok(()) };
        let (from, to) = if begins { (after, before) } else { (before, after) };
        let retain = Retain {
            path,
            before: from,
            after: to,
            keeps: self.plan.keeps,
            rows: &self.rows,
            outside: self.plan.outside,
            norms: &self.norms,
            coeffs: &self.table,
            start: &self.start,
            of: &self.of,
        };
        if begins {
            return Ok(retain.begin(device)?);
        }
        Ok(retain.launch(device, self.options.kernel(), level.map(|_| step))?)
    }

    /// Positions `[steps + 1, ends, dim]` along the paths that end in the slots `ends`, as many of each group.
    pub fn trace(&self, ends: &[u32]) -> Result<Buf<f32>> {
        let Some(positions) = &self.positions else {
            return Err(Error::input("positions of all steps", "none", "a run that keeps them"));
        };
        let (keeps, steps) = (&self.plan.keeps, self.coeffs.len());
        Ok(paths::trace(self.device, positions, &self.genealogy, ends, keeps, &self.of, steps)?)
    }

    /// A particle of each group, drawn by the weights of the last step.
    pub fn choose(&self) -> Result<Vec<u32>> {
        let log_w = self.device.download(&self.last().log_w)?;
        let of = &self.of;
        let step = self.coeffs.len() as u32;
        let chosen = self.seeds.iter().zip(log_w.chunks(of.padded())).map(|(&seed, log_w)| {
            let own: Vec<f64> = log_w[..of.slots].iter().map(|l| f64::from(*l)).collect();
            let word = words(Stream { seed, slot: 0, step, tag: tag(purpose::FINAL, 0) }, 0);
            let u = (f64::from(word[0]) + (f64::from(word[1]) + 0.5) * 2.0_f64.powi(-32)) * 2.0_f64.powi(-32);
            pick(&normalised(&own), u)
        });
        Ok(chosen.collect())
    }

    /// Goes through all steps.
    fn finish(&self) -> Result<()> {
        let done = self.open()?;
        self.advance_through(done..self.coeffs.len())?;
        check_records(self, &self.records()?)
    }

    /// [`Options::refine`] sweeps after this run.
    pub(super) fn refine(self) -> Result<Refined> {
        let (device, options, models) = (self.device, self.options, self.models);
        let (of, levels) = (self.of, self.levels.len());
        let groups = self.first_group..self.first_group + of.groups;
        let row = of.groups * of.dim;
        let mut path = self.trace(&self.choose()?)?;
        let mut at = device.download(&path)?;
        let mut x = at[(levels - 1) * row..].to_vec();
        let mut renewed = vec![0_usize; levels];
        drop(self);
        for sweep in 1..=options.refine {
            let run = Run::retaining(device, models, options, groups.clone(), sweep, path)?;
            run.finish()?;
            path = run.trace(&run.choose()?)?;
            let next = device.download(&path)?;
            for (level, count) in renewed.iter_mut().enumerate() {
                let moved = |g: &usize| {
                    let own = level * row + g * of.dim..level * row + (g + 1) * of.dim;
                    at[own.clone()] != next[own]
                };
                *count += (0..of.groups).filter(moved).count();
            }
            x.extend(&next[(levels - 1) * row..]);
            at = next;
        }
        let all = (options.refine * of.groups) as f64;
        let renewed = renewed.iter().map(|&count| count as f64 / all).collect();
        Ok(Refined { sweeps: options.refine, groups: of.groups, dim: of.dim, x, renewed })
    }
}

/// The first whose running sum exceeds `u`; weights sum to one.
fn pick(weights: &[f64], u: f64) -> u32 {
    let mut through = 0.0;
    for (i, w) in weights.iter().enumerate() {
        through += w;
        if u < through {
            return i as u32;
        }
    }
    // What rounding left belongs to the last that weighs anything.
    weights.iter().rposition(|w| *w > 0.0).unwrap_or(0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_picked_by_its_weight() {
        let weights = [0.0, 0.25, 0.5, 0.25, 0.0];
        for (u, wanted) in [(0.0, 1), (0.2499, 1), (0.25, 2), (0.7499, 2), (0.75, 3), (1.0, 3)] {
            assert_eq!(pick(&weights, u), wanted, "{u}");
        }
    }

    #[test]
    fn sweeps_have_seeds_of_their_own() {
        let mut all: Vec<u64> = (0..50)
            .flat_map(|g| (1..50).map(move |s| sweep_seed(super::super::group_seed(7, g), s)))
            .collect();
        all.extend((0..2500).map(|g| super::super::group_seed(7, g)));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 50 * 49 + 2500);
    }

    #[test]
    fn groups_are_joined() {
        let of = |groups: usize, x: &[f32], renewed: f64| Refined {
            sweeps: 1,
            groups,
            dim: 1,
            x: x.to_vec(),
            renewed: vec![renewed; 3],
        };
        let mut all = of(2, &[0.0, 1.0, 10.0, 11.0], 0.5);
        all.append(&of(1, &[2.0, 12.0], 0.2));
        assert_eq!(all.x, [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]);
        assert!((all.renewed[0] - 0.4).abs() < 1.0e-12 && all.groups == 3);
    }
}
