//! The layers of pairs of atoms, a vector of particles (states) at a time: docs/maths.md (9.5). Pairs p = (i, j), i < j,
//! stand in the order (0, 1), (0, 2), ...; `list` has i and j of each. A state's number k of atom i is i space + k.

use cubecl::prelude::*;

use crate::passes::own_items;
use crate::prims::math::{exp, ln};

/// Sizes.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub struct PairSizes {
    /// Atoms.
    pub atoms: u32,
    /// Pairs of them.
    pub pairs: u32,
    /// Coordinates of an atom.
    pub space: u32,
    /// Numbers of a pair, or of an atom.
    pub channels: u32,
    /// Vectors of particles.
    pub vectors: u32,
}

/// What `radial_kernel` makes of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Radial {
    /// Its bumps.
    Value,
    /// From the slopes of the bumps, the number w with which the slope of the state is what moves it: sum of w (x_i - x_j).
    Back,
    /// The tangents of the bumps.
    Along,
}

/// The squared distance of two atoms, whose first numbers are `i` and `j`.
#[cube]
fn product<L: Size>(
    x: &[Vector<f32, L>],
    y: &[Vector<f32, L>],
    i: u32,
    j: u32,
    vector: u32,
    sizes: &PairSizes,
) -> Vector<f32, L> {
    let mut sum = Vector::<f32, L>::new(0.0f32);
    for k in 0..sizes.space {
        let a = ((i + k) * sizes.vectors + vector) as usize;
        let b = ((j + k) * sizes.vectors + vector) as usize;
        sum = fma(x[a] - x[b], y[a] - y[b], sum);
    }
    sum
}

/// exp(-s (u - c)^2), u = ln(1 + |x_i - x_j|^2), for the c and s of `bumps`; `second` is the slope or the tangent.
#[cube(launch)]
pub fn radial_kernel<L: Size>(
    x: &[Vector<f32, L>],
    second: &[Vector<f32, L>],
    bumps: &[f32],
    list: &[u32],
    out: &mut [Vector<f32, L>],
    sizes: PairSizes,
    #[comptime] what: Radial,
    #[comptime] runs: bool,
) {
    let one = Vector::<f32, L>::new(1.0f32);
    let items = own_items(sizes.pairs * sizes.vectors, runs);
    let mut item = items.first;
    while item < items.last {
        let pair = item / sizes.vectors;
        let vector = item - pair * sizes.vectors;
        let i = list[2 * pair as usize] * sizes.space;
        let j = list[2 * pair as usize + 1] * sizes.space;
        let far = one + product::<L>(x, x, i, j, vector, &sizes);
        let u = ln::<L>(far);
        // du = 2 <x_i - x_j, d> / (1 + |x_i - x_j|^2)
        let mut factor = Vector::new(2.0f32) / far;
        if comptime!(what == Radial::Along) {
            factor *= product::<L>(x, second, i, j, vector, &sizes);
        }
        let mut sum = Vector::<f32, L>::new(0.0f32);
        for c in 0..sizes.channels {
            let at = ((c * sizes.pairs + pair) * sizes.vectors + vector) as usize;
            let sharp = Vector::<f32, L>::new(bumps[(sizes.channels + c) as usize]);
            let y = u - Vector::new(bumps[c as usize]);
            let bump = exp::<L>(Vector::new(0.0f32) - sharp * y * y);
            let slope = Vector::new(-2.0f32) * sharp * y * bump;
            if comptime!(what == Radial::Value) {
                out[at] = bump;
            } else if comptime!(what == Radial::Along) {
                out[at] = slope * factor;
            } else {
                sum = fma(second[at], slope, sum);
            }
        }
        if comptime!(what == Radial::Back) {
            out[item as usize] = sum * factor;
        }
        item += items.turn;
    }
}

/// The number of the pair of two atoms that differ.
#[cube]
fn pair_of(a: u32, b: u32, atoms: u32) -> u32 {
    let low = select(a < b, a, b);
    let high = select(a < b, b, a);
    low * (2u32 * atoms - low - 1u32) / 2u32 + high - low - 1u32
}

