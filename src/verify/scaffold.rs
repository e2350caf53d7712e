//! Twisted chains of frames beside plain loops: each part of a step is fed what the device had before it.

use feynkac_kernels::device::Device;
use feynkac_kernels::models::igso3::SERIES_FROM;
use feynkac_kernels::models::igso3::mixture::Component;
use feynkac_kernels::models::igso3::oracle::density;
use feynkac_kernels::passes::frames::{FRAME, Level};
use feynkac_kernels::passes::scaffold::{
    Chain, Lean, Motif, NUMBERS, State, TANGENT, Twisted, oracle, precision, twist_numbers,
};
use feynkac_kernels::prims::philox::purpose;
use feynkac_kernels::prims::so3::oracle::{angle, retract, rotate, uniform};
use feynkac_kernels::prims::state::{BLOCK, Population};

use super::frames::{LEVELS, NORMAL, SEEDS, particles};
use super::passes::{fraction, population};
use super::{EPS, Verdict};
use crate::error::Result;

/// Lengths of the longest chains of operations, in roundings, rounded up to a power of two.
const CHAIN: f64 = 32.0;

fn quaternion(i: usize) -> [f64; 4] {
    uniform([1, 2, 3, 4].map(|k| 4.0 * fraction(4 * i + k) - 2.0))
}

fn vector(i: usize) -> [f64; 3] {
    [1, 2, 3].map(|k| 4.0 * fraction(100 + 3 * i + k) - 2.0)
}

/// One to three components a frame.
fn chain(frames: usize) -> Chain {
    let mixture = |f: usize| -> Vec<Component> {
        let one = |c: usize| Component {
            weight: 1.0 + c as f64,
            rotation: quaternion(3 * f + c),
            spread: 0.05 + 0.2 * c as f64,
        };
        (0..1 + f % 3).map(one).collect()
    };
    Chain {
        rotations: (0..frames).map(mixture).collect(),
        positions: (0..frames).map(vector).collect(),
        links: (1..frames).map(|i| 0.2 * i as f64).collect(),
    }
}

fn motif(frames: usize) -> Motif {
    let residues = (frames / 2).max(1);
    let matrix = |i: usize| {
        let q = quaternion(50 + i);
        let columns = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(|axis| rotate(q, axis));
        std::array::from_fn(|r| std::array::from_fn(|c| columns[c][r]))
    };
    Motif {
        rotations: (0..residues).map(matrix).collect(),
        positions: (0..residues).map(|i| vector(50 + i)).collect(),
        offsets: (0..=frames - residues).collect(),
        turns: (80..85).map(quaternion).collect(),
        noise: [0.2, 0.3],
        breadth: [0.3, 1.0],
    }
}

/// Every step of a walk, from parents and, in turn, from the slots' own past.
pub(super) fn twisted(device: &Device) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for (groups, slots, frames, most) in [(1, 1, 1, 1.0), (2, 17, 5, 0.5), (1, 300, 3, 4.0)] {
        let lean = Lean { share: 0.8, most };
        let of = Population { groups, dim: FRAME * frames, ..population(device, slots, BLOCK) };
        let (chain, motif) = (chain(frames), motif(frames));
        let twisted = Twisted::new(device, &chain, &motif, &LEVELS, lean)?;
        let numbers = twist_numbers(&LEVELS, &motif, lean);
        Walker { device, of, chain, motif, twisted, numbers }.walk(&mut verdict)?;
    }
    Ok(verdict)
}

struct Walker<'a> {
    device: &'a Device,
    of: Population,
    chain: Chain,
    motif: Motif,
    twisted: Twisted,
    numbers: Vec<[f64; NUMBERS]>,
}

/// Numbers of one particle.
type Row = Vec<f64>;

