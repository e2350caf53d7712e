//! One algebraic idea under every reduce and scan: an identity and an associative combine.
//!
//! Identities are finite sentinels: WGSL has no infinity constants.

use cubecl::prelude::*;

use crate::prims::fixed::{self, Fixed};
use crate::prims::math::{exp, larger, not_finite};

/// The log-weight of a particle of weight zero, and the identity of max.
pub const ZERO_WEIGHT: f32 = -1.0e30;
/// At or below this a log-weight counts as weight zero.
pub const ZERO_BELOW: f32 = -1.0e29;

/// A monoid whose items are `words` 32-bit words in memory.
#[cube]
pub trait Monoid: 'static + Send + Sync {
    /// An element.
    type Item: CubeType + Copy;
    /// Words of an element in memory.
    fn words() -> comptime_type!(usize);
    /// The neutral element.
    fn identity() -> Self::Item;
    /// The product; `a` comes before `b`.
    fn combine(a: &Self::Item, b: &Self::Item) -> Self::Item;
    /// Reads element `at`.
    fn load(memory: &[u32], at: usize) -> Self::Item;
    /// Writes element `at`.
    fn store(memory: &mut [u32], at: usize, item: &Self::Item);
}

/// Sum of f32.
pub struct Sum;

#[cube]
impl Monoid for Sum {
    type Item = f32;
    fn words() -> comptime_type!(usize) {
        1usize
    }
    fn identity() -> f32 {
        0.0f32.runtime()
    }
    fn combine(a: &f32, b: &f32) -> f32 {
        *a + *b
    }
    fn load(memory: &[u32], at: usize) -> f32 {
        f32::reinterpret(memory[at])
    }
    fn store(memory: &mut [u32], at: usize, item: &f32) {
        memory[at] = u32::reinterpret(*item);
    }
}

/// Largest f32.
pub struct Max;

#[cube]
impl Monoid for Max {
    type Item = f32;
    fn words() -> comptime_type!(usize) {
        1usize
    }
    fn identity() -> f32 {
        comptime!(f32::MIN).runtime()
    }
    fn combine(a: &f32, b: &f32) -> f32 {
        select(*a > *b, *a, *b)
    }
    fn load(memory: &[u32], at: usize) -> f32 {
        f32::reinterpret(memory[at])
    }
    fn store(memory: &mut [u32], at: usize, item: &f32) {
        memory[at] = u32::reinterpret(*item);
    }
}

/// Largest i32.
pub struct MaxInt;

#[cube]
impl Monoid for MaxInt {
    type Item = i32;
    fn words() -> comptime_type!(usize) {
        1usize
    }
    fn identity() -> i32 {
        comptime!(i32::MIN).runtime()
    }
    fn combine(a: &i32, b: &i32) -> i32 {
        select(*a > *b, *a, *b)
    }
    fn load(memory: &[u32], at: usize) -> i32 {
        i32::reinterpret(memory[at])
    }
    fn store(memory: &mut [u32], at: usize, item: &i32) {
        memory[at] = u32::reinterpret(*item);
    }
}

/// Sum of 61-bit integers.
pub struct FixedSum;

#[cube]
impl Monoid for FixedSum {
    type Item = Fixed;
    fn words() -> comptime_type!(usize) {
        2usize
    }
    fn identity() -> Fixed {
        Fixed { hi: 0u32.runtime(), lo: 0u32.runtime() }
    }
    fn combine(a: &Fixed, b: &Fixed) -> Fixed {
        fixed::add(a, b)
    }
    fn load(memory: &[u32], at: usize) -> Fixed {
        Fixed { hi: memory[2 * at], lo: memory[2 * at + 1] }
    }
    fn store(memory: &mut [u32], at: usize, item: &Fixed) {
        memory[2 * at] = item.hi;
        memory[2 * at + 1] = item.lo;
    }
}

