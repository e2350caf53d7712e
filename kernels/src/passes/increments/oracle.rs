//! The same in f64, from the formula.

/// Weight zero, for all this looks at.
const DEAD: f64 = -9.0e7;

/// (mean taken off, log-weights after) of a group whose particles went from `before` to `after`: increments cut at their
/// `quantile`, centred, cut to `clamp` around zero.
pub fn milder(
    before: &[f64],
    after: &[f64],
    quantile: Option<f64>,
    centre: bool,
    clamp: Option<f64>,
) -> (f64, Vec<f64>) {
    let alive = |i: usize| after[i] > DEAD && before[i] > DEAD;
    let counted = || (0..before.len()).filter(|&i| alive(i)).map(|i| after[i] - before[i]);
    let mut sorted: Vec<f64> = counted().collect();
    sorted.sort_by(f64::total_cmp);
    let cap = match quantile {
        // The rank is a product of f32, rounded up.
        Some(q) if !sorted.is_empty() => {
            sorted[((q as f32 * sorted.len() as f32).ceil() as usize).max(1) - 1]
        }
        _ => f64::INFINITY,
    };
    let mean = if centre && !sorted.is_empty() {
        counted().map(|gain| gain.min(cap)).sum::<f64>() / sorted.len() as f64
    } else {
        0.0
    };
    let changed = |i: usize| {
        let gain = (after[i] - before[i]).min(cap) - mean;
        let gain = clamp.map_or(gain, |most| gain.clamp(-most, most));
        if alive(i) { before[i] + gain } else { after[i] }
    };
    (mean, (0..before.len()).map(changed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let (before, after) = ([1.0, 1.0, 0.0, 2.0, -1.0e30], [2.0, 4.0, -2.0, 8.0, -1.0e30]);
        // Increments 1, 3, -2, 6.
        let (centre, found) = milder(&before, &after, None, true, None);
        assert_eq!((centre, found), (2.0, vec![0.0, 2.0, -4.0, 6.0, -1.0e30]));
        let (centre, found) = milder(&before, &after, Some(0.75), false, None);
        assert_eq!((centre, found), (0.0, vec![2.0, 4.0, -2.0, 5.0, -1.0e30]));
        // 1, 3, -2, 3: mean 1.25.
        let (centre, found) = milder(&before, &after, Some(0.6), true, Some(1.0));
        assert_eq!((centre, found), (1.25, vec![0.75, 2.0, -1.0, 3.0, -1.0e30]));
        let (centre, found) = milder(&[-1.0e30], &[-1.0e30], Some(0.5), true, Some(1.0));
        assert_eq!((centre, found), (0.0, vec![-1.0e30]));
    }
}
