//! What holds whatever the target: identities, invariances, and the mistakes that break them.

mod around;
mod batches;
mod counts;
mod determinism;
mod estimates;
mod frames;
mod gibbs;
mod gibbs_twisted;
mod graph;
mod half;
mod identity;
mod increments;
mod jumps;
mod ladder;
mod langevin;
mod learned;
mod limits;
mod mistakes;
pub mod plain;
mod priorities;
mod schemes;
mod sweep;
mod sweep_twisted;
mod trust;
mod twisted;
mod twisted_outside;
mod verify;
