//! The same sampler in f64 with one fault each, as released samplers have or had them: each must show.

use feynkac::frames::{Search, levels};
use feynkac::kernels::device::Device;
use feynkac::kernels::models::igso3::angles::normal_below;
use feynkac::kernels::passes::scaffold::{oracle, twist_numbers};
use feynkac::kernels::prims::philox::purpose;

use super::{alone, mean_of_exp, rotation};
use crate::support;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// The model's kernel is not weighed against the proposal.
    NoRatio,
    /// The model's kernel has the score of the state it leads to.
    NewScore,
    /// What the last step adds to the weights is never used.
    LastUnused,
}

struct Particle {
    x: Vec<f64>,
    told: oracle::Told,
    pull: Vec<f64>,
    log_psi: f64,
}

fn seen(of: &Search, level: usize, x: Vec<f64>) -> Particle {
    let numbers = twist_numbers(&of.levels, &of.motif, of.lean);
    let told = oracle::told(&of.chain, &of.levels[level], &x);
    let (log_psi, g) = oracle::psi(&of.motif, &numbers[level], &told.denoised);
    let pull = oracle::pulled(&of.chain, &of.levels[level], &x, &g);
    Particle { x, told, pull, log_psi }
}

/// Slots' parents in proportion to the weights, by a comb.
fn comb(weights: &[f64], offset: f64) -> Vec<usize> {
    let (n, whole) = (weights.len(), weights.iter().sum::<f64>());
    let (mut i, mut sum) = (0, weights[0]);
    let tooth = |j: usize| {
        while sum < (j as f64 + offset) / n as f64 * whole && i + 1 < n {
            i += 1;
            sum += weights[i];
        }
        i
    };
    (0..n).map(tooth).collect()
}

/// The log-ratio for the score of the new state: the same way in tangent coordinates, another mean of the model.
fn with_new_score(
    of: &Search,
    step: usize,
    ratio: f64,
    old: &Particle,
    new: &Particle,
    z: &[[f64; 4]],
) -> f64 {
    let [_, drift, noise, .., share, most] = twist_numbers(&of.levels, &of.motif, of.lean)[step];
    let apart = |k: usize| drift * (old.told.score[k] - new.told.score[k]) / noise;
    let size = share * noise * old.pull[..3].iter().map(|p| p * p).sum::<f64>().sqrt();
    let kept = if size > most { most / size } else { 1.0 };
    let lean = |k: usize| kept * share * noise * old.pull[k];
    // -|u + z + apart|^2/2 in place of -|u + z|^2/2.
    let off = (0..3).map(|k| apart(k) * (apart(k) + 2.0 * (lean(k) + z[0][k])));
    ratio - 0.5 * off.sum::<f64>()
}

/// log Z of one group, resampled at every step.
fn log_z(of: &Search, fault: Fault, group: u64) -> f64 {
    let (steps, n) = (of.levels.len() - 1, of.particles);
    let numbers = twist_numbers(&of.levels, &of.motif, of.lean);
    let seed = of.seed + 1000 * group;
    let mut all: Vec<Particle> =
        (0..n).map(|slot| seen(of, 0, oracle::start(1, &numbers[0], (seed, slot)))).collect();
    let mut log_w: Vec<f64> = all.iter().map(|p| p.log_psi).collect();
    let mut log_z = 0.0;
    for (step, own) in numbers.iter().take(steps).enumerate() {
        let weights: Vec<f64> = log_w.iter().map(|l| l.exp()).collect();
        log_z += (weights.iter().sum::<f64>() / n as f64).ln();
        let offset = oracle::normals(seed, 0, step, purpose::RESAMPLE)(0, 0)[0];
        let parents = comb(&weights, normal_below(offset));
        let moved = |(slot, parent): (usize, &usize)| {
            let old = &all[*parent];
            let z = oracle::normals(seed, slot, step, purpose::MOVE);
            let (x, ratio) = oracle::moved(own, &old.x, (&old.told.score, &old.pull), &z);
            let new = seen(of, step + 1, x);
            let ratio = match fault {
                Fault::NoRatio => 0.0,
                Fault::NewScore => with_new_score(of, step, ratio, old, &new, &[z(0, 0)]),
                _ => ratio,
            };
            let log_w = ratio + new.log_psi - old.log_psi;
            (new, log_w)
        };
        (all, log_w) = parents.iter().enumerate().map(moved).unzip();
    }
    if fault != Fault::LastUnused {
        log_z += (log_w.iter().map(|l| l.exp()).sum::<f64>() / n as f64).ln();
    }
    log_z
}

/// Without a fault within three standard errors of what the device says of the chain; with one, not.
#[test]
fn faults_show() {
    let device: Device = support::device("cpu").expect("the CPU");
    let mut of = rotation(levels(20, (6.0, 0.2), (1.0e4, 1.0e-2)), 0.1);
    of.particles = 32;
    let wanted = alone(&device, &of, 200_000);
    for fault in [Fault::None, Fault::NoRatio, Fault::NewScore, Fault::LastUnused] {
        let logs: Vec<f64> = (0..120).map(|group| log_z(&of, fault, group)).collect();
        let (found, error) = mean_of_exp(&logs);
        let off = (found - wanted.0).abs() / error.hypot(wanted.1);
        println!(
            "{fault:?}: log Z {:.4} +- {:.4}, wanted {:.4} +- {:.4}: off by {off:.1}",
            found.ln(),
            error / found,
            wanted.0.ln(),
            wanted.1 / wanted.0
        );
        assert_eq!(off < 3.0, fault == Fault::None, "{fault:?}: {found} +- {error}, wanted {wanted:?}");
    }
}
