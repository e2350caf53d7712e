//! One chunk of particles through all layers.

use cubecl::prelude::*;

use super::Activation;
use crate::passes::{Sharing, block_stride, first_block, first_vector, number, vector_stride};
use crate::prims::activation::act;

/// What changes the generated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MlpKey {
    /// Rows of an activation buffer: the widest layer.
    pub width: usize,
    /// Vectors of particles in a chunk.
    pub vectors: usize,
    /// Output rows computed at once.
    pub tile: usize,
    /// Nonlinearity.
    pub activation: Activation,
    /// LayerNorm before the nonlinearity.
    pub norm: bool,
    /// Skip adds.
    pub skip: bool,
    /// Units share a chunk.
    pub sharing: Sharing,
}

/// Sizes, padded to whole tiles where said.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub struct Sizes {
    /// Particles.
    pub count: u32,
    /// Rows of the level tables to a level: a particle is answered under each.
    pub conditions: u32,
    /// Inputs.
    pub dim: u32,
    /// Hidden units.
    pub hidden: u32,
    /// Hidden units, padded.
    pub hidden_padded: u32,
    /// Hidden layers.
    pub layers: u32,
    /// Outputs.
    pub outputs: u32,
    /// Outputs, padded.
    pub outputs_padded: u32,
    /// Rows side by side in memory, hidden layers.
    pub pack: u32,
    /// Rows side by side in memory, last layer.
    pub pack_out: u32,
    /// First element written.
    pub out_first: u32,
    /// Level.
    pub level: u32,
}

/// Numbers of the network.
#[derive(CubeLaunch, CubeType)]
pub struct Numbers {
    /// Matrices one after another, each [rows / pack, columns, pack].
    pub weights: Box<[f32]>,
    /// b_in `[hidden padded]`, b_out `[outputs padded]`, then LayerNorm scale and shift a layer.
    pub biases: Box<[f32]>,
    /// Biases of the hidden layers, `[levels, conditions, layers, hidden padded]`.
    pub cond: Box<[f32]>,
    /// (c_in, c_x, c_f) a level and condition.
    pub levels: Box<[f32]>,
}

/// One matrix: where it starts, its columns and rows.
#[derive(CubeType, Clone, Copy)]
struct Matrix {
    first: u32,
    columns: u32,
    rows: u32,
    pack: u32,
    from: u32,
    into: u32,
}

/// See the pass page.
#[cube(launch)]
#[allow(clippy::manual_swap)]
pub fn mlp_kernel<L: Size>(
    rows: &[f32],
    out: &mut [f32],
    clock: &[u32],
    net: Numbers,
    sizes: Sizes,
    #[comptime] key: MlpKey,
) {
    let vectors = comptime!(key.vectors as u32);
    let half = comptime!((key.width * key.vectors) as u32);
    let private = comptime!(if key.sharing.together { 1 } else { key.sharing.units as usize });
    let mut memory = Shared::<[Vector<f32, L>]>::new_slice(comptime!(2 * key.width * key.vectors * private));
    let base = if comptime!(key.sharing.together) { 0u32.runtime() } else { UNIT_POS * 2u32 * half };
    let chunk = vectors * (L::value() as u32);
    let chunks = sizes.count.div_ceil(chunk);
    let level = number(sizes.level, clock) * sizes.conditions;
    let mut index = first_block(key.sharing);
    while index < chunks * sizes.conditions {
        let first = index % chunks * chunk;
        let row = level + index / chunks;
        take::<L>(rows, &mut memory, &sizes, first, base, net.levels[3 * row as usize], key);
        meet(key.sharing);
        let input = Matrix {
            first: 0u32.runtime(),
            columns: sizes.dim,
            rows: sizes.hidden_padded,
            pack: sizes.pack,
            from: base,
            into: base + half,
        };
        dense::<L>(&mut memory, &net.weights, &net.biases, 0u32.runtime(), &input, false, true, key);
        meet(key.sharing);
        let mut from = base + half;
        let mut into = base;
        let mut weights = sizes.dim * sizes.hidden_padded;
        for layer in 0..sizes.layers {
            let inner = Matrix {
                first: weights,
                columns: sizes.hidden_padded,
                rows: sizes.hidden_padded,
                pack: sizes.pack,
                from,
                into,
            };
            let bias = (row * sizes.layers + layer) * sizes.hidden_padded;
            let activate = comptime!(!key.norm);
            dense::<L>(&mut memory, &net.weights, &net.cond, bias, &inner, key.skip, activate, key);
            meet(key.sharing);
            if comptime!(key.norm) {
                normalise::<L>(&mut memory, &net.biases, &sizes, &inner, layer, key);
                meet(key.sharing);
            }
            weights += sizes.hidden_padded * sizes.hidden_padded;
            // `mem::swap` does not exist in a kernel.
            let read = from;
            from = into;
            into = read;
        }
        let last = Matrix {
            first: weights,
            columns: sizes.hidden_padded,
            rows: sizes.outputs_padded,
            pack: sizes.pack_out,
            from,
            into,
        };
        dense::<L>(&mut memory, &net.weights, &net.biases, sizes.hidden_padded, &last, false, false, key);
        meet(key.sharing);
        give::<L>(rows, out, &memory, &net, &sizes, row, first, into, key);
        meet(key.sharing);
        index += block_stride(key.sharing);
    }
}

