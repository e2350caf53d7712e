//! A walk along scores that are given: check, configure, launch.

use super::kernel::follow_kernel;
use super::{FRAME, Level, TANGENT, step_numbers};
use crate::device::{Buf, Device};
use crate::error::{Result, argument, enough};
use crate::passes::{Sharing, Work};

/// A walk of rows of frames from its first level to its last along somebody else's scores, prepared for a device.
#[derive(Debug, Clone)]
pub struct Follow {
    numbers: Buf<f32>,
    frames: usize,
    steps: usize,
}

impl Follow {
    /// Of particles of `frames` through `levels`, with noise `zeta` times that of the reverse diffusion.
    pub fn new(device: &Device, frames: usize, levels: &[Level], zeta: f64) -> Result<Self> {
        if frames == 0 {
            return Err(argument("frames", 0, "at least 1"));
        }
        if !(zeta >= 0.0 && zeta.is_finite()) {
            return Err(argument("noise of a walk", zeta, "a number from 0 on"));
        }
        Level::falling(levels)?;
        let numbers = levels.windows(2).flat_map(|l| step_numbers(&l[0], &l[1], zeta).map(|v| v as f32));
        let numbers = device.upload("steps of frames", &numbers.collect::<Vec<f32>>())?;
        Ok(Self { numbers, frames, steps: levels.len() - 1 })
    }

    /// Steps from the first level to the last.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Takes `count` particles, rows `[count, 7 frames]` of level `step`, to the next along `scores` `[count, 6 frames]`;
    /// `seeds` are the two words of a seed.
    pub fn step(
        &self,
        device: &Device,
        rows: &Buf<f32>,
        scores: &Buf<f32>,
        seeds: &Buf<u32>,
        count: usize,
        step: usize,
    ) -> Result<()> {
        if step >= self.steps {
            return Err(argument("step of a walk", step, format!("below {}", self.steps)));
        }
        let (state, tangent) = (count * self.frames * FRAME, count * self.frames * TANGENT);
        if count == 0 || u32::try_from(state).is_err() {
            return Err(argument("particles", count, "at least 1, and below 2^32 numbers of frames"));
        }
        enough(&[
            ("frames", rows.len(), state),
            ("scores", scores.len(), tangent),
            ("seeds", seeds.len(), 2),
        ])?;
        let sharing = Sharing::apart(device);
        follow_kernel::launch(
            device.client(),
            sharing.cubes(device, self.frames * count),
            sharing.dim(),
            1,
            rows.arg(),
            scores.arg(),
            self.numbers.arg(),
            seeds.arg(),
            self.frames as u32,
            count as u32,
            step as u32,
            device.is_cpu(),
        );
        let bytes = |numbers: usize| 4 * numbers as u64;
        device.launched(Work { read: bytes(state + tangent), written: bytes(state) })
    }
}
