//! Weights to resample by that are not the particles' own: docs/maths.md (3.1).

use feynkac_kernels::device::{Buf, Device};
use feynkac_kernels::methods::{ESS_SHARE, ROW};
use feynkac_kernels::passes::priority::{ORDER, Priority};
use feynkac_kernels::passes::resample::Resampling;
use feynkac_kernels::passes::step::Carried;
use feynkac_kernels::passes::weights::RECORD;
use feynkac_kernels::prims::state::Population;

use super::Run;
use crate::error::Result;
use crate::options::Options;

/// Priorities, with records of their own: one cell each where there are none.
#[derive(Debug)]
pub struct Chosen {
    /// Logarithms of the priorities `[stride]`; weight zero in groups that are not resampled.
    pub priorities: Buf<f32>,
    /// Log-weights that particles hand on to their offspring `[stride]`.
    pub handed: Buf<f32>,
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
        let used = options.priorities();
        let cells = |wanted: usize| if used { wanted } else { 1 };
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
        let numbers = [&self.priorities, &self.handed, &self.norms, &self.coeffs, &self.history];
        let words = [&self.table, &self.blocks];
        numbers.map(Buf::bytes).iter().sum::<u64>() + words.map(Buf::bytes).iter().sum::<u64>()
    }
}

impl Run<'_> {
    pub(super) fn priority<'b>(&'b self, after: &'b Carried) -> Priority<'b> {
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
        if !self.plan.keeps.handed {
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
        let flat = self.device.download(&self.chosen.history)?;
        Ok(flat.chunks_exact(RECORD).map(|r| [r[0], r[1], r[2], r[3]]).collect())
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
