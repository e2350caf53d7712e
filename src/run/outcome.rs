//! The whole run: from particles drawn to what comes back.

use std::time::Instant;

use feynkac_kernels::device::{Counts, Device};
use feynkac_kernels::passes::mlp::Compute;
use feynkac_kernels::passes::weights::RECORD;
use serde::Serialize;

use super::{Ladder, Refined, Run, Steady, batches, check_record, log_mean};
use crate::coeffs;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::options::{Final, Options};
use crate::registry::Scheme;
use crate::trust::{self, Finished, Genealogy, OverGroups, Trust};

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
    /// Kernel launches of the whole run, those of replays among them.
    pub launches: u64,
    /// Replays of a graph.
    pub replays: u64,
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
    /// Start and first step, in which kernels are compiled; the first two where a graph is recorded.
    pub compile_s: f64,
    /// The steps after that.
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
    /// Standard errors of each group by itself, and whether to believe them.
    pub trust: Vec<Trust>,
    /// Parents of every step, where they were kept.
    pub genealogy: Option<Genealogy>,
    /// Positions along the path of each particle, `[steps + 1, groups * particles, dim]`, where they were kept.
    pub paths: Option<Vec<f32>>,
    /// What sweeps of particle Gibbs made of the run, where there were any.
    pub refined: Option<Refined>,
    /// How the weight of a reward went up, where the ESS said how far.
    pub ladder: Option<Ladder>,
    /// Standard error of the divergences at the last level, root mean square, where they were estimated.
    pub divergence_error: Option<f64>,
    /// What each network was multiplied in; none for closed forms and foreign models.
    pub compute: Vec<Compute>,
    /// How the steps reached the device.
    pub steady: Steady,
    /// Launches, downloads, bytes.
    pub counters: Counters,
    /// Times.
    pub timings: Timings,
}

impl Outcome {
    /// Estimates of all groups together, with errors by their spread; `None` of a single group.
    pub fn over_groups(&self) -> Option<OverGroups> {
        let means: Vec<&[f64]> = self.trust.iter().map(|trust| &trust.mean[..]).collect();
        trust::over_groups(&self.log_z, &means)
    }
}

/// Draws particles, as many groups at once as [`super::batches`] says. `watch` is called at most four times a
/// second, each time after one 16-byte read from the device; without it nothing is read between the first and
/// the last step.
pub fn sample(
    device: &Device,
    models: &[Model],
    options: &Options,
    mut watch: Option<&mut dyn FnMut(Glance)>,
) -> Result<Outcome> {
    let batches = batches(device, models, options)?;
    let mut whole: Option<Outcome> = None;
    for (i, groups) in batches.ranges().enumerate() {
        let watched = watch.is_some();
        let mut tell = |glance: Glance| {
            let (step, steps) = (i * options.steps + glance.step, batches.count() * options.steps);
            if let Some(watch) = watch.as_mut() {
                watch(Glance { step, steps, ..glance });
            }
        };
        let watch: Option<&mut dyn FnMut(Glance)> = if watched { Some(&mut tell) } else { None };
        let part = batch(Run::of_groups(device, models, options, groups)?, watch)?;
        match &mut whole {
            Some(whole) => whole.append(part),
            None => whole = Some(part),
        }
    }
    Ok(whole.expect("there is at least one group"))
}

