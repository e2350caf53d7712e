//! Plain loops from the formula.

use super::{First, Start};
use crate::prims::philox::oracle::{Stream, normal};
use crate::prims::philox::{purpose, tag};

/// The first log-density of each model at `x`, where it is estimated from there on.
pub fn first(start: &Start, x: &[f64]) -> Vec<f64> {
    let one = |first: &First| {
        let parts = x.iter().zip(&first.mean);
        let log = (std::f64::consts::TAU * first.variance).ln();
        parts.map(|(x, m)| -0.5 * ((x - m).powi(2) / first.variance + log)).sum()
    };
    start.first.iter().map(one).collect()
}

/// (position, first log-weight) of one particle.
pub fn draw(start: &Start, seed: u64, slot: usize) -> (Vec<f64>, f64) {
    let dim = start.mean.len();
    let stream = Stream { seed, slot: slot as u32, step: 0, tag: tag(purpose::INIT, 0) };
    let z: Vec<f64> = (0..dim).map(|k| normal(stream, k, dim)).collect();
    let x = z.iter().zip(&start.mean).map(|(z, m)| m + start.std * z).collect();
    let minus_log_density =
        z.iter().map(|z| 0.5 * z * z + start.std.ln() + 0.5 * std::f64::consts::TAU.ln()).sum::<f64>();
    (x, start.offset + if start.weighted { minus_log_density } else { 0.0 })
}
