//! Resampling given that slot 0 keeps its particle: ancestors against the oracle, and their law against brute force.

use feynkac::kernels::device::Device;
use feynkac::kernels::passes::resample::Scheme;
use feynkac::kernels::passes::weights::Weights;
use feynkac::kernels::prims::state::BLOCK;

use super::SIZES;
use super::resample::{cases, population, resampled_by};
use super::schemes::agrees;

on_every_device! { ancestors_are_those_of_the_oracle, slots_have_their_law }

const BOTH: [Scheme; 2] = [Scheme::ConditionalMultinomial, Scheme::ConditionalSystematic];

fn ancestors_are_those_of_the_oracle(device: &Device) {
    // Software stands in for a GPU: fewer sizes.
    let sizes = SIZES.into_iter().filter(|n| device.is_cpu() || [1, 2, 17, 257, 1025, 4099].contains(n));
    for n in sizes {
        for (what, weights) in cases(n) {
            if weights.iter().all(|&w| w == 0.0) || n > 5000 && what != "spread" {
                continue;
            }
            for scheme in BOTH {
                agrees(device, scheme, what, &weights, BLOCK);
                if n == 1009 {
                    agrees(device, scheme, what, &weights, 64);
                }
            }
        }
    }
}

/// Chance that slot i descends from particle j, given that slot 0 descends from particle 0, under a comb of K teeth with
/// an offset uniform in [0, 1), whose slots begin at a uniform tooth: counted over all teeth and many offsets.
/// `careless`: the offset is not conditioned on, only the tooth.
fn by_brute_force(weights: &[f64], careless: bool) -> Vec<Vec<f64>> {
    const OFFSETS: usize = 20_000;
    let k = weights.len();
    let total: f64 = weights.iter().sum();
    let mut chances = vec![vec![0.0; k]; k];
    let mut whole = 0.0;
    for o in 0..OFFSETS {
        let u = (o as f64 + 0.5) / OFFSETS as f64;
        let parent = |tooth: usize| {
            let point = (tooth as f64 + u) / k as f64 * total;
            let mut through = 0.0;
            weights.iter().position(|w| {
                through += w;
                point < through
            })
        };
        let comb: Vec<usize> = (0..k).map(|tooth| parent(tooth).unwrap_or(k - 1)).collect();
        let own: Vec<usize> = (0..k).filter(|&tooth| comb[tooth] == 0).collect();
        let weight = if careless { 1.0 / own.len().max(1) as f64 } else { 1.0 };
        for turn in own {
            whole += weight;
            for (slot, row) in chances.iter_mut().enumerate() {
                row[comb[(slot + turn) % k]] += weight;
            }
        }
    }
    chances.iter_mut().flatten().for_each(|chance| *chance /= whole);
    chances
}

/// Shares of `runs` groups in which slot i descends from particle j.
fn shares(device: &Device, scheme: Scheme, weights: &[f64], runs: usize) -> Vec<Vec<f64>> {
    let k = weights.len();
    let of = population(device, runs, k, BLOCK);
    let mut values = vec![0.0_f32; of.stride()];
    let own: Vec<f32> = weights.iter().map(|&w| w as f32).collect();
    values.chunks_exact_mut(of.padded()).for_each(|group| group[..k].copy_from_slice(&own));
    let seeds: Vec<u64> = (0..runs as u64).collect();
    let found = resampled_by(device, scheme, (Weights::Linear, &values), &of, &seeds, 2.0, 0).ancestors;
    let mut shares = vec![vec![0.0; k]; k];
    for group in found.chunks_exact(of.padded()) {
        assert_eq!(group[0], 0, "slot 0 keeps its particle");
        for (row, &parent) in shares.iter_mut().zip(&group[..k]) {
            row[parent as usize] += 1.0 / runs as f64;
        }
    }
    shares
}

/// The largest distance, in standard errors of a share.
fn farthest(found: &[Vec<f64>], wanted: &[Vec<f64>], runs: usize) -> f64 {
    let pairs = found.iter().flatten().zip(wanted.iter().flatten());
    // The brute force itself is off by one offset in 20,000 at every edge.
    let off = |(f, p): (&f64, &f64)| (f - p).abs() / ((p * (1.0 - p)).max(1.0e-4) / runs as f64).sqrt();
    pairs.map(off).fold(0.0, f64::max)
}

fn slots_have_their_law(device: &Device) {
    let runs = if device.is_cpu() { 20_000 } else { 6000 };
    // K W of particle 0: 1.4, 0.6, 2.7, and next to nothing.
    for (case, first) in [1.4, 0.6, 2.7, 1.0e-3].into_iter().enumerate() {
        let rest = [0.7, 1.6, 0.2, 1.1, 2.0];
        let scale = (6.0 - first) / rest.iter().sum::<f64>();
        let weights: Vec<f64> = [first].into_iter().chain(rest.iter().map(|w| w * scale)).collect();
        for scheme in BOTH {
            let wanted = if scheme == Scheme::ConditionalMultinomial {
                let mut rows = vec![weights.iter().map(|w| w / 6.0).collect::<Vec<f64>>(); 6];
                rows[0] = vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
                rows
            } else {
                by_brute_force(&weights, false)
            };
            let found = shares(device, scheme, &weights, runs);
            let far = farthest(&found, &wanted, runs);
            println!("{} {scheme:?}, K W = {first}: {far:.1} standard errors", device.backend());
            // 30 shares a case, 8 cases, 3 devices: beyond 5 by chance once in 2,000 choices of seeds.
            assert!(far < 5.0, "{scheme:?}, K W = {first}: {far} standard errors");
            if scheme == Scheme::ConditionalSystematic && case == 0 {
                let careless = farthest(&found, &by_brute_force(&weights, true), runs);
                println!("offset not conditioned on: {careless:.1} standard errors");
                assert!(careless > 10.0, "the control must fail: {careless}");
            }
        }
    }
}
