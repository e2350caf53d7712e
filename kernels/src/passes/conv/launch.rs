//! Check, pack, configure, launch.

use super::kernel::{ConvKey, SizesLaunch, conv_kernel};
use crate::device::{Buf, Device};
use crate::error::{Result, argument, enough};
use crate::models::layers::{Extent, Layers, Op};
use crate::passes::{Number, Sharing, Work};

/// Channels of a tile.
const TILE: usize = 8;
/// Particles of a vector on a GPU.
const LANES: usize = 4;

/// What a convolution looks like: [`Op::Conv`], or that of a value that [`Op::Upsample`] would make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What is read, before it is upsampled.
    pub from: Extent,
    /// Channels written.
    pub out: usize,
    /// 1 or 3.
    pub taps: usize,
    /// 1 or 2.
    pub stride: usize,
    /// Zeros above and left, 0 or 1.
    pub before: usize,
    /// Each pixel is read four times; for 3 taps of stride 1 with a zero before.
    pub upsampled: bool,
}

impl Shape {
    /// What is written.
    pub fn to(&self) -> Result<Extent> {
        let Shape { from, out, taps, stride, before, upsampled } = *self;
        if upsampled && (taps, stride, before) != (3, 1, 1) {
            let found = format!("{taps} taps, stride {stride}, {before} before");
            return Err(argument("convolution of an upsampled value", found, "3 taps, stride 1, 1 before"));
        }
        if out == 0 || from.numbers() == 0 {
            return Err(argument("convolution", format!("{from} to {out} channels"), "at least 1 of each"));
        }
        let mut layers = Layers::default();
        let mut read = layers.push(Op::State(from), &[], &[])?;
        if upsampled {
            read = layers.push(Op::Upsample, &[read], &[])?;
        }
        let written = layers.push(Op::Conv { out, taps, stride, before }, &[read], &[])?;
        Ok(layers.extent(written))
    }

    /// Weights `[out, channels, taps, taps]`.
    pub fn weights(&self) -> usize {
        self.out * self.from.channels * self.taps * self.taps
    }
}

/// A row of a table `[levels, conditions, width]` on the device, from number `offset` on.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The table.
    pub table: &'a Buf<f32>,
    /// Numbers of a row.
    pub width: usize,
    /// Rows to a level.
    pub conditions: usize,
    /// Which of them.
    pub condition: usize,
    /// The first number.
    pub offset: usize,
    /// The level, or the cell that holds it.
    pub level: Number<'a>,
}

impl Row<'_> {
    /// Refuses a table without `numbers` from the first on, at the level.
    pub(crate) fn check(&self, what: &'static str, numbers: usize) -> Result<()> {
        if self.condition >= self.conditions || self.offset + numbers > self.width {
            let found = format!("numbers {} on of row {}", self.offset, self.condition);
            let wanted = format!("{numbers} within {} rows of {}", self.conditions, self.width);
            return Err(argument(what, found, wanted));
        }
        enough(&[(what, self.table.len(), self.level.rows() * self.level_numbers())])
    }

    /// Numbers of the table to a level.
    pub(crate) fn level_numbers(&self) -> usize {
        self.conditions * self.width
    }

    /// The first number within those of a level.
    pub(crate) fn first(&self) -> usize {
        self.condition * self.width + self.offset
    }
}

/// What is added to each channel.
#[derive(Clone, Copy, Debug, Default)]
pub enum Bias<'a> {
    /// Nothing.
    #[default]
    None,
    /// The convolution's own bias.
    Own,
    /// As many numbers as channels are written.
    Row(Row<'a>),
}

/// What becomes of the sums: scale (sums + bias + other) + shift, written or added to what stands there.
#[derive(Clone, Copy, Debug)]
pub struct After<'a> {
    /// Is added to each channel.
    pub bias: Bias<'a>,
    /// Is added: a value of the extent that is written, in another buffer.
    pub other: Option<&'a Buf<f32>>,
    /// Multiplies all that.
    pub scale: f32,
    /// Is added to that.
    pub shift: f32,
    /// It is added to what stands there.
    pub adds: bool,
}

