//! What each layer does, backwards what it does to slopes, and along what it does to tangents: an arm each.

use super::oracle::Question;
use super::oracle_frames as frames;
use super::oracle_layers::{Conv, attend, attend_along, attend_back, norm, norm_along, norm_back};
use super::oracle_pairs as pairs;
use super::{Extent, Features, Layer, Layers, Op};

fn wide(weights: &[f32]) -> Vec<f64> {
    weights.iter().map(|w| f64::from(*w)).collect()
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

/// The mean of every channel.
fn means(x: &[f64], extent: Extent) -> Vec<f64> {
    x.chunks(extent.pixels()).map(|x| x.iter().sum::<f64>() / x.len() as f64).collect()
}

/// Where each number of an upsampled value comes from.
fn sources(to: Extent) -> impl Iterator<Item = usize> {
    let (height, width) = (to.height / 2, to.width / 2);
    (0..to.numbers()).map(move |i| {
        let (c, y, x) = (i / to.pixels(), i / to.width % to.height, i % to.width);
        (c * height + y / 2) * width + x / 2
    })
}

/// The angles whose sines and cosines the features are, and how they change with the time.
fn angles(features: Features, weights: &[usize], tensors: &[Vec<f32>], time: f64) -> (Vec<f64>, Vec<f64>) {
    match features {
        Features::Positional { count, shift, period, .. } => {
            let half = count / 2;
            let frequency = |i| period.powf(-(i as f64) / (half as f64 - shift));
            ((0..half).map(|i| time * frequency(i)).collect(), (0..half).map(frequency).collect())
        }
        Features::Fourier { log, .. } => {
            let turns = wide(&tensors[weights[0]]).into_iter().map(|f| std::f64::consts::TAU * f);
            let (shown, rate) = if log { (time.ln(), 1.0 / time) } else { (time, 1.0) };
            (turns.clone().map(|f| f * shown).collect(), turns.map(|f| f * rate).collect())
        }
    }
}

fn cosines_first(features: Features) -> bool {
    let (Features::Positional { cosines_first, .. } | Features::Fourier { cosines_first, .. }) = features;
    cosines_first
}

/// Both halves in their order.
fn halves(features: Features, sines: Vec<f64>, cosines: Vec<f64>) -> Vec<f64> {
    if cosines_first(features) { [cosines, sines].concat() } else { [sines, cosines].concat() }
}

/// What one layer writes.
pub(super) fn value(
    layers: &Layers,
    layer: &Layer,
    read: &[&[f64]],
    tensors: &[Vec<f32>],
    asked: Question,
) -> Vec<f64> {
    let weight = |i: usize| wide(&tensors[layer.weights[i]]);
    let from = |i: usize| layers.extent(layer.from[i]);
    let extent = layer.extent;
    match layer.op {
        Op::State(_) => asked.x.to_vec(),
        Op::Time(kind) => {
            let (angles, _) = angles(kind, &layer.weights, tensors, asked.time);
            let of = |f: fn(f64) -> f64| angles.iter().map(|a| f(*a)).collect();
            halves(kind, of(f64::sin), of(f64::cos))
        }
        Op::Class { count } => weight(0)[asked.class * count..(asked.class + 1) * count].to_vec(),
        Op::Conv { taps, stride, before, .. } => {
            let bias = weight(1);
            let conv = Conv { taps, stride, before, from: from(0), to: layer.extent };
            by_channel(&conv.product(&weight(0), read[0]), layer.extent, |x, c| x + bias[c])
        }
        Op::Norm { groups, eps } => norm(read[0], layer.extent, groups, eps, &weight(0), &weight(1)),
        Op::Act(kind) => read[0].iter().map(|x| kind.at(*x)).collect(),
        Op::Affine { scale, shift } => read[0].iter().map(|x| scale * x + shift).collect(),
        Op::Add => read[0].iter().zip(read[1]).map(|(x, y)| x + y).collect(),
        Op::Shift => by_channel(read[0], layer.extent, |x, c| x + read[1][c]),
        Op::Modulate => by_channel(read[0], layer.extent, |x, c| {
            x * (1.0 + read[1][c]) + read[1][c + layer.extent.channels]
        }),
        Op::Concat => [read[0], read[1]].concat(),
        Op::Upsample => sources(layer.extent).map(|i| read[0][i]).collect(),
        Op::Pool => means(read[0], from(0)),
        Op::Attention { heads } => attend(read, layer.extent, heads),
        Op::OverTime => read[0].iter().map(|x| x / asked.time).collect(),
        Op::PairRadial { .. } => pairs::radial(read[0], from(0), &weight(0), &weight(1)),
        Op::PairAdd => pairs::add(read[0], read[1], from(1).height),
        Op::PairSum { atoms } => pairs::sum(read[0], atoms),
        Op::PairMove => pairs::shift(read[0], read[1], extent),
        Op::FrameViews { .. } => [frames::views(read[0]), weight(0)].concat(),
        Op::FrameTurn => frames::turn(read[0], read[1]),
        Op::RowMeans => means(read[0], from(0).rows()),
    }
}

/// What `slope`, the slope of what one layer writes, makes of the slopes of what it reads.
pub(super) fn back(
    layers: &Layers,
    layer: &Layer,
    read: &[&[f64]],
    tensors: &[Vec<f32>],
    asked: Question,
    slope: &[f64],
) -> Vec<Vec<f64>> {
    let weight = |i: usize| wide(&tensors[layer.weights[i]]);
    let from = |i: usize| layers.extent(layer.from[i]);
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
        Op::Act(kind) => vec![read[0].iter().zip(slope).map(|(x, g)| g * kind.slope(*x)).collect()],
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
        Op::Pool | Op::RowMeans => {
            let read = if layer.op == Op::Pool { from(0) } else { from(0).rows() };
            vec![(0..read.numbers()).map(|i| slope[i / read.pixels()] / read.pixels() as f64).collect()]
        }
        Op::Attention { heads } => attend_back(read, extent, heads, slope),
        Op::OverTime => vec![slope.iter().map(|g| g / asked.time).collect()],
        Op::PairRadial { .. } => {
            vec![pairs::radial_back(read[0], from(0), &weight(0), &weight(1), slope)]
        }
        Op::PairAdd => vec![slope.to_vec(), pairs::sum(slope, from(1).height)],
        Op::PairSum { atoms } => vec![pairs::sum_back(slope, atoms)],
        Op::PairMove => pairs::shift_back(read[0], read[1], extent, slope),
        Op::FrameViews { .. } => vec![frames::views_back(read[0], slope)],
        Op::FrameTurn => frames::turn_back(read[0], read[1], slope),
    }
}

