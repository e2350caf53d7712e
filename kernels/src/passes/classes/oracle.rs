//! The same in f64.

/// f log p(class | logits), and its gradient with respect to the logits.
pub fn likelihood(logits: &[f64], class: usize, factor: f64) -> (f64, Vec<f64>) {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|l| (l - most).exp()).sum();
    let back = logits.iter().enumerate().map(|(j, l)| {
        let is = if j == class { 1.0 } else { 0.0 };
        factor * (is - (l - most).exp() / sum)
    });
    (factor * (logits[class] - most - sum.ln()), back.collect())
}

#[cfg(test)]
mod tests {
    use super::likelihood;

    #[test]
    fn by_hand() {
        let (value, back) = likelihood(&[0.0, 3.0_f64.ln()], 1, 2.0);
        assert!((value - 2.0 * 0.75_f64.ln()).abs() < 1e-15);
        assert!((back[0] + 0.5).abs() < 1e-15 && (back[1] - 0.5).abs() < 1e-15);
    }
}
