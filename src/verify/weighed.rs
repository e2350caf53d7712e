//! What is made of weights, alone: records, normalisation, ancestors, rows of survivors, prefix products.

use feynkac_kernels::device::Device;
use feynkac_kernels::passes::gather;
use feynkac_kernels::passes::resample::oracle::{ancestors, systematic, word};
use feynkac_kernels::passes::resample::{Alone, Scheme};
use feynkac_kernels::passes::scan::{Integers, LogWeights, Maxima, Scan, Values, oracle as scans, scan};
use feynkac_kernels::passes::survivors::{self, Rows};
use feynkac_kernels::passes::weights::{Weights, oracle};
use feynkac_kernels::prims::monoid::{FixedSum, LogSumExp, Max, Sum};
use feynkac_kernels::prims::state::{BLOCK, Population};

use super::passes::{SIZES, fraction, population};
use super::{EPS, Verdict};
use crate::error::Result;
use crate::registry::{self, SCHEMES};

const SEED: u64 = 11;

/// One group to be resampled where its ESS is below `share` of the particles.
fn group(
    device: &Device,
    scheme: Scheme,
    (kind, values): (Weights, &[f32]),
    dim: usize,
    share: f32,
) -> Result<Alone> {
    let of = Population { dim, ..population(device, values.len(), BLOCK) };
    let mut padded = values.to_vec();
    // What lies behind a group is not its own.
    padded.resize(of.stride(), 1.0);
    Ok(Alone::new(device, scheme, (kind, &padded), of, &[SEED], share)?)
}

/// Weights in no order, equal, one alone, plateaus of zeros at either end, a heavy block behind light ones, a spread
/// of e^-160.
fn shapes(n: usize) -> Vec<Vec<f32>> {
    let random: Vec<f32> = (0..n).map(|i| fraction(i + 1) as f32).collect();
    let (mut one, mut leading, mut trailing) = (vec![0.0; n], random.clone(), random.clone());
    one[n / 3] = 1.0;
    leading[..n / 2].fill(0.0);
    trailing[n - n / 2..].fill(0.0);
    let mut heavy = vec![1.0e-9; n];
    heavy[n - n.min(700)..].copy_from_slice(&random[n - n.min(700)..]);
    let spread = random.iter().map(|u| (160.0 * (u - 1.0)).exp()).collect();
    vec![random, vec![0.5; n], one, leading, trailing, heavy, spread]
}

/// Ancestors to the slot, by every scheme.
pub fn resampled(device: &Device) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for (scheme, ..) in SCHEMES {
        for n in SIZES {
            // What the schemes share is tried with every shape once.
            let shapes = shapes(n).into_iter();
            for weights in shapes.step_by(if *scheme == registry::Scheme::Systematic { 1 } else { 6 }) {
                check_scheme(device, scheme.kernel(), &weights, &mut verdict)?;
            }
        }
    }
    Ok(verdict)
}

fn check_scheme(device: &Device, scheme: Scheme, weights: &[f32], verdict: &mut Verdict) -> Result<()> {
    let group = group(device, scheme, (Weights::Linear, weights), 1, 2.0)?;
    group.launch(device)?;
    let found = device.download(&group.ancestors)?;
    // In units of the power of two at or below the largest.
    let most = weights.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let unit = f32::from_bits(most.to_bits() & 0x7f80_0000);
    let in_units =
        |&w: &f32| if w < f32::MIN_POSITIVE { 0.0 } else { (f64::from(w) / f64::from(unit)) as f32 };
    let mantissas: Vec<f32> = weights.iter().map(in_units).collect();
    let whole = oracle::integers(weights, group.of.block());
    let wanted = ancestors(scheme, &whole, &mantissas, SEED, 0);
    for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        verdict.compare("resample: ancestors", 0, (0, i), *found, f64::from(wanted), 0.0);
    }
    Ok(())
}

/// Ancestors to the slot, and their rows.
pub fn survived(device: &Device) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for (n, dim) in SIZES.into_iter().zip([1, 2, 3, 64].into_iter().cycle()) {
        let weights = &shapes(n)[0];
        let group = group(device, Scheme::Systematic, (Weights::Linear, weights), dim, 2.0)?;
        let rows: Vec<f32> = (0..n * dim).map(|i| (i % 65_521) as f32).collect();
        let (from, out) = (device.upload("rows", &rows)?, device.empty("rows of survivors", n * dim)?);
        survivors::launch(device, &group.resampling(), &Rows { rows: &from, out: &out }, 0)?;
        let wanted = systematic(&oracle::integers(weights, group.of.block()), word(SEED, 0));
        let found = device.download(&group.ancestors)?;
        for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            verdict.compare("survivors: ancestors", 0, (0, i), *found, f64::from(*wanted), 0.0);
        }
        let wanted = gather::oracle::gather(&rows, dim, &wanted);
        for (i, (found, wanted)) in device.download(&out)?.into_iter().zip(wanted).enumerate() {
            verdict.compare("survivors: rows", 0, (0, i), found, f64::from(wanted), 0.0);
        }
    }
    Ok(verdict)
}

