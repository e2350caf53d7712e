//! Two frames by hand, and every way through the layers of frames against differences.

use super::super::oracle::{Question, forward, jvp, vjp};
use super::super::{Extent, Layers, Op};
use super::*;
use crate::prims::so3::oracle::{normalised, rotate};

/// In (-1, 1), in no order.
fn some(seed: usize, n: usize) -> Vec<f64> {
    (0..n).map(|i| 2.0 * ((seed + 7 * i + 1) as f64 * 0.618_033_988_749_895).fract() - 1.0).collect()
}

fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()))
}

#[test]
fn matrices_are_those_of_rotations() {
    let q = normalised([0.3, -0.8, 0.5, 0.4]);
    for v in [[1.0, 0.0, 0.0], [0.2, -0.7, 1.3]] {
        assert!(apart(&turned(&matrix(q), v), &rotate(q, v)) < 1e-15);
        assert!(apart(&seen(&matrix(q), turned(&matrix(q), v)), &v) < 1e-15);
    }
}

#[test]
fn two_frames_see_each_other() {
    // The second stands one step along y and is turned by a quarter about z: its x axis is the world's y.
    let half = 0.5f64.sqrt();
    let x = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, half, 0.0, 0.0, half, 0.0, 1.0, 0.0];
    let all = views(&x);
    let view = |i: usize, j: usize| -> Vec<f64> { (0..12).map(|c| all[4 * c + 2 * i + j]).collect() };
    let axes = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    assert!(apart(&view(0, 0), &[&[0.0; 3], &axes[..]].concat()) < 1e-15);
    let there = [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    assert!(apart(&view(0, 1), &there) < 1e-15, "{:?}", view(0, 1));
    // One step back is along the second's own -x.
    let back = [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    assert!(apart(&view(1, 0), &back) < 1e-15, "{:?}", view(1, 0));
    // (1, 2, 3) stays, (0, 1, 0) is turned to -x by the second.
    let v = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0];
    let wanted = [1.0, 2.0, 3.0, 0.0, 1.0, 0.0, 1.0, 2.0, 3.0, -1.0, 0.0, 0.0];
    assert!(apart(&turn(&x, &v), &wanted) < 1e-15);
}

/// Views, their means by rows, six of them turned.
fn network(frames: usize) -> (Layers, Vec<Vec<f32>>) {
    let mut layers = Layers::default();
    let state = Op::State(Extent { channels: 1, height: frames, width: FRAME });
    let x = layers.push(state, &[], &[]).unwrap();
    let views = layers.push(Op::FrameViews { places: 2 }, &[x], &[0]).unwrap();
    let mixed = Op::Conv { out: 6, taps: 1, stride: 1, before: 0 };
    let mixed = layers.push(mixed, &[views], &[1, 2]).unwrap();
    let bent = layers.push(Op::Act(super::super::Activation::Tanh), &[mixed], &[]).unwrap();
    let means = layers.push(Op::RowMeans, &[bent], &[]).unwrap();
    layers.push(Op::FrameTurn, &[x, means], &[]).unwrap();
    let tensor = |n| some(n, n).into_iter().map(|v| v as f32).collect();
    (layers, [2 * frames * frames, 6 * 14, 6].map(tensor).to_vec())
}

#[test]
fn tangents_are_differences_and_agree_with_the_way_back() {
    let (layers, tensors) = network(3);
    // Quaternions of any length.
    let (x, v, u) = (some(3, 21), some(11, 21), some(5, 18));
    let ask = |x: &[f64]| forward(&layers, &tensors, Question { x, time: 1.0, class: 0 }).pop().unwrap();
    let asked = Question { x: &x, time: 1.0, class: 0 };
    let (output, moved) = jvp(&layers, &tensors, asked, &v, 0.0);
    assert_eq!(output, ask(&x));
    let h = 1e-5;
    let at = |s: f64| ask(&x.iter().zip(&v).map(|(x, v)| x + s * v).collect::<Vec<_>>());
    let slopes: Vec<f64> = at(h).iter().zip(at(-h)).map(|(a, b)| (a - b) / (2.0 * h)).collect();
    // h^2 of third derivatives, and rounding over h
    assert!(apart(&moved, &slopes) < 1e-8, "{moved:?}\n{slopes:?}");
    let (same, back) = vjp(&layers, &tensors, asked, &u);
    assert_eq!(same, output);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (along, slope) = (dot(&u, &moved), dot(&back, &v));
    assert!((along - slope).abs() < 1e-13 * dot(&back, &back).sqrt(), "{along}, {slope}");
    assert!(along.abs() > 0.1, "{along}");
}
