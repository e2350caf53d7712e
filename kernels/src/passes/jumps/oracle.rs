//! The same in f64, from the formula.

use crate::passes::resample::iteration;
use crate::prims::philox::oracle::{Stream, words};
use crate::prims::philox::{purpose, tag};

/// Weight zero, for all this looks at.
const DEAD: f64 = -9.0e7;

/// (births max(0, g), deaths max(0, -g)) of the log-weights of a group; infinite deaths where a weight is zero.
pub fn rates(log_w: &[f64]) -> Vec<(f64, f64)> {
    let alive: Vec<f64> = log_w.iter().copied().filter(|l| *l > DEAD).collect();
    let mean = alive.iter().sum::<f64>() / alive.len().max(1) as f64;
    let rate = |l: &f64| if *l > DEAD { l - mean } else { f64::NEG_INFINITY };
    let rates: Vec<f64> = log_w.iter().map(rate).collect();
    let any = rates.iter().any(|g| *g > 0.0);
    rates.iter().map(|g| if any { (g.max(0.0), (-g).max(0.0)) } else { (0.0, 0.0) }).collect()
}

/// Two exponential variables of slot `slot` at step `step`.
pub fn exponentials(seed: u64, slot: usize, step: usize) -> [f64; 2] {
    let stream =
        Stream { seed, slot: slot as u32, step: step as u32, tag: tag(purpose::RESAMPLE, iteration::DEATH) };
    let word = words(stream, 0);
    [word[0], word[1]].map(|w| -((f64::from(w) + 0.5) * (-32.0_f64).exp2()).ln())
}

/// Whether slot `slot`, whose clock shows `clock` (0 where none was set), dies of `deficit`; and its clock after that.
pub fn dies(seed: u64, slot: usize, step: usize, clock: f64, deficit: f64) -> (bool, f64) {
    let [fresh, next] = exponentials(seed, slot, step);
    let left = if clock > 0.0 { clock } else { fresh } - deficit;
    if left > 0.0 { (false, left) } else { (true, next) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Mean 2 of those alive.
        let found = rates(&[1.0, 2.0, 3.0, -1.0e30]);
        assert_eq!(found, [(0.0, 1.0), (0.0, 0.0), (1.0, 0.0), (0.0, f64::INFINITY)]);
        assert_eq!(rates(&[4.0, 4.0]), [(0.0, 0.0); 2]);
        // Half of all die of ln 2.
        let died = (0..40_000).filter(|&slot| dies(3, slot, 5, 0.0, std::f64::consts::LN_2).0).count();
        assert!((died as f64 - 20_000.0).abs() < 5.0 * 100.0, "{died}");
        assert_eq!(dies(3, 1, 5, 2.0, 0.5), (false, 1.5));
        assert!(dies(3, 1, 5, 2.0, 2.5).0);
    }
}
