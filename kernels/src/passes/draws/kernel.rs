//! One vector of slots a unit.

use cubecl::prelude::*;

use crate::prims::philox::{Stream, draw, lanes, normals, uniform, words};
use crate::prims::state::store;

/// Row-major `[n, 4]` each.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
pub fn draws_kernel<N: Size>(
    seed: &[u32],
    raw: &mut [u32],
    uniforms: &mut [f32],
    gaussians: &mut [f32],
    count: u32,
    step: u32,
    tag: u32,
    block: u32,
) {
    let mut first = ABSOLUTE_POS as u32 * (N::value() as u32);
    let stride = CUBE_COUNT as u32 * CUBE_DIM * (N::value() as u32);
    while first < count {
        let slots = lanes::<N>(first);
        let stream = Stream::<N> { slot: slots, step, tag, key0: seed[0], key1: seed[1] };
        let w = words::<N>(&stream, slots, block);
        let z = normals::<N>(&w);
        let u0 = uniform::<N>(w.w0);
        let u1 = uniform::<N>(w.w1);
        let u2 = uniform::<N>(w.w2);
        let u3 = uniform::<N>(w.w3);
        #[unroll]
        for lane in 0..N::value() {
            let at = 4 * (first as usize + lane);
            if at < 4 * count as usize {
                raw[at] = w.w0.extract(lane);
                raw[at + 1] = w.w1.extract(lane);
                raw[at + 2] = w.w2.extract(lane);
                raw[at + 3] = w.w3.extract(lane);
                uniforms[at] = u0.extract(lane);
                uniforms[at + 1] = u1.extract(lane);
                uniforms[at + 2] = u2.extract(lane);
                uniforms[at + 3] = u3.extract(lane);
                gaussians[at] = z.z0.extract(lane);
                gaussians[at + 1] = z.z1.extract(lane);
                gaussians[at + 2] = z.z2.extract(lane);
                gaussians[at + 3] = z.z3.extract(lane);
            }
        }
        first += stride;
    }
}

/// Normals alone: coordinates 0 to 3 of `vectors` vectors of slots, tile by tile `[4, N]`. Each worker takes
/// a run of its own on the CPU, neighbours take neighbours on a GPU.
#[cube(launch)]
pub fn normals_kernel<N: Size>(
    seed: &[u32],
    out: &mut [f32],
    vectors: u32,
    step: u32,
    tag: u32,
    #[comptime] runs: bool,
) {
    let workers = CUBE_COUNT as u32 * CUBE_DIM;
    let own = ABSOLUTE_POS as u32;
    let each = vectors.div_ceil(workers);
    let mut v = if comptime!(runs) { own * each } else { own };
    let last = if comptime!(runs) { v + each } else { vectors };
    let last = select(last < vectors, last, vectors);
    while v < last {
        let slots = lanes::<N>(v * N::value() as u32);
        let stream = Stream::<N> { slot: slots, step, tag, key0: seed[0], key1: seed[1] };
        let z = draw::<N, N>(&stream, 0u32.runtime(), false, runs);
        let at = 4 * v as usize * N::value();
        store::<f32, N>(out, at, z.z0);
        store::<f32, N>(out, at + N::value(), z.z1);
        store::<f32, N>(out, at + 2 * N::value(), z.z2);
        store::<f32, N>(out, at + 3 * N::value(), z.z3);
        v += if comptime!(runs) { 1u32.runtime() } else { workers };
    }
}