/// Draws the groups of `run`.
fn batch(run: Run, mut watch: Option<&mut dyn FnMut(Glance)>) -> Result<Outcome> {
    let (device, options) = (run.device, run.options);
    let began = Instant::now();
    let counted = device.counts();
    let mut done = run.open()?;
    if done == 0 {
        run.advance_through(0..1)?;
        done = 1;
    }
    device.sync()?;
    let first = done;
    let compile_s = began.elapsed().as_secs_f64();
    let (entered, looping) = (device.counts(), Instant::now());
    let mut looked = Instant::now();
    let steps = run.coeffs.len();
    let of_steps = run.rows_of.share();
    let speed = |done: usize, s: f64| (run.of.particles() * done) as f64 * of_steps / s.max(1.0e-9);
    let stride = run.stride();
    while done < steps {
        let next = (done + stride).min(steps);
        run.advance_through(done..next)?;
        done = next;
        if let Some(watch) = watch.as_mut().filter(|_| looked.elapsed().as_secs_f64() >= 0.25) {
            let norms = device.download(&run.norms)?;
            let ess = if norms[2] > 0.0 { norms[1] * norms[1] / norms[2] } else { options.particles as f32 };
            let particle_steps_per_s = speed(done - first, looping.elapsed().as_secs_f64());
            let step = run.rows_of.step(done);
            watch(Glance { step, steps: options.steps, ess: f64::from(ess), particle_steps_per_s });
            looked = Instant::now();
        }
    }
    device.sync()?;
    let (left, loop_s) = (device.counts(), looping.elapsed().as_secs_f64());
    let mut outcome = read(&run)?;
    let done = device.counts();
    let moved = |of: Counts| of.bytes_read + of.bytes_written;
    // A run of the first step alone has no loop: the whole of it, then.
    let (bytes, rows) = if steps > first {
        (moved(left) - moved(entered), steps - first)
    } else {
        (moved(left) - moved(counted), 1)
    };
    let counted_steps = rows as f64 * of_steps;
    outcome.counters = Counters {
        launches: done.launches - counted.launches,
        replays: done.replays - counted.replays,
        launches_per_step: if steps > first {
            (left.launches - entered.launches) as f64 / counted_steps
        } else {
            run.plan.launches_per_step() as f64 / of_steps
        },
        downloads_in_loop: left.downloads - entered.downloads,
        bytes_per_particle_step: bytes as f64 / (run.of.particles() as f64 * counted_steps),
        allocations_in_loop: left.allocations - entered.allocations,
    };
    if options.paths {
        let own = |slot: usize| {
            if options.last == Final::Resample {
                outcome.ancestors[slot]
            } else {
                (slot % run.of.slots) as u32
            }
        };
        let ends: Vec<u32> = (0..outcome.ancestors.len()).map(own).collect();
        outcome.paths = Some(device.download(&run.trace(&ends)?)?);
    }
    let particles = run.of.particles();
    if options.refine > 0 {
        outcome.refined = Some(run.refine()?);
    }
    let total_s = began.elapsed().as_secs_f64();
    let speed = |done: usize, s: f64| (particles * done) as f64 / s.max(1.0e-9);
    let particle_steps_per_s = if steps > first { speed(steps - first, loop_s) } else { speed(1, compile_s) };
    outcome.timings = Timings { compile_s, loop_s, total_s, particle_steps_per_s };
    Ok(outcome)
}

impl Outcome {
    /// Adds groups that were drawn after these.
    fn append(&mut self, more: Self) {
        let (before, particles) = (self.log_w.len(), more.log_w.len());
        let [own, other] = [before, particles].map(|particles| particles as f64);
        self.x.extend(more.x);
        self.log_w.extend(more.log_w);
        self.ancestors.extend(more.ancestors);
        self.log_z.extend(more.log_z);
        self.ess.extend(more.ess);
        self.resampled_at.extend(more.resampled_at);
        self.distinct_roots.extend(more.distinct_roots);
        self.trust.extend(more.trust);
        if let (Some(own), Some(other)) = (&mut self.genealogy, &more.genealogy) {
            own.append(other);
        }
        if let (Some(own), Some(other)) = (&mut self.refined, &more.refined) {
            own.append(other);
        }
        if let (Some(own), Some(other)) = (&mut self.ladder, &more.ladder) {
            own.append(other);
        }
        if let (Some(own), Some(other)) = (&mut self.paths, &more.paths) {
            // A row a level of each.
            let [a, b] = [before * self.dim, particles * self.dim];
            *own = own
                .chunks(a)
                .zip(other.chunks(b))
                .flat_map(|(own, other)| own.iter().chain(other))
                .copied()
                .collect();
        }
        self.divergence_error =
            self.divergence_error.into_iter().chain(more.divergence_error).reduce(f64::max);
        let (counters, counted) = (&mut self.counters, more.counters);
        counters.launches += counted.launches;
        counters.replays += counted.replays;
        counters.launches_per_step += counted.launches_per_step;
        counters.downloads_in_loop += counted.downloads_in_loop;
        counters.allocations_in_loop += counted.allocations_in_loop;
        let bytes = own * counters.bytes_per_particle_step + other * counted.bytes_per_particle_step;
        counters.bytes_per_particle_step = bytes / (own + other);
        let (timings, timed) = (&mut self.timings, more.timings);
        // Particle-steps of each over its rate are the seconds it counted.
        let seconds = own / timings.particle_steps_per_s + other / timed.particle_steps_per_s;
        timings.particle_steps_per_s = (own + other) / seconds;
        timings.compile_s += timed.compile_s;
        timings.loop_s += timed.loop_s;
        timings.total_s += timed.total_s;
    }
}

