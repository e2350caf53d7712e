//! What holds whatever the target: identities, invariances, and the mistakes that break them.

mod around;
mod batches;
mod counts;
mod determinism;
mod graph;
mod half;
mod identity;
mod increments;
mod jumps;
mod langevin;
mod mistakes;
mod priorities;
mod schemes;
mod trust;
mod verify;
