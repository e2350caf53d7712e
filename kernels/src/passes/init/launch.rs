//! Check, configure, launch.

use super::kernel::{Kept, init_kernel};
use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::passes::step::{Carried, Keeps};
use crate::passes::{Sharing, Work};
use crate::prims::state::Population;

/// What a model is taken for at the start, where its log-density is estimated from there on.
#[derive(Clone, Debug, PartialEq)]
pub struct First {
    /// Mean of each coordinate.
    pub mean: Vec<f64>,
    /// Variance of every coordinate.
    pub variance: f64,
}

/// The law of the particles' start.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Mean of each coordinate.
    pub mean: Vec<f64>,
    /// Standard deviation of every coordinate.
    pub std: f64,
    /// Whether the first log-weight is minus the log-density of the draw (the target's density is
    /// then added by the step), or `offset` alone.
    pub weighted: bool,
    /// Added to every first log-weight: the log-normaliser of the target at the start.
    pub offset: f64,
    /// A Gaussian a model; none where no log-density is estimated.
    pub first: Vec<First>,
}

impl Start {
    /// [std, constant and factor of |z|^2 in the log-weight, mean of each coordinate], then for each model [constant,
    /// factor of |x - mean|^2 in its log-density, mean of each coordinate].
    pub(crate) fn row(&self) -> Vec<f32> {
        let d = self.mean.len() as f64;
        let own = d * (self.std.ln() + 0.5 * std::f64::consts::TAU.ln());
        let (constant, factor) = if self.weighted { (self.offset + own, 0.5) } else { (self.offset, 0.0) };
        let mut row = vec![self.std as f32, constant as f32, factor];
        row.extend(self.mean.iter().map(|&m| m as f32));
        for First { mean, variance } in &self.first {
            row.extend(
                [-0.5 * d * (std::f64::consts::TAU * variance).ln(), -0.5 / variance].map(|v| v as f32),
            );
            row.extend(mean.iter().map(|&m| m as f32));
        }
        row
    }
}

/// Fills what `into` keeps and identity ancestors, and clears the decisions in `norms`; x also into `rows` `[particles, dim]` if given.
#[allow(clippy::too_many_arguments)]
pub fn init(
    device: &Device,
    start: &Start,
    into: &Carried,
    keeps: &Keeps,
    ancestors: &Buf<u32>,
    norms: &Buf<f32>,
    rows: Option<&Buf<f32>>,
    seeds: &Buf<u32>,
    of: &Population,
) -> Result<()> {
    if start.mean.len() != of.dim {
        return Err(argument("start mean", start.mean.len(), format!("{} coordinates", of.dim)));
    }
    if start.first.len() != keeps.log_rows() || start.first.iter().any(|first| first.mean.len() != of.dim) {
        return Err(argument("models at the start", start.first.len(), keeps.log_rows()));
    }
    if norms.len() < 4 * of.groups {
        return Err(argument("group records", norms.len(), 4 * of.groups));
    }
    if !(start.std.is_finite() && start.std > 0.0) {
        return Err(argument("start standard deviation", start.std, "a positive number"));
    }
    let row = device.upload("start", &start.row())?;
    let with_rows = rows.is_some();
    let rows = rows.cloned().map_or_else(|| device.empty("rows", 1), Ok)?;
    let sharing = Sharing::of(device, of.block());
    let kept = Kept {
        weighed: keeps.weighed,
        roots: keeps.roots,
        scores: keeps.score_rows(),
        logs: keeps.log_rows(),
        layout: device.layout(),
    };
    init_kernel::launch(
        device.client(),
        sharing.cubes(device, of.groups * of.blocks()),
        sharing.dim(),
        of.lanes,
        into.x.arg(),
        into.log_w.arg(),
        into.scores.arg(),
        ancestors.arg(),
        into.roots.arg(),
        into.clock.arg(),
        norms.arg(),
        rows.arg(),
        row.arg(),
        seeds.arg(),
        of.arg(),
        of.dim <= 2,
        with_rows,
        kept,
        sharing,
        keeps.element.kind(),
    );
    let logs = 4 * (keeps.log_rows() * of.stride()) as u64;
    let written = logs + into.x.bytes() + into.log_w.bytes() + ancestors.bytes() + into.roots.bytes();
    device.launched(Work { read: 0, written })
}
