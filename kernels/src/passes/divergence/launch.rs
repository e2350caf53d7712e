//! Check, configure, launch.

use super::Along;
use super::kernel::{SizesLaunch, probe_kernel, tally_kernel};
use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::passes::{Number, Sharing, Work};

/// The probes of a population.
#[derive(Clone, Debug)]
pub struct Probes {
    along: Along,
    dim: usize,
    slots: usize,
    vectors: Buf<f32>,
    sums: Buf<f32>,
    spare: Buf<u32>,
}

/// Where a tally goes: cell first + i apart of particle i.
#[derive(Clone, Copy, Debug)]
pub struct Tally<'a> {
    /// What came back through the network, `[count, dim]`.
    pub came: &'a Buf<f32>,
    /// Where divergences are told.
    pub told: &'a Buf<f32>,
    /// The first cell.
    pub first: usize,
    /// Cells from one to the next.
    pub apart: usize,
}

impl Probes {
    /// For `count` particles of `dim` numbers in groups of `slots`.
    pub fn new(device: &Device, along: Along, count: usize, dim: usize, slots: usize) -> Result<Self> {
        let probes = along.probes(dim) as usize;
        if !(1..=1 << 20).contains(&probes) || dim == 0 || slots == 0 || count == 0 {
            return Err(argument("probes", probes, "1 to 2^20, of a particle and a number at least"));
        }
        Ok(Self {
            along,
            dim,
            slots,
            vectors: device.empty("probes", count * dim)?,
            sums: device.empty("divergences", 3 * count)?,
            spare: device.empty("probe level", 1)?,
        })
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.along.probes(self.dim)
    }

    /// The vectors, `[count, dim]`.
    pub fn vectors(&self) -> &Buf<f32> {
        &self.vectors
    }

    /// (sum, variance) of each particle, once all probes were tallied; the sum is about that of the first.
    pub fn sums(&self) -> &Buf<f32> {
        &self.sums
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.vectors.bytes() + self.sums.bytes()
    }

    fn check(&self, count: usize, probe: u32) -> Result<()> {
        if count == 0 || self.vectors.len() < count * self.dim || self.sums.len() < 3 * count {
            return Err(argument("particles", count, format!("1 to {}", self.vectors.len() / self.dim)));
        }
        match probe < self.count() {
            true => Ok(()),
            false => Err(argument("probe", probe, format!("below {}", self.count()))),
        }
    }

    fn sizes(&self, count: usize, probe: u32, (first, apart): (usize, usize), level: u32) -> SizesLaunch {
        SizesLaunch::new(
            count as u32,
            self.dim as u32,
            self.slots as u32,
            probe,
            self.count(),
            first as u32,
            apart as u32,
            level,
        )
    }

    /// Writes the vectors of probe `probe`; `seeds` holds two words a group.
    pub fn probe(
        &self,
        device: &Device,
        seeds: &Buf<u32>,
        probe: u32,
        count: usize,
        level: Number,
    ) -> Result<()> {
        self.check(count, probe)?;
        let groups = count.div_ceil(self.slots);
        if seeds.len() < 2 * groups {
            return Err(argument("seeds", seeds.len(), 2 * groups));
        }
        let sharing = Sharing::apart(device);
        probe_kernel::launch(
            device.client(),
            sharing.cubes(device, count * self.dim.div_ceil(4)),
            sharing.dim(),
            1,
            self.vectors.arg(),
            seeds.arg(),
            level.cell(&self.spare).arg(),
            self.sizes(count, probe, (0, 0), level.word()),
            self.along == Along::Axes,
            device.is_cpu(),
        );
        device.launched(Work { read: 0, written: 4 * (count * self.dim) as u64 })
    }

    /// Takes in what came back of probe `probe`; probes come in their order.
    pub fn tally(&self, device: &Device, to: Tally, probe: u32, count: usize) -> Result<()> {
        self.check(count, probe)?;
        let last = to.first + (count - 1) * to.apart + 1;
        for (what, found, wanted) in
            [("slopes of a probe", to.came.len(), count * self.dim), ("divergences", to.told.len(), last)]
        {
            if found < wanted {
                return Err(argument(what, found, format!("at least {wanted}")));
            }
        }
        let sharing = Sharing::apart(device);
        tally_kernel::launch(
            device.client(),
            sharing.cubes(device, count),
            sharing.dim(),
            self.vectors.arg(),
            to.came.arg(),
            self.sums.arg(),
            to.told.arg(),
            self.sizes(count, probe, (to.first, to.apart), 0),
            self.along == Along::Axes,
            device.is_cpu(),
        );
        device.launched(Work { read: 8 * (count * self.dim) as u64, written: 12 * count as u64 })
    }
}
