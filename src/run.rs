//! Runs a plan on a device; owns the buffers.

use std::ops::Range;
use std::time::Instant;

use feynkac_kernels::device::{Buf, Counts, Device};
use feynkac_kernels::methods::StepCoeffs;
use feynkac_kernels::passes::init::{Start, init};
use feynkac_kernels::passes::mlp;
use feynkac_kernels::passes::resample::Resampling;
use feynkac_kernels::passes::step::{Carried, Feed, Stage, Step};
use feynkac_kernels::passes::steps;
use feynkac_kernels::passes::weights::{RECORD, Weights};
use feynkac_kernels::prims::state::Population;
use serde::Serialize;

use crate::coeffs;
use crate::error::{Error, Result};
use crate::model::{self, Model, Noise};
use crate::options::{Final, Options, Policy};
use crate::plan::{Pass, Plan};

/// On the CPU a launch has about this many particle-steps, where the population is smaller.
const MANY_PARTICLES: usize = 1 << 20;
/// Groups of at most as many slots stay in one cube of a GPU.
const SMALL_GROUP: usize = 4096;
/// Steps of a launch at most: no driver should take it for dead.
const MOST_STEPS: usize = 256;

/// A look at a run under way.
#[derive(Clone, Copy, Debug)]
pub struct Glance {
    /// Steps done.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// ESS of the first group, particles.
    pub ess: f64,
    /// Speed so far.
    pub particle_steps_per_s: f64,
}

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Counters {
    /// Kernel launches of the whole run.
    pub launches: u64,
    /// Kernel launches of a step.
    pub launches_per_step: f64,
    /// Reads by the host between the first and the last step.
    pub downloads_in_loop: u64,
    /// Bytes that the launches of a step must read or write, a particle.
    pub bytes_per_particle_step: f64,
    /// Buffers reserved between the first and the last step.
    pub allocations_in_loop: u64,
}

/// Wall-clock times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Timings {
    /// Start and first step, in which kernels are compiled.
    pub compile_s: f64,
    /// The steps after the first.
    pub loop_s: f64,
    /// Everything, reading the result included.
    pub total_s: f64,
    /// Particles times steps of the loop over its time.
    pub particle_steps_per_s: f64,
}

