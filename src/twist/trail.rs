//! The path that the noise took from what is known, along which it is put in its place: docs/maths.md (13.8).

use feynkac_kernels::prims::philox::oracle::{Stream, normal};
use feynkac_kernels::prims::philox::{purpose, tag};

use super::Task;
use super::chain::added;
use crate::model::Noise;
use crate::target::log_normal;

/// Of one group.
pub(crate) struct Trail {
    /// What the known coordinates are at each level `[levels][D]`; the others do not matter.
    pub at: Vec<Vec<f64>>,
    /// ln of the density with which each level was drawn from the one below; 0 at the clean state, which was not.
    pub log_q: Vec<f64>,
}

impl Trail {
    /// From what `task` knows up to `levels`, of which the last is the clean state.
    pub fn new(task: &Task, levels: &[Noise], seed: u64) -> Self {
        let Task::Inpaint { mask, known, .. } = task else {
            return Self { at: Vec::new(), log_q: Vec::new() };
        };
        let (mut at, mut log_q) = (vec![known.clone(); levels.len()], vec![0.0; levels.len()]);
        for i in (0..levels.len() - 1).rev() {
            let (now, below) = (levels[i], levels[i + 1]);
            let kept = now.alpha / below.alpha;
            let variance = added(now, below);
            let stream = Stream { seed, slot: 0, step: i as u32, tag: tag(purpose::TRAIL, 0) };
            for k in (0..mask.len()).filter(|k| mask[*k]) {
                let mean = kept * at[i + 1][k];
                at[i][k] = mean + variance.sqrt() * normal(stream, k, mask.len());
                log_q[i] += log_normal(at[i][k], mean, variance);
            }
        }
        Self { at, log_q }
    }
}
