//! The weight of a reward, raised as far as the effective sample size allows: docs/maths.md (7.6a).
//!
//! After step `step` of a group whose particles have log-weights l and rewards r, the weight goes from lambda towards what a
//! schedule has there, M: to lambda + f (M - lambda), with the largest f that bisection finds for which
//! ESS(l + f (M - lambda) r) >= share K; after the last step f = 1. l grows by what the weight gained times r, and block records follow. Row `step + 1` of `rungs`
//! `[steps + 1, groups, 2]` gets the weight, and the ESS before it was raised. Particles of weight zero stay as they are.
//!
//! A group belongs to one worker: a cube of a GPU, a thread of the CPU.
//!
//! A. Jasra, D. Stephens, A. Doucet, T. Tsagaris, "Inference for Levy-driven stochastic volatility models via adaptive
//! sequential Monte Carlo", 2011.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use launch::{Ladder, work};

/// Words of a group in a row of `rungs`: the weight of the reward, and the ESS before it was raised to that.
pub const RUNG: usize = 2;

/// Halvings of the interval in which the weight is looked for.
pub const HALVINGS: u32 = 30;
