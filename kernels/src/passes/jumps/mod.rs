//! Birth and death in place of resampling: docs/maths.md (6.3). Two launches around a resampling by rejection.
//!
//! With g_k = l_k - mean l, the log-weights of a group that is to jump less their mean, [`Jumps::launch_births`] writes
//! ln max(0, g_k), which rejection draws candidates by, with block records, and max(0, -g_k). Then
//! [`Jumps::launch_deaths`] lets slot k have its candidate for a parent where it dies: with an exponential variable E_k,
//! when E_k <= max(0, -g_k); all others have themselves. By the clock, E_k is drawn once, falls by max(0, -g_k) at every
//! jump, and is drawn anew when it is used up. No weights remain.
//!
//! M. Skreta et al., "Feynman-Kac Correctors in Diffusion", 2025, Prop. 4.1.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use launch::{Jumps, work_births, work_deaths};
