//! Twisted chains of frames: evidence beside integrals and beside the chain itself, and faults that must show.
//!
//! What the sampler is unbiased for is the normaliser of its own chain of steps, which particles of the model alone,
//! weighted once at the end, estimate as well; that chain is within its steps of the prior.

use std::f64::consts::PI;

use feynkac::frames::{Chain, Component, Found, Lean, Motif, Search, levels, search};
use feynkac::kernels::device::Device;
use feynkac::kernels::passes::frames::Level;
use feynkac::kernels::prims::so3::oracle::{angle, exp, rotate, uniform};

use super::s1::slow;
use super::tds::slope;

mod faults;

on_every_device! { one_rotation, a_chain_with_a_motif, nonsense_is_refused }

const SEED: u64 = 20_261_128;

/// The matrix of a unit quaternion.
fn matrix(q: [f64; 4]) -> [[f64; 3]; 3] {
    let columns = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(|axis| rotate(q, axis));
    std::array::from_fn(|i| std::array::from_fn(|j| columns[j][i]))
}

/// Mean and standard error of what has these logarithms.
fn mean_of_exp(logs: &[f64]) -> (f64, f64) {
    let n = logs.len() as f64;
    let mean = logs.iter().map(|l| l.exp()).sum::<f64>() / n;
    let spread = logs.iter().map(|l| (l.exp() - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (spread / n).sqrt())
}

/// One frame of two components, held against one rotation.
fn rotation(levels: Vec<Level>, noise: f64) -> Search {
    let one = |weight, turn, spread| Component { weight, rotation: exp(turn), spread };
    Search {
        chain: Chain {
            rotations: vec![vec![one(0.6, [0.0, 0.835, 0.0], 0.15), one(0.4, [-2.2, 0.0, 0.0], 0.3)]],
            positions: vec![[0.0; 3]],
            links: Vec::new(),
        },
        motif: Motif {
            rotations: vec![matrix([1.0, 0.0, 0.0, 0.0])],
            positions: vec![[0.0; 3]],
            offsets: vec![0],
            turns: vec![[1.0, 0.0, 0.0, 0.0]],
            noise: [noise, 1.0],
            // Of uniform rotations it is 1.8; a narrower twist trusts denoised rotations of much noise too far.
            breadth: [3.0, 1.0],
        },
        levels,
        particles: 64,
        groups: 200,
        seed: SEED,
        ess_share: 0.5,
        lean: Lean::FULL,
    }
}

/// ln E exp(-(1 - cos w)/noise), by the characters of both: the sum over l of exp(-l (l + 1) t/2) g_l chi_l.
fn integral(of: &Search) -> f64 {
    let noise = of.motif.noise[0];
    let character = |l: usize, w: f64| 1.0 + 2.0 * (1..=l).map(|k| (k as f64 * w).cos()).sum::<f64>();
    let cells = 2000;
    let part = |l: usize| {
        let at = |i: usize| (i as f64 + 0.5) * PI / f64::from(cells as u32);
        let g = |w: f64| (-(1.0 - w.cos()) / noise).exp() * character(l, w) * (1.0 - w.cos());
        (0..cells).map(|i| g(at(i))).sum::<f64>() / f64::from(cells as u32)
    };
    let term = |l: usize| {
        let g = part(l);
        let fall = |t: f64| (-0.5 * (l * (l + 1)) as f64 * t).exp();
        let seen =
            |c: &Component| c.weight * fall(c.spread) * character(l, angle([1.0, 0.0, 0.0, 0.0], c.rotation));
        g * of.chain.rotations[0].iter().map(seen).sum::<f64>()
    };
    (0..40).map(term).sum::<f64>().ln()
}

/// The normaliser of the chain of steps: particles of the model, weighted once.
fn alone(device: &Device, of: &Search, particles: usize) -> (f64, f64) {
    let plain =
        Search { particles, groups: 1, lean: Lean::NONE, ess_share: 0.0, seed: of.seed + 1, ..of.clone() };
    let found = search(device, &plain).expect("a run");
    let logs: Vec<f64> = found.log_w.iter().map(|l| f64::from(*l)).collect();
    mean_of_exp(&logs)
}

/// Within three standard errors.
fn agree(what: &str, (a, a_error): (f64, f64), (b, b_error): (f64, f64)) {
    let off = (a - b).abs() / a_error.hypot(b_error);
    println!("{what}: {a} +- {a_error}, wanted {b} +- {b_error}, off by {off:.2} of it");
    assert!(off < 3.0, "{what}: {a} +- {a_error}, wanted {b} +- {b_error}");
}

/// 80 levels. The integral is -1.759 in its logarithm; the steps may change it by 0.1.
fn one_rotation(device: &Device) {
    let of = rotation(levels(80, (9.0, 5.0e-3), (1.0e4, 1.0e-3)), 0.3);
    let wanted = integral(&of);
    assert!((wanted + 1.759).abs() < 5.0e-3, "{wanted}");
    let found = search(device, &of).expect("a run");
    assert_eq!(found.downloads_in_loop, 0);
    let evidence = mean_of_exp(&found.log_z);
    println!("log Z {:.4} +- {:.4} beside {wanted:.4}", evidence.0.ln(), evidence.1 / evidence.0);
    assert!((evidence.0.ln() - wanted).abs() < 0.1, "{} {wanted}", evidence.0.ln());
    let chain = alone(device, &of, 30_000);
    agree("64 particles", evidence, chain);
    let always = Search { ess_share: 2.0, particles: 4, groups: 2000, ..of.clone() };
    let found = search(device, &always).expect("a run");
    assert!(found.resampled_at.iter().all(|at| at.len() == 80));
    agree("4 particles, resampled at each step", mean_of_exp(&found.log_z), chain);
    mean_rotation(device, &of);
}

/// The mean of R of each group by its weights; quaternions that are not of length 1 would show.
fn mean_rotations(found: &Found) -> Vec<[f64; 9]> {
    let own = found.frames.len() / found.log_z.len();
    let one = |(frames, log_w): (&[Vec<f32>], &[f32])| {
        let mut mean = [0.0; 9];
        for (x, w) in frames.iter().zip(crate::reference::normalised(log_w)) {
            let q: [f64; 4] = std::array::from_fn(|k| f64::from(x[k]));
            let size = q.iter().map(|q| q * q).sum::<f64>();
            assert!((size - 1.0).abs() < 1.0e-5, "{size}");
            let m = matrix(q);
            (0..9).for_each(|k| mean[k] += w * m[k / 3][k % 3]);
        }
        mean
    };
    found.frames.chunks(own).zip(found.log_w.chunks(own)).map(one).collect()
}

/// The square error of the posterior mean of R falls as one over the particles: beside 100,000 of the model, each weighted once.
fn mean_rotation(device: &Device, of: &Search) {
    let few = slow(device);
    let particles = if few { 30_000 } else { 100_000 };
    let plain = Search { particles, groups: 1, lean: Lean::NONE, ess_share: 0.0, seed: 7, ..of.clone() };
    let [wanted] = mean_rotations(&search(device, &plain).expect("a run"))[..] else { panic!("one group") };
    let mut points = Vec::new();
    for (particles, groups) in [(4, 800), (16, 400), (64, 200)] {
        let groups = if few { groups / 4 } else { groups };
        let run = Search { particles, groups, seed: of.seed + 3 + particles as u64, ..of.clone() };
        let means = mean_rotations(&search(device, &run).expect("a run"));
        let off = |m: &[f64; 9]| m.iter().zip(&wanted).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        let error = means.iter().map(off).sum::<f64>() / groups as f64;
        println!("S7 {:<5} K = {particles:<2} MSE of E[R] {error:.5}", device.backend());
        points.push(((particles as f64).ln(), error.ln()));
    }
    let found = slope(&points);
    println!("S7 {:<5} slope {found:.3}", device.backend());
    assert!((-1.2..=-0.8).contains(&found), "slope {found}");
}

/// A chain of six frames and a motif of two, which may begin at any of five and be turned by any of eight rotations.
fn chain() -> Search {
    let normal = |i: usize| 4.0 * ((i as f64 * 0.618_033_988_749_895).fract() - 0.5);
    let quaternion = |i: usize| uniform([1, 2, 3, 4].map(|k| normal(4 * i + k)));
    let mixture = |f: usize| -> Vec<Component> {
        let one =
            |c: usize| Component { weight: 1.0 + c as f64, rotation: quaternion(2 * f + c), spread: 0.4 };
        (0..2).map(one).collect()
    };
    Search {
        chain: Chain {
            rotations: (0..6).map(mixture).collect(),
            positions: (0..6).map(|f| [f as f64, 0.0, 0.0]).collect(),
            links: vec![0.3; 5],
        },
        motif: Motif {
            rotations: vec![matrix(quaternion(40)), matrix(quaternion(41))],
            positions: vec![[0.0; 3], [0.6, 0.8, 0.0]],
            offsets: (0..5).collect(),
            turns: (50..58).map(quaternion).collect(),
            noise: [0.5, 0.3],
            breadth: [0.5, 0.5],
        },
        levels: levels(40, (9.0, 2.0e-2), (1.0e4, 1.0e-2)),
        particles: 64,
        groups: 60,
        seed: SEED,
        ess_share: 0.5,
        lean: Lean::FULL,
    }
}

fn a_chain_with_a_motif(device: &Device) {
    let of = chain();
    let found = search(device, &of).expect("a run");
    let evidence = mean_of_exp(&found.log_z);
    agree("a motif in a chain", evidence, alone(device, &of, 20_000));
    // The centre of each chain stays where it is.
    for x in &found.frames {
        let sum: f32 = x.chunks(7).map(|f| f[4]).sum();
        assert!(sum.abs() < 1.0e-4, "{sum}");
    }
}

fn nonsense_is_refused(device: &Device) {
    let of = chain();
    let refused = |change: &dyn Fn(&mut Search), wanted: &str| {
        let mut other = of.clone();
        change(&mut other);
        let said = search(device, &other).expect_err("a refusal").to_string();
        assert!(said.contains(wanted), "{said}");
    };
    refused(&|s| s.motif.rotations[1][0][0] += 0.5, "for frame 1, R R^T off by");
    refused(
        &|s| s.motif.rotations[0].iter_mut().for_each(|r| *r = r.map(|v| -v)),
        "wanted a rotation matrix",
    );
    refused(&|s| s.motif.rotations[0][0][0] = f64::NAN, "wanted a rotation matrix");
    refused(
        &|s| s.motif.offsets.clear(),
        "placements of a motif: found 0 offsets and 8 rotations, wanted at least 1",
    );
    refused(&|s| s.motif.turns.clear(), "placements of a motif: found 5 offsets and 0 rotations");
    refused(&|s| s.motif.offsets[2] = 5, "offset of a motif: found 5, wanted 0 to 4");
    refused(
        &|s| s.motif.rotations = vec![matrix([1.0, 0.0, 0.0, 0.0]); 7],
        "frames of a motif: found 7, wanted 1 to 6",
    );
    refused(&|s| s.motif.turns[3] = [2.0, 0.0, 0.0, 0.0], "for rotation 3");
    refused(&|s| s.motif.noise[1] = 0.0, "noise of a motif: found 0 for positions");
    refused(&|s| s.chain.links[1] = -1.0, "variance of a link: found -1 for link 1");
    refused(&|s| s.chain.rotations[4].clear(), "components: found 0 for frame 4");
    refused(&|s| s.chain.rotations[4][0].spread = 0.0, "variance of rotations: found 0 for frame 4");
    refused(&|s| s.levels.truncate(9), "last level");
    refused(&|s| s.levels.insert(3, s.levels[3]), "levels: found as much noise at 4 as at 3");
    refused(&|s| s.particles = 0, "particles: found 0, wanted at least 1");
    refused(&|s| s.ess_share = f64::NAN, "share of the ESS: found NaN");
    refused(&|s| s.lean.share = f64::INFINITY, "lean of a twisted walk: found inf");
    refused(&|s| s.lean.most = 0.0, "longest shift of a twisted walk: found 0");
}
