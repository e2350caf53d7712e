//! Plain loops in f64.

use super::{Activation, Dense, MlpShape};

impl Activation {
    /// The activation of one number.
    pub fn at(self, z: f64) -> f64 {
        match self {
            Activation::Silu => z / (1.0 + (-z).exp()),
            Activation::Gelu => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (z + 0.044715 * z * z * z);
                0.5 * z * (1.0 + inner.tanh())
            }
            Activation::Tanh => z.tanh(),
            Activation::Relu => z.max(0.0),
        }
    }
}

fn linear(weight: &[f32], bias: &[f32], a: &[f64]) -> Vec<f64> {
    weight
        .chunks(a.len())
        .zip(bias)
        .map(|(row, b)| f64::from(*b) + row.iter().zip(a).map(|(w, a)| f64::from(*w) * a).sum::<f64>())
        .collect()
}

/// c_x x + c_f F of one particle; arguments as in [`super::Network::new`], one level's.
#[allow(clippy::too_many_arguments)]
pub fn forward(
    shape: MlpShape,
    input: &Dense,
    hidden: &[Vec<f32>],
    norms: &[(Vec<f32>, Vec<f32>)],
    output: &Dense,
    cond: &[f32],
    level: [f32; 3],
    x: &[f64],
) -> Vec<f64> {
    let [c_in, c_x, c_f] = level.map(f64::from);
    let scaled: Vec<f64> = x.iter().map(|x| c_in * x).collect();
    let mut a: Vec<f64> =
        linear(&input.weight, &input.bias, &scaled).into_iter().map(|z| shape.activation.at(z)).collect();
    for (l, weight) in hidden.iter().enumerate() {
        let mut z = linear(weight, &cond[l * shape.hidden..(l + 1) * shape.hidden], &a);
        if shape.norm {
            let n = z.len() as f64;
            let mean = z.iter().sum::<f64>() / n;
            let variance = z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / n;
            for (i, z) in z.iter_mut().enumerate() {
                let (scale, shift) = (f64::from(norms[l].0[i]), f64::from(norms[l].1[i]));
                *z = (*z - mean) / (variance + 1.0e-5).sqrt() * scale + shift;
            }
        }
        a = z
            .iter()
            .zip(&a)
            .map(|(&z, &a)| shape.activation.at(z) + if shape.skip { a } else { 0.0 })
            .collect();
    }
    let f = linear(&output.weight, &output.bias, &a);
    f.iter().enumerate().map(|(k, f)| c_f * f + if c_x == 0.0 { 0.0 } else { c_x * x[k] }).collect()
}