/// What a run returns.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Particles `[groups * particles, dim]`, group after group.
    pub x: Vec<f32>,
    /// Coordinates.
    pub dim: usize,
    /// Unnormalised log-weights since the last resampling.
    pub log_w: Vec<f32>,
    /// Ancestors of the last resampling within the group; identity if there was none.
    pub ancestors: Vec<u32>,
    /// Estimate of the log-evidence of each group; NaN where nothing was weighed.
    pub log_z: Vec<f64>,
    /// ESS `[group][step]`, particles.
    pub ess: Vec<Vec<f64>>,
    /// Steps (0-based) after which each group was resampled.
    pub resampled_at: Vec<Vec<usize>>,
    /// Particles of the start that have descendants; empty where they are not followed.
    pub distinct_roots: Vec<usize>,
    /// Launches, downloads, bytes.
    pub counters: Counters,
    /// Times.
    pub timings: Timings,
}

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
    /// Noise levels, one more than steps.
    pub levels: Vec<Noise>,
    /// Coefficients of each step.
    pub coeffs: Vec<StepCoeffs>,
    /// Law of the start.
    pub start: Start,
    /// Seed of each group.
    pub seeds: Vec<u64>,
    /// Particles before and after a step, in turn: step i reads `carried[i % 2]`.
    pub carried: [Carried; 2],
    /// Parents.
    pub ancestors: Buf<u32>,
    /// Group records.
    pub norms: Buf<f32>,
    models: &'a [Model],
    networks: Vec<mlp::Network>,
    feed: Feed,
    rows: Buf<f32>,
    blocks: Buf<u32>,
    history: Buf<f32>,
    table: Buf<f32>,
    keys: Buf<u32>,
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
        let plan = Plan::of(options, models)?;
        let of = Population {
            groups: options.groups,
            slots: options.particles,
            dim: models[0].dim(),
            lanes: device.lanes_for(options.particles),
            max_block: options.block,
        };
        let levels = coeffs::levels(options)?;
        let steps = coeffs::steps(options, &levels, of.dim)?;
        let start = coeffs::start(options, models, levels[0])?;
        let seeds: Vec<u64> = (0..of.groups).map(|g| group_seed(options.seed, g)).collect();
        let keys: Vec<u32> = seeds.iter().flat_map(|s| [*s as u32, (s >> 32) as u32]).collect();
        let rows = of.particles() * of.dim;
        let networks = models
            .iter()
            .filter_map(|m| if let Model::Network(n) = m { Some(n.upload(device, &levels)) } else { None })
            .collect::<Result<Vec<_>>>()?;
        let feed = if plan.outside {
            let map: Vec<u32> =
                [0].into_iter().chain((0..models.len()).flat_map(|m| [(m * rows) as u32, 0, 0])).collect();
            Feed {
                kinds: Vec::new(),
                count: models.len(),
                params: device.empty("network scores", models.len() * rows)?,
                levels: device.upload("levels", &[0.0_f32])?,
                map: device.upload("model map", &map)?,
                turns: (models.len() * of.dim) as u64,
            }
        } else {
            let targets: Vec<_> = models
                .iter()
                .filter_map(|m| if let Model::Analytic(t) = m { Some(t) } else { None })
                .collect();
            model::feed(device, &targets, &levels)?
        };
        let table: Vec<f32> = steps.iter().flat_map(|c| c.row()).collect();
        let carried = || Carried::new(device, &of, &plan.keeps);
        Ok(Self {
            device,
            options,
            of,
            seeds,
            carried: [carried()?, carried()?],
            ancestors: device.empty("ancestors", of.stride())?,
            norms: device.upload("group records", &vec![0.0_f32; RECORD * of.groups])?,
            models,
            networks,
            feed,
            rows: device.empty("rows", if plan.outside { rows } else { 1 })?,
            blocks: device.empty("block records", RECORD * of.groups * of.blocks())?,
            history: device.upload("history", &vec![0.0_f32; RECORD * of.groups * steps.len()])?,
            table: device.upload("coefficients", &table)?,
            keys: device.upload("seeds", &keys)?,
            plan,
            levels,
            coeffs: steps,
            start,
        })
    }

    /// Launches the passes before the first step.
    pub fn begin(&self) -> Result<()> {
        self.plan.start.iter().try_for_each(|&pass| self.pass(pass, 0, 0))
    }

    /// Launches the passes of step `step`.
    pub fn advance(&self, step: usize) -> Result<()> {
        self.plan.step.iter().try_for_each(|&pass| self.pass(pass, step, step + 1))
    }

    /// Steps of a launch: several where launches would cost more than the work.
    pub fn at_once(&self) -> usize {
        let fused = self.plan.step.first() == Some(&Pass::Fused);
        let Some(launch) = fused.then(|| self.fused(0)) else { return 1 };
        let worth = if self.device.is_cpu() {
            (MANY_PARTICLES / self.of.particles()).clamp(1, MOST_STEPS)
        } else if self.of.slots <= SMALL_GROUP {
            MOST_STEPS
        } else {
            1
        };
        let asked = if self.options.at_once > 0 { self.options.at_once } else { worth };
        asked.min(launch.most_steps(self.device)).min(self.coeffs.len())
    }

    /// Launches the passes of several steps: together where they may be.
    pub fn advance_through(&self, steps: Range<usize>) -> Result<()> {
        let at_once = self.at_once();
        if at_once < 2 {
            return steps.into_iter().try_for_each(|step| self.advance(step));
        }
        let mut from = steps.start;
        while from < steps.end {
            let to = (from + at_once).min(steps.end);
            let kernel = self.options.method.row().kernel;
            steps::launch(self.device, &self.fused(from), kernel, &self.history, from..to)?;
            from = to;
        }
        Ok(())
    }

    /// Launches one pass of step `step`; models are evaluated at level `level`.
    pub fn pass(&self, pass: Pass, step: usize, level: usize) -> Result<()> {
        let (before, after) = (&self.carried[step % 2], &self.carried[(step + 1) % 2]);
        let device = self.device;
        match pass {
            // The start fills what step 0 reads.
            Pass::Init => {
                let rows = self.plan.outside.then_some(&self.rows);
                let (start, keeps) = (&self.start, &self.plan.keeps);
                init(device, start, before, keeps, &self.ancestors, rows, &self.keys, &self.of)?;
            }
            Pass::Start => self.step(Stage::Start, after, before, step)?,
            Pass::Fused => self.step(Stage::Fused, before, after, step)?,
            Pass::Move => self.step(Stage::Move, before, after, step)?,
            Pass::Weigh => self.step(Stage::Weigh, before, after, step)?,
            Pass::Evaluate(model) => self.evaluate(model, level)?,
            Pass::Resample => {
                let resampling = Resampling {
                    kind: Weights::Log,
                    values: &after.log_w,
                    records: &self.blocks,
                    coeffs: &self.table,
                    norms: &self.norms,
                    history: &self.history,
                    seeds: &self.keys,
                    ancestors: &self.ancestors,
                    of: &self.of,
                };
                resampling.launch(device, step)?;
            }
        }
        Ok(())
    }

    fn step(&self, stage: Stage, before: &Carried, after: &Carried, step: usize) -> Result<()> {
        let launch = self.launch_of(stage, before, after);
        Ok(launch.launch_named(self.device, self.options.method.row().kernel, step)?)
    }

    fn fused(&self, step: usize) -> Step<'_> {
        self.launch_of(Stage::Fused, &self.carried[step % 2], &self.carried[(step + 1) % 2])
    }

    fn launch_of<'b>(&'b self, stage: Stage, before: &'b Carried, after: &'b Carried) -> Step<'b> {
        Step {
            stage,
            keeps: self.plan.keeps,
            weighted_start: self.start.weighted,
            always: self.options.resample == Policy::Every,
            before,
            after,
            ancestors: &self.ancestors,
            norms: &self.norms,
            feed: &self.feed,
            rows: &self.rows,
            outside: self.plan.outside,
            blocks: &self.blocks,
            coeffs: &self.table,
            seeds: &self.keys,
            of: &self.of,
        }
    }

    fn evaluate(&self, model: usize, level: usize) -> Result<()> {
        let rows = &self.rows;
        let (count, out) = (self.of.particles(), &self.feed.params);
        let first = model * count * self.of.dim;
        match &self.models[model] {
            Model::Foreign(own) => own.score(self.device, rows, count, self.levels[level], out, first),
            Model::Network(_) => {
                let before = &self.models[..model];
                let index = before.iter().filter(|m| matches!(m, Model::Network(_))).count();
                Ok(self.networks[index].launch(self.device, rows, out, first, count, level)?)
            }
            Model::Analytic(_) => Ok(()),
        }
    }

    /// Particles after the last step.
    pub fn last(&self) -> &Carried {
        &self.carried[self.coeffs.len() % 2]
    }

    /// Reads the records of all steps: `[step][group]` of (exponent, sum, square, decision).
    pub fn records(&self) -> Result<Vec<[f32; RECORD]>> {
        let flat = self.device.download(&self.history)?;
        Ok(flat.chunks_exact(RECORD).map(|r| [r[0], r[1], r[2], r[3]]).collect())
    }
}

