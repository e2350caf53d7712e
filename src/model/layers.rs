//! Networks that are lists of layers among the models of a run: docs/maths.md (9.3).

use std::path::Path;

use feynkac_kernels::models::layers::Extent;
use feynkac_kernels::passes::energy::EnergyLevel;

use super::network::covered;
use super::{Model, Network, Noise};
use crate::aim::Says;
use crate::divergence;
use crate::error::{Error, Result};
use crate::layered::{self, Kind, Layered, Loaded};
use crate::schedule::{Preconditioning, Prediction, Schedule};
use crate::unet::Scheduler;

/// A network as a list of layers, with the class it is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The network and what its folder says of it.
    pub loaded: Loaded,
    /// How it was trained.
    pub scheduler: Scheduler,
    /// The class; `None` is the null class, or a network without classes.
    pub class: Option<usize>,
    /// The network with all that it says, where that is also how broad a step is: behind what [`Asked::loaded`] says of a
    /// state, a number in about [-1, 1] of each coordinate. docs/maths.md (13.4).
    pub wide: Option<Box<Layered>>,
}

impl Asked {
    /// Opens a folder, and checks that its network gives scores. Gives warnings too.
    pub fn open(path: &Path, class: Option<usize>) -> Result<(Self, Vec<String>)> {
        let (mut loaded, warnings) = layered::open(path)?;
        let told = |error: Error| error.in_file(path);
        let wide = broad(&mut loaded);
        let net = &loaded.net;
        if net.input() != net.output() && !matches!(loaded.kind, Kind::Frames(_)) {
            let wanted = format!("{}, that of its state: a score", net.input());
            return Err(Error::file(path, "output of the network", net.output(), wanted));
        }
        let Some(scheduler) = loaded.scheduler.clone() else {
            let wanted = "scheduler_config.json, which says what noise the network was trained on, in the folder \
                          scheduler of its pipeline or beside its config.json";
            return Err(Error::file(path, "the scheduler", "none", wanted));
        };
        net.row(class).map_err(|error| match error {
            Error::Input { found, wanted, .. } => {
                let null = if class.is_none() && net.classes.is_some() {
                    " (--class), or the key null_class in a feynkac.json beside its config.json"
                } else {
                    ""
                };
                Error::input("class", found, format!("{wanted}{null}"))
            }
            other => told(other),
        })?;
        Ok((Self { loaded, scheduler, class, wide }, warnings))
    }

    /// Coordinates of a state.
    pub fn dim(&self) -> usize {
        self.loaded.net.input().numbers()
    }

    /// Whether this is `other`, whatever the class.
    pub fn is_of(&self, other: &Self) -> bool {
        self.scheduler == other.scheduler && self.loaded.net == other.loaded.net
    }

    /// ln(sigma/alpha) where it was trained, as times of its schedule, the noisiest first; no further than the schedule
    /// goes unless told otherwise.
    pub fn range(&self) -> (f64, f64) {
        let (schedule, (noisy, clean)) = (&self.scheduler.schedule, self.scheduler.range);
        let (t_max, _) = schedule.default_range();
        match self.loaded.kind {
            Kind::Unet(_) => (schedule.time_at(noisy).min(t_max), schedule.time_at(clean)),
            _ => (schedule.time_at(noisy), schedule.time_at(clean)),
        }
    }

    /// Refuses noise levels beyond those that the network was trained at.
    pub fn covers(&self, levels: &[Noise]) -> Result<()> {
        let (noisy, clean) = self.scheduler.range;
        covered(&self.loaded.name, levels, (noisy.exp(), clean.exp()))
    }

    /// The time that the network is shown at a noise level of a run, whose schedule need not be its own, and (c_in, c_x,
    /// c_F) there: docs/maths.md (9d).
    pub fn shown(&self, noise: Noise) -> Result<(f64, [f64; 3])> {
        let (own, (noisy, clean)) = (&self.scheduler, self.scheduler.range);
        let lambda = (noise.sigma / noise.alpha).ln().clamp(clean, noisy);
        let ratio = own.schedule.alpha(own.schedule.time_at(lambda)) / noise.alpha;
        let c = own.score_coeffs(lambda);
        Ok((own.time_at(lambda)?, [c.input * ratio, c.x * ratio * ratio, c.out * ratio]))
    }

