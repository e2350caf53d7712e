//! Samplers against closed forms.

mod aims;
mod halving;
pub mod s1;
mod s2;
mod s3;
