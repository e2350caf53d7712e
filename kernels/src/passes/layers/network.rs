//! A network that was uploaded, and what can be asked of it.

use std::collections::BTreeMap;

use super::ask::{Along, At, Back, Batch, Io, Level, Settings};
use super::graph::{Do, Graph};
use super::launch_pairs::pair_lists;
use super::plan::{Asked, Plan, Rows, Step};
use super::plan_of;
use super::table::Tables;
use crate::device::{Buf, Device};
use crate::error::{KernelError, Result, argument, enough};
use crate::models::layers::{Layers, Op};
use crate::passes::conv::{Conv, Row, Shape};
use crate::passes::{Number, rows};

/// Particles of a vector on a GPU.
const LANES: usize = 4;
/// Vectors of particles of a micro-batch on the CPU. Of images 2: convolutions made 29 to 33 GFLOP/s a core with 2 and 15
/// to 26 with 8 on a core of 41, as pixels a multiple of 4096 bytes apart put each other out of the cache.
const IMAGE_VECTORS: usize = 2;
/// Of networks without pixels.
const DENSE_VECTORS: usize = 8;
/// Particles of a micro-batch on a GPU at most.
const GPU_PARTICLES: usize = 4096;
/// The share of a device's free memory that values take unasked.
const SHARE: u64 = 4;

/// Is handed every step and what launches it.
pub type Each<'f> = &'f mut dyn FnMut(&Step, &mut dyn FnMut() -> Result<()>) -> Result<()>;

/// A network on a device.
#[derive(Clone, Debug)]
pub struct Network {
    pub(super) graph: Graph,
    plans: BTreeMap<Asked, Plan>,
    pub(super) convs: Vec<Conv>,
    /// Centres, then sharpnesses, of the bumps of distances.
    pub(super) bumps: Vec<Buf<f32>>,
    /// The numbers of the places of pairs of frames.
    pub(super) places: Vec<Buf<f32>>,
    /// The atoms of pairs, by how many atoms there are.
    pub(super) lists: BTreeMap<usize, Buf<u32>>,
    offsets: Vec<usize>,
    constant: Buf<f32>,
    table: Buf<f32>,
    moving: Buf<f32>,
    width: usize,
    pub(super) levels: Buf<f32>,
    pub(super) slots: Vec<Buf<f32>>,
    pub(super) io: rows::Rows,
    pub(super) spare: Buf<u32>,
    pub(super) nothing: Buf<f32>,
    /// Levels, and conditions of each.
    count: usize,
    pub(super) conditions: usize,
    /// Lanes of a micro-batch.
    n: usize,
    pub(super) dim: usize,
    pub(super) outputs: usize,
}

