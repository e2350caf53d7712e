//! One step of a plan: configure, launch, book.

use super::ask::{Batch, Io};
use super::graph::Do;
use super::kernel_norm::{NormKey, NormSizesLaunch, norm_along_kernel, norm_back_kernel, norm_kernel};
use super::network::{Network, lanes};
use super::plan::{Given, Plan, Rows, Step, Wanted, What};
use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::passes::conv::{After, Bias, Row};
use crate::passes::rows::Part;
use crate::passes::{Sharing, Work};

/// The values of a step.
pub(super) struct Values<'a> {
    pub reads: Vec<&'a Buf<f32>>,
    pub writes: Vec<&'a Buf<f32>>,
    /// Lanes.
    pub n: usize,
}

impl Values<'_> {
    /// What has to be moved where `read` numbers are read and `written` written of each particle.
    pub fn work(&self, read: usize, written: usize) -> Work {
        Work { read: 4 * (read * self.n) as u64, written: 4 * (written * self.n) as u64 }
    }
}

/// Vectors of particles that a unit takes at once, of as many as there are.
pub(super) fn at_once(device: &Device, vectors: usize) -> usize {
    let whole = |v: &usize| vectors.is_multiple_of(*v);
    if device.is_cpu() { [4, 3, 2].into_iter().find(whole).unwrap_or(1) } else { 1 }
}

/// Refuses loops of more turns than a driver makes.
pub(super) fn allows(device: &Device, what: &'static str, turns: usize) -> Result<()> {
    match device.max_turns().filter(|most| turns as u64 > *most) {
        Some(most) => Err(argument(what, turns, format!("at most {most} turns on {}", device.name()))),
        None => Ok(()),
    }
}

impl Network {
    pub(super) fn step(
        &self,
        device: &Device,
        plan: &Plan,
        step: &Step,
        io: &Io,
        batch: &Batch,
    ) -> Result<()> {
        let slot = |v: &usize| &self.slots[plan.at[*v]];
        let values = Values {
            reads: step.reads.iter().map(slot).collect(),
            writes: step.writes.iter().map(slot).collect(),
            n: batch.n,
        };
        match step.what {
            What::Take(given) => self.take(device, given, values.writes[0], io, batch),
            What::Give(wanted) => self.give(device, wanted, values.reads[0], io, batch),
            What::Conv { node, moves, tangent } => self.conv(device, node, moves, tangent, &values, batch),
            What::ConvBack { node, other } => {
                let Do::Conv { conv, .. } = self.graph.nodes[node].what else { return Ok(()) };
                let after = After { other: other.then(|| values.reads[1]), ..After::default() };
                self.convs[conv].back(device, values.reads[0], values.writes[0], batch.n, &after)
            }
            What::Norm(node) => self.norm(device, node, Way::Forward, &values, batch),
            What::NormBack { node, other } => self.norm(device, node, Way::Back(other), &values, batch),
            What::NormAlong { node, moves } => self.norm(device, node, Way::Along(moves), &values, batch),
            What::Point(point) => self.point(device, &point, &values, batch),
            What::Join | What::Part { .. } | What::Upsample { .. } | What::UpsampleBack { .. } => {
                self.moved(device, plan, step, &values)
            }
            What::Sums { extent, scale, both } => self.sums(device, extent, scale, both, &values),
            What::Pairs(pairs) => self.pairs(device, &pairs, &values),
            What::Frames(frames) => self.frames(device, &frames, &values),
            What::Attend(node) => self.attend(device, step, node, &values),
            What::AttendSums(node) | What::AttendQueries(node) => self.attend(device, step, node, &values),
            What::AttendKeys(node) | What::AttendAlong(node) => self.attend(device, step, node, &values),
        }
    }

    fn take(&self, device: &Device, given: Given, to: &Buf<f32>, io: &Io, batch: &Batch) -> Result<()> {
        let row = batch.condition * batch.all + batch.start;
        let (from, dim, read, c) = match given {
            Given::State => (io.rows, self.dim, batch.start * self.dim, 0),
            Given::Tangent => (io.second, self.dim, batch.start * self.dim, 0),
            Given::Cotangent => (io.second, self.outputs, row * self.outputs, 2),
        };
        let part = Part { dim, read: from.first + read, written: 0, count: batch.count, n: batch.n };
        self.io.take(device, from.rows, to, part, self.level_row(c, batch), [1.0, 0.0])
    }

