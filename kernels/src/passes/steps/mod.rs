//! Many steps in one launch: the step and the resampling of each, one after the other, for scores that are
//! evaluated in the kernel. For populations so small that launches cost more than the work.
//!
//! A group belongs to one cube from first step to last (on a GPU), to all threads, who meet twice a step,
//! or to one thread (on the CPU, where there are many groups). No group waits for another. The oracles are
//! those of the step and of the resampling; the bits are those of a launch for each.

pub(crate) mod kernel;
mod launch;

pub use launch::launch;
