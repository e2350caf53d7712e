//! The same in f64.

use super::Energy;

/// E of a state as the network is shown it, and of what it says of it.
pub fn value(energy: Energy, x: &[f64], f: &[f64]) -> f64 {
    let each = x.iter().zip(f);
    match energy {
        Energy::Square => 0.5 * f.iter().map(|f| f * f).sum::<f64>(),
        Energy::Residual => each.map(|(x, f)| (f - x) * (f - x)).sum(),
        Energy::Dot => each.map(|(x, f)| x * f).sum(),
    }
}

/// dE/df, which goes back through the network: f, 2 (f - x), x.
pub fn seed(energy: Energy, x: &[f64], f: &[f64]) -> Vec<f64> {
    let one = |(x, f): (&f64, &f64)| match energy {
        Energy::Square => *f,
        Energy::Residual => 2.0 * (f - x),
        Energy::Dot => *x,
    };
    x.iter().zip(f).map(one).collect()
}

/// The part of dE/dx that does not go through the network: 0, 2 (x - f), f.
pub fn direct(energy: Energy, x: &[f64], f: &[f64]) -> Vec<f64> {
    let one = |(x, f): (&f64, &f64)| match energy {
        Energy::Square => 0.0,
        Energy::Residual => 2.0 * (x - f),
        Energy::Dot => *f,
    };
    x.iter().zip(f).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let (x, f) = ([1.0, -2.0], [0.5, 3.0]);
        for (energy, e, back, own) in [
            (Energy::Square, 4.625, [0.5, 3.0], [0.0, 0.0]),
            (Energy::Residual, 25.25, [-1.0, 10.0], [1.0, -10.0]),
            (Energy::Dot, -5.5, [1.0, -2.0], [0.5, 3.0]),
        ] {
            assert_eq!(value(energy, &x, &f), e);
            assert_eq!((seed(energy, &x, &f), direct(energy, &x, &f)), (back.to_vec(), own.to_vec()));
        }
    }
}
