//! The one integration binary: each further binary would link the runtimes again.

#[macro_use]
mod support;
#[cfg(feature = "cli")]
mod cli;
mod memory;
mod methods;
mod models;
mod passes;
mod ptx;
mod tidy;
