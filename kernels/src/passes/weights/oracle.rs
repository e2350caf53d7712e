//! Plain loops from the formula.

use crate::prims::monoid::ZERO_BELOW;

/// (m, s, q) of a set of log-weights; weights of zero do not count. m is -1e30 where all are zero.
pub fn sums(log_w: &[f32]) -> (f64, f64, f64) {
    let alive: Vec<f64> = log_w.iter().filter(|&&w| w >= ZERO_BELOW).map(|&w| f64::from(w)).collect();
    let m = alive.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if alive.is_empty() {
        return (-1.0e30, 0.0, 0.0);
    }
    let s = alive.iter().map(|w| (w - m).exp()).sum();
    let q = alive.iter().map(|w| (2.0 * (w - m)).exp()).sum();
    (m, s, q)
}

/// What is decided about a group: see the pass page.
pub fn decision(log_w: &[f32], share: f64) -> i32 {
    if log_w.iter().any(|w| w.is_nan() || *w == f32::INFINITY) {
        return -2;
    }
    let (m, s, q) = sums(log_w);
    if m < f64::from(ZERO_BELOW) { -1 } else { i32::from(s * s < share * log_w.len() as f64 * q) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Weights 1, 1, 2: sum 4, ESS 16 / 6.
        let (m, s, q) = sums(&[0.0, 0.0, 2.0f32.ln()]);
        assert!((m + s.ln() - 4.0f64.ln()).abs() < 1e-7);
        assert!((s * s / q - 16.0 / 6.0).abs() < 1e-6);
        assert_eq!(decision(&[f32::NEG_INFINITY, -1e30], 0.5), -1);
        assert_eq!(decision(&[0.0, f32::NAN], 0.5), -2);
        assert_eq!(decision(&[0.0, -50.0, -50.0], 0.5), 1);
        assert_eq!(decision(&[0.0, 0.0, 0.0], 0.5), 0);
    }
}
