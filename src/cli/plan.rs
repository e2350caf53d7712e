//! `feynkac plan`: the passes of a run, what it holds and what it moves, without running it.

use std::time::Instant;

use clap::Args;
use feynkac_kernels::device::Device;

use super::prepare::Job;
use super::settings::Flags;
use super::table::{bytes, columns, short};
use super::{print, warn};
use crate::error::Result;
use crate::measure::{Spread, timed};
use crate::options::State;
use crate::run::{Batches, Run, batches, sample};

/// Flags of the subcommand.
#[derive(Args, Debug)]
pub struct PlanFlags {
    #[command(flatten)]
    flags: Flags,
    /// Run a few steps to predict how long all of them take
    #[arg(long)]
    measure: bool,
    /// Then run all of them and say how good the predictions were
    #[arg(long, requires = "measure")]
    check: bool,
}

/// Seconds of steps that are run to predict the rest.
const SAMPLE_S: f64 = 0.3;
/// Predictions that are checked, at most, and seconds after which there are enough.
const CHECKS: usize = 7;
const CHECKS_S: f64 = 30.0;

/// Runs the subcommand.
pub fn run(asked: PlanFlags) -> Result<()> {
    let (settings, _) = asked.flags.resolve()?;
    let job = Job::new(&settings)?;
    warn(&job.warnings);
    let device = Device::open(job.device)?;
    let (models, options) = (&job.models, &job.options);
    let batches = batches(&device, models, options)?;
    let planning = device.planning();
    let run = Run::of_groups(&planning, models, options, 0..batches.at_once)?;
    let mut text = format!("{}\n", run.plan);
    let at_once = run.at_once();
    if at_once > 1 {
        text.push_str(&format!("on {}: {at_once} steps a launch\n", device.backend()));
    }
    for (i, compute) in run.compute().into_iter().enumerate() {
        text.push_str(&format!("on {}: network {} in {compute}\n", device.backend(), i + 1));
    }
    text.push_str(&format!("on {}: {}\n", device.backend(), run.steady()));
    if job.options.state != State::F32 {
        text.push_str(&format!("positions and carried scores in {}\n", job.options.state));
    }
    text.push_str(&format!("\n{}", moved(&run)));
    text.push_str(&format!("\n{}", held(&run)));
    text.push_str(&format!("micro-batch: {}\n", groups(&batches)));
    if asked.measure {
        text.push_str(&format!("\n{}", measured(&device, &job, &batches, asked.check)?));
    }
    print(&text);
    Ok(())
}

/// How many groups run at once.
fn groups(of: &Batches) -> String {
    match (of.groups, of.count()) {
        (1, _) => "the one group".to_string(),
        (all, 1) => format!("all {all} groups at once"),
        (all, count) => format!("{} of {all} groups at once, {count} batches", of.at_once),
    }
}

/// What a few steps of the first batch say of all; and all of them, where they are to `check` it, in turn with more
/// predictions.
fn measured(device: &Device, job: &Job, batches: &Batches, check: bool) -> Result<String> {
    let (models, options) = (&job.models, &job.options);
    let particle_steps = (options.groups * options.particles * options.steps) as f64;
    let predict = || -> Result<(f64, (u64, u64, u64))> {
        let before = device.memory().0;
        let run = Run::of_groups(device, models, options, 0..batches.at_once)?;
        let seconds = predicted(&run)? * options.groups as f64 / batches.at_once as f64;
        let (in_use, reserved) = device.memory();
        Ok((seconds, (in_use, reserved, in_use.saturating_sub(before))))
    };
    let (seconds, (in_use, reserved, own)) = predict()?;
    let mut text = format!(
        "predicted: {} s for {} steps, {} particle-steps/s\nmemory: {} in use, {} reserved, {} may be used; predicted over in use: {}\n",
        short(seconds),
        options.steps,
        short(particle_steps / seconds),
        bytes(in_use),
        bytes(reserved),
        batches.available.map_or("any".to_string(), bytes),
        short(batches.bytes as f64 / own.max(1) as f64),
    );
    if !check {
        return Ok(text);
    }
    let (mut found, mut ratios, began) = (Vec::new(), Vec::new(), Instant::now());
    while ratios.is_empty() || ratios.len() < CHECKS && began.elapsed().as_secs_f64() < CHECKS_S {
        let seconds = predict()?.0;
        found.push(particle_steps / sample(device, models, options, None)?.timings.particle_steps_per_s);
        ratios.push(seconds / found[found.len() - 1]);
    }
    let spread = |values: &[f64]| {
        let Spread { lower, median, upper } = Spread::of(values);
        format!("{} ({} to {})", short(median), short(lower), short(upper))
    };
    text.push_str(&format!(
        "measured: {} s; predicted over measured: {}; {} rounds\n",
        spread(&found),
        spread(&ratios),
        ratios.len()
    ));
    Ok(text)
}

/// Bytes a particle of each pass of a step.
fn moved(run: &Run) -> String {
    // Those of a step's moves among them.
    let particles = run.of.particles() as f64 * run.rows_of.share();
    let mut rows = vec![["a particle-step", "read", "written"].map(String::from).to_vec()];
    let (mut read, mut written) = (0.0, 0.0);
    for &pass in &run.plan.step {
        let work = run.work(pass);
        let each = [work.read, work.written].map(|bytes| bytes as f64 / particles);
        read += each[0];
        written += each[1];
        rows.push(vec![
            pass.describe().0.to_string(),
            format!("{:.1} B", each[0]),
            format!("{:.1} B", each[1]),
        ]);
    }
    rows.push(vec!["all".to_string(), format!("{read:.1} B"), format!("{written:.1} B")]);
    columns(&rows)
}

/// Every buffer; nothing more is reserved while the run goes on.
fn held(run: &Run) -> String {
    let buffers = run.buffers();
    let mut rows = vec![vec!["buffers".to_string(), "bytes".to_string()]];
    rows.extend(buffers.iter().map(|(what, size)| vec![(*what).to_string(), bytes(*size)]));
    rows.push(vec!["all, the peak".to_string(), bytes(buffers.iter().map(|(_, size)| size).sum())]);
    columns(&rows)
}

/// Seconds of all steps, from as many as fit into [`SAMPLE_S`], after those in which kernels are compiled: more and
/// more of them at a time, because a run waits for the device at its end only. The longest stretch counts.
fn predicted(run: &Run) -> Result<f64> {
    let steps = run.coeffs.len();
    let first = match run.open()? {
        0 => run.advance_through(0..1).map(|()| 1)?,
        done => done,
    };
    run.device.sync()?;
    let (mut stretch, mut done, began) = (run.stride(), first, Instant::now());
    let (mut longest, mut each) = (0, 0.0);
    while done < steps && began.elapsed().as_secs_f64() < SAMPLE_S {
        let next = (done + stretch).min(steps);
        let seconds = timed(run.device, || run.advance_through(done..next))?.seconds;
        if next - done >= longest {
            (longest, each) = (next - done, seconds / (next - done) as f64);
        }
        (done, stretch) = (next, 2 * stretch);
    }
    if longest == 0 {
        each = timed(run.device, || run.advance_through(0..first))?.seconds / first as f64;
    }
    Ok(each * steps as f64)
}
