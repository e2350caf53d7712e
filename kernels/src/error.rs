//! What can be refused before a launch, and what a device reports at a read.

use thiserror::Error;

/// A fault of a device or of what was asked of it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The device string is not one of `auto`, `cpu[:threads]`, `wgpu[:index]`, `cuda[:index]`.
    #[error("device '{found}': wanted auto, cpu[:threads], wgpu[:index] or cuda[:index]")]
    DeviceName {
        /// What was given.
        found: String,
    },
    /// The device is not on this machine, or its runtime is not linked.
    #[error("device '{name}' is not available: {why}")]
    DeviceMissing {
        /// The device as asked for.
        name: String,
        /// What was found instead and what to install.
        why: String,
    },
    /// An argument out of its range.
    #[error("{what}: found {found}, wanted {wanted}")]
    Argument {
        /// The argument.
        what: &'static str,
        /// What was given.
        found: String,
        /// What would be accepted.
        wanted: String,
    },
    /// A buffer larger than the device can bind.
    #[error("buffer '{what}' needs {needed} bytes, the device binds at most {limit}; {hint}")]
    TooLarge {
        /// The buffer.
        what: &'static str,
        /// Bytes wanted.
        needed: u64,
        /// Bytes the device binds.
        limit: u64,
        /// What to change.
        hint: &'static str,
    },
    /// More memory than the device has left.
    #[error("{what} need {needed} bytes, the device has {available} left; {hint}")]
    OutOfMemory {
        /// What it is for.
        what: &'static str,
        /// Bytes wanted.
        needed: u64,
        /// Bytes left.
        available: u64,
        /// What to change.
        hint: &'static str,
    },
    /// A kernel was refused or failed; launches report nothing, so it surfaces at the next read.
    #[error("the device failed while {during}: {message}")]
    Device {
        /// What the host was doing when it learned of the fault.
        during: &'static str,
        /// The runtime's words.
        message: String,
    },
}

/// Shorthand of this crate.
pub type Result<T> = std::result::Result<T, KernelError>;

/// An [`KernelError::Argument`], for the checks of the launch files.
pub(crate) fn argument(what: &'static str, found: impl ToString, wanted: impl ToString) -> KernelError {
    KernelError::Argument { what, found: found.to_string(), wanted: wanted.to_string() }
}

/// Refuses the first of (what, found, wanted) that is shorter than wanted.
pub(crate) fn enough(buffers: &[(&'static str, usize, usize)]) -> Result<()> {
    match buffers.iter().find(|(_, found, wanted)| found < wanted) {
        Some((what, found, wanted)) => Err(argument(what, found, wanted)),
        None => Ok(()),
    }
}