    /// The score of a state at a noise level of a run, in f64.
    pub fn score(&self, x: &[f64], noise: Noise) -> Result<Vec<f64>> {
        let (time, [input, own, out]) = self.shown(noise)?;
        let shown: Vec<f64> = x.iter().map(|x| input * x).collect();
        let field = self.loaded.net.field(&shown, time, self.class)?;
        let direct = self.direct(x, own, field.len());
        Ok(direct.iter().zip(field).map(|(x, f)| x + out * f).collect())
    }

    /// What it says of how broad a step is at each coordinate, times what the device's rows are: the factor of its score.
    pub(crate) fn widths(&self, x: &[f64], noise: Noise) -> Result<Vec<f64>> {
        let Some(wide) = &self.wide else { return Ok(Vec::new()) };
        let (time, [input, _, out]) = self.shown(noise)?;
        let shown: Vec<f64> = x.iter().map(|x| input * x).collect();
        let all = wide.field(&shown, time, self.class)?;
        Ok(all[x.len()..].iter().map(|f| out * f).collect())
    }

    /// The gradient of <w, score> with respect to the state, in f64.
    pub(crate) fn bend(&self, x: &[f64], w: &[f64], noise: Noise) -> Result<Vec<f64>> {
        let (time, [input, own, out]) = self.shown(noise)?;
        let shown: Vec<f64> = x.iter().map(|x| input * x).collect();
        let (_, came) = self.loaded.net.vjp(&shown, time, self.class, w)?;
        let direct = self.direct(w, own, came.len());
        Ok(direct.iter().zip(came).map(|(w, came)| w + out * input * came).collect())
    }

    /// What goes around the network: c_x x, or nothing, where a frame has fewer numbers in a score than in a state.
    fn direct(&self, x: &[f64], own: f64, count: usize) -> Vec<f64> {
        match own == 0.0 {
            true => vec![0.0; count],
            false => self.centred(x).iter().map(|x| own * x).collect(),
        }
    }

    /// Less the centre of its atoms, where it has some.
    fn centred(&self, x: &[f64]) -> Vec<f64> {
        let space = self.loaded.net.layers.space();
        let mean = |k: usize| match space {
            0 => 0.0,
            _ => {
                let line = || x.iter().skip(k % space).step_by(space);
                line().sum::<f64>() / line().count() as f64
            }
        };
        x.iter().enumerate().map(|(k, x)| x - mean(k)).collect()
    }

    /// A dense network as one of layers.
    pub fn of_dense(network: &Network) -> Result<Self> {
        let (config, weights) = (network.config, &network.weights);
        let (net, scheduler) = (weights.layered(&config)?, config.scheduler());
        let (name, kind) = (network.name.clone(), Kind::Dense(config));
        let loaded = Loaded { name, kind, net, scheduler: Some(scheduler.clone()), data: config.data };
        Ok(Self { loaded, scheduler, class: network.class, wide: None })
    }

