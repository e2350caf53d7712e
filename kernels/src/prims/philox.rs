//! Randomness as a pure function of a key and a counter: Philox4x32-10.
//!
//! J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
//! The layout of key and counter is part of the product and never changes: docs/maths.md (2).

use cubecl::prelude::*;

use crate::prims::math::{ln_fraction, sincos_turns};

/// What a draw is for; 8 bits of the counter, so that no two uses ever share a block.
pub mod purpose {
    /// The start of a particle.
    pub const INIT: u32 = 0;
    /// The noise of a step.
    pub const MOVE: u32 = 1;
    /// The offset of a resampling.
    pub const RESAMPLE: u32 = 2;
    /// Inner MCMC moves.
    pub const MCMC: u32 = 3;
    /// The Metropolis test of inner MCMC moves.
    pub const ACCEPT: u32 = 4;
    /// The particle that a sweep keeps.
    pub const FINAL: u32 = 5;
    /// Signs along which a divergence is taken; the iteration is the probe.
    pub const PROBE: u32 = 6;
    /// Where the last step of a twisted run puts a motif.
    pub const PLACE: u32 = 7;
    /// Noise on what is known, where it is put in its place at every level.
    pub const TRAIL: u32 = 8;
    /// Bits left for the inner iteration beside the purpose.
    pub const ITERATION_BITS: u32 = 24;
}

/// The third counter word: purpose in the high 8 bits, inner iteration in the low 24.
pub const fn tag(purpose: u32, iteration: u32) -> u32 {
    (purpose << purpose::ITERATION_BITS) | (iteration & ((1 << purpose::ITERATION_BITS) - 1))
}

/// Four 32-bit words for each of `N` lanes.
#[derive(CubeType, Clone, Copy)]
pub struct Words<N: Size> {
    /// Word 0.
    pub w0: Vector<u32, N>,
    /// Word 1.
    pub w1: Vector<u32, N>,
    /// Word 2.
    pub w2: Vector<u32, N>,
    /// Word 3.
    pub w3: Vector<u32, N>,
}

/// Ten rounds of Philox4x32 on counter `c` under the key (`k0`, `k1`).
#[cube]
pub fn philox<N: Size>(c: Words<N>, k0: Vector<u32, N>, k1: Vector<u32, N>) -> Words<N> {
    let m0 = Vector::<u32, N>::new(0xD251_1F53u32);
    let m1 = Vector::<u32, N>::new(0xCD9E_8D57u32);
    let mut w0 = c.w0;
    let mut w1 = c.w1;
    let mut w2 = c.w2;
    let mut w3 = c.w3;
    let mut k0 = k0;
    let mut k1 = k1;
    #[unroll]
    for _ in 0..10 {
        let high0 = w0.mul_hi(m0);
        let low0 = w0 * m0;
        let high1 = w2.mul_hi(m1);
        let low1 = w2 * m1;
        w0 = high1 ^ w1 ^ k0;
        w1 = low1;
        w2 = high0 ^ w3 ^ k1;
        w3 = low0;
        k0 += Vector::new(0x9E37_79B9u32);
        k1 += Vector::new(0xBB67_AE85u32);
    }
    Words::<N> { w0, w1, w2, w3 }
}

/// A uniform in (0, 1) from the top 23 bits of a word; both ends excluded exactly.
#[cube]
pub fn uniform<N: Size>(word: Vector<u32, N>) -> Vector<f32, N> {
    let k = Vector::<f32, N>::cast_from(word >> Vector::new(9u32));
    fma(k, Vector::new(1.192_092_9e-7f32), Vector::new(5.960_464_5e-8f32))
}

/// Four standard normals for each lane.
#[derive(CubeType, Clone, Copy)]
pub struct Normals<N: Size> {
    /// From words 0 and 1, cosine.
    pub z0: Vector<f32, N>,
    /// From words 0 and 1, sine.
    pub z1: Vector<f32, N>,
    /// From words 2 and 3, cosine.
    pub z2: Vector<f32, N>,
    /// From words 2 and 3, sine.
    pub z3: Vector<f32, N>,
}

/// Box-Muller on two pairs of words. The radius uses all 32 bits (|z| up to 6.76), the angle 24.
#[cube]
pub fn normals<N: Size>(w: &Words<N>) -> Normals<N> {
    let r0 = radius::<N>(w.w0);
    let a0 = sincos_turns::<N>(turns::<N>(w.w1));
    let r1 = radius::<N>(w.w2);
    let a1 = sincos_turns::<N>(turns::<N>(w.w3));
    Normals::<N> { z0: r0 * a0.cos, z1: r0 * a0.sin, z2: r1 * a1.cos, z3: r1 * a1.sin }
}

