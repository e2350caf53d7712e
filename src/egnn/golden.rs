//! The shipped networks against what their trainers computed in f64.

use std::path::Path;

use super::*;
use crate::weights::Weights;

fn wide(file: &Weights, name: &str) -> Vec<f64> {
    file.plain_f32(name).expect("golden values are finite").into_iter().map(f64::from).collect()
}

/// Half a unit of the last place of f32, and what two f64 programs differ by that sum thousands of terms in other orders,
/// of the largest number of a row.
fn close(what: &str, got: &[f64], wanted: &[f64]) {
    let largest = wanted.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (got, wanted) in got.iter().zip(wanted) {
        let slack = wanted.abs() * 2f64.powi(-24) + 1e5 * f64::EPSILON * largest;
        assert!((got - wanted).abs() <= slack, "{what}: {got}, wanted {wanted} within {slack:e}");
    }
}

fn check(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights").join(name);
    let (Egnn { config, net }, warnings) = load(&folder).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(warnings, [""; 0]);
    let golden = Weights::open(&folder.join("golden.safetensors")).unwrap_or_else(|e| panic!("{e}"));
    let [x, t, output, denoised, cotangent, slopes] =
        ["x", "t", "output", "denoised", "cotangent", "vjp"].map(|name| wide(&golden, name));
    let dim = config.extent().numbers();
    assert_eq!((x.len(), t.len()), (64 * dim, 64));
    for (i, t) in t.into_iter().enumerate() {
        let row = |of: &[f64]| of[i * dim..][..dim].to_vec();
        let x = row(&x);
        let (sigma, c) = (
            config.schedule.sigma(t),
            config.preconditioning.denoiser_coeffs(config.prediction, &config.schedule, t),
        );
        let shown: Vec<f64> = x.iter().map(|x| c.input * x).collect();
        let f = net.forward(&shown, sigma, None).unwrap();
        close("output", &f, &row(&output));
        let own: Vec<f64> = x.iter().zip(&f).map(|(x, f)| c.x * x + c.out * f).collect();
        close("denoised", &own, &row(&denoised));
        close("vjp", &net.vjp(&x, sigma, None, &row(&cotangent)).unwrap().1, &row(&slopes));
    }
}

#[test]
fn the_network_of_four_particles_gives_its_golden_outputs() {
    check("dw4-egnn");
}

#[test]
fn the_network_of_thirteen_particles_gives_its_golden_outputs() {
    check("lj13-egnn");
}
