//! The same in f64.

use super::Along;
use crate::prims::philox::oracle::{Stream, sign};
use crate::prims::philox::{purpose, tag};

/// The vector of probe `probe` of the particle in `slot` at `level`, `[dim]`.
pub fn probe(along: Along, seed: u64, (slot, level, probe): (u32, u32, u32), dim: usize) -> Vec<f64> {
    let stream = Stream { seed, slot, step: level, tag: tag(purpose::PROBE, probe) };
    let one = |k: usize| match along {
        Along::Axes => f64::from(u8::from(k == probe as usize)),
        Along::Signs(_) => sign(stream, k),
    };
    (0..dim).map(one).collect()
}

/// (divergence, variance of it) from v' J v of all probes; the variance of an exact one is 0, of one sign `NaN`.
pub fn tally(along: Along, all: &[f64]) -> (f64, f64) {
    let (count, sum) = (all.len() as f64, all.iter().sum::<f64>());
    match along {
        Along::Axes => (sum, 0.0),
        Along::Signs(_) => {
            let squares: f64 = all.iter().map(|v| (v - sum / count).powi(2)).sum();
            let variance = if all.len() < 2 { f64::NAN } else { squares / (count * (count - 1.0)) };
            (sum / count, variance)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(probe(Along::Axes, 9, (0, 0, 2), 4), [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(tally(Along::Axes, &[1.0, 2.0, -5.0]), (-2.0, 0.0));
        // squares of -1, 0, 1 about the mean of 2, over 3 x 2
        assert_eq!(tally(Along::Signs(3), &[1.0, 2.0, 3.0]), (2.0, 2.0 / 6.0));
        assert!(tally(Along::Signs(1), &[4.0]).1.is_nan());
        let signs = probe(Along::Signs(1), 9, (3, 1, 0), 64);
        assert!(signs.iter().all(|s| s.abs() == 1.0) && signs.iter().any(|s| *s != signs[0]));
    }
}
