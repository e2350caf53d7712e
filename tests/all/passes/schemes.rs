//! Every resampling scheme: ancestors against the oracle, offspring against their laws.

use feynkac::kernels::device::Device;
use feynkac::kernels::passes::resample::Scheme;
use feynkac::kernels::passes::resample::oracle::{ancestors, offspring};
use feynkac::kernels::passes::weights::Weights;
use feynkac::kernels::passes::weights::oracle::integers;
use feynkac::kernels::prims::state::{BLOCK, Population};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::SIZES;
use super::resample::{STEP, cases, population, resampled_by};

on_every_device! {
    ancestors_are_those_of_the_oracle, groups_stand_alone, nothing_to_resample_by, offspring_have_their_law,
    order_does_not_matter,
}

const SCHEMES: [Scheme; 7] = with_steps(6);

/// Every scheme, with this many Metropolis steps.
const fn with_steps(steps: u32) -> [Scheme; 7] {
    [
        Scheme::Systematic,
        Scheme::Stratified,
        Scheme::Multinomial,
        Scheme::Residual,
        Scheme::Metropolis(steps),
        Scheme::Megopolis(steps),
        Scheme::Rejection,
    ]
}

/// Weights in units of the power of two of the largest.
fn mantissas(weights: &[f32]) -> Vec<f32> {
    let most = weights.iter().copied().fold(0.0, f32::max);
    let unit = 2.0_f64.powi((most.to_bits() >> 23) as i32 - 127);
    weights.iter().map(|&w| if w < f32::MIN_POSITIVE { 0.0 } else { (f64::from(w) / unit) as f32 }).collect()
}

/// What the oracle makes of the weights of a group in blocks of `block`.
fn wanted(scheme: Scheme, weights: &[f32], block: usize, seed: u64) -> Vec<u32> {
    ancestors(scheme, &integers(weights, block), &mantissas(weights), seed, STEP)
}

/// Ancestors of one group, `[slots]`.
fn found(device: &Device, scheme: Scheme, weights: &[f32], of: &Population, seed: u64) -> Vec<u32> {
    let mut padded = weights.to_vec();
    padded.resize(of.stride(), 1.0);
    let given = (Weights::Linear, padded.as_slice());
    resampled_by(device, scheme, given, of, &[seed], 2.0, u32::MAX).ancestors[..weights.len()].to_vec()
}

pub fn agrees(device: &Device, scheme: Scheme, what: &str, weights: &[f32], max_block: usize) {
    let of = population(device, 1, weights.len(), max_block);
    let found = found(device, scheme, weights, &of, 11);
    let wanted = wanted(scheme, weights, of.block(), 11);
    let wrong = found.iter().zip(&wanted).position(|(a, b)| a != b);
    assert!(
        wrong.is_none(),
        "{scheme:?}, {what}, {} weights in blocks of {max_block}: {wrong:?} {:?} instead of {:?}",
        weights.len(),
        wrong.map(|at| found[at]),
        wrong.map(|at| wanted[at])
    );
    if matches!(scheme, Scheme::Systematic | Scheme::Stratified) {
        assert!(found.is_sorted(), "{scheme:?}, {what}: ancestors never decrease");
    }
}

fn ancestors_are_those_of_the_oracle(device: &Device) {
    // Software stands in for a GPU: fewer sizes, fewer cases.
    let sizes =
        SIZES.into_iter().filter(|n| device.is_cpu() || [1, 3, 17, 257, 1009, 1025, 4099].contains(n));
    let chosen = |n: usize, what: &str| {
        what == "spread"
            || n < 5000 && (device.is_cpu() || ["one hot", "random", "trailing zeros"].contains(&what))
    };
    for n in sizes {
        for (what, weights) in cases(n).into_iter().filter(|(what, _)| chosen(n, what)) {
            if weights.iter().all(|&w| w == 0.0) {
                continue;
            }
            for scheme in SCHEMES {
                agrees(device, scheme, what, &weights, BLOCK);
            }
            if n == 1009 {
                SCHEMES.into_iter().for_each(|scheme| agrees(device, scheme, what, &weights, 64));
            }
        }
    }
}

