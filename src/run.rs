//! Runs a plan on a device; owns the buffers.

mod batches;
mod chosen;
mod graph;
mod judge;
mod ladder;
mod outcome;
mod paths;
mod records;
mod sizes;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;

use feynkac_kernels::device::{Buf, Device};
use feynkac_kernels::methods::StepCoeffs;
use feynkac_kernels::passes::Number;
use feynkac_kernels::passes::SMALL_GROUP;
use feynkac_kernels::passes::init::{Start, init};
use feynkac_kernels::passes::mlp;
use feynkac_kernels::passes::resample::Resampling;
use feynkac_kernels::passes::step::{Carried, Cells, Feed, Stage, Step};
use feynkac_kernels::passes::steps;
use feynkac_kernels::passes::weights::{RECORD, Weights};
use feynkac_kernels::prims::state::Population;

use crate::coeffs;
use crate::error::{Error, Result};
use crate::langevin::Rows;
use crate::model::{self, Model, Noise, Uploaded};
use crate::options::{Options, Policy};
use crate::plan::{Pass, Plan};
use crate::registry::Scheme;

pub use batches::{Batches, batches};
pub use chosen::{Chosen, order};
pub use graph::Steady;
pub use ladder::{Climbed, Ladder, Spread};
pub use outcome::{Counters, Glance, Outcome, Timings, read, sample};
pub use paths::Refined;
pub(crate) use records::{check_record, log_mean};

/// On the CPU a launch has about this many particle-steps, where the population is smaller: where launches are a few
/// hundredths of the work, kernels of one step are the faster ones.
const MANY_PARTICLES: usize = 1 << 16;
/// Steps of a launch at most: no driver should take it for dead.
const MOST_STEPS: usize = 256;

/// A run with its buffers on a device.
pub struct Run<'a> {
    /// The device.
    pub device: &'a Device,
    /// What was asked.
    pub options: &'a Options,
    /// Its passes.
    pub plan: Plan,
    /// Sizes.
    pub of: Population,
    /// Noise levels, one more than rows.
    pub levels: Vec<Noise>,
    /// Which rows of the coefficients each step has.
    pub rows_of: Rows,
    /// Coefficients: a row a step, and a row a Langevin move after it; what else counts steps here counts rows.
    pub coeffs: Vec<StepCoeffs>,
    /// The numbers of the last level.
    pub end: StepCoeffs,
    /// Law of the start.
    pub start: Start,
    /// The first of its groups among those asked for.
    pub first_group: usize,
    /// Seed of each group.
    pub seeds: Vec<u64>,
    /// Particles before and after a step, in turn: step i reads `carried[i % 2]`.
    pub carried: [Carried; 2],
    /// Parents.
    pub ancestors: Buf<u32>,
    /// Group records.
    pub norms: Buf<f32>,
    /// Weights to resample by, where those are not the particles' own.
    pub chosen: Chosen,
    models: &'a [Model],
    judge: judge::Judge<'a>,
    /// By the first of the models that each is.
    networks: BTreeMap<usize, Uploaded>,
    feed: Feed,
    rows: Buf<f32>,
    blocks: Buf<u32>,
    parts: Buf<u32>,
    scratch: Buf<f32>,
    history: Buf<f32>,
    genealogy: Buf<u32>,
    positions: Option<Cells>,
    path: Option<Buf<f32>>,
    table: Buf<f32>,
    keys: Buf<u32>,
    graph: RefCell<graph::Kept>,
    /// Why the device recorded none.
    refused: RefCell<Option<String>>,
    /// The step whose number the device holds, as far as it is known.
    clock: Cell<Option<usize>>,
}

