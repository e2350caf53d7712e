//! Plain loops.

/// Inclusive prefix sums.
pub fn sums(values: &[f32]) -> Vec<f64> {
    let mut total = 0.0;
    values
        .iter()
        .map(|&v| {
            total += f64::from(v);
            total
        })
        .collect()
}

/// Inclusive prefix maxima.
pub fn maxima(values: &[f32]) -> Vec<f32> {
    let mut top = f32::MIN;
    values
        .iter()
        .map(|&v| {
            top = if top > v { top } else { v };
            top
        })
        .collect()
}

/// Inclusive prefix log-sum-exp: (log of the sum, ESS).
pub fn log_sums(log_w: &[f32]) -> Vec<(f64, f64)> {
    (1..=log_w.len())
        .map(|n| {
            let (m, s, q) = crate::passes::weights::oracle::sums(&log_w[..n]);
            (m + s.ln(), s * s / q)
        })
        .collect()
}

/// Inclusive prefix sums of integers.
pub fn integers(values: &[u64]) -> Vec<u64> {
    let mut total = 0;
    values
        .iter()
        .map(|&v| {
            total += v;
            total
        })
        .collect()
}
