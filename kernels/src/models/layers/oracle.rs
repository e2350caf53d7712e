//! Plain loops in f64: every layer forwards, and a cotangent of the output back to the state.

use super::oracle_layers::{Conv, attend, attend_back, norm, norm_back};
use super::{Extent, Features, Layer, Layers, Op};

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
        let value = one(layers, layer, &read, weights, asked);
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
        for (from, back) in layer.from.iter().zip(one_back(layers, layer, &read, weights, asked, &slope)) {
            match &mut slopes[*from] {
                Some(sum) => add(sum, &back),
                none => *none = Some(back),
            }
        }
    }
    (values.pop().unwrap_or_default(), state)
}

fn add(to: &mut [f64], what: &[f64]) {
    for (to, what) in to.iter_mut().zip(what) {
        *to += what;
    }
}

fn wide(weights: &[f32]) -> Vec<f64> {
    weights.iter().map(|w| f64::from(*w)).collect()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// f(x, channel) of every number.
fn by_channel(x: &[f64], extent: Extent, f: impl Fn(f64, usize) -> f64) -> Vec<f64> {
    x.iter().enumerate().map(|(i, x)| f(*x, i / extent.pixels())).collect()
}

/// The sum of every channel of a product.
fn channel_sums(x: &[f64], y: &[f64], extent: Extent) -> Vec<f64> {
    let sum = |(x, y): (&[f64], &[f64])| x.iter().zip(y).map(|(x, y)| x * y).sum();
    x.chunks(extent.pixels()).zip(y.chunks(extent.pixels())).map(sum).collect()
}

/// Where each number of an upsampled value comes from.
fn sources(to: Extent) -> impl Iterator<Item = usize> {
    let (height, width) = (to.height / 2, to.width / 2);
    (0..to.numbers()).map(move |i| {
        let (c, y, x) = (i / to.pixels(), i / to.width % to.height, i % to.width);
        (c * height + y / 2) * width + x / 2
    })
}

fn features(features: Features, weights: &[usize], tensors: &[Vec<f32>], time: f64) -> Vec<f64> {
    let (angles, cosines_first): (Vec<f64>, bool) = match features {
        Features::Positional { count, shift, cosines_first } => {
            let half = count / 2;
            let frequency = |i| 10_000f64.powf(-(i as f64) / (half as f64 - shift));
            ((0..half).map(|i| time * frequency(i)).collect(), cosines_first)
        }
        Features::Fourier { .. } => {
            let frequencies = wide(&tensors[weights[0]]).into_iter();
            (frequencies.map(|f| std::f64::consts::TAU * f * time.ln()).collect(), false)
        }
    };
    let (sines, cosines) = (angles.iter().map(|a| a.sin()), angles.iter().map(|a| a.cos()));
    if cosines_first { cosines.chain(sines).collect() } else { sines.chain(cosines).collect() }
}

/// What one layer writes.
fn one(layers: &Layers, layer: &Layer, read: &[&[f64]], tensors: &[Vec<f32>], asked: Question) -> Vec<f64> {
    let weight = |i: usize| wide(&tensors[layer.weights[i]]);
    let from = |i: usize| layers.extent(layer.from[i]);
    match layer.op {
        Op::State(_) => asked.x.to_vec(),
        Op::Time(kind) => features(kind, &layer.weights, tensors, asked.time),
        Op::Class { count } => weight(0)[asked.class * count..(asked.class + 1) * count].to_vec(),
        Op::Conv { taps, stride, before, .. } => {
            let (weights, bias) = (weight(0), weight(1));
            let mut out = by_channel(&vec![0.0; layer.extent.numbers()], layer.extent, |_, c| bias[c]);
            let conv = Conv { taps, stride, before, from: from(0), to: layer.extent };
            conv.each(|to, at, w| out[to] += weights[w] * read[0][at]);
            out
        }
        Op::Norm { groups, eps } => norm(read[0], layer.extent, groups, eps, &weight(0), &weight(1)),
        Op::Silu => read[0].iter().map(|x| x * sigmoid(*x)).collect(),
        Op::Affine { scale, shift } => read[0].iter().map(|x| scale * x + shift).collect(),
        Op::Add => read[0].iter().zip(read[1]).map(|(x, y)| x + y).collect(),
        Op::Shift => by_channel(read[0], layer.extent, |x, c| x + read[1][c]),
        Op::Modulate => by_channel(read[0], layer.extent, |x, c| {
            x * (1.0 + read[1][c]) + read[1][c + layer.extent.channels]
        }),
        Op::Concat => [read[0], read[1]].concat(),
        Op::Upsample => sources(layer.extent).map(|i| read[0][i]).collect(),
        Op::Attention { heads } => attend(read, layer.extent, heads),
        Op::OverTime => read[0].iter().map(|x| x / asked.time).collect(),
    }
}

/// What `slope`, the slope of what one layer writes, makes of the slopes of what it reads.
fn one_back(
    layers: &Layers,
    layer: &Layer,
    read: &[&[f64]],
    tensors: &[Vec<f32>],
    asked: Question,
    slope: &[f64],
) -> Vec<Vec<f64>> {
    let weight = |i: usize| wide(&tensors[layer.weights[i]]);
    let extent = layer.extent;
    match layer.op {
        Op::State(_) | Op::Time(_) | Op::Class { .. } => Vec::new(),
        Op::Conv { taps, stride, before, .. } => {
            let (weights, mut back) = (weight(0), vec![0.0; read[0].len()]);
            let conv = Conv { taps, stride, before, from: layers.extent(layer.from[0]), to: extent };
            conv.each(|to, at, w| back[at] += weights[w] * slope[to]);
            vec![back]
        }
        Op::Norm { groups, eps } => vec![norm_back(read[0], extent, groups, eps, &weight(0), slope)],
        Op::Silu => {
            let one = |(x, g): (&f64, &f64)| g * sigmoid(*x) * (1.0 + x * (1.0 - sigmoid(*x)));
            vec![read[0].iter().zip(slope).map(one).collect()]
        }
        Op::Affine { scale, .. } => vec![slope.iter().map(|g| scale * g).collect()],
        Op::Add => vec![slope.to_vec(), slope.to_vec()],
        Op::Shift => vec![slope.to_vec(), channel_sums(slope, &vec![1.0; slope.len()], extent)],
        Op::Modulate => {
            let mut vector = channel_sums(slope, read[0], extent);
            vector.extend(channel_sums(slope, &vec![1.0; slope.len()], extent));
            vec![by_channel(slope, extent, |g, c| g * (1.0 + read[1][c])), vector]
        }
        Op::Concat => {
            let (first, second) = slope.split_at(read[0].len());
            vec![first.to_vec(), second.to_vec()]
        }
        Op::Upsample => {
            let mut back = vec![0.0; read[0].len()];
            sources(extent).zip(slope).for_each(|(i, g)| back[i] += g);
            vec![back]
        }
        Op::Attention { heads } => attend_back(read, extent, heads, slope),
        Op::OverTime => vec![slope.iter().map(|g| g / asked.time).collect()],
    }
}
