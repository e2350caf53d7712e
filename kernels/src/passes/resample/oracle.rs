//! Every scheme in plain loops: whole numbers, and where weights are only compared, products of two f32.

use super::scheme::{SEGMENT, Scheme, TRIALS, depth, iteration};
use crate::prims::philox::oracle::{Stream, words};
use crate::prims::philox::{purpose, tag};

/// Ancestors of one group under `scheme`: `weights` are the integers of (6c), `mantissas` the same weights in
/// units of the group's 2^E.
pub fn ancestors(scheme: Scheme, weights: &[u64], mantissas: &[f32], seed: u64, step: usize) -> Vec<u32> {
    let draws = Draws { seed, step: step as u32 };
    match scheme {
        Scheme::Systematic => systematic(weights, word(seed, step)),
        Scheme::Stratified => stratified(weights, draws),
        Scheme::Multinomial => multinomial(weights, weights.len(), depth(weights.len()), 0, draws),
        Scheme::Residual => residual(weights, draws),
        Scheme::Metropolis(steps) => metropolis(mantissas, steps, draws),
        Scheme::Megopolis(steps) => megopolis(mantissas, steps, draws),
        Scheme::Rejection => rejection(mantissas, weights, draws),
        Scheme::ConditionalMultinomial => conditional_multinomial(weights, draws),
        Scheme::ConditionalSystematic => conditional_systematic(weights, draws),
    }
}

/// Where the random words of one resampling come from.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    /// The group's seed.
    pub seed: u64,
    /// Step of the run.
    pub step: u32,
}

impl Draws {
    fn words(self, iteration: u32, slot: usize, block: u32) -> [u32; 4] {
        let tag = tag(purpose::RESAMPLE, iteration);
        words(Stream { seed: self.seed, slot: slot as u32, step: self.step, tag }, block)
    }
}

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

/// Inclusive prefix sums.
fn prefixes(weights: &[u64]) -> Vec<u128> {
    let mut through = 0;
    weights
        .iter()
        .map(|&w| {
            through += u128::from(w);
            through
        })
        .collect()
}

/// The first particle whose prefix exceeds `point`.
fn first_above(prefixes: &[u128], point: u128) -> u32 {
    prefixes.partition_point(|&q| q <= point) as u32
}

/// Ancestor of each slot: slot j lies at (j S + u_j)/K, docs/maths.md (6i).
pub fn stratified(weights: &[u64], draws: Draws) -> Vec<u32> {
    let k = weights.len() as u128;
    let prefixes = prefixes(weights);
    let total = prefixes[weights.len() - 1];
    (0..weights.len())
        .map(|j| {
            let u = (total * u128::from(draws.words(iteration::OFFSET, j, 0)[0])) >> 32;
            first_above(&prefixes, (j as u128 * total + u) / k)
        })
        .collect()
}

/// How many of `points` points fall into each of 2^`depth` equal leaves: fair bits, docs/maths.md (6j).
fn leaves(points: usize, depth: u32, draws: Draws) -> Vec<usize> {
    let mut counts = vec![points];
    for level in 0..depth {
        counts = counts
            .iter()
            .enumerate()
            .flat_map(|(index, &n)| {
                let node = (1 << level) + index as u32;
                let bit = |i: usize| {
                    let words = draws.words(iteration::TREE, i / 128, node);
                    (words[i % 128 / 32] >> (i % 32)) as usize & 1
                };
                let left = (0..n).map(bit).sum::<usize>();
                [left, n - left]
            })
            .collect();
    }
    counts
}

/// Ancestors of `slots` slots from slot `first` on: independent points, leaf after leaf.
pub fn multinomial(weights: &[u64], slots: usize, depth: u32, first: usize, draws: Draws) -> Vec<u32> {
    let prefixes = prefixes(weights);
    let total = prefixes[weights.len() - 1];
    let mut out = Vec::with_capacity(slots);
    for (leaf, n) in leaves(slots, depth, draws).into_iter().enumerate() {
        for _ in 0..n {
            let word = draws.words(iteration::OFFSET, first + out.len(), 0)[0];
            let place = ((leaf as u128) << 32) + u128::from(word);
            out.push(first_above(&prefixes, (total * place) >> (32 + depth)));
        }
    }
    out
}

/// Whole copies, then independent points on the remainders: docs/maths.md (6k).
pub fn residual(weights: &[u64], draws: Draws) -> Vec<u32> {
    let k = weights.len() as u128;
    let total: u128 = weights.iter().map(|&w| u128::from(w)).sum();
    let digits = |x: u128| 128 - x.leading_zeros();
    let drop = (digits(total) + digits(k)).saturating_sub(62);
    let mut out = Vec::with_capacity(weights.len());
    for (i, &w) in weights.iter().enumerate() {
        out.extend(std::iter::repeat_n(i as u32, (k * u128::from(w) / total) as usize));
    }
    let rest: Vec<u64> = weights.iter().map(|&w| ((k * u128::from(w) % total) >> drop) as u64).collect();
    let left = weights.len() - out.len();
    out.extend(multinomial(&rest, left, depth(weights.len()), out.len(), draws));
    out
}

/// Slot 0 keeps its particle; the others are independent points: docs/maths.md (6r).
pub fn conditional_multinomial(weights: &[u64], draws: Draws) -> Vec<u32> {
    let k = weights.len();
    [0].into_iter().chain(multinomial(weights, k - 1, depth(k), 1, draws)).collect()
}