/// As many as a group may usefully have: no sum in floating point would do.
#[test]
fn a_million_on_the_cpu() {
    let device = crate::support::device("cpu").expect("the CPU");
    let n = 1 << 20;
    let (what, weights) = cases(n).swap_remove(0);
    for scheme in SCHEMES {
        agrees(&device, scheme, what, &weights, BLOCK);
    }
    // One heavy particle over fine dust.
    let mut dust = vec![1.0e-12_f32; n];
    dust[17] = 0.75;
    for scheme in [Scheme::Stratified, Scheme::Multinomial, Scheme::Residual] {
        agrees(&device, scheme, "dust", &dust, BLOCK);
    }
}

fn groups_stand_alone(device: &Device) {
    for slots in [1, 5, 33, 600, 1500] {
        let groups = 3;
        let of = population(device, groups, slots, BLOCK);
        let mut values = vec![1.0_f32; of.stride()];
        let mut rng = StdRng::seed_from_u64(slots as u64);
        for group in values.chunks_exact_mut(of.padded()) {
            group[..slots].iter_mut().for_each(|w| *w = rng.random_range(0.01..1.0));
        }
        for scheme in SCHEMES {
            let given = (Weights::Linear, values.as_slice());
            let found = resampled_by(device, scheme, given, &of, &[4, 5, 6], 2.0, u32::MAX).ancestors;
            for g in 0..groups {
                let own = &values[g * of.padded()..g * of.padded() + slots];
                let wanted = wanted(scheme, own, of.block(), 4 + g as u64);
                assert!(found[g * of.padded()..][..slots] == wanted, "{scheme:?}, group {g} of {slots}");
            }
        }
    }
}

/// All weights zero, a NaN, and an ESS above the threshold: the decision is there, the ancestors stay.
fn nothing_to_resample_by(device: &Device) {
    let slots = 300;
    let of = population(device, 4, slots, BLOCK);
    let mut values = vec![1.0_f32; of.stride()];
    values[..slots].fill(0.0);
    values[of.padded() + 7] = f32::NAN;
    values[3 * of.padded()..][..slots].fill(0.0);
    values[3 * of.padded() + 9] = 2.0;
    for scheme in SCHEMES {
        let given = (Weights::Linear, values.as_slice());
        let found = resampled_by(device, scheme, given, &of, &[1, 2, 3, 4], 0.5, 77);
        let decisions: Vec<f32> = found.norms.chunks_exact(4).map(|record| record[3]).collect();
        assert_eq!(decisions, [-1.0, -2.0, 0.0, 1.0], "{scheme:?}");
        for g in 0..3 {
            let own = &found.ancestors[g * of.padded()..][..slots];
            assert!(own.iter().all(|&a| a == 77), "{scheme:?}, group {g}");
        }
        let own = &found.ancestors[3 * of.padded()..][..slots];
        let missed = own.iter().filter(|&&a| a != 9).count();
        // A slot that no Metropolis step led to the only particle keeps its own: nearly all of them.
        let most = if matches!(scheme, Scheme::Metropolis(_) | Scheme::Megopolis(_)) { slots } else { 0 };
        assert!(missed <= most, "{scheme:?}: {missed}");
    }
}

