//! Samplers against closed forms.

mod aims;
pub mod chain;
#[cfg(feature = "cli")]
mod experiments;
mod halving;
mod learned_energy;
mod particles;
pub mod s1;
mod s2;
mod s3;
mod scaffold;
pub mod tds;
mod tds_digits;
mod tds_mistakes;
pub mod tds_plain;