/// A comb through a point of particle 0, whose slots begin at that tooth: docs/maths.md (6s).
pub fn conditional_systematic(weights: &[u64], draws: Draws) -> Vec<u32> {
    let k = weights.len() as u128;
    let prefixes = prefixes(weights);
    let total = prefixes[weights.len() - 1];
    let words = draws.words(iteration::OFFSET, 0, 0);
    let place = u128::from(words[0]) << 32 | u128::from(words[1]);
    let at = k * ((u128::from(weights[0]) * place) >> 64);
    let (turn, offset) = (at / total, at % total);
    let mut out: Vec<u32> =
        (0..k).map(|j| first_above(&prefixes, ((j + turn) % k * total + offset) / k)).collect();
    out[0] = 0;
    out
}

/// floor((w0 2^32 + w1) K / 2^64).
fn index(w0: u32, w1: u32, k: usize) -> usize {
    let word = u128::from(w0) << 32 | u128::from(w1);
    ((word * k as u128) >> 64) as usize
}

/// A word as a number in [0, 1): its first 24 digits.
fn unit(word: u32) -> f32 {
    let kept = if word < 1 << 24 { word } else { word & 0xffff_ff00 };
    kept as f32 / 4_294_967_296.0
}

/// What is compared: weights below 2^-80 of the scale count as zero.
fn compared(mantissas: &[f32]) -> Vec<f32> {
    let least = 2.0_f32.powi(-80);
    mantissas.iter().map(|&w| if w < least { 0.0 } else { w }).collect()
}

/// `steps` Metropolis steps a slot: docs/maths.md (6l).
pub fn metropolis(mantissas: &[f32], steps: u32, draws: Draws) -> Vec<u32> {
    let w = compared(mantissas);
    let chain = |slot: usize| {
        (0..steps).fold(slot, |own, b| {
            let words = draws.words(iteration::CHAIN, slot, b);
            let other = index(words[0], words[1], w.len());
            if unit(words[2]) * w[own] < w[other] { other } else { own }
        }) as u32
    };
    (0..w.len()).map(chain).collect()
}

/// The same with proposals at a shared distance: docs/maths.md (6m).
pub fn megopolis(mantissas: &[f32], steps: u32, draws: Draws) -> Vec<u32> {
    let w = compared(mantissas);
    let k = w.len();
    let segment = if k.is_multiple_of(SEGMENT as usize) { SEGMENT as usize } else { 1 };
    let chain = |slot: usize| {
        (0..steps).fold(slot, |own, b| {
            let shared = draws.words(iteration::SHARED, b as usize / 2, 0);
            let at = 2 * (b as usize % 2);
            let distance = index(shared[at], shared[at + 1], k);
            let aligned = (slot - slot % segment + distance - distance % segment) % k;
            let other = aligned + (slot + distance) % segment;
            let word = draws.words(iteration::CHAIN, slot, b / 4)[b as usize % 4];
            if unit(word) * w[own] < w[other] { other } else { own }
        }) as u32
    };
    (0..k).map(chain).collect()
}

/// Trials against twice the scale, then one independent point: docs/maths.md (6n).
pub fn rejection(mantissas: &[f32], weights: &[u64], draws: Draws) -> Vec<u32> {
    let (k, prefixes) = (mantissas.len(), prefixes(weights));
    let w = compared(mantissas);
    let search = |slot: usize| {
        for b in 0..TRIALS {
            let words = draws.words(iteration::CHAIN, slot, b);
            let candidate = if b == 0 { slot } else { index(words[0], words[1], k) };
            if f64::from(words[2]) < (f64::from(w[candidate]) * f64::from(1_u32 << 31)).floor() {
                return candidate as u32;
            }
        }
        let words = draws.words(iteration::CHAIN, slot, TRIALS);
        let place = u128::from(words[0]) << 32 | u128::from(words[1]);
        first_above(&prefixes, (prefixes[k - 1] * place) >> 64)
    };
    (0..k).map(search).collect()
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
        // 4 W = 1/2, 7/2, 0, 0: three copies of the second, and a last slot to one of the first two.
        let found = residual(&[1, 7, 0, 0], Draws { seed: 5, step: 0 });
        assert!(found[..3] == [1, 1, 1] && found[3] < 2, "{found:?}");
    }

    #[test]
    fn leaves_hold_all_points() {
        let counts = leaves(3000, 4, Draws { seed: 7, step: 2 });
        assert_eq!((counts.len(), counts.iter().sum::<usize>()), (16, 3000));
        // 187.5 each, standard deviation 13.3: five of them.
        assert!(counts.iter().all(|n| n.abs_diff(187) < 68), "{counts:?}");
    }

    #[test]
    fn proposals_meet_everyone_once() {
        // One step against a heavier particle wherever it is: each slot proposes another one.
        for k in [64, 33, 7] {
            let draws = Draws { seed: 3, step: 1 };
            let hits: usize = (0..k)
                .map(|heavy| {
                    let mut w = vec![0.0_f32; k];
                    w[heavy] = 1.0;
                    megopolis(&w, 1, draws).iter().filter(|&&a| a as usize == heavy).count()
                })
                .sum();
            // Each particle is proposed to exactly one slot, and stays in its own.
            assert!((2 * k - 1..=2 * k).contains(&hits) || hits == k, "{k}: {hits}");
        }
    }
}
