//! Elementary functions with stated errors, the same words on every backend.
//!
//! WGSL promises 2^-11 absolute for `sin` and nothing tight for `exp`; draws that must agree
//! across backends need their own. Polynomials: S. Moshier, Cephes (single precision), 1989.
//! Rounding is `round()`: adding 1.5 * 2^23 is folded away by some shader compilers.

use cubecl::prelude::*;

/// n ln 2 in parts, of which those that matter are exact: shaders need not fuse a product and a sum. For |n|
/// below 2^27.
#[derive(CubeType, Clone, Copy)]
pub struct Shift {
    coarse: f32,
    fine: f32,
    n: f32,
}

/// n ln 2.
#[cube]
pub fn shift_by(n: i32) -> Shift {
    let coarse = n / 4096i32 * 4096i32;
    Shift {
        coarse: f32::cast_from(coarse) * 0.693_359_4f32,
        fine: f32::cast_from(n - coarse) * 0.693_359_4f32,
        n: f32::cast_from(n),
    }
}

#[cube]
fn shifted<N: Size>(x: Vector<f32, N>, by: &Shift) -> Vector<f32, N> {
    // Fused by its name: a compiler that fused one kernel's product and sum and not another's would tell them apart.
    let near = (x - Vector::new(by.coarse)) - Vector::new(by.fine);
    fma(Vector::new(by.n), Vector::new(2.121_944_4e-4f32), near)
}

/// The n for which exp(x) is 2^n times something near 1, for |x| below 9e7.
#[cube]
pub fn exponent_of(x: f32) -> i32 {
    let n = i32::cast_from((x * std::f32::consts::LOG2_E).round());
    // Where n is large its product was rounded: what is left tells.
    let left = shifted::<Const<1>>(Vector::new(x), &shift_by(n)).extract(0usize);
    n + i32::cast_from((left * std::f32::consts::LOG2_E).round())
}

/// exp(x) 2^-n where that is at most 2; relative error below 2^-22. At least 2^-100, clear of the
/// subnormal numbers.
#[cube]
pub fn exp_shifted<N: Size>(x: Vector<f32, N>, by: &Shift) -> Vector<f32, N> {
    let d = larger::<N>(shifted::<N>(x, by), Vector::new(-69.3f32));
    let n = (d * Vector::new(std::f32::consts::LOG2_E)).round();
    let r = fma(n, Vector::new(-0.693_359_4f32), d);
    let r = fma(n, Vector::new(2.121_944_4e-4f32), r);
    let field = Vector::<i32, N>::cast_from(n) << Vector::new(23i32);
    Vector::<f32, N>::reinterpret(Vector::<i32, N>::reinterpret(exp_near_zero::<N>(r)) + field)
}

/// exp(r) for |r| <= ln(2) / 2.
#[cube]
fn exp_near_zero<N: Size>(r: Vector<f32, N>) -> Vector<f32, N> {
    let p = fma(Vector::new(1.987_569_1e-4f32), r, Vector::new(1.398_199_9e-3f32));
    let p = fma(p, r, Vector::new(8.333_452e-3f32));
    let p = fma(p, r, Vector::new(4.166_579_6e-2f32));
    let p = fma(p, r, Vector::new(1.666_666_5e-1f32));
    let p = fma(p, r, Vector::new(5.0e-1f32));
    fma(p, r * r, r + Vector::new(1.0f32))
}

/// 2^n for whole n in [-126, 127].
#[cube]
pub fn two_to<N: Size>(n: Vector<i32, N>) -> Vector<f32, N> {
    Vector::<f32, N>::reinterpret((n + Vector::new(127i32)) << Vector::new(23i32))
}

/// 2^t for t <= 0, at least 2^-100; relative error below 2^-22. For sums in which the largest t is 0: what
/// is smaller changes nothing there, and products with it stay clear of the subnormal numbers, on which
/// processors lose a hundred cycles.
#[cube]
pub fn exp2_below<N: Size>(t: Vector<f32, N>) -> Vector<f32, N> {
    exp2::<N>(larger::<N>(t, Vector::new(-100.0f32)))
}

