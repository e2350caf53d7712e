//! One group to be resampled, on its own: what the benchmarks and the worker of `bench/peers` share.

use feynkac::kernels::device::{Buf, Device};
use feynkac::kernels::error::KernelError;
use feynkac::kernels::methods::{ESS_SHARE, ROW};
use feynkac::kernels::passes::resample::{Resampling, Scheme};
use feynkac::kernels::passes::survivors::{self, Rows};
use feynkac::kernels::passes::weights::{RECORD, Weights, tally};
use feynkac::kernels::prims::state::{BLOCK, Population};

/// The group's seed.
pub const SEED: u64 = 11;

/// A group, its weights and its rows.
pub struct Problem {
    /// Where it lies.
    pub device: Device,
    /// Its size.
    pub of: Population,
    kind: Weights,
    values: Buf<f32>,
    records: Buf<u32>,
    coeffs: Buf<f32>,
    norms: Buf<f32>,
    history: Buf<f32>,
    seeds: Buf<u32>,
    /// Parents of the last resampling.
    pub ancestors: Buf<u32>,
    /// Rows `[particles, dim]`.
    pub rows: Buf<f32>,
    /// Rows of the survivors.
    pub out: Buf<f32>,
}

impl Problem {
    /// Always resampled, by weights or log-weights; rows of `dim` numbers.
    pub fn new(device: Device, kind: Weights, weights: &[f32], dim: usize) -> Result<Self, KernelError> {
        let slots = weights.len();
        let of = Population { groups: 1, slots, dim, lanes: device.lanes_for(slots), max_block: BLOCK };
        let mut padded = weights.to_vec();
        padded.resize(of.stride(), 0.0);
        let rows: Vec<f32> = (0..slots * dim).map(|i| (i % 977) as f32).collect();
        let mut row = [0.0_f32; ROW];
        row[ESS_SHARE] = 2.0;
        Ok(Self {
            kind,
            values: device.upload("weights", &padded)?,
            records: device.empty("records", RECORD * of.blocks())?,
            coeffs: device.upload("coefficients", &row)?,
            norms: device.empty("norms", RECORD)?,
            history: device.empty("history", RECORD)?,
            seeds: device.upload("seeds", &[SEED as u32, (SEED >> 32) as u32])?,
            ancestors: device.empty("ancestors", of.stride())?,
            out: device.empty("gathered rows", rows.len())?,
            rows: device.upload("rows", &rows)?,
            device,
            of,
        })
    }

    /// Records of the blocks, then ancestors; to the end.
    pub fn resample(&self) -> Result<(), KernelError> {
        self.launch()?;
        self.device.sync()
    }

    /// The same, without waiting.
    pub fn launch(&self) -> Result<(), KernelError> {
        tally(&self.device, self.kind, &self.values, &self.records, &self.of)?;
        self.resampling().launch(&self.device, 0)
    }

    /// Records, ancestors, rows of the survivors; to the end.
    pub fn resample_and_gather(&self) -> Result<(), KernelError> {
        self.queue()?;
        self.device.sync()
    }

    /// Records, ancestors, rows; without waiting.
    pub fn queue(&self) -> Result<(), KernelError> {
        survivors::launch(&self.device, &self.resampling(), &Rows { rows: &self.rows, out: &self.out }, 0)
    }

    fn resampling(&self) -> Resampling<'_> {
        Resampling {
            scheme: Scheme::Systematic,
            parts: &self.records,
            kind: self.kind,
            values: &self.values,
            records: &self.records,
            coeffs: &self.coeffs,
            norms: &self.norms,
            history: &self.history,
            seeds: &self.seeds,
            ancestors: &self.ancestors,
            of: &self.of,
        }
    }
}