#[cube]
fn meet(#[comptime] sharing: Sharing) {
    if comptime!(sharing.together) {
        sync_cube();
    }
}

/// The chunk's inputs, scaled, into the first buffer.
#[cube]
fn take<L: Size>(
    rows: &[f32],
    memory: &mut Shared<[Vector<f32, L>]>,
    sizes: &Sizes,
    first: u32,
    base: u32,
    c_in: f32,
    #[comptime] key: MlpKey,
) {
    let vectors = comptime!(key.vectors as u32);
    let mut item = first_vector(key.sharing);
    while item < sizes.dim * vectors {
        let k = item / vectors;
        let v = item - k * vectors;
        let mut x = Vector::<f32, L>::new(0.0f32);
        #[unroll]
        for lane in 0..L::value() {
            let particle = first + v * (L::value() as u32) + (lane as u32);
            if particle < sizes.count {
                x.insert(lane, rows[(particle * sizes.dim + k) as usize]);
            }
        }
        memory[(base + item) as usize] = x * Vector::new(c_in);
        item += vector_stride(key.sharing);
    }
}

/// into = [act](W from + bias) `[+ from]`, a tile of rows at a time.
#[cube]
#[allow(clippy::too_many_arguments)]
fn dense<L: Size>(
    memory: &mut Shared<[Vector<f32, L>]>,
    weights: &[f32],
    biases: &[f32],
    bias: u32,
    w: &Matrix,
    #[comptime] skip: bool,
    #[comptime] activate: bool,
    #[comptime] key: MlpKey,
) {
    let tile = comptime!(key.tile);
    let vectors = comptime!(key.vectors);
    let mut row = first_vector(key.sharing) * comptime!(tile as u32);
    while row < w.rows {
        let mut sums = Array::<Vector<f32, L>>::new(comptime!(tile * vectors));
        #[unroll]
        for r in 0..tile {
            #[unroll]
            for v in 0..vectors {
                sums[r * vectors + v] = Vector::new(biases[(bias + row) as usize + r]);
            }
        }
        let packed = row / w.pack;
        let own = w.first + packed * w.pack * w.columns + (row - packed * w.pack);
        for i in 0..w.columns {
            let at = (own + i * w.pack) as usize;
            let from = w.from as usize + i as usize * vectors;
            // Row by row: one weight and a column of vectors fit in registers beside the sums.
            let mut a = Array::<Vector<f32, L>>::new(vectors);
            #[unroll]
            for v in 0..vectors {
                a[v] = memory[from + v];
            }
            #[unroll]
            for r in 0..tile {
                let weight = Vector::new(weights[at + r]);
                #[unroll]
                for v in 0..vectors {
                    sums[r * vectors + v] = fma(weight, a[v], sums[r * vectors + v]);
                }
            }
        }
        #[unroll]
        for r in 0..tile {
            #[unroll]
            for v in 0..vectors {
                let cell = (row as usize + r) * vectors + v;
                let z = sums[r * vectors + v];
                let a = if comptime!(activate) { act::<L>(z, key.activation) } else { z };
                let kept = if comptime!(skip && activate) { a + memory[w.from as usize + cell] } else { a };
                memory[w.into as usize + cell] = kept;
            }
        }
        row += vector_stride(key.sharing) * comptime!(tile as u32);
    }
}