impl Network {
    /// Uploads `layers` with their `tensors` for `levels` `[levels, conditions]`.
    pub fn new(
        device: &Device,
        layers: &Layers,
        tensors: &[Vec<f32>],
        levels: &[Level],
        conditions: usize,
        settings: Settings,
    ) -> Result<Self> {
        if conditions == 0 || levels.is_empty() || !levels.len().is_multiple_of(conditions) {
            let found = format!("{} for {conditions} conditions", levels.len());
            return Err(argument("levels of a network", found, "as many for each, at least 1"));
        }
        let graph = Graph::new(layers, settings.fused)?;
        let dim = graph.state().map_or(0, |state| state.numbers());
        let outputs = graph.nodes.last().map_or(0, |node| node.extent.numbers());
        if let (true, Some(level)) = (dim != outputs, levels.iter().find(|level| level.c[1] != 0.0)) {
            return Err(argument("c_x", level.c[1], format!("0, as {outputs} outputs are not {dim} inputs")));
        }
        let along = if settings.along { &[Asked::Along, Asked::AlongTime][..] } else { &[] };
        let back = if settings.back { &[Asked::Back][..] } else { &[] };
        let plans: BTreeMap<Asked, Plan> = [Asked::Output]
            .iter()
            .chain(back)
            .chain(along)
            .map(|asked| (*asked, plan_of(&graph, *asked, settings.recompute)))
            .collect();
        let tables = Tables::new(layers, &graph, tensors, levels);
        let numbers: Vec<f32> = levels.iter().flat_map(|level| level.c.map(|c| c as f32)).collect();
        let convs = convolutions(device, layers, &graph, tensors, settings.back)?;
        let held = slots(plans.values());
        let images = graph.nodes.iter().any(|node| node.extent.pixels() > 1);
        let n = lanes_of_batch(device, &held, images, &settings)?;
        let slot = |numbers: &usize| device.empty("values of a network", numbers * n);
        let numbers_of = |what, layer: &usize| {
            let weights = layers.all()[*layer].weights.iter();
            let all: Vec<f32> = weights.flat_map(|w| tensors[*w].iter().copied()).collect();
            device.upload(what, &all)
        };
        let bumps = |layer| numbers_of("bumps of distances", layer);
        let places = |layer| numbers_of("places of frames", layer);
        Ok(Network {
            convs,
            bumps: graph.radials.iter().map(bumps).collect::<Result<_>>()?,
            places: graph.views.iter().map(places).collect::<Result<_>>()?,
            lists: pair_lists(device, plans.values())?,
            constant: device.upload("constants of a network", &tables.constant)?,
            table: device.upload("conditioning of a network", &tables.levels)?,
            moving: device
                .upload("conditioning that moves", if settings.along { &tables.moving } else { &[] })?,
            offsets: tables.offsets,
            width: tables.width,
            levels: device.upload("levels of a network", &numbers)?,
            slots: held.iter().map(slot).collect::<Result<_>>()?,
            io: rows::Rows::new(device)?.centred(layers.space()),
            spare: device.empty("level of a network", 1)?,
            nothing: device.empty("no value", 64)?,
            count: levels.len() / conditions,
            conditions,
            n,
            dim,
            outputs,
            graph,
            plans,
        })
    }

