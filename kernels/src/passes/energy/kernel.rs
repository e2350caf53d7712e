//! A row a turn, then a number a turn.

use cubecl::prelude::*;

use super::Energy;
use crate::passes::{number, own_items};

/// Numbers of a level: what the state is multiplied with before the network sees it, factor and offset of what is told of
/// the energy, factor of the gradient.
pub(super) const ROW: u32 = 4;

/// How much of it there is.
#[derive(CubeLaunch, CubeType)]
pub struct Extents {
    /// Particles.
    pub count: u32,
    /// Particles under each condition.
    pub rows: u32,
    /// Numbers of a particle.
    pub dim: u32,
    /// The first cell that is told; of the gradient the first that is written.
    pub first: u32,
    /// Cells from one particle's to the next one's.
    pub apart: u32,
    /// The level, or that a cell holds it.
    pub level: u32,
}

/// What goes back through the network, and what is told of the energy.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
pub fn seed_kernel(
    rows: &[f32],
    said: &[f32],
    back: &mut [f32],
    told: &mut [f32],
    clock: &[u32],
    table: &[f32],
    of: Extents,
    #[comptime] energy: Energy,
    #[comptime] tells: bool,
    #[comptime] runs: bool,
) {
    let at = (number(of.level, clock) * ROW) as usize;
    let (scale, factor, offset) = (table[at], table[at + 1], table[at + 2]);
    let own = own_items(of.rows, runs);
    let mut row = own.first;
    while row < own.last {
        let from = (row % of.count * of.dim) as usize;
        let to = (row * of.dim) as usize;
        let mut sum = 0.0f32.runtime();
        for k in 0..of.dim as usize {
            let x = scale * rows[from + k];
            let f = said[to + k];
            match comptime!(energy) {
                Energy::Square => {
                    back[to + k] = f;
                    sum = fma(0.5f32 * f, f, sum);
                }
                Energy::Residual => {
                    let off = f - x;
                    back[to + k] = 2.0f32 * off;
                    sum = fma(off, off, sum);
                }
                Energy::Dot => {
                    back[to + k] = x;
                    sum = fma(x, f, sum);
                }
            }
        }
        if comptime!(tells) {
            told[(of.first + row * of.apart) as usize] = fma(factor, sum, offset);
        }
        row += own.turn;
    }
}

/// The gradient with respect to the state, times the level's factor, from what came back through the network.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
pub fn gradient_kernel(
    rows: &[f32],
    said: &[f32],
    came: &[f32],
    out: &mut [f32],
    clock: &[u32],
    table: &[f32],
    of: Extents,
    #[comptime] energy: Energy,
    #[comptime] runs: bool,
) {
    let at = (number(of.level, clock) * ROW) as usize;
    let (scale, factor) = (table[at], table[at + 3]);
    let own = own_items(of.rows * of.dim, runs);
    let mut cell = own.first;
    while cell < own.last {
        let x = scale * rows[(cell % (of.count * of.dim)) as usize];
        let f = said[cell as usize];
        // What came back was taken by the state itself, whose slope has the factor `scale` already.
        let direct = match comptime!(energy) {
            Energy::Square => 0.0f32.runtime(),
            Energy::Residual => 2.0f32 * (x - f),
            Energy::Dot => f,
        };
        out[(of.first + cell) as usize] = factor * fma(scale, direct, came[cell as usize]);
        cell += own.turn;
    }
}
