//! A chunk of particles through all layers by tensor cores.
//!
//! A plane has 16 or 32 particles and keeps their activations in its registers from the first layer to
//! the last, in tiles (`kernel_tile.rs`); weights come from the cache, each tile once a plane. Nothing
//! passes through shared memory, and no plane waits for another. The input layer multiplies twice as many
//! digits: x and W_in are each split in a rounded part and the rounded rest, and only the product of the
//! rests is left out.

use cubecl::prelude::*;

use super::kernel_tile::{
    PLANE, Part, TILE, TensorKey, Tiles, act, column_of, multiply, pack, row_of, sum_of_row, two, unpack,
};
use crate::passes::number;

/// Sizes.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub struct TensorSizes {
    /// Particles.
    pub count: u32,
    /// Rows of the level tables to a level: a particle is answered under each.
    pub conditions: u32,
    /// Inputs.
    pub dim: u32,
    /// Hidden units.
    pub hidden: u32,
    /// Hidden layers.
    pub layers: u32,
    /// Outputs.
    pub outputs: u32,
    /// First element written.
    pub out_first: u32,
    /// Level, or that the cell holds it.
    pub level: u32,
}

/// Numbers of the network; hidden units and outputs are padded to whole tiles.
#[derive(CubeLaunch, CubeType)]
pub struct TensorNumbers {
    /// Tiles `[outputs, inputs]`: W_in, what rounding left of it, hidden layers, W_out.
    pub weights: Box<[Vector<u32, Const<2>>]>,
    /// b_in, b_out, then LayerNorm scale and shift a layer.
    pub biases: Box<[f32]>,
    /// Biases of the hidden layers, `[levels, conditions, layers, hidden]`.
    pub cond: Box<[f32]>,
    /// (c_in, c_x, c_f) a level and condition.
    pub levels: Box<[f32]>,
}

/// Which particles, from `first` on; row of the level tables; which hidden layer, or tile of outputs; where
/// its weights begin.
#[derive(CubeType, Clone, Copy)]
struct Place {
    first: u32,
    level: u32,
    index: u32,
    weights: u32,
}

/// See above.
#[cube(launch)]
pub fn tensor_kernel<E: Float>(
    rows: &[f32],
    out: &mut [f32],
    clock: &[u32],
    net: TensorNumbers,
    sizes: TensorSizes,
    #[comptime] key: TensorKey,
) {
    let mut scratch = Shared::<[f32]>::new_slice(comptime!(key.scratch()));
    let chunk = comptime!(key.planes * key.rows as u32 * 16);
    let chunks = sizes.count.div_ceil(chunk);
    let own = UNIT_POS / PLANE * comptime!(key.rows as u32 * 16);
    let tile = comptime!((key.tiles * key.tiles) as u32 * TILE);
    let level = number(sizes.level, clock) * sizes.conditions;
    let mut index = CUBE_POS as u32;
    while index < chunks * sizes.conditions {
        let (first, level) = (index % chunks * chunk + own, level + index / chunks);
        let mut a = Array::<u32>::new(comptime!(key.rows * key.tiles * 4));
        let place = Place { first, level, index: 0u32.runtime(), weights: 0u32.runtime() };
        enter::<E>(rows, &net, &sizes, &place, &mut a, &mut scratch, key);
        let mut weights = 2u32 * sizes.dim.div_ceil(16u32) * comptime!(key.tiles as u32 * TILE);
        for layer in 0..sizes.layers {
            let place = Place { first, level, index: layer, weights };
            let mut next = Array::<u32>::new(comptime!(key.rows * key.tiles * 4));
            hidden::<E>(&net, &sizes, &place, &a, &mut next, &mut scratch, key);
            #[unroll]
            for i in 0..comptime!(key.rows * key.tiles * 4) {
                a[i] = next[i];
            }
            weights += tile;
        }
        let outputs = sizes.outputs.div_ceil(16u32);
        for column in 0..outputs {
            let place = Place {
                first,
                level,
                index: column,
                weights: weights + column * comptime!(key.tiles as u32 * TILE),
            };
            leave::<E>(rows, out, &net, &sizes, &place, &a, &mut scratch, key);
        }
        index += CUBE_COUNT as u32;
    }
}

/// Every sum of `columns` tiles starts from its bias.
#[cube]
fn start(
    sums: &mut Array<Vector<f32, Const<2>>>,
    biases: &[f32],
    first: u32,
    #[comptime] columns: usize,
    #[comptime] key: TensorKey,
) {
    #[unroll]
    for c in 0..columns {
        #[unroll]
        for h in 0..2usize {
            let bias = two(biases, first + comptime!(c as u32 * 16) + column_of(2 * h));
            #[unroll]
            for j in 0..comptime!(2 * key.rows) {
                sums[(comptime!(j / 2) * columns + c) * 4 + 2 * h + comptime!(j % 2)] = bias;
            }
        }
    }
}

