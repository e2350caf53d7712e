//! The same in f64, from the formula.

/// Mean weight of slots `first` to `first + count`, around the end, as a logarithm; weights zero below -9e7.
fn log_mean(log_w: &[f64], first: usize, count: usize) -> f64 {
    let own = || (first..first + count).map(|i| log_w[i % log_w.len()]).filter(|l| *l >= -9.0e7);
    let most = own().fold(f64::NEG_INFINITY, f64::max);
    most + (own().map(|l| (l - most).exp()).sum::<f64>() / count as f64).ln()
}

/// (ln v, ln w/v) of every particle of a group: w to the power `power` where `count` is all slots, else w inside the
/// window and its mean outside.
pub fn priorities(log_w: &[f64], power: f64, first: usize, count: usize) -> Vec<(f64, f64)> {
    let all = log_w.len();
    let level = if count < all { log_mean(log_w, first, count) } else { 0.0 };
    let chosen = |(i, l): (usize, &f64)| {
        let inside = count == all || (i + all - first) % all < count;
        let v = if inside { power * l } else { level };
        (v, l - v)
    };
    log_w.iter().enumerate().map(chosen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let log_w = [1.0_f64, 2.0, 4.0, 3.0].map(f64::ln);
        let close = |found: (f64, f64), v: f64, kept: f64| {
            assert!((found.0.exp() - v).abs() < 1e-12 && (found.1.exp() - kept).abs() < 1e-12, "{found:?}");
        };
        let half = priorities(&log_w, 0.5, 0, 4);
        close(half[2], 2.0, 2.0);
        close(half[0], 1.0, 1.0);
        // The window is slots 3 and 0, whose mean is 2.
        let part = priorities(&log_w, 1.0, 3, 2);
        for (i, (v, kept)) in [(1.0, 1.0), (2.0, 1.0), (2.0, 2.0), (3.0, 1.0)].into_iter().enumerate() {
            close(part[i], v, kept);
        }
    }
}