/// Seed of group `group`: the run's own for the first, then one derived from it (SplitMix64,
/// Steele, Lea and Flood 2014), so that a group's draws do not depend on how many run beside it.
pub fn group_seed(seed: u64, group: usize) -> u64 {
    if group == 0 {
        return seed;
    }
    let mut z = seed.wrapping_add((group as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl<'a> Run<'a> {
    /// Checks everything and reserves every buffer; launches nothing.
    pub fn new(device: &'a Device, models: &'a [Model], options: &'a Options) -> Result<Self> {
        Self::of_groups(device, models, options, 0..options.groups)
    }

    /// The same of some of the groups.
    pub fn of_groups(
        device: &'a Device,
        models: &'a [Model],
        options: &'a Options,
        groups: Range<usize>,
    ) -> Result<Self> {
        Self::planned(device, models, options, groups, Plan::of(options, models)?)
    }

    fn planned(
        device: &'a Device,
        models: &'a [Model],
        options: &'a Options,
        groups: Range<usize>,
        plan: Plan,
    ) -> Result<Self> {
        let (models, behind) = options.parted(models);
        let of = Population {
            groups: groups.len(),
            slots: options.particles,
            dim: models[0].dim(),
            lanes: device.lanes_for(options.particles, models[0].dim()),
            max_block: device.block_for(options.block, options.particles),
        };
        let levels = coeffs::levels(options)?;
        let mut table_rows = coeffs::table(options, &levels, of.dim)?;
        if plan.keeps.estimated > 0 {
            coeffs::lean(&mut table_rows, &levels, of.dim, coeffs::breadth(models));
        }
        let steps = table_rows[..levels.len() - 1].to_vec();
        let start = coeffs::start(options, models, levels[0])?;
        let first_group = groups.start;
        let seeds: Vec<u64> = groups.map(|g| group_seed(options.seed, g)).collect();
        let keys: Vec<u32> = seeds.iter().flat_map(|s| [*s as u32, (s >> 32) as u32]).collect();
        let rows = of.particles() * of.dim;
        let networks = model::networks(device, models, &levels, options, &of)?;
        let feed = model::feed(device, models, &levels, options, rows, &seeds)?;
        let table: Vec<f32> = table_rows.iter().flat_map(|c| c.row()).collect();
        let carried = || Carried::new(device, &of, &plan.keeps);
        Ok(Self {
            device,
            options,
            of,
            first_group,
            seeds,
            carried: [carried()?, carried()?],
            ancestors: device.empty("ancestors", of.stride())?,
            norms: device.upload("group records", &vec![0.0_f32; RECORD * of.groups])?,
            models,
            judge: judge::Judge::new(device, options, &plan, behind, &of)?,
            networks,
            feed,
            rows: device.empty("rows", if plan.outside { rows } else { 1 })?,
            blocks: device.empty("block records", RECORD * of.groups * of.blocks())?,
            parts: {
                let residual = plan.step.contains(&Pass::Copies);
                let words = if residual { RECORD * of.groups * of.blocks() } else { 1 };
                device.empty("parts of residual resampling", words)?
            },
            history: device.empty("history", RECORD * of.groups * steps.len())?,
            scratch: device.empty("scratch", plan.keeps.scratch_cells(device, &of))?,
            genealogy: device
                .empty("genealogy", if options.keeps_paths().0 { of.stride() * steps.len() } else { 1 })?,
            positions: {
                let cells = (steps.len() + 1) * of.dim * of.stride();
                let kept = options.keeps_paths().1;
                kept.then(|| Cells::new(device, "positions of all steps", cells, plan.keeps.element))
                    .transpose()?
            },
            path: None,
            table: device.upload("coefficients", &table)?,
            chosen: Chosen::new(device, options, &of, steps.len())?,
            keys: device.upload("seeds", &keys)?,
            graph: RefCell::default(),
            refused: RefCell::default(),
            clock: Cell::default(),
            plan,
            end: table_rows[levels.len() - 1],
            rows_of: coeffs::rows(options)?,
            coeffs: steps,
            levels,
            start,
        })
    }

    /// What each network is multiplied in.
    pub fn compute(&self) -> Vec<mlp::Compute> {
        self.networks.values().map(Uploaded::compute).collect()
    }

    /// Launches the passes before the first step.
    pub fn begin(&self) -> Result<()> {
        self.plan.start.iter().try_for_each(|&pass| self.pass(pass, 0, 0))
    }

    /// Launches the passes of step `step`.
    pub fn advance(&self, step: usize) -> Result<()> {
        self.plan.step.iter().try_for_each(|&pass| self.pass(pass, step, step + 1))
    }

    /// Steps of a launch: several where launches would cost more than the work, which they do not where
    /// software does what a GPU is for.
    pub fn at_once(&self) -> usize {
        // Many steps in one launch resample systematically.
        let systematic = !self.plan.keeps.weighed || self.options.scheme == Scheme::Systematic;
        let fused = self.plan.step.first() == Some(&Pass::Fused) && systematic && self.plan.step.len() < 3;
        let Some(launch) = fused.then(|| self.fused(0)) else { return 1 };
        let worth = if self.device.is_cpu() {
            (MANY_PARTICLES / self.of.particles()).clamp(1, MOST_STEPS)
        } else if self.of.slots <= SMALL_GROUP && self.device.max_turns().is_none() {
            MOST_STEPS
        } else {
            1
        };
        let asked = if self.options.at_once > 0 { self.options.at_once } else { worth };
        // On a GPU a group would wait for a single cube.
        let alone = !self.device.is_cpu() && self.of.slots > SMALL_GROUP;
        let most = if alone { 1 } else { MOST_STEPS.min(launch.most_steps(self.device)) };
        asked.min(most).min(self.coeffs.len())
    }

    /// Launches the passes of several steps: together where they may be, by replays once the run was opened
    /// ([`Run::open`]) and where they go on from the last step.
    pub fn advance_through(&self, steps: Range<usize>) -> Result<()> {
        let at_once = self.at_once();
        if at_once < 2 {
            let mut step = steps.start;
            while step < steps.end {
                step += match self.replay(step, steps.end)? {
                    0 => self.advance(step).map(|()| 1)?,
                    replayed => replayed,
                };
            }
            return Ok(());
        }
        // These launches leave the number on the device as it was.
        self.clock.set(None);
        let mut from = steps.start;
        while from < steps.end {
            let to = (from + at_once).min(steps.end);
            let kernel = self.options.kernel();
            steps::launch(self.device, &self.fused(from), kernel, &self.history, from..to)?;
            from = to;
        }
        Ok(())
    }

    /// Launches one pass of step `step`; models are evaluated at level `level`.
    pub fn pass(&self, pass: Pass, step: usize, level: usize) -> Result<()> {
        match pass {
            Pass::Init => self.clock.set(Some(0)),
            Pass::Fused | Pass::Move => self.clock.set(Some(step + 1)),
            _ => (),
        }
        self.put(pass, step, Some(level))
    }

    /// The same; without a level, at the step whose number the device holds, which has the parity of `step`.
    fn put(&self, pass: Pass, step: usize, level: Option<usize>) -> Result<()> {
        let (before, after) = (&self.carried[step % 2], &self.carried[(step + 1) % 2]);
        let given = level.map(|_| step);
        let device = self.device;
        match pass {
            // The start fills what step 0 reads.
            Pass::Init => {
                let rows = self.plan.outside.then_some(&self.rows);
                let (start, keeps) = (&self.start, &self.plan.keeps);
                init(device, start, before, keeps, &self.ancestors, &self.norms, rows, &self.keys, &self.of)?;
            }
            Pass::Start => self.step(Stage::Start, after, before, given)?,
            Pass::Fused => self.step(Stage::Fused, before, after, given)?,
            Pass::Move => self.step(Stage::Move, before, after, given)?,
            Pass::Weigh => self.step(Stage::Weigh, before, after, given)?,
            Pass::LookFirst | Pass::Look | Pass::Judge | Pass::Back(_) => {
                self.between(pass, before, after, (given, level))?;
            }
            Pass::Aim => self.step(Stage::Aim, before, after, given)?,
            // The rows are those of `after`, which is where the next step starts: its number is their level.
            Pass::Evaluate(model) => {
                self.evaluate(model, level.map_or(Number::Kept(&after.clock), Number::Given))?;
            }
            Pass::Resample => {
                let number = given.map_or(Number::Kept(&before.clock), Number::Given);
                self.resampling(after).launch(device, number)?;
            }
            Pass::Copies => {
                let number = given.map_or(Number::Kept(&before.clock), Number::Given);
                self.resampling(after).launch_copies(device, number)?;
            }
            Pass::Positions | Pass::Retain => self.follow_paths(pass, before, after, step, level)?,
            _ => {
                self.around(pass, before, after, given.map_or(Number::Kept(&before.clock), Number::Given))?
            }
        }
        Ok(())
    }

    fn resampling<'b>(&'b self, after: &'b Carried) -> Resampling<'b> {
        self.by_priority(Resampling {
            scheme: self
                .path
                .as_ref()
                .and_then(|_| self.options.scheme.conditional())
                .unwrap_or_else(|| self.options.scheme.kernel()),
            kind: Weights::Log,
            values: &after.log_w,
            records: &self.blocks,
            parts: &self.parts,
            coeffs: &self.table,
            norms: &self.norms,
            history: &self.history,
            seeds: &self.keys,
            ancestors: &self.ancestors,
            of: &self.of,
        })
    }

    fn step(&self, stage: Stage, before: &Carried, after: &Carried, step: Option<usize>) -> Result<()> {
        let launch = self.launch_of(stage, before, after);
        Ok(launch.launch_named(self.device, self.options.kernel(), step)?)
    }

    fn fused(&self, step: usize) -> Step<'_> {
        self.launch_of(Stage::Fused, &self.carried[step % 2], &self.carried[(step + 1) % 2])
    }

    fn launch_of<'b>(&'b self, stage: Stage, before: &'b Carried, after: &'b Carried) -> Step<'b> {
        Step {
            stage,
            keeps: self.plan.keeps,
            weighted_start: self.start.weighted,
            always: self.options.resample == Policy::Every && self.options.langevin.moves == 0,
            before,
            after,
            ancestors: &self.ancestors,
            norms: &self.norms,
            scratch: &self.scratch,
            feed: &self.feed,
            rows: &self.rows,
            outside: self.plan.outside,
            blocks: &self.blocks,
            handed: &self.chosen.handed,
            rungs: self.rungs(),
            coeffs: &self.table,
            seeds: &self.keys,
            of: &self.of,
        }
    }

    fn evaluate(&self, model: usize, level: Number) -> Result<()> {
        let rows = &self.rows;
        let (count, out) = (self.of.particles(), &self.feed.params);
        // Behind the scores of the models outside that come before it.
        let before = self.models[..model].iter().filter(|m| m.outside()).count();
        let first = before * count * self.of.dim;
        match &self.models[model] {
            Model::Foreign(own) => match level {
                Number::Given(level) => own.score(self.device, rows, count, self.levels[level], out, first),
                Number::Kept(_) => {
                    Err(Error::input("foreign model", "a level on the device", "one on the host"))
                }
            },
            Model::Network(_) | Model::Layered(_) => {
                let told = model::told_cell(self.models, self.options, model, count * self.of.dim);
                let beside = model::Beside { told, seeds: &self.keys };
                self.networks[&model].launch(self.device, rows, out, first, count, level, beside)
            }
            Model::Analytic(_) | Model::Classifier(_) | Model::Likelihood(_) => Ok(()),
        }
    }

    /// The row of the table for level `level`.
    pub fn row(&self, level: usize) -> &StepCoeffs {
        self.coeffs.get(level).unwrap_or(&self.end)
    }
}
