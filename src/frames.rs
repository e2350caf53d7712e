//! Draws chains of frames that hold a motif somewhere, turned somehow: docs/maths.md (14.4) to (14.6).
//!
//! Twisted diffusion on rotations and positions: L. Wu et al. 2023. Everything is recorded launch by launch; nothing is
//! read back between the first and the last step.

use feynkac_kernels::device::{Buf, Device};
use feynkac_kernels::methods::{ESS_SHARE, ROW};
use feynkac_kernels::passes::frames::{FRAME, Level};
use feynkac_kernels::passes::resample::{Resampling, Scheme};
use feynkac_kernels::passes::scaffold::{State, Twisted};
use feynkac_kernels::passes::weights::{RECORD, Weights, tally};
use feynkac_kernels::prims::state::{BLOCK, Population};

pub use feynkac_kernels::models::igso3::mixture::Component;
pub use feynkac_kernels::passes::scaffold::{Chain, Lean, Motif};

use crate::error::{Error, Result};
use crate::run::{check_record, group_seed, log_mean};

/// How a motif is looked for.
#[derive(Clone, Debug)]
pub struct Search {
    /// The law of clean chains.
    pub chain: Chain,
    /// What they are to hold.
    pub motif: Motif,
    /// Noise from much to none.
    pub levels: Vec<Level>,
    /// Particles of a group.
    pub particles: usize,
    /// Groups, each with an estimate of its own.
    pub groups: usize,
    /// Seed.
    pub seed: u64,
    /// Resample when the ESS is below this share of the particles: above 1 at every step, 0 never.
    pub ess_share: f64,
    /// How much of the twist's gradient proposals follow.
    pub lean: Lean,
}

/// What a search returns.
#[derive(Clone, Debug)]
pub struct Found {
    /// Chains `[groups * particles]`, seven numbers a frame.
    pub frames: Vec<Vec<f32>>,
    /// Their log-weights since the last resampling.
    pub log_w: Vec<f32>,
    /// Estimate of ln E psi of each group.
    pub log_z: Vec<f64>,
    /// ESS `[group][step]` before each step, and at the end, particles.
    pub ess: Vec<Vec<f64>>,
    /// Steps before which each group was resampled.
    pub resampled_at: Vec<Vec<usize>>,
    /// Reads by the host between the first and the last step.
    pub downloads_in_loop: u64,
}

/// Noise that falls geometrically in `steps` steps, the last of them to none: rotations from variance `most` down to
/// `least`, positions by alpha^2 = 1 / (1 + n) with n from `far` down to `near`.
pub fn levels(steps: usize, (most, least): (f64, f64), (far, near): (f64, f64)) -> Vec<Level> {
    let last = Level { rotation: 0.0, alpha: 1.0, sigma: 0.0 };
    let level = |i: usize| {
        let share = i as f64 / steps.saturating_sub(1).max(1) as f64;
        let n = far * (near / far).powf(share);
        Level {
            rotation: most * (least / most).powf(share),
            alpha: (1.0 + n).sqrt().recip(),
            sigma: (n / (1.0 + n)).sqrt(),
        }
    };
    (0..steps).map(level).chain([last]).collect()
}

/// Draws chains on `device`.
pub fn search(device: &Device, search: &Search) -> Result<Found> {
    check(search)?;
    let walk = Walking::new(device, search)?;
    walk.run()
}

fn check(search: &Search) -> Result<()> {
    for (what, found) in [("particles", search.particles), ("groups", search.groups)] {
        if found == 0 {
            return Err(Error::input(what, found, "at least 1"));
        }
    }
    if !(search.ess_share >= 0.0 && search.ess_share.is_finite()) {
        return Err(Error::input("share of the ESS", search.ess_share, "a number from 0 on"));
    }
    Ok(())
}

/// A search with its buffers.
struct Walking<'a> {
    device: &'a Device,
    twisted: Twisted,
    of: Population,
    state: State,
    seeds: Buf<u32>,
    records: Buf<u32>,
    shares: Buf<f32>,
    history: Buf<f32>,
}

