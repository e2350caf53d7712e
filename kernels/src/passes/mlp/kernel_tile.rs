//! Tiles of 16 x 16 numbers in the registers of a plane of 32 units, as tensor cores take them.
//!
//! With g = unit / 4 and t = unit % 4, word r = 0..3 of a unit holds row g + 8 (r mod 2) and columns
//! 2 t + 8 (r / 2) + 0, 1 of a tile of activations: two numbers of 16 bits. Sums, two of f32, lie the
//! same way, so that what one layer has summed is what the next multiplies, with no unit asking another.
//! A tile of weights W `[16 outputs, 16 inputs]` is 64 vectors of two words: word i of vector 32 h + u, for
//! unit u, holds output 8 h + u / 4 and inputs 2 (u % 4) + 8 i + 0, 1. (PTX ISA, `mma.m16n8k16`.)

use cubecl::cmma::MmaDefinition;
use cubecl::prelude::*;

use super::{Activation, Half};

/// Units of a plane.
pub const PLANE: u32 = 32;
/// Vectors of a tile of weights.
pub const TILE: u32 = 64;

/// What changes the generated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TensorKey {
    /// Hidden units, in tiles.
    pub tiles: usize,
    /// Particles of a plane, in tiles.
    pub rows: usize,
    /// Planes of a cube.
    pub planes: u32,
    /// What is multiplied.
    pub half: Half,
    /// Tensor cores multiply; else the units themselves do, over the same tiles, which runs anywhere.
    pub cores: bool,
    /// Nonlinearity.
    pub activation: Activation,
    /// LayerNorm before the nonlinearity.
    pub norm: bool,
    /// Skip adds.
    pub skip: bool,
}

impl TensorKey {
    /// Numbers of the memory in which planes without tensor cores show each other their tiles.
    pub fn scratch(&self) -> usize {
        if self.cores { 1 } else { self.planes as usize * self.rows * 256 }
    }

    /// Tiles of outputs of a hidden layer summed at once: all for LayerNorm; else two, or one where they are
    /// odd or where activations leave no registers for more.
    pub fn columns(&self) -> usize {
        if self.norm {
            self.tiles
        } else if self.tiles > 8 {
            1
        } else {
            2 - self.tiles % 2
        }
    }
}

/// Which tiles a product takes: of `of` tiles a row of activations the `k`-th, for `columns` tiles of sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// Tiles of sums side by side.
    pub columns: usize,
    /// Tiles of activations side by side.
    pub of: usize,
    /// Which of them.
    pub k: usize,
}

/// Where tiles of weights lie, in vectors: the first, and the step to the one of the next column.
#[derive(CubeType, Clone, Copy)]
pub struct Tiles {
    /// The first.
    pub first: u32,
    /// From column to column.
    pub stride: u32,
}

/// Row inside a tile of word `r` of this unit.
#[cube]
pub fn row_of(#[comptime] r: usize) -> u32 {
    UNIT_POS % PLANE / 4u32 + comptime!(8 * (r as u32 % 2))
}

/// First of the two columns inside a tile of word `r` of this unit.
#[cube]
pub fn column_of(#[comptime] r: usize) -> u32 {
    UNIT_POS % 4u32 * 2u32 + comptime!(8 * (r as u32 / 2))
}

/// Rounds two numbers into a word. Without tensor cores by integers, as the type may not exist; subnormal
/// numbers of f16 may come out as 0 there.
#[cube]
pub fn pack<E: Float>(x: Vector<f32, Const<2>>, #[comptime] key: TensorKey) -> u32 {
    if comptime!(key.cores) {
        u32::reinterpret(Vector::<E, Const<2>>::cast_from(x))
    } else if comptime!(key.half == Half::Bf16) {
        let bits = Vector::<u32, Const<2>>::reinterpret(x);
        let odd = (bits >> Vector::new(16u32)) & Vector::new(1u32);
        let rounded = (bits + Vector::new(0x7fffu32) + odd) >> Vector::new(16u32);
        rounded.extract(0usize) | (rounded.extract(1usize) << 16u32)
    } else {
        // 2^-112 takes f16's exponents to f32's.
        let bits = Vector::<u32, Const<2>>::reinterpret(x * Vector::new(1.925_93e-34f32));
        let size = bits & Vector::new(0x7fff_ffffu32);
        let odd = (size >> Vector::new(13u32)) & Vector::new(1u32);
        let rounded = (size + Vector::new(0xfffu32) + odd) >> Vector::new(13u32);
        let signed = rounded | ((bits >> Vector::new(16u32)) & Vector::new(0x8000u32));
        signed.extract(0usize) | (signed.extract(1usize) << 16u32)
    }
}

