//! From logits to a likelihood, and what goes back through a classifier: docs/maths.md (13.5).
//!
//! With logits l `[count, classes]` of states, log psi = f (l_c - ln sum_j exp(l_j)) for one class c, and its gradient with
//! respect to the logits is f (1{j = c} - p_j), p the softmax of l. [`crate::passes::layers`] makes the logits, and takes
//! the gradient back to the states.

pub(crate) mod kernel;
mod launch;
pub mod oracle;

pub use launch::{Class, likelihood};
