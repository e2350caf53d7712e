//! Where scores come from: closed forms, networks, or a model of the caller's own.

mod field;
mod foreign;
mod layers;
mod likelihood;
mod network;

use std::path::Path;

use feynkac_kernels::device::Device;
use feynkac_kernels::models::{FEW, Kind};
use feynkac_kernels::passes::step::Feed;

use crate::aim::Says;
use crate::error::{Error, Result};
use crate::layered::Folder;
use crate::netconfig::{self, DataMoments, NetConfig, NetWeights};
use crate::options::Options;
use crate::schedule::Schedule;
use crate::target::{Scales, Target};
use crate::twist;

pub(crate) use field::{Beside, Field};
pub use foreign::Foreign;
pub use layers::Asked;
pub use likelihood::{ClassifierNet, Likelihood, Seen};
pub(crate) use network::{Uploaded, networks, together};
pub use network::{dense_network, shape, with_numbers};

/// A noise level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Noise time.
    pub t: f64,
    /// Signal factor.
    pub alpha: f64,
    /// Noise standard deviation.
    pub sigma: f64,
}

/// A network read from a folder, with the class it is asked for.
#[derive(Clone, Debug)]
pub struct Network {
    /// What errors call it: its folder.
    pub name: String,
    /// Its description.
    pub config: NetConfig,
    /// Its numbers.
    pub weights: NetWeights,
    /// The class; `None` is the null class, or an unconditional network.
    pub class: Option<usize>,
}

/// A model of a run.
pub enum Model {
    /// A density known in closed form.
    Analytic(Target),
    /// A trained dense network.
    Network(Box<Network>),
    /// A trained network of another kind, or an energy.
    Layered(Box<Asked>),
    /// Somebody else's.
    Foreign(Box<dyn Foreign>),
    /// No model of samples but a classifier of them: behind the model of [`crate::Task::Classifier`].
    Classifier(Box<ClassifierNet>),
    /// The same, a likelihood of the caller's own: behind the model of [`crate::Task::Own`].
    Likelihood(Box<dyn Likelihood>),
}

impl Model {
    /// Opens a `.toml` target or a weights folder. `class` asks a conditional network for one of
    /// its classes. Returns warnings beside the model.
    pub fn open(path: &Path, class: Option<usize>) -> Result<(Self, Vec<String>)> {
        if path.extension().is_some_and(|e| e == "toml") {
            if class.is_some() {
                return Err(Error::input(
                    "class",
                    path.display(),
                    "a class-conditional network, not a closed form",
                ));
            }
            let (target, warnings) = Target::open(path)?;
            return Ok((Model::Analytic(target), warnings));
        }
        if Folder::of(path)?.layered() {
            let (asked, warnings) = Asked::open(path, class)?;
            return Ok((Model::Layered(Box::new(asked)), warnings));
        }
        let (config, weights, warnings) = netconfig::load(path)?;
        match (class, config.classes) {
            (Some(c), Some(n)) if c >= n => return Err(Error::input("class", c, format!("0 to {}", n - 1))),
            (Some(c), None) => {
                return Err(Error::input("class", c, "no class: the network is unconditional"));
            }
            _ => {}
        }
        Ok((
            Model::Network(Box::new(Network { name: path.display().to_string(), config, weights, class })),
            warnings,
        ))
    }

    /// Whether its scores are evaluated outside of the step, through rows in memory.
    pub fn outside(&self) -> bool {
        !matches!(self, Model::Analytic(_))
    }

    fn network(&self) -> Option<&Network> {
        if let Model::Network(network) = self { Some(network) } else { None }
    }

    /// Whether this and `other` are one network, whatever the class.
    fn is_one_with(&self, other: &Model) -> bool {
        match (self, other) {
            (Model::Network(own), Model::Network(other)) => {
                own.config == other.config && own.weights == other.weights
            }
            (Model::Layered(own), Model::Layered(other)) => own.is_of(other),
            _ => false,
        }
    }