    /// Evaluates `count` particles of `rows` `[count, dim]` at level `level` into `out` `[conditions, count, outputs]`,
    /// from element `first` on.
    pub fn launch<'a>(
        &'a self,
        device: &Device,
        rows: &Buf<f32>,
        out: &Buf<f32>,
        first: usize,
        count: usize,
        level: impl Into<Number<'a>>,
    ) -> Result<()> {
        let (rows, out) = (At::from(rows), At { rows: out, first });
        let io = Io { rows, second: rows, out, result: out };
        self.each(device, Asked::Output, io, count, level.into(), &mut |_, launch| launch())
    }

    /// The output and the gradient of <cotangent, output> with respect to the state.
    pub fn vjp<'a>(
        &'a self,
        device: &Device,
        of: Back,
        count: usize,
        level: impl Into<Number<'a>>,
    ) -> Result<()> {
        self.vjp_by_steps(device, of, count, level, &mut |_, launch| launch())
    }

    /// The output and how it changes.
    pub fn jvp<'a>(
        &'a self,
        device: &Device,
        of: Along,
        count: usize,
        level: impl Into<Number<'a>>,
    ) -> Result<()> {
        let io = Io { rows: of.rows, second: of.tangent, out: of.out, result: of.moved };
        let asked = if of.time { Asked::AlongTime } else { Asked::Along };
        self.each(device, asked, io, count, level.into(), &mut |_, launch| launch())
    }

    /// [`Network::launch`], where `each` is handed every step and what launches it: to measure them.
    pub fn launch_by_steps<'a>(
        &'a self,
        device: &Device,
        rows: &Buf<f32>,
        out: &Buf<f32>,
        count: usize,
        level: impl Into<Number<'a>>,
        each: Each,
    ) -> Result<()> {
        let (rows, out) = (At::from(rows), At::from(out));
        self.each(
            device,
            Asked::Output,
            Io { rows, second: rows, out, result: out },
            count,
            level.into(),
            each,
        )
    }

    /// [`Network::vjp`] in the same way.
    pub fn vjp_by_steps<'a>(
        &'a self,
        device: &Device,
        of: Back,
        count: usize,
        level: impl Into<Number<'a>>,
        each: Each,
    ) -> Result<()> {
        let io = Io { rows: of.rows, second: of.cotangent, out: of.out, result: of.slopes };
        self.each(device, Asked::Back, io, count, level.into(), each)
    }

    fn each<'a>(
        &'a self,
        device: &Device,
        asked: Asked,
        io: Io,
        count: usize,
        level: Number<'a>,
        each: Each,
    ) -> Result<()> {
        let Some(plan) = self.plans.get(&asked) else {
            let wanted = "a network uploaded for it: see its settings";
            return Err(argument("question to a network", format!("{asked:?}"), wanted));
        };
        if let Number::Given(level) = level
            && level >= self.count
        {
            return Err(argument("level", level, format!("below {}", self.count)));
        }
        let outputs = self.conditions * count * self.outputs;
        let second = if asked == Asked::Back { outputs } else { count * self.dim };
        let result = if asked == Asked::Back { self.conditions * count * self.dim } else { outputs };
        enough(&[
            ("network inputs", io.rows.rows.len(), io.rows.first + count * self.dim),
            ("network outputs", io.out.rows.len(), io.out.first + outputs),
        ])?;
        if asked != Asked::Output {
            enough(&[
                ("cotangent or tangent", io.second.rows.len(), io.second.first + second),
                ("slopes or tangent of the output", io.result.rows.len(), io.result.first + result),
            ])?;
        }
        let lanes = lanes(device);
        for condition in 0..self.conditions {
            for start in (0..count).step_by(self.n) {
                let own = self.n.min(count - start);
                let n = own.next_multiple_of(lanes);
                let batch = Batch { level, condition, start, all: count, count: own, n };
                for step in &plan.steps {
                    each(step, &mut || self.step(device, plan, step, &io, &batch))?;
                }
            }
        }
        Ok(())
    }

    /// A row of a table.
    pub(super) fn row<'a>(&'a self, rows: Rows, batch: &Batch<'a>) -> Row<'a> {
        let offset = self.offsets[rows.entry];
        if self.graph.entries[rows.entry].constant() {
            let (table, width) = (&self.constant, self.constant.len());
            return Row { table, width, conditions: 1, condition: 0, offset, level: Number::Given(0) };
        }
        let table = if rows.moving { &self.moving } else { &self.table };
        let (conditions, condition) = (self.conditions, batch.condition);
        Row { table, width: self.width, conditions, condition, offset, level: batch.level }
    }

    /// (c_in, c_x, c_f) from number `offset` on.
    pub(super) fn level_row<'a>(&'a self, offset: usize, batch: &Batch<'a>) -> Row<'a> {
        let (conditions, condition) = (self.conditions, batch.condition);
        Row { table: &self.levels, width: 3, conditions, condition, offset, level: batch.level }
    }

    /// What the launches compute.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The launches of a micro-batch, if the network was uploaded for them.
    pub fn plan(&self, asked: Asked) -> Option<&Plan> {
        self.plans.get(&asked)
    }

    /// Particles of a micro-batch.
    pub fn micro_batch(&self) -> usize {
        self.n
    }

    /// Numbers of a particle, and of its output.
    pub fn dims(&self) -> [usize; 2] {
        [self.dim, self.outputs]
    }

    /// Conditions under which a launch answers.
    pub fn conditions(&self) -> usize {
        self.conditions
    }

    /// Bytes on the device: weights and tables, and the values of a micro-batch.
    pub fn bytes(&self) -> u64 {
        let tables = [&self.constant, &self.table, &self.moving, &self.levels];
        self.convs.iter().map(Conv::bytes).sum::<u64>()
            + self.bumps.iter().chain(&self.places).map(Buf::bytes).sum::<u64>()
            + self.lists.values().map(|list| list.bytes()).sum::<u64>()
            + tables.iter().map(|table| table.bytes()).sum::<u64>()
            + self.slots.iter().map(Buf::bytes).sum::<u64>()
    }

    /// Multiplications of a particle in products, under one condition.
    pub fn products(&self, asked: Asked) -> u64 {
        self.plans.get(&asked).map_or(0, |plan| plan.products(&self.graph))
    }
}

