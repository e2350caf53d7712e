//! Samplers against closed forms.

pub mod s1;
mod s2;
mod s3;