    /// Refuses noise levels beyond those that it was trained at.
    pub(crate) fn covers(&self, levels: &[Noise]) -> Result<()> {
        match self {
            Model::Network(network) => network.covers(levels),
            Model::Layered(asked) => asked.covers(levels),
            _ => Ok(()),
        }
    }

    /// The folder of a network, and the sigma/alpha where it was trained, the noisiest first.
    pub(crate) fn trained(&self) -> Option<(&str, f64, f64)> {
        match self {
            Model::Network(n) => {
                let ratio = |t: f64| n.config.schedule.log_noise_ratio(t).exp();
                Some((&n.name, ratio(n.config.t_max), ratio(n.config.t_min)))
            }
            Model::Layered(asked) => {
                let (noisy, clean) = asked.scheduler.range;
                Some((&asked.loaded.name, noisy.exp(), clean.exp()))
            }
            _ => None,
        }
    }

    /// Coordinates of a particle.
    pub fn dim(&self) -> usize {
        match self {
            Model::Analytic(target) => target.dim(),
            Model::Network(network) => network.config.trunk.dim,
            Model::Layered(asked) => asked.dim(),
            Model::Foreign(model) => model.dim(),
            Model::Classifier(net) => net.dim(),
            Model::Likelihood(own) => own.dim(),
        }
    }

    /// The schedule and range (t_max, t_min) a network was trained on.
    pub fn schedule(&self) -> Option<(Schedule, f64, f64)> {
        match self {
            Model::Network(n) => Some((n.config.schedule, n.config.t_max, n.config.t_min)),
            Model::Layered(asked) => {
                let (t_max, t_min) = asked.range();
                Some((asked.scheduler.schedule, t_max, t_min))
            }
            _ => None,
        }
    }

    /// `count` of the noise levels that the network was trained at, as its scheduler spaces them for so many steps: times of
    /// `schedule`, falling, for [`Options::times`]. With the network's own schedule that is the chain of a respaced DDPM. A
    /// model without a table of training steps has none.
    pub fn respaced(&self, schedule: &Schedule, count: usize) -> Result<Vec<f64>> {
        match self {
            Model::Layered(asked) => asked.scheduler.noise_times(schedule, count),
            model => {
                let wanted = "a network whose scheduler has a table of training steps";
                Err(Error::input("respaced levels of the model", model.describe(), wanted))
            }
        }
    }

    /// Mean and isotropic variance of the data.
    pub fn moments(&self) -> (Vec<f64>, f64) {
        match self {
            Model::Analytic(target) => target.moments(),
            Model::Network(n) => self.spread(n.config.data),
            Model::Layered(asked) => self.spread(asked.loaded.data),
            Model::Foreign(model) => {
                let (mean, std) = model.moments();
                (mean, std * std)
            }
            Model::Classifier(_) | Model::Likelihood(_) => self.spread(None),
        }
    }

    fn spread(&self, data: Option<DataMoments>) -> (Vec<f64>, f64) {
        match data {
            Some(data) => (vec![data.mean; self.dim()], data.std * data.std),
            None => (vec![0.0; self.dim()], 0.0),
        }
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        match self {
            Model::Analytic(Target::Mixture(m)) => {
                format!("mixture of {} Gaussians in {} dimension(s)", m.components(), m.dim)
            }
            Model::Analytic(Target::Gaussian(g)) => format!("Gaussian in {} dimension(s)", g.mean.len()),
            Model::Network(n) => {
                let class = n.class.map_or_else(String::new, |c| format!(", class {c}"));
                let t = &n.config.trunk;
                format!("network {} -> {} x {} -> {}{class}", t.dim, t.layers, t.hidden, t.dim)
            }
            Model::Layered(asked) => asked.describe(),
            Model::Foreign(model) => format!("foreign model in {} dimension(s)", model.dim()),
            Model::Classifier(net) => net.describe(),
            Model::Likelihood(own) => format!("likelihood in {} dimension(s)", own.dim()),
        }
    }
}

