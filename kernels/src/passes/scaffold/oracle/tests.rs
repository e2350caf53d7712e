//! Gradients beside differences, and what turning or moving everything must not change.

use super::super::{Lean, twist_numbers};
use super::*;
use crate::models::igso3::mixture::Component;
use crate::prims::so3::oracle::{compose, exp};

const LEVELS: [Level; 3] = [
    Level { rotation: 1.0, alpha: 0.5, sigma: 0.9 },
    Level { rotation: 0.1, alpha: 0.9, sigma: 0.3 },
    Level { rotation: 0.0, alpha: 1.0, sigma: 0.0 },
];

fn quaternion(slot: usize) -> Quaternion {
    uniform(normals(3, slot, 0, 0)(0, 0))
}

fn problem() -> (Chain, Motif) {
    let mixture = |f: usize| -> Vec<Component> {
        let one =
            |c: usize| Component { weight: 1.0 + c as f64, rotation: quaternion(2 * f + c), spread: 0.2 };
        (0..2).map(one).collect()
    };
    let at = |i: usize| {
        let z = normals(4, i, 0, 0)(0, 0);
        [z[0], z[1], z[2]]
    };
    let chain = Chain {
        rotations: (0..5).map(mixture).collect(),
        positions: (0..5).map(at).collect(),
        links: vec![0.7, 0.2, 1.0, 0.4],
    };
    let motif = Motif {
        rotations: (20..22).map(|i| matrix(quaternion(i))).collect(),
        positions: (20..22).map(at).collect(),
        offsets: vec![0, 1, 3],
        turns: (30..34).map(quaternion).collect(),
        noise: [0.3, 0.5],
        breadth: [0.2, 1.0],
    };
    (chain, motif)
}

fn nudged(x: &[f64], i: usize, by: f64) -> Vec<f64> {
    let (f, k) = (i / TANGENT, i % TANGENT);
    let mut x = x.to_vec();
    if k < 3 {
        let step = std::array::from_fn(|j| if j == k { by } else { 0.0 });
        let q = retract(rotation(&x[FRAME * f..]), step);
        x[FRAME * f..][..4].copy_from_slice(&q);
    } else {
        x[FRAME * f + 4 + k - 3] += by;
    }
    x
}

#[test]
fn gradients_are_those_of_log_psi() {
    let (chain, motif) = problem();
    let all = twist_numbers(&LEVELS, &motif, Lean::FULL);
    for (level, numbers) in LEVELS.iter().zip(&all) {
        for slot in 0..4 {
            let x = start(5, &all[0], (9, slot));
            let value = |x: &[f64]| psi(&motif, numbers, &told(&chain, level, x).denoised).0;
            let (_, g) = psi(&motif, numbers, &told(&chain, level, &x).denoised);
            let pulled = pulled(&chain, level, &x, &g);
            for (i, pulled) in pulled.into_iter().enumerate() {
                let h = 1.0e-5;
                let wanted = (value(&nudged(&x, i, h)) - value(&nudged(&x, i, -h))) / (2.0 * h);
                assert!((pulled - wanted).abs() < 1.0e-6 * (1.0 + wanted.abs()), "{i}: {} {wanted}", pulled);
            }
        }
    }
}

/// Turning and moving the chain, with all rotations of the motif turned along, changes nothing.
#[test]
fn log_psi_has_the_symmetry_of_space() {
    let (_, motif) = problem();
    let numbers = &twist_numbers(&LEVELS, &motif, Lean::FULL)[2];
    let x = start(5, &twist_numbers(&LEVELS, &motif, Lean::FULL)[0], (1, 2));
    let by = exp([0.4, -1.0, 2.0]);
    let turned: Vec<f64> = x
        .chunks(FRAME)
        .flat_map(|f| {
            let (q, at) = (compose(by, rotation(f)), rotate(by, [f[4], f[5], f[6]]));
            [q[0], q[1], q[2], q[3], at[0] + 3.0, at[1], at[2] - 1.0]
        })
        .collect();
    let other = Motif { turns: motif.turns.iter().map(|q| compose(by, *q)).collect(), ..motif.clone() };
    let (a, b) = (psi(&motif, numbers, &x).0, psi(&other, numbers, &turned).0);
    assert!((a - b).abs() < 1.0e-12, "{a} {b}");
    assert!((a - psi(&motif, numbers, &turned).0).abs() > 1.0e-3);
}

/// The ratio is that of two Gaussians written out.
#[test]
fn the_ratio_is_of_two_kernels() {
    let (chain, motif) = problem();
    let numbers = twist_numbers(&LEVELS, &motif, Lean { share: 0.7, most: 1.0e9 })[0];
    let x = start(5, &numbers, (9, 0));
    let says = told(&chain, &LEVELS[0], &x);
    let (_, g) = psi(&motif, &numbers, &says.denoised);
    let pull = pulled(&chain, &LEVELS[0], &x, &g);
    let z = normals(1, 2, 3, purpose::MOVE);
    let (_, ratio) = moved(&numbers, &x, (&says.score, &pull), &z);
    let mut wanted = 0.0;
    for (i, pull) in pull.iter().enumerate() {
        let std = if i % TANGENT < 3 { numbers[2] } else { numbers[7] };
        let shift = 0.7 * std * std * pull;
        let drawn = shift + std * z(i / TANGENT, i % TANGENT / 3)[i % 3];
        wanted += ((drawn - shift).powi(2) - drawn.powi(2)) / (2.0 * std * std);
    }
    assert!((ratio - wanted).abs() < 1.0e-10, "{ratio} {wanted}");
    // Every shift of a standard deviation: the means of the kernels are that far apart for each of ten.
    let numbers = twist_numbers(&LEVELS, &motif, Lean { share: 1.0e9, most: 1.0 })[0];
    let still = |_: usize, _: usize| [0.0; 4];
    let (_, ratio) = moved(&numbers, &x, (&says.score, &pull), still);
    assert!((ratio + 0.5 * 10.0).abs() < 1.0e-10, "{ratio}");
}