/// What a set of log-weights adds up to, scaled by its largest.
#[derive(CubeType, Clone, Copy)]
pub struct Lse<N: Size> {
    /// The largest log-weight.
    pub max: Vector<f32, N>,
    /// Sum of exp(log-weight - max).
    pub sum: Vector<f32, N>,
    /// Sum of exp(2 (log-weight - max)).
    pub square: Vector<f32, N>,
    /// Number of log-weights that were NaN or +infinity.
    pub bad: Vector<f32, N>,
}

/// Log-sum-exp with the sum of squares, from which the ESS is (sum)^2 / square.
pub struct LogSumExp;

#[cube]
impl Monoid for LogSumExp {
    type Item = Lse<One>;
    fn words() -> comptime_type!(usize) {
        4usize
    }
    fn identity() -> Lse<One> {
        lse_identity::<One>()
    }
    fn combine(a: &Lse<One>, b: &Lse<One>) -> Lse<One> {
        lse_combine::<One>(a, b)
    }
    fn load(memory: &[u32], at: usize) -> Lse<One> {
        Lse::<One> {
            max: Vector::new(f32::reinterpret(memory[4 * at])),
            sum: Vector::new(f32::reinterpret(memory[4 * at + 1])),
            square: Vector::new(f32::reinterpret(memory[4 * at + 2])),
            bad: Vector::new(f32::reinterpret(memory[4 * at + 3])),
        }
    }
    fn store(memory: &mut [u32], at: usize, item: &Lse<One>) {
        memory[4 * at] = u32::reinterpret(item.max.extract(0usize));
        memory[4 * at + 1] = u32::reinterpret(item.sum.extract(0usize));
        memory[4 * at + 2] = u32::reinterpret(item.square.extract(0usize));
        memory[4 * at + 3] = u32::reinterpret(item.bad.extract(0usize));
    }
}

/// One particle at a time.
pub type One = Const<1>;

/// Nothing summed yet.
#[cube]
pub fn lse_identity<N: Size>() -> Lse<N> {
    Lse::<N> {
        max: Vector::new(ZERO_WEIGHT),
        sum: Vector::new(0.0f32),
        square: Vector::new(0.0f32),
        bad: Vector::new(0.0f32),
    }
}

/// Both sets together.
#[cube]
pub fn lse_combine<N: Size>(a: &Lse<N>, b: &Lse<N>) -> Lse<N> {
    let mut both = Lse::<N> { max: a.max, sum: a.sum, square: a.square, bad: a.bad };
    lse_absorb::<N>(&mut both, b);
    both
}

/// Adds `item` to `sums`.
#[cube]
pub fn lse_absorb<N: Size>(sums: &mut Lse<N>, item: &Lse<N>) {
    let max = larger::<N>(sums.max, item.max);
    let fa = exp::<N>(sums.max - max);
    let fb = exp::<N>(item.max - max);
    sums.max = max;
    sums.sum = fma(sums.sum, fa, item.sum * fb);
    sums.square = fma(sums.square, fa * fa, item.square * (fb * fb));
    sums.bad += item.bad;
}

/// One log-weight a lane. -infinity and the sentinel are weight zero; NaN and +infinity count as
/// bad and weigh nothing.
#[cube]
pub fn lse_item<N: Size>(log_w: Vector<f32, N>) -> Lse<N> {
    let zero = Vector::new(0.0f32);
    let one = Vector::new(1.0f32);
    let odd = not_finite::<N>(log_w);
    let minus_infinity = Vector::<u32, N>::reinterpret(log_w).equal(&Vector::new(0xff80_0000u32));
    let clean = select_many(odd, Vector::new(ZERO_WEIGHT), log_w);
    let dead = clean.less_than(&Vector::new(ZERO_BELOW));
    let weight = select_many(dead, zero, one);
    Lse::<N> {
        max: select_many(dead, Vector::new(ZERO_WEIGHT), clean),
        sum: weight,
        square: weight,
        bad: select_many(odd, select_many(minus_infinity, zero, one), zero),
    }
}