    fn give(&self, device: &Device, wanted: Wanted, from: &Buf<f32>, io: &Io, batch: &Batch) -> Result<()> {
        let row = batch.condition * batch.all + batch.start;
        let (direct, read, out, dim, columns) = match wanted {
            Wanted::Output => (io.rows, batch.start * self.dim, io.out, self.outputs, [1, 2]),
            Wanted::Tangent => (io.second, batch.start * self.dim, io.result, self.outputs, [1, 2]),
            Wanted::Slope => (io.second, row * self.outputs, io.result, self.dim, [1, 0]),
        };
        let (read, written) = (direct.first + read, out.first + row * dim);
        let part = Part { dim, read, written, count: batch.count, n: batch.n };
        self.io.give(device, (direct.rows, from), out.rows, part, self.level_row(0, batch), columns)
    }

    fn conv(
        &self,
        device: &Device,
        node: usize,
        moves: Option<Rows>,
        tangent: bool,
        values: &Values,
        batch: &Batch,
    ) -> Result<()> {
        let Do::Conv { conv, bias, other, scale, shift } = self.graph.nodes[node].what else { return Ok(()) };
        let own = bias.map(|entry| Rows { entry, moving: false });
        let bias = match (tangent, moves, own) {
            (true, None, _) => Bias::None,
            (true, Some(rows), _) | (false, _, Some(rows)) => Bias::Row(self.row(rows, batch)),
            (false, _, None) => Bias::Own,
        };
        let after = After {
            bias,
            other: other.then(|| values.reads[1]),
            scale: scale as f32,
            shift: if tangent { 0.0 } else { shift as f32 },
            adds: false,
        };
        self.convs[conv].launch(device, values.reads[0], values.writes[0], batch.n, &after)
    }

    fn norm(&self, device: &Device, node: usize, way: Way, values: &Values, batch: &Batch) -> Result<()> {
        let node = &self.graph.nodes[node];
        let Do::Norm { groups, eps, affine, act } = node.what else { return Ok(()) };
        let extent = node.extent;
        let row = self.row(Rows { entry: affine, moving: false }, batch);
        row.check("affine map of a norm", 2 * extent.channels)?;
        let (lanes, sharing) = (lanes(device), Sharing::apart(device));
        let vectors = batch.n / lanes;
        let more = matches!(way, Way::Back(true) | Way::Along(true));
        let key = NormKey { vectors: at_once(device, vectors), act, more, runs: device.is_cpu() };
        let group = extent.numbers() / groups;
        allows(device, "numbers of a group of a norm, four times", 4 * group + 4 * extent.channels / groups)?;
        let cubes = sharing.cubes(device, groups * vectors / key.vectors);
        let sizes = norm_sizes(groups, extent.channels / groups, extent.pixels(), vectors, &row, eps);
        let cell = row.level.cell(&self.spare);
        let [x, out] = [values.reads[0].arg_of(lanes), values.writes[0].arg_of(lanes)];
        let (client, dim, numbers) = (device.client(), sharing.dim(), extent.numbers());
        match way {
            Way::Forward => {
                norm_kernel::launch(
                    client,
                    cubes,
                    dim,
                    lanes,
                    x,
                    out,
                    row.table.arg(),
                    cell.arg(),
                    sizes,
                    key,
                );
                device.launched(values.work(numbers, numbers))
            }
            Way::Back(other) => {
                let slope = values.reads[1].arg_of(lanes);
                let more = if other { values.reads[2] } else { &self.nothing }.arg_of(lanes);
                let (table, cell) = (row.table.arg(), cell.arg());
                norm_back_kernel::launch(
                    client, cubes, dim, lanes, x, slope, more, out, table, cell, sizes, key,
                );
                device.launched(values.work(numbers * (2 + usize::from(other)), numbers))
            }
            Way::Along(moves) => {
                let moved = values.reads[1].arg_of(lanes);
                let moving = match moves {
                    true => self.row(Rows { entry: affine, moving: true }, batch).table,
                    false => row.table,
                };
                let (table, moving, cell) = (row.table.arg(), moving.arg(), cell.arg());
                norm_along_kernel::launch(
                    client, cubes, dim, lanes, x, moved, out, table, moving, cell, sizes, key,
                );
                device.launched(values.work(2 * numbers, numbers))
            }
        }
    }
}

/// Which way through a norm, and whether there is more to it: what is added, or an affine map that moves.
#[derive(Clone, Copy)]
enum Way {
    Forward,
    Back(bool),
    Along(bool),
}

fn norm_sizes(
    groups: usize,
    channels: usize,
    pixels: usize,
    vectors: usize,
    row: &Row,
    eps: f64,
) -> NormSizesLaunch {
    NormSizesLaunch::new(
        groups as u32,
        channels as u32,
        pixels as u32,
        vectors as u32,
        row.first() as u32,
        row.level_numbers() as u32,
        row.level.word(),
        eps as f32,
    )
}
