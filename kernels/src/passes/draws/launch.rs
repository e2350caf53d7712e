//! Check, configure, launch.

use super::kernel::{draws_kernel, normals_kernel};
use crate::device::{Buf, Device};
use crate::error::{Result, argument};
use crate::passes::{Sharing, Work};

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
    let sharing = Sharing::apart(device);
    draws_kernel::launch(
        device.client(),
        sharing.cubes(device, vectors),
        sharing.dim(),
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

/// Fills `out` with normals of step `step`: tile t of four times [`Device::lanes`] numbers has coordinates 0 to
/// 3, each for as many slots from t lanes on.
pub fn normals(device: &Device, seed: &Buf<u32>, out: &Buf<f32>, step: u32, tag: u32) -> Result<()> {
    let lanes = device.lanes();
    if !out.len().is_multiple_of(4 * lanes) || out.len() > 1 << 30 {
        return Err(argument("normals", out.len(), format!("a multiple of {}, at most 2^30", 4 * lanes)));
    }
    if seed.len() < 2 {
        return Err(argument("seed", seed.len(), 2));
    }
    let vectors = out.len() / (4 * lanes);
    let sharing = Sharing::apart(device);
    normals_kernel::launch(
        device.client(),
        sharing.cubes(device, vectors),
        sharing.dim(),
        lanes,
        seed.arg(),
        out.arg(),
        vectors as u32,
        step,
        tag,
        device.is_cpu(),
    );
    device.launched(Work { read: 0, written: out.bytes() })
}
