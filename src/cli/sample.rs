//! `feynkac sample`: draws, and writes what was drawn.

use std::io::{IsTerminal, stderr};

use clap::Args;
use feynkac_kernels::device::Device;
use indicatif::{ProgressBar, ProgressStyle};

use super::prepare::Job;
use super::report::{self, Report};
use super::settings::{Flags, Writing};
use super::{print, warn};
use crate::error::Result;
use crate::run::{Glance, sample};

/// Flags of the subcommand.
#[derive(Args, Debug)]
pub struct Sample {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    writing: Writing,
}

/// Runs the subcommand.
pub fn run(arguments: Sample) -> Result<()> {
    let (settings, below) = arguments.flags.resolve()?;
    let writing = arguments.writing.over(below);
    let job = Job::new(&settings)?;
    warn(&job.warnings);
    let device = Device::open(job.device)?;
    if let Some(folder) = &writing.output {
        report::try_folder(folder)?;
    }
    let outcome = if stderr().is_terminal() && !writing.json {
        let bar = bar(job.options.steps);
        let mut watch = |glance: Glance| {
            bar.set_length(glance.steps as u64);
            bar.set_position(glance.step as u64);
            let ess = 100.0 * glance.ess / job.options.particles as f64;
            bar.set_message(format!("ESS {ess:.0} %, {:.2e} particle-steps/s", glance.particle_steps_per_s));
        };
        let outcome = sample(&device, &job.models, &job.options, Some(&mut watch));
        bar.finish_and_clear();
        outcome?
    } else {
        sample(&device, &job.models, &job.options, None)?
    };
    let report = Report::new(&job, &device, &outcome);
    let written = match &writing.output {
        Some(folder) => report::write(folder, &job, &report, &outcome, !writing.no_picture)?,
        None => vec!["nothing: give a folder with -o OUT".to_string()],
    };
    print(&if writing.json {
        report.json(false)
    } else {
        report::summary(&job, &device, &outcome, &written)
    });
    Ok(())
}

fn bar(steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:32} step {pos}/{len}  {msg}  {elapsed}");
    let bar = ProgressBar::new(steps as u64);
    bar.set_style(style.expect("the template is well formed"));
    bar
}
