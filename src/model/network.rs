//! Networks on a device: their numbers at every level of a run, their classes side by side.

use std::collections::BTreeMap;
use std::ops::Range;

use feynkac_kernels::device::{Buf, Device};
use feynkac_kernels::passes::mlp::{self, Compute, MlpShape};
use feynkac_kernels::passes::{Number, Work};
use feynkac_kernels::prims::state::Population;

use super::field::{Beside, Field};
use super::{Asked, Model, Network, Noise};
use crate::aim::Says;
use crate::error::{Error, Result};
use crate::netconfig::{self, Norm};
use crate::options::Options;

/// Neighbours that one launch asks, as they are one network under several conditions; whatever else is alone.
pub fn together(models: &[Model]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (at, model) in models.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if models[run.start].is_one_with(model) => run.end = at + 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

/// A network on a device.
#[derive(Debug)]
pub enum Uploaded {
    /// The dense one, every layer in one launch.
    Dense(Box<mlp::Network>),
    /// A list of layers.
    Layers(Box<Field>),
}

impl Uploaded {
    /// Writes the scores of `count` particles of `rows` at level `level` into `out`, under each condition, from element
    /// `first` on, and what it says beside them.
    #[allow(clippy::too_many_arguments)]
    pub fn launch(
        &self,
        device: &Device,
        rows: &Buf<f32>,
        out: &Buf<f32>,
        first: usize,
        count: usize,
        level: Number,
        beside: Beside,
    ) -> Result<()> {
        match self {
            Uploaded::Dense(network) => Ok(network.launch(device, rows, out, first, count, level)?),
            Uploaded::Layers(field) => field.launch(device, rows, out, first, count, level, beside),
        }
    }

    /// What it is computed in.
    pub fn compute(&self) -> Compute {
        match self {
            Uploaded::Dense(network) => network.compute(),
            Uploaded::Layers(_) => Compute::F32,
        }
    }

    /// (what, bytes) of its buffers.
    pub fn buffers(&self) -> (&'static str, u64) {
        match self {
            Uploaded::Dense(network) => ("network weights", network.bytes()),
            Uploaded::Layers(field) => ("network weights and values", field.bytes()),
        }
    }

    /// (sum, variance) of the divergence of each particle, where it takes them.
    pub fn divergences(&self) -> Option<&Buf<f32>> {
        if let Uploaded::Layers(field) = self { field.divergences() } else { None }
    }

    /// What `count` particles have to move.
    pub fn work(&self, count: usize) -> Work {
        match self {
            Uploaded::Dense(network) => network.work(count),
            Uploaded::Layers(field) => field.work(count),
        }
    }
}

/// The networks among `models` on a device, for the particles of `of`, each by the first of the models that it is, with all their classes.
pub fn networks(
    device: &Device,
    models: &[Model],
    levels: &[Noise],
    options: &Options,
    of: &Population,
) -> Result<BTreeMap<usize, Uploaded>> {
    let mut all = BTreeMap::new();
    for run in together(models) {
        let (first, own) = (run.start, &models[run]);
        let dense: Vec<&Network> = own.iter().filter_map(Model::network).collect();
        let asked: Vec<&Asked> = own.iter().filter_map(Model::asked).collect();
        if let Some(network) = dense.first() {
            let classes: Vec<Option<usize>> = dense.iter().map(|network| network.class).collect();
            // The dense kernel knows no way back.
            if options.twisting.is_some() {
                let asked = Asked::of_dense(network)?;
                let field = Field::new(device, &asked, levels, &classes, options, (Says::Score, of))?;
                all.insert(first, Uploaded::Layers(Box::new(field)));
                continue;
            }
            let dense = network.upload(device, levels, &classes, options.compute)?;
            all.insert(first, Uploaded::Dense(Box::new(dense)));
        } else if let Some(network) = asked.first() {
            let classes: Vec<Option<usize>> = asked.iter().map(|network| network.class).collect();
            let says = options.says(first, &models[first]);
            let field = Field::new(device, network, levels, &classes, options, (says, of))?;
            all.insert(first, Uploaded::Layers(Box::new(field)));
        }
    }
    Ok(all)
}

/// Refuses noise levels beyond (noisiest, least noisy) sigma/alpha of a network's training. Levels of two schedules are
/// the same where sigma/alpha is.
pub(super) fn covered(name: &str, levels: &[Noise], (noisy, clean): (f64, f64)) -> Result<()> {
    // At the clean state nothing is asked.
    let ratios = || levels.iter().filter(|noise| noise.sigma > 0.0).map(|noise| noise.sigma / noise.alpha);
    let (least, most) = (ratios().fold(f64::INFINITY, f64::min), ratios().fold(0.0, f64::max));
    if most <= noisy * (1.0 + 1.0e-6) && least >= clean * (1.0 - 1.0e-6) {
        return Ok(());
    }
    Err(Error::input(
        format!("noise (sigma/alpha) of a run of {name}"),
        format!("{least:.4} to {most:.4}"),
        format!("{clean:.4} to {noisy:.4}, on which the network was trained: see t-max and t-min"),
    ))
}

impl Network {
    /// Refuses noise levels beyond those that the network was trained at.
    pub fn covers(&self, levels: &[Noise]) -> Result<()> {
        let ratio = |t: f64| self.config.schedule.log_noise_ratio(t).exp();
        covered(&self.name, levels, (ratio(self.config.t_max), ratio(self.config.t_min)))
    }

    /// The network on a device, with its coefficients and its conditioning on each of `classes` at every level of a run,
    /// whose schedule need not be the one it was trained on: docs/maths.md (9).
    pub fn upload(
        &self,
        device: &Device,
        levels: &[Noise],
        classes: &[Option<usize>],
        compute: Compute,
    ) -> Result<mlp::Network> {
        let (own, trunk) = (&self.config.schedule, &self.config.trunk);
        self.covers(levels)?;
        let (mut cond, mut numbers) = (Vec::new(), Vec::new());
        for noise in levels {
            let lambda = (noise.sigma / noise.alpha).ln();
            let t = own.time_at(lambda);
            let ratio = own.alpha(t) / noise.alpha;
            let c = self.config.preconditioning.score_coeffs(self.config.prediction, own, t);
            for class in classes {
                numbers.push([c.input * ratio, c.x * ratio * ratio, c.out * ratio].map(|v| v as f32));
                cond.push(self.weights.conditioning(&self.config, t, *class)?);
            }
        }
        let shape = shape(trunk, trunk.dim);
        let network = dense_network(device, shape, &self.weights.trunk, &cond, &numbers, compute)?;
        Ok(network.under(classes.len())?)
    }
}

/// The kernel's view of a network's trunk.
pub fn shape(trunk: &netconfig::TrunkConfig, outputs: usize) -> MlpShape {
    MlpShape {
        dim: trunk.dim,
        hidden: trunk.hidden,
        layers: trunk.layers,
        outputs,
        activation: trunk.activation,
        norm: trunk.norm == Norm::Layer,
        skip: trunk.skip,
    }
}

/// Uploads a trunk with the biases of its hidden layers at each level, to be computed in `compute`.
pub fn dense_network(
    device: &Device,
    shape: MlpShape,
    trunk: &netconfig::Trunk,
    cond: &[Vec<f32>],
    levels: &[[f32; 3]],
    compute: Compute,
) -> Result<mlp::Network> {
    with_numbers(trunk, cond, levels, |numbers| Ok(mlp::Network::new(device, shape, numbers, compute)?))
}

/// Shows `what` a trunk as the kernels take it, with the biases of its hidden layers at each level.
pub fn with_numbers<R>(
    trunk: &netconfig::Trunk,
    cond: &[Vec<f32>],
    levels: &[[f32; 3]],
    what: impl FnOnce(&mlp::Numbers) -> R,
) -> R {
    let dense =
        |layer: &netconfig::Dense| mlp::Dense { weight: layer.weight.clone(), bias: layer.bias.clone() };
    let hidden: Vec<Vec<f32>> = trunk.layers.iter().map(|l| l.dense.weight.clone()).collect();
    let norms: Vec<_> = trunk
        .layers
        .iter()
        .filter_map(|l| l.norm.as_ref().map(|n| (n.weight.clone(), n.bias.clone())))
        .collect();
    let (input, output) = (dense(&trunk.input), dense(&trunk.out));
    what(&mlp::Numbers { input: &input, hidden: &hidden, norms: &norms, output: &output, cond, levels })
}
