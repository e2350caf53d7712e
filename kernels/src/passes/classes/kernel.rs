//! A state a turn.

use cubecl::prelude::*;

use crate::passes::own_items;
use crate::prims::math::{exp, ln};

/// How much of it there is.
#[derive(CubeLaunch, CubeType)]
pub struct Extents {
    /// States.
    pub count: u32,
    /// Logits of each.
    pub classes: u32,
    /// The class that is wanted.
    pub class: u32,
    /// The first log-likelihood that is written.
    pub first: u32,
}

/// A vector of one.
#[cube]
fn exp_of(x: f32) -> f32 {
    exp::<Const<1>>(Vector::new(x)).extract(0usize)
}

/// Log-likelihoods, and their gradients with respect to the logits.
#[cube(launch)]
pub fn classes_kernel(
    logits: &[f32],
    back: &mut [f32],
    told: &mut [f32],
    of: Extents,
    factor: f32,
    #[comptime] runs: bool,
) {
    let own = own_items(of.count, runs);
    let mut row = own.first;
    while row < own.last {
        let at = (row * of.classes) as usize;
        let mut most = logits[at];
        for j in 1..of.classes as usize {
            let own = logits[at + j];
            most = select(own > most, own, most);
        }
        let mut sum = 0.0f32.runtime();
        for j in 0..of.classes as usize {
            let own = exp_of(logits[at + j] - most);
            back[at + j] = own;
            sum += own;
        }
        let scale = factor / sum;
        for j in 0..of.classes as usize {
            back[at + j] *= -scale;
        }
        let wanted = at + of.class as usize;
        back[wanted] += factor;
        let log_sum = ln::<Const<1>>(Vector::new(sum)).extract(0usize);
        told[(of.first + row) as usize] = factor * (logits[wanted] - most - log_sum);
        row += own.turn;
    }
}