/// The noise through which model `at` of a run sees a state at `noise`: a reward sees it as it is.
pub(crate) fn seen(options: &Options, at: usize, noise: Noise) -> Noise {
    if at < options.models { noise } else { Noise { alpha: 1.0, sigma: 0.0, ..noise } }
}

/// Models outside.
fn outside_of(models: &[Model]) -> usize {
    models.iter().filter(|model| model.outside()).count()
}

/// Models outside that say more than their scores.
fn tellers(models: &[Model], options: &Options) -> usize {
    models.iter().enumerate().filter(|(at, model)| options.says(*at, model) != Says::Score).count()
}

/// Where what model `at` says beside its scores begins, behind the `cells` scores of each model outside: a pair a particle.
pub(crate) fn told_cell(models: &[Model], options: &Options, at: usize, cells: usize) -> usize {
    // Of one that says how broad a step is, these are behind its scores.
    let outside = outside_of(models) * if options.learns() { 2 } else { 1 };
    let particles = cells / models.first().map_or(1, Model::dim);
    outside * cells + 2 * particles * tellers(&models[..at], options)
}

/// What a step is told of the models at every level of a run, whose groups have `seeds`. Each model outside writes `cells`
/// scores; closed forms may stand beside it.
pub fn feed(
    device: &Device,
    models: &[Model],
    levels: &[Noise],
    options: &Options,
    cells: usize,
    seeds: &[u64],
) -> Result<Feed> {
    let outside = outside_of(models);
    if outside < models.len() || tellers(models, options) > 0 || options.twisting.is_some() {
        return Numbers::of(models, levels, options, cells, seeds)?.upload(device, options);
    }
    let first = |m: usize| [(m * cells) as u32, 0, 0];
    let map: Vec<u32> = [0].into_iter().chain((0..outside).flat_map(first)).collect();
    Ok(Feed {
        kinds: Vec::new(),
        count: outside,
        params: device.empty("network scores", outside * cells)?,
        levels: device.upload("levels", &[0.0_f32])?,
        map: device.upload("model map", &map)?,
        laplacians: false,
        turns: (outside * models[0].dim()) as u64,
    })
}

/// The numbers of models of which some are closed forms, ready to upload.
struct Numbers {
    kinds: Vec<Kind>,
    params: Vec<f32>,
    levels: Vec<f32>,
    map: Vec<u32>,
    turns: u64,
}

impl Numbers {
    fn upload(self, device: &Device, options: &Options) -> Result<Feed> {
        Ok(Feed {
            count: self.kinds.len(),
            kinds: self.kinds,
            params: device.upload("model parameters", &self.params)?,
            levels: device.upload("model levels", &self.levels)?,
            map: device.upload("model map", &self.map)?,
            laplacians: options.laplacians(),
            turns: self.turns * if options.laplacians() { 2 } else { 1 },
        })
    }

