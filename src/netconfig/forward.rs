//! The forward pass in f64, in plain loops: what the device is checked against, and the part of it that the
//! host computes for the device (the conditioning, once per step and class).

use super::{
    Activation, ClassifierConfig, ClassifierWeights, Dense, Embedding, NetConfig, NetWeights, Scale, Trunk,
    TrunkConfig,
};
use crate::error::{Error, Result};

/// What a denoiser says of one state.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// F: the bare output of the network, `[D]`.
    pub output: Vec<f64>,
    /// D = E[x_0 | x_t], `[D]`.
    pub denoised: Vec<f64>,
    /// grad log q(x, t), `[D]`.
    pub score: Vec<f64>,
}

/// W x, for a row-major W of as many columns as x is long.
fn times(weight: &[f32], x: &[f64]) -> Vec<f64> {
    weight
        .chunks_exact(x.len().max(1))
        .map(|row| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum())
        .collect()
}

fn add(to: &mut [f64], what: &[f32]) {
    for (a, b) in to.iter_mut().zip(what) {
        *a += f64::from(*b);
    }
}

fn affine(dense: &Dense, x: &[f64]) -> Vec<f64> {
    let mut out = times(&dense.weight, x);
    add(&mut out, &dense.bias);
    out
}

fn activate(activation: Activation, z: &mut [f64]) {
    for z in z {
        *z = activation.at(*z);
    }
}

/// Layer normalisation: mean 0, variance 1 (the biased one, plus 1e-5), then the affine map.
fn normalise(z: &mut [f64], scale: &Scale) {
    let n = z.len() as f64;
    let mean = z.iter().sum::<f64>() / n;
    let variance = z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / n;
    let factor = 1.0 / (variance + 1e-5).sqrt();
    for ((z, w), b) in z.iter_mut().zip(&scale.weight).zip(&scale.bias) {
        *z = (*z - mean) * factor * f64::from(*w) + f64::from(*b);
    }
}

/// The hidden part: `x` as the input layer sees it, `bias` the L rows of H numbers that the layers add.
fn hidden(config: &TrunkConfig, trunk: &Trunk, x: &[f64], bias: &[f64]) -> Vec<f64> {
    let mut a = affine(&trunk.input, x);
    activate(config.activation, &mut a);
    for (layer, bias) in trunk.layers.iter().zip(bias.chunks_exact(config.hidden)) {
        let mut z = times(&layer.dense.weight, &a);
        for (z, b) in z.iter_mut().zip(bias) {
            *z += b;
        }
        if let Some(scale) = &layer.norm {
            normalise(&mut z, scale);
        }
        activate(config.activation, &mut z);
        if config.skip {
            for (z, a) in z.iter_mut().zip(&a) {
                *z += a;
            }
        }
        a = z;
    }
    affine(&trunk.out, &a)
}

fn check_length(x: &[f64], dim: usize) -> Result<()> {
    match x.len() == dim {
        true => Ok(()),
        false => Err(Error::input("length of the state", x.len(), dim)),
    }
}

impl NetWeights {
    /// u(t, class), `[C]`.
    fn embed(&self, config: &NetConfig, t: f64, class: Option<usize>) -> Result<Vec<f64>> {
        let tau = config.time.feature.at(&config.schedule, t);
        if !tau.is_finite() {
            let what = "noise time for the network";
            return Err(Error::input(what, t, "one inside its schedule"));
        }
        let half = config.time.dim / 2;
        let angles: Vec<f64> = match config.time.embedding {
            Embedding::Fourier => {
                self.time.freqs.iter().map(|f| std::f64::consts::TAU * f64::from(*f) * tau).collect()
            }
            Embedding::Sinusoidal { max_period, scale } => {
                (0..half).map(|i| scale * tau * max_period.powf(-(i as f64) / half as f64)).collect()
            }
        };
        let embedded: Vec<f64> =
            angles.iter().map(|a| a.cos()).chain(angles.iter().map(|a| a.sin())).collect();
        let mut u = affine(&self.time.first, &embedded);
        activate(config.trunk.activation, &mut u);
        let mut u = affine(&self.time.second, &u);
        match (&self.class, config.classes, class) {
            (None, _, None) => {}
            (Some(table), Some(classes), class) if class.is_none_or(|c| c < classes) => {
                let row = class.unwrap_or(classes);
                let row = table.chunks_exact(config.cond).nth(row).unwrap_or_default();
                add(&mut u, row);
            }
            (_, classes, class) => {
                let found = class.map_or("none".to_string(), |c| c.to_string());
                let wanted = match classes {
                    None | Some(0) => "none, as the network knows no classes".to_string(),
                    Some(n) => format!("0 to {}, or none", n - 1),
                };
                return Err(Error::input("class for the network", found, wanted));
            }
        }
        activate(config.trunk.activation, &mut u);
        Ok(u)
    }

