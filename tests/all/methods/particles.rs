//! S10, S11: systems of particles, learnt at a temperature and annealed to a lower one, on a small scale; and what they are
//! judged by.

use std::path::Path;

use feynkac::Sde;
use feynkac::kernels::device::Device;
use feynkac::weights::Weights;

use super::s1::slow;
use crate::experiments::particles::{Errors, Found, LEARNT, Reference, System, all, row, wasserstein};
use crate::experiments::{Size, mean_and_error};

on_every_device! { four_particles_are_annealed }

const WEIGHTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/weights");

#[test]
fn pairs_have_the_energies_of_their_formulas() {
    let pair = |system: System, r: f64| {
        let mut x = vec![0.0; 2 * system.space()];
        x[0] = r;
        let trap = if system == System::Lj13 { 0.25 * r * r } else { 0.0 };
        system.energy(&x) - trap
    };
    // wells of depth 4^2 / (4 0.9) at 4 +- sqrt(4 / 1.8)
    for side in [-1.0, 1.0] {
        let well = pair(System::Dw4, 4.0 + side * (4.0f64 / 1.8).sqrt());
        assert!((well + 16.0 / 3.6).abs() < 1e-12, "{well}");
    }
    assert_eq!((pair(System::Dw4, 4.0), pair(System::Lj13, 1.0)), (0.0, -2.0));
    // below the cut the first three derivatives' worth of the potential itself is kept: the third differs
    let far = |r: f64| 2.0 * (r.powi(-12) - 2.0 * r.powi(-6));
    let third = 2.0 * (-12.0 * 13.0 * 14.0 * 0.65f64.powi(-15) + 2.0 * 6.0 * 7.0 * 8.0 * 0.65f64.powi(-9));
    let off = pair(System::Lj13, 0.649) - far(0.649) - third / 6.0 * 1e-9;
    assert!(off.abs() < 2e-2 * (third / 6.0 * 1e-9).abs(), "{off}");
    assert!((pair(System::Lj13, 0.7) - far(0.7)).abs() < 1e-9 * far(0.7));
}

#[test]
fn the_icosahedron_has_the_known_energy() {
    // -44.326801 for a pair r^-12 - 2 r^-6 (Wales and Doye 1997); here pairs count twice, in a shallow well of their own.
    let golden = (1.0 + 5.0f64.sqrt()) / 2.0;
    let corner = (1.0 + golden * golden).sqrt();
    let at = |radius: f64| {
        let mut x = vec![0.0; 3];
        for (a, b) in [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)] {
            let (p, q) = (radius * a / corner, radius * b * golden / corner);
            x.extend([0.0, p, q, p, q, 0.0, q, 0.0, p]);
        }
        System::Lj13.energy(&x) - 6.0 * radius * radius
    };
    let best = (9000..10000).map(|r| at(f64::from(r) / 10_000.0)).fold(f64::MAX, f64::min);
    assert!((best + 2.0 * 44.326801).abs() < 1e-3, "{best}");
}

#[test]
fn wasserstein_distances_by_hand() {
    let a = [(3.0, 0.5), (0.0, 0.25), (1.0, 0.25)];
    let b = [(2.0, 1.0)];
    // 2/4 + 1/4 + 1/2, and the root of 4/4 + 1/4 + 1/2
    assert!((wasserstein(&a, &b, 1) - 1.25).abs() < 1e-12);
    assert!((wasserstein(&b, &a, 2) - 1.75f64.sqrt()).abs() < 1e-12);
    let moved: Vec<(f64, f64)> = a.iter().map(|(x, w)| (x + 0.3, *w)).collect();
    assert!((wasserstein(&a, &moved, 1) - 0.3).abs() < 1e-12);
    assert!((wasserstein(&a, &moved, 2) - 0.3).abs() < 1e-12 && wasserstein(&a, &a, 2) == 0.0);
    // a point without weight is no point
    assert_eq!(wasserstein(&[(9.0, 0.0), (2.0, 1.0)], &b, 1), 0.0);
}

/// Configurations and energies that the training scripts computed in f32.
#[test]
fn energies_are_those_of_the_training_scripts() {
    for (system, temperatures) in [(System::Dw4, ["1.0", "2.0"]), (System::Lj13, ["0.8", "2.0"])] {
        let file = system.folder(Path::new(WEIGHTS)).join("reference.safetensors");
        let file = Weights::open(&file).unwrap_or_else(|e| panic!("{e}"));
        for temperature in temperatures {
            let [x, energies] = ["x", "x.energy"].map(|what| {
                file.plain_f32(&format!("{what}.{temperature}")).unwrap_or_else(|e| panic!("{e}"))
            });
            for (row, wanted) in x.chunks(x.len() / energies.len()).zip(energies) {
                let row: Vec<f64> = row.iter().map(|v| f64::from(*v)).collect();
                let got = system.energy(&row);
                // a hundred terms of up to some hundreds, each with a few rounding errors of f32
                assert!((got - f64::from(wanted)).abs() < 1e-3, "{system:?}: {got}, {wanted}");
            }
            let reference =
                Reference::open(system, Path::new(WEIGHTS), temperature.parse().unwrap()).unwrap();
            assert!(wasserstein(&reference.energies, &reference.energies, 1) == 0.0);
        }
    }
}

/// DW-4 from temperature 2 to 1, on a small scale: weights bring the distances much nearer and the energies nearer, and
/// the mean of the particles of a state, which makes a walk of its own, changes nothing. At the temperature that was learnt
/// the network's own samples have the energies of the reference.
fn four_particles_are_annealed(device: &Device) {
    if slow(device) {
        return eprintln!("skipped: S10 runs there");
    }
    let size = Size { particles: 1000, steps: 100, runs: 3, seed: 10 };
    let what = [(System::Dw4, LEARNT), (System::Dw4, 1.0)];
    let found = all(device, Path::new(WEIGHTS), &what, None, size, |_| {}).expect("the experiment");
    let mean = |at: &Found, of: fn(&Errors) -> f64| mean_and_error(at.errors.iter().map(of)).0;
    let of = |sde, weights| {
        let wanted =
            |f: &&Found| f.temperature == 1.0 && f.sampler.sde == sde && f.sampler.weights == weights;
        let at = found.iter().find(wanted).expect("it ran");
        (mean(at, |e| e.distance_w2), mean(at, |e| e.energy_w1))
    };
    for at in &found {
        eprintln!("{}", row(at).join(", "));
    }
    let (alone, corrected) = (of(Sde::TargetScore, false), of(Sde::TargetScore, true));
    assert!(corrected.0 < 0.5 * alone.0, "distance W2: {corrected:?}, without weights {alone:?}");
    assert!(
        corrected.1 < alone.1 && corrected.1 < 0.5,
        "energy W1: {corrected:?}, without weights {alone:?}"
    );
    let own = mean(&found[0], |e| e.energy_w1);
    assert!(own < 0.5, "the network's own samples: {own}");
}
