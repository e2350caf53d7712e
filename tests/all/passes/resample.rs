//! Systematic resampling against exact integer arithmetic.

use feynkac::kernels::device::Device;
use feynkac::kernels::methods::{ESS_SHARE, ROW};
use feynkac::kernels::passes::resample::oracle::{offspring, systematic, word};
use feynkac::kernels::passes::resample::{Resampling, Scheme};
use feynkac::kernels::passes::weights::oracle::integers;
use feynkac::kernels::passes::weights::{RECORD, Weights, tally};
use feynkac::kernels::prims::state::{BLOCK, Population};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::SIZES;

on_every_device! { ancestors_are_exact, offspring_of_four_million, a_group_that_keeps_is_untouched }

/// What a resampling leaves.
pub struct Resampled {
    /// A record a group.
    pub norms: Vec<f32>,
    /// The same in the row of its step.
    pub history: Vec<f32>,
    /// Parents, `[stride]`.
    pub ancestors: Vec<u32>,
}

/// The step of [`resampled`].
pub const STEP: usize = 3;

/// Resamples every group of `of`, whose weights are `values` `[stride]`, at step 3 with `share` of the
/// particles as the threshold. The ancestors hold `kept` before.
pub fn resampled(
    device: &Device,
    given: (Weights, &[f32]),
    of: &Population,
    seeds: &[u64],
    share: f32,
    kept: u32,
) -> Resampled {
    resampled_by(device, Scheme::Systematic, given, of, seeds, share, kept)
}

/// The same by any scheme.
pub fn resampled_by(
    device: &Device,
    scheme: Scheme,
    (kind, values): (Weights, &[f32]),
    of: &Population,
    seeds: &[u64],
    share: f32,
    kept: u32,
) -> Resampled {
    let mut table = vec![0.0_f32; (STEP + 1) * ROW];
    table[STEP * ROW + ESS_SHARE] = share;
    let words: Vec<u32> = seeds.iter().flat_map(|s| [*s as u32, (*s >> 32) as u32]).collect();
    let input = device.upload("weights", values).expect("an upload");
    let records = device.empty("records", RECORD * of.groups * of.blocks()).expect("a buffer");
    let coeffs = device.upload("coefficients", &table).expect("an upload");
    let norms = device.empty("norms", RECORD * of.groups).expect("a buffer");
    let history =
        device.upload("history", &vec![0.0_f32; RECORD * of.groups * (STEP + 1)]).expect("an upload");
    let seeds = device.upload("seeds", &words).expect("an upload");
    let ancestors = device.upload("ancestors", &vec![kept; of.stride()]).expect("an upload");
    tally(device, kind, &input, &records, of).expect("a launch");
    let parts = device.empty("parts", RECORD * of.groups * of.blocks()).expect("a buffer");
    let resampling = Resampling {
        scheme,
        parts: &parts,
        kind,
        values: &input,
        records: &records,
        coeffs: &coeffs,
        norms: &norms,
        history: &history,
        seeds: &seeds,
        ancestors: &ancestors,
        of,
    };
    resampling.launch_copies(device, STEP).expect("a launch");
    resampling.launch(device, STEP).expect("a launch");
    Resampled {
        norms: device.download(&norms).expect("norms"),
        history: device.download(&history).expect("history"),
        ancestors: device.download(&ancestors).expect("ancestors"),
    }
}

/// One population of particles on the line.
pub fn population(device: &Device, groups: usize, slots: usize, max_block: usize) -> Population {
    Population { groups, slots, dim: 1, lanes: device.lanes_for(slots, 1), max_block }
}

fn resample(device: &Device, weights: &[f32], max_block: usize, seed: u64) -> Vec<u32> {
    let of = population(device, 1, weights.len(), max_block);
    let mut padded = weights.to_vec();
    // What lies behind a group is not its own.
    padded.resize(of.stride(), 1.0);
    let found = resampled(device, (Weights::Linear, &padded), &of, &[seed], 2.0, u32::MAX);
    found.ancestors[..weights.len()].to_vec()
}

/// Awkward weights of `n` particles, with what is awkward about them.
pub fn cases(n: usize) -> Vec<(&'static str, Vec<f32>)> {
    let mut rng = StdRng::seed_from_u64(n as u64);
    let random: Vec<f32> = (0..n).map(|_| rng.random_range(0.0..1.0f32)).collect();
    let mut one_hot = vec![0.0; n];
    one_hot[n / 3] = 1.0;
    let mut plateau = random.clone();
    plateau[..n / 2].fill(0.0);
    let mut tail = random.clone();
    tail[n - n / 2..].fill(0.0);
    tail[0] = 1.0;
    let mut heavy = vec![1.0e-6; n];
    heavy[n - n.min(700)..].copy_from_slice(&random[n - n.min(700)..]);
    let spread = random.iter().map(|u| (160.0 * (u - 1.0)).exp()).collect();
    vec![
        ("random", random),
        ("equal", vec![0.5; n]),
        ("one hot", one_hot),
        ("leading zeros", plateau),
        ("trailing zeros", tail),
        ("a heavy block behind light ones", heavy),
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
    let block = population(device, 1, weights.len(), max_block).block();
    let wanted = systematic(&integers(weights, block), word(seed, 3));
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
    for slots in [5, 100, 3000] {
        let of = population(device, 2, slots, BLOCK);
        let mut values = vec![0.5_f32; of.stride()];
        // The second group has one particle that counts.
        values[of.padded()..].fill(1.0e-9);
        values[of.padded() + 3] = 1.0;
        let found = resampled(device, (Weights::Linear, &values), &of, &[1, 2], 0.5, 77).ancestors;
        assert!(found[..slots].iter().all(|&a| a == 77), "{slots}: the first group keeps what it has");
        assert!(found[of.padded()..of.padded() + slots].iter().filter(|&&a| a != 3).count() < 2, "{slots}");
    }
}