/// Draws particles. `watch` is called at most four times a second, each time after one 16-byte
/// read from the device; without it nothing is read between the first and the last step.
pub fn sample(
    device: &Device,
    models: &[Model],
    options: &Options,
    mut watch: Option<&mut dyn FnMut(Glance)>,
) -> Result<Outcome> {
    let began = Instant::now();
    let run = Run::new(device, models, options)?;
    let counted = device.counts();
    run.begin()?;
    run.advance_through(0..1)?;
    device.sync()?;
    let compile_s = began.elapsed().as_secs_f64();
    let (entered, looping) = (device.counts(), Instant::now());
    let mut looked = Instant::now();
    let steps = run.coeffs.len();
    let speed = |done: usize, s: f64| (run.of.particles() * done) as f64 / s.max(1.0e-9);
    let at_once = run.at_once();
    let mut done = 1;
    while done < steps {
        let next = (done + at_once).min(steps);
        run.advance_through(done..next)?;
        done = next;
        if let Some(watch) = watch.as_mut().filter(|_| looked.elapsed().as_secs_f64() >= 0.25) {
            let norms = device.download(&run.norms)?;
            let ess = if norms[2] > 0.0 { norms[1] * norms[1] / norms[2] } else { options.particles as f32 };
            let particle_steps_per_s = speed(done - 1, looping.elapsed().as_secs_f64());
            watch(Glance { step: done, steps, ess: f64::from(ess), particle_steps_per_s });
            looked = Instant::now();
        }
    }
    device.sync()?;
    let (left, loop_s) = (device.counts(), looping.elapsed().as_secs_f64());
    let mut outcome = read(&run)?;
    let done = device.counts();
    let moved = |of: Counts| of.bytes_read + of.bytes_written;
    // A run of one step has no loop: the whole of it, then.
    let (bytes, counted_steps) =
        if steps > 1 { (moved(left) - moved(entered), steps - 1) } else { (moved(left) - moved(counted), 1) };
    outcome.counters = Counters {
        launches: done.launches - counted.launches,
        launches_per_step: if steps > 1 {
            (left.launches - entered.launches) as f64 / (steps - 1) as f64
        } else {
            run.plan.launches_per_step() as f64
        },
        downloads_in_loop: left.downloads - entered.downloads,
        bytes_per_particle_step: bytes as f64 / (run.of.particles() * counted_steps) as f64,
        allocations_in_loop: left.allocations - entered.allocations,
    };
    let total_s = began.elapsed().as_secs_f64();
    let particle_steps_per_s = if steps > 1 { speed(steps - 1, loop_s) } else { speed(1, compile_s) };
    outcome.timings = Timings { compile_s, loop_s, total_s, particle_steps_per_s };
    Ok(outcome)
}