impl Default for After<'_> {
    /// The sums alone.
    fn default() -> Self {
        After { bias: Bias::None, other: None, scale: 1.0, shift: 0.0, adds: false }
    }
}

/// A convolution whose weights are on a device.
#[derive(Clone, Debug)]
pub struct Conv {
    shape: Shape,
    to: Extent,
    forward: Packed,
    back: Option<Packed>,
    bias: Buf<f32>,
    biased: bool,
    spare: Buf<u32>,
    nothing: Buf<f32>,
}

/// One direction: weights `[tiles][taps][channels][rows]`, and how its taps meet pixels.
#[derive(Clone, Debug)]
struct Packed {
    weights: Buf<f32>,
    from: Extent,
    to: Extent,
    rows: usize,
    taps: usize,
    stride: usize,
    before: usize,
    transposed: bool,
}

/// Channels of a tile where `out` are written.
fn rows_of(out: usize) -> usize {
    TILE.min(out.next_power_of_two())
}

impl Packed {
    /// `weight(out, in, tap)` packed.
    fn new(
        device: &Device,
        shape: (Extent, Extent),
        taps: (usize, usize, usize),
        transposed: bool,
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Result<Self> {
        let ((from, to), (taps, stride, before)) = (shape, taps);
        let rows = rows_of(to.channels);
        let mut packed = Vec::with_capacity(to.channels.next_multiple_of(rows) * from.channels * taps * taps);
        for first in (0..to.channels).step_by(rows) {
            for tap in 0..taps * taps {
                for i in 0..from.channels {
                    let row = |o| if o < to.channels { weight(o, i, tap) } else { 0.0 };
                    packed.extend((first..first + rows).map(row));
                }
            }
        }
        let weights = device.upload("convolution weights", &packed)?;
        Ok(Packed { weights, from, to, rows, taps, stride, before, transposed })
    }
}

/// The 4x4 taps of which the transpose is that of 3x3 on an upsampled value: the module's page.
fn joined(weights: &[f32]) -> Vec<f32> {
    const MEET: [&[usize]; 4] = [&[2], &[1, 2], &[0, 1], &[0]];
    let mut out = Vec::with_capacity(weights.len() / 9 * 16);
    for of in weights.chunks(9) {
        for (down, across) in MEET.iter().flat_map(|down| MEET.iter().map(move |across| (down, across))) {
            let all = down.iter().flat_map(|y| across.iter().map(move |x| f64::from(of[3 * y + x])));
            out.push(all.sum::<f64>() as f32);
        }
    }
    out
}

impl Conv {
    /// Uploads weights `[out, channels, taps, taps]` and a bias `[out]`; with `back` also for the way back.
    pub fn new(
        device: &Device,
        shape: Shape,
        weights: &[f32],
        bias: Option<&[f32]>,
        back: bool,
    ) -> Result<Self> {
        let to = shape.to()?;
        let biases = bias.unwrap_or_default();
        for (what, found, wanted) in [
            ("convolution weights", weights.len(), shape.weights()),
            ("convolution bias", biases.len(), if bias.is_some() { shape.out } else { 0 }),
        ] {
            if found != wanted {
                return Err(argument(what, found, wanted));
            }
        }
        let folded = if shape.upsampled { joined(weights) } else { weights.to_vec() };
        let (taps, stride) = if shape.upsampled { (4, 2) } else { (shape.taps, shape.stride) };
        let span = (taps, stride, shape.before);
        let weight =
            |o: usize, i: usize, tap: usize| folded[(o * shape.from.channels + i) * taps * taps + tap];
        let back = match back {
            true => {
                let turned = |o, i, tap| weight(i, o, tap);
                Some(Packed::new(device, (to, shape.from), span, !shape.upsampled, turned)?)
            }
            false => None,
        };
        Ok(Conv {
            shape,
            to,
            forward: Packed::new(device, (shape.from, to), span, shape.upsampled, weight)?,
            back,
            bias: device.upload("convolution bias", biases)?,
            biased: bias.is_some(),
            spare: device.empty("convolution level", 1)?,
            nothing: device.empty("convolution without another", LANES.max(device.lanes()))?,
        })
    }

    /// What it looks like.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// What it writes.
    pub fn to(&self) -> Extent {
        self.to
    }