/// LayerNorm over the hidden units (eps 1e-5), then the nonlinearity and the skip.
#[cube]
fn normalise<L: Size>(
    memory: &mut Shared<[Vector<f32, L>]>,
    biases: &[f32],
    sizes: &Sizes,
    w: &Matrix,
    layer: u32,
    #[comptime] key: MlpKey,
) {
    let vectors = comptime!(key.vectors as u32);
    let affine = sizes.hidden_padded + sizes.outputs_padded + 2u32 * layer * sizes.hidden_padded;
    // One unit a vector of particles: both moments need every row.
    let mut v = first_vector(key.sharing);
    while v < vectors {
        let mut sum = Vector::<f32, L>::new(0.0f32);
        for i in 0..sizes.hidden {
            sum += memory[(w.into + i * vectors + v) as usize];
        }
        let share = Vector::new(1.0f32 / f32::cast_from(sizes.hidden));
        let mean = sum * share;
        let mut square = Vector::<f32, L>::new(0.0f32);
        for i in 0..sizes.hidden {
            let centred = memory[(w.into + i * vectors + v) as usize] - mean;
            square = fma(centred, centred, square);
        }
        let scale = Vector::new(1.0f32) / (fma(square, share, Vector::new(1.0e-5f32))).sqrt();
        for i in 0..sizes.hidden {
            let cell = i * vectors + v;
            let z = (memory[(w.into + cell) as usize] - mean) * scale;
            let gain = Vector::new(biases[(affine + i) as usize]);
            let shift = Vector::new(biases[(affine + sizes.hidden_padded + i) as usize]);
            let a = act::<L>(fma(z, gain, shift), key.activation);
            let kept = if comptime!(key.skip) { a + memory[(w.from + cell) as usize] } else { a };
            memory[(w.into + cell) as usize] = kept;
        }
        v += vector_stride(key.sharing);
    }
}

/// c_x x + c_f F into the rows of the output.
#[cube]
#[allow(clippy::too_many_arguments)]
fn give<L: Size>(
    rows: &[f32],
    out: &mut [f32],
    memory: &Shared<[Vector<f32, L>]>,
    net: &Numbers,
    sizes: &Sizes,
    row: u32,
    first: u32,
    from: u32,
    #[comptime] key: MlpKey,
) {
    let vectors = comptime!(key.vectors as u32);
    let c_x = net.levels[3 * row as usize + 1];
    let c_f = net.levels[3 * row as usize + 2];
    let before = row % sizes.conditions * sizes.count;
    let mut item = first_vector(key.sharing);
    while item < sizes.outputs * vectors {
        let k = item / vectors;
        let v = item - k * vectors;
        let f = memory[(from + item) as usize];
        #[unroll]
        for lane in 0..L::value() {
            let particle = first + v * (L::value() as u32) + (lane as u32);
            if particle < sizes.count {
                let mut value = c_f * f.extract(lane);
                if c_x != 0.0f32 {
                    value = fma(c_x, rows[(particle * sizes.dim + k) as usize], value);
                }
                out[(sizes.out_first + (before + particle) * sizes.outputs + k) as usize] = value;
            }
        }
        item += vector_stride(key.sharing);
    }
}
