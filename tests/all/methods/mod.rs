//! Samplers against closed forms.

mod aims;
mod halving;
#[cfg(feature = "cli")]
mod experiments;
pub mod s1;
mod s2;
mod s3;