    /// `to` becomes W `from`, and what is said `after`: `[numbers][n]` both.
    pub fn launch(
        &self,
        device: &Device,
        from: &Buf<f32>,
        to: &Buf<f32>,
        n: usize,
        after: &After,
    ) -> Result<()> {
        self.run(device, &self.forward, (from, to), n, after)
    }

    /// `to` becomes the transpose of W times `slope`, and what is said `after`.
    pub fn back(
        &self,
        device: &Device,
        slope: &Buf<f32>,
        to: &Buf<f32>,
        n: usize,
        after: &After,
    ) -> Result<()> {
        let Some(packed) = &self.back else {
            return Err(argument("way back", "a convolution packed for its way forward", "one for both"));
        };
        self.run(device, packed, (slope, to), n, after)
    }

    fn run(
        &self,
        device: &Device,
        packed: &Packed,
        (from, to): (&Buf<f32>, &Buf<f32>),
        n: usize,
        after: &After,
    ) -> Result<()> {
        let lanes = if device.is_cpu() { device.lanes() } else { LANES };
        if n == 0 || !n.is_multiple_of(lanes) {
            return Err(argument("particles of a convolution", n, format!("a multiple of {lanes}")));
        }
        let (read, written) = (packed.from.numbers() * n, packed.to.numbers() * n);
        enough(&[("convolution input", from.len(), read), ("convolution output", to.len(), written)])?;
        enough(&[("value to be added", after.other.map_or(written, Buf::len), written)])?;
        let own = Row {
            table: &self.bias,
            width: packed.to.channels,
            conditions: 1,
            condition: 0,
            offset: 0,
            level: Number::Given(0),
        };
        let row = match after.bias {
            Bias::Row(row) => row,
            _ => own,
        };
        let biased = match after.bias {
            Bias::None => false,
            Bias::Own if !self.biased => {
                return Err(argument("bias", "none", "one of the convolution's own"));
            }
            Bias::Own | Bias::Row(_) => true,
        };
        if biased {
            row.check("biases", packed.to.channels)?;
        }
        let vectors = n / lanes;
        let at_once = if device.is_cpu() { vectors_at_once(vectors) } else { 1 };
        let pack = if device.is_cpu() { 1 } else { packed.rows.min(LANES) };
        let key = ConvKey { rows: packed.rows, vectors: at_once, pack, runs: device.is_cpu() };
        let groups = vectors / at_once;
        let sharing = Sharing::apart(device);
        let items = packed.to.channels.div_ceil(packed.rows) * groups * packed.to.pixels();
        conv_kernel::launch(
            device.client(),
            sharing.cubes(device, items),
            sharing.dim(),
            lanes,
            pack,
            from.arg_of(lanes),
            to.arg_of(lanes),
            after.other.unwrap_or(&self.nothing).arg_of(lanes),
            packed.weights.arg_of(pack),
            row.table.arg(),
            row.level.cell(&self.spare).arg(),
            SizesLaunch::new(
                packed.from.channels as u32,
                packed.from.height as u32,
                packed.from.width as u32,
                packed.to.channels as u32,
                packed.to.height as u32,
                packed.to.width as u32,
                packed.taps as u32,
                packed.stride as u32,
                packed.before as u32,
                u32::from(packed.transposed),
                groups as u32,
                u32::from(biased),
                row.first() as u32,
                row.level_numbers() as u32,
                row.level.word(),
                u32::from(after.other.is_some()),
                u32::from(after.adds),
                after.scale,
                after.shift,
            ),
            key,
        );
        let others = usize::from(after.other.is_some()) + usize::from(after.adds);
        let read = 4 * (read + others * written) as u64 + packed.weights.bytes();
        device.launched(Work { read, written: 4 * written as u64 })
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        let back = self.back.as_ref().map_or(0, |back| back.weights.bytes());
        self.forward.weights.bytes() + back + self.bias.bytes()
    }
}

/// Vectors of particles in a tile, of as many as there are.
fn vectors_at_once(vectors: usize) -> usize {
    [4, 3, 2].into_iter().find(|v| vectors.is_multiple_of(*v)).unwrap_or(1)
}