/// exp(x) within [2^-100, 2^100]; relative error below 2^-22 (1 + |x|). For 1 + exp(x), where neither end
/// and no digit of a large x matters.
#[cube]
pub fn exp_within<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let t = larger::<N>(x * Vector::new(std::f32::consts::LOG2_E), Vector::new(-100.0f32));
    let most = Vector::new(100.0f32);
    exp2::<N>(select_many(t.less_than(&most), t, most))
}

/// 2^t for |t| <= 100.
#[cube]
fn exp2<N: Size>(t: Vector<f32, N>) -> Vector<f32, N> {
    let n = t.round();
    let f = t - n;
    // Interpolates 2^f at the Chebyshev points of [-1/2, 1/2].
    let p = fma(Vector::new(1.339_086_3e-3f32), f, Vector::new(9.676_032e-3f32));
    let p = fma(p, f, Vector::new(5.550_357e-2f32));
    let p = fma(p, f, Vector::new(0.240_221_07f32));
    let p = fma(p, f, Vector::new(std::f32::consts::LN_2));
    let p = fma(p, f, Vector::new(1.000_000_1f32));
    let field = Vector::<i32, N>::cast_from(n) << Vector::new(23i32);
    Vector::<f32, N>::reinterpret(Vector::<i32, N>::reinterpret(p) + field)
}

/// exp(x) for x <= 88, 0 below -87.3; relative error below 2^-22.
#[cube]
pub fn exp<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let lowest = Vector::new(-87.3f32);
    let small = x.less_than(&lowest);
    let x = select_many(small, lowest, x);
    let x = select_many(x.greater_than(&Vector::new(88.0f32)), Vector::new(88.0f32), x);
    let n = (x * Vector::new(std::f32::consts::LOG2_E)).round();
    // ln 2 in two parts, so that the reduced argument is exact.
    let r = fma(n, Vector::new(-0.693_359_4f32), x);
    let r = fma(n, Vector::new(2.121_944_4e-4f32), r);
    let y = exp_near_zero::<N>(r) * two_to::<N>(Vector::<i32, N>::cast_from(n));
    select_many(small, Vector::new(0.0f32), y)
}

/// ln(x) for normal x > 0; absolute error below 2^-22 plus relative error below 2^-22.
#[cube]
pub fn ln<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let bits = Vector::<u32, N>::reinterpret(x);
    let e = Vector::<i32, N>::cast_from(bits >> Vector::new(23u32)) - Vector::new(126i32);
    let m = Vector::<f32, N>::reinterpret((bits & Vector::new(0x007f_ffffu32)) | Vector::new(0x3f00_0000u32));
    // m in [1/2, 1): bring it to [sqrt(1/2), sqrt(2)) and subtract 1.
    let low = m.less_than(&Vector::new(std::f32::consts::FRAC_1_SQRT_2));
    let e = Vector::<f32, N>::cast_from(e) - select_many(low, Vector::new(1.0f32), Vector::new(0.0f32));
    ln_near_one::<N>(select_many(low, m + m, m) - Vector::new(1.0f32), e)
}

/// ln(1 + r) + e ln 2 for r in [sqrt(1/2) - 1, sqrt(2) - 1].
#[cube]
fn ln_near_one<N: Size>(r: Vector<f32, N>, e: Vector<f32, N>) -> Vector<f32, N> {
    let p = fma(Vector::new(7.037_683_6e-2f32), r, Vector::new(-1.151_461e-1f32));
    let p = fma(p, r, Vector::new(1.167_699_9e-1f32));
    let p = fma(p, r, Vector::new(-1.242_014_1e-1f32));
    let p = fma(p, r, Vector::new(1.424_932_3e-1f32));
    let p = fma(p, r, Vector::new(-1.666_805_8e-1f32));
    let p = fma(p, r, Vector::new(2.000_071_5e-1f32));
    let p = fma(p, r, Vector::new(-2.499_999_4e-1f32));
    let p = fma(p, r, Vector::new(3.333_333e-1f32));
    let square = r * r;
    let y = p * r * square;
    let y = fma(e, Vector::new(-2.121_944_4e-4f32), y);
    let y = fma(square, Vector::new(-0.5f32), y);
    fma(e, Vector::new(0.693_359_4f32), r + y)
}