/// (mean, variance) of each particle's offspring over the seeds 0 to `runs`.
fn moments(device: &Device, scheme: Scheme, weights: &[f32], runs: usize) -> Vec<(f64, f64)> {
    let k = weights.len();
    let of = population(device, runs, k, BLOCK);
    let mut values = vec![0.0_f32; of.stride()];
    values.chunks_exact_mut(of.padded()).for_each(|group| group[..k].copy_from_slice(weights));
    let seeds: Vec<u64> = (0..runs as u64).collect();
    let found = resampled_by(device, scheme, (Weights::Linear, &values), &of, &seeds, 2.0, 0).ancestors;
    let counts: Vec<Vec<u32>> =
        found.chunks_exact(of.padded()).map(|group| offspring(&group[..k], k)).collect();
    let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
    for counts in &counts {
        for (&count, &w) in counts.iter().zip(weights) {
            let share = k as f64 * f64::from(w) / total;
            let count = f64::from(count);
            let kept = match scheme {
                Scheme::Systematic => (count - share).abs() < 1.0 + 1e-6,
                Scheme::Stratified => (count - share).abs() < 2.0 + 1e-6,
                Scheme::Residual => count >= (share - 1e-6).floor(),
                _ => true,
            };
            assert!(kept, "{scheme:?}: {count} offspring of {share}");
        }
    }
    let mean = |i: usize| counts.iter().map(|c| f64::from(c[i])).sum::<f64>() / runs as f64;
    let spread = |i: usize, m: f64| {
        counts.iter().map(|c| (f64::from(c[i]) - m).powi(2)).sum::<f64>() / (runs - 1) as f64
    };
    (0..k).map(|i| (mean(i), spread(i, mean(i)))).collect()
}

/// Expected offspring after `steps` Metropolis steps from every particle, with `accept(w of own, w of other)`.
fn chain(weights: &[f32], steps: u32, accept: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let k = weights.len();
    let w: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
    let mut at = vec![1.0; k];
    for _ in 0..steps {
        let mut next = vec![0.0; k];
        for i in 0..k {
            for j in 0..k {
                let moves = at[i] / k as f64 * accept(w[i], w[j]).min(1.0);
                next[j] += moves;
                next[i] += at[i] / k as f64 - moves;
            }
        }
        at = next;
    }
    at
}

/// The largest distance of a mean from `wanted`, in its standard errors.
fn farthest(moments: &[(f64, f64)], wanted: &[f64], runs: usize) -> f64 {
    let errors = moments.iter().zip(wanted).map(|((mean, variance), wanted)| {
        let error = (variance.max(1e-12) / runs as f64).sqrt();
        (mean - wanted).abs() / error
    });
    errors.fold(0.0, f64::max)
}

fn offspring_have_their_law(device: &Device) {
    // Few Metropolis steps, so that their bias shows.
    const FEW: u32 = 2;
    // 4.5 standard errors: of 7 schemes times 24 particles times 3 devices, 504 means, all stay within it but
    // once in 300 fresh choices of seeds; these are fixed.
    let (k, runs, most) = (24, 6000, 4.5);
    let mut rng = StdRng::seed_from_u64(21);
    let weights: Vec<f32> = (0..k).map(|_| (2.0 * rng.random_range(-1.0..1.0_f32)).exp()).collect();
    let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
    let fair: Vec<f64> = weights.iter().map(|&w| k as f64 * f64::from(w) / total).collect();
    let all: Vec<(Scheme, Vec<(f64, f64)>)> =
        with_steps(FEW).into_iter().map(|scheme| (scheme, moments(device, scheme, &weights, runs))).collect();
    let ratio = |own: f64, other: f64| other / own;
    for (scheme, moments) in &all {
        let biased = matches!(scheme, Scheme::Metropolis(_) | Scheme::Megopolis(_));
        let law = if biased { chain(&weights, FEW, ratio) } else { fair.clone() };
        let far = farthest(moments, &law, runs);
        assert!(far < most, "{scheme:?}: {far} standard errors");
        if biased {
            let bias = farthest(moments, &fair, runs);
            println!("{scheme:?}: {bias:.1} standard errors from K W, {far:.1} from its own law");
            assert!(bias > 10.0, "{scheme:?}: few steps leave a bias, {bias} standard errors");
            // Known mistake: accepted by the ratio upside down.
            let wrong = chain(&weights, FEW, |own, other| own / other);
            assert!(farthest(moments, &wrong, runs) > 10.0, "{scheme:?}: the control must fail");
        } else {
            println!("{scheme:?}: {far:.1} standard errors from K W");
        }
        // Known mistake: the last particle left out of the sum.
        let mut short = fair.clone();
        short[k - 1] = 0.0;
        let whole: f64 = short.iter().sum();
        short.iter_mut().for_each(|share| *share *= k as f64 / whole);
        assert!(farthest(moments, &short, runs) > 10.0, "{scheme:?}: the control must fail");
    }
    // Variance of the mean of a function of the particle: systematic, stratified, residual, multinomial.
    let spread = |wanted: Scheme| -> f64 {
        let (_, moments) = all.iter().find(|(scheme, _)| *scheme == wanted).expect("a scheme");
        moments.iter().map(|(_, variance)| variance).sum()
    };
    let multinomial = spread(Scheme::Multinomial);
    assert!(spread(Scheme::Systematic) <= spread(Scheme::Stratified));
    assert!(spread(Scheme::Stratified) <= multinomial);
    assert!(spread(Scheme::Residual) <= multinomial);
    // Sum of K W (1 - W): the binomial variances, to 3 %.
    let binomial: f64 = fair.iter().map(|share| share * (1.0 - share / k as f64)).sum();
    assert!((multinomial / binomial - 1.0).abs() < 0.03, "{multinomial} for {binomial}");
    println!(
        "{}: sum of variances systematic {:.3}, stratified {:.3}, residual {:.3}, multinomial {:.3} (exact {:.3})",
        if device.is_cpu() { "cpu" } else { "gpu" },
        spread(Scheme::Systematic),
        spread(Scheme::Stratified),
        spread(Scheme::Residual),
        multinomial,
        binomial
    );
}

