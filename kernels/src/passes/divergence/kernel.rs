//! A block of four coordinates a turn, then a particle a turn.

use cubecl::prelude::*;

use crate::passes::{number, own_items};
use crate::prims::philox::{Stream, Words, purpose, tag, words};

/// How much of it there is.
#[derive(CubeLaunch, CubeType)]
pub struct Sizes {
    /// Particles.
    pub count: u32,
    /// Numbers of a particle.
    pub dim: u32,
    /// Particles of a group.
    pub slots: u32,
    /// Which probe.
    pub probe: u32,
    /// Probes in all.
    pub probes: u32,
    /// The first cell that is told.
    pub first: u32,
    /// Cells from one particle's to the next one's.
    pub apart: u32,
    /// The level, or that a cell holds it.
    pub level: u32,
}

/// The vectors of a probe. `N` is 1.
#[cube(launch)]
pub fn probe_kernel<N: Size>(
    vectors: &mut [f32],
    seeds: &[u32],
    clock: &[u32],
    of: Sizes,
    #[comptime] axes: bool,
    #[comptime] runs: bool,
) {
    let level = number(of.level, clock);
    let blocks = of.dim.div_ceil(4u32);
    let own = own_items(of.count * blocks, runs);
    let mut item = own.first;
    while item < own.last {
        let (particle, block) = (item / blocks, item % blocks);
        let group = particle / of.slots;
        let stream = Stream::<N> {
            slot: Vector::new(particle % of.slots),
            step: level,
            tag: comptime!(tag(purpose::PROBE, 0)) + of.probe,
            key0: seeds[(2u32 * group) as usize],
            key1: seeds[(2u32 * group + 1u32) as usize],
        };
        let drawn = words::<N>(&stream, stream.slot, block);
        let to = particle * of.dim;
        #[unroll]
        for i in 0..4u32 {
            let k = block * 4u32 + i;
            if k < of.dim {
                let sign = word::<N>(&drawn, i) >> 31u32 == 0u32;
                let signed = select(sign, 1.0f32, -1.0f32);
                let axis = select(k == of.probe, 1.0f32, 0.0f32);
                vectors[(to + k) as usize] = if comptime!(axes) { axis } else { signed };
            }
        }
        item += own.turn;
    }
}

#[cube]
fn word<N: Size>(drawn: &Words<N>, #[comptime] index: u32) -> u32 {
    let all = match comptime!(index) {
        0u32 => drawn.w0,
        1u32 => drawn.w1,
        2u32 => drawn.w2,
        _ => drawn.w3,
    };
    all.extract(0usize)
}

/// Adds v' J v to (sum, sum of squares) of each particle; after the last probe tells their sum or mean, and leaves the
/// variance of that in place of the squares.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
pub fn tally_kernel(
    vectors: &[f32],
    came: &[f32],
    sums: &mut [f32],
    told: &mut [f32],
    of: Sizes,
    #[comptime] axes: bool,
    #[comptime] runs: bool,
) {
    let own = own_items(of.count, runs);
    let mut particle = own.first;
    while particle < own.last {
        let from = (particle * of.dim) as usize;
        let mut found = 0.0f32.runtime();
        for k in 0..of.dim as usize {
            found = fma(vectors[from + k], came[from + k], found);
        }
        let at = (2u32 * particle) as usize;
        let begun = of.probe > 0u32;
        // Squares are taken about what the first probe found, or they would drown in its own.
        let pivot = select(begun, sums[2usize * of.count as usize + particle as usize], found);
        let off = found - pivot;
        let sum = select(begun, sums[at], 0.0f32) + off;
        let squares = fma(off, off, select(begun, sums[at + 1], 0.0f32));
        sums[2usize * of.count as usize + particle as usize] = pivot;
        sums[at] = sum;
        sums[at + 1] = squares;
        if of.probe + 1u32 == of.probes {
            let count = f32::cast_from(of.probes);
            let total = fma(count, pivot, sum);
            let mean = sum / count;
            told[(of.first + particle * of.apart) as usize] =
                if comptime!(axes) { total } else { pivot + mean };
            let spread =
                fma(-mean, sum, squares) / select(of.probes > 1u32, count * (count - 1.0f32), 1.0f32);
            sums[at + 1] = if comptime!(axes) { 0.0f32.runtime() } else { spread };
        }
        particle += own.turn;
    }
}
