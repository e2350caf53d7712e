//! The one integration binary: each further binary would link the runtimes again.

#[macro_use]
mod support;
#[cfg(feature = "cli")]
mod cli;
#[path = "../../examples/experiments/mod.rs"]
mod experiments;
mod laws;
mod memory;
mod methods;
mod models;
mod passes;
mod ptx;
mod reference;
mod tidy;
