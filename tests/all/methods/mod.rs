//! Samplers against closed forms.

mod aims;
pub mod s1;
mod s2;
mod s3;
