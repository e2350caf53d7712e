//! Convolutions and the rows around them against plain loops, forwards and backwards.

use feynkac::kernels::device::{Buf, Device};
use feynkac::kernels::models::layers::Extent;
use feynkac::kernels::passes::Number;
use feynkac::kernels::passes::conv::oracle::{Taps, upsampled, upsampled_back};
use feynkac::kernels::passes::conv::{After, Bias, Conv, Row, Shape};
use feynkac::kernels::passes::rows::{self, Part, Rows};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

on_every_device! {
    both_directions_of_every_shape,
    a_transpose_is_one,
    biases_of_levels_and_what_is_added,
    rows_are_taken_and_given,
    what_does_not_fit_is_refused,
}

fn extent(channels: usize, height: usize, width: usize) -> Extent {
    Extent { channels, height, width }
}

/// Particles: a vector, and several, so that every width of a tile is met.
fn counts(device: &Device) -> [usize; 4] {
    let lanes = if device.is_cpu() { device.lanes() } else { 4 };
    [lanes, 2 * lanes, 3 * lanes, 8 * lanes]
}

fn numbers(rng: &mut StdRng, n: usize, size: f32) -> Vec<f32> {
    (0..n).map(|_| rng.random_range(-size..size)).collect()
}

/// Taps, stride, zeros before, upsampled.
const KINDS: [(usize, usize, usize, bool); 6] = [
    (1, 1, 0, false),
    (3, 1, 1, false),
    (3, 1, 0, false),
    (3, 2, 1, false),
    (3, 2, 0, false),
    (3, 1, 1, true),
];

/// Channels read, rows, columns, channels written: a pixel, a row, odd sizes, one more and less than a tile.
const SIZES: [(usize, usize, usize, usize); 6] =
    [(3, 1, 1, 8), (1, 2, 2, 13), (13, 7, 7, 3), (8, 5, 4, 1), (2, 1, 6, 64), (64, 3, 3, 9)];

/// Every kind on every extent that it fits.
fn shapes() -> Vec<(Shape, Extent)> {
    let mut out = Vec::new();
    for (taps, stride, before, upsampled) in KINDS {
        for (channels, height, width, written) in SIZES {
            let from = extent(channels, height, width);
            let shape = Shape { from, out: written, taps, stride, before, upsampled };
            if let Ok(to) = shape.to() {
                out.push((shape, to));
            }
        }
    }
    assert!(out.len() > 30, "{} shapes", out.len());
    out
}

/// The oracle's view of a shape.
fn plain(shape: Shape, to: Extent) -> Taps {
    let Extent { channels, height, width } = shape.from;
    let times = if shape.upsampled { 2 } else { 1 };
    Taps {
        from: [channels, times * height, times * width],
        to: [to.channels, to.height, to.width],
        taps: shape.taps,
        stride: shape.stride,
        before: shape.before,
    }
}

fn forward(shape: Shape, to: Extent, weights: &[f32], x: &[f64]) -> Vec<f64> {
    let taps = plain(shape, to);
    let Extent { channels, height, width } = shape.from;
    match shape.upsampled {
        true => taps.conv(weights, &upsampled(x, [channels, height, width])),
        false => taps.conv(weights, x),
    }
}

fn backward(shape: Shape, to: Extent, weights: &[f32], y: &[f64]) -> Vec<f64> {
    let back = plain(shape, to).back(weights, y);
    let Extent { channels, height, width } = shape.from;
    if shape.upsampled { upsampled_back(&back, [channels, height, width]) } else { back }
}

/// Particle `i` of values `[numbers][n]`.
fn particle(values: &[f32], n: usize, i: usize) -> Vec<f64> {
    values.iter().skip(i).step_by(n).map(|x| f64::from(*x)).collect()
}

/// The first, the last, and one between.
fn some_particles(n: usize) -> [usize; 3] {
    [0, n / 2, n - 1]
}

/// Refuses numbers further off than a sum of `terms` products of numbers below 1, rounded each time, can be.
fn close(found: &[f64], wanted: &[f64], terms: usize, what: &dyn std::fmt::Debug) {
    assert_eq!(found.len(), wanted.len(), "{what:?}");
    let allowed = f64::from(f32::EPSILON) * (terms + 4) as f64;
    for (k, (f, w)) in found.iter().zip(wanted).enumerate() {
        assert!((f - w).abs() <= allowed * w.abs().max(1.0), "{what:?}: number {k}: {f} for {w}");
    }
}

fn launched(device: &Device, len: usize, launch: impl FnOnce(&Buf<f32>)) -> Vec<f32> {
    let to = device.upload("to", &vec![7.0_f32; len]).expect("an upload");
    launch(&to);
    device.download(&to).expect("a read")
}

