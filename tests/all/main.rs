//! The one integration binary: each further binary would link the runtimes again.

#[macro_use]
mod support;
mod methods;
mod models;
mod passes;
mod ptx;
