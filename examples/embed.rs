//! A model of your own: its score is a kernel of yours on feynkac's buffers; feynkac moves, weighs and
//! resamples the particles. Here it is a density with 2^D modes, equal to all at ±m in every coordinate, and
//! the target is its square, whose log-evidence is known.
//!
//! `cargo run --release --example embed`

use cubecl::prelude::*;
use feynkac::kernels::device::{Buf, Device, Request};
use feynkac::kernels::passes::Work;
use feynkac::{Foreign, Method, Model, Noise, Options, Result, Schedule, sample};

/// 1/2 N(m, s^2) + 1/2 N(-m, s^2) in each of `dim` coordinates.
struct Corners {
    dim: usize,
    m: f64,
    s: f64,
}

/// d log q / dx, number by number: (a tanh(a x / v) - x) / v, with mode a and variance v at the noise level.
#[cube(launch)]
fn score_kernel(x: &[f32], scores: &mut [f32], first: u32, count: u32, a: f32, v: f32) {
    let mut i = ABSOLUTE_POS;
    while i < count as usize {
        // Beyond 15 a tanh is 1; some drivers overflow there.
        let pull = f32::clamp(a * x[i] / v, -15.0f32, 15.0f32).tanh();
        scores[first as usize + i] = (a * pull - x[i]) / v;
        i += CUBE_COUNT * CUBE_DIM as usize;
    }
}

impl Foreign for Corners {
    fn dim(&self) -> usize {
        self.dim
    }

    fn score(
        &self,
        device: &Device,
        rows: &Buf<f32>,
        count: usize,
        noise: Noise,
        out: &Buf<f32>,
        first: usize,
    ) -> Result<()> {
        let numbers = count * self.dim;
        let cubes = if device.is_cpu() { 1 } else { numbers.div_ceil(device.units() as usize).min(65_535) };
        let a = noise.alpha * self.m;
        let v = (noise.alpha * self.s).powi(2) + noise.sigma.powi(2);
        score_kernel::launch(
            device.client(),
            CubeCount::Static(cubes as u32, 1, 1),
            CubeDim::new_1d(device.units()),
            rows.arg(),
            out.arg(),
            first as u32,
            numbers as u32,
            a as f32,
            v as f32,
        );
        let written = 4 * numbers as u64;
        Ok(device.launched(Work { read: written, written })?)
    }

    fn moments(&self) -> (Vec<f64>, f64) {
        (vec![0.0; self.dim], self.m.hypot(self.s))
    }
}

fn main() -> Result<()> {
    let (dim, m, s) = (2, 2.0, 0.6_f64);
    let device = Device::open(Request::Auto)?;
    let mut options = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 0.01, sigma_max: 20.0 });
    // Four independent runs show the spread; log Z has a bias of order 1 / steps.
    (options.beta, options.steps, options.groups) = (2.0, 400, 4);
    let drawn = sample(&device, &[Model::Foreign(Box::new(Corners { dim, m, s }))], &options, None)?;
    let exact =
        dim as f64 * ((1.0 + (-(m / s).powi(2)).exp()) / (4.0 * s * std::f64::consts::PI.sqrt())).ln();
    let ess: Vec<f64> = drawn.ess.iter().filter_map(|steps| steps.last().copied()).collect();
    println!("log Z {:.2?} (exact {exact:.2}), ESS {ess:.0?} of {}", drawn.log_z, options.particles);
    Ok(())
}
