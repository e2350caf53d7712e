//! 64-bit unsigned integers as two words: exact sums on devices without 64-bit arithmetic.
//!
//! Weights become integers of at most 61 bits in total, so that their prefix sums are exact and
//! the same for any number of cubes, threads or blocks; f32 sums break systematic resampling from
//! about 2^20 particles on.

use cubecl::prelude::*;

/// Bits of the largest total.
pub const TOTAL_BITS: u32 = 61;

/// Bits behind the binary point of integer weights of which `block`, each below 2, are added up.
pub fn weight_bits(block: usize) -> u32 {
    TOTAL_BITS - 1 - block.next_power_of_two().trailing_zeros()
}

/// `hi` 2^32 + `lo`.
#[derive(CubeType, CubeTypeMut, Clone, Copy)]
pub struct Fixed {
    /// High word.
    pub hi: u32,
    /// Low word.
    pub lo: u32,
}

/// a + b, modulo 2^64.
#[cube]
pub fn add(a: &Fixed, b: &Fixed) -> Fixed {
    let lo = a.lo + b.lo;
    let carry = u32::cast_from(lo < a.lo);
    Fixed { hi: a.hi + b.hi + carry, lo }
}

/// a * b, modulo 2^64.
#[cube]
pub fn scale(a: &Fixed, b: u32) -> Fixed {
    Fixed { hi: a.hi * b + a.lo.mul_hi(b), lo: a.lo * b }
}

/// a / 2^bits, rounded down.
#[cube]
pub fn shift_right(a: &Fixed, bits: u32) -> Fixed {
    let zero = 0u32.runtime();
    if bits >= 64u32 {
        Fixed { hi: zero, lo: zero }
    } else if bits >= 32u32 {
        Fixed { hi: zero, lo: a.hi >> (bits - 32u32) }
    } else if bits > 0u32 {
        Fixed { hi: a.hi >> bits, lo: (a.lo >> bits) | (a.hi << (32u32 - bits)) }
    } else {
        Fixed { hi: a.hi, lo: a.lo }
    }
}

/// A product of three words.
#[derive(CubeType, Clone, Copy)]
struct Long {
    high: u32,
    middle: u32,
    low: u32,
}

#[cube]
fn multiply(a: &Fixed, b: u32) -> Long {
    let carried = a.lo.mul_hi(b);
    let part = a.hi * b;
    let middle = carried + part;
    Long { high: a.hi.mul_hi(b) + u32::cast_from(middle < part), middle, low: a.lo * b }
}

/// a b + c >= d e.
#[cube]
pub fn reaches(a: &Fixed, b: u32, c: &Fixed, d: &Fixed, e: u32) -> bool {
    let left = multiply(a, b);
    let right = multiply(d, e);
    let low = left.low + c.lo;
    let one = u32::cast_from(low < c.lo);
    let middle = left.middle + c.hi;
    let over = u32::cast_from(middle < c.hi);
    let carried = middle + one;
    let high = left.high + over + u32::cast_from(carried < one);
    high > right.high
        || (high == right.high && (carried > right.middle || (carried == right.middle && low >= right.low)))
}

/// The nearest f32, or one beside it.
#[cube]
pub fn rounded(a: &Fixed) -> f32 {
    fma(f32::cast_from(a.hi), 4_294_967_296.0f32, f32::cast_from(a.lo))
}

/// A weight below 2^32 / `high`, in units of 2^-32 / `high` (a power of two). Every operation is exact
/// in f32 except the last truncation, which drops what lies below the unit.
#[cube]
pub fn from_weight(w: f32, high: f32) -> Fixed {
    let scaled = w * high;
    let whole = scaled.floor();
    let part = (scaled - whole) * 4_294_967_296.0f32;
    Fixed { hi: u32::cast_from(whole), lo: u32::cast_from(part) }
}

/// a 2^32 + b of a 64-bit number.
#[cube]
pub fn split(whole: u64) -> Fixed {
    Fixed { hi: u32::cast_from(whole >> 32u64), lo: u32::cast_from(whole & 0xffff_ffffu64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_fits() {
        for block in [1_usize, 16, 48, 1024, 1 << 18, 1 << 20] {
            for blocks in [1_usize, 2, 1000, 1024] {
                // All weights as large as can be, which is below 2.
                let sum = (block as u128) << (weight_bits(block) + 1);
                let total = (sum >> blocks.next_power_of_two().trailing_zeros()) * blocks as u128;
                assert!(total <= 1 << TOTAL_BITS, "{blocks} blocks of {block}");
            }
        }
    }
}