    /// The numbers around an energy at a level of a run on `schedule`, and the rate at which the network's own time
    /// changes with the run's: docs/maths.md (7.10).
    pub fn around(&self, schedule: &Schedule, noise: Noise) -> Result<(EnergyLevel, f64)> {
        let at = |t: f64| -> Result<[f64; 3]> {
            let (alpha, sigma) = (schedule.alpha(t), schedule.sigma(t));
            let (time, [input, _, out]) = self.shown(Noise { t, alpha, sigma })?;
            Ok([input.ln(), (-input / out).ln(), time])
        };
        let (t, (noisy, clean)) = (noise.t, self.scheduler.range);
        let step = 1e-5 * t.abs().max(1e-2);
        let inside = |t: f64| {
            let lambda = schedule.log_noise_ratio(t);
            lambda <= noisy && lambda >= clean
        };
        let [low, high] = [t - step, t + step].map(|other| if inside(other) { other } else { t });
        let (before, after) = (at(low)?, at(high)?);
        let slope = |i: usize| (after[i] - before[i]) / (high - low).max(f64::MIN_POSITIVE);
        let (stretch, spread, rate) = (slope(0), slope(1), slope(2));
        let (_, [input, _, out]) = self.shown(noise)?;
        let (d, a, per) = (self.dim() as f64, schedule.drift_rate(t), 2.0 / schedule.diffusion_sq(t));
        let told = (out / input, d * input.ln());
        let constant = a * d + d * stretch + spread * told.1;
        let laplacian = [told.0, -spread, a + stretch, constant].map(|v| per * v);
        Ok((EnergyLevel { input, told, gradient: out / input, laplacian }, rate))
    }

    /// What it says of a state beside its score, in f64: its log-density, and the Laplacian of that or what stands for it.
    pub(crate) fn told(&self, x: &[f64], schedule: &Schedule, noise: Noise, says: Says) -> Result<[f64; 2]> {
        let net = &self.loaded.net;
        let (time, [input, own, out]) = self.shown(noise)?;
        let shown: Vec<f64> = x.iter().map(|x| input * x).collect();
        Ok(match says {
            Says::Score => [0.0, 0.0],
            Says::Divergence => {
                let inner = divergence::exact(net, &shown, time, self.class)?;
                [0.0, own * x.len() as f64 + out * input * inner]
            }
            Says::Density | Says::Rate => {
                let (around, moves) = self.around(schedule, noise)?;
                let (rate, energy) = net.energy_rate(&shown, time, self.class)?;
                let log_q = around.told.0 * energy + around.told.1;
                let score = self.score(x, noise)?;
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                let [by_rate, by_told, by_pull, constant] = around.laplacian;
                let laplacian =
                    by_rate * rate * moves + by_told * log_q + by_pull * dot(x, &score) + constant
                        - dot(&score, &score);
                [log_q, if says == Says::Rate { laplacian } else { 0.0 }]
            }
        })
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        let (net, class) = (&self.loaded.net, self.class);
        let class = class.map_or_else(String::new, |c| format!(", class {c}"));
        let numbers: usize = net.tensors.iter().map(Vec::len).sum();
        let layers = net.layers.all().len();
        format!("network of {layers} layers on {}, {numbers} numbers{class}", net.input())
    }
}

impl Model {
    /// A dense network as a list of layers, which has derivatives; any other model as it is.
    pub fn layered(self) -> Result<Self> {
        match self {
            Model::Network(network) => Ok(Model::Layered(Box::new(Asked::of_dense(&network)?))),
            other => Ok(other),
        }
    }

    /// Whether its states are frames, whose scores are tangents and not of their shape: for walks of frames alone.
    pub(crate) fn of_frames(&self) -> bool {
        self.asked().is_some_and(|asked| matches!(asked.loaded.kind, Kind::Frames(_)))
    }

    /// The network among layers that this is, if it is.
    pub(crate) fn asked(&self) -> Option<&Asked> {
        if let Model::Layered(asked) = self { Some(asked) } else { None }
    }
}

/// Leaves of a network of learned variances the one that says the noise, and gives the whole.
fn broad(loaded: &mut Loaded) -> Option<Box<Layered>> {
    let scheduler = loaded.scheduler.as_ref()?;
    let (from, to) = (loaded.net.input(), loaded.net.output());
    let plain = scheduler.prediction == Prediction::Eps && scheduler.preconditioning == Preconditioning::None;
    if !(scheduler.learned && plain && to == (Extent { channels: 2 * from.channels, ..from })) {
        return None;
    }
    let half = loaded.net.first_half()?;
    Some(Box::new(std::mem::replace(&mut loaded.net, half)))
}
