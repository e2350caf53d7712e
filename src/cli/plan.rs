//! `feynkac plan`: the passes of a run, what it holds and what it moves, without running it.

use std::time::Instant;

use clap::Args;
use feynkac_kernels::device::Device;

use super::prepare::Job;
use super::settings::Flags;
use super::table::{bytes, columns, short};
use super::{print, warn};
use crate::error::Result;
use crate::run::Run;

/// Flags of the subcommand.
#[derive(Args, Debug)]
pub struct PlanFlags {
    #[command(flatten)]
    flags: Flags,
    /// Run a few steps to predict how long all of them take
    #[arg(long)]
    measure: bool,
}

/// Seconds of steps that are run to predict the rest.
const SAMPLE_S: f64 = 0.3;

/// Runs the subcommand.
pub fn run(asked: PlanFlags) -> Result<()> {
    let (settings, _) = asked.flags.resolve()?;
    let job = Job::new(&settings)?;
    warn(&job.warnings);
    let device = Device::open(job.device)?;
    let run = Run::new(&device, &job.models, &job.options)?;
    let mut text = format!("{}\n", run.plan);
    let (steps, at_once) = (run.coeffs.len(), run.at_once());
    if at_once > 1 {
        text.push_str(&format!("on {}: {at_once} steps a launch\n", device.backend()));
    }
    for (i, compute) in run.compute().into_iter().enumerate() {
        text.push_str(&format!("on {}: network {} in {compute}\n", device.backend(), i + 1));
    }
    text.push_str(&format!("on {}: {}\n", device.backend(), run.steady()));
    text.push_str(&format!("\n{}", moved(&run)));
    text.push_str(&format!("\n{}", held(&run)));
    if asked.measure {
        let seconds = predicted(&run)?;
        let rate = (run.of.particles() * steps) as f64 / seconds;
        let (in_use, reserved) = device.memory();
        text.push_str(&format!(
            "\npredicted: {} s for {steps} steps, {} particle-steps/s\nmemory: {} in use, {} reserved\n",
            short(seconds),
            short(rate),
            bytes(in_use),
            bytes(reserved)
        ));
    }
    print(&text);
    Ok(())
}

/// Bytes a particle of each pass of a step.
fn moved(run: &Run) -> String {
    let particles = run.of.particles() as f64;
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

/// Seconds of all steps, from as many as fit into [`SAMPLE_S`], after those in which kernels are compiled.
fn predicted(run: &Run) -> Result<f64> {
    let steps = run.coeffs.len();
    let first = match run.open()? {
        0 => run.advance_through(0..1).map(|()| 1)?,
        done => done,
    };
    run.device.sync()?;
    let (stride, began, mut done) = (run.stride(), Instant::now(), first);
    while done < steps && began.elapsed().as_secs_f64() < SAMPLE_S {
        let next = (done + stride).min(steps);
        run.advance_through(done..next)?;
        run.device.sync()?;
        done = next;
    }
    let timed = (done - first).max(1);
    Ok(began.elapsed().as_secs_f64() / timed as f64 * steps as f64)
}
