//! `feynkac verify`: device and f64 oracles in lockstep.

use feynkac_kernels::device::Device;

use super::prepare::Job;
use super::settings::Flags;
use super::{print, warn};
use crate::error::Result;
use crate::verify::verify;

/// Runs the subcommand; `false` if a pass disagrees.
pub fn run(flags: Flags) -> Result<bool> {
    let (settings, _) = flags.resolve()?;
    let job = Job::new(&settings)?;
    warn(&job.warnings);
    let device = Device::open(job.device)?;
    let verdict = verify(&device, &job.models, &job.options)?;
    print(&format!("{verdict}\n"));
    Ok(verdict.agrees())
}
