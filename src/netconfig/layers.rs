//! A dense network as a list of layers, where derivatives of it are wanted: docs/maths.md (9.3). A linear map is a
//! convolution of one tap on one pixel.

use feynkac_kernels::models::layers::{Extent, Features, Layers, Op};

use super::{
    ClassifierConfig, ClassifierWeights, Dense, Embedding, NetConfig, NetWeights, Trunk, TrunkConfig,
};
use crate::error::Result;
use crate::layered::Layered;
use crate::unet::{Scheduler, Timestep};

/// Layers and the numbers they name, as they grow.
#[derive(Default)]
struct Builder {
    layers: Layers,
    tensors: Vec<Vec<f32>>,
}

impl Builder {
    fn put(&mut self, op: Op, from: &[usize], weights: Vec<Vec<f32>>) -> Result<usize> {
        let first = self.tensors.len();
        let named: Vec<usize> = (first..first + weights.len()).collect();
        self.tensors.extend(weights);
        Ok(self.layers.push(op, from, &named)?)
    }

    fn linear(&mut self, x: usize, weight: &[f32], bias: &[f32]) -> Result<usize> {
        let op = Op::Conv { out: bias.len(), taps: 1, stride: 1, before: 0 };
        self.put(op, &[x], vec![weight.to_vec(), bias.to_vec()])
    }

    fn dense(&mut self, x: usize, dense: &Dense) -> Result<usize> {
        self.linear(x, &dense.weight, &dense.bias)
    }

    /// The hidden part of (9h) to (9l); `time` is u, where there is one.
    fn trunk(&mut self, config: &TrunkConfig, trunk: &Trunk, time: Option<usize>) -> Result<usize> {
        let act = Op::Act(config.activation);
        let state = self.put(Op::State(Extent::vector(config.dim)), &[], Vec::new())?;
        let mut a = self.dense(state, &trunk.input)?;
        a = self.put(act, &[a], Vec::new())?;
        for layer in &trunk.layers {
            let mut z = self.dense(a, &layer.dense)?;
            if let Some(time) = time {
                let shift = self.linear(time, &layer.cond, &vec![0.0; config.hidden])?;
                z = self.put(Op::Shift, &[z, shift], Vec::new())?;
            }
            if let Some(scale) = &layer.norm {
                let weights = vec![scale.weight.clone(), scale.bias.clone()];
                z = self.put(Op::Norm { groups: 1, eps: 1e-5 }, &[z], weights)?;
            }
            z = self.put(act, &[z], Vec::new())?;
            a = if config.skip { self.put(Op::Add, &[z, a], Vec::new())? } else { z };
        }
        self.dense(a, &trunk.out)
    }

    fn done(self, classes: Option<usize>) -> Layered {
        Layered::new(self.layers, self.tensors, classes)
    }
}

impl NetConfig {
    /// How the network was trained, and the time that it is shown as a list of layers: tau of (9e), times the scale of a
    /// sinusoidal embedding.
    pub fn scheduler(&self) -> Scheduler {
        let scale = match self.time.embedding {
            Embedding::Fourier => 1.0,
            Embedding::Sinusoidal { scale, .. } => scale,
        };
        let time = Timestep::Feature { feature: self.time.feature, scale };
        let range = [self.t_max, self.t_min].map(|t| self.schedule.log_noise_ratio(t));
        Scheduler::without_table(self.schedule, time, self.prediction, self.preconditioning, range.into())
    }
}

impl NetWeights {
    /// The network as a list of layers, of input c_in x and output F; the time it counts in is that of
    /// [`NetConfig::scheduler`], and its null class is the last row.
    pub fn layered(&self, config: &NetConfig) -> Result<Layered> {
        let mut b = Builder::default();
        let (count, cosines_first) = (config.time.dim, true);
        let time = match config.time.embedding {
            Embedding::Fourier => {
                let features = Features::Fourier { count, log: false, cosines_first };
                b.put(Op::Time(features), &[], vec![self.time.freqs.clone()])?
            }
            Embedding::Sinusoidal { max_period, .. } => {
                let features = Features::Positional { count, shift: 0.0, period: max_period, cosines_first };
                b.put(Op::Time(features), &[], Vec::new())?
            }
        };
        let act = Op::Act(config.trunk.activation);
        let mut u = b.dense(time, &self.time.first)?;
        u = b.put(act, &[u], Vec::new())?;
        u = b.dense(u, &self.time.second)?;
        if let Some(table) = &self.class {
            let class = b.put(Op::Class { count: config.cond }, &[], vec![table.clone()])?;
            u = b.put(Op::Add, &[u, class], Vec::new())?;
        }
        u = b.put(act, &[u], Vec::new())?;
        b.trunk(&config.trunk, &self.trunk, Some(u))?;
        let net = b.done(config.classes.map(|n| n + 1));
        Ok(Layered { null: config.classes, energy: config.energy, ..net })
    }
}

impl ClassifierWeights {
    /// The classifier as a list of layers, whose output is the logits.
    pub fn layered(&self, config: &ClassifierConfig) -> Result<Layered> {
        let mut b = Builder::default();
        b.trunk(&config.trunk, &self.trunk, None)?;
        Ok(b.done(None))
    }
}
