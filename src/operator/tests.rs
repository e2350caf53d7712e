//! Filters against a dense matrix from their definition, adjoints that are none, and what else is refused.

use super::*;

/// The dense rows of a filter, from its definition.
fn dense([channels, height, width]: [usize; 3], kernel: &[f64], [kh, kw]: [usize; 2], s: usize) -> Vec<f64> {
    let (rows, columns) = (height.div_ceil(s), width.div_ceil(s));
    let begin = |i: usize, k: usize| (i * s) as f64 + ((s as f64 - k as f64) / 2.0).floor();
    let one = |c: usize, i: usize, j: usize, at: usize| -> f64 {
        let (channel, y, x) = (at / (height * width), at / width % height, at % width);
        let (a, b) = (y as f64 - begin(i, kh), x as f64 - begin(j, kw));
        let within = channel == c && a >= 0.0 && a < kh as f64 && b >= 0.0 && b < kw as f64;
        if within { kernel[a as usize * kw + b as usize] } else { 0.0 }
    };
    let mut all = Vec::new();
    for (c, i, j) in
        (0..channels).flat_map(|c| (0..rows * columns).map(move |ij| (c, ij / columns, ij % columns)))
    {
        all.extend((0..channels * height * width).map(|at| one(c, i, j, at)));
    }
    all
}

fn numbers(len: usize) -> Vec<f64> {
    (0..len).map(|i| (1.7 * i as f64 + 0.3).sin()).collect()
}

#[test]
fn a_filter_is_its_definition() {
    for (image, size, stride) in [
        ([1, 1, 1], [1, 1], 1),
        ([1, 5, 4], [3, 3], 1),
        ([2, 5, 4], [2, 4], 1),
        ([2, 6, 6], [2, 2], 2),
        ([1, 7, 5], [3, 1], 2),
        ([3, 7, 8], [2, 5], 3),
        ([1, 8, 8], [1, 1], 4),
        ([1, 3, 2], [9, 9], 1),
    ] {
        let kernel = numbers(size[0] * size[1]);
        let filter = Filter::new(image, kernel.clone(), size, stride).unwrap();
        let wanted = dense(image, &kernel, size, stride);
        let (m, dim) = filter.sizes();
        assert_eq!(wanted.len(), m * dim, "{image:?}, {size:?}, {stride}");
        let x = numbers(dim);
        for (found, row) in filter.apply(&x).iter().zip(wanted.chunks(dim)) {
            assert!((found - dot(row, &x)).abs() < 1.0e-12, "{image:?}, {size:?}, {stride}");
        }
        let Task::Linear { operator, .. } = Task::measured(&filter, vec![0.0; m], vec![1.0; m]).unwrap()
        else {
            panic!("a measurement")
        };
        assert_eq!(operator, wanted, "{image:?}, {size:?}, {stride}");
    }
}

