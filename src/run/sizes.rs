//! What a run holds and moves, before it runs.

use feynkac_kernels::device::Buf;
use feynkac_kernels::passes::layers::Each;
use feynkac_kernels::passes::step::{Carried, Cells, Stage};
use feynkac_kernels::passes::{
    Work, genealogy, increments, jumps, ladder, paths, priority, resample, retain,
};

use super::Run;
use crate::aim::Divergence;
use crate::error::Result;
use crate::model::{Field, Model, Uploaded};
use crate::plan::Pass;
use crate::registry::Scheme;

impl Run<'_> {
    /// The networks of layers among the models, each by the first of the models that it is.
    pub(crate) fn layered(&self) -> impl Iterator<Item = (usize, &Field)> {
        self.networks.iter().filter_map(|(model, network)| match network {
            Uploaded::Layers(field) => Some((*model, &**field)),
            Uploaded::Dense(_) => None,
        })
    }

    /// Asks `field` of the rows of the last step, as at its level: `each` is handed every launch, to measure it. What the
    /// networks said there is lost.
    pub(crate) fn by_steps(&self, field: &Field, each: Each) -> Result<()> {
        let (count, level) = (self.of.particles(), self.coeffs.len());
        field.launch_by_steps(self.device, &self.rows, &self.feed.params, count, level, each)
    }

    /// Particles after the last step.
    pub fn last(&self) -> &Carried {
        &self.carried[self.coeffs.len() % 2]
    }

    /// (what, bytes) of every buffer, those of one name added up.
    pub fn buffers(&self) -> Vec<(&'static str, u64)> {
        let carried = self.carried.iter().flat_map(|c| c.buffers());
        let networks = self.networks.values().map(Uploaded::buffers);
        let others = [
            ("scratch", self.scratch.bytes()),
            ("ancestors", self.ancestors.bytes()),
            ("block records", self.blocks.bytes()),
            ("parts of residual resampling", if self.parts.len() > 1 { self.parts.bytes() } else { 0 }),
            ("priorities", if self.chosen.used { self.chosen.bytes() } else { 0 }),
            ("centres", if self.options.milder() { self.chosen.centres.bytes() } else { 0 }),
            ("weights of the reward", if self.plan.keeps.ladder { self.rungs().bytes() } else { 0 }),
            ("group records", self.norms.bytes()),
            ("group records of all steps", self.history.bytes()),
            ("genealogy", if self.options.keeps_paths().0 { self.genealogy.bytes() } else { 0 }),
            (
                "log-weights of all steps",
                if self.options.keeps_weights() { self.chosen.log_weights.bytes() } else { 0 },
            ),
            ("positions of all steps", self.positions.as_ref().map_or(0, Cells::bytes)),
            ("path", self.path.as_ref().map_or(0, Buf::bytes)),
            ("coefficients of all steps", self.table.bytes()),
            ("seeds", self.keys.bytes()),
            ("models", self.feed.params.bytes() + self.feed.levels.bytes() + self.feed.map.bytes()),
            ("rows for networks", self.rows.bytes()),
            ("rows that a twist sees", if self.judge.seen.len() > 1 { self.judge.seen.bytes() } else { 0 }),
            ("classifier and its values", self.judge.bytes()),
        ];
        let mut all: Vec<(&'static str, u64)> = Vec::new();
        for (what, bytes) in carried.chain(others.into_iter().filter(|b| b.1 > 0)).chain(networks) {
            match all.iter_mut().find(|(name, _)| *name == what) {
                Some((_, sum)) => *sum += bytes,
                None => all.push((what, bytes)),
            }
        }
        all
    }

    /// Standard error of the divergences that were last estimated, root mean square; none of exact ones.
    pub(super) fn divergence_error(&self) -> Result<Option<f64>> {
        let Divergence::Hutchinson(2..) = self.options.divergence else { return Ok(None) };
        let Some(sums) = self.networks.values().find_map(Uploaded::divergences) else { return Ok(None) };
        let count = self.of.particles();
        let found = self.device.download(sums)?;
        let variances = found.iter().skip(1).step_by(2).take(count).map(|v| f64::from(*v));
        Ok(Some((variances.sum::<f64>() / count as f64).sqrt()))
    }

    /// What `pass` has to move; nothing is known of a foreign model.
    pub fn work(&self, pass: Pass) -> Work {
        let (before, after) = (&self.carried[0], &self.carried[1]);
        let step = |stage| self.launch_of(stage, before, after).work(self.device);
        match pass {
            Pass::Init => {
                let held = before.buffers();
                let kept = ["positions", "log-weights", "roots"];
                let written = held.iter().filter(|(what, _)| kept.contains(what)).map(|(_, bytes)| bytes);
                let logs = 4 * (self.plan.keeps.log_rows() * self.of.stride()) as u64;
                Work { read: 0, written: written.sum::<u64>() + logs + self.ancestors.bytes() }
            }
            Pass::Start => step(Stage::Start),
            Pass::Fused => step(Stage::Fused),
            Pass::Move => step(Stage::Move),
            Pass::Look => step(Stage::Look),
            Pass::LookFirst => step(Stage::LookFirst),
            Pass::Weigh => step(Stage::Weigh),
            Pass::Priority => priority::work(&self.of),
            Pass::Aim => step(Stage::Aim),
            Pass::Ladder => ladder::work(&self.of),
            Pass::Increments => increments::work(&self.of),
            Pass::Births => jumps::work_births(&self.of),
            Pass::Deaths => jumps::work_deaths(&self.of, self.options.scheme == Scheme::Clock),
            Pass::Copies => resample::work_copies(&self.of),
            Pass::Resample => resample::work(&self.of),
            Pass::Genealogy => genealogy::work(&self.of),
            Pass::Tails => paths::work_weights(&self.of),
            Pass::Positions => paths::work(&self.of, &self.plan.keeps),
            Pass::Retain => retain::work(&self.of, &self.plan.keeps),
            Pass::Judge => self.judge.work(self.of.particles()),
            Pass::Back(model) | Pass::Evaluate(model) => match &self.models[model] {
                Model::Network(_) | Model::Layered(_) => self.networks[&model].work(self.of.particles()),
                _ => Work::default(),
            },
        }
    }
}
