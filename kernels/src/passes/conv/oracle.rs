//! Plain loops, for one particle.

/// A convolution with zeros around: `from` and `to` are `[channels, height, width]`.
#[derive(Clone, Copy, Debug)]
pub struct Taps {
    /// What is read.
    pub from: [usize; 3],
    /// What is written.
    pub to: [usize; 3],
    /// Taps of a row.
    pub taps: usize,
    /// Pixels between two that are written.
    pub stride: usize,
    /// Zeros above and left.
    pub before: usize,
}

impl Taps {
    /// Every product: the number that is written, the one that is read, and the weight.
    fn each(&self, mut product: impl FnMut(usize, usize, usize)) {
        let ([channels, height, width], [out, to_height, to_width]) = (self.from, self.to);
        for o in 0..out {
            for y in 0..to_height {
                for x in 0..to_width {
                    for i in 0..channels {
                        for tap in 0..self.taps * self.taps {
                            let (down, across) =
                                (y * self.stride + tap / self.taps, x * self.stride + tap % self.taps);
                            let inside = |at: usize, size| at >= self.before && at - self.before < size;
                            if inside(down, height) && inside(across, width) {
                                product(
                                    (o * to_height + y) * to_width + x,
                                    (i * height + down - self.before) * width + across - self.before,
                                    (o * channels + i) * self.taps * self.taps + tap,
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    /// W x.
    pub fn conv(&self, weights: &[f32], x: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.to.iter().product()];
        self.each(|to, from, w| out[to] += f64::from(weights[w]) * x[from]);
        out
    }

    /// W^T y.
    pub fn back(&self, weights: &[f32], y: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.from.iter().product()];
        self.each(|to, from, w| out[from] += f64::from(weights[w]) * y[to]);
        out
    }
}

/// Each pixel of `x` `[channels, height, width]` four times.
pub fn upsampled(x: &[f64], extent: [usize; 3]) -> Vec<f64> {
    let [channels, height, width] = extent;
    let (down, across) = (2 * height, 2 * width);
    let from = |i: usize| (i / (down * across) * height + i / across % down / 2) * width + i % across / 2;
    (0..channels * down * across).map(|i| x[from(i)]).collect()
}

/// The sums over those four, back in the extent `[channels, height, width]`.
pub fn upsampled_back(y: &[f64], extent: [usize; 3]) -> Vec<f64> {
    let [channels, height, width] = extent;
    let (down, across) = (2 * height, 2 * width);
    let mut out = vec![0.0; channels * height * width];
    for (i, y) in y.iter().enumerate() {
        out[(i / (down * across) * height + i / across % down / 2) * width + i % across / 2] += y;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_two_pixels_by_hand() {
        let mut weights = [0.0_f32; 9];
        (weights[3], weights[4], weights[5]) = (1.0, 10.0, 100.0);
        let all = Taps { from: [1, 1, 2], to: [1, 1, 2], taps: 3, stride: 1, before: 1 };
        assert_eq!(all.conv(&weights, &[2.0, 3.0]), [320.0, 32.0]);
        assert_eq!(all.back(&weights, &[2.0, 3.0]), [23.0, 230.0]);
        let half = Taps { to: [1, 1, 1], stride: 2, before: 1, ..all };
        assert_eq!(half.conv(&weights, &[2.0, 3.0]), [320.0]);
    }

    #[test]
    fn a_pixel_stands_four_times() {
        assert_eq!(upsampled(&[1.0, 2.0], [2, 1, 1]), [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0]);
        assert_eq!(upsampled_back(&[1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 5.0], [2, 1, 1]), [10.0, 5.0]);
    }
}
