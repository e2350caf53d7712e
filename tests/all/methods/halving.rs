//! The trapezoid rule's error of a product's log-evidence is O(h): twice the steps, at most 1/1.6 of it.

use feynkac::kernels::device::Device;
use feynkac::{Method, Options, Rule, Schedule};

use super::s1::{averaged, exact, models, seed, slow};

on_every_device! { a_product_s_bias_halves }

fn a_product_s_bias_halves(device: &Device) {
    let mut options = Options::new(Method::FkcProduct, Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 });
    (options.beta, options.rule) = (1.0, Rule::Trap);
    // A software driver is here for the kernel; the law of the error is the same one.
    let steps: &[usize] = if slow(device) { &[50, 100] } else { &[50, 100, 200] };
    (options.particles, options.groups) = if slow(device) { (1000, 24) } else { (4000, 48) };
    let errors: Vec<(f64, f64)> = steps
        .iter()
        .map(|n| {
            (options.steps, options.seed) = (*n, seed(8100 + *n as u64));
            let [_, _, (log_z, error)] = averaged(device, &models(&options), &options);
            let off = log_z - exact(&options).log_z;
            println!("product {}: N = {n}: trap log Z off by {off:+.4} +- {error:.4}", device.backend());
            (off, error)
        })
        .collect();
    for pair in errors.windows(2) {
        let ((coarse, a), (fine, b)) = (pair[0], pair[1]);
        let (ratio, error) =
            (coarse / fine, (coarse / fine).abs() * ((a / coarse).powi(2) + (b / fine).powi(2)).sqrt());
        println!("product {}: shrinks {ratio:.2} +- {error:.2} times", device.backend());
        assert!(coarse.abs() > 4.0 * a, "an error to shrink: {coarse} +- {a}");
        assert!(ratio >= 1.6 && error < 0.4, "shrinks {ratio} +- {error} times, wanted 1.6 at least");
    }
}