/// The input layer: x W^T = x_0 W_0^T + x_1 W_0^T + x_0 W_1^T, with x_0 and W_0 rounded and x_1 and W_1 what
/// is left of them.
#[cube]
fn enter<E: Float>(
    rows: &[f32],
    net: &TensorNumbers,
    sizes: &TensorSizes,
    place: &Place,
    a: &mut Array<u32>,
    scratch: &mut Shared<[f32]>,
    #[comptime] key: TensorKey,
) {
    let columns = key.tiles;
    let part = comptime!(Part { columns: key.tiles, of: 1, k: 0 });
    let inputs = sizes.dim.div_ceil(16u32);
    let stride = inputs * TILE;
    let c_in = Vector::<f32, Const<2>>::new(net.levels[3 * place.level as usize]);
    let mut sums = Array::<Vector<f32, Const<2>>>::new(comptime!(key.rows * key.tiles * 4));
    start(&mut sums, &net.biases, 0u32.runtime(), columns, key);
    for k in 0..inputs {
        let mut head = Array::<u32>::new(comptime!(key.rows * 4));
        let mut rest = Array::<u32>::new(comptime!(key.rows * 4));
        #[unroll]
        for i in 0..comptime!(key.rows * 4) {
            let particle = place.first + comptime!(i as u32 / 4 * 16) + row_of(i % 4);
            let x = c_in * inputs_at(rows, sizes, particle, k * 16u32 + column_of(i % 4));
            head[i] = pack::<E>(x, key);
            rest[i] = pack::<E>(x - unpack::<E>(head[i], key), key);
        }
        let whole = Tiles { first: k * TILE, stride };
        let left = Tiles { first: k * TILE + stride * comptime!(key.tiles as u32), stride };
        multiply::<E>(&mut sums, &head, &net.weights, &whole, scratch, part, key);
        multiply::<E>(&mut sums, &rest, &net.weights, &whole, scratch, part, key);
        multiply::<E>(&mut sums, &head, &net.weights, &left, scratch, part, key);
    }
    #[unroll]
    for i in 0..comptime!(key.rows * key.tiles * 4) {
        a[i] = pack::<E>(act(sums[i], key.activation), key);
    }
}

/// Coordinates k and k + 1 of a particle, 0 where there is none.
#[cube]
fn inputs_at(rows: &[f32], sizes: &TensorSizes, particle: u32, k: u32) -> Vector<f32, Const<2>> {
    let mut x = Vector::<f32, Const<2>>::new(0.0f32);
    if particle < sizes.count {
        let at = (particle * sizes.dim + k) as usize;
        if k < sizes.dim {
            x.insert(0usize, rows[at]);
        }
        if k + 1u32 < sizes.dim {
            x.insert(1usize, rows[at + 1]);
        }
    }
    x
}

/// A hidden layer; without LayerNorm a few tiles of outputs at a time.
#[cube]
fn hidden<E: Float>(
    net: &TensorNumbers,
    sizes: &TensorSizes,
    place: &Place,
    a: &Array<u32>,
    next: &mut Array<u32>,
    scratch: &mut Shared<[f32]>,
    #[comptime] key: TensorKey,
) {
    let columns = comptime!(key.columns());
    let tiles = key.tiles;
    let width = comptime!(key.tiles as u32 * 16);
    let layer = place.index;
    let bias = (place.level * sizes.layers + layer) * width;
    #[unroll]
    for p in 0..comptime!(key.tiles / columns) {
        let before = comptime!((p * columns) as u32);
        let mut sums = Array::<Vector<f32, Const<2>>>::new(comptime!(key.rows * columns * 4));
        start(&mut sums, &net.cond, bias + before * 16u32, columns, key);
        #[unroll]
        for k in 0..tiles {
            let part = comptime!(Part { columns, of: tiles, k });
            let first = place.weights + comptime!((before * tiles as u32 + k as u32) * TILE);
            let from = Tiles { first, stride: comptime!(tiles as u32 * TILE).runtime() };
            multiply::<E>(&mut sums, a, &net.weights, &from, scratch, part, key);
        }
        if comptime!(key.norm) {
            let affine = (1u32 + 2u32 * layer) * width + sizes.outputs.div_ceil(16u32) * 16u32;
            normalise(&mut sums, &net.biases, sizes.hidden, affine, scratch, key);
        }
        #[unroll]
        for i in 0..comptime!(key.rows * columns * 4) {
            let to = comptime!((i / (4 * columns) * tiles + p * columns) * 4 + i % (4 * columns));
            let y = act(sums[i], key.activation);
            let kept = if comptime!(key.skip) { y + unpack::<E>(a[to], key) } else { y };
            next[to] = pack::<E>(kept, key);
        }
    }
}

