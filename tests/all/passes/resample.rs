//! Systematic resampling against exact integer arithmetic.

use feynkac::kernels::device::Device;
use feynkac::kernels::passes::resample::oracle::{integers, offspring, record, systematic, word};
use feynkac::kernels::passes::resample::{Resampler, Weights};
use feynkac::kernels::prims::state::{BLOCK, Population};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::SIZES;

on_every_device! { ancestors_are_exact, offspring_of_four_million, a_group_that_keeps_is_untouched }

fn resample(device: &Device, weights: &[f32], max_block: usize, seed: u64) -> Vec<u32> {
    let of = Population { groups: 1, slots: weights.len(), dim: 1, lanes: device.lanes(), max_block };
    let mut padded = weights.to_vec();
    padded.resize(of.stride(), 1.0);
    let input = device.upload("weights", &padded).expect("an upload");
    let (factor, sum) = record(weights).expect("weights");
    let norms = device.upload("norms", &[factor, sum, 0.0, 1.0]).expect("an upload");
    let seeds = device.upload("seeds", &[seed as u32, (seed >> 32) as u32]).expect("an upload");
    let ancestors = device.upload("ancestors", &vec![u32::MAX; of.stride()]).expect("an upload");
    let resampler = Resampler::new(device, &of).expect("buffers");
    resampler
        .systematic(device, Weights::Linear, &input, &norms, &seeds, &ancestors, &of, 3)
        .expect("a launch");
    device.download(&ancestors).expect("ancestors")[..weights.len()].to_vec()
}

fn cases(n: usize) -> Vec<(&'static str, Vec<f32>)> {
    let mut rng = StdRng::seed_from_u64(n as u64);
    let random: Vec<f32> = (0..n).map(|_| rng.random_range(0.0..1.0f32)).collect();
    let mut one_hot = vec![0.0; n];
    one_hot[n / 3] = 1.0;
    let mut plateau = random.clone();
    plateau[..n / 2].fill(0.0);
    let mut tail = random.clone();
    tail[n - n / 2..].fill(0.0);
    tail[0] = 1.0;
    let spread = random.iter().map(|u| (160.0 * (u - 1.0)).exp()).collect();
    vec![
        ("random", random),
        ("equal", vec![0.5; n]),
        ("one hot", one_hot),
        ("leading zeros", plateau),
        ("trailing zeros", tail),
        ("spread", spread),
    ]
}

fn ancestors_are_exact(device: &Device) {
    for n in SIZES {
        for (what, weights) in cases(n) {
            if weights.iter().all(|&w| w == 0.0) {
                continue;
            }
            for max_block in [BLOCK, 64] {
                descends(device, what, &weights, max_block, 11);
            }
        }
    }
}

/// `n` random weights against the integer oracle.
pub fn random_weights(device: &Device, n: usize) {
    let (what, weights) = cases(n).swap_remove(0);
    descends(device, what, &weights, BLOCK, 11);
}

/// Ancestors by `weights`: exactly those of the integer oracle.
pub(super) fn descends(device: &Device, what: &str, weights: &[f32], max_block: usize, seed: u64) {
    let wanted = systematic(&integers(weights, record(weights).expect("weights")), word(seed, 3));
    let found = resample(device, weights, max_block, seed);
    assert!(found == wanted, "{what}, {} weights in blocks of {max_block}, seed {seed}", weights.len());
}

/// The weights themselves as integers, nothing dropped: f32 in [0, 1) in units of 2^-90.
fn exact(weights: &[f32]) -> Vec<u128> {
    weights
        .iter()
        .map(|w| {
            let (bits, exponent) = (w.to_bits(), w.to_bits() >> 23);
            if exponent == 0 { 0 } else { u128::from(bits & 0x7f_ffff | 0x80_0000) << (exponent - 60) }
        })
        .collect()
}

/// Counts are floor or ceil of N W up to 2^22, judged by integers; an f32 running sum is not.
fn offspring_of_four_million(device: &Device) {
    let n = 1 << 22;
    let mut rng = StdRng::seed_from_u64(9);
    let weights: Vec<f32> = (0..n).map(|_| rng.random_range(2.0e-7..1.0f32)).collect();
    let whole = exact(&weights);
    let total: u128 = whole.iter().sum();
    let breaks = |ancestors: &[u32]| {
        let counts = offspring(ancestors, n);
        whole
            .iter()
            .zip(counts)
            .filter(|&(&w, count)| {
                let share = n as u128 * w;
                u128::from(count) < share / total || u128::from(count) > share.div_ceil(total)
            })
            .count()
    };
    let found = resample(device, &weights, BLOCK, 1);
    assert!(found.is_sorted(), "ancestors never decrease");
    assert_eq!(breaks(&found), 0);
    // One heavy particle over fine dust: what a fixed 39 bits a weight would drop.
    let mut dust = vec![1.0e-12_f32; n];
    dust[17] = 0.75;
    let heavy = offspring(&resample(device, &dust, BLOCK, 1), n)[17];
    let share = n as u128 * exact(&dust)[17];
    let total: u128 = exact(&dust).iter().sum();
    assert!((share / total..=share.div_ceil(total)).contains(&u128::from(heavy)), "{heavy}");
    // Known mistake 11: the running sum in f32.
    let mut through = 0.0_f32;
    let sums: Vec<f32> = weights
        .iter()
        .map(|w| {
            through += w;
            through
        })
        .collect();
    let wrong: Vec<u32> = (0..n)
        .map(|j| {
            let u = (j as f32 + 0.5) / n as f32 * through;
            sums.partition_point(|&c| c <= u).min(n - 1) as u32
        })
        .collect();
    assert!(breaks(&wrong) > 0, "the control must fail");
}

fn a_group_that_keeps_is_untouched(device: &Device) {
    let of = Population { groups: 2, slots: 100, dim: 1, lanes: device.lanes(), max_block: BLOCK };
    let input = device.upload("weights", &vec![0.5_f32; of.stride()]).expect("an upload");
    let norms = device.upload("norms", &[1.0_f32, 50.0, 0.0, 0.0, 1.0, 50.0, 0.0, 1.0]).expect("an upload");
    let seeds = device.upload("seeds", &[1, 0, 2, 0]).expect("an upload");
    let ancestors = device.upload("ancestors", &vec![77_u32; of.stride()]).expect("an upload");
    let resampler = Resampler::new(device, &of).expect("buffers");
    resampler
        .systematic(device, Weights::Linear, &input, &norms, &seeds, &ancestors, &of, 0)
        .expect("a launch");
    let found = device.download(&ancestors).expect("ancestors");
    assert_eq!(found[..100], [77; 100]);
    let identity: Vec<u32> = (0..100).collect();
    assert_eq!(found[of.padded()..of.padded() + 100], identity);
}
