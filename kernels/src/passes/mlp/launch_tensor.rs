//! Tiles for tensor cores: who has them, packing, launch.

use cubecl::ir::features::{MmaConfig, Plane};
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::*;
use half::{bf16, f16};

use super::kernel_tensor::{TensorNumbersLaunch, TensorSizesLaunch, tensor_kernel};
use super::kernel_tile::{PLANE, TensorKey};
use super::{Compute, Half, MlpShape, Network, Numbers};
use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::passes::Number;

/// The widest hidden layer whose activations fit into the registers of a plane.
pub const MAX_WIDTH: usize = 256;
/// Rows and columns of a tile.
const SIDE: usize = 16;
/// Words of a tile.
const WORDS: usize = SIDE * SIDE / 2;
/// Planes of a cube: few, so that many cubes of many registers fit on a multiprocessor.
pub(crate) const PLANES: u32 = 4;
/// Tiles of activations of a plane: 4 registers a unit each, and as many again of the next layer.
const MOST_TILES: usize = 16;
/// With LayerNorm the f32 sums of a whole layer wait for its mean: 8 registers a unit more.
const MOST_WITH_NORM: usize = 8;

/// Weights in tiles, on a device.
#[derive(Clone, Debug)]
pub(super) struct Tiles {
    pub(super) words: Buf<u32>,
    pub(super) half: Half,
    cores: bool,
}

/// Whether the device multiplies tiles of 16 x 8 x 16 of this type and adds them in f32.
fn offers(device: &Device, half: Half) -> bool {
    let kind = ElemType::Float(match half {
        Half::F16 => FloatKind::F16,
        Half::Bf16 => FloatKind::BF16,
    });
    let sum = ElemType::Float(FloatKind::F32);
    let config = MmaConfig { a_type: kind, b_type: kind, cd_type: sum, m: 16, n: 8, k: 16 };
    let properties = device.client().properties();
    properties.features.matmul.mma.contains(&config)
        && properties.features.plane.contains(Plane::Ops)
        && properties.hardware.plane_size_min == PLANE
        && properties.hardware.plane_size_max == PLANE
}

/// The type tensor cores are to multiply, or `None` for f32. Refuses what was asked for by name and
/// cannot be had.
pub(super) fn choose(
    device: &Device,
    shape: &MlpShape,
    numbers: &Numbers,
    compute: Compute,
) -> Result<Option<Half>> {
    let fits = shape.hidden <= MAX_WIDTH;
    match compute {
        Compute::F32 => Ok(None),
        Compute::Tensor(half) if !offers(device, half) => {
            let found = format!("{half} on {} '{}'", device.backend(), device.name());
            let wanted = format!("auto, f32, or a device whose tensor cores multiply {half} and add in f32");
            Err(argument("compute", found, wanted))
        }
        Compute::Tensor(half) if !fits => {
            let found = format!("{half} with {} hidden units", shape.hidden);
            Err(argument("compute", found, format!("auto, f32, or at most {MAX_WIDTH} hidden units")))
        }
        Compute::Tensor(half) => Ok(Some(half)),
        Compute::Auto => {
            let exact = |half: &Half| numbers.weights().all(|w| half.round(w) == w);
            Ok(Half::ALL.into_iter().filter(|half| fits && offers(device, *half)).find(exact))
        }
    }
}

/// Where the two numbers of word `word` of a tile lie: row, and the first of two columns.
fn cell(word: usize) -> (usize, usize) {
    let (half, unit, i) = (word / 64, word / 2 % 32, word % 2);
    (half * 8 + unit / 4, i * 8 + unit % 4 * 2)
}

/// Tiles `[rows / 16, columns / 16]` of a matrix `[rows, columns]`, padded with zeros; `number` says the
/// bits of a weight.
fn pack(weight: &[f32], rows: usize, columns: usize, number: impl Fn(f32) -> u16) -> Vec<u32> {
    let at = |row: usize, column: usize| {
        let inside = row < rows && column < columns;
        u32::from(if inside { number(weight[row * columns + column]) } else { 0 })
    };
    let across = columns.div_ceil(SIDE);
    let words = (0..rows.div_ceil(SIDE) * across).flat_map(|tile| {
        (0..WORDS).map(move |word| {
            let (row, column) = cell(word);
            (tile / across * SIDE + row, tile % across * SIDE + column)
        })
    });
    words.map(|(row, column)| at(row, column) | at(row, column + 1) << 16).collect()
}

/// What a shape is compiled for.
pub(crate) fn key(shape: &MlpShape, half: Half, cores: bool) -> TensorKey {
    let tiles = shape.hidden.div_ceil(SIDE);
    TensorKey {
        tiles,
        rows: (if shape.norm { MOST_WITH_NORM } else { MOST_TILES } / tiles).clamp(1, 2),
        planes: if cores { PLANES } else { 2 },
        half,
        cores,
        activation: shape.activation,
        norm: shape.norm,
        skip: shape.skip,
    }
}