#[test]
fn means_of_four_pixels() {
    let smaller = Filter::smaller([1, 2, 4], 2).unwrap();
    assert_eq!(smaller.apply(&[1.0, 2.0, 0.0, 8.0, 3.0, 6.0, 4.0, 0.0]), [3.0, 3.0]);
    assert_eq!(smaller.adjoint(&[4.0, 8.0]), [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
}

#[test]
fn a_subset_has_a_noise_a_coordinate() {
    let task = Task::measured(&Subset::new(vec![2, 0], 3).unwrap(), vec![1.0, 2.0], vec![0.1, 0.2]).unwrap();
    let rows = vec![0.0, 0.0, 1.0, 1.0, 0.0, 0.0];
    assert_eq!(task, Task::Linear { operator: rows, measured: vec![1.0, 2.0], noise: vec![0.1, 0.2] });
    assert!(Subset::new(vec![3], 3).is_err());
}

/// A blur with something done to what it and its adjoint say.
struct Changed {
    blur: Filter,
    forth: fn(Vec<f64>) -> Vec<f64>,
    back: fn(Vec<f64>) -> Vec<f64>,
    sizes: Option<(usize, usize)>,
}

impl Operator for Changed {
    fn sizes(&self) -> (usize, usize) {
        self.sizes.unwrap_or(self.blur.sizes())
    }

    fn apply(&self, x: &[f64]) -> Vec<f64> {
        (self.forth)(self.blur.apply(x))
    }

    fn adjoint(&self, u: &[f64]) -> Vec<f64> {
        (self.back)(self.blur.adjoint(u))
    }
}

fn refusal(change: impl Fn(&mut Changed)) -> Option<String> {
    let blur = Filter::new([1, 6, 6], numbers(9), [3, 3], 1).unwrap();
    let mut operator = Changed { blur, forth: |v| v, back: |v| v, sizes: None };
    change(&mut operator);
    Task::measured(&operator, vec![0.5; 36], vec![0.1; 36]).err().map(|error| error.to_string())
}

type Change<'a> = &'a dyn Fn(&mut Changed);

/// The control of all of them is the blur as it is.
#[test]
fn what_is_no_adjoint_is_refused() {
    fn rounded(v: Vec<f64>) -> Vec<f64> {
        v.into_iter().map(|x| f64::from(x as f32)).collect()
    }
    fn with<const K: usize>(mut v: Vec<f64>, f: fn(f64) -> f64) -> Vec<f64> {
        v[K] = f(v[K]);
        v
    }
    assert_eq!(refusal(|_| ()), None);
    assert_eq!(refusal(|o| (o.forth, o.back) = (rounded, rounded)), None);
    // The same filter, which is not its own adjoint.
    let same: fn(Vec<f64>) -> Vec<f64> = |v| v.into_iter().rev().collect();
    let changes: [(&str, Change); 6] = [
        ("turned about", &|o| o.back = same),
        ("a thousandth too large", &|o| o.back = |v| v.into_iter().map(|x| 1.001 * x).collect()),
        ("one number off", &|o| o.back = |v| with::<7>(v, |x| x + 0.01)),
        ("not linear", &|o| o.forth = |v| v.into_iter().map(f64::abs).collect()),
        ("not through zero", &|o| o.forth = |v| with::<0>(v, |x| x + 1.0)),
        ("no number", &|o| o.forth = |v| with::<3>(v, |_| f64::NAN)),
    ];
    for (name, change) in changes {
        let found = refusal(change).unwrap_or_default();
        let wanted = "adjoint of the operator: found <A x, u> = ";
        assert!(found.starts_with(wanted), "{name}: {found:?}");
    }
}

#[test]
fn sizes_that_are_refused() {
    for (found, wanted) in [
        (refusal(|o| o.forth = |v| v[1..].to_vec()), "A x of the operator: found 35 numbers, wanted 36"),
        (refusal(|o| o.back = |v| v[1..].to_vec()), "A^T u of the operator: found 35 numbers, wanted 36"),
        (refusal(|o| o.sizes = Some((0, 36))), "sizes of the operator: found 0 x 36, wanted at least one"),
        (
            refusal(|o| o.sizes = Some((1 << 14, 1 << 14))),
            "sizes of the operator: found 16384 x 16384, wanted at most 134217728 numbers",
        ),
        (refusal(|o| o.sizes = Some((usize::MAX, 2))), "sizes of the operator"),
        (refusal(|o| o.sizes = Some((35, 36))), "numbers of y: found 36, wanted 35"),
    ] {
        let found = found.unwrap_or_default();
        assert!(found.starts_with(wanted), "found {found:?}, wanted {wanted:?}");
    }
    let bad = |image: [usize; 3], kernel: Vec<f64>, size: [usize; 2], stride: usize| {
        Filter::new(image, kernel, size, stride).unwrap_err().to_string()
    };
    for (found, wanted) in [
        (bad([1, 0, 3], vec![1.0], [1, 1], 1), "image [C, H, W]: found [1, 0, 3]"),
        (bad([usize::MAX, 2, 1], vec![1.0], [1, 1], 1), "image [C, H, W]"),
        (bad([1, 2, 2], vec![1.0; 3], [2, 2], 1), "kernel [KH, KW]: found 3 numbers, wanted [2, 2]"),
        (bad([1, 2, 2], vec![], [0, 2], 1), "kernel [KH, KW]: found 0 numbers"),
        (bad([1, 2, 2], vec![f64::NAN], [1, 1], 1), "kernel [KH, KW]: found NaN, wanted finite"),
        (bad([1, 2, 2], vec![1.0], [1, 1], 0), "stride: found 0, wanted 1 to 2"),
        (bad([1, 2, 2], vec![1.0], [1, 1], 3), "stride: found 3, wanted 1 to 2"),
    ] {
        assert!(found.starts_with(wanted), "found {found:?}, wanted {wanted:?}");
    }
    assert!(Filter::smaller([1, 4, 4], 0).is_err() && Filter::smaller([1, 4, 4], usize::MAX).is_err());
    let few = Task::measured(&Subset::new(vec![0], 2).unwrap(), vec![1.0], vec![0.0]);
    assert!(few.unwrap_err().to_string().starts_with("noise of the task: found 0"));
}
