//! Whole-array scans of every monoid.

use feynkac::kernels::device::Device;
use feynkac::kernels::passes::scan::{Integers, LogWeights, Maxima, Scan, Values, oracle, scan};
use feynkac::kernels::prims::monoid::{FixedSum, LogSumExp, Max, Sum};
use feynkac::kernels::prims::state::{BLOCK, Population};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::SIZES;

on_every_device! { sums, maxima, log_sums, integers_are_exact_for_any_block, groups_stand_alone }

/// Every monoid over `n` elements.
pub fn all_monoids(device: &Device, n: usize) {
    sums_of(device, n);
    maxima_of(device, n);
    log_sums_of(device, n);
    integers_of(device, n);
}

fn population(device: &Device, groups: usize, slots: usize, max_block: usize) -> Population {
    Population { groups, slots, dim: 1, lanes: device.lanes(), max_block }
}

fn numbers(n: usize, seed: u64, low: f32, high: f32) -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(low..high)).collect()
}

/// One group's numbers, each group padded with `pad`.
fn padded(of: &Population, values: &[f32], pad: f32) -> Vec<f32> {
    values
        .chunks(of.slots)
        .flat_map(|group| group.iter().copied().chain(std::iter::repeat_n(pad, of.padded() - of.slots)))
        .collect()
}

fn sums(device: &Device) {
    SIZES.into_iter().for_each(|n| sums_of(device, n));
}

fn sums_of(device: &Device, n: usize) {
    sum_prefixes(device, &numbers(n, n as u64, 0.0, 1.0), BLOCK);
}

/// Prefix sums of `values`, none below 0, against the oracle.
pub(super) fn sum_prefixes(device: &Device, values: &[f32], max_block: usize) {
    let n = values.len();
    let of = population(device, 1, n, max_block);
    let into = Scan::new(device, &of, 1).expect("buffers");
    let input = device.upload("input", &padded(&of, values, 9.0)).expect("an upload");
    scan::<Sum, Values>(device, &input, &into, &of).expect("a scan");
    let found = device.download(&into.prefix).expect("prefix");
    for (i, wanted) in oracle::sums(values).iter().enumerate() {
        let error = (f64::from(f32::from_bits(found[i])) - wanted).abs();
        // Rounding: at most one half ulp a partial sum along the longest chain of additions,
        // a block's slots and the blocks' count. A device may flush what is below the least normal number.
        let chain = (of.block() + of.blocks()) as f64;
        let flushed = (i + 1) as f64 * f64::from(f32::MIN_POSITIVE);
        let bound = chain * f64::from(f32::EPSILON) * wanted + flushed;
        assert!(error <= bound, "{n} in blocks of {max_block}: element {i} off by {error}");
    }
}

fn maxima(device: &Device) {
    SIZES.into_iter().for_each(|n| maxima_of(device, n));
}

fn maxima_of(device: &Device, n: usize) {
    let of = population(device, 1, n, BLOCK);
    let values = numbers(n, n as u64, -1.0e6, 1.0e6);
    let into = Scan::new(device, &of, 1).expect("buffers");
    let input = device.upload("input", &padded(&of, &values, 9.0e9)).expect("an upload");
    scan::<Max, Maxima>(device, &input, &into, &of).expect("a scan");
    let found = device.download(&into.prefix).expect("prefix");
    for (i, wanted) in oracle::maxima(&values).iter().enumerate() {
        assert_eq!(f32::from_bits(found[i]), *wanted, "{n}: element {i}");
    }
}

fn log_sums(device: &Device) {
    [1, 2, 17, 257, 1025, 3000].into_iter().for_each(|n| log_sums_of(device, n));
}

fn log_sums_of(device: &Device, n: usize) {
    let of = population(device, 1, n, BLOCK);
    let mut values = numbers(n, n as u64, -80.0, 80.0);
    values[n / 2] = -1.0e30;
    if n > 2 {
        values[0] = f32::NEG_INFINITY;
    }
    let into = Scan::new(device, &of, 4).expect("buffers");
    let input = device.upload("input", &padded(&of, &values, 300.0)).expect("an upload");
    scan::<LogSumExp, LogWeights>(device, &input, &into, &of).expect("a scan");
    let found: Vec<f32> =
        device.download(&into.prefix).expect("prefix").into_iter().map(f32::from_bits).collect();
    for (i, &(log_sum, ess)) in oracle::log_sums(&values).iter().enumerate() {
        let [max, sum, square, bad] = [0, 1, 2, 3].map(|w| f64::from(found[4 * i + w]));
        assert_eq!(bad, 0.0);
        if !log_sum.is_finite() {
            assert!(max < -1.0e29 && sum == 0.0);
            continue;
        }
        assert!((max + sum.ln() - log_sum).abs() < 2.0e-4, "{n}: {i}");
        assert!((sum * sum / square / ess - 1.0).abs() < 4.0e-4, "{n}: {i}");
    }
}

fn integers_are_exact_for_any_block(device: &Device) {
    SIZES.into_iter().for_each(|n| integers_of(device, n));
}

fn integers_of(device: &Device, n: usize) {
    let values = numbers(n, n as u64, 0.0, 1.0);
    [BLOCK, 64].into_iter().for_each(|max_block| integer_prefixes(device, &values, max_block));
}

/// Prefix sums of weights in [0, 1] as integers: exactly the oracle's.
pub(super) fn integer_prefixes(device: &Device, values: &[f32], max_block: usize) {
    let n = values.len();
    let weights: Vec<u64> = values.iter().map(|&w| (f64::from(w) * 40.0_f64.exp2()) as u64).collect();
    let of = population(device, 1, n, max_block);
    let into = Scan::new(device, &of, 2).expect("buffers");
    let input = device.upload("input", &padded(&of, values, 1.0)).expect("an upload");
    scan::<FixedSum, Integers>(device, &input, &into, &of).expect("a scan");
    let found = device.download(&into.prefix).expect("prefix");
    for (i, wanted) in oracle::integers(&weights).into_iter().enumerate() {
        let sum = u64::from(found[2 * i]) << 32 | u64::from(found[2 * i + 1]);
        assert_eq!(sum, wanted, "{n} in blocks of {max_block}: element {i}");
    }
}

fn groups_stand_alone(device: &Device) {
    for (groups, slots) in [(3, 5), (7, 1000), (2, 3000), (300, 8)] {
        let of = population(device, groups, slots, BLOCK);
        let values = numbers(groups * slots, 1, 0.0, 1.0);
        let into = Scan::new(device, &of, 1).expect("buffers");
        let input = device.upload("input", &padded(&of, &values, 9.0)).expect("an upload");
        scan::<Sum, Values>(device, &input, &into, &of).expect("a scan");
        let found = device.download(&into.prefix).expect("prefix");
        let totals = device.download(&into.offsets).expect("offsets");
        for g in 0..groups {
            let wanted = oracle::sums(&values[g * slots..(g + 1) * slots]);
            let last = f64::from(f32::from_bits(found[g * of.padded() + slots - 1]));
            assert!((last / wanted[slots - 1] - 1.0).abs() < 1.0e-5, "group {g} of {groups}");
            let total = f64::from(f32::from_bits(totals[groups * of.blocks() + g]));
            assert!((total / wanted[slots - 1] - 1.0).abs() < 1.0e-5, "total of group {g}");
        }
    }
}
