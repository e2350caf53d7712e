//! A twist of your own: log psi and its gradient are a kernel of yours on feynkac's buffers; feynkac leans, weighs and
//! resamples. Here the model is a Gaussian of the plane and its samples are wanted near a ring, whose evidence is known.
//!
//! `cargo run --release --example custom_twist`

use cubecl::prelude::*;
use feynkac::kernels::device::{Buf, Device, Request};
use feynkac::kernels::passes::Work;
use feynkac::model::{Likelihood, Seen};
use feynkac::{Method, Model, Options, Result, Schedule, Target, Task, Twisting, sample};

/// exp(-(|x0| - r)^2/(2 s^2)).
struct Ring(f64, f64);

/// log psi = -(|D| - r)^2/(2 v), and its gradient (r - |D|)/v D/|D|.
#[cube(launch)]
fn ring_kernel(d: &[f32], out: &mut [f32], value: u32, slope: u32, count: u32, r: f32, v: f32) {
    let mut i = ABSOLUTE_POS;
    while i < count as usize {
        let (x, y) = (d[2 * i], d[2 * i + 1]);
        let length = f32::sqrt(x * x + y * y) + 1.0e-20f32;
        let off = r - length;
        out[value as usize + i] = -0.5f32 * off * off / v;
        out[slope as usize + 2 * i] = off * x / (v * length);
        out[slope as usize + 2 * i + 1] = off * y / (v * length);
        i += CUBE_COUNT * CUBE_DIM as usize;
    }
}

impl Likelihood for Ring {
    fn dim(&self) -> usize {
        2
    }

    fn log_psi(&self, device: &Device, seen: Seen, out: &Buf<f32>, value: usize, slope: usize) -> Result<()> {
        let (d, all, count, units) = (seen.denoised.arg(), out.arg(), seen.count as u32, device.units());
        let cubes = if device.is_cpu() { 1 } else { count.div_ceil(units).min(65_535) };
        let (grid, units) = (CubeCount::Static(cubes, 1, 1), CubeDim::new_1d(units));
        // Above the clean state the sample may be further from the ring, by the variance of what is denoised.
        let (r, v) = (self.0 as f32, (self.1 * self.1 + seen.variance) as f32);
        ring_kernel::launch(device.client(), grid, units, d, all, value as u32, slope as u32, count, r, v);
        Ok(device.launched(Work { read: 8 * seen.count as u64, written: 12 * seen.count as u64 })?)
    }
}

fn main() -> Result<()> {
    let (r, s, device) = (2.5, 0.1, Device::open(Request::Auto)?);
    let plane = "kind = 'gaussian'\nmean = [0.0, 0.0]\ncovariance = [[1.0, 0.0], [0.0, 1.0]]\n";
    let model = Model::Analytic(Target::parse("plane".as_ref(), plane)?.0);
    let mut options = Options::new(Method::Tds, Schedule::Ve { sigma_min: 0.01, sigma_max: 20.0 });
    options.twisting = Some(Twisting::new(Task::Own));
    // The evidence is that of the chain, which differs from the density by O(1 / steps).
    (options.steps, options.particles, options.groups) = (1600, 1024, 8);
    let drawn = sample(&device, &[model, Model::Likelihood(Box::new(Ring(r, s)))], &options, None)?;
    let at = |l: f64| l * (-0.5 * l * l - 0.5 * ((l - r) / s).powi(2)).exp();
    let exact = (0..100_000).map(|i| 1.0e-4 * at(1.0e-4 * (f64::from(i) + 0.5))).sum::<f64>().ln();
    println!("log Z {:.3?} (exact {exact:.3}), ESS {:?}", drawn.log_z, drawn.ess[0].last());
    Ok(())
}