#[cube]
fn radius<N: Size>(word: Vector<u32, N>) -> Vector<f32, N> {
    (Vector::new(-2.0f32) * ln_fraction::<N>(word)).sqrt()
}

#[cube]
fn turns<N: Size>(word: Vector<u32, N>) -> Vector<f32, N> {
    Vector::<f32, N>::cast_from(word >> Vector::new(8u32)) * Vector::new(5.960_464_5e-8f32)
}

/// Who draws: the key of its group, and the counter words that do not depend on the coordinate.
#[derive(CubeType, Clone, Copy)]
pub struct Stream<N: Size> {
    /// Slot within the group, lane by lane.
    pub slot: Vector<u32, N>,
    /// Step of the run.
    pub step: u32,
    /// Purpose and inner iteration, see [`tag`].
    pub tag: u32,
    /// Low half of the group's seed.
    pub key0: u32,
    /// High half of the group's seed.
    pub key1: u32,
}

/// The block of random words of coordinates 4 `block` to 4 `block` + 3.
#[cube]
pub fn words<N: Size>(s: &Stream<N>, slot: Vector<u32, N>, block: u32) -> Words<N> {
    let counter =
        Words::<N> { w0: slot, w1: Vector::new(s.step), w2: Vector::new(s.tag), w3: Vector::new(block) };
    philox::<N>(counter, Vector::new(s.key0), Vector::new(s.key1))
}

/// Normals of coordinates 4 `block` to 4 `block` + 3. With `paired` (dimension 1 or 2) the slots
/// 2m and 2m+1 share block m: the even slot has its first two normals, the odd one the others, and z2, z3
/// mean nothing. With `wide` 64-bit integers do the same in a third of the time; `H` is then half of `N`.
#[cube]
pub fn draw<N: Size, H: Size>(
    s: &Stream<N>,
    block: u32,
    #[comptime] paired: bool,
    #[comptime] wide: bool,
) -> Normals<N> {
    if comptime!(paired && wide) {
        let first = lanes::<H>(s.slot.extract(0usize) >> 1u32);
        let w = words_wide::<N, H>(s, Vector::<u64, H>::cast_from(first), block);
        // Side by side, the halves of a 64-bit lane are an even slot's word and an odd one's.
        let r = radius::<N>(side_by_side::<N, H>(w.w0, w.w2));
        let a = sincos_turns::<N>(turns::<N>(side_by_side::<N, H>(w.w1, w.w3)));
        let (z0, z1) = (r * a.cos, r * a.sin);
        Normals::<N> { z0, z1, z2: z0, z3: z1 }
    } else if comptime!(paired) {
        let z = normals::<N>(&words::<N>(s, s.slot >> Vector::new(1u32), block));
        let odd = (s.slot & Vector::new(1u32)).equal(&Vector::new(1u32));
        Normals::<N> {
            z0: select_many(odd, z.z2, z.z0),
            z1: select_many(odd, z.z3, z.z1),
            z2: z.z2,
            z3: z.z3,
        }
    } else if comptime!(wide) {
        let w = words_wide::<N, N>(s, Vector::<u64, N>::cast_from(s.slot), block);
        normals::<N>(&Words::<N> {
            w0: Vector::<u32, N>::cast_from(w.w0 & Vector::new(0xffff_ffffu64)),
            w1: Vector::<u32, N>::cast_from(w.w1 & Vector::new(0xffff_ffffu64)),
            w2: Vector::<u32, N>::cast_from(w.w2 & Vector::new(0xffff_ffffu64)),
            w3: Vector::<u32, N>::cast_from(w.w3 & Vector::new(0xffff_ffffu64)),
        })
    } else {
        normals::<N>(&words::<N>(s, s.slot, block))
    }
}

/// Four words in the lower halves of 64-bit lanes; what the upper halves hold means nothing.
#[derive(CubeType, Clone, Copy)]
struct WideWords<L: Size> {
    w0: Vector<u64, L>,
    w1: Vector<u64, L>,
    w2: Vector<u64, L>,
    w3: Vector<u64, L>,
}

