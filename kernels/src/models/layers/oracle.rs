//! Plain loops in f64 over the layers: forwards, a cotangent of the output back to the state, and a tangent of the
//! state and the time along. What each layer does stands in `oracle_ops.rs`.

use super::oracle_ops::{along, back, value};
use super::{Layers, Op};

/// What a network is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The state, `[channels, height, width]`.
    pub x: &'a [f64],
    /// The time as the network counts it; above 0 for Fourier features.
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
