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

/// a itself: kernel code moves structs and does not copy them.
#[cube]
pub fn copied(a: &Fixed) -> Fixed {
    Fixed { hi: a.hi, lo: a.lo }
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

/// a - b, modulo 2^64.
#[cube]
pub fn subtract(a: &Fixed, b: &Fixed) -> Fixed {
    Fixed { hi: a.hi - b.hi - u32::cast_from(a.lo < b.lo), lo: a.lo - b.lo }
}

/// a < b.
#[cube]
pub fn below(a: &Fixed, b: &Fixed) -> bool {
    a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo)
}

/// floor(a word / 2^32).
#[cube]
pub fn fraction(a: &Fixed, word: u32) -> Fixed {
    let zero = 0u32.runtime();
    add(&scale(&Fixed { hi: zero, lo: a.hi }, word), &Fixed { hi: zero, lo: a.lo.mul_hi(word) })
}

/// floor(a (2^32 high + low) / 2^(32 + bits)), `bits` at most 32: where (high + low / 2^32) / 2^bits of
/// the way to a lies.
#[cube]
pub fn along(a: &Fixed, high: u32, low: u32, bits: u32) -> Fixed {
    let product = multiply(a, high);
    let rest = fraction(a, low);
    let low = product.low + rest.lo;
    let one = u32::cast_from(low < rest.lo);
    let middle = product.middle + rest.hi;
    let over = u32::cast_from(middle < rest.hi);
    let carried = middle + one;
    let high = product.high + over + u32::cast_from(carried < one);
    // The three words shifted down; those above the second are zero then.
    if bits >= 32u32 {
        Fixed { hi: high, lo: carried }
    } else if bits > 0u32 {
        Fixed {
            hi: (carried >> bits) | (high << (32u32 - bits)),
            lo: (low >> bits) | (carried << (32u32 - bits)),
        }
    } else {
        Fixed { hi: carried, lo: low }
    }
}

/// A quotient with what is left.
#[derive(CubeType, Clone, Copy)]
pub struct Quotient {
    /// Rounded down.
    pub whole: Fixed,
    /// Below the divisor.
    pub rest: Fixed,
}

/// a / b, for a below 2^62 and b from 1 to 2^28. Floating point guesses from below, integers judge.
#[cube]
pub fn divide(a: &Fixed, b: u32) -> Quotient {
    let zero = 0u32.runtime();
    let by = 0.999_999f32 / f32::cast_from(b);
    let mut whole = Fixed { hi: zero, lo: zero };
    let mut rest = copied(a);
    // Each guess leaves at most 2^-19 of the quotient, and one.
    for _ in 0..4 {
        let part = from_weight(rounded(&rest) * by, 2.328_306_4e-10f32);
        whole = add(&whole, &part);
        rest = subtract(&rest, &scale(&part, b));
    }
    let one = Fixed { hi: zero, lo: 1u32.runtime() };
    let divisor = Fixed { hi: zero, lo: b };
    while !below(&rest, &divisor) {
        whole = add(&whole, &one);
        rest = subtract(&rest, &divisor);
    }
    Quotient { whole, rest }
}

/// Binary digits of a.
#[cube]
pub fn digits(a: &Fixed) -> u32 {
    if a.hi > 0u32 { 64u32 - a.hi.leading_zeros() } else { 32u32 - a.lo.leading_zeros() }
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