impl Tiles {
    /// Packs and uploads: W_in, what rounding left of it, hidden layers, W_out.
    pub(super) fn new(
        device: &Device,
        shape: &MlpShape,
        numbers: &Numbers,
        half: Half,
        cores: bool,
    ) -> Result<Self> {
        let (h, d, o) = (shape.hidden, shape.dim, shape.outputs);
        let input = &numbers.input.weight;
        if h > MAX_WIDTH {
            return Err(argument("hidden units", h, format!("at most {MAX_WIDTH}")));
        }
        let largest = numbers.weights().map(f32::abs).fold(0.0, f32::max);
        if !half.round(largest).is_finite() {
            return Err(argument("compute", format!("{half} with a weight of {largest}"), "bf16 or f32"));
        }
        let mut words = pack(input, h, d, |w| half.bits(w));
        words.extend(pack(input, h, d, |w| half.bits(w - half.round(w))));
        for layer in numbers.hidden {
            words.extend(pack(layer, h, h, |w| half.bits(w)));
        }
        words.extend(pack(&numbers.output.weight, o, h, |w| half.bits(w)));
        Ok(Self { words: device.upload("network weights", &words)?, half, cores })
    }

    /// `[first, count]` and `level` as in [`Network::launch`], which has checked them.
    pub(super) fn launch(
        &self,
        network: &Network,
        device: &Device,
        rows: &Buf<f32>,
        out: &Buf<f32>,
        [first, count]: [usize; 2],
        level: Number<'_>,
    ) -> Result<()> {
        let s = network.shape;
        let key = key(&s, self.half, self.cores);
        let units = key.planes * PLANE;
        if units > device.units() {
            return Err(argument("units of a cube", device.units(), format!("at least {units}")));
        }
        let chunks = network.conditions * count.div_ceil(key.planes as usize * key.rows * SIDE);
        let cubes = CubeCount::Static(chunks.clamp(1, 65_535) as u32, 1, 1);
        let net = TensorNumbersLaunch::new(
            self.words.arg(),
            network.biases.arg(),
            network.cond.arg(),
            network.levels.arg(),
        );
        let numbers =
            [count, network.conditions, s.dim, s.hidden, s.layers, s.outputs, first].map(|n| n as u32);
        let [count, conditions, dim, hidden, layers, outputs, first] = numbers;
        let sizes =
            TensorSizesLaunch::new(count, conditions, dim, hidden, layers, outputs, first, level.word());
        let (client, dim) = (device.client(), CubeDim::new_1d(units));
        let launch = match self.half {
            // Units make either type by integers.
            _ if !self.cores => tensor_kernel::launch::<f32>,
            Half::F16 => tensor_kernel::launch::<f16>,
            Half::Bf16 => tensor_kernel::launch::<bf16>,
        };
        let cell = level.cell(&network.spare).arg();
        launch(client, cubes, dim, rows.arg(), out.arg(), cell, net, sizes, key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_hold_every_rounded_weight_once() {
        for half in Half::ALL {
            for (rows, columns) in [(1, 1), (16, 16), (17, 2), (48, 33), (128, 128)] {
                let weight: Vec<f32> =
                    (0..rows * columns).map(|i| ((i * 7919 % 4001) as f32 - 2000.3) / 999.0).collect();
                let words = pack(&weight, rows, columns, |w| half.bits(w));
                let (down, across) = (rows.div_ceil(16), columns.div_ceil(16));
                assert_eq!(words.len(), down * across * 128);
                let mut seen = vec![None; down * across * 256];
                for (i, word) in words.iter().enumerate() {
                    // PTX ISA, B of m16n8k16: register i of a unit has k = 2 (unit % 4) + 8 i, n = unit / 4.
                    let (tile, eight, unit, which) = (i / 128, i / 64 % 2, i / 2 % 32, i % 2);
                    let row = tile / across * 16 + eight * 8 + unit / 4;
                    let column = tile % across * 16 + which * 8 + unit % 4 * 2;
                    for (e, bits) in [(*word & 0xffff) as u16, (*word >> 16) as u16].into_iter().enumerate() {
                        let cell = &mut seen[row * across * 16 + column + e];
                        assert_eq!(cell.replace(half.number(bits)), None, "twice");
                    }
                }
                for (i, found) in seen.iter().enumerate() {
                    let (row, column) = (i / (across * 16), i % (across * 16));
                    let inside = row < rows && column < columns;
                    let wanted = if inside { half.round(weight[row * columns + column]) } else { 0.0 };
                    assert_eq!(*found, Some(wanted), "{half}, {rows} x {columns}: {row}, {column}");
                }
            }
        }
    }

    #[test]
    fn numbers_of_16_bits_are_rounded_to_the_nearest() {
        assert_eq!(Half::Bf16.round(1.0 + 1.0 / 256.0), 1.0, "a tie to even");
        assert_eq!(Half::Bf16.round(1.0 + 3.0 / 256.0), 1.0 + 4.0 / 256.0);
        assert_eq!(Half::F16.round(1.0 + 1.1 / 2048.0), 1.0 + 1.0 / 1024.0);
        assert_eq!(Half::F16.round(70_000.0), f32::INFINITY);
        assert_eq!(Half::Bf16.round(1.0e30), half::bf16::from_f32(1.0e30).to_f32());
    }
}
