//! Check, pack, configure, launch; in f32. Tiles for tensor cores: `launch_tensor.rs`.

use super::kernel::{MlpKey, NumbersLaunch, SizesLaunch, mlp_kernel};
use super::launch_tensor::{Tiles, choose};
use super::{Activation, Compute, Half};
use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::passes::{Number, Sharing, Work};

/// A linear layer: `weight` `[rows, columns]` row-major, `bias` `[rows]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    /// Row-major weights.
    pub weight: Vec<f32>,
    /// Biases.
    pub bias: Vec<f32>,
}

/// What a dense network looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Inputs.
    pub dim: usize,
    /// Hidden units, 16 to 512.
    pub hidden: usize,
    /// Hidden layers.
    pub layers: usize,
    /// Outputs.
    pub outputs: usize,
    /// Nonlinearity.
    pub activation: Activation,
    /// LayerNorm before it.
    pub norm: bool,
    /// Skip adds.
    pub skip: bool,
}

/// The numbers of a network.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a> {
    /// `[hidden, dim]`.
    pub input: &'a Dense,
    /// Weights of the hidden layers, `[hidden, hidden]` each.
    pub hidden: &'a [Vec<f32>],
    /// LayerNorm's (scale, shift) a layer, where the shape has norms.
    pub norms: &'a [(Vec<f32>, Vec<f32>)],
    /// `[outputs, hidden]`.
    pub output: &'a Dense,
    /// Biases of the hidden layers, `[layers, hidden]`, for each level.
    pub cond: &'a [Vec<f32>],
    /// (c_in, c_x, c_f) of each level.
    pub levels: &'a [[f32; 3]],
}

/// A network on a device.
#[derive(Clone, Debug)]
pub struct Network {
    pub(super) shape: Shape,
    matrices: Matrices,
    pub(super) biases: Buf<f32>,
    pub(super) cond: Buf<f32>,
    pub(super) levels: Buf<f32>,
    pub(super) spare: Buf<u32>,
    /// Levels, and rows of the level tables to each.
    count: usize,
    pub(super) conditions: usize,
}

/// Weights as their kernel wants them.
#[derive(Clone, Debug)]
enum Matrices {
    Rows(Buf<f32>),
    Tiles(Tiles),
}

const LANES: usize = 4;
const TILE: usize = 8;

/// Rows of the widest layer and of the padded layers.
fn padded(n: usize) -> usize {
    n.next_multiple_of(TILE)
}

/// [rows / pack, columns, pack], rows and columns padded with zeros.
fn pack(
    weight: &[f32],
    rows: usize,
    columns: usize,
    all_rows: usize,
    all_columns: usize,
    pack: usize,
) -> Vec<f32> {
    let mut out = vec![0.0; all_rows * all_columns];
    for row in 0..rows {
        for column in 0..columns {
            let at = row / pack * pack * all_columns + column * pack + row % pack;
            out[at] = weight[row * columns + column];
        }
    }
    out
}

/// `v` with zeros up to `n` numbers.
fn grown(v: &[f32], n: usize) -> Vec<f32> {
    let mut v = v.to_vec();
    v.resize(n, 0.0);
    v
}

impl Numbers<'_> {
    /// Refuses what is not of the shape.
    fn check(&self, shape: &Shape) -> Result<()> {
        let (h, d, o) = (shape.hidden, shape.dim, shape.outputs);
        if !(1..=512).contains(&h) {
            return Err(argument("hidden units", h, "1 to 512"));
        }
        for (what, found, wanted) in [
            ("input weights", self.input.weight.len(), h * d),
            ("hidden layers", self.hidden.len(), shape.layers),
            ("output weights", self.output.weight.len(), h * o),
            ("norms", self.norms.len(), if shape.norm { shape.layers } else { 0 }),
            ("levels", self.levels.len(), self.cond.len()),
        ] {
            if found != wanted {
                return Err(argument(what, found, wanted));
            }
        }
        if d * h > 1 << 24 || o * h > 1 << 24 {
            return Err(argument("network inputs and outputs", d.max(o), "at most 2^24 weights a layer"));
        }
        match self.cond.iter().find(|level| level.len() != shape.layers * h) {
            Some(level) => Err(argument("conditioning of a level", level.len(), shape.layers * h)),
            None => Ok(()),
        }
    }

    /// Every weight of a matrix.
    pub(super) fn weights(&self) -> impl Iterator<Item = f32> {
        let matrices = [&self.input.weight, &self.output.weight].into_iter().chain(self.hidden);
        matrices.flatten().copied()
    }
}

impl Network {
    /// Uploads a network, to be computed in `compute`.
    pub fn new(device: &Device, shape: Shape, numbers: &Numbers, compute: Compute) -> Result<Self> {
        numbers.check(&shape)?;
        if let Some(half) = choose(device, &shape, numbers, compute)? {
            let tiles = Tiles::new(device, &shape, numbers, half, true)?;
            return Self::with(device, shape, numbers, Matrices::Tiles(tiles));
        }
        let (h, d, o) = (shape.hidden, shape.dim, shape.outputs);
        let (hp, op) = (padded(h), padded(o));
        let wide = |rows: usize| if device.is_cpu() { TILE } else { rows };
        let mut weights = pack(&numbers.input.weight, h, d, hp, d, wide(hp));
        for layer in numbers.hidden {
            weights.extend(pack(layer, h, h, hp, hp, wide(hp)));
        }
        weights.extend(pack(&numbers.output.weight, o, h, op, hp, wide(op)));
        let rows = device.upload("network weights", &weights)?;
        Self::with(device, shape, numbers, Matrices::Rows(rows))
    }