/// A permutation of the weights permutes the law of the offspring; exponent and sum stay to the bit.
fn order_does_not_matter(device: &Device) {
    // 504 means as in `offspring_have_their_law`.
    let (k, runs, most) = (24, if device.is_cpu() { 4000 } else { 1500 }, 4.5);
    let mut rng = StdRng::seed_from_u64(22);
    let weights: Vec<f32> = (0..k).map(|_| (2.0 * rng.random_range(-1.0..1.0_f32)).exp()).collect();
    let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
    let fair: Vec<f64> = weights.iter().map(|&w| k as f64 * f64::from(w) / total).collect();
    // In order, backwards, and by steps of 7, which 24 does not divide by.
    let orders: [Vec<usize>; 3] =
        [(0..k).collect(), (0..k).rev().collect(), (0..k).map(|i| 7 * i % k).collect()];
    let of = population(device, 1, k, BLOCK);
    for scheme in with_steps(2) {
        let biased = matches!(scheme, Scheme::Metropolis(_) | Scheme::Megopolis(_));
        let law = if biased { chain(&weights, 2, |own, other| other / own) } else { fair.clone() };
        let mut records = Vec::new();
        for order in &orders {
            let permuted: Vec<f32> = order.iter().map(|&i| weights[i]).collect();
            let wanted: Vec<f64> = order.iter().map(|&i| law[i]).collect();
            let far = farthest(&moments(device, scheme, &permuted, runs), &wanted, runs);
            assert!(far < most, "{scheme:?}: {far} standard errors");
            let mut padded = permuted;
            padded.resize(of.stride(), 1.0);
            let found = resampled_by(device, scheme, (Weights::Linear, &padded), &of, &[11], 2.0, 0);
            records.push([found.norms[0], found.norms[1], found.norms[3]].map(f32::to_bits));
        }
        assert!(records.iter().all(|record| *record == records[0]), "{scheme:?}: {records:?}");
    }
    // The control: a first slot that always keeps its own particle favours whoever is there.
    let backwards: Vec<f32> = weights.iter().rev().copied().collect();
    let mut kept = moments(device, Scheme::Multinomial, &backwards, runs);
    let slots = k as f64;
    kept.iter_mut().for_each(|(mean, _)| *mean *= (slots - 1.0) / slots);
    kept[0].0 += 1.0;
    let wanted: Vec<f64> = fair.iter().rev().copied().collect();
    assert!(farthest(&kept, &wanted, runs) > 10.0, "the control must fail");
}
