//! What comes around resampling: weights to resample by that are not the particles' own, changed increments, birth and
//! death, genealogies: docs/maths.md (3.1), (3.2), (6.3).

use feynkac_kernels::device::{Buf, Device};
use feynkac_kernels::methods::{ESS_SHARE, ROW};
use feynkac_kernels::passes::increments::{Increments, Milder};
use feynkac_kernels::passes::jumps::Jumps;
use feynkac_kernels::passes::ladder::RUNG;
use feynkac_kernels::passes::priority::{ORDER, Priority};
use feynkac_kernels::passes::resample::Resampling;
use feynkac_kernels::passes::step::Carried;
use feynkac_kernels::passes::weights::RECORD;
use feynkac_kernels::passes::{Number, genealogy, paths};
use feynkac_kernels::prims::state::Population;

use super::Run;
use crate::coeffs::weighs;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::plan::Pass;
use crate::registry::Scheme;

/// Priorities or births, with records of their own: one cell each where there are none.
#[derive(Debug)]
pub struct Chosen {
    /// There are.
    pub used: bool,
    /// Logarithms of the priorities `[stride]`; weight zero in groups that are not resampled.
    pub priorities: Buf<f32>,
    /// Log-weights that particles hand on to their offspring `[stride]`; deaths beside births.
    pub handed: Buf<f32>,
    /// What is left of each slot's clock `[stride]`.
    pub clocks: Buf<f32>,
    /// Means that were taken off increments, `[rows, groups]`.
    pub centres: Buf<f32>,
    /// Weights of the reward, `[rows + 1, groups, 2]`, where the ESS says how far they go: at first 0.
    pub rungs: Buf<f32>,
    /// Log-weights of all rows, before any resampling, `[rows, stride]`, where they are kept.
    pub log_weights: Buf<f32>,
    /// Group records of the priorities.
    pub norms: Buf<f32>,
    table: Buf<u32>,
    coeffs: Buf<f32>,
    blocks: Buf<u32>,
    history: Buf<f32>,
}

/// What row `row` of `rows` resamples by: a power of the weights; first slot and number of slots of its window. Windows
/// follow each other through a group of `slots`, the last one ending with it. What ends a run is resampled by the weights.
pub fn order(options: &Options, row: usize, rows: usize, slots: usize) -> (f64, usize, usize) {
    if row + 1 == rows {
        return (1.0, 0, slots);
    }
    let count = ((options.partial * slots as f64).ceil() as usize).clamp(1, slots);
    let windows = slots.div_ceil(count);
    (options.temper, (row % windows * count).min(slots - count), count)
}

impl Chosen {
    pub(super) fn new(device: &Device, options: &Options, of: &Population, rows: usize) -> Result<Self> {
        let used = weighs(options) && (options.priorities() || options.scheme.jumps());
        let cells = |wanted: usize| if used { wanted } else { 1 };
        let clocks = if options.scheme == Scheme::Clock { cells(of.stride()) } else { 1 };
        let centres = if options.milder() { rows * of.groups } else { 1 };
        let rungs = if options.climbs() { RUNG * (rows + 1) * of.groups } else { 1 };
        let kept = if options.keeps_weights() { rows * of.stride() } else { 1 };
        let rows = cells(rows);
        let table: Vec<u32> = (0..rows)
            .flat_map(|row| {
                let (power, first, count) = order(options, row, rows, of.slots);
                [(power as f32).to_bits(), first as u32, count as u32, 0]
            })
            .collect();
        debug_assert_eq!(table.len(), ORDER * rows);
        // Groups that are not to be resampled have no priorities: the others always are.
        let mut always = vec![0.0_f32; ROW * rows];
        always.iter_mut().skip(ESS_SHARE).step_by(ROW).for_each(|share| *share = 2.0);
        Ok(Self {
            used,
            clocks: device.empty("clocks", clocks)?,
            centres: device.empty("centres", centres)?,
            rungs: device.upload("weights of the reward", &vec![0.0_f32; rungs])?,
            log_weights: device.empty("log-weights of all steps", kept)?,
            priorities: device.empty("priorities", cells(of.stride()))?,
            handed: device.empty("priorities", cells(of.stride()))?,
            norms: device.upload("priorities", &vec![0.0_f32; RECORD * of.groups])?,
            table: device.upload("priorities", &table)?,
            coeffs: device.upload("priorities", &always)?,
            blocks: device.empty("priorities", cells(RECORD * of.groups * of.blocks()))?,
            history: device.empty("priorities", cells(RECORD * of.groups * rows))?,
        })
    }

    /// Bytes of all.
    pub fn bytes(&self) -> u64 {
        let numbers =
            [&self.priorities, &self.handed, &self.clocks, &self.norms, &self.coeffs, &self.history];
        let words = [&self.table, &self.blocks];
        numbers.map(Buf::bytes).iter().sum::<u64>() + words.map(Buf::bytes).iter().sum::<u64>()
    }
}

