//! Check, configure, launch.

use super::kernel_aim::{pull_kernel, told_kernel};
use super::kernel_move::{BeforeLaunch, advance_kernel, noise_kernel};
use super::kernel_psi::psi_kernel;
use super::tables::check_levels;
use super::{Chain, Lean, Motif, TANGENT, precision, twist_numbers};
use crate::device::{Buf, Device};
use crate::error::{Result, argument, enough};
use crate::passes::frames::{FRAME, Level};
use crate::passes::weights::RECORD;
use crate::passes::{Sharing, Work};
use crate::prims::state::Population;

/// What particles carry from a step to the next, and what a step works with.
#[derive(Debug, Clone)]
pub struct State {
    /// Frames before and after a step, in turn: step i reads `x[i % 2]`.
    pub x: [Buf<f32>; 2],
    /// Log-weights.
    pub log_w: Buf<f32>,
    /// log psi.
    pub log_psi: Buf<f32>,
    /// Scores, six numbers a frame.
    pub scores: Buf<f32>,
    /// Gradients of log psi at the noisy chain.
    pub pulls: Buf<f32>,
    /// Denoised chains.
    pub denoised: Buf<f32>,
    /// Gradients of log psi at the denoised chain.
    pub slopes: Buf<f32>,
    /// Parents within the group.
    pub ancestors: Buf<u32>,
    /// Group records.
    pub norms: Buf<f32>,
}

impl State {
    /// Buffers for particles of `frames` frames.
    pub fn new(device: &Device, frames: usize, of: &Population) -> Result<Self> {
        let rows = |what, rows: usize| device.empty::<f32>(what, rows * of.stride());
        let own: Vec<u32> = (0..of.stride()).map(|at| (at % of.padded()) as u32).collect();
        Ok(Self {
            x: [rows("frames", FRAME * frames)?, rows("frames", FRAME * frames)?],
            log_w: rows("log-weights", 1)?,
            log_psi: rows("log psi", 1)?,
            scores: rows("scores of frames", TANGENT * frames)?,
            pulls: rows("gradients of log psi", TANGENT * frames)?,
            denoised: rows("denoised frames", FRAME * frames)?,
            slopes: rows("gradients at denoised frames", TANGENT * frames)?,
            ancestors: device.upload("ancestors", &own)?,
            norms: device.upload("group records", &vec![0.0_f32; RECORD * of.groups])?,
        })
    }
}

/// A twisted walk of chains, prepared for a device.
#[derive(Debug, Clone)]
pub struct Twisted {
    components: Buf<f32>,
    means: Buf<f32>,
    precisions: Buf<f32>,
    numbers: Buf<f32>,
    motif: Buf<f32>,
    offsets: Buf<u32>,
    turns: Buf<f32>,
    frames: usize,
    count: usize,
    steps: usize,
}

impl Twisted {
    /// Of `chain` through `levels` towards `motif`; moves follow the gradient of the twist as `lean` says.
    pub fn new(device: &Device, chain: &Chain, motif: &Motif, levels: &[Level], lean: Lean) -> Result<Self> {
        chain.check()?;
        motif.check(chain.frames())?;
        check_levels(levels)?;
        lean.check()?;
        let floats = |of: &[f64]| of.iter().map(|v| *v as f32).collect::<Vec<f32>>();
        let precisions: Vec<f64> = levels.iter().flat_map(|level| precision(chain, level)).collect();
        let offsets: Vec<u32> = motif.offsets.iter().map(|o| *o as u32).collect();
        Ok(Self {
            components: device.upload("components of rotations", &chain.table())?,
            means: device.upload("mean positions", &floats(&chain.means().concat()))?,
            precisions: device.upload("precisions of positions", &floats(&precisions))?,
            numbers: device
                .upload("numbers of levels", &floats(&twist_numbers(levels, motif, lean).concat()))?,
            motif: device.upload("motif", &motif.table())?,
            offsets: device.upload("offsets of a motif", &offsets)?,
            turns: device.upload("rotations of a motif", &motif.turns())?,
            frames: chain.frames(),
            count: chain.components(),
            steps: levels.len() - 1,
        })
    }

    /// Steps from the first level to the last.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Draws particles of pure noise of weight 1 into `state.x[0]`.
    pub fn start(&self, device: &Device, state: &State, seeds: &Buf<u32>, of: &Population) -> Result<()> {
        self.check(state, seeds, of)?;
        let sharing = Sharing::apart(device);
        noise_kernel::launch(
            device.client(),
            sharing.cubes(device, of.stride() / of.lanes),
            sharing.dim(),
            of.lanes,
            state.x[0].arg(),
            state.log_w.arg(),
            self.numbers.arg(),
            seeds.arg(),
            of.arg(),
            self.frames as u32,
            device.layout(),
            device.is_cpu(),
        );
        device.launched(Work { read: 0, written: rows(of, FRAME * self.frames + 1) })
    }