/// sum over j of w_p (x_i - x_j), with `other` added.
#[cube(launch)]
pub fn move_kernel<L: Size>(
    x: &[Vector<f32, L>],
    w: &[Vector<f32, L>],
    other: &[Vector<f32, L>],
    out: &mut [Vector<f32, L>],
    sizes: PairSizes,
    #[comptime] adds: bool,
    #[comptime] runs: bool,
) {
    let items = own_items(sizes.atoms * sizes.space * sizes.vectors, runs);
    let mut item = items.first;
    while item < items.last {
        let number = item / sizes.vectors;
        let vector = item - number * sizes.vectors;
        let i = number / sizes.space;
        let axis = number - i * sizes.space;
        let own = x[item as usize];
        let mut sum = if comptime!(adds) { other[item as usize] } else { Vector::new(0.0f32) };
        for j in 0..sizes.atoms {
            if j != i {
                let pair = (pair_of(i, j, sizes.atoms) * sizes.vectors + vector) as usize;
                let there = ((j * sizes.space + axis) * sizes.vectors + vector) as usize;
                sum = fma(w[pair], own - x[there], sum);
            }
        }
        out[item as usize] = sum;
        item += items.turn;
    }
}

/// <x_i - x_j, g_i - g_j> of every pair, with `other` added.
#[cube(launch)]
pub fn gaps_kernel<L: Size>(
    x: &[Vector<f32, L>],
    g: &[Vector<f32, L>],
    other: &[Vector<f32, L>],
    list: &[u32],
    out: &mut [Vector<f32, L>],
    sizes: PairSizes,
    #[comptime] adds: bool,
    #[comptime] runs: bool,
) {
    let items = own_items(sizes.pairs * sizes.vectors, runs);
    let mut item = items.first;
    while item < items.last {
        let pair = item / sizes.vectors;
        let vector = item - pair * sizes.vectors;
        let i = list[2 * pair as usize] * sizes.space;
        let j = list[2 * pair as usize + 1] * sizes.space;
        let sum = product::<L>(x, g, i, j, vector, &sizes);
        out[item as usize] = if comptime!(adds) { sum + other[item as usize] } else { sum };
        item += items.turn;
    }
}

/// v_i + v_j in every channel of every pair, with `other` added.
#[cube(launch)]
pub fn both_kernel<L: Size>(
    v: &[Vector<f32, L>],
    other: &[Vector<f32, L>],
    list: &[u32],
    out: &mut [Vector<f32, L>],
    sizes: PairSizes,
    #[comptime] adds: bool,
    #[comptime] runs: bool,
) {
    let items = own_items(sizes.channels * sizes.pairs * sizes.vectors, runs);
    let mut item = items.first;
    while item < items.last {
        let row = item / sizes.vectors;
        let vector = item - row * sizes.vectors;
        let channel = row / sizes.pairs;
        let pair = (row - channel * sizes.pairs) as usize;
        let first = channel * sizes.atoms;
        let a = v[((first + list[2 * pair]) * sizes.vectors + vector) as usize];
        let b = v[((first + list[2 * pair + 1]) * sizes.vectors + vector) as usize];
        out[item as usize] = if comptime!(adds) { other[item as usize] + (a + b) } else { a + b };
        item += items.turn;
    }
}

/// The sum over the pairs of every atom in every channel, with `other` added.
#[cube(launch)]
pub fn pair_sums_kernel<L: Size>(
    y: &[Vector<f32, L>],
    other: &[Vector<f32, L>],
    out: &mut [Vector<f32, L>],
    sizes: PairSizes,
    #[comptime] adds: bool,
    #[comptime] runs: bool,
) {
    let items = own_items(sizes.channels * sizes.atoms * sizes.vectors, runs);
    let mut item = items.first;
    while item < items.last {
        let row = item / sizes.vectors;
        let vector = item - row * sizes.vectors;
        let channel = row / sizes.atoms;
        let i = row - channel * sizes.atoms;
        let mut sum = if comptime!(adds) { other[item as usize] } else { Vector::new(0.0f32) };
        for j in 0..sizes.atoms {
            if j != i {
                let pair = channel * sizes.pairs + pair_of(i, j, sizes.atoms);
                sum += y[(pair * sizes.vectors + vector) as usize];
            }
        }
        out[item as usize] = sum;
        item += items.turn;
    }
}
