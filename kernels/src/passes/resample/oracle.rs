//! Systematic resampling in exact integer arithmetic.

use crate::prims::philox::oracle::{Stream, words};
use crate::prims::philox::{purpose, tag};

/// The random word of a group's resampling at `step`.
pub fn word(seed: u64, step: usize) -> u32 {
    let stream = Stream { seed, slot: 0, step: step as u32, tag: tag(purpose::RESAMPLE, 0) };
    words(stream, 0)[0]
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
