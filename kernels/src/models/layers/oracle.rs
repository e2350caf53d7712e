//! Plain loops in f64 over the layers: forwards, a cotangent of the output back to the state, and a tangent of the
//! state and the time along. What each layer does stands in `oracle_ops.rs`.

use super::oracle_ops::{along, back, value};
use super::{Layers, Op};

/// What a network is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The state, `[channels, height, width]`.
    pub x: &'a [f64],
    /// The time as the network counts it; above 0 for Fourier features of its logarithm.
    pub time: f64,
    /// The row of the class table, in a network that has one.
    pub class: usize,
}

/// What every layer writes; the output comes last.
pub fn forward(layers: &Layers, weights: &[Vec<f32>], asked: Question) -> Vec<Vec<f64>> {
    let mut values: Vec<Vec<f64>> = Vec::new();
    for layer in layers.all() {
        let read: Vec<&[f64]> = layer.from.iter().map(|f| values[*f].as_slice()).collect();
        let value = value(layers, layer, &read, weights, asked);
        debug_assert_eq!(value.len(), layer.extent.numbers(), "{:?}", layer.op);
        values.push(value);
    }
    values
}

/// The output, and the gradient of <cotangent, output> with respect to the state.
pub fn vjp(
    layers: &Layers,
    weights: &[Vec<f32>],
    asked: Question,
    cotangent: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let mut values = forward(layers, weights, asked);
    let mut slopes: Vec<Option<Vec<f64>>> = vec![None; values.len()];
    if let Some(last) = slopes.last_mut() {
        *last = Some(cotangent.to_vec());
    }
    let mut state = vec![0.0; asked.x.len()];
    for (at, layer) in layers.all().iter().enumerate().rev() {
        let Some(slope) = slopes[at].take() else { continue };
        if let Op::State(_) = layer.op {
            add(&mut state, &slope);
            continue;
        }
        let read: Vec<&[f64]> = layer.from.iter().map(|f| values[*f].as_slice()).collect();
        for (from, back) in layer.from.iter().zip(back(layers, layer, &read, weights, asked, &slope)) {
            match &mut slopes[*from] {
                Some(sum) => add(sum, &back),
                none => *none = Some(back),
            }
        }
    }
    (values.pop().unwrap_or_default(), state)
}

/// The output, and how it changes as the state moves along `tangent` and the time at the rate `tangent_time`.
pub fn jvp(
    layers: &Layers,
    weights: &[Vec<f32>],
    asked: Question,
    tangent: &[f64],
    tangent_time: f64,
) -> (Vec<f64>, Vec<f64>) {
    let mut values = forward(layers, weights, asked);
    let mut moves: Vec<Vec<f64>> = Vec::new();
    for layer in layers.all() {
        let of = |all: &[Vec<f64>]| -> Vec<Vec<f64>> { layer.from.iter().map(|f| all[*f].clone()).collect() };
        let (read, moved) = (of(&values), of(&moves));
        let read: Vec<&[f64]> = read.iter().map(Vec::as_slice).collect();
        let moved: Vec<&[f64]> = moved.iter().map(Vec::as_slice).collect();
        moves.push(match layer.op {
            Op::State(_) => tangent.to_vec(),
            _ => along(layers, layer, &read, weights, asked, &moved, tangent_time),
        });
    }
    (values.pop().unwrap_or_default(), moves.pop().unwrap_or_default())
}

/// What the layers write that do not depend on the state, and how that changes as the time moves at the rate `rate`;
/// nothing for the others.
pub fn conditioning(
    layers: &Layers,
    weights: &[Vec<f32>],
    asked: Question,
    rate: f64,
) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let (mut values, mut moves): (Vec<Vec<f64>>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
    for (layer, of_state) in layers.all().iter().zip(layers.of_state()) {
        if of_state {
            values.push(Vec::new());
            moves.push(Vec::new());
            continue;
        }
        let read: Vec<&[f64]> = layer.from.iter().map(|f| values[*f].as_slice()).collect();
        let moved: Vec<&[f64]> = layer.from.iter().map(|f| moves[*f].as_slice()).collect();
        let made = value(layers, layer, &read, weights, asked);
        let change = along(layers, layer, &read, weights, asked, &moved, rate);
        values.push(made);
        moves.push(change);
    }
    (values, moves)
}

