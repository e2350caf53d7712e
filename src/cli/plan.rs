//! `feynkac plan`: the passes of a run, without running it.

use super::prepare::Job;
use super::settings::Flags;
use super::{print, warn};
use crate::error::Result;

/// Runs the subcommand.
pub fn run(flags: Flags) -> Result<()> {
    let (settings, _) = flags.resolve()?;
    let job = Job::new(&settings)?;
    warn(&job.warnings);
    print(&format!("{}\n", job.plan));
    Ok(())
}