    /// Moves the particles of level `step` from their parents to the next level; into their log-weights go the ratio of the
    /// kernels and what psi was.
    pub fn advance(
        &self,
        device: &Device,
        state: &State,
        seeds: &Buf<u32>,
        of: &Population,
        step: usize,
    ) -> Result<()> {
        self.check(state, seeds, of)?;
        if step >= self.steps {
            return Err(argument("step of a walk", step, format!("below {}", self.steps)));
        }
        let sharing = Sharing::apart(device);
        let (before, after) = (&state.x[step % 2], &state.x[(step + 1) % 2]);
        advance_kernel::launch(
            device.client(),
            sharing.cubes(device, of.stride() / of.lanes),
            sharing.dim(),
            of.lanes,
            BeforeLaunch::new(
                before.arg(),
                state.scores.arg(),
                state.pulls.arg(),
                state.log_psi.arg(),
                state.ancestors.arg(),
                state.norms.arg(),
                seeds.arg(),
            ),
            after.arg(),
            state.log_w.arg(),
            self.numbers.arg(),
            of.arg(),
            self.frames as u32,
            step as u32,
            device.layout(),
            device.is_cpu(),
        );
        let read = rows(of, (FRAME + 2 * TANGENT) * self.frames + 3);
        device.launched(Work { read, written: rows(of, FRAME * self.frames + 1) })
    }

    /// What the model and the twist say of the particles of level `level`; log psi goes into their log-weights.
    pub fn aim(&self, device: &Device, state: &State, of: &Population, level: usize) -> Result<()> {
        self.check_state(state, of)?;
        if level > self.steps {
            return Err(argument("level of a walk", level, format!("at most {}", self.steps)));
        }
        let x = &state.x[level % 2];
        self.told(device, state, x, of, level)?;
        self.psi(device, state, of, level)?;
        self.pull(device, state, x, of, level)
    }

    fn told(
        &self,
        device: &Device,
        state: &State,
        x: &Buf<f32>,
        of: &Population,
        level: usize,
    ) -> Result<()> {
        let sharing = Sharing::apart(device);
        told_kernel::launch(
            device.client(),
            sharing.cubes(device, self.frames * of.stride() / of.lanes),
            sharing.dim(),
            of.lanes,
            x.arg(),
            state.scores.arg(),
            state.denoised.arg(),
            self.components.arg(),
            self.means.arg(),
            self.precisions.arg(),
            self.numbers.arg(),
            of.arg(),
            self.frames as u32,
            self.count as u32,
            level as u32,
            device.layout(),
        );
        let written = rows(of, (FRAME + TANGENT) * self.frames);
        device.launched(Work { read: rows(of, FRAME * self.frames), written })
    }

    fn psi(&self, device: &Device, state: &State, of: &Population, level: usize) -> Result<()> {
        let sharing = Sharing::apart(device);
        psi_kernel::launch(
            device.client(),
            sharing.cubes(device, of.stride() / of.lanes),
            sharing.dim(),
            of.lanes,
            state.denoised.arg(),
            state.slopes.arg(),
            state.log_psi.arg(),
            state.log_w.arg(),
            self.motif.arg(),
            self.offsets.arg(),
            self.turns.arg(),
            self.numbers.arg(),
            of.arg(),
            self.frames as u32,
            level as u32,
            device.layout(),
            device.is_cpu(),
        );
        let written = rows(of, TANGENT * self.frames + 2);
        device.launched(Work { read: rows(of, FRAME * self.frames + 1), written })
    }

    fn pull(
        &self,
        device: &Device,
        state: &State,
        x: &Buf<f32>,
        of: &Population,
        level: usize,
    ) -> Result<()> {
        let sharing = Sharing::apart(device);
        pull_kernel::launch(
            device.client(),
            sharing.cubes(device, self.frames * of.stride() / of.lanes),
            sharing.dim(),
            of.lanes,
            x.arg(),
            state.scores.arg(),
            state.slopes.arg(),
            state.pulls.arg(),
            self.components.arg(),
            self.precisions.arg(),
            self.numbers.arg(),
            of.arg(),
            self.frames as u32,
            self.count as u32,
            level as u32,
            device.layout(),
        );
        let read = rows(of, (FRAME + 2 * TANGENT) * self.frames);
        device.launched(Work { read, written: rows(of, TANGENT * self.frames) })
    }

    fn check(&self, state: &State, seeds: &Buf<u32>, of: &Population) -> Result<()> {
        self.check_state(state, of)?;
        enough(&[("seeds", seeds.len(), 2 * of.groups)])
    }

    fn check_state(&self, state: &State, of: &Population) -> Result<()> {
        if of.dim != FRAME * self.frames {
            let wanted = format!("{FRAME} for each of {} frames", self.frames);
            return Err(argument("coordinates of a particle", of.dim, wanted));
        }
        if of.particles() == 0 {
            return Err(argument("particles and groups", 0, "at least 1"));
        }
        if u32::try_from(of.dim * of.stride()).is_err() {
            return Err(argument("numbers of all frames", of.dim * of.stride(), "below 2^32"));
        }
        let (chain, tangents) = (of.dim * of.stride(), TANGENT * self.frames * of.stride());
        enough(&[
            ("frames", state.x[0].len().min(state.x[1].len()), chain),
            ("log-weights", state.log_w.len(), of.stride()),
            ("log psi", state.log_psi.len(), of.stride()),
            ("scores of frames", state.scores.len(), tangents),
            ("gradients of log psi", state.pulls.len(), tangents),
            ("denoised frames", state.denoised.len(), chain),
            ("gradients at denoised frames", state.slopes.len(), tangents),
            ("ancestors", state.ancestors.len(), of.stride()),
            ("group records", state.norms.len(), RECORD * of.groups),
        ])
    }
}

/// Bytes of `rows` numbers of each particle.
fn rows(of: &Population, rows: usize) -> u64 {
    4 * (of.particles() * rows) as u64
}