/// ln((word + 1/2) 2^-32) to 2^-22 relative, also near 1, where the quotient itself would lose the
/// digits that matter: there the distance to 1 is an exact number of half units.
#[cube]
pub fn ln_fraction<N: Size>(word: Vector<u32, N>) -> Vector<f32, N> {
    let unit = Vector::new(2.328_306_4e-10f32);
    let half = Vector::new(1.164_153_2e-10f32);
    let u = fma(Vector::<f32, N>::cast_from(word), unit, half);
    let rest = fma(Vector::<f32, N>::cast_from(Vector::new(0xffff_ffffu32) - word), unit, half);
    let near = word.greater_than(&Vector::new(0xc000_0000u32));
    let zero = Vector::new(0.0f32);
    select_many(near, ln_near_one::<N>(zero - rest, zero), ln::<N>(u))
}

/// sin and cos of one angle.
#[derive(CubeType, Clone, Copy)]
pub struct SinCos<N: Size> {
    /// The sine.
    pub sin: Vector<f32, N>,
    /// The cosine.
    pub cos: Vector<f32, N>,
}

/// sin(2 pi u) and cos(2 pi u) for u in [0, 1); absolute error below 2^-22.
#[cube]
pub fn sincos_turns<N: Size>(u: Vector<f32, N>) -> SinCos<N> {
    let quarter = (u * Vector::new(4.0f32)).round();
    let r = fma(quarter, Vector::new(-0.25f32), u) * Vector::new(std::f32::consts::TAU);
    let z = r * r;
    let s = fma(Vector::new(-1.951_529_6e-4f32), z, Vector::new(8.332_161e-3f32));
    let s = fma(s, z, Vector::new(-1.666_665_5e-1f32));
    let s = fma(s * z, r, r);
    let c = fma(Vector::new(2.443_315_7e-5f32), z, Vector::new(-1.388_731_6e-3f32));
    let c = fma(c, z, Vector::new(4.166_664_6e-2f32));
    let c = fma(c * z, z, fma(z, Vector::new(-0.5f32), Vector::new(1.0f32)));
    let q = Vector::<u32, N>::cast_from(quarter);
    let odd = (q & Vector::new(1u32)).equal(&Vector::new(1u32));
    let sin = select_many(odd, c, s);
    let cos = select_many(odd, s, c);
    let sin_negative = (q & Vector::new(2u32)).equal(&Vector::new(2u32));
    let cos_negative = ((q + Vector::new(1u32)) & Vector::new(2u32)).equal(&Vector::new(2u32));
    let zero = Vector::new(0.0f32);
    SinCos::<N> {
        sin: select_many(sin_negative, zero - sin, sin),
        cos: select_many(cos_negative, zero - cos, cos),
    }
}

/// The larger, lane by lane; one instruction where `max` with its NaN rule costs three.
#[cube]
pub fn larger<N: Size>(a: Vector<f32, N>, b: Vector<f32, N>) -> Vector<f32, N> {
    select_many(a.greater_than(&b), a, b)
}

/// The smaller of two.
#[cube]
pub fn smaller<N: Size>(a: Vector<f32, N>, b: Vector<f32, N>) -> Vector<f32, N> {
    select_many(a.less_than(&b), a, b)
}

/// 1 where a lane is NaN or an infinity, by its bits (a shader compiler may assume `x == x`).
#[cube]
pub fn not_finite<N: Size>(x: Vector<f32, N>) -> Vector<bool, N> {
    let exponent = Vector::<u32, N>::reinterpret(x) & Vector::new(0x7f80_0000u32);
    exponent.equal(&Vector::new(0x7f80_0000u32))
}
