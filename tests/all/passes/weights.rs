//! Normalisation, ESS and the decision.

use feynkac::kernels::device::Device;
use feynkac::kernels::methods::{ESS_SHARE, ROW};
use feynkac::kernels::passes::scan::{LogWeights, block_totals};
use feynkac::kernels::passes::weights::{normalise, oracle};
use feynkac::kernels::prims::monoid::LogSumExp;
use feynkac::kernels::prims::state::{BLOCK, Population};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::SIZES;

on_every_device! { awkward_weights, random_weights }

fn check(device: &Device, log_w: &[f32], what: &str) {
    let of = Population { groups: 1, slots: log_w.len(), dim: 1, lanes: device.lanes(), max_block: BLOCK };
    let mut padded = log_w.to_vec();
    padded.resize(of.stride(), -1.0e30);
    let input = device.upload("log-weights", &padded).expect("an upload");
    let norms = device.upload("norms", &[0.0_f32; 4]).expect("an upload");
    let history = device.upload("history", &[0.0_f32; 8]).expect("an upload");
    let mut table = vec![0.0_f32; 2 * ROW];
    table[ROW + ESS_SHARE] = 0.5;
    let coeffs = device.upload("coefficients", &table).expect("an upload");
    let blocks = device.empty("blocks", 4 * of.blocks()).expect("a buffer");
    block_totals::<LogSumExp, LogWeights>(device, &input, &norms, &blocks, &of, 0.0).expect("a launch");
    normalise(device, &blocks, &coeffs, &norms, &history, &of, 1).expect("a launch");
    let found = device.download(&norms).expect("norms");
    let row = device.download(&history).expect("history");
    assert_eq!(found, row[4..], "{what}: the record is kept");
    let decision = oracle::decision(log_w, 0.5);
    let (m, s, q) = oracle::sums(log_w);
    // Close calls of the decision aside, it is the oracle's.
    if decision < 0 || (s * s / q / (0.5 * log_w.len() as f64) - 1.0).abs() > 1.0e-3 {
        assert_eq!(found[3], decision as f32, "{what}: decision");
    }
    if decision >= 0 {
        assert_eq!(f64::from(found[0]), m, "{what}: maximum");
        assert!((f64::from(found[1]) / s - 1.0).abs() < 1.0e-4, "{what}: sum {} for {s}", found[1]);
        assert!((f64::from(found[2]) / q - 1.0).abs() < 1.0e-4, "{what}: squares {} for {q}", found[2]);
    }
}

/// Log-weights spread over e^±80.
pub fn spread(device: &Device, n: usize) {
    let log_w: Vec<f32> = (0..n).map(|i| if i % 2 == 0 { 80.0 } else { -80.0 }).collect();
    check(device, &log_w, "a spread of e^80");
}

fn awkward_weights(device: &Device) {
    for n in SIZES {
        check(device, &vec![-3.25; n], "all equal");
        check(device, &vec![-1.0e30; n], "all zero");
        check(device, &vec![f32::NEG_INFINITY; n], "all minus infinity");
        let mut one = vec![-1.0e30; n];
        one[n / 2] = 5.0;
        check(device, &one, "one finite");
        one[n - 1] = f32::NAN;
        check(device, &one, "a NaN");
        spread(device, n);
        let tail: Vec<f32> = (0..n).map(|i| if i < n / 2 { 0.5 } else { -1.0e30 }).collect();
        check(device, &tail, "trailing zeros");
    }
}

fn random_weights(device: &Device) {
    let mut rng = StdRng::seed_from_u64(5);
    for n in SIZES {
        let width: f32 = rng.random_range(0.1..40.0);
        let log_w: Vec<f32> = (0..n).map(|_| rng.random_range(-width..width)).collect();
        check(device, &log_w, "random");
    }
}
