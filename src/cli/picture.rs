//! Pictures of samples: a histogram in one dimension, a scatter in two, a grid of images where the dimension is
//! a square of at least 16. Where weights are not equal, what is shown is chosen by weight.

use super::canvas::{Anchor, Canvas, Colour, Shape};

/// The most points of a scatter.
const POINTS: usize = 20_000;
/// Images in a row, and rows, of a grid.
const GRID: usize = 8;
/// Bars of a histogram.
const BARS: usize = 120;

const WHITE: Colour = [255; 3];
const INK: Colour = [60; 3];
const BLUE: Colour = [18, 52, 134];

/// Samples to draw.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// `[groups * particles, dim]`, row-major.
    pub x: &'a [f32],
    /// Coordinates.
    pub dim: usize,
    /// `[groups * particles]`.
    pub log_w: &'a [f32],
    /// Groups, each of which counts as much as another.
    pub groups: usize,
}

/// The picture, or why there is none.
pub fn draw(samples: Samples) -> Result<Canvas, String> {
    let side = samples.dim.isqrt();
    match samples.dim {
        1 => Ok(histogram(samples)),
        2 => Ok(scatter(samples)),
        dim if dim >= 16 && side * side == dim => Ok(images(samples, side)),
        dim => Err(format!(
            "no picture: {dim} dimensions are neither 1, nor 2, nor the pixels of a square image"
        )),
    }
}

impl Samples<'_> {
    /// Normalised weights: those of every group have the sum 1 / groups. Equal ones where a group has none
    /// above zero.
    fn weights(&self) -> Vec<f64> {
        let groups = self.groups.max(1);
        let per_group = (self.log_w.len() / groups).max(1);
        let mut all = Vec::with_capacity(self.log_w.len());
        for group in self.log_w.chunks(per_group) {
            let largest = group.iter().copied().filter(|w| w.is_finite()).fold(f32::MIN, f32::max);
            let w = |log: &f32| if log.is_finite() { f64::from(log - largest).exp() } else { 0.0 };
            let sum: f64 = group.iter().map(w).sum();
            let even = 1.0 / group.len() as f64;
            let normal = |log: &f32| if sum > 0.0 { w(log) / sum } else { even };
            all.extend(group.iter().map(|log| normal(log) / groups as f64));
        }
        all
    }

    /// `count` particles, each as often as its weight says, evenly spread: the same at every call.
    fn choose(&self, count: usize) -> Vec<usize> {
        let weights = self.weights();
        let last = weights.len().saturating_sub(1);
        let (mut slot, mut sum) = (0, weights.first().copied().unwrap_or(0.0));
        let mut chosen = Vec::with_capacity(count);
        for i in 0..count {
            let point = (i as f64 + 0.5) / count as f64;
            while sum < point && slot < last {
                slot += 1;
                sum += weights[slot];
            }
            chosen.push(slot);
        }
        chosen
    }

    fn row(&self, slot: usize) -> &[f32] {
        self.x.get(slot * self.dim..(slot + 1) * self.dim).unwrap_or_default()
    }
}

/// The value below which a share of the values lies.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let i = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(i).copied().unwrap_or(0.0)
}

/// An interval that all but a few outliers lie in, with a margin.
fn bounds(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let mut sorted: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let (low, high) = (quantile(&sorted, 0.001), quantile(&sorted, 0.999));
    let margin = (0.06 * (high - low)).max(1e-6 * (1.0 + high.abs()));
    [low - margin, high + margin]
}

/// Round numbers inside an interval, about five, and how many decimals they need.
fn ticks([low, high]: [f64; 2]) -> Vec<(f64, String)> {
    let rough = (high - low) / 5.0;
    if !(rough > 0.0 && rough.is_finite()) {
        return Vec::new();
    }
    let decade = 10f64.powf(rough.log10().floor());
    let step = decade * [1.0, 2.0, 5.0, 10.0].into_iter().find(|s| s * decade >= rough).unwrap_or(10.0);
    let decimals = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
    let label = |v: f64| match decimals {
        0..=4 if v.abs() < 1e6 => format!("{v:.decimals$}"),
        _ => format!("{v:.1e}"),
    };
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    let clean = |i: i64| if i == 0 { 0.0 } else { i as f64 * step };
    (first..=last).take(20).map(|i| (clean(i), label(clean(i)))).collect()
}

/// A plot's area on its canvas, and what is shown there.
struct Axes {
    /// Left, top, right, bottom in pixels.
    area: [i32; 4],
    x: [f64; 2],
    y: [f64; 2],
}

impl Axes {
    fn at(&self, x: f64, y: f64) -> [f64; 2] {
        let [left, top, right, bottom] = self.area.map(f64::from);
        let across = (x - self.x[0]) / (self.x[1] - self.x[0]);
        let up = (y - self.y[0]) / (self.y[1] - self.y[0]);
        [left + across * (right - left), bottom - up * (bottom - top)]
    }

    /// The frame, ticks and their numbers.
    fn shapes(&self) -> Vec<Shape> {
        let [left, top, right, bottom] = self.area;
        let rect = |at, size| Shape::Rect { at, size, colour: INK };
        let mut shapes = vec![
            rect([left - 2, top - 2], [right - left + 4, 2]),
            rect([left - 2, bottom], [right - left + 4, 2]),
            rect([left - 2, top - 2], [2, bottom - top + 4]),
            rect([right, top - 2], [2, bottom - top + 4]),
        ];
        for (value, text) in ticks(self.x) {
            let x = self.at(value, self.y[0])[0].round() as i32;
            shapes.push(rect([x - 1, bottom + 2], [2, 8]));
            shapes.push(Shape::Number { at: [x, bottom + 16], text, anchor: Anchor::Below, colour: INK });
        }
        for (value, text) in ticks(self.y) {
            let y = self.at(self.x[0], value)[1].round() as i32;
            shapes.push(rect([left - 10, y - 1], [8, 2]));
            shapes.push(Shape::Number { at: [left - 16, y], text, anchor: Anchor::Left, colour: INK });
        }
        shapes
    }
}

