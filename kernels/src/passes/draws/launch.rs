//! Check, configure, launch.

use cubecl::prelude::*;

use super::kernel::draws_kernel;
use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::passes::Work;

/// What [`draws`] wrote, each `[n, 4]`.
#[derive(Debug, Clone)]
pub struct Draws {
    /// Philox words.
    pub words: Buf<u32>,
    /// Uniforms in (0, 1).
    pub uniforms: Buf<f32>,
    /// Standard normals.
    pub normals: Buf<f32>,
}

/// Draws coordinate block `block` of slots 0 to `count`.
pub fn draws(device: &Device, seed: u64, count: usize, step: u32, tag: u32, block: u32) -> Result<Draws> {
    if count == 0 || count > 1 << 28 {
        return Err(argument("slots", count, "1 to 2^28"));
    }
    let out = Draws {
        words: device.empty("words", 4 * count)?,
        uniforms: device.empty("uniforms", 4 * count)?,
        normals: device.empty("normals", 4 * count)?,
    };
    let seed = device.upload("seed", &[seed as u32, (seed >> 32) as u32])?;
    let vectors = count.div_ceil(device.lanes());
    let cubes = if device.is_cpu() { 1 } else { vectors.div_ceil(device.units() as usize).min(65_535) };
    draws_kernel::launch(
        device.client(),
        CubeCount::Static(cubes as u32, 1, 1),
        CubeDim::new_1d(device.units()),
        device.lanes(),
        seed.arg(),
        out.words.arg(),
        out.uniforms.arg(),
        out.normals.arg(),
        count as u32,
        step,
        tag,
        block,
    );
    let written = out.words.bytes() + out.uniforms.bytes() + out.normals.bytes();
    device.launched(Work { read: 0, written })?;
    Ok(out)
}