    /// b_l + U_l u(t, class), `[L, H]`, in f64.
    fn conditioning_f64(&self, config: &NetConfig, t: f64, class: Option<usize>) -> Result<Vec<f64>> {
        let u = self.embed(config, t, class)?;
        let rows = self.trunk.layers.iter().flat_map(|layer| {
            let mut row = times(&layer.cond, &u);
            add(&mut row, &layer.dense.bias);
            row
        });
        Ok(rows.collect())
    }

    /// What every layer adds to its pre-activations at noise time `t`: b_l + U_l u(t, class), `[L, H]`,
    /// row-major, computed in f64. It is the same for all particles of a step and class. `None` is the null
    /// class, and the only choice for a network without classes.
    pub fn conditioning(&self, config: &NetConfig, t: f64, class: Option<usize>) -> Result<Vec<f32>> {
        let bias = self.conditioning_f64(config, t, class)?;
        Ok(bias.into_iter().map(|b| b as f32).collect())
    }

    /// The network on one state `x` at noise time `t`, all in f64.
    pub fn forward(&self, config: &NetConfig, x: &[f64], t: f64, class: Option<usize>) -> Result<Forward> {
        check_length(x, config.trunk.dim)?;
        let bias = self.conditioning_f64(config, t, class)?;
        let wrap = config.preconditioning;
        let d = wrap.denoiser_coeffs(config.prediction, &config.schedule, t);
        let s = wrap.score_coeffs(config.prediction, &config.schedule, t);
        let input: Vec<f64> = x.iter().map(|x| d.input * x).collect();
        let output = hidden(&config.trunk, &self.trunk, &input, &bias);
        let mix = |c: crate::schedule::NetCoeffs| -> Vec<f64> {
            let pairs = x.iter().zip(&output);
            pairs.map(|(x, f)| c.x * x + c.out * f).collect()
        };
        Ok(Forward { denoised: mix(d), score: mix(s), output })
    }
}