impl Walker<'_> {
    fn rows(&self, from: &feynkac_kernels::device::Buf<f32>, rows: usize) -> Result<Vec<Row>> {
        let of = Population { dim: rows, ..self.of };
        Ok(particles(&self.device.download(from)?, self.device, &of))
    }

    fn walk(&self, verdict: &mut Verdict) -> Result<()> {
        let (device, of) = (self.device, &self.of);
        let words: Vec<u32> = SEEDS[..of.groups].iter().flat_map(|s| [*s as u32, (s >> 32) as u32]).collect();
        let seeds = device.upload("seeds", &words)?;
        let mut state = State::new(device, of.dim / FRAME, of)?;
        self.twisted.start(device, &state, &seeds, of)?;
        for (i, found) in self.rows(&state.x[0], of.dim)?.iter().enumerate() {
            let wanted = oracle::start(of.dim / FRAME, &self.numbers[0], (SEEDS[i / of.slots], i % of.slots));
            for (k, (found, wanted)) in found.iter().zip(wanted).enumerate() {
                // A quaternion of four normals may be short.
                let allowed = if k % FRAME < 4 { 20.0 * NORMAL } else { 2.0 * NORMAL };
                verdict.compare("scaffold: start", 0, (i, k), *found as f32, wanted, allowed);
            }
        }
        for step in 0..=self.twisted.steps() {
            let owed = self.rows(&state.log_w, 1)?;
            self.twisted.aim(device, &state, of, step)?;
            self.aimed(&state, step, &owed, verdict)?;
            if step == self.twisted.steps() {
                break;
            }
            let resampled = step % 2 == 0;
            let reversed: Vec<u32> =
                (0..of.stride()).map(|at| (of.slots - 1).saturating_sub(at % of.padded()) as u32).collect();
            state.ancestors = device.upload("ancestors", &reversed)?;
            let record = [0.0, 1.0, 1.0, f32::from(u8::from(resampled))];
            state.norms = device.upload("group records", &record.repeat(of.groups))?;
            let before = self.before(&state, step, resampled)?;
            self.twisted.advance(device, &state, &seeds, of, step)?;
            self.moved(&state, step, &before, verdict)?;
            verdict.steps += 1;
        }
        Ok(())
    }

    /// What each slot starts from: frames, scores, pulls, log psi, log-weight.
    fn before(&self, state: &State, step: usize, resampled: bool) -> Result<Vec<[Row; 5]>> {
        let (of, six) = (&self.of, self.of.dim / FRAME * TANGENT);
        let (x, scores) = (self.rows(&state.x[step % 2], of.dim)?, self.rows(&state.scores, six)?);
        let (pulls, log_psi) = (self.rows(&state.pulls, six)?, self.rows(&state.log_psi, 1)?);
        let log_w = self.rows(&state.log_w, 1)?;
        let own = |i: usize| {
            let from = if resampled { i / of.slots * of.slots + of.slots - 1 - i % of.slots } else { i };
            let log_w = if resampled { vec![0.0] } else { log_w[i].clone() };
            [x[from].clone(), scores[from].clone(), pulls[from].clone(), log_psi[from].clone(), log_w]
        };
        Ok((0..of.particles()).map(own).collect())
    }

    fn aimed(&self, state: &State, level: usize, owed: &[Row], verdict: &mut Verdict) -> Result<()> {
        let (of, six) = (&self.of, self.of.dim / FRAME * TANGENT);
        let (x, scores) = (self.rows(&state.x[level % 2], of.dim)?, self.rows(&state.scores, six)?);
        let (denoised, slopes) = (self.rows(&state.denoised, of.dim)?, self.rows(&state.slopes, six)?);
        let (pulls, log_psi) = (self.rows(&state.pulls, six)?, self.rows(&state.log_psi, 1)?);
        let log_w = self.rows(&state.log_w, 1)?;
        for i in 0..of.particles() {
            let mut compare = |what, found: &[f64], wanted: &[f64], allowed: &[f64]| {
                for (k, found) in found.iter().enumerate() {
                    verdict.compare(what, level, (i, k), *found as f32, wanted[k], allowed[k]);
                }
            };
            let at = &LEVELS[level];
            let (told, slack) = self.told(at, &x[i]);
            compare("scaffold: score", &scores[i], &told.score, &slack.score);
            compare("scaffold: denoised", &denoised[i], &told.denoised, &slack.denoised);
            let (wanted, gradient) = oracle::psi(&self.motif, &self.numbers[level], &denoised[i]);
            let (allowed, by_kind) = self.psi_slack(level, &denoised[i]);
            compare("scaffold: log psi", &log_psi[i], &[wanted], &[allowed]);
            let sum = owed[i][0] + log_psi[i][0];
            compare("scaffold: log-weight", &log_w[i], &[sum], &[2.0 * EPS * sum.abs()]);
            let allowed: Row = (0..six).map(|k| by_kind[usize::from(k % TANGENT >= 3)]).collect();
            compare("scaffold: gradient", &slopes[i], &gradient, &allowed);
            let (wanted, allowed) = self.pulled(at, &x[i], &slopes[i]);
            compare("scaffold: pull", &pulls[i], &wanted, &allowed);
        }
        Ok(())
    }

    fn moved(&self, state: &State, step: usize, before: &[[Row; 5]], verdict: &mut Verdict) -> Result<()> {
        let of = &self.of;
        let (x, log_w) = (self.rows(&state.x[(step + 1) % 2], of.dim)?, self.rows(&state.log_w, 1)?);
        let numbers = &self.numbers[step];
        for (i, [from, score, pull, log_psi, began]) in before.iter().enumerate() {
            let z = oracle::normals(SEEDS[i / of.slots], i % of.slots, step, purpose::MOVE);
            let (wanted, ratio) = oracle::moved(numbers, from, (score, pull), &z);
            let (mut shifts, mut owed) = (vec![0.0; score.len()], 0.0);
            for (k, shift) in shifts.iter_mut().enumerate() {
                let (drift, std) =
                    if k % TANGENT < 3 { (numbers[1], numbers[2]) } else { (numbers[6], numbers[7]) };
                let u = (numbers[10] * std * pull[k]).abs().min(numbers[11]);
                *shift = drift * score[k].abs() + std * (u + 7.0);
                owed += u * (NORMAL + CHAIN * EPS * (u + 14.0));
            }
            for k in 0..of.dim {
                let (f, k) = (k / FRAME, k % FRAME);
                let allowed = if k < 4 {
                    let way: f64 = shifts[TANGENT * f..][..3].iter().sum();
                    NORMAL * numbers[2] + CHAIN * EPS * (1.0 + way)
                } else {
                    // The centre is that of all frames.
                    let most = shifts.iter().copied().fold(0.0, f64::max);
                    let far = from.iter().map(|x| x.abs()).fold(0.0, f64::max);
                    2.0 * NORMAL * numbers[7] + CHAIN * EPS * (most + numbers[5] * far)
                };
                let at = FRAME * f + k;
                verdict.compare("scaffold: move", step, (i, at), x[i][at] as f32, wanted[at], allowed);
            }
            let sum = began[0] + ratio - log_psi[0];
            let allowed = owed + 4.0 * EPS * (began[0].abs() + ratio.abs() + log_psi[0].abs());
            verdict.compare("scaffold: ratio", step, (i, 0), log_w[i][0] as f32, sum, allowed);
        }
        Ok(())
    }

    /// What rounding can do to fits, and to the gradients of rotations and positions through the shares of placements.
    fn psi_slack(&self, level: usize, denoised: &[f64]) -> (f64, [f64; 2]) {
        let numbers = &self.numbers[level];
        let (turned, moved) = (numbers[8], numbers[9]);
        let far = denoised.chunks(FRAME).map(|f| length(&f[4..])).fold(0.0, f64::max);
        let goal = self.motif.centred().iter().map(|x| length(x)).fold(0.0, f64::max);
        let residues = self.motif.rotations.len() as f64;
        let fit = CHAIN * EPS * residues * (6.0 * turned + moved * (far * far + goal * goal));
        let share = 2.0 * fit + CHAIN * EPS;
        (fit + 4.0 * EPS, [share * 4.0 * turned, share * moved * (2.0 * far + goal)])
    }

    /// The oracle with the level, or one coordinate of the particle, off by so many roundings: the sum of what that does.
    fn nearby(&self, at: &Level, x: &[f64], oracle: impl Fn(&Level, &[f64]) -> Row) -> (Row, Row) {
        let here = oracle(at, x);
        let off = 8.0 * EPS;
        let mut slack: Row = here.iter().map(|v| CHAIN * EPS * v.abs()).collect();
        let mut add = |there: Row| {
            for (slack, (here, there)) in slack.iter_mut().zip(here.iter().zip(there)) {
                *slack += (here - there).abs();
            }
        };
        add(oracle(&Level { rotation: at.rotation + off * (0.05 + at.rotation), ..*at }, x));
        for k in 0..6 {
            let mut near = x.to_vec();
            for frame in near.chunks_mut(FRAME) {
                let mut step = [0.0; 3];
                step[k % 3] = if k < 3 { off } else { -off };
                let turned = retract([frame[0], frame[1], frame[2], frame[3]], step);
                frame[..4].copy_from_slice(&turned);
            }
            add(oracle(at, &near));
        }
        (here, slack)
    }

    /// How many times larger the terms of a series are than its sum, and 1/t: what a frame's law is off by for rounding.
    fn law(&self, at: &Level, frame: usize, x: &[f64]) -> f64 {
        let one = |c: &Component| {
            let (t, w) = (c.spread + at.rotation, angle(c.rotation, oracle_rotation(&x[FRAME * frame..])));
            let lost = if t >= f64::from(SERIES_FROM) { density(1.0e-3, t) / density(w, t) } else { 1.0 };
            lost * (1.0 + 1.0 / t)
        };
        CHAIN * EPS * self.chain.rotations[frame].iter().map(one).fold(0.0, f64::max)
    }

    /// Scores and denoised frames with what they may be off by.
    fn told(&self, at: &Level, x: &[f64]) -> (oracle::Told, oracle::Told) {
        let here = oracle::told(&self.chain, at, x);
        let (_, near) = self.nearby(at, x, |at, x| oracle::told(&self.chain, at, x).score);
        let (_, near_clean) = self.nearby(at, x, |at, x| oracle::told(&self.chain, at, x).denoised);
        let mut slack = oracle::Told { score: near, denoised: near_clean };
        let table = precision(&self.chain, at);
        let (n, means) = (self.chain.frames(), self.chain.means());
        for f in 0..n {
            let law = self.law(at, f, x);
            slack.score[TANGENT * f..][..3].iter_mut().for_each(|s| *s += law);
            slack.denoised[FRAME * f..][..4].iter_mut().for_each(|s| *s += at.rotation * law + CHAIN * EPS);
            for k in 0..3 {
                let term = |j: usize| {
                    table[f * n + j].abs() * (x[FRAME * j + 4 + k].abs() + at.alpha * means[j][k].abs())
                };
                let off = CHAIN * EPS * (0..n).map(term).sum::<f64>();
                slack.score[TANGENT * f + 3 + k] = off;
                let own = CHAIN * EPS * x[FRAME * f + 4 + k].abs();
                slack.denoised[FRAME * f + 4 + k] = (own + at.sigma * at.sigma * off) / at.alpha;
            }
        }
        (here, slack)
    }

    /// Gradients at the noisy chain with what they may be off by.
    fn pulled(&self, at: &Level, x: &[f64], g: &[f64]) -> (Row, Row) {
        let (here, mut slack) = self.nearby(at, x, |at, x| oracle::pulled(&self.chain, at, x, g));
        let table = precision(&self.chain, at);
        let n = self.chain.frames();
        for f in 0..n {
            let law = self.law(at, f, x) * (1.0 + at.rotation) + CHAIN * EPS;
            let size = length(&g[TANGENT * f..][..3]);
            slack[TANGENT * f..][..3].iter_mut().for_each(|s| *s += law * size);
            for k in 3..TANGENT {
                let own = g[TANGENT * f + k].abs();
                let sum: f64 = (0..n).map(|j| (table[f * n + j] * g[TANGENT * j + k]).abs()).sum();
                slack[TANGENT * f + k] = CHAIN * EPS * (own + at.sigma * at.sigma * sum) / at.alpha;
            }
        }
        (here, slack)
    }
}

fn oracle_rotation(x: &[f64]) -> [f64; 4] {
    [x[0], x[1], x[2], x[3]]
}

fn length(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}
