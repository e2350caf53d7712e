//! Linear operators that measure a sample: anything with an adjoint becomes the rows of [`Task::Linear`].
//! docs/maths.md (13.2).

use feynkac_kernels::prims::philox::oracle::{Stream, normal};

use crate::eigen::dot;
use crate::error::{Error, Result};
use crate::twist::Task;

/// A linear operator A, from samples of D coordinates to M components.
pub trait Operator {
    /// M and D.
    fn sizes(&self) -> (usize, usize);

    /// A x `[M]` of a sample x `[D]`.
    fn apply(&self, x: &[f64]) -> Vec<f64>;

    /// A^T u `[D]` of u `[M]`: <A x, u> = <x, A^T u> for all x and u.
    fn adjoint(&self, u: &[f64]) -> Vec<f64>;
}

/// Most numbers of the rows of an operator: 1 GiB of f64.
const MOST_NUMBERS: usize = 1 << 27;
/// Pairs of random vectors on which an adjoint is tried.
const TRIALS: u32 = 4;
/// What <A x, u> and <x, A^T u> may differ by, over |A x| |u| + |x| |A^T u|: f32 arithmetic of some thousand terms passes.
const ALIKE: f64 = 1.0e-6;

impl Task {
    /// That `operator` measures y `[M]` with Gaussian noise of these standard deviations `[M]`, above 0. The adjoint is
    /// tried first, on random vectors from a fixed seed; it is then asked for each row of A, M times.
    pub fn measured(operator: &dyn Operator, y: Vec<f64>, noise: Vec<f64>) -> Result<Self> {
        let (m, dim) = operator.sizes();
        let sizes = |wanted: String| Error::input("sizes of the operator", format!("{m} x {dim}"), wanted);
        if m == 0 || dim == 0 {
            return Err(sizes("at least one component and one coordinate".into()));
        }
        if m.checked_mul(dim).is_none_or(|numbers| numbers > MOST_NUMBERS) {
            return Err(sizes(format!("at most {MOST_NUMBERS} numbers")));
        }
        if y.len() != m {
            let wanted = format!("{m}, what the operator makes of a sample");
            return Err(Error::input("numbers of y", y.len(), wanted));
        }
        try_adjoint(operator)?;
        let unit = |i: usize| (0..m).map(|j| f64::from(u8::from(i == j))).collect::<Vec<f64>>();
        let mut rows = Vec::with_capacity(m * dim);
        for i in 0..m {
            rows.extend(sized("A^T u", operator.adjoint(&unit(i)), dim)?);
        }
        let task = Self::Linear { operator: rows, measured: y, noise };
        task.check(dim)?;
        Ok(task)
    }
}

/// What an operator made of a vector, if it is of `count` numbers.
fn sized(what: &str, made: Vec<f64>, count: usize) -> Result<Vec<f64>> {
    if made.len() == count {
        return Ok(made);
    }
    Err(Error::input(format!("{what} of the operator"), format!("{} numbers", made.len()), count))
}

/// Refuses an operator whose adjoint is not one.
fn try_adjoint(operator: &dyn Operator) -> Result<()> {
    let (m, dim) = operator.sizes();
    let random = |step: u32, tag: u32, len: usize| -> Vec<f64> {
        let stream = Stream { seed: 0x61646a, slot: 0, step, tag };
        (0..len).map(|k| normal(stream, k, len)).collect()
    };
    for trial in 0..TRIALS {
        let (x, u) = (random(trial, 0, dim), random(trial, 1, m));
        let forth = sized("A x", operator.apply(&x), m)?;
        let back = sized("A^T u", operator.adjoint(&u), dim)?;
        let (left, right) = (dot(&forth, &u), dot(&x, &back));
        let length = |v: &[f64]| dot(v, v).sqrt();
        let allowed = ALIKE * (length(&forth) * length(&u) + length(&x) * length(&back));
        // What is no number is above nothing, and below.
        if (left - right).abs() > allowed || !(left - right).is_finite() {
            let found = format!("<A x, u> = {left:.6e} and <x, A^T u> = {right:.6e}");
            return Err(Error::input(
                "adjoint of the operator",
                found,
                "the same, of a linear A and its transpose",
            ));
        }
    }
    Ok(())
}

/// Images `[C, H, W]` seen through a kernel, channel by channel: component (c, i, j) is
///
/// ```text
/// sum over (a, b) of kernel[a, b] x[c, s i + f(KH) + a, s j + f(KW) + b],   f(K) = floor((s - K)/2)
/// ```
///
/// with s the stride and i < ceil(H/s), j < ceil(W/s). Pixels outside are 0. Stride 1 is a blur, centred where K is odd; the
/// mean over k x k at stride k makes an image smaller.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    image: [usize; 3],
    kernel: Vec<f64>,
    size: [usize; 2],
    stride: usize,
}

