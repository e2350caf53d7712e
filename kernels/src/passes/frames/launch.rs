//! Check, configure, launch.

use super::kernel::{place_kernel, start_kernel, walk_kernel};
use super::{FRAME, First, Level, Prior, step_numbers};
use crate::device::{Buf, Device};
use crate::error::{Result, argument, enough};
use crate::models::igso3::angles::Angles;
use crate::passes::{Sharing, Work};
use crate::prims::state::Population;

/// A walk of frames from its first level to its last, prepared for a device.
#[derive(Debug, Clone)]
pub struct Walk {
    priors: Buf<f32>,
    numbers: Buf<f32>,
    angles: Buf<f32>,
    frames: usize,
    steps: usize,
    first: First,
}

impl Walk {
    /// Of particles of `priors.len()` frames through `levels`, with noise `zeta` times that of the reverse diffusion.
    pub fn new(device: &Device, priors: &[Prior], levels: &[Level], zeta: f64, first: First) -> Result<Self> {
        if priors.is_empty() {
            return Err(argument("frames", 0, "at least 1"));
        }
        if !(zeta >= 0.0 && zeta.is_finite()) {
            return Err(argument("noise of a walk", zeta, "a number from 0 on"));
        }
        let table = Prior::table(priors)?;
        Level::check(levels, priors)?;
        let numbers = levels.windows(2).flat_map(|l| step_numbers(&l[0], &l[1], zeta).map(|v| v as f32));
        // Laws of one variance have one table.
        let mut made: Vec<(f64, Vec<f32>)> = Vec::new();
        let mut angles = Vec::new();
        for spread in priors.iter().filter(|_| first == First::Exact).map(|p| levels[0].spread(p)) {
            if !made.iter().any(|(t, _)| *t == spread) {
                made.push((spread, Angles::new(spread).table()));
            }
            angles.extend(made.iter().filter(|(t, _)| *t == spread).flat_map(|(_, table)| table));
        }
        Ok(Self {
            priors: device.upload("priors of frames", &table)?,
            numbers: device.upload("steps of frames", &numbers.collect::<Vec<f32>>())?,
            angles: device.upload("angles at the start", &angles)?,
            frames: priors.len(),
            steps: levels.len() - 1,
            first,
        })
    }

    /// Steps from the first level to the last.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Draws the frames of the first level into `x`.
    pub fn start(&self, device: &Device, x: &Buf<f32>, seeds: &Buf<u32>, of: &Population) -> Result<()> {
        self.check(x, seeds, of)?;
        let sharing = Sharing::apart(device);
        start_kernel::launch(
            device.client(),
            sharing.cubes(device, self.frames * of.stride() / of.lanes),
            sharing.dim(),
            of.lanes,
            x.arg(),
            self.priors.arg(),
            self.numbers.arg(),
            self.angles.arg(),
            seeds.arg(),
            of.arg(),
            self.frames as u32,
            self.first,
            device.layout(),
            device.is_cpu(),
        );
        device.launched(Work { read: 0, written: bytes(of) })
    }

    /// Takes the frames `x` of level `step` to the next.
    pub fn step(
        &self,
        device: &Device,
        x: &Buf<f32>,
        seeds: &Buf<u32>,
        of: &Population,
        step: usize,
    ) -> Result<()> {
        self.check(x, seeds, of)?;
        if step >= self.steps {
            return Err(argument("step of a walk", step, format!("below {}", self.steps)));
        }
        let sharing = Sharing::apart(device);
        walk_kernel::launch(
            device.client(),
            sharing.cubes(device, self.frames * of.stride() / of.lanes),
            sharing.dim(),
            of.lanes,
            x.arg(),
            self.priors.arg(),
            self.numbers.arg(),
            seeds.arg(),
            of.arg(),
            self.frames as u32,
            step as u32,
            device.layout(),
            device.is_cpu(),
        );
        device.launched(Work { read: bytes(of), written: bytes(of) })
    }

    fn check(&self, x: &Buf<f32>, seeds: &Buf<u32>, of: &Population) -> Result<()> {
        if of.dim != FRAME * self.frames {
            let wanted = format!("{FRAME} for each of {} frames", self.frames);
            return Err(argument("coordinates of a particle", of.dim, wanted));
        }
        fits(of)?;
        enough(&[("frames", x.len(), of.dim * of.stride()), ("seeds", seeds.len(), 2 * of.groups)])
    }
}

/// Writes rows `[particles, frames, atoms, 3]` of where each frame of `x` has its atoms, which in it are at `local`
/// `[atoms, 3]`.
pub fn place(device: &Device, x: &Buf<f32>, local: &Buf<f32>, out: &Buf<f32>, of: &Population) -> Result<()> {
    if of.dim == 0 || !of.dim.is_multiple_of(FRAME) {
        return Err(argument("coordinates of a particle", of.dim, format!("a multiple of {FRAME}")));
    }
    if !local.len().is_multiple_of(3) {
        return Err(argument("coordinates of atoms", local.len(), "a multiple of 3"));
    }
    fits(of)?;
    let (frames, atoms) = (of.dim / FRAME, local.len() / 3);
    let placed = of.particles() * frames * local.len();
    enough(&[("frames", x.len(), of.dim * of.stride()), ("placed atoms", out.len(), placed)])?;
    let sharing = Sharing::apart(device);
    place_kernel::launch(
        device.client(),
        sharing.cubes(device, frames * of.stride() / of.lanes),
        sharing.dim(),
        of.lanes,
        x.arg(),
        local.arg(),
        out.arg(),
        of.arg(),
        frames as u32,
        atoms as u32,
        device.layout(),
    );
    device.launched(Work { read: bytes(of), written: 4 * placed as u64 })
}

/// Refuses what 32 bits cannot count.
fn fits(of: &Population) -> Result<()> {
    if of.particles() == 0 {
        return Err(argument("particles and groups", 0, "at least 1"));
    }
    match u32::try_from(of.dim * of.stride()) {
        Ok(_) => Ok(()),
        Err(_) => Err(argument("numbers of all frames", of.dim * of.stride(), "below 2^32")),
    }
}

/// Bytes of the frames of all particles.
fn bytes(of: &Population) -> u64 {
    4 * (of.particles() * of.dim) as u64
}