/// Particles of a vector.
pub(super) fn lanes(device: &Device) -> usize {
    if device.is_cpu() { device.lanes() } else { LANES }
}

/// Slots that hold those of every plan.
fn slots<'a>(plans: impl Iterator<Item = &'a Plan>) -> Vec<usize> {
    let mut all: Vec<usize> = Vec::new();
    for plan in plans {
        all.resize(all.len().max(plan.slots.len()), 0);
        all.iter_mut().zip(&plan.slots).for_each(|(all, own)| *all = (*all).max(*own));
    }
    all
}

fn convolutions(
    device: &Device,
    layers: &Layers,
    graph: &Graph,
    tensors: &[Vec<f32>],
    back: bool,
) -> Result<Vec<Conv>> {
    let mut all = Vec::with_capacity(graph.convs.len());
    for of in &graph.convs {
        let layer = &layers.all()[of.layer];
        if let Op::Conv { out, taps, stride, before } = layer.op {
            let shape = Shape { from: of.from, out, taps, stride, before, upsampled: of.upsampled };
            let [weights, bias] = [0, 1].map(|i| tensors[layer.weights[i]].as_slice());
            let read = graph.nodes.iter().find_map(|node| match node.what {
                Do::Conv { conv, .. } if conv == all.len() => node.from.first(),
                _ => None,
            });
            let back = back && read.is_some();
            all.push(Conv::new(device, shape, weights, Some(bias), back)?);
        }
    }
    Ok(all)
}

/// Lanes of a micro-batch: what was asked for, or what suits the device; refused where its values need more bytes than
/// are free.
fn lanes_of_batch(device: &Device, slots: &[usize], images: bool, settings: &Settings) -> Result<usize> {
    let lanes = lanes(device);
    let bytes = |n: usize| (4 * n as u64).saturating_mul(slots.iter().sum::<usize>() as u64);
    let free = device.capacity().map(|all| all.saturating_sub(device.memory().0));
    let fits = |n: usize, share: u64| {
        let largest = (4 * n as u64).saturating_mul(slots.iter().copied().max().unwrap_or(0) as u64);
        largest <= device.max_binding().min(u64::from(u32::MAX))
            && free.is_none_or(|free| bytes(n) <= free / share)
    };
    let refused = |n: usize| KernelError::OutOfMemory {
        what: "values of a network",
        needed: bytes(n),
        available: free.unwrap_or(device.max_binding()),
        hint: "use a smaller micro-batch, or compute values again on the way back (recompute)",
    };
    if let Some(asked) = settings.micro_batch {
        let n = asked.checked_next_multiple_of(lanes).unwrap_or(usize::MAX / 8);
        return match (asked, fits(n.max(lanes), 1)) {
            (0, _) => Err(argument("micro-batch", 0, "at least 1 particle")),
            (_, false) => Err(refused(n)),
            _ => Ok(n),
        };
    }
    let vectors = if images { IMAGE_VECTORS } else { DENSE_VECTORS };
    let most = if device.is_cpu() { vectors * lanes } else { GPU_PARTICLES };
    let mut n = most.min(settings.most.clamp(1, most).next_multiple_of(lanes));
    while n > lanes && !fits(n, SHARE) {
        n = (n / 2).next_multiple_of(lanes);
    }
    if fits(n, 1) { Ok(n) } else { Err(refused(n)) }
}