impl Run<'_> {
    /// Launches a pass that comes around resampling; others are none of its business.
    pub(super) fn around(&self, pass: Pass, before: &Carried, after: &Carried, number: Number) -> Result<()> {
        let device = self.device;
        match pass {
            Pass::Ladder => match self.climb(after) {
                Some(climb) => climb.launch(device, number)?,
                None => return Err(Error::input("reward", "no ladder", "a weight that the ESS raises")),
            },
            Pass::Increments => self.increments(before, after).launch(device, number)?,
            Pass::Priority => self.priority(after).launch(device, number)?,
            Pass::Births => self.jumps(after).launch_births(device, number)?,
            Pass::Deaths => self.jumps(after).launch_deaths(device, number)?,
            Pass::Genealogy => {
                genealogy::record(device, &self.ancestors, &self.norms, &self.genealogy, &self.of, number)?;
            }
            Pass::Tails => {
                let (log_w, rows) = (&after.log_w, &self.chosen.log_weights);
                paths::keep_weights(device, log_w, rows, &before.clock, &self.of, number)?;
            }
            _ => (),
        }
        Ok(())
    }

    fn increments<'b>(&'b self, before: &'b Carried, after: &'b Carried) -> Increments<'b> {
        let options = self.options;
        Increments {
            milder: Milder {
                quantile: options.quantile.map(|share| share as f32),
                centre: options.centre,
                clamp: options.clamp.map(|most| most as f32),
            },
            before: &before.log_w,
            after: &after.log_w,
            handed: self.plan.keeps.handed.then_some(&self.chosen.handed),
            ancestors: &self.ancestors,
            norms: &self.norms,
            records: &self.blocks,
            centres: &self.chosen.centres,
            of: &self.of,
        }
    }

    fn jumps<'b>(&'b self, after: &'b Carried) -> Jumps<'b> {
        let chosen = &self.chosen;
        Jumps {
            log_w: &after.log_w,
            records: &self.blocks,
            coeffs: &self.table,
            norms: &self.norms,
            history: &self.history,
            priorities: &chosen.priorities,
            deficits: &chosen.handed,
            own_records: &chosen.blocks,
            seeds: &self.keys,
            ancestors: &self.ancestors,
            clocks: (self.options.scheme == Scheme::Clock).then_some(&chosen.clocks),
            of: &self.of,
        }
    }

    fn priority<'b>(&'b self, after: &'b Carried) -> Priority<'b> {
        let chosen = &self.chosen;
        Priority {
            log_w: &after.log_w,
            records: &self.blocks,
            coeffs: &self.table,
            table: &chosen.table,
            norms: &self.norms,
            history: &self.history,
            priorities: &chosen.priorities,
            handed: &chosen.handed,
            own_records: &chosen.blocks,
            of: &self.of,
        }
    }

    /// `usual`, by the priorities where there are any.
    pub(super) fn by_priority<'b>(&'b self, usual: Resampling<'b>) -> Resampling<'b> {
        if !self.chosen.used {
            return usual;
        }
        let chosen = &self.chosen;
        Resampling {
            values: &chosen.priorities,
            records: &chosen.blocks,
            coeffs: &chosen.coeffs,
            norms: &chosen.norms,
            history: &chosen.history,
            ..usual
        }
    }

    /// Records of what all rows resampled by, as [`Self::records`] has those of the weights; the same where these are it.
    pub fn records_chosen(&self) -> Result<Vec<[f32; RECORD]>> {
        if !self.plan.keeps.handed {
            return self.records();
        }
        self.all(&self.chosen.history)
    }

    /// Sums over all rows of the means that were taken off increments, group after group.
    pub fn centred(&self) -> Result<Vec<f64>> {
        let of = &self.of;
        if !self.plan.step.contains(&Pass::Increments) {
            return Ok(vec![0.0; of.groups]);
        }
        let flat = self.device.download(&self.chosen.centres)?;
        Ok((0..of.groups)
            .map(|g| flat.iter().skip(g).step_by(of.groups).map(|c| f64::from(*c)).sum())
            .collect())
    }

    /// Reads the records of all rows: `[row][group]` of (exponent, sum, square, decision).
    pub fn records(&self) -> Result<Vec<[f32; RECORD]>> {
        self.all(&self.history)
    }

    fn all(&self, history: &Buf<f32>) -> Result<Vec<[f32; RECORD]>> {
        let flat = self.device.download(history)?;
        Ok(flat.chunks_exact(RECORD).map(|r| [r[0], r[1], r[2], r[3]]).collect())
    }

    /// Reads the log-weights of all rows, before any resampling, `[rows, stride]`; nothing where they were not kept.
    pub fn log_weights(&self) -> Result<Vec<f32>> {
        if !self.options.keeps_weights() {
            return Ok(Vec::new());
        }
        Ok(self.device.download(&self.chosen.log_weights)?)
    }

    /// Reads the parents of all steps, their moves left out, in which nobody changes place: `[step][group][slot]` within
    /// the group; nothing where they were not kept.
    pub fn parents(&self) -> Result<Vec<u32>> {
        if !self.options.genealogy {
            return Ok(Vec::new());
        }
        let of = &self.of;
        let flat = self.device.download(&self.genealogy)?;
        let steps = (0..self.rows_of.steps()).map(|step| self.rows_of.decided(step) * of.stride());
        let groups = steps.flat_map(|row| flat[row..row + of.stride()].chunks(of.padded()));
        Ok(groups.flat_map(|group| &group[..of.slots]).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Method;
    use crate::schedule::Schedule;

    #[test]
    fn windows_by_hand() {
        let mut options = Options::new(Method::FkcAnneal, Schedule::Edm);
        assert_eq!(order(&options, 3, 9, 10), (1.0, 0, 10));
        options.partial = 0.31;
        // Four slots of ten: 0 to 3, 4 to 7, 6 to 9, and again.
        let found = [0, 1, 2, 3, 7, 8].map(|row| order(&options, row, 9, 10));
        assert_eq!(found.map(|(_, first, _)| first), [0, 4, 6, 0, 4, 0]);
        assert_eq!(found.map(|(_, _, count)| count), [4, 4, 4, 4, 4, 10]);
        assert_eq!(order(&options, 1, 9, 1), (1.0, 0, 1));
        (options.partial, options.temper) = (1.0, 0.5);
        assert_eq!([0, 8].map(|row| order(&options, row, 9, 10)), [(0.5, 0, 10), (1.0, 0, 10)]);
    }
}
