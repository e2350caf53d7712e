//! Check, configure, launch.

use super::kernel::{SizesLaunch, give_kernel, take_kernel};
use crate::device::{Buf, Device};
use crate::error::{Result, argument, enough};
use crate::passes::conv::Row;
use crate::passes::{Sharing, Work};

/// Particles of a vector on a GPU.
const LANES: usize = 4;

/// Which particles, and in how many lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Numbers of a particle, the length of a row.
    pub dim: usize,
    /// The first element of the rows that are read.
    pub read: usize,
    /// The first element of the rows that are written.
    pub written: usize,
    /// Particles.
    pub count: usize,
    /// Lanes of a value: particles, and zeros up to whole vectors.
    pub n: usize,
}

impl Part {
    /// Refuses what does not fit; returns the lanes of a vector.
    fn check(&self, device: &Device, level: &Row, columns: usize) -> Result<usize> {
        let lanes = if device.is_cpu() { device.lanes() } else { LANES };
        if self.dim == 0 || self.count == 0 || self.count > self.n || !self.n.is_multiple_of(lanes) {
            let found = format!("{} of {} numbers in {} lanes", self.count, self.dim, self.n);
            return Err(argument("particles", found, format!("at least 1, in a multiple of {lanes} lanes")));
        }
        level.check("numbers of a level", columns)?;
        Ok(lanes)
    }

    fn numbers(&self) -> usize {
        self.count * self.dim
    }

    fn sizes(
        &self,
        lanes: usize,
        level: &Row,
        columns: [usize; 2],
        space: usize,
        affine: [f32; 2],
    ) -> SizesLaunch {
        SizesLaunch::new(
            self.dim as u32,
            self.count as u32,
            (self.n / lanes) as u32,
            self.read as u32,
            self.written as u32,
            level.level_numbers() as u32,
            (level.first() + columns[0]) as u32,
            (level.first() + columns[1]) as u32,
            level.level.word(),
            space as u32,
            affine[0],
            affine[1],
        )
    }
}

/// What takes and gives rows.
#[derive(Clone, Debug)]
pub struct Rows {
    spare: Buf<u32>,
    space: usize,
}

impl Rows {
    /// Of a device.
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Rows { spare: device.empty("level of rows", 1)?, space: 0 })
    }

    /// Whose `give` subtracts from rows of atoms with `space` coordinates each their mean, as (9ad) asks; 0: none is.
    pub fn centred(self, space: usize) -> Self {
        Rows { space, ..self }
    }

    /// Rows into `to` `[dim][n]`: scale c x + shift, with c the first number of `level`'s row and (scale, shift) `affine`.
    pub fn take(
        &self,
        device: &Device,
        rows: &Buf<f32>,
        to: &Buf<f32>,
        part: Part,
        level: Row,
        affine: [f32; 2],
    ) -> Result<()> {
        let lanes = part.check(device, &level, 1)?;
        let (read, written) = (part.numbers(), part.dim * part.n);
        enough(&[("rows", rows.len(), part.read + read), ("value of the state", to.len(), written)])?;
        let sharing = Sharing::apart(device);
        take_kernel::launch(
            device.client(),
            sharing.cubes(device, written / lanes),
            sharing.dim(),
            lanes,
            rows.arg(),
            to.arg_of(lanes),
            level.table.arg(),
            level.level.cell(&self.spare).arg(),
            part.sizes(lanes, &level, [0, 0], 0, affine),
            device.is_cpu(),
        );
        device.launched(Work { read: 4 * read as u64, written: 4 * written as u64 })
    }

    /// The value `from` `[dim][n]` into rows of `out`: d x + f F, with d and f the numbers `columns` of `level`'s row.
    /// Where d is 0, `rows` is not read.
    pub fn give(
        &self,
        device: &Device,
        (rows, from): (&Buf<f32>, &Buf<f32>),
        out: &Buf<f32>,
        part: Part,
        level: Row,
        columns: [usize; 2],
    ) -> Result<()> {
        let lanes = part.check(device, &level, columns[0].max(columns[1]) + 1)?;
        let (read, written) = (part.dim * part.n, part.numbers());
        enough(&[("value of the output", from.len(), read), ("rows", out.len(), part.written + written)])?;
        let sharing = Sharing::apart(device);
        give_kernel::launch(
            device.client(),
            sharing.cubes(device, read / lanes),
            sharing.dim(),
            lanes,
            rows.arg(),
            from.arg_of(lanes),
            out.arg(),
            level.table.arg(),
            level.level.cell(&self.spare).arg(),
            part.sizes(lanes, &level, columns, self.space, [1.0, 0.0]),
            device.is_cpu(),
        );
        device.launched(Work { read: 4 * (read + written) as u64, written: 4 * written as u64 })
    }
}
