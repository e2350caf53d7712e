//! Weights from elsewhere, and everything that resampling them binds.

use super::launch::Resampling;
use super::scheme::Scheme;
use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::methods::{ESS_SHARE, ROW};
use crate::passes::weights::{RECORD, Weights, tally};
use crate::prims::state::Population;

/// Groups that are resampled once, or again and again, as step 0 of a run of their own.
#[derive(Debug)]
pub struct Alone {
    /// Sizes.
    pub of: Population,
    /// Parents within the group, `[stride]`; `u32::MAX` until there are any.
    pub ancestors: Buf<u32>,
    /// Group records.
    pub norms: Buf<f32>,
    scheme: Scheme,
    kind: Weights,
    values: Buf<f32>,
    records: Buf<u32>,
    parts: Buf<u32>,
    coeffs: Buf<f32>,
    history: Buf<f32>,
    seeds: Buf<u32>,
}

impl Alone {
    /// Groups of `of` with the weights or log-weights `values` `[stride]` and a seed each, resampled where
    /// their ESS is below `share` of the particles: 2 is always.
    pub fn new(
        device: &Device,
        scheme: Scheme,
        (kind, values): (Weights, &[f32]),
        of: Population,
        seeds: &[u64],
        share: f32,
    ) -> Result<Self> {
        for (what, found, wanted) in
            [("weights", values.len(), of.stride()), ("seeds", seeds.len(), of.groups)]
        {
            if found != wanted {
                return Err(argument(what, found, wanted));
            }
        }
        let mut row = [0.0_f32; ROW];
        row[ESS_SHARE] = share;
        let words: Vec<u32> = seeds.iter().flat_map(|s| [*s as u32, (s >> 32) as u32]).collect();
        let records = RECORD * of.groups * of.blocks();
        let parts = if scheme == Scheme::Residual { records } else { 1 };
        Ok(Self {
            scheme,
            kind,
            values: device.upload("weights", values)?,
            records: device.empty("block records", records)?,
            parts: device.empty("parts of residual resampling", parts)?,
            coeffs: device.upload("coefficients", &row)?,
            norms: device.empty("group records", RECORD * of.groups)?,
            history: device.empty("history", RECORD * of.groups)?,
            seeds: device.upload("seeds", &words)?,
            ancestors: device.upload("ancestors", &vec![u32::MAX; of.stride()])?,
            of,
        })
    }

    /// What a launch binds.
    pub fn resampling(&self) -> Resampling<'_> {
        Resampling {
            scheme: self.scheme,
            kind: self.kind,
            values: &self.values,
            records: &self.records,
            parts: &self.parts,
            coeffs: &self.coeffs,
            norms: &self.norms,
            history: &self.history,
            seeds: &self.seeds,
            ancestors: &self.ancestors,
            of: &self.of,
        }
    }

    /// Block records, whole copies where the scheme has them, ancestors; without waiting.
    pub fn launch(&self, device: &Device) -> Result<()> {
        tally(device, self.kind, &self.values, &self.records, &self.of)?;
        let resampling = self.resampling();
        resampling.launch_copies(device, 0)?;
        resampling.launch(device, 0)
    }
}
