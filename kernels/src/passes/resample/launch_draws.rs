//! Launches of the drawn schemes.

use super::kernel_copies::{copies_kernel, copies_serial_kernel};
use super::kernel_draws::{Draw, DrawKey};
use super::kernel_draws_cube::{POINTS, draw_kernel};
use super::kernel_draws_serial::draw_serial_kernel;
use super::kernel_lay::EACH;
use super::launch::Resampling;
use super::scheme::{MOST_CHAIN_STEPS, Scheme, TRIALS, depth};
use crate::device::Device;
use crate::error::{Result, argument};
use crate::passes::weights::RECORD;
use crate::passes::{Number, Sharing, Work};
use crate::prims::state::Population;

/// The code of a scheme and its steps; nothing for systematic resampling.
fn draw(scheme: Scheme) -> Option<(Draw, u32)> {
    Some(match scheme {
        Scheme::Systematic => return None,
        Scheme::Stratified => (Draw::Stratified, 0),
        Scheme::Multinomial => (Draw::Multinomial, 0),
        Scheme::Residual => (Draw::Residual, 0),
        Scheme::Metropolis(steps) => (Draw::Metropolis, steps),
        Scheme::Megopolis(steps) => (Draw::Megopolis, steps),
        Scheme::Rejection => (Draw::Rejection, TRIALS),
        Scheme::ConditionalMultinomial => (Draw::ConditionalMultinomial, 0),
        Scheme::ConditionalSystematic => (Draw::ConditionalSystematic, 0),
    })
}

/// Turns of all loops of one unit for an item, at most.
fn turns(draw: Draw, of: &Population, sharing: Sharing, steps: u32) -> u64 {
    let (blocks, block, units) = (of.blocks() as u64, of.block() as u64, u64::from(sharing.units));
    let levels = u64::from(sharing.units.next_power_of_two().trailing_zeros()) + 1;
    let group = 2 * (blocks / units + 1) + 4 * levels;
    let slots = block.div_ceil(units);
    let item = match draw {
        Draw::Metropolis | Draw::Megopolis => slots * (u64::from(steps) + 1),
        Draw::Rejection => slots * (u64::from(TRIALS) + blocks + block + 1),
        _ => {
            // Every block of the group, once, and a tree of fair bits.
            let scans = if draw == Draw::Residual { 3 } else { 2 };
            let turn = 1 + scans * levels;
            let search = blocks * (block.div_ceil(u64::from(EACH) * units) * turn + levels);
            let tree = u64::from(depth(of.slots)) * (levels + 1) + of.slots as u64 / (64 * units);
            let found = u64::from(POINTS) * (10 + 2 * levels) + levels;
            (search + found) * if draw == Draw::Residual { 2 } else { 1 } + tree
        }
    };
    group + item
}

impl Resampling<'_> {
    fn key(&self, device: &Device) -> Result<Option<(DrawKey, u32)>> {
        let of = self.of;
        let Some((draw, steps)) = draw(self.scheme) else { return Ok(None) };
        if steps > MOST_CHAIN_STEPS || steps == 0 && !draw.searches() {
            return Err(argument(
                "steps of the resampling scheme",
                steps,
                format!("1 to {MOST_CHAIN_STEPS}"),
            ));
        }
        let key = DrawKey { draw, tally: self.tally(device) };
        let items = of.groups * if draw.searches() { 1 << depth(of.slots) } else { of.blocks() };
        let rounds = items.div_ceil(65_535) as u64;
        let turns = rounds * turns(draw, of, key.tally.sharing, steps);
        if let Some(most) = device.max_turns().filter(|most| turns > *most) {
            let what = "loop turns of the resampling scheme";
            return Err(argument(what, turns, format!("at most {most} on this software Vulkan driver")));
        }
        if draw == Draw::Residual && self.parts.len() < RECORD * of.groups * of.blocks() {
            return Err(argument("records of parts", self.parts.len(), RECORD * of.groups * of.blocks()));
        }
        Ok(Some((key, steps)))
    }

    /// What residual resampling needs first: the whole copies of every block, and what is left. Nothing for
    /// other schemes.
    pub fn launch_copies<'b>(&'b self, device: &Device, step: impl Into<Number<'b>>) -> Result<()> {
        let step = step.into();
        self.check(step)?;
        let Some((key, _)) = self.key(device)?.filter(|(key, _)| key.draw == Draw::Residual) else {
            return Ok(());
        };
        let (sharing, of) = (key.tally.sharing, self.of);
        let (values, records, parts) = (self.values.arg(), self.records.arg(), self.parts.arg());
        let (coeffs, shape) = (self.coeffs.arg(), of.arg());
        let (clock, step) = (step.cell(self.seeds).arg(), step.word());
        let (client, dim) = (device.client(), sharing.dim());
        let cubes = sharing.cubes(device, of.groups * of.blocks());
        if sharing.together {
            copies_kernel::launch(
                client, cubes, dim, values, records, parts, coeffs, clock, shape, step, key,
            );
        } else {
            let lanes = of.lanes;
            copies_serial_kernel::launch(
                client, cubes, dim, lanes, values, records, parts, coeffs, clock, shape, step, key,
            );
        }
        device.launched(work_copies(of))
    }

    /// Launches a drawn scheme; false where it is none.
    pub(super) fn launch_drawn(&self, device: &Device, step: Number) -> Result<bool> {
        let Some((key, steps)) = self.key(device)? else { return Ok(false) };
        let (sharing, of) = (key.tally.sharing, self.of);
        let (values, records, parts) = (self.values.arg(), self.records.arg(), self.parts.arg());
        let (coeffs, norms, history) = (self.coeffs.arg(), self.norms.arg(), self.history.arg());
        let (seeds, ancestors, shape) = (self.seeds.arg(), self.ancestors.arg(), of.arg());
        let (client, dim) = (device.client(), sharing.dim());
        let (clock, step) = (step.cell(self.seeds).arg(), step.word());
        let depth = depth(of.slots);
        let items = if key.draw.searches() { 1 << depth } else { of.blocks() };
        if sharing.together {
            let cubes = sharing.cubes(device, of.groups * items);
            draw_kernel::launch(
                client, cubes, dim, values, records, parts, coeffs, norms, history, seeds, ancestors, clock,
                shape, step, steps, depth, key,
            );
        } else {
            // Few groups are cut up for the threads; many are not.
            let units = device.units() as usize;
            let vectors = of.padded() / of.lanes;
            let most = if key.draw.searches() { items } else { vectors };
            let pieces = if of.groups >= 8 * units { 1 } else { units.min(most) };
            let cubes = sharing.cubes(device, of.groups * pieces);
            draw_serial_kernel::launch(
                client,
                cubes,
                dim,
                of.lanes,
                values,
                records,
                parts,
                coeffs,
                norms,
                history,
                seeds,
                ancestors,
                clock,
                shape,
                step,
                steps,
                depth,
                pieces as u32,
                key,
            );
        }
        Ok(true)
    }
}

/// Bytes of [`Resampling::launch_copies`].
pub fn work_copies(of: &Population) -> Work {
    let records = 4 * (RECORD * of.groups * of.blocks()) as u64;
    Work { read: 4 * of.stride() as u64 + records, written: records }
}
