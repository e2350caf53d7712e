//! Pack, check, configure, launch.

use super::Activation;
use super::kernel::{MlpKey, NumbersLaunch, SizesLaunch, mlp_kernel};
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

/// A network on a device.
#[derive(Clone, Debug)]
pub struct Network {
    shape: Shape,
    weights: Buf<f32>,
    biases: Buf<f32>,
    cond: Buf<f32>,
    levels: Buf<f32>,
    spare: Buf<u32>,
    count: usize,
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

impl Network {
    /// Uploads a network. `norms` holds (scale, shift) a layer where the shape has norms. `cond`
    /// holds the biases of the hidden layers `[layers, hidden]` for each level, and `levels` its
    /// (c_in, c_x, c_f).
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        device: &Device,
        shape: Shape,
        input: &Dense,
        hidden: &[Vec<f32>],
        norms: &[(Vec<f32>, Vec<f32>)],
        output: &Dense,
        cond: &[Vec<f32>],
        levels: &[[f32; 3]],
    ) -> Result<Self> {
        let (h, d, o) = (shape.hidden, shape.dim, shape.outputs);
        if !(1..=512).contains(&h) {
            return Err(argument("hidden units", h, "1 to 512"));
        }
        for (what, found, wanted) in [
            ("input weights", input.weight.len(), h * d),
            ("hidden layers", hidden.len(), shape.layers),
            ("output weights", output.weight.len(), h * o),
            ("norms", norms.len(), if shape.norm { shape.layers } else { 0 }),
            ("levels", levels.len(), cond.len()),
        ] {
            if found != wanted {
                return Err(argument(what, found, wanted));
            }
        }
        if d * h > 1 << 24 || o * h > 1 << 24 {
            return Err(argument("network inputs and outputs", d.max(o), "at most 2^24 weights a layer"));
        }
        let (hp, op) = (padded(h), padded(o));
        let wide = |rows: usize| if device.is_cpu() { TILE } else { rows };
        let mut weights = pack(&input.weight, h, d, hp, d, wide(hp));
        for layer in hidden {
            weights.extend(pack(layer, h, h, hp, hp, wide(hp)));
        }
        weights.extend(pack(&output.weight, o, h, op, hp, wide(op)));
        let grown = |v: &[f32], n: usize| {
            let mut v = v.to_vec();
            v.resize(n, 0.0);
            v
        };
        let mut biases = grown(&input.bias, hp);
        biases.extend(grown(&output.bias, op));
        for (scale, shift) in norms {
            biases.extend(grown(scale, hp));
            biases.extend(grown(shift, hp));
        }
        let mut rows = Vec::with_capacity(cond.len() * shape.layers * hp);
        for level in cond {
            if level.len() != shape.layers * h {
                return Err(argument("conditioning of a level", level.len(), shape.layers * h));
            }
            rows.extend(level.chunks(h.max(1)).flat_map(|layer| grown(layer, hp)));
        }
        Ok(Self {
            shape,
            weights: device.upload("network weights", &weights)?,
            biases: device.upload("network biases", &biases)?,
            cond: device.upload("network conditioning", &rows)?,
            levels: device.upload("network levels", &levels.concat())?,
            spare: device.empty("network level", 1)?,
            count: levels.len(),
        })
    }

    /// Evaluates `count` particles of `rows` `[count, dim]` at level `level` into `out`
    /// `[count, outputs]` from element `first` on.
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
        if count == 0 || rows.len() < count * s.dim || out.len() < first + count * s.outputs {
            return Err(argument("network rows", rows.len().min(out.len()), format!("{count} particles")));
        }
        // Where the number is kept, whoever keeps it minds the levels.
        if let Number::Given(level) = level
            && level >= self.count
        {
            return Err(argument("level", level, format!("below {}", self.count)));
        }
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
        let chunks = count.div_ceil(lanes * vectors);
        mlp_kernel::launch(
            device.client(),
            sharing.cubes(device, chunks),
            sharing.dim(),
            lanes,
            rows.arg(),
            out.arg(),
            level.cell(&self.spare).arg(),
            NumbersLaunch::new(self.weights.arg(), self.biases.arg(), self.cond.arg(), self.levels.arg()),
            SizesLaunch::new(
                count as u32,
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
        self.weights.bytes() + self.biases.bytes() + self.cond.bytes() + self.levels.bytes()
    }

    /// What `count` particles have to move: rows in, rows out, the weights once.
    pub fn work(&self, count: usize) -> Work {
        let (read, written) = (4 * (count * self.shape.dim) as u64, 4 * (count * self.shape.outputs) as u64);
        Work { read: read + self.weights.bytes(), written }
    }
}
