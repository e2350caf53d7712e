//! A vector of particles and a number of each at a time.

use cubecl::prelude::*;

use crate::passes::{number, own_items};

/// Sizes, and where the rows and the level's numbers start.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub struct Sizes {
    /// Numbers of a particle.
    pub dim: u32,
    /// Particles.
    pub count: u32,
    /// Vectors of particles.
    pub vectors: u32,
    /// The first element of the rows that are read.
    pub read: u32,
    /// The first element of the rows that are written.
    pub written: u32,
    /// Numbers of the table to a level.
    pub level_numbers: u32,
    /// Number of a level that multiplies the rows.
    pub direct: u32,
    /// Number of a level that multiplies the value.
    pub net: u32,
    /// Level.
    pub level: u32,
    /// Coordinates of an atom, where the mean of a row over its atoms is subtracted; 0 where it is not.
    pub space: u32,
    /// Multiplies what is taken.
    pub scale: f32,
    /// Is added to what is taken.
    pub shift: f32,
}

/// See the pass page.
#[cube(launch)]
pub fn take_kernel<L: Size>(
    rows: &[f32],
    to: &mut [Vector<f32, L>],
    levels: &[f32],
    clock: &[u32],
    sizes: Sizes,
    #[comptime] runs: bool,
) {
    let level = number(sizes.level, clock) * sizes.level_numbers;
    let c = Vector::<f32, L>::new(levels[(level + sizes.direct) as usize]);
    let items = own_items(sizes.vectors * sizes.dim, runs);
    let mut item = items.first;
    while item < items.last {
        let vector = item / sizes.dim;
        let k = item - vector * sizes.dim;
        let first = vector * (L::value() as u32);
        let mut x = Vector::<f32, L>::new(0.0f32);
        let mut shift = Vector::<f32, L>::new(0.0f32);
        #[unroll]
        for lane in 0..L::value() {
            let particle = first + (lane as u32);
            if particle < sizes.count {
                x.insert(lane, rows[(sizes.read + particle * sizes.dim + k) as usize]);
                shift.insert(lane, sizes.shift);
            }
        }
        to[(k * sizes.vectors + vector) as usize] = fma(x * c, Vector::new(sizes.scale), shift);
        item += items.turn;
    }
}

/// The mean over its atoms of the coordinate that number `k` of the row from `first` on is; 0 where there are none.
#[cube]
#[allow(clippy::manual_checked_ops)] // a kernel has no checked division
fn mean_of(rows: &[f32], first: u32, k: u32, sizes: &Sizes) -> f32 {
    let mut sum = 0.0f32.runtime();
    if sizes.space > 0u32 {
        let atoms = sizes.dim / sizes.space;
        let axis = k % sizes.space;
        for atom in 0..atoms {
            sum += rows[(first + atom * sizes.space + axis) as usize];
        }
        sum /= f32::cast_from(atoms);
    }
    sum
}

/// See the pass page.
#[cube(launch)]
pub fn give_kernel<L: Size>(
    rows: &[f32],
    from: &[Vector<f32, L>],
    out: &mut [f32],
    levels: &[f32],
    clock: &[u32],
    sizes: Sizes,
    #[comptime] runs: bool,
) {
    let level = number(sizes.level, clock) * sizes.level_numbers;
    let direct = levels[(level + sizes.direct) as usize];
    let net = Vector::<f32, L>::new(levels[(level + sizes.net) as usize]);
    let items = own_items(sizes.vectors * sizes.dim, runs);
    let mut item = items.first;
    while item < items.last {
        let vector = item / sizes.dim;
        let k = item - vector * sizes.dim;
        let first = vector * (L::value() as u32);
        let f = net * from[(k * sizes.vectors + vector) as usize];
        #[unroll]
        for lane in 0..L::value() {
            let particle = first + (lane as u32);
            if particle < sizes.count {
                let at = particle * sizes.dim + k;
                let mut value = f.extract(lane);
                if direct != 0.0f32 {
                    let own = rows[(sizes.read + at) as usize]
                        - mean_of(rows, sizes.read + particle * sizes.dim, k, &sizes);
                    value = fma(direct, own, value);
                }
                out[(sizes.written + at) as usize] = value;
            }
        }
        item += items.turn;
    }
}
