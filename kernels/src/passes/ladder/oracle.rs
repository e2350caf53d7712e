//! The same in f64, from the formula.

/// Weight zero, for all this looks at.
const DEAD: f64 = -9.0e7;

/// Effective sample size of log-weights l + `gained` r; 0 where every weight is zero.
pub fn ess(log_w: &[f64], rewards: &[f64], gained: f64) -> f64 {
    let own = || log_w.iter().zip(rewards).filter(|(l, _)| **l > DEAD).map(|(l, r)| l + gained * r);
    let most = own().fold(f64::NEG_INFINITY, f64::max);
    let (sum, square) = own().map(|l| (l - most).exp()).fold((0.0, 0.0), |(s, q), w| (s + w, q + w * w));
    if square > 0.0 { sum * sum / square } else { 0.0 }
}

/// The next weight of the reward, from `weight` towards `scheduled`: all the way if the ESS stays at `least` particles or
/// more, else as far as bisection finds that it does.
pub fn next(log_w: &[f64], rewards: &[f64], weight: f64, scheduled: f64, least: f64) -> f64 {
    let left = scheduled - weight;
    let stays = |part: f64| ess(log_w, rewards, part * left) >= least;
    if stays(1.0) {
        return scheduled;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..super::HALVINGS {
        let middle = 0.5 * (low + high);
        if stays(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    weight + low * left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Two particles, of which one is rewarded: ESS = (1 + w)^2/(1 + w^2) with w = exp(lambda).
        let (flat, rewards) = ([0.0, 0.0], [0.0, 1.0]);
        assert_eq!(ess(&flat, &rewards, 0.0), 2.0);
        assert!((ess(&flat, &rewards, 3.0_f64.ln()) - 1.6).abs() < 1e-12);
        let found = next(&flat, &rewards, 0.0, 5.0, 1.6);
        assert!((found - 3.0_f64.ln()).abs() < 1e-7, "{found}");
        assert_eq!(next(&flat, &rewards, 0.0, 1.0, 1.6), 1.0);
        // Downwards, from a weight that is reached; nothing is left where the weights are too uneven already.
        let found = next(&flat, &rewards, -1.0, -6.0, 1.6);
        assert!((found + 1.0 + 3.0_f64.ln()).abs() < 1e-7, "{found}");
        assert_eq!(next(&[0.0, 9.0], &[0.0, 1.0], 0.5, 2.0, 1.6), 0.5);
        assert_eq!(next(&[-1.0e30, 0.0], &[0.0, 1.0], 0.5, 2.0, 1.0), 2.0);
        assert_eq!(ess(&[-1.0e30], &[0.0], 1.0), 0.0);
    }
}
