//! Plain loops in f64.

use super::{Half, MlpShape, Numbers};

/// bias + W a, every weight seen through `as_is`.
fn linear(weight: &[f32], bias: &[f32], a: &[f64], as_is: impl Fn(f32) -> f32) -> Vec<f64> {
    let product = |row: &[f32]| row.iter().zip(a).map(|(w, a)| f64::from(as_is(*w)) * a).sum::<f64>();
    weight.chunks(a.len()).zip(bias).map(|(row, b)| f64::from(*b) + product(row)).collect()
}

/// c_x x + c_f F of one particle at level `level`.
pub fn forward(shape: &MlpShape, numbers: &Numbers, level: usize, x: &[f64]) -> Vec<f64> {
    let c_in = f64::from(numbers.levels[level][0]);
    let scaled: Vec<f64> = x.iter().map(|x| c_in * x).collect();
    let z = linear(&numbers.input.weight, &numbers.input.bias, &scaled, |w| w);
    rest(shape, numbers, level, x, z, |a| a, |w| w)
}

/// The same where matrices are multiplied in `half`: activations are rounded to it as they leave a layer,
/// and so are weights; the input layer takes x and W_in to twice the digits. Everything between is f64, as
/// f32 rounds far less.
pub fn forward_rounded(half: Half, shape: &MlpShape, numbers: &Numbers, level: usize, x: &[f64]) -> Vec<f64> {
    let c_in = numbers.levels[level][0];
    let scaled: Vec<f32> = x.iter().map(|x| c_in * *x as f32).collect();
    let head: Vec<f64> = scaled.iter().map(|x| f64::from(half.round(*x))).collect();
    let tail: Vec<f64> = scaled.iter().map(|x| f64::from(half.round(*x - half.round(*x)))).collect();
    let none = vec![0.0; shape.hidden];
    let weight = &numbers.input.weight;
    let parts = [
        linear(weight, &numbers.input.bias, &head, |w| half.round(w)),
        linear(weight, &none, &tail, |w| half.round(w)),
        linear(weight, &none, &head, |w| half.round(w - half.round(w))),
    ];
    let z = (0..shape.hidden).map(|i| parts.iter().map(|part| part[i]).sum()).collect();
    rest(shape, numbers, level, x, z, |a| f64::from(half.round(a as f32)), |w| half.round(w))
}

/// What follows the input layer, which gave `z`; `kept` is what becomes of an activation, `as_is` of a weight.
fn rest(
    shape: &MlpShape,
    numbers: &Numbers,
    level: usize,
    x: &[f64],
    z: Vec<f64>,
    kept: impl Fn(f64) -> f64,
    as_is: impl Fn(f32) -> f32,
) -> Vec<f64> {
    let [_, c_x, c_f] = numbers.levels[level].map(f64::from);
    let mut a: Vec<f64> = z.into_iter().map(|z| kept(shape.activation.at(z))).collect();
    for (l, weight) in numbers.hidden.iter().enumerate() {
        let cond = &numbers.cond[level][l * shape.hidden..(l + 1) * shape.hidden];
        let mut z = linear(weight, cond, &a, &as_is);
        if shape.norm {
            let n = z.len() as f64;
            let mean = z.iter().sum::<f64>() / n;
            let variance = z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / n;
            for (i, z) in z.iter_mut().enumerate() {
                let (scale, shift) = (&numbers.norms[l].0, &numbers.norms[l].1);
                *z = (*z - mean) / (variance + 1.0e-5).sqrt() * f64::from(scale[i]) + f64::from(shift[i]);
            }
        }
        let next = z.iter().zip(&a);
        a = next.map(|(&z, &a)| kept(shape.activation.at(z) + if shape.skip { a } else { 0.0 })).collect();
    }
    let f = linear(&numbers.output.weight, &numbers.output.bias, &a, &as_is);
    f.iter().enumerate().map(|(k, f)| c_f * f + if c_x == 0.0 { 0.0 } else { c_x * x[k] }).collect()
}