fn both_directions_of_every_shape(device: &Device) {
    let mut rng = StdRng::seed_from_u64(11);
    for (at, (shape, to)) in shapes().into_iter().enumerate() {
        let weights = numbers(&mut rng, shape.weights(), 1.0);
        let conv = Conv::new(device, shape, &weights, None, true).expect("an upload");
        let n = counts(device)[at % 4];
        let x = numbers(&mut rng, shape.from.numbers() * n, 1.0);
        let slope = numbers(&mut rng, to.numbers() * n, 1.0);
        let (from, slopes) =
            (device.upload("x", &x).expect("an upload"), device.upload("slope", &slope).expect("an upload"));
        let there = launched(device, to.numbers() * n, |to| {
            conv.launch(device, &from, to, n, &After::default()).expect("a launch");
        });
        let back = launched(device, shape.from.numbers() * n, |to| {
            conv.back(device, &slopes, to, n, &After::default()).expect("a launch");
        });
        let terms = 9 * shape.from.channels;
        for i in some_particles(n) {
            let wanted = forward(shape, to, &weights, &particle(&x, n, i));
            close(&particle(&there, n, i), &wanted, terms, &(shape, n, i, "forwards"));
            let wanted = backward(shape, to, &weights, &particle(&slope, n, i));
            close(&particle(&back, n, i), &wanted, 36 * to.channels, &(shape, n, i, "backwards"));
        }
    }
}

/// <u, W v> = <W^T u, v>, with both sides from the device.
fn a_transpose_is_one(device: &Device) {
    let mut rng = StdRng::seed_from_u64(12);
    let from = extent(32, 7, 7);
    for (taps, stride, before, upsampled) in KINDS {
        let shape = Shape { from, out: 24, taps, stride, before, upsampled };
        let to = shape.to().expect("a shape");
        let weights = numbers(&mut rng, shape.weights(), 0.1);
        let conv = Conv::new(device, shape, &weights, None, true).expect("an upload");
        let n = counts(device)[1];
        let (v, u) = (numbers(&mut rng, from.numbers() * n, 1.0), numbers(&mut rng, to.numbers() * n, 1.0));
        let (from_v, from_u) =
            (device.upload("v", &v).expect("an upload"), device.upload("u", &u).expect("an upload"));
        let there = launched(device, u.len(), |to| {
            conv.launch(device, &from_v, to, n, &After::default()).expect("a launch");
        });
        let back = launched(device, v.len(), |to| {
            conv.back(device, &from_u, to, n, &After::default()).expect("a launch");
        });
        for i in 0..n {
            let dot = |a: &[f32], b: &[f32]| -> (f64, f64) {
                let products = particle(a, n, i).into_iter().zip(particle(b, n, i)).map(|(a, b)| a * b);
                products.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()))
            };
            let ((left, size), (right, _)) = (dot(&u, &there), dot(&back, &v));
            let allowed = f64::from(f32::EPSILON) * (9 * 32) as f64 * size;
            assert!((left - right).abs() <= allowed, "{shape:?}, particle {i}: {left} and {right}");
        }
    }
}

/// The bias of a convolution, and rows of a table by a level that is given and by one that is kept; a value that is
/// added, a scale, a shift, and a sum into what stands there.
fn biases_of_levels_and_what_is_added(device: &Device) {
    let mut rng = StdRng::seed_from_u64(13);
    let shape = Shape { from: extent(5, 3, 4), out: 11, taps: 3, stride: 1, before: 1, upsampled: false };
    let (to, n) = (shape.to().expect("a shape"), counts(device)[3]);
    let weights = numbers(&mut rng, shape.weights(), 1.0);
    let own = numbers(&mut rng, shape.out, 1.0);
    let conv = Conv::new(device, shape, &weights, Some(&own), false).expect("an upload");
    let (levels, conditions, width, offset) = (3, 2, 20, 6);
    let table = numbers(&mut rng, levels * conditions * width, 1.0);
    let (x, other) =
        (numbers(&mut rng, shape.from.numbers() * n, 1.0), numbers(&mut rng, to.numbers() * n, 1.0));
    let upload = |what, data: &[f32]| device.upload(what, data).expect("an upload");
    let (from, second, rows) = (upload("x", &x), upload("other", &other), upload("table", &table));
    let clock = device.upload("level", &[2_u32]).expect("an upload");
    let row = |condition, level| Row { table: &rows, width, conditions, condition, offset, level };
    for (bias, of) in [
        (Bias::None, vec![0.0; shape.out]),
        (Bias::Own, own.clone()),
        (Bias::Row(row(1, Number::Given(1))), table[3 * width + offset..][..shape.out].to_vec()),
        (Bias::Row(row(0, Number::Kept(&clock))), table[4 * width + offset..][..shape.out].to_vec()),
    ] {
        for (added, scale, shift, adds) in
            [(false, 1.0, 0.0, false), (true, 0.5, 0.25, false), (true, -2.0, 1.0, true)]
        {
            let after = After { bias, other: added.then_some(&second), scale, shift, adds };
            let found = launched(device, to.numbers() * n, |to| {
                conv.launch(device, &from, to, n, &after).expect("a launch");
            });
            for i in some_particles(n) {
                let mut wanted = forward(shape, to, &weights, &particle(&x, n, i));
                for (k, (y, other)) in wanted.iter_mut().zip(particle(&other, n, i)).enumerate() {
                    let sum = *y + f64::from(of[k / to.pixels()]) + if added { other } else { 0.0 };
                    *y = f64::from(scale) * sum + f64::from(shift) + if adds { 7.0 } else { 0.0 };
                }
                close(&particle(&found, n, i), &wanted, 2 * 9 * 5, &(bias, added, scale, adds, i));
            }
        }
    }
}

