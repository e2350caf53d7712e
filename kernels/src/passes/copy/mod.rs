//! y = x, or a part of y: what a device's memory can do at best, for measurements to compare with, and how numbers of the
//! host get into a buffer that holds others. Or rows among zeros: what goes back through a network that says twice as much.

pub(crate) mod kernel;
mod launch;

pub use launch::{copy, widen};
