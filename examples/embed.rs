//! A model of your own: its score is a kernel of yours on feynkac's buffers; feynkac moves, weighs and
//! resamples the particles. Here it is a density with 2^D modes, equal to all at ±m in every coordinate, and
//! the target is its square, whose log-evidence is known.
//!
//! `cargo run --release --example embed`

use cubecl::prelude::*;
use feynkac::kernels::device::{Buf, Device, Request};
use feynkac::{Error, Foreign, Method, Model, Noise, Options, Result, Schedule, sample};

/// 1/2 N(m, s^2) + 1/2 N(-m, s^2) in each of `dim` coordinates.
struct Corners {
    dim: usize,
    m: f64,
    s: f64,
}

/// d log q / dx of numbers one by one: (a tanh(a x / v) - x) / v with the mode a and variance v of the noise level.
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
        Ok(device.launched(rows.bytes() + out.bytes())?)
    }

    fn moments(&self) -> (Vec<f64>, f64) {
        (vec![0.0; self.dim], self.m.hypot(self.s))
    }
}

fn main() -> Result<()> {
    let (dim, m, s) = (4, 2.0, 0.6_f64);
    let name = std::env::args().nth(1).unwrap_or("auto".to_string());
    let device = Device::open(name.parse::<Request>().map_err(Error::from)?)?;
    let mut options = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 0.01, sigma_max: 20.0 });
    options.beta = 2.0;
    let drawn = sample(&device, &[Model::Foreign(Box::new(Corners { dim, m, s }))], &options, None)?;
    let exact =
        dim as f64 * ((1.0 + (-(m / s).powi(2)).exp()) / (4.0 * s * std::f64::consts::PI.sqrt())).ln();
    let ess = drawn.ess[0].last().copied().unwrap_or(0.0);
    println!("log Z {:.3} (exact {exact:.3}), ESS {ess:.0} of {}", drawn.log_z[0], options.particles);
    Ok(())
}
