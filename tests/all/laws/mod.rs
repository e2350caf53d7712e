//! What holds whatever the target: identities, invariances, and the mistakes that break them.

mod batches;
mod counts;
mod determinism;
mod gibbs;
mod graph;
mod half;
mod identity;
mod limits;
mod mistakes;
pub mod plain;
mod schemes;
mod sweep;
mod trust;
mod verify;