fn add(to: &mut [f64], what: &[f64]) {
    for (to, what) in to.iter_mut().zip(what) {
        *to += what;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Activation, Extent, Features};
    use super::*;

    /// In (-1, 1), in no order.
    fn some(seed: usize, n: usize) -> Vec<f64> {
        (0..n).map(|i| 2.0 * ((seed + 7 * i + 1) as f64 * 0.618_033_988_749_895).fract() - 1.0).collect()
    }

    /// Every layer, and the tensors it names.
    fn everything() -> (Layers, Vec<Vec<f32>>) {
        let (mut layers, mut tensors) = (Layers::default(), Vec::new());
        let mut tensor = |n: usize, size: f64| {
            let values = some(tensors.len(), n).into_iter().map(|v| (size * v) as f32).collect();
            tensors.push(values);
            tensors.len() - 1
        };
        let mut put = |op: Op, from: &[usize], weights: &[usize]| layers.push(op, from, weights).unwrap();
        let features = Features::Positional { count: 4, shift: 0.0, period: 1e4, cosines_first: true };
        let t = put(Op::Time(features), &[], &[]);
        let class = put(Op::Class { count: 4 }, &[], &[tensor(8, 1.0)]);
        let t = put(Op::Add, &[t, class], &[]);
        let fourier = put(
            Op::Time(Features::Fourier { count: 4, log: true, cosines_first: false }),
            &[],
            &[tensor(2, 0.3)],
        );
        let t = put(Op::Add, &[t, fourier], &[]);
        let scales =
            put(Op::Conv { out: 8, taps: 1, stride: 1, before: 0 }, &[t], &[tensor(32, 0.7), tensor(8, 0.2)]);
        let x = put(Op::State(Extent { channels: 2, height: 4, width: 2 }), &[], &[]);
        let a = put(Op::Affine { scale: 1.5, shift: -0.25 }, &[x], &[]);
        let a =
            put(Op::Conv { out: 4, taps: 3, stride: 1, before: 1 }, &[a], &[tensor(72, 0.5), tensor(4, 0.2)]);
        let n = put(Op::Norm { groups: 2, eps: 1e-3 }, &[a], &[tensor(4, 1.0), tensor(4, 0.3)]);
        let n = put(Op::Modulate, &[n, scales], &[]);
        let n = put(Op::Act(Activation::Silu), &[n], &[]);
        let [q, k, v] = [0.9, 0.8, 0.7].map(|size| {
            put(Op::Conv { out: 4, taps: 1, stride: 1, before: 0 }, &[n], &[tensor(16, size), tensor(4, 0.1)])
        });
        let looked = put(Op::Attention { heads: 2 }, &[q, k, v], &[]);
        let both = put(Op::Concat, &[looked, a], &[]);
        let half = put(
            Op::Conv { out: 4, taps: 3, stride: 2, before: 1 },
            &[both],
            &[tensor(288, 0.3), tensor(4, 0.1)],
        );
        let half = put(Op::Act(Activation::Gelu), &[half], &[]);
        let up = put(Op::Upsample, &[half], &[]);
        let up = put(Op::Shift, &[up, t], &[]);
        let sum = put(Op::Add, &[up, n], &[]);
        let y = put(
            Op::Conv { out: 2, taps: 1, stride: 1, before: 0 },
            &[sum],
            &[tensor(8, 0.8), tensor(2, 0.1)],
        );
        put(Op::OverTime, &[y], &[]);
        (layers, tensors)
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn tangents_are_differences_and_agree_with_the_way_back() {
        let (layers, tensors) = everything();
        let (x, v, u) = (some(3, 16), some(11, 16), some(5, 16));
        let (time, rate, h) = (1.3, 0.7, 1e-5);
        let asked = Question { x: &x, time, class: 1 };
        let (output, moved) = jvp(&layers, &tensors, asked, &v, rate);
        assert_eq!(output, forward(&layers, &tensors, asked).pop().unwrap());
        let at = |s: f64| {
            let x: Vec<f64> = x.iter().zip(&v).map(|(x, v)| x + s * v).collect();
            forward(&layers, &tensors, Question { x: &x, time: time + s * rate, class: 1 }).pop().unwrap()
        };
        let largest = moved.iter().fold(0.0, |m: f64, d| m.max(d.abs()));
        for ((more, less), d) in at(h).iter().zip(at(-h)).zip(&moved) {
            // h^2 of third derivatives, and rounding over h
            assert!(((more - less) / (2.0 * h) - d).abs() < 1e-8 * largest, "{d}");
        }
        // The time at rest: <u, J v> = <J' u, v>.
        let (_, still) = jvp(&layers, &tensors, asked, &v, 0.0);
        let (_, back) = vjp(&layers, &tensors, asked, &u);
        let (along, slope) = (dot(&u, &still), dot(&back, &v));
        assert!((along - slope).abs() < 1e-12 * dot(&back, &back).sqrt(), "{along}, {slope}");
        assert!(
            still.iter().zip(&moved).any(|(a, b)| (a - b).abs() > 1e-3 * largest),
            "the time moves nothing"
        );
        // What does not read the state, alone.
        let (values, moves) = conditioning(&layers, &tensors, asked, rate);
        let all = forward(&layers, &tensors, asked);
        for (at, of_state) in layers.of_state().into_iter().enumerate() {
            assert_eq!(values[at], if of_state { Vec::new() } else { all[at].clone() });
            assert_eq!(moves[at].len(), values[at].len());
        }
    }
}
