//! Systematic resampling in exact integer arithmetic.

use crate::prims::fixed::oracle::{from_weight, weight_bits};
use crate::prims::philox::oracle::{Stream, words};
use crate::prims::philox::{purpose, tag};

/// The random word of a group's resampling at `step`.
pub fn word(seed: u64, step: usize) -> u32 {
    let stream = Stream { seed, slot: 0, step: step as u32, tag: tag(purpose::RESAMPLE, 0) };
    words(stream, 0)[0]
}

/// (2^-e, sum) of weights for a group's record: the power of two that brings them to at most 1 with
/// one above 1/2, and their sum after that. `None` unless they are finite, not negative and not
/// all zero.
pub fn record(weights: &[f32]) -> Option<(f32, f32)> {
    let max = weights.iter().copied().fold(0.0_f32, f32::max);
    if !weights.iter().all(|w| w.is_finite() && *w >= 0.0) || max == 0.0 {
        return None;
    }
    // Above 2^126 or below 2^-126 the factor would leave the range of f32; the weights then stay
    // within 2 of 1, or gain what digits they have.
    let exponent = f64::from(max).log2().floor().clamp(-125.0, 125.0) + 1.0;
    let factor = (-exponent).exp2();
    let sum: f64 = weights.iter().map(|&w| f64::from(w) * factor).sum();
    Some((factor as f32, (sum as f32).max(1.0)))
}

/// Weights as the integers the device resamples by.
pub fn integers(weights: &[f32], (factor, sum): (f32, f32)) -> Vec<u64> {
    let bits = weight_bits(sum);
    weights.iter().map(|&w| from_weight(w * factor, bits)).collect()
}

/// Ancestor of each slot. `word` is the uniform offset in units of 2^-32.
pub fn systematic(weights: &[u64], word: u32) -> Vec<u32> {
    let k = weights.len() as u128;
    let total: u128 = weights.iter().map(|&w| u128::from(w)).sum();
    let u = (total * u128::from(word)) >> 32;
    let mut parent = 0;
    let mut through = u128::from(weights[0]);
    (0..k)
        .map(|j| {
            let position = (j * total + u) / k;
            while through <= position {
                parent += 1;
                through += u128::from(weights[parent]);
            }
            parent as u32
        })
        .collect()
}

/// Offspring of each particle.
pub fn offspring(ancestors: &[u32], count: usize) -> Vec<u32> {
    let mut out = vec![0; count];
    for &a in ancestors {
        out[a as usize] += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Weights 1 and 3 of 4, three slots, u = 0: positions 0, 1, 2 of total 4.
        assert_eq!(systematic(&[1, 3, 0], 0), [0, 1, 1]);
        assert_eq!(systematic(&[0, 5, 0], u32::MAX), [1, 1, 1]);
        assert_eq!(offspring(&[0, 1, 1], 3), [1, 2, 0]);
    }
}