/// Two intervals made equally long about their centres, unless one is far longer than the other.
fn same_scale(x: [f64; 2], y: [f64; 2]) -> ([f64; 2], [f64; 2]) {
    let (wide, high) = (x[1] - x[0], y[1] - y[0]);
    let span = wide.max(high);
    if span > 5.0 * wide.min(high) {
        return (x, y);
    }
    let about = |[low, high]: [f64; 2]| [0.5 * (low + high - span), 0.5 * (low + high + span)];
    (about(x), about(y))
}

fn scatter(samples: Samples) -> Canvas {
    let chosen = samples.choose(samples.log_w.len().min(POINTS));
    let coordinate = |k: usize| {
        let value = move |slot: &usize| samples.row(*slot).get(k).map_or(f64::NAN, |v| f64::from(*v));
        chosen.iter().map(value)
    };
    let (x, y) = same_scale(bounds(coordinate(0)), bounds(coordinate(1)));
    let axes = Axes { area: [100, 30, 870, 800], x, y };
    // A few points are drawn large and dark, many small and pale.
    let count = (chosen.len().max(1) as f32).sqrt();
    let (radius, alpha) = ((60.0 / count).clamp(1.5, 4.0), (45.0 / count).clamp(0.35, 0.8));
    let [left, top, right, bottom] = axes.area.map(f64::from);
    let mut shapes = Vec::with_capacity(chosen.len() + 40);
    for (x, y) in coordinate(0).zip(coordinate(1)) {
        let [x, y] = axes.at(x, y);
        if (left..=right).contains(&x) && (top..=bottom).contains(&y) {
            shapes.push(Shape::Dot { at: [x as f32, y as f32], radius, colour: BLUE, alpha });
        }
    }
    shapes.extend(axes.shapes());
    Canvas { width: 900, height: 860, background: WHITE, shapes }
}

fn histogram(samples: Samples) -> Canvas {
    let chosen = samples.choose(samples.log_w.len().min(POINTS));
    let x = bounds(chosen.iter().map(|slot| samples.row(*slot).first().map_or(f64::NAN, |v| f64::from(*v))));
    let width = (x[1] - x[0]) / BARS as f64;
    let mut density = [0.0; BARS];
    for (value, w) in samples.x.iter().zip(samples.weights()) {
        let bar = ((f64::from(*value) - x[0]) / width).floor();
        if bar >= 0.0 && bar < BARS as f64 {
            density[bar as usize] += w / width;
        }
    }
    let highest = density.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let axes = Axes { area: [100, 30, 870, 520], x, y: [0.0, 1.06 * highest] };
    let mut shapes = Vec::with_capacity(BARS + 40);
    for (bar, height) in density.iter().enumerate() {
        let left = axes.at(x[0] + bar as f64 * width, *height);
        let right = axes.at(x[0] + (bar + 1) as f64 * width, 0.0);
        let at = [left[0].round() as i32, left[1].round() as i32];
        let size = [right[0].round() as i32 - at[0], axes.area[3] - at[1]];
        shapes.push(Shape::Rect { at, size, colour: BLUE });
    }
    shapes.extend(axes.shapes());
    Canvas { width: 900, height: 580, background: WHITE, shapes }
}

fn images(samples: Samples, side: usize) -> Canvas {
    let chosen = samples.choose(samples.log_w.len().min(GRID * GRID));
    let mut sorted: Vec<f64> =
        chosen.iter().flat_map(|slot| samples.row(*slot)).map(|v| f64::from(*v)).collect();
    sorted.retain(|v| v.is_finite());
    sorted.sort_unstable_by(f64::total_cmp);
    // A share of the darkest is cut off: guided samples overshoot the background, which is then grey.
    let (black, white) = (quantile(&sorted, 0.1), quantile(&sorted, 0.99));
    let level =
        |v: &f32| (255.0 * ((f64::from(*v) - black) / (white - black).max(1e-12)).clamp(0.0, 1.0)) as u8;

    let scale = (1600 / (GRID * side)).clamp(1, 6);
    let (tile, gap) = (scale * side, 4);
    let columns = chosen.len().clamp(1, GRID);
    let rows = chosen.len().div_ceil(columns).max(1);
    let mut shapes = Vec::new();
    let mut rect = |left: usize, top: usize, width: usize, height: usize, level: u8| {
        let [left, top, width, height] = [left, top, width, height].map(|v| v as i32);
        shapes.push(Shape::Rect { at: [left, top], size: [width, height], colour: [level; 3] });
    };
    for (i, slot) in chosen.iter().enumerate() {
        let (left, top) = (gap + i % columns * (tile + gap), gap + i / columns * (tile + gap));
        rect(left, top, tile, tile, 0);
        for (y, row) in samples.row(*slot).chunks(side).enumerate() {
            // Neighbours of one level are one rectangle; black is there already.
            let mut x = 0;
            for run in row.chunk_by(|a, b| level(a) == level(b)) {
                let level = level(&run[0]);
                if level > 0 {
                    rect(left + x * scale, top + y * scale, run.len() * scale, scale, level);
                }
                x += run.len();
            }
        }
    }
    let size = |n: usize| (gap + n * (tile + gap)) as u32;
    Canvas { width: size(columns), height: size(rows), background: [56; 3], shapes }
}

#[cfg(test)]
mod tests;