/// The two numbers of a word.
#[cube]
pub fn unpack<E: Float>(word: u32, #[comptime] key: TensorKey) -> Vector<f32, Const<2>> {
    if comptime!(key.cores) {
        Vector::<f32, Const<2>>::cast_from(Vector::<E, Const<2>>::reinterpret(word))
    } else {
        let mut bits = Vector::<u32, Const<2>>::new(word & 0xffffu32);
        bits.insert(1usize, word >> 16u32);
        if comptime!(key.half == Half::Bf16) {
            Vector::<f32, Const<2>>::reinterpret(bits << Vector::new(16u32))
        } else {
            let size = (bits & Vector::new(0x7fffu32)) << Vector::new(13u32);
            let sign = (bits & Vector::new(0x8000u32)) << Vector::new(16u32);
            Vector::<f32, Const<2>>::reinterpret(size | sign) * Vector::new(5.192_297e33f32)
        }
    }
}

/// Two numbers of a table that is as long as whole tiles.
#[cube]
pub fn two(table: &[f32], at: u32) -> Vector<f32, Const<2>> {
    let mut pair = Vector::<f32, Const<2>>::new(table[at as usize]);
    pair.insert(1usize, table[at as usize + 1]);
    pair
}

/// sums += a W^T for one tile of inputs, every tile of rows and `part.columns` tiles of outputs.
#[cube]
pub fn multiply<E: Float>(
    sums: &mut Array<Vector<f32, Const<2>>>,
    a: &Array<u32>,
    weights: &[Vector<u32, Const<2>>],
    tiles: &Tiles,
    scratch: &mut Shared<[f32]>,
    #[comptime] part: Part,
    #[comptime] key: TensorKey,
) {
    if comptime!(key.cores) {
        let mma = MmaDefinition::<E, E, f32>::new(16usize, 8usize, 16usize);
        let own = tiles.first + UNIT_POS % PLANE;
        #[unroll]
        for c in 0..part.columns {
            #[unroll]
            for h in 0..2usize {
                let at = own + (c as u32) * tiles.stride + comptime!(h as u32 * PLANE);
                let words = weights[at as usize];
                let mut right = Array::<Vector<E, Const<2>>>::new(2usize);
                right[0] = Vector::<E, Const<2>>::reinterpret(words.extract(0usize));
                right[1] = Vector::<E, Const<2>>::reinterpret(words.extract(1usize));
                #[unroll]
                for m in 0..key.rows {
                    let mut left = Array::<Vector<E, Const<2>>>::new(4usize);
                    #[unroll]
                    for r in 0..4usize {
                        left[r] = Vector::<E, Const<2>>::reinterpret(a[(m * part.of + part.k) * 4 + r]);
                    }
                    let at = (m * part.columns + c) * 4 + 2 * h;
                    let mut sum = Array::<Vector<f32, Const<2>>>::new(2usize);
                    sum[0] = sums[at];
                    sum[1] = sums[at + 1];
                    mma.execute_inplace(&left, &right, &mut sum);
                    sums[at] = sum[0];
                    sums[at + 1] = sum[1];
                }
            }
        }
    } else {
        let own = UNIT_POS / PLANE * comptime!((key.rows * 256) as u32);
        #[unroll]
        for m in 0..key.rows {
            #[unroll]
            for r in 0..4usize {
                let pair = unpack::<E>(a[(m * part.of + part.k) * 4 + r], key);
                let cell = own + comptime!(m as u32 * 256) + row_of(r) * 16u32 + column_of(r);
                scratch[cell as usize] = pair.extract(0usize);
                scratch[cell as usize + 1] = pair.extract(1usize);
            }
        }
        sync_cube();
        multiply_plain::<E>(sums, weights, tiles, scratch, part, key);
        sync_cube();
    }
}