impl Filter {
    /// Of images `[C, H, W]`; `kernel` is `[KH, KW]`, row-major, and `size` its KH and KW.
    pub fn new(image: [usize; 3], kernel: Vec<f64>, size: [usize; 2], stride: usize) -> Result<Self> {
        let cells = |sizes: &[usize]| sizes.iter().try_fold(1_usize, |all, n| all.checked_mul(*n));
        if image.contains(&0) || cells(&image).is_none_or(|all| all > MOST_NUMBERS) {
            let wanted = format!("sizes of at least 1, of at most {MOST_NUMBERS} pixels");
            return Err(Error::input("image [C, H, W]", format!("{image:?}"), wanted));
        }
        if size.contains(&0) || cells(&size) != Some(kernel.len()) {
            let wanted = format!("{size:?}, sizes of at least 1");
            return Err(Error::input("kernel [KH, KW]", format!("{} numbers", kernel.len()), wanted));
        }
        if let Some(odd) = kernel.iter().find(|v| !v.is_finite()) {
            return Err(Error::input("kernel [KH, KW]", odd, "finite numbers"));
        }
        // Beyond the image's own size a longer stride says nothing more.
        if !(1..=image[1].max(image[2])).contains(&stride) {
            let wanted = format!("1 to {}", image[1].max(image[2]));
            return Err(Error::input("stride", stride, wanted));
        }
        Ok(Self { image, kernel, size, stride })
    }

    /// The mean over `by` x `by` pixels, at that stride: pixels beyond an edge are 0, so `by` should divide H and W.
    pub fn smaller(image: [usize; 3], by: usize) -> Result<Self> {
        let cells = by.checked_mul(by).filter(|cells| (1..=MOST_NUMBERS).contains(cells));
        let Some(cells) = cells else {
            return Err(Error::input("stride", by, "at least 1, and a mean of ordinary size"));
        };
        Self::new(image, vec![1.0 / cells as f64; cells], [by, by], by)
    }

    /// Of output `i` along one side: which of the kernel's `size` cells lie within `len` pixels, and on which of them.
    fn taps(&self, i: usize, size: usize, len: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let first = (i * self.stride) as isize + (self.stride as isize - size as isize).div_euclid(2);
        let within = (-first).max(0)..(len as isize - first).min(size as isize);
        within.map(move |a| (a as usize, (first + a) as usize))
    }

    /// Rows and columns of what comes out.
    fn out(&self) -> [usize; 2] {
        [self.image[1].div_ceil(self.stride), self.image[2].div_ceil(self.stride)]
    }

    /// Calls `each` with every component, a coordinate that it sees, and with which factor.
    fn walk(&self, mut each: impl FnMut(usize, usize, f64)) {
        let ([channels, height, width], [rows, columns]) = (self.image, self.out());
        for c in 0..channels {
            for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
                for (a, y) in self.taps(i, self.size[0], height) {
                    for (b, x) in self.taps(j, self.size[1], width) {
                        let factor = self.kernel[a * self.size[1] + b];
                        each((c * rows + i) * columns + j, (c * height + y) * width + x, factor);
                    }
                }
            }
        }
    }
}

impl Operator for Filter {
    fn sizes(&self) -> (usize, usize) {
        let [rows, columns] = self.out();
        (self.image[0] * rows * columns, self.image.iter().product())
    }

    fn apply(&self, x: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.sizes().0];
        self.walk(|component, coordinate, factor| out[component] += factor * x[coordinate]);
        out
    }

    fn adjoint(&self, u: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.sizes().1];
        self.walk(|component, coordinate, factor| out[coordinate] += factor * u[component]);
        out
    }
}

/// Some of the coordinates: a mask, where each of them has a noise of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subset {
    coordinates: Vec<usize>,
    dim: usize,
}

impl Subset {
    /// Of samples of `dim` coordinates these, `[M]`.
    pub fn new(coordinates: Vec<usize>, dim: usize) -> Result<Self> {
        match coordinates.iter().find(|k| **k >= dim) {
            Some(k) => Err(Error::input("coordinate of a subset", k, format!("below {dim}"))),
            None => Ok(Self { coordinates, dim }),
        }
    }
}

impl Operator for Subset {
    fn sizes(&self) -> (usize, usize) {
        (self.coordinates.len(), self.dim)
    }

    fn apply(&self, x: &[f64]) -> Vec<f64> {
        self.coordinates.iter().map(|k| x[*k]).collect()
    }

    fn adjoint(&self, u: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.dim];
        self.coordinates.iter().zip(u).for_each(|(k, u)| out[*k] += u);
        out
    }
}

#[cfg(test)]
mod tests;
