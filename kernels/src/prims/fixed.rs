//! 64-bit unsigned integers as two words: exact sums on devices without 64-bit arithmetic.
//!
//! Weights become integers of at most 61 bits in total, so that their prefix sums are exact and
//! the same for any number of cubes, threads or blocks; f32 sums break systematic resampling from
//! about 2^20 particles on.

use cubecl::prelude::*;

/// Bits of the largest total.
pub const TOTAL_BITS: u32 = 61;

/// `hi` 2^32 + `lo`.
#[derive(CubeType, Clone, Copy)]
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

/// a < b.
#[cube]
pub fn less(a: &Fixed, b: &Fixed) -> bool {
    a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo)
}

/// a * b, modulo 2^64.
#[cube]
pub fn scale(a: &Fixed, b: u32) -> Fixed {
    Fixed { hi: a.hi * b + a.lo.mul_hi(b), lo: a.lo * b }
}

/// Quotient and remainder.
#[derive(CubeType, Clone, Copy)]
pub struct Division {
    /// The quotient.
    pub quotient: Fixed,
    /// The remainder, below the divisor.
    pub remainder: u32,
}

/// a / b for 0 < b < 2^31, bit by bit; for once-a-unit use.
#[cube]
pub fn divide(a: &Fixed, b: u32) -> Division {
    // The high word divides natively; the low word is brought down bit by bit.
    let hi = a.hi / b;
    let mut rest = a.hi - hi * b;
    let mut lo = 0u32.runtime();
    for i in 0..32u32 {
        rest = (rest << 1u32) | ((a.lo >> (31u32 - i)) & 1u32);
        lo <<= 1u32;
        if rest >= b {
            rest -= b;
            lo += 1u32;
        }
    }
    Division { quotient: Fixed { hi, lo }, remainder: rest }
}

/// 2^(bits - 32) for weights that sum to `sum` >= 1 (rounded f32), with as many bits a weight as
/// keep the total below [`TOTAL_BITS`] bits.
#[cube]
pub fn high_scale(sum: f32) -> f32 {
    // The exponent field e + 127 of sum in [2^e, 2^(e+1)); wanted 2^(TOTAL_BITS - 2 - e - 32).
    let field = u32::reinterpret(sum) >> 23u32;
    f32::reinterpret((comptime!(254 + TOTAL_BITS - 34) - field) << 23u32)
}

/// A weight in `[0, 1]` in units of 2^-32 / `high_scale`. Every operation is exact in f32 except the
/// last truncation, which drops what lies below the unit.
#[cube]
pub fn from_weight(w: f32, high_scale: f32) -> Fixed {
    let scaled = w * high_scale;
    let whole = scaled.floor();
    let part = (scaled - whole) * 4_294_967_296.0f32;
    Fixed { hi: u32::cast_from(whole), lo: u32::cast_from(part) }
}

pub mod oracle {
    //! Host side of the same numbers.

    /// Bits behind the binary point of weights that sum to `sum` >= 1.
    pub fn weight_bits(sum: f32) -> u32 {
        super::TOTAL_BITS - 2 - ((sum.to_bits() >> 23) - 127)
    }

    /// A weight in `[0, 1]` in units of 2^-`bits`, truncated.
    pub fn from_weight(w: f32, bits: u32) -> u64 {
        (f64::from(w) * f64::from(bits).exp2()) as u64
    }
}
