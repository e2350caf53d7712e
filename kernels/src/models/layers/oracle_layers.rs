//! The layers that need more than a line: convolution, group norm, attention, each with its way back.

use super::Extent;

/// A convolution between two extents.
pub(super) struct Conv {
    pub taps: usize,
    pub stride: usize,
    pub before: usize,
    pub from: Extent,
    pub to: Extent,
}

impl Conv {
    /// What it makes of a value, without a bias.
    pub fn product(&self, weights: &[f64], x: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.to.numbers()];
        self.each(|to, at, w| out[to] += weights[w] * x[at]);
        out
    }

    /// Every product of it: the number it adds to, the number and the weight that are multiplied.
    pub fn each(&self, mut product: impl FnMut(usize, usize, usize)) {
        let (from, to, taps) = (self.from, self.to, self.taps);
        let inside = |at: usize, tap: usize, size: usize| {
            (at * self.stride + tap).checked_sub(self.before).filter(|i| *i < size)
        };
        for (o, i) in (0..to.channels).flat_map(|o| (0..from.channels).map(move |i| (o, i))) {
            for (y, x) in (0..to.height).flat_map(|y| (0..to.width).map(move |x| (y, x))) {
                for (dy, dx) in (0..taps).flat_map(|dy| (0..taps).map(move |dx| (dy, dx))) {
                    let (Some(above), Some(left)) = (inside(y, dy, from.height), inside(x, dx, from.width))
                    else {
                        continue;
                    };
                    product(
                        (o * to.height + y) * to.width + x,
                        (i * from.height + above) * from.width + left,
                        ((o * from.channels + i) * taps + dy) * taps + dx,
                    );
                }
            }
        }
    }
}

/// The mean of a group, and one over its standard deviation.
fn moments(x: &[f64], eps: f64) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    (mean, 1.0 / (variance + eps).sqrt())
}

/// (x - mean) / deviation * scale + shift.
pub(super) fn norm(
    x: &[f64],
    extent: Extent,
    groups: usize,
    eps: f64,
    scale: &[f64],
    shift: &[f64],
) -> Vec<f64> {
    let each = x.len() / groups;
    let mut out = Vec::with_capacity(x.len());
    for group in x.chunks(each) {
        let (mean, over) = moments(group, eps);
        for x in group {
            let c = out.len() / extent.pixels();
            out.push((x - mean) * over * scale[c] + shift[c]);
        }
    }
    out
}

/// With h = g scale and z the normalised x: (h - mean h - z mean(h z)) / deviation.
pub(super) fn norm_back(
    x: &[f64],
    extent: Extent,
    groups: usize,
    eps: f64,
    scale: &[f64],
    slope: &[f64],
) -> Vec<f64> {
    let each = x.len() / groups;
    let scaled: Vec<f64> = slope.iter().enumerate().map(|(i, g)| g * scale[i / extent.pixels()]).collect();
    let mut back = Vec::with_capacity(x.len());
    for (group, h) in x.chunks(each).zip(scaled.chunks(each)) {
        let (mean, over) = moments(group, eps);
        let z: Vec<f64> = group.iter().map(|x| (x - mean) * over).collect();
        let n = each as f64;
        let h_mean = h.iter().sum::<f64>() / n;
        let hz_mean = h.iter().zip(&z).map(|(h, z)| h * z).sum::<f64>() / n;
        back.extend(h.iter().zip(&z).map(|(h, z)| over * (h - h_mean - z * hz_mean)));
    }
    back
}

/// With d = `moved` and z the normalised x: (d - mean d - z mean(d z)) / deviation * scale.
pub(super) fn norm_along(
    x: &[f64],
    extent: Extent,
    groups: usize,
    eps: f64,
    scale: &[f64],
    moved: &[f64],
) -> Vec<f64> {
    let each = x.len() / groups;
    let mut out = Vec::with_capacity(x.len());
    for (group, d) in x.chunks(each).zip(moved.chunks(each)) {
        let (mean, over) = moments(group, eps);
        let n = each as f64;
        let d_mean = d.iter().sum::<f64>() / n;
        let dz_mean = group.iter().zip(d).map(|(x, d)| d * (x - mean) * over).sum::<f64>() / n;
        for (x, d) in group.iter().zip(d) {
            let scale = scale[out.len() / extent.pixels()];
            out.push((d - d_mean - (x - mean) * over * dz_mean) * over * scale);
        }
    }
    out
}

