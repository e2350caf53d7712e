//! Check, configure, launch.

use super::Energy;
use super::kernel::{ExtentsLaunch, ROW, gradient_kernel, laplacian_kernel, seed_kernel};
use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::passes::{Number, Sharing, Work};

/// The numbers of a level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EnergyLevel {
    /// c_in: multiplies the state on its way into the network.
    pub input: f64,
    /// (factor, offset): factor E + offset is told.
    pub told: (f64, f64),
    /// Factor of the gradient with respect to the state.
    pub gradient: f64,
    /// Of the Laplacian: factors of <back, moved>, of what was told and of <x, gradient>, and a constant.
    pub laplacian: [f64; 4],
}

/// Energies on a device: what stands around the passes of their network.
#[derive(Clone, Debug)]
pub struct Energies {
    energy: Energy,
    dim: usize,
    conditions: usize,
    levels: usize,
    table: Buf<f32>,
    spare: Buf<u32>,
    /// Bound where nothing is told.
    untold: Buf<f32>,
}

impl Energies {
    /// Of states of `dim` numbers, each asked under so many conditions.
    pub fn new(
        device: &Device,
        energy: Energy,
        dim: usize,
        conditions: usize,
        levels: &[EnergyLevel],
    ) -> Result<Self> {
        if dim == 0 || conditions == 0 || levels.is_empty() {
            let found = format!("{dim} numbers, {conditions} conditions, {} levels", levels.len());
            return Err(argument("energies", found, "at least 1 of each"));
        }
        let row = |l: &EnergyLevel| [l.input, l.told.0, l.told.1, l.gradient].into_iter().chain(l.laplacian);
        let table: Vec<f32> = levels.iter().flat_map(row).map(|v| v as f32).collect();
        debug_assert_eq!(table.len(), ROW as usize * levels.len());
        Ok(Self {
            energy,
            dim,
            conditions,
            levels: levels.len(),
            table: device.upload("energies of all levels", &table)?,
            spare: device.empty("energy level", 1)?,
            untold: device.empty("no energies", 1)?,
        })
    }

    fn check(&self, what: &[(&'static str, usize, usize)], level: Number) -> Result<()> {
        if let Some((what, found, wanted)) = what.iter().find(|(_, found, wanted)| found < wanted) {
            return Err(argument(what, found, format!("at least {wanted}")));
        }
        match level {
            Number::Given(level) if level >= self.levels => {
                Err(argument("level", level, format!("below {}", self.levels)))
            }
            _ => Ok(()),
        }
    }

    fn cells(&self, count: usize) -> usize {
        self.conditions * count * self.dim
    }

    fn extents<'a>(&self, count: usize, first: usize, apart: usize, level: Number<'a>) -> ExtentsLaunch {
        ExtentsLaunch::new(
            count as u32,
            (self.conditions * count) as u32,
            self.dim as u32,
            first as u32,
            apart as u32,
            level.word(),
        )
    }

    /// From the states `rows` and what the network `said` of them: `back`, what goes back through it, and, where `told` is
    /// (cells, first, apart), factor E + offset of particle i in cell first + i apart, conditions one after another.
    #[allow(clippy::too_many_arguments)]
    pub fn seed(
        &self,
        device: &Device,
        rows: &Buf<f32>,
        said: &Buf<f32>,
        back: &Buf<f32>,
        told: Option<(&Buf<f32>, usize, usize)>,
        count: usize,
        level: Number,
    ) -> Result<()> {
        let (cells, of) = (self.cells(count), self.conditions * count);
        let (cell, first, apart) = told.unwrap_or((&self.untold, 0, 0));
        let last = if told.is_some() { first + of.saturating_sub(1) * apart + 1 } else { 0 };
        self.check(
            &[
                ("particles", count, 1),
                ("states of energies", rows.len(), count * self.dim),
                ("outputs of the network of energies", said.len(), cells),
                ("cotangents of energies", back.len(), cells),
                ("energies told", cell.len(), last),
            ],
            level,
        )?;
        let sharing = Sharing::apart(device);
        seed_kernel::launch(
            device.client(),
            sharing.cubes(device, of),
            sharing.dim(),
            rows.arg(),
            said.arg(),
            back.arg(),
            cell.arg(),
            level.cell(&self.spare).arg(),
            self.table.arg(),
            self.extents(count, first, apart, level),
            self.energy,
            told.is_some(),
            device.is_cpu(),
        );
        let read = 4 * (count * self.dim + cells) as u64;
        device.launched(Work { read, written: 4 * (cells + if told.is_some() { of } else { 0 }) as u64 })
    }

    /// The gradient with respect to the states, times the level's factor, into `out` from element `first` on; `came` is
    /// what came back through the network to the states.
    #[allow(clippy::too_many_arguments)]
    pub fn gradient(
        &self,
        device: &Device,
        rows: &Buf<f32>,
        [said, came]: [&Buf<f32>; 2],
        out: &Buf<f32>,
        first: usize,
        count: usize,
        level: Number,
    ) -> Result<()> {
        let cells = self.cells(count);
        self.check(
            &[
                ("particles", count, 1),
                ("states of energies", rows.len(), count * self.dim),
                ("outputs of the network of energies", said.len(), cells),
                ("slopes of energies", came.len(), cells),
                ("gradients of energies", out.len(), first + cells),
            ],
            level,
        )?;
        let sharing = Sharing::apart(device);
        gradient_kernel::launch(
            device.client(),
            sharing.cubes(device, cells),
            sharing.dim(),
            rows.arg(),
            said.arg(),
            came.arg(),
            out.arg(),
            level.cell(&self.spare).arg(),
            self.table.arg(),
            self.extents(count, first, 0, level),
            self.energy,
            device.is_cpu(),
        );
        device.launched(Work { read: 4 * (count * self.dim + 2 * cells) as u64, written: 4 * cells as u64 })
    }

    /// Beside each log-density that was told in `all`, from element `told` on and two apart, the Laplacian that the rate of
    /// its change asks for. `back` is what went back through the network, `moved` how its output changes with the time;
    /// gradients stand in `all` from element `scores` on.
    #[allow(clippy::too_many_arguments)]
    pub fn laplacian(
        &self,
        device: &Device,
        rows: &Buf<f32>,
        [back, moved]: [&Buf<f32>; 2],
        all: &Buf<f32>,
        [scores, told]: [usize; 2],
        count: usize,
        level: Number,
    ) -> Result<()> {
        let (cells, of) = (self.cells(count), self.conditions * count);
        self.check(
            &[
                ("particles", count, 1),
                ("states of energies", rows.len(), count * self.dim),
                ("cotangents of energies", back.len(), cells),
                ("tangents of the network of energies", moved.len(), cells),
                ("gradients and energies", all.len(), (scores + cells).max(told + 2 * of)),
            ],
            level,
        )?;
        let sharing = Sharing::apart(device);
        laplacian_kernel::launch(
            device.client(),
            sharing.cubes(device, of),
            sharing.dim(),
            rows.arg(),
            back.arg(),
            moved.arg(),
            all.arg(),
            level.cell(&self.spare).arg(),
            self.table.arg(),
            self.extents(count, told, 2, level),
            scores as u32,
            device.is_cpu(),
        );
        let read = 4 * (count * self.dim + 3 * cells + of) as u64;
        device.launched(Work { read, written: 4 * of as u64 })
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.table.bytes()
    }
}