fn rows_are_taken_and_given(device: &Device) {
    let mut rng = StdRng::seed_from_u64(14);
    let lanes = counts(device)[0];
    let table = [[0.5_f32, -0.7, 1.5], [2.0, 0.0, 0.25]];
    let levels = device.upload("levels", &table.concat()).expect("an upload");
    let through = Rows::new(device).expect("a buffer");
    for (dim, count) in [(1, 1), (3, lanes), (17, lanes + 1), (64, 5 * lanes - 1), (784, 3)] {
        let n = count.next_multiple_of(lanes);
        let (read, written) = (2 * dim, 3);
        let x = numbers(&mut rng, read + count * dim, 1.0);
        let value = numbers(&mut rng, dim * n, 1.0);
        let rows = device.upload("rows", &x).expect("an upload");
        let from = device.upload("value", &value).expect("an upload");
        let part = Part { dim, read, written, count, n };
        for (level, c) in table.iter().enumerate() {
            let row = |offset| Row {
                table: &levels,
                width: 3,
                conditions: 1,
                condition: 0,
                offset,
                level: Number::Given(level),
            };
            let taken = launched(device, dim * n, |to| {
                through.take(device, &rows, to, part, row(0), [2.0, -1.0]).expect("a launch");
            });
            let wanted = rows::oracle::take(&x[read..], dim, n, f64::from(c[0]), [2.0, -1.0]);
            let taken: Vec<f64> = taken.into_iter().map(f64::from).collect();
            close(&taken, &wanted, 4, &(part, "taken"));
            let given = launched(device, written + count * dim, |out| {
                through.give(device, (&rows, &from), out, part, row(0), [1, 2]).expect("a launch");
            });
            assert_eq!(given[..written], [7.0; 3], "nothing before the first element is touched");
            let factors = [f64::from(c[1]), f64::from(c[2])];
            let wanted = rows::oracle::give(&x[read..], &value, dim, n, factors);
            let given: Vec<f64> = given[written..].iter().map(|x| f64::from(*x)).collect();
            close(&given, &wanted, 4, &(part, "given"));
        }
    }
}

fn what_does_not_fit_is_refused(device: &Device) {
    let shape = Shape { from: extent(2, 4, 4), out: 3, taps: 3, stride: 1, before: 1, upsampled: false };
    let new = |shape: Shape, weights: usize, bias: Option<usize>| {
        let bias = bias.map(|bias| vec![0.0_f32; bias]);
        Conv::new(device, shape, &vec![0.0; weights], bias.as_deref(), false)
    };
    let n = counts(device)[0];
    let x = device.empty::<f32>("x", 2 * 16 * n).expect("a buffer");
    let y = device.empty::<f32>("y", 3 * 16 * n).expect("a buffer");
    let conv = new(shape, 54, None).expect("a convolution");
    let table = device.empty::<f32>("table", 10).expect("a buffer");
    let row =
        |width, offset| Row { table: &table, width, conditions: 1, condition: 0, offset, level: 4.into() };
    let after = |bias, other| After { bias, other, ..After::default() };
    for (result, message) in [
        (new(shape, 53, None).map(drop), "convolution weights: found 53, wanted 54"),
        (new(shape, 54, Some(2)).map(drop), "convolution bias: found 2, wanted 3"),
        (
            new(Shape { stride: 2, upsampled: true, ..shape }, 54, None).map(drop),
            "convolution of an upsampled value: found 3 taps, stride 2, 1 before, wanted 3 taps, stride 1, 1 before",
        ),
        (conv.launch(device, &x, &y, n + 1, &After::default()), "particles of a convolution: found"),
        (conv.launch(device, &x, &y, 2 * n, &After::default()), "convolution input: found"),
        (conv.launch(device, &x, &x, n, &After::default()), "convolution output: found"),
        (conv.back(device, &y, &x, n, &After::default()), "way back: found"),
        (conv.launch(device, &x, &y, n, &after(Bias::Own, None)), "bias: found none"),
        (conv.launch(device, &x, &y, n, &after(Bias::None, Some(&x))), "value to be added: found"),
        (
            conv.launch(device, &x, &y, n, &after(Bias::Row(row(3, 1)), None)),
            "biases: found numbers 1 on of row 0",
        ),
        (conv.launch(device, &x, &y, n, &after(Bias::Row(row(3, 0)), None)), "biases: found 10, wanted 15"),
    ] {
        let error = result.expect_err(message).to_string();
        assert!(error.starts_with(message), "{error}, not {message}");
    }
}
