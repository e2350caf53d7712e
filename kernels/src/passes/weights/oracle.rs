//! Plain loops from the formula.

use super::LARGEST_LOG_WEIGHT;
use crate::prims::fixed::weight_bits;

/// (m, s, q) of a set of log-weights: the largest, the sum of exp(log w - m), the sum of its squares.
/// Weights of zero do not count; m is -1e30 where all are zero.
pub fn sums(log_w: &[f32]) -> (f64, f64, f64) {
    let alive: Vec<f64> =
        log_w.iter().filter(|&&w| w >= -LARGEST_LOG_WEIGHT).map(|&w| f64::from(w)).collect();
    let m = alive.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if alive.is_empty() {
        return (-1.0e30, 0.0, 0.0);
    }
    let s = alive.iter().map(|w| (w - m).exp()).sum();
    let q = alive.iter().map(|w| (2.0 * (w - m)).exp()).sum();
    (m, s, q)
}

/// What is decided about a group: 0 keep, 1 resample, -1 every weight is zero, -2 a log-weight was NaN
/// or too large.
pub fn decision(log_w: &[f32], share: f64) -> i32 {
    if log_w.iter().any(|w| w.is_nan() || *w > LARGEST_LOG_WEIGHT) {
        return -2;
    }
    let (_, s, q) = sums(log_w);
    if s == 0.0 { -1 } else { i32::from(s * s < share * log_w.len() as f64 * q) }
}

/// Mantissas below 2 and exponents of weights, none below 2^-126.
fn parts(w: f32) -> Option<(f64, i32)> {
    let exponent = (w.to_bits() >> 23) as i32 - 127;
    (exponent > -127).then(|| (f64::from(w) / f64::from(exponent).exp2(), exponent))
}

/// Linear weights of one group as the integers it is resampled by, blocks of `block` slots: what each
/// adds to the prefix sum.
pub fn integers(weights: &[f32], block: usize) -> Vec<u64> {
    let bits = weight_bits(block);
    let blocks = weights.len().div_ceil(block);
    let spare = blocks.next_power_of_two().trailing_zeros() as i32;
    let top = |part: &[f32]| part.iter().filter_map(|&w| parts(w)).map(|(_, e)| e).max();
    let Some(highest) = top(weights) else { return vec![0; weights.len()] };
    let mut out = Vec::with_capacity(weights.len());
    for part in weights.chunks(block) {
        let own = top(part).unwrap_or(highest);
        let shift = (highest - own + spare).min(63);
        let (mut through, mut before) = (0_u64, 0_u64);
        for &w in part {
            if let Some((mantissa, exponent)) = parts(w) {
                through += (mantissa * f64::from(exponent - own + bits as i32).exp2()) as u64;
            }
            out.push((through >> shift) - before);
            before = through >> shift;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Weights 1, 1, 2: sum 4, ESS 16 / 6.
        let (m, s, q) = sums(&[0.0, 0.0, 2.0f32.ln()]);
        assert!((m + s.ln() - 4.0f64.ln()).abs() < 1e-7);
        assert!((s * s / q - 16.0 / 6.0).abs() < 1e-6);
        assert_eq!(decision(&[f32::NEG_INFINITY, -1e30], 0.5), -1);
        assert_eq!(decision(&[0.0, f32::NAN], 0.5), -2);
        assert_eq!(decision(&[0.0, -50.0, -50.0], 0.5), 1);
        assert_eq!(decision(&[0.0, 0.0, 0.0], 0.5), 0);
    }

    #[test]
    fn integers_by_hand() {
        // One block of four: 58 bits below the exponent of 3, which is 1.
        assert_eq!(integers(&[1.0, 3.0, 0.0, 0.5], 4), [1 << 57, 3 << 57, 0, 1 << 56]);
        // Blocks of two, 59 bits each and one bit for their sum; the second is two powers lower.
        assert_eq!(integers(&[1.0, 3.0, 0.0, 0.5], 2), [1 << 57, 3 << 57, 0, 1 << 56]);
    }
}