/// Log-sum-exp, ESS and the decision of log-weights.
pub fn normalised(device: &Device) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for n in SIZES {
        let spread = (0..n).map(|i| 40.0 * (fraction(i) as f32 - 0.5)).collect();
        let mut one = vec![-1.0e30; n];
        one[n / 2] = 5.0;
        let mut bad = one.clone();
        bad[n - 1] = f32::NAN;
        for log_w in [spread, vec![-3.25; n], vec![-1.0e30; n], one, bad] {
            let group = group(device, Scheme::Systematic, (Weights::Log, &log_w), 1, 0.5)?;
            group.launch(device)?;
            let found = device.download(&group.norms)?;
            let (m, s, q) = oracle::sums(&log_w);
            let decision = oracle::decision(&log_w, 0.5);
            // Close calls of the decision aside, it is the oracle's.
            if decision < 0 || (s * s / q / (0.5 * n as f64) - 1.0).abs() > 1.0e-3 {
                verdict.compare("weights: decision", 0, (0, n), found[3], f64::from(decision), 0.0);
            }
            if decision >= 0 {
                let [exponent, sum, square] = [found[0], found[1], found[2]].map(f64::from);
                let log_sum = exponent * std::f64::consts::LN_2 + sum.ln();
                // A log-weight is rounded once where it is split, and f32 sums of squares are.
                let allowed = 1.0e-5 + 1.0e-6 * m.abs();
                verdict.compare("weights: log-sum", 0, (0, n), log_sum, m + s.ln(), allowed);
                let (ess, wanted) = (sum * sum / square, s * s / q);
                verdict.compare("weights: ESS", 0, (0, n), ess, wanted, 1.0e-4 * wanted);
            }
        }
    }
    Ok(verdict)
}

/// Prefix sums, maxima, exact integers, log-sum-exp.
pub fn scanned(device: &Device) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for n in SIZES {
        let of = population(device, n, BLOCK);
        let values: Vec<f32> = (0..n).map(|i| fraction(i + 1) as f32).collect();
        let mut padded = values.clone();
        padded.resize(of.stride(), 9.0);
        let input = device.upload("input", &padded)?;
        let chain = (of.block() + of.blocks()) as f64;

        let one = Scan::new(device, &of, 1)?;
        scan::<Sum, Values>(device, &input, &one, &of)?;
        let found = device.download(&one.prefix)?;
        for (i, wanted) in scans::sums(&values).into_iter().enumerate() {
            let allowed = chain * EPS * wanted + f64::from(f32::MIN_POSITIVE) * (i + 1) as f64;
            verdict.compare("scan: sums", 0, (0, i), f32::from_bits(found[i]), wanted, allowed);
        }
        scan::<Max, Maxima>(device, &input, &one, &of)?;
        let found = device.download(&one.prefix)?;
        for (i, wanted) in scans::maxima(&values).into_iter().enumerate() {
            verdict.compare("scan: maxima", 0, (0, i), f32::from_bits(found[i]), f64::from(wanted), 0.0);
        }
        let two = Scan::new(device, &of, 2)?;
        scan::<FixedSum, Integers>(device, &input, &two, &of)?;
        let found = device.download(&two.prefix)?;
        let whole: Vec<u64> = values.iter().map(|&w| (f64::from(w) * 40.0_f64.exp2()) as u64).collect();
        for (i, wanted) in scans::integers(&whole).into_iter().enumerate() {
            for (half, wanted) in [wanted >> 32, wanted & 0xffff_ffff].into_iter().enumerate() {
                verdict.compare("scan: integers", 0, (half, i), found[2 * i + half], wanted as f64, 0.0);
            }
        }
        if n > 5000 {
            continue; // the oracle of the next takes n^2
        }
        let log_w: Vec<f32> = padded.iter().map(|u| 80.0 * (u - 0.5)).collect();
        let input = device.upload("input", &log_w)?;
        let four = Scan::new(device, &of, 4)?;
        scan::<LogSumExp, LogWeights>(device, &input, &four, &of)?;
        let found = device.download(&four.prefix)?;
        for (i, (log_sum, ess)) in scans::log_sums(&log_w[..n]).into_iter().enumerate() {
            let [max, sum, square] = [0, 1, 2].map(|k| f64::from(f32::from_bits(found[4 * i + k])));
            verdict.compare("scan: log-sums", 0, (0, i), max + sum.ln(), log_sum, 2.0e-4);
            verdict.compare("scan: ESS", 0, (0, i), sum * sum / square, ess, 4.0e-4 * ess);
        }
    }
    Ok(verdict)
}
