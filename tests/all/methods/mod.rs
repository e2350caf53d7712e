//! Samplers against closed forms.

mod aims;
#[cfg(feature = "cli")]
mod experiments;
mod halving;
pub mod s1;
mod s2;
mod s3;