    /// The kernel of tensor cores where there are none: units multiply the same tiles. For tests: slow.
    #[doc(hidden)]
    pub fn without_cores(device: &Device, shape: Shape, numbers: &Numbers, half: Half) -> Result<Self> {
        numbers.check(&shape)?;
        let tiles = Tiles::new(device, &shape, numbers, half, false)?;
        Self::with(device, shape, numbers, Matrices::Tiles(tiles))
    }

    fn with(device: &Device, shape: Shape, numbers: &Numbers, matrices: Matrices) -> Result<Self> {
        let whole = if let Matrices::Tiles(_) = matrices { 16 } else { TILE };
        let (hp, op) = (shape.hidden.next_multiple_of(whole), shape.outputs.next_multiple_of(whole));
        let mut biases = grown(&numbers.input.bias, hp);
        biases.extend(grown(&numbers.output.bias, op));
        for (scale, shift) in numbers.norms {
            biases.extend(grown(scale, hp));
            biases.extend(grown(shift, hp));
        }
        let layers = numbers.cond.iter().flat_map(|level| level.chunks(shape.hidden));
        let rows: Vec<f32> = layers.flat_map(|layer| grown(layer, hp)).collect();
        Ok(Self {
            shape,
            matrices,
            biases: device.upload("network biases", &biases)?,
            cond: device.upload("network conditioning", &rows)?,
            levels: device.upload("network levels", &numbers.levels.concat())?,
            spare: device.empty("network level", 1)?,
            count: numbers.levels.len(),
            conditions: 1,
        })
    }

    /// The same with `conditions` rows of the level tables to a level. A launch answers under each of them, one after
    /// another: `[conditions, count, outputs]`.
    pub fn under(mut self, conditions: usize) -> Result<Self> {
        if conditions == 0 || !self.count.is_multiple_of(conditions) {
            return Err(argument("conditions", conditions, format!("a divisor of {} levels", self.count)));
        }
        (self.count, self.conditions) = (self.count / conditions, self.conditions * conditions);
        Ok(self)
    }

    /// What it is computed in; never [`Compute::Auto`].
    pub fn compute(&self) -> Compute {
        match &self.matrices {
            Matrices::Rows(_) => Compute::F32,
            Matrices::Tiles(tiles) => Compute::Tensor(tiles.half),
        }
    }

    /// Evaluates `count` particles of `rows` `[count, dim]` at level `level` into `out`
    /// `[count, outputs]`, under each condition, from element `first` on.
    pub fn launch<'a>(
        &'a self,
        device: &Device,
        rows: &Buf<f32>,
        out: &Buf<f32>,
        first: usize,
        count: usize,
        level: impl Into<Number<'a>>,
    ) -> Result<()> {
        let level = level.into();
        let s = self.shape;
        if count == 0 || rows.len() < count * s.dim || out.len() < first + self.conditions * count * s.outputs
        {
            return Err(argument("network rows", rows.len().min(out.len()), format!("{count} particles")));
        }
        // Where the number is kept, whoever keeps it minds the levels.
        if let Number::Given(level) = level
            && level >= self.count
        {
            return Err(argument("level", level, format!("below {}", self.count)));
        }
        let weights = match &self.matrices {
            Matrices::Rows(weights) => weights,
            Matrices::Tiles(tiles) => {
                tiles.launch(self, device, rows, out, [first, count], level)?;
                return device.launched(self.work(count));
            }
        };
        let (hp, op) = (padded(s.hidden), padded(s.outputs));
        let width = hp.max(s.dim).max(op);
        let sharing = Sharing { together: !device.is_cpu(), units: device.units() };
        let (lanes, tile, vectors) = if device.is_cpu() {
            (device.lanes(), TILE, 3)
        } else {
            // Two buffers of `width` rows within the smallest shared memory of a backend, 32 KiB;
            // two less for what else a driver keeps there.
            let most = (30 * 1024) / (2 * width * LANES * 4);
            (LANES, 1, most.clamp(1, 4))
        };
        let key =
            MlpKey { width, vectors, tile, activation: s.activation, norm: s.norm, skip: s.skip, sharing };
        let chunks = self.conditions * count.div_ceil(lanes * vectors);
        mlp_kernel::launch(
            device.client(),
            sharing.cubes(device, chunks),
            sharing.dim(),
            lanes,
            rows.arg(),
            out.arg(),
            level.cell(&self.spare).arg(),
            NumbersLaunch::new(weights.arg(), self.biases.arg(), self.cond.arg(), self.levels.arg()),
            SizesLaunch::new(
                count as u32,
                self.conditions as u32,
                s.dim as u32,
                s.hidden as u32,
                hp as u32,
                s.layers as u32,
                s.outputs as u32,
                op as u32,
                if device.is_cpu() { TILE } else { hp } as u32,
                if device.is_cpu() { TILE } else { op } as u32,
                first as u32,
                level.word(),
            ),
            key,
        );
        device.launched(self.work(count))
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.weight_bytes() + self.biases.bytes() + self.cond.bytes() + self.levels.bytes()
    }

    fn weight_bytes(&self) -> u64 {
        match &self.matrices {
            Matrices::Rows(weights) => weights.bytes(),
            Matrices::Tiles(tiles) => tiles.words.bytes(),
        }
    }

    /// What `count` particles have to move: rows in, rows out, the weights once.
    pub fn work(&self, count: usize) -> Work {
        let read = 4 * (count * self.shape.dim) as u64;
        let written = 4 * (self.conditions * count * self.shape.outputs) as u64;
        Work { read: read + self.weight_bytes(), written }
    }
}