/// Refuses the records of a run in which weights went wrong.
pub(super) fn check_records(run: &Run, records: &[[f32; RECORD]]) -> Result<()> {
    let weighed = coeffs::weighs(run.options);
    for (i, record) in records.iter().enumerate().filter(|_| weighed) {
        let (step, group) = (i / run.of.groups, run.first_group + i % run.of.groups);
        check_record(record, step, group)?;
    }
    Ok(())
}

/// Takes a finished run from the device and off its layout.
pub fn read(run: &Run) -> Result<Outcome> {
    let (of, options, device) = (&run.of, run.options, run.device);
    let last = run.last();
    let x = last.x.download(device)?;
    let keeps = &run.plan.keeps;
    let log_w = if keeps.weighed { device.download(&last.log_w)? } else { vec![0.0; of.stride()] };
    let roots = if keeps.roots { device.download(&last.roots)? } else { Vec::new() };
    let ancestors = device.download(&run.ancestors)?;
    let (records, chosen, centred) = (run.records()?, run.records_chosen()?, run.centred()?);
    let weighed = coeffs::weighs(options);
    let steps = run.rows_of.steps();
    check_records(run, &records)?;
    let (k, d) = (of.slots, of.dim);
    let parents = run.parents()?;
    let genealogy =
        (!parents.is_empty()).then_some(Genealogy { parents, groups: of.groups, slots: of.slots });
    let kept = run.log_weights()?;
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
        trust: Vec::new(),
        genealogy: None,
        paths: None,
        refined: None,
        ladder: None,
        divergence_error: run.divergence_error()?,
        compute: run.compute(),
        steady: run.steady(),
        counters: Counters {
            launches: 0,
            replays: 0,
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
        let log_sum = |record: [f64; RECORD]| log_mean(record, k);
        if weighed {
            let decided: Vec<[f64; RECORD]> = (0..steps)
                .map(|step| records[run.rows_of.decided(step) * of.groups + g].map(f64::from))
                .collect();
            out.ess.push(decided.iter().map(|[_, s, q, _]| s * s / q).collect());
            let resampled: Vec<usize> =
                decided.iter().enumerate().filter(|(_, r)| r[3] > 0.5).map(|(i, _)| i).collect();
            let open = own().next_back().filter(|r| r[3] < 0.5).map_or(0.0, log_sum);
            // What was resampled by counts, not what was weighed: survivors keep the rest.
            let counted = own().zip(chosen.iter().skip(g).step_by(of.groups));
            let counted = counted.filter(|(r, _)| r[3] > 0.5).map(|(_, c)| log_sum(c.map(f64::from)));
            out.log_z.push(counted.sum::<f64>() + open + centred[g]);
            out.resampled_at.push(resampled);
        } else {
            out.ess.push(vec![k as f64; steps]);
            out.log_z.push(f64::NAN);
            out.resampled_at.push(Vec::new());
        }
        // The last resampling adds noise and no information: errors are those of the weights before it.
        let own_log_w: Vec<f64> = log_w[base..base + k].iter().map(|l| f64::from(*l)).collect();
        let before: Vec<usize> = out.resampled_at[g].iter().copied().filter(|s| s + 1 < steps).collect();
        let finished = Finished {
            log_w: &own_log_w,
            roots: keeps.roots.then(|| &roots[base..base + k]),
            genealogy: genealogy.as_ref().map(|all| (all, g)),
            resampled_at: &before,
            independent: options.scheme == Scheme::Multinomial,
            weighed,
            heaviest: {
                let row = |step: usize| run.rows_of.decided(step) * of.stride() + base;
                let rows =
                    before.iter().filter(|_| !kept.is_empty()).map(|&s| (s, &kept[row(s)..row(s) + k]));
                trust::heaviest(rows)
            },
            least_ess: out.ess[g].iter().copied().fold(k as f64, f64::min),
            left_out: !options.weights && options.method.row().needs.weights,
        };
        let at = |c: usize, slot: usize| f64::from(x[of.cell(device.layout(), d, c, base + slot)]);
        out.trust.push(trust::assess(&finished, d, at));
    }
    out.genealogy = genealogy;
    out.ladder = run.ladder(&out.ess)?;
    if let Some(i) = out.x.iter().position(|v| !v.is_finite()) {
        let group = run.first_group + i / (k * d);
        return Err(Error::Run { step: steps - 1, group, what: "a coordinate is not finite" });
    }
    Ok(out)
}
