//! One group to be resampled, on its own: what the benchmarks and the worker of `bench/peers` share.

use feynkac::kernels::device::{Buf, Device};
use feynkac::kernels::error::KernelError;
use feynkac::kernels::passes::resample::{Alone, Scheme};
use feynkac::kernels::passes::survivors::{self, Rows};
use feynkac::kernels::passes::weights::Weights;
use feynkac::kernels::prims::state::{BLOCK, Population};

/// The group's seed.
pub const SEED: u64 = 11;

/// A group, its weights and its rows.
pub struct Problem {
    /// Where it lies.
    pub device: Device,
    /// The group.
    pub group: Alone,
    /// Rows `[particles, dim]`.
    pub rows: Buf<f32>,
    /// Rows of the survivors.
    pub out: Buf<f32>,
}

impl Problem {
    /// Always resampled, by weights or log-weights; rows of `dim` numbers.
    pub fn new(device: Device, kind: Weights, weights: &[f32], dim: usize) -> Result<Self, KernelError> {
        let slots = weights.len();
        let of = Population {
            groups: 1,
            slots,
            dim,
            lanes: device.lanes_for(slots, dim),
            max_block: device.block_for(BLOCK, slots),
        };
        let mut padded = weights.to_vec();
        padded.resize(of.stride(), 0.0);
        let rows: Vec<f32> = (0..slots * dim).map(|i| (i % 977) as f32).collect();
        Ok(Self {
            group: Alone::new(&device, Scheme::Systematic, (kind, &padded), of, &[SEED], 2.0)?,
            out: device.empty("gathered rows", rows.len())?,
            rows: device.upload("rows", &rows)?,
            device,
        })
    }

    /// Records of the blocks, then ancestors; to the end.
    pub fn resample(&self) -> Result<(), KernelError> {
        self.launch()?;
        self.device.sync()
    }

    /// The same, without waiting.
    pub fn launch(&self) -> Result<(), KernelError> {
        self.group.launch(&self.device)
    }

    /// Records, ancestors, rows of the survivors; to the end.
    pub fn resample_and_gather(&self) -> Result<(), KernelError> {
        self.queue()?;
        self.device.sync()
    }

    /// Records, ancestors, rows; without waiting.
    pub fn queue(&self) -> Result<(), KernelError> {
        let rows = Rows { rows: &self.rows, out: &self.out };
        survivors::launch(&self.device, &self.group.resampling(), &rows, 0)
    }
}