impl<'a> Walking<'a> {
    fn new(device: &'a Device, search: &Search) -> Result<Self> {
        let frames = search.chain.frames();
        let dim = FRAME * frames;
        let twisted = Twisted::new(device, &search.chain, &search.motif, &search.levels, search.lean)?;
        let of = Population {
            groups: search.groups,
            slots: search.particles,
            dim,
            lanes: device.lanes_for(search.particles, dim),
            max_block: device.block_for(BLOCK, search.particles),
        };
        let words = |g: usize| {
            let seed = group_seed(search.seed, g);
            [seed as u32, (seed >> 32) as u32]
        };
        let keys: Vec<u32> = (0..search.groups).flat_map(words).collect();
        // The row behind those of the steps books the last weights and resamples nothing.
        let rows = twisted.steps() + 1;
        let mut shares = vec![0.0_f32; ROW * rows];
        shares.iter_mut().skip(ESS_SHARE).step_by(ROW).for_each(|share| *share = search.ess_share as f32);
        shares[ROW * (rows - 1) + ESS_SHARE] = -1.0;
        Ok(Self {
            device,
            state: State::new(device, frames, &of)?,
            seeds: device.upload("seeds", &keys)?,
            records: device.empty("block records", RECORD * of.groups * of.blocks())?,
            shares: device.upload("shares of the ESS", &shares)?,
            history: device.empty("history", RECORD * of.groups * rows)?,
            twisted,
            of,
        })
    }

    fn run(&self) -> Result<Found> {
        let (device, state) = (self.device, &self.state);
        self.twisted.start(device, state, &self.seeds, &self.of)?;
        self.twisted.aim(device, state, &self.of, 0)?;
        let entered = device.counts().downloads;
        for step in 0..self.twisted.steps() {
            self.decide(step)?;
            self.twisted.advance(device, state, &self.seeds, &self.of, step)?;
            self.twisted.aim(device, state, &self.of, step + 1)?;
        }
        self.decide(self.twisted.steps())?;
        let downloads_in_loop = device.counts().downloads - entered;
        self.read(downloads_in_loop)
    }

    /// Adds the weights up and resamples where the ESS is low.
    fn decide(&self, step: usize) -> Result<()> {
        let log_w = &self.state.log_w;
        tally(self.device, Weights::Log, log_w, &self.records, &self.of)?;
        let resampling = Resampling {
            scheme: Scheme::Systematic,
            kind: Weights::Log,
            values: log_w,
            records: &self.records,
            parts: &self.records,
            coeffs: &self.shares,
            norms: &self.state.norms,
            history: &self.history,
            seeds: &self.seeds,
            ancestors: &self.state.ancestors,
            of: &self.of,
        };
        Ok(resampling.launch(self.device, step)?)
    }

    fn read(&self, downloads_in_loop: u64) -> Result<Found> {
        let (device, of, steps) = (self.device, &self.of, self.twisted.steps());
        let x = device.download(&self.state.x[steps % 2])?;
        let log_w = device.download(&self.state.log_w)?;
        let history = device.download(&self.history)?;
        let mut found = Found {
            frames: Vec::with_capacity(of.particles()),
            log_w: Vec::with_capacity(of.particles()),
            log_z: Vec::new(),
            ess: Vec::new(),
            resampled_at: Vec::new(),
            downloads_in_loop,
        };
        for group in 0..of.groups {
            let records: Vec<&[f32]> = history.chunks(RECORD).skip(group).step_by(of.groups).collect();
            self.book(&mut found, group, &records)?;
            for at in (0..of.slots).map(|slot| group * of.padded() + slot) {
                found.frames.push((0..of.dim).map(|k| x[of.cell(device.layout(), of.dim, k, at)]).collect());
                found.log_w.push(log_w[at]);
            }
        }
        Ok(found)
    }

    /// What the records of a group say.
    fn book(&self, found: &mut Found, group: usize, records: &[&[f32]]) -> Result<()> {
        let last = records.len() - 1;
        let mut log_z = 0.0;
        for (step, record) in records.iter().enumerate() {
            check_record(record, step, group)?;
            if record[3] > 0.5 || step == last {
                log_z += log_mean([0, 1, 2, 3].map(|i| f64::from(record[i])), self.of.slots);
            }
        }
        let resampled = (0..last).filter(|step| records[*step][3] > 0.5).collect();
        found.log_z.push(log_z);
        found.resampled_at.push(resampled);
        found.ess.push(records.iter().map(|r| f64::from(r[1]) * f64::from(r[1]) / f64::from(r[2])).collect());
        Ok(())
    }
}