/// Takes a finished run from the device and off its layout.
pub fn read(run: &Run) -> Result<Outcome> {
    let (of, options, device) = (&run.of, run.options, run.device);
    let last = run.last();
    let x = device.download(&last.x)?;
    let keeps = &run.plan.keeps;
    let log_w = if keeps.weighed { device.download(&last.log_w)? } else { vec![0.0; of.stride()] };
    let roots = if keeps.roots { device.download(&last.roots)? } else { Vec::new() };
    let ancestors = device.download(&run.ancestors)?;
    let records = run.records()?;
    let weighed = coeffs::weighs(options);
    for (i, record) in records.iter().enumerate().filter(|_| weighed) {
        let (step, group) = (i / of.groups, i % of.groups);
        if record[3] < -1.5 {
            return Err(Error::Run { step, group, what: "a log-weight is NaN or above 9e7" });
        }
        if record[3] < -0.5 {
            return Err(Error::Run { step, group, what: "every weight is zero" });
        }
    }
    let (k, d) = (of.slots, of.dim);
    let gathers = weighed && options.last == Final::Resample;
    let mut out = Outcome {
        x: Vec::with_capacity(of.particles() * d),
        dim: d,
        log_w: Vec::with_capacity(of.particles()),
        ancestors: Vec::with_capacity(of.particles()),
        log_z: Vec::new(),
        ess: Vec::new(),
        resampled_at: Vec::new(),
        distinct_roots: Vec::new(),
        counters: Counters {
            launches: 0,
            launches_per_step: 0.0,
            downloads_in_loop: 0,
            bytes_per_particle_step: 0.0,
            allocations_in_loop: 0,
        },
        timings: Timings { compile_s: 0.0, loop_s: 0.0, total_s: 0.0, particle_steps_per_s: 0.0 },
    };
    for g in 0..of.groups {
        let base = g * of.padded();
        let mut seen = vec![false; k];
        for slot in 0..k {
            let from = base + if gathers { ancestors[base + slot] as usize } else { slot };
            out.x.extend((0..d).map(|c| x[of.cell(device.layout(), d, c, from)]));
            out.log_w.push(if gathers { 0.0 } else { log_w[from] });
            out.ancestors.push(ancestors[base + slot]);
            if keeps.roots {
                seen[roots[from] as usize] = true;
            }
        }
        if keeps.roots {
            out.distinct_roots.push(seen.iter().filter(|&&s| s).count());
        }
        let own = || records.iter().skip(g).step_by(of.groups).map(|r| r.map(f64::from));
        let log_sum = |[e, s, ..]: [f64; RECORD]| e * std::f64::consts::LN_2 + s.ln() - (k as f64).ln();
        if weighed {
            out.ess.push(own().map(|[_, s, q, _]| s * s / q).collect());
            let resampled: Vec<usize> =
                own().enumerate().filter(|(_, r)| r[3] > 0.5).map(|(i, _)| i).collect();
            let open = own().next_back().filter(|r| r[3] < 0.5).map_or(0.0, log_sum);
            out.log_z.push(own().filter(|r| r[3] > 0.5).map(log_sum).sum::<f64>() + open);
            out.resampled_at.push(resampled);
        } else {
            out.ess.push(vec![k as f64; run.coeffs.len()]);
            out.log_z.push(f64::NAN);
            out.resampled_at.push(Vec::new());
        }
    }
    if let Some(i) = out.x.iter().position(|v| !v.is_finite()) {
        let group = i / (k * d);
        return Err(Error::Run { step: run.coeffs.len() - 1, group, what: "a coordinate is not finite" });
    }
    Ok(out)
}
