//! Check, configure, launch.

use super::kernel::survivors_kernel;
use crate::device::{Buf, Device};
use crate::error::Result;
use crate::passes::crew::{Crew, SMALL_GROUP};
use crate::passes::gather::{self, gather};
use crate::passes::resample::{Resampling, Scheme};
use crate::passes::weights::kernel::TallyKey;
use crate::passes::weights::tally;
use crate::passes::{Number, Sharing, resample};
use crate::prims::state::Population;

/// Rows `[particles, dim]`, and where those of the survivors go.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Before.
    pub rows: &'a Buf<f32>,
    /// After; another buffer.
    pub out: &'a Buf<f32>,
}

/// Resamples from weights to rows as row `step` of the coefficient table decides. A group that is not
/// resampled keeps the ancestors that are there, and its rows are theirs. One launch where resampling is
/// systematic and a group is small enough; else a launch a pass.
pub fn launch(device: &Device, of: &Resampling, rows: &Rows, step: usize) -> Result<()> {
    let population = of.of;
    let wide = !device.is_cpu() && population.slots > SMALL_GROUP;
    let drawn = of.scheme != Scheme::Systematic;
    if drawn || wide || device.max_turns().is_some_and(|most| turns(device, population) > most) {
        tally(device, of.kind, of.values, of.records, population)?;
        of.launch_copies(device, step)?;
        of.launch(device, step)?;
        return gather(device, rows.rows, of.ancestors, rows.out, population);
    }
    of.check(Number::Given(step))?;
    let lanes = gather::check(device, rows.rows, of.ancestors, rows.out, population)?;
    let groups = population.groups;
    let sharing = Sharing::of(device, population.block());
    let crew = Crew::of(device, groups, sharing.together);
    let key = TallyKey { kind: of.kind, wide: device.is_cpu(), sharing };
    survivors_kernel::launch(
        device.client(),
        crew.cubes(device, groups, sharing.units),
        sharing.dim(),
        population.lanes,
        lanes,
        of.values.arg(),
        of.records.arg(),
        of.coeffs.arg(),
        of.norms.arg(),
        of.history.arg(),
        of.seeds.arg(),
        of.ancestors.arg(),
        rows.rows.arg_of(lanes),
        rows.out.arg_of(lanes),
        population.arg(),
        step as u32,
        (population.dim / lanes) as u32,
        crew,
        key,
    );
    let mut work = resample::work(population);
    work.read += 4 * population.stride() as u64 + gather::work(population).read;
    work.written += of.records.bytes() + gather::work(population).written;
    device.launched(work)
}

/// Turns of the loops of one unit: at most as many as resampling takes in [`crate::passes::steps`], and the
/// pieces of rows.
fn turns(device: &Device, of: &Population) -> u64 {
    let units = Sharing::of(device, of.block()).units as usize;
    let own = (of.padded().div_ceil(units) * (of.dim + 64) + 128 * (of.blocks() + 1)) as u64;
    of.groups.div_ceil(65_535) as u64 * own
}
