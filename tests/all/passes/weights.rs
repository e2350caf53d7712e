//! Normalisation, ESS and the decision.

use feynkac::kernels::device::Device;
use feynkac::kernels::passes::weights::{RECORD, Weights, oracle};
use feynkac::kernels::prims::state::BLOCK;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::SIZES;
use super::resample::{Resampled, STEP, population, resampled};

on_every_device! { awkward_weights, random_weights }

fn check(device: &Device, log_w: &[f32], what: &str) {
    let of = population(device, 1, log_w.len(), BLOCK);
    let mut padded = log_w.to_vec();
    padded.resize(of.stride(), 50.0);
    let Resampled { norms: found, history, .. } =
        resampled(device, (Weights::Log, &padded), &of, &[1], 0.5, 0);
    assert_eq!(found, history[RECORD * STEP..], "{what}: the record is kept");
    let decision = oracle::decision(log_w, 0.5);
    let (m, s, q) = oracle::sums(log_w);
    // Close calls of the decision aside, it is the oracle's.
    if decision < 0 || (s * s / q / (0.5 * log_w.len() as f64) - 1.0).abs() > 1.0e-3 {
        assert_eq!(found[3], decision as f32, "{what}: decision");
    }
    if decision >= 0 {
        let [exponent, sum, square] = [found[0], found[1], found[2]].map(f64::from);
        let log_sum = exponent * std::f64::consts::LN_2 + sum.ln();
        // A log-weight is rounded once where it is split, and f32 sums of squares are.
        let wanted = m + s.ln();
        assert!(
            (log_sum - wanted).abs() < 1.0e-5 + 1.0e-6 * m.abs(),
            "{what}: log-sum {log_sum} for {wanted}"
        );
        let ess = sum * sum / square;
        assert!((ess / (s * s / q) - 1.0).abs() < 1.0e-4, "{what}: ESS {ess} for {}", s * s / q);
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
        let least: Vec<f32> = (0..n).map(|i| if i % 3 == 0 { -9.0e7 } else { -1.0e30 }).collect();
        check(device, &least, "zeros beside the least weight there is");
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