/// How what one layer writes changes, where what it reads changes by `moved` and the time by `moved_time`.
pub(super) fn along(
    layers: &Layers,
    layer: &Layer,
    read: &[&[f64]],
    tensors: &[Vec<f32>],
    asked: Question,
    moved: &[&[f64]],
    moved_time: f64,
) -> Vec<f64> {
    let weight = |i: usize| wide(&tensors[layer.weights[i]]);
    let from = |i: usize| layers.extent(layer.from[i]);
    let extent = layer.extent;
    match layer.op {
        Op::State(_) | Op::Class { .. } => vec![0.0; extent.numbers()],
        Op::Time(kind) => {
            let (angles, rates) = angles(kind, &layer.weights, tensors, asked.time);
            let of = |f: fn(f64) -> f64| {
                angles.iter().zip(&rates).map(|(a, rate)| f(*a) * rate * moved_time).collect()
            };
            halves(kind, of(f64::cos), of(|a| -a.sin()))
        }
        Op::Conv { taps, stride, before, .. } => {
            Conv { taps, stride, before, from: from(0), to: extent }.product(&weight(0), moved[0])
        }
        Op::Norm { groups, eps } => norm_along(read[0], extent, groups, eps, &weight(0), moved[0]),
        Op::Act(kind) => read[0].iter().zip(moved[0]).map(|(x, d)| kind.slope(*x) * d).collect(),
        Op::Affine { scale, .. } => moved[0].iter().map(|d| scale * d).collect(),
        Op::Modulate => {
            let scaled = by_channel(moved[0], extent, |d, c| d * (1.0 + read[1][c]));
            let more = by_channel(read[0], extent, |x, c| x * moved[1][c] + moved[1][c + extent.channels]);
            scaled.iter().zip(more).map(|(a, b)| a + b).collect()
        }
        Op::Attention { heads } => attend_along(read, extent, heads, moved),
        Op::OverTime => {
            let (t, rate) = (asked.time, moved_time);
            read[0].iter().zip(moved[0]).map(|(x, d)| d / t - x * rate / (t * t)).collect()
        }
        Op::PairRadial { .. } => pairs::radial_along(read[0], from(0), &weight(0), &weight(1), moved[0]),
        Op::PairMove => pairs::shift_along(read, moved, extent),
        Op::FrameViews { .. } => {
            let mut along = frames::views_along(read[0], moved[0]);
            along.resize(extent.numbers(), 0.0);
            along
        }
        Op::FrameTurn => frames::turn_along(read, moved),
        // What is linear in all it reads and has no weights.
        Op::Add | Op::Shift | Op::Concat | Op::Upsample | Op::Pool | Op::RowMeans => {
            value(layers, layer, moved, tensors, asked)
        }
        Op::PairAdd | Op::PairSum { .. } => value(layers, layer, moved, tensors, asked),
    }
}