impl ClassifierWeights {
    /// The logits of one clean state `x`, all in f64.
    pub fn forward(&self, config: &ClassifierConfig, x: &[f64]) -> Result<Vec<f64>> {
        check_length(x, config.trunk.dim)?;
        let rows = self.trunk.layers.iter().flat_map(|l| &l.dense.bias);
        let bias: Vec<f64> = rows.map(|b| f64::from(*b)).collect();
        Ok(hidden(&config.trunk, &self.trunk, x, &bias))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{parse, sample_config};
    use super::super::{Layer, Norm, TimeConfig, TimeWeights};
    use super::*;
    use crate::schedule::{Prediction, Schedule, TimeFeature};

    /// Two hidden units, one layer, everything worked out by hand.
    fn pencil(norm: bool, skip: bool) -> (NetConfig, NetWeights) {
        let (mut config, _) = parse(&sample_config()).unwrap();
        config.trunk = TrunkConfig {
            dim: 1,
            hidden: 2,
            layers: 1,
            activation: Activation::Relu,
            norm: if norm { Norm::Layer } else { Norm::None },
            skip,
        };
        (config.cond, config.classes) = (1, Some(1));
        (config.schedule, config.prediction) = (Schedule::Edm, Prediction::X0);
        config.time = TimeConfig { embedding: Embedding::Fourier, dim: 2, feature: TimeFeature::T };
        let weights = NetWeights {
            trunk: Trunk {
                input: Dense { weight: vec![2.0, -1.0], bias: vec![1.0, 4.0] },
                layers: vec![Layer {
                    dense: Dense { weight: vec![1.0, 2.0, 0.0, -1.0], bias: vec![0.5, 1.0] },
                    cond: vec![10.0, 1.0],
                    norm: norm.then(|| Scale { weight: vec![3.0, 3.0], bias: vec![0.0, 4.0] }),
                }],
                out: Dense { weight: vec![1.0, 100.0], bias: vec![-0.25] },
            },
            time: TimeWeights {
                freqs: vec![0.25],
                first: Dense { weight: vec![7.0, 2.0], bias: vec![1.0] },
                second: Dense { weight: vec![0.5], bias: vec![0.0] },
            },
            class: Some(vec![0.25, -1.0]),
        };
        (config, weights)
    }

    #[test]
    fn small_networks_agree_with_a_pencil() {
        // t = 1: angle pi/2, embedding (0, 1), first 3, second 1.5; class 0 adds 0.25, the null class -1
        // x = 2: a = relu(5, 2); W a = (9, -2)
        let (config, net) = pencil(false, false);
        let c = |class| net.conditioning(&config, 1.0, class).unwrap();
        assert_eq!(c(Some(0)), [0.5 + 17.5, 1.0 + 1.75]);
        assert_eq!(c(None), [0.5 + 5.0, 1.0 + 0.5]);
        // null class: z = (14.5, -0.5), F = 14.5 - 0.25; class 0: z = (27, 0.75), F = 27 + 75 - 0.25
        let f = net.forward(&config, &[2.0], 1.0, None).unwrap();
        assert!((f.output[0] - 14.25).abs() < 1e-13, "{f:?}");
        assert_eq!(f.denoised, f.output);
        assert!((f.score[0] - (14.25 - 2.0)).abs() < 1e-12, "sigma is 1 at t = 1");
        let f = net.forward(&config, &[2.0], 1.0, Some(0)).unwrap();
        assert!((f.output[0] - 101.75).abs() < 1e-12, "{f:?}");

        let (config, net) = pencil(false, true);
        let f = net.forward(&config, &[2.0], 1.0, None).unwrap();
        assert!((f.output[0] - (19.5 + 200.0 - 0.25)).abs() < 1e-12, "{f:?}");

        // z = (14.5, -0.5): mean 7, standard deviation 7.5 with 1e-5 added to its square; then 3 z, and 4 - 3 z
        let (config, net) = pencil(true, false);
        let f = net.forward(&config, &[2.0], 1.0, None).unwrap();
        let z = 7.5 / (56.25f64 + 1e-5).sqrt();
        assert!((f.output[0] - (3.0 * z + 100.0 * (4.0 - 3.0 * z) - 0.25)).abs() < 1e-11, "{f:?}");

        let (mut config, mut net) = pencil(false, false);
        for (bad, class) in [(1, Some(1)), (0, Some(0))] {
            if bad == 0 {
                (config.classes, net.class) = (None, None);
            }
            let message = net.forward(&config, &[2.0], 1.0, class).unwrap_err().to_string();
            assert!(message.starts_with("class for the network: found"), "{message}");
        }
        assert!(net.forward(&config, &[2.0, 1.0], 1.0, None).is_err());
        config.time.feature = TimeFeature::LogSnr;
        assert!(net.conditioning(&config, 0.0, None).is_err());

        // sinusoidal, E = 4: angles scale t and scale t / sqrt(max_period)
        config.time = TimeConfig {
            embedding: Embedding::Sinusoidal { max_period: 100.0, scale: 3.0 },
            dim: 4,
            feature: TimeFeature::T,
        };
        net.time.first.weight = vec![1.0, 10.0, 100.0, 1000.0];
        let u: f64 =
            1.0 + 1.5f64.cos() + 10.0 * 0.15f64.cos() + 100.0 * 1.5f64.sin() + 1000.0 * 0.15f64.sin();
        let c = net.conditioning(&config, 0.5, None).unwrap();
        assert!((f64::from(c[1]) - (1.0 + 0.5 * u)).abs() < 1e-5 * u, "{c:?}, {u}");
    }
}