    /// Of `models`; the scores that those outside write come first, `cells` a model.
    fn of(
        models: &[Model],
        levels: &[Noise],
        options: &Options,
        cells: usize,
        seeds: &[u64],
    ) -> Result<Self> {
        let dim = models.first().map_or(0, Model::dim);
        let bent = told_cell(models, options, models.len(), cells);
        // What a twist sends through a network comes back behind what that says.
        let back = if options.twisting.is_some() { outside_of(models) * cells } else { 0 };
        let mut params = vec![0.0_f32; bent + back];
        let mut map = vec![0_u32];
        let mut kinds = Vec::new();
        let mut rows: Vec<Vec<f32>> = vec![Vec::new(); levels.len()];
        let (all, mut written, mut turns) = (levels, 0, 0);
        for (at, model) in models.iter().enumerate() {
            let Model::Analytic(target) = model else {
                let tells = options.says(at, model) != Says::Score;
                kinds.push(match tells {
                    true => Kind::Told,
                    false if options.learns() => Kind::Halves,
                    false => Kind::Rows,
                });
                let beside = if tells { told_cell(models, options, at, cells) } else { 0 };
                map.extend([(written * cells) as u32, beside as u32, bent as u32]);
                (written, turns) = (written + 1, turns + dim as u64);
                continue;
            };
            turns += turns_of(target);
            let levels: Vec<Noise> = all.iter().map(|noise| seen(options, at, *noise)).collect();
            map.extend([params.len() as u32, rows.first().map_or(0, Vec::len) as u32]);
            match target {
                Target::Gaussian(g) => {
                    kinds.push(Kind::Gaussian);
                    map.push(1);
                    params.extend(g.mean.iter().chain(&g.covariance.vectors).map(|&v| v as f32));
                    for (row, noise) in rows.iter_mut().zip(&levels) {
                        let variances =
                            g.covariance.values.iter().map(|c| noise.alpha.powi(2) * c + noise.sigma.powi(2));
                        let log_det: f64 = variances.clone().map(f64::ln).sum();
                        let normaliser = -0.5 * (log_det + dim as f64 * std::f64::consts::TAU.ln());
                        row.extend([noise.alpha as f32, normaliser as f32]);
                        row.extend(variances.map(|v| (1.0 / v) as f32));
                    }
                }
                Target::Mixture(m) => {
                    map.push(m.components() as u32);
                    params.extend(m.means.iter().map(|&v| v as f32));
                    let isotropic = matches!(m.scales, Scales::Isotropic(_));
                    kinds.push(if isotropic { Kind::IsotropicMixture } else { Kind::DiagonalMixture });
                    if !isotropic {
                        let all = (0..m.components()).flat_map(|k| (0..dim).map(move |d| (k, d)));
                        params.extend(all.map(|(k, d)| m.scale(k, d).powi(2) as f32));
                    }
                    for (row, noise) in rows.iter_mut().zip(&levels) {
                        let alpha = noise.alpha;
                        row.extend([1.0 / alpha, alpha, noise.sigma.powi(2)].map(|v| v as f32));
                        for k in 0..m.components() {
                            let variance =
                                |d| noise.alpha.powi(2) * m.scale(k, d).powi(2) + noise.sigma.powi(2);
                            let log_det: f64 = (0..dim).map(|d| variance(d).ln()).sum();
                            let normaliser = -0.5 * (log_det + dim as f64 * std::f64::consts::TAU.ln());
                            let log2_e = std::f64::consts::LOG2_E;
                            row.push(((m.weights[k].ln() + normaliser) * log2_e) as f32);
                            if isotropic {
                                let p = 1.0 / variance(0);
                                row.extend([-0.5 * log2_e * alpha * alpha * p, alpha * p].map(|v| v as f32));
                            }
                        }
                    }
                }
            }
        }
        if let Some((twisting, variance)) = twist::of(options, models) {
            let own = twisting.numbers(all, dim, variance, (params.len(), cells), seeds)?;
            map.extend([params.len() as u32, rows.first().map_or(0, Vec::len) as u32]);
            map.extend(own.map);
            params.extend(own.params);
            rows.iter_mut().zip(own.rows).for_each(|(row, own)| row.extend(own));
            // Its Jacobian costs what the score does.
            turns = 2 * turns + own.turns;
        }
        map[0] = rows.first().map_or(0, Vec::len) as u32;
        Ok(Self { kinds, params, levels: rows.concat(), map, turns })
    }
}

/// Turns of the loops of one evaluation: coordinates that live in registers have none.
fn turns_of(target: &Target) -> u64 {
    let dim = if target.dim() > FEW { target.dim() as u64 } else { 0 };
    match target {
        Target::Gaussian(g) => dim + g.mean.len() as u64 * (1 + 2 * dim),
        Target::Mixture(m) => 2 * dim + m.components() as u64 * (2 + 2 * dim),
    }
}
