//! Divergences of networks in f64, exact and along random signs: docs/maths.md (9.4). M. F. Hutchinson, "A stochastic
//! estimator of the trace of the influence matrix", 1990.

use feynkac_kernels::passes::divergence::{Along, oracle};

use crate::error::{Error, Result};
use crate::layered::Layered;

/// A divergence that was estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Mean over the probes, unbiased.
    pub mean: f64,
    /// Variance of that mean, estimated from how the probes differ; `NaN` of one probe.
    pub variance: f64,
}

/// Whose signs a probe takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The group's seed.
    pub seed: u64,
    /// Slot within the group.
    pub slot: u32,
    /// Level of the run.
    pub level: u32,
}

impl Probe {
    /// The signs of probe `at`, `[dim]`.
    pub fn signs(self, at: u32, dim: usize) -> Vec<f64> {
        oracle::probe(Along::Signs(1), self.seed, (self.slot, self.level, at), dim)
    }
}

/// v' J v.
fn along(net: &Layered, x: &[f64], time: f64, class: Option<usize>, v: &[f64]) -> Result<f64> {
    let (_, back) = net.vjp(x, time, class, v)?;
    Ok(back.iter().zip(v).map(|(b, v)| b * v).sum())
}

fn check(net: &Layered) -> Result<()> {
    if net.input() != net.output() || net.energy.is_some() {
        let wanted = "a network whose output is a field: of the extent of its state, and no energy's";
        return Err(Error::input("divergence", net.output(), wanted));
    }
    Ok(())
}

/// The divergence of the network's output, by as many passes as it has coordinates.
pub fn exact(net: &Layered, x: &[f64], time: f64, class: Option<usize>) -> Result<f64> {
    check(net)?;
    let axis = |k: usize| (0..x.len()).map(|i| f64::from(u8::from(i == k))).collect::<Vec<f64>>();
    (0..x.len()).map(|k| along(net, x, time, class, &axis(k))).sum()
}

/// An estimate of it from `probes` passes, at least 1.
pub fn hutchinson(
    net: &Layered,
    x: &[f64],
    time: f64,
    class: Option<usize>,
    whose: Probe,
    probes: usize,
) -> Result<Estimate> {
    check(net)?;
    if !(1..=1 << 20).contains(&probes) {
        return Err(Error::input("probes", probes, "1 to 2^20"));
    }
    let one = |at: usize| along(net, x, time, class, &whose.signs(at as u32, x.len()));
    let all = (0..probes).map(one).collect::<Result<Vec<f64>>>()?;
    let (mean, variance) = oracle::tally(Along::Signs(probes as u32), &all);
    Ok(Estimate { mean, variance })
}

#[cfg(test)]
mod tests {
    use feynkac_kernels::models::layers::{Extent, Layers, Op};

    use super::*;
    use crate::layered::open;
    use crate::layered::tests::difference;

    /// x -> A x + b.
    fn affine(a: &[f32], dim: usize) -> Layered {
        let mut layers = Layers::default();
        let x = layers.push(Op::State(Extent::vector(dim)), &[], &[]).unwrap();
        layers.push(Op::Conv { out: dim, taps: 1, stride: 1, before: 0 }, &[x], &[0, 1]).unwrap();
        Layered::new(layers, vec![a.to_vec(), vec![0.5; dim]], None)
    }

    const WHOSE: Probe = Probe { seed: 5, slot: 3, level: 2 };

    #[test]
    fn of_an_affine_field_it_is_the_trace() {
        let net = affine(&[1.0, 2.0, -1.0, 0.5, -3.0, 4.0, 0.25, 1.5, 0.75], 3);
        let x = [0.3, -0.2, 0.9];
        assert_eq!(exact(&net, &x, 0.0, None).unwrap(), 1.0 - 3.0 + 0.75);
        let diagonal = affine(&[1.0, 0.0, 0.0, 0.0, -3.0, 0.0, 0.0, 0.0, 0.75], 3);
        let one = hutchinson(&diagonal, &x, 0.0, None, WHOSE, 4).unwrap();
        assert_eq!((one.mean, one.variance), (-1.25, 0.0));
        // (9ab): the symmetric part has 1.25, -0.375 and 2.75 off its diagonal; a probe has the variance 4 times their squares
        let probes = 4000;
        let found = hutchinson(&net, &x, 0.0, None, WHOSE, probes).unwrap();
        let variance = 4.0 * (1.25f64.powi(2) + 0.375f64.powi(2) + 2.75f64.powi(2)) / probes as f64;
        assert!((found.mean + 1.25).abs() < 5.0 * variance.sqrt(), "{found:?}");
        // of a bounded probe the variance of the variance is at most that of its fourth power: 5 of them
        assert!(
            (found.variance / variance - 1.0).abs() < 5.0 * (3.0 / probes as f64).sqrt(),
            "{found:?} {variance}"
        );
        assert!(hutchinson(&net, &x, 0.0, None, WHOSE, 1).unwrap().variance.is_nan());
        assert!(hutchinson(&net, &x, 0.0, None, WHOSE, 0).is_err());
    }

    #[test]
    fn of_a_network_it_is_that_of_differences() {
        let (loaded, _) =
            open(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/gmm40-mlp")).unwrap();
        let (net, x) = (&loaded.net, [0.7, -0.4]);
        let moved = |k: usize, by: f64| {
            let mut x = x;
            x[k] += by;
            net.forward(&x, 0.2, None).unwrap()[k]
        };
        let differences: f64 = (0..2).map(|k| difference(|s| moved(k, s))).sum();
        let found = exact(net, &x, 0.2, None).unwrap();
        assert!((found - differences).abs() < 1e-7 * found.abs().max(1.0), "{found}, {differences}");
        // in the plane signs are (1, 1) or (1, -1) up to their own sign: both average to it
        let both: f64 = [[1.0, 1.0], [1.0, -1.0]].iter().map(|v| along(net, &x, 0.2, None, v).unwrap()).sum();
        assert!((both / 2.0 - found).abs() < 1e-12 * found.abs().max(1.0));
        let energy = Layered { energy: Some(crate::layered::Energy::Dot), ..net.clone() };
        assert!(exact(&energy, &x, 0.2, None).unwrap_err().to_string().contains("no energy's"));
    }

    #[test]
    fn signs_are_fair_and_each_probe_has_its_own() {
        let sum: f64 = (0..400).flat_map(|at| WHOSE.signs(at, 5)).sum();
        assert!(sum.abs() < 5.0 * 2000f64.sqrt(), "{sum}");
        assert_ne!(WHOSE.signs(0, 64), WHOSE.signs(1, 64));
        assert_ne!(WHOSE.signs(0, 64), Probe { slot: 4, ..WHOSE }.signs(0, 64));
        assert!(WHOSE.signs(7, 64).iter().all(|s| s.abs() == 1.0));
    }
}