/// [`words`] with one multiplication for both halves of a product.
#[cube]
fn words_wide<N: Size, L: Size>(s: &Stream<N>, slot: Vector<u64, L>, block: u32) -> WideWords<L> {
    let low = Vector::<u64, L>::new(0xffff_ffffu64);
    let up = Vector::<u64, L>::new(32u64);
    let mut w0 = slot;
    let mut w1 = Vector::<u64, L>::new(u64::cast_from(s.step));
    let mut w2 = Vector::<u64, L>::new(u64::cast_from(s.tag));
    let mut w3 = Vector::<u64, L>::new(u64::cast_from(block));
    let mut k0 = s.key0;
    let mut k1 = s.key1;
    #[unroll]
    for _ in 0..10 {
        let p0 = (w0 & low) * Vector::new(0xD251_1F53u64);
        let p1 = (w2 & low) * Vector::new(0xCD9E_8D57u64);
        w0 = (p1 >> up) ^ w1 ^ Vector::new(u64::cast_from(k0));
        w1 = p1;
        w2 = (p0 >> up) ^ w3 ^ Vector::new(u64::cast_from(k1));
        w3 = p0;
        k0 += 0x9E37_79B9u32;
        k1 += 0xBB67_AE85u32;
    }
    WideWords::<L> { w0, w1, w2, w3 }
}

/// Words of even lanes and of odd ones, side by side.
#[cube]
fn side_by_side<N: Size, H: Size>(even: Vector<u64, H>, odd: Vector<u64, H>) -> Vector<u32, N> {
    let both = (even & Vector::new(0xffff_ffffu64)) | (odd << Vector::new(32u64));
    Vector::<u32, N>::reinterpret(both)
}

/// `first`, `first` + 1, ... over the lanes.
#[cube]
pub fn lanes<N: Size>(first: u32) -> Vector<u32, N> {
    // Constants first: they become one.
    let mut out = Vector::<u32, N>::new(0u32);
    #[unroll]
    for lane in 0..N::value() {
        out.insert(lane, comptime!(lane as u32));
    }
    out + Vector::new(first)
}

pub mod oracle {
    //! The same, in plain integers and f64.

    /// Philox4x32-10 of one counter.
    pub fn philox(mut c: [u32; 4], mut k: [u32; 2]) -> [u32; 4] {
        for _ in 0..10 {
            let p0 = u64::from(c[0]) * 0xD251_1F53;
            let p1 = u64::from(c[2]) * 0xCD9E_8D57;
            c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
            k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
        }
        c
    }

    /// Where the draws of one particle come from.
    #[derive(Clone, Copy, Debug)]
    pub struct Stream {
        /// The group's seed.
        pub seed: u64,
        /// Slot within the group.
        pub slot: u32,
        /// Step of the run.
        pub step: u32,
        /// Purpose and inner iteration.
        pub tag: u32,
    }

    /// The random words of coordinate block `block`.
    pub fn words(s: Stream, block: u32) -> [u32; 4] {
        philox([s.slot, s.step, s.tag, block], [s.seed as u32, (s.seed >> 32) as u32])
    }

    /// A uniform in (0, 1).
    pub fn uniform(word: u32) -> f64 {
        (f64::from(word >> 9) + 0.5) / f64::from(1 << 23)
    }

    /// The standard normal of one coordinate of a particle of dimension `dim`.
    pub fn normal(s: Stream, coordinate: usize, dim: usize) -> f64 {
        let (w, pair) = if dim <= 2 {
            (words(Stream { slot: s.slot / 2, ..s }, 0), s.slot as usize % 2)
        } else {
            (words(s, coordinate as u32 / 4), coordinate % 4 / 2)
        };
        let u = (f64::from(w[2 * pair]) + 0.5) / 4_294_967_296.0;
        let angle = std::f64::consts::TAU * f64::from(w[2 * pair + 1] >> 8) / f64::from(1 << 24);
        let (sin, cos) = angle.sin_cos();
        (-2.0 * u.ln()).sqrt() * if coordinate.is_multiple_of(2) { cos } else { sin }
    }

    /// The sign of one coordinate, +1 or -1: the top bit of its word.
    pub fn sign(s: Stream, coordinate: usize) -> f64 {
        if words(s, coordinate as u32 / 4)[coordinate % 4] >> 31 == 0 { 1.0 } else { -1.0 }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// Random123, tests/kat_vectors, philox4x32 10.
        #[test]
        fn known_answers() {
            assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
            assert_eq!(philox([!0; 4], [!0; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
            assert_eq!(
                philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
            );
        }
    }
}