/// What tensor cores do, by each unit for its own sums.
#[cube]
fn multiply_plain<E: Float>(
    sums: &mut Array<Vector<f32, Const<2>>>,
    weights: &[Vector<u32, Const<2>>],
    tiles: &Tiles,
    scratch: &mut Shared<[f32]>,
    #[comptime] part: Part,
    #[comptime] key: TensorKey,
) {
    let own = UNIT_POS / PLANE * comptime!((key.rows * 256) as u32);
    // Column 2 t + e of a half tile is output 2 t + e, whose weights units 4 (2 t + e) + q hold.
    let holder = tiles.first + UNIT_POS % 4u32 * 8u32;
    for q in 0..4u32 {
        #[unroll]
        for c in 0..part.columns {
            #[unroll]
            for h in 0..2usize {
                let at = holder + (c as u32) * tiles.stride + comptime!(h as u32 * PLANE) + q;
                let (first, second) = (weights[at as usize], weights[at as usize + 4]);
                #[unroll]
                for i in 0..2usize {
                    let one = unpack::<E>(first.extract(i), key);
                    let other = unpack::<E>(second.extract(i), key);
                    #[unroll]
                    for j in 0..comptime!(2 * key.rows) {
                        let row = row_of(j % 2) + comptime!(j as u32 / 2 * 16);
                        let cell = (own + row * 16u32 + comptime!(i as u32 * 8) + 2u32 * q) as usize;
                        let (x, y) = (scratch[cell], scratch[cell + 1]);
                        let sum = (comptime!(j / 2) * part.columns + c) * 4 + 2 * h + comptime!(j % 2);
                        let mut found = sums[sum];
                        let first = fma(one.extract(0usize), x, found.extract(0usize));
                        let second = fma(other.extract(0usize), x, found.extract(1usize));
                        found.insert(0usize, fma(one.extract(1usize), y, first));
                        found.insert(1usize, fma(other.extract(1usize), y, second));
                        sums[sum] = found;
                    }
                }
            }
        }
    }
}

/// The sum over the four units that share a row.
#[cube]
pub fn sum_of_row(x: f32, scratch: &mut Shared<[f32]>, #[comptime] key: TensorKey) -> f32 {
    if comptime!(key.cores) {
        let two = x + plane_shuffle_xor(x, 1u32);
        two + plane_shuffle_xor(two, 2u32)
    } else {
        scratch[UNIT_POS as usize] = x;
        sync_cube();
        let first = (UNIT_POS - UNIT_POS % 4u32) as usize;
        let sum = (scratch[first] + scratch[first + 1]) + (scratch[first + 2] + scratch[first + 3]);
        sync_cube();
        sum
    }
}

/// The nonlinearity, relative error of its sigmoid below 2^-16: less than what rounding to f16 adds.
#[cube]
pub fn act(z: Vector<f32, Const<2>>, #[comptime] kind: Activation) -> Vector<f32, Const<2>> {
    match comptime!(kind) {
        Activation::Silu => z * sigmoid(z),
        Activation::Gelu => {
            // 1 + tanh(y) = 2 sigmoid(2 y)
            let inner = fma(z * z * z, Vector::new(0.044_715f32), z);
            z * sigmoid(inner * Vector::new(1.595_769_f32))
        }
        Activation::Tanh => fma(sigmoid(z + z), Vector::new(2.0f32), Vector::new(-1.0f32)),
        Activation::Relu => {
            let zero = Vector::new(0.0f32);
            select_many(z.greater_than(&zero), z, zero)
        }
    }
}

/// 1 / (1 + exp(-z)), both by one reciprocal: b / (a b) and a / (a b).
#[cube]
fn sigmoid(z: Vector<f32, Const<2>>) -> Vector<f32, Const<2>> {
    // exp(40) squared is still a number.
    let t = (Vector::new(0.0f32) - z).min(Vector::new(40.0f32)).exp() + Vector::new(1.0f32);
    let (a, b) = (t.extract(0usize), t.extract(1usize));
    let share = reciprocal(a * b);
    let mut out = Vector::<f32, Const<2>>::new(b * share);
    out.insert(1usize, a * share);
    out
}

/// 1 / d for d in [1, 2^120]; relative error below 2^-17. A guess from the bits, 5 % off, and two steps of
/// Newton's: five instructions, where a division takes more than ten.
#[cube]
fn reciprocal(d: f32) -> f32 {
    let y = f32::reinterpret(0x7ef3_11c7u32 - u32::reinterpret(d));
    let y = y * fma(0.0f32 - d, y, 2.0f32);
    y * fma(0.0f32 - d, y, 2.0f32)
}