/// LayerNorm over the hidden units (eps 1e-5), row by row.
#[cube]
fn normalise(
    sums: &mut Array<Vector<f32, Const<2>>>,
    biases: &[f32],
    hidden: u32,
    affine: u32,
    scratch: &mut Shared<[f32]>,
    #[comptime] key: TensorKey,
) {
    let tiles = key.tiles;
    let share = 1.0f32 / f32::cast_from(hidden);
    let zero = Vector::<f32, Const<2>>::new(0.0f32);
    #[unroll]
    for j in 0..comptime!(2 * key.rows) {
        let row = comptime!(j / 2 * tiles * 4 + j % 2);
        let mut sum = zero;
        // Padded hidden units are 0.
        #[unroll]
        for i in 0..comptime!(2 * tiles) {
            sum += sums[row + 2 * i];
        }
        let mean = sum_of_row(sum.extract(0usize) + sum.extract(1usize), scratch, key) * share;
        let mut square = zero;
        #[unroll]
        for i in 0..comptime!(2 * tiles) {
            let centred = sums[row + 2 * i] - Vector::new(mean);
            sums[row + 2 * i] = centred;
            let unit = comptime!(i as u32 * 8) + UNIT_POS % 4u32 * 2u32;
            let mut real = centred;
            if unit >= hidden {
                real = zero;
            } else if unit + 1u32 >= hidden {
                real.insert(1usize, 0.0f32);
            }
            square = fma(real, real, square);
        }
        let variance = sum_of_row(square.extract(0usize) + square.extract(1usize), scratch, key) * share;
        let scale = Vector::<f32, Const<2>>::new(1.0f32 / (variance + 1.0e-5f32).sqrt());
        #[unroll]
        for i in 0..comptime!(2 * tiles) {
            sums[row + 2 * i] *= scale;
        }
    }
    let width = comptime!(key.tiles as u32 * 16);
    #[unroll]
    for i in 0..comptime!(2 * tiles) {
        let unit = affine + comptime!(i as u32 * 8) + UNIT_POS % 4u32 * 2u32;
        let (gain, shift) = (two(biases, unit), two(biases, unit + width));
        #[unroll]
        for j in 0..comptime!(2 * key.rows) {
            let at = comptime!(j / 2 * tiles * 4 + j % 2 + 2 * i);
            sums[at] = fma(sums[at], gain, shift);
        }
    }
}

/// c_x x + c_f F of 16 outputs.
#[cube]
#[allow(clippy::too_many_arguments)]
fn leave<E: Float>(
    rows: &[f32],
    out: &mut [f32],
    net: &TensorNumbers,
    sizes: &TensorSizes,
    place: &Place,
    a: &Array<u32>,
    scratch: &mut Shared<[f32]>,
    #[comptime] key: TensorKey,
) {
    let tiles = key.tiles;
    let c_x = net.levels[3 * place.level as usize + 1];
    let c_f = net.levels[3 * place.level as usize + 2];
    let before = place.level % sizes.conditions * sizes.count;
    let mut sums = Array::<Vector<f32, Const<2>>>::new(comptime!(key.rows * 4));
    start(&mut sums, &net.biases, comptime!(tiles as u32 * 16) + place.index * 16u32, 1usize, key);
    #[unroll]
    for k in 0..tiles {
        let part = comptime!(Part { columns: 1, of: tiles, k });
        let from = Tiles { first: place.weights + comptime!(k as u32 * TILE), stride: 0u32.runtime() };
        multiply::<E>(&mut sums, a, &net.weights, &from, scratch, part, key);
    }
    #[unroll]
    for i in 0..comptime!(key.rows * 4) {
        let particle = place.first + comptime!(i as u32 / 4 * 16) + row_of(i % 4);
        let sum = sums[i];
        #[unroll]
        for e in 0..2usize {
            let k = place.index * 16u32 + column_of(i % 4) + (e as u32);
            if particle < sizes.count && k < sizes.outputs {
                let mut value = c_f * sum.extract(e);
                if c_x != 0.0f32 {
                    value = fma(c_x, rows[(particle * sizes.dim + k) as usize], value);
                }
                out[(sizes.out_first + (before + particle) * sizes.outputs + k) as usize] = value;
            }
        }
    }
}