/// The channels of one head of a value.
fn head(x: &[f64], extent: Extent, heads: usize, at: usize) -> &[f64] {
    let numbers = extent.numbers() / heads;
    &x[at * numbers..(at + 1) * numbers]
}

/// sum over the channels of x_a y_b, of pixels a and b.
fn product(x: &[f64], a: usize, y: &[f64], b: usize, pixels: usize) -> f64 {
    x.chunks(pixels).zip(y.chunks(pixels)).map(|(x, y)| x[a] * y[b]).sum()
}

/// What pixel `a` looks at: a softmax over all pixels.
fn attention(q: &[f64], k: &[f64], a: usize, pixels: usize) -> Vec<f64> {
    let over = (pixels as f64 / q.len() as f64).sqrt();
    let scores: Vec<f64> = (0..pixels).map(|b| over * product(q, a, k, b, pixels)).collect();
    let most = scores.iter().copied().fold(f64::MIN, f64::max);
    let powers: Vec<f64> = scores.iter().map(|s| (s - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|p| p / sum).collect()
}

/// p = softmax(q k / sqrt d) and p v, of (q, k, v).
pub(super) fn attend(read: &[&[f64]], extent: Extent, heads: usize) -> Vec<f64> {
    let pixels = extent.pixels();
    let mut out = Vec::with_capacity(extent.numbers());
    for at in 0..heads {
        let part = |i: usize| head(read[i], extent, heads, at);
        let (q, k, v) = (part(0), part(1), part(2));
        let looks: Vec<Vec<f64>> = (0..pixels).map(|a| attention(q, k, a, pixels)).collect();
        for v in v.chunks(pixels) {
            out.extend(looks.iter().map(|p| p.iter().zip(v).map(|(p, v)| p * v).sum::<f64>()));
        }
    }
    out
}

/// The slopes of q, k and v.
pub(super) fn attend_back(read: &[&[f64]], extent: Extent, heads: usize, slope: &[f64]) -> Vec<Vec<f64>> {
    let pixels = extent.pixels();
    let mut back = vec![Vec::new(); 3];
    for at in 0..heads {
        let part = |i: usize| head(read[i], extent, heads, at);
        let (q, k, v, g) = (part(0), part(1), part(2), head(slope, extent, heads, at));
        let over = (pixels as f64 / q.len() as f64).sqrt();
        let mut slopes = [vec![0.0; q.len()], vec![0.0; q.len()], vec![0.0; q.len()]];
        for a in 0..pixels {
            let p = attention(q, k, a, pixels);
            let dp: Vec<f64> = (0..pixels).map(|b| product(g, a, v, b, pixels)).collect();
            let mean: f64 = p.iter().zip(&dp).map(|(p, d)| p * d).sum();
            for b in 0..pixels {
                let ds = p[b] * (dp[b] - mean) * over;
                for c in (0..q.len()).step_by(pixels) {
                    slopes[0][c + a] += ds * k[c + b];
                    slopes[1][c + b] += ds * q[c + a];
                    slopes[2][c + b] += p[b] * g[c + a];
                }
            }
        }
        back.iter_mut().zip(slopes).for_each(|(all, of)| all.extend(of));
    }
    back
}

/// The tangent of what [`attend`] writes: dp v + p dv, dp = p (da - sum p da), a = q k / sqrt d.
pub(super) fn attend_along(read: &[&[f64]], extent: Extent, heads: usize, moved: &[&[f64]]) -> Vec<f64> {
    let pixels = extent.pixels();
    let mut out = vec![0.0; extent.numbers()];
    let each = extent.numbers() / heads;
    for (at, out) in out.chunks_mut(each).enumerate() {
        let of = |all: &[&[f64]], i: usize| head(all[i], extent, heads, at).to_vec();
        let ([q, k, v], [dq, dk, dv]) = ([0, 1, 2].map(|i| of(read, i)), [0, 1, 2].map(|i| of(moved, i)));
        let over = (pixels as f64 / q.len() as f64).sqrt();
        for a in 0..pixels {
            let p = attention(&q, &k, a, pixels);
            let da = |b| over * (product(&dq, a, &k, b, pixels) + product(&q, a, &dk, b, pixels));
            let da: Vec<f64> = (0..pixels).map(da).collect();
            let mean: f64 = p.iter().zip(&da).map(|(p, d)| p * d).sum();
            for (c, out) in out.chunks_mut(pixels).enumerate() {
                let one = |b: usize| {
                    let at = c * pixels + b;
                    p[b] * ((da[b] - mean) * v[at] + dv[at])
                };
                out[a] = (0..pixels).map(one).sum();
            }
        }
    }
    out
}
