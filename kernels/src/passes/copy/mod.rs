//! y = x: what a device's memory can do at best, for measurements to compare with.

pub(crate) mod kernel;
mod launch;

pub use launch::copy;
