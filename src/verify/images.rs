//! Convolutions of images, and the rows that become their values, beside plain loops.

use feynkac_kernels::device::{Buf, Device};
use feynkac_kernels::models::layers::Extent;
use feynkac_kernels::passes::Number;
use feynkac_kernels::passes::conv::oracle::{Taps, upsampled, upsampled_back};
use feynkac_kernels::passes::conv::{After, Bias, Conv, Row, Shape};
use feynkac_kernels::passes::rows::{Part, Rows, oracle};

use super::passes::fraction;
use super::{EPS, Verdict};
use crate::error::Result;

/// Numbers in (-1, 1), in no order.
fn some(first: usize, len: usize) -> Vec<f32> {
    (first..first + len).map(|i| (2.0 * fraction(i) - 1.0) as f32).collect()
}

/// Particles to a vector.
fn lanes(device: &Device) -> usize {
    if device.is_cpu() { device.lanes() } else { 4 }
}

/// Every kind of convolution, with its bias, both ways.
pub(super) fn convolved(device: &Device) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for (taps, stride, before, upsampled) in
        [(1, 1, 0, false), (3, 1, 1, false), (3, 2, 1, false), (3, 2, 0, false), (3, 1, 1, true)]
    {
        for (channels, height, width, out) in [(1, 2, 3, 13), (13, 7, 7, 8), (64, 4, 4, 32), (32, 14, 14, 1)]
        {
            let from = Extent { channels, height, width };
            let shape = Shape { from, out, taps, stride, before, upsampled };
            one(device, shape, 4 * lanes(device), &mut verdict)?;
        }
    }
    Ok(verdict)
}

fn one(device: &Device, shape: Shape, n: usize, verdict: &mut Verdict) -> Result<()> {
    let (from, to) = (shape.from, shape.to()?);
    let (weights, bias) = (some(1, shape.weights()), some(7, shape.out));
    let conv = Conv::new(device, shape, &weights, Some(&bias), true)?;
    let (x, slope) = (some(3, from.numbers() * n), some(5, to.numbers() * n));
    let (read, slopes) = (device.upload("x", &x)?, device.upload("slope", &slope)?);
    let there = device.empty("y", to.numbers() * n)?;
    conv.launch(device, &read, &there, n, &After { bias: Bias::Own, ..After::default() })?;
    let back = device.empty("slope of x", from.numbers() * n)?;
    conv.back(device, &slopes, &back, n, &After::default())?;
    let times = if shape.upsampled { 2 } else { 1 };
    let small = [from.channels, from.height, from.width];
    let plain = Taps {
        from: [from.channels, times * from.height, times * from.width],
        to: [to.channels, to.height, to.width],
        taps: shape.taps,
        stride: shape.stride,
        before: shape.before,
    };
    let (there, back) = (device.download(&there)?, device.download(&back)?);
    for i in [0, n - 1] {
        let particle = |values: &[f32]| -> Vec<f64> {
            values.iter().skip(i).step_by(n).map(|x| f64::from(*x)).collect()
        };
        let x = particle(&x);
        let mut wanted = plain.conv(&weights, &if shape.upsampled { upsampled(&x, small) } else { x });
        wanted.iter_mut().enumerate().for_each(|(k, y)| *y += f64::from(bias[k / to.pixels()]));
        let mut slopes = plain.back(&weights, &particle(&slope));
        if shape.upsampled {
            slopes = upsampled_back(&slopes, small);
        }
        // Sums of products of numbers below 1, rounded each time.
        for (what, found, wanted, terms) in [
            ("conv", particle(&there), wanted, 9 * from.channels),
            ("conv: back", particle(&back), slopes, 36 * to.channels),
        ] {
            for (k, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                let allowed = EPS * (terms + 4) as f64 * wanted.abs().max(1.0);
                verdict.compare(what, 0, (0, k), *found, *wanted, allowed);
            }
        }
    }
    Ok(())
}

/// Rows to values and back, with numbers of two levels.
pub(super) fn turned(device: &Device) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let table = [[0.5_f32, -0.7, 1.5], [2.0, 0.0, 0.25]];
    let levels = device.upload("levels", &table.concat())?;
    let through = Rows::new(device)?;
    for (dim, count) in [(1_usize, 1_usize), (3, 17), (784, 3), (64, 70)] {
        let n = count.next_multiple_of(lanes(device));
        let (x, value) = (some(1, count * dim), some(2, n * dim));
        let (rows, from) = (device.upload("rows", &x)?, device.upload("value", &value)?);
        let (to, out): (Buf<f32>, Buf<f32>) = (device.empty("to", n * dim)?, device.empty("out", x.len())?);
        let part = Part { dim, read: 0, written: 0, count, n };
        for (level, [c_in, c_x, c_f]) in table.map(|c| c.map(f64::from)).into_iter().enumerate() {
            let row = Row {
                table: &levels,
                width: 3,
                conditions: 1,
                condition: 0,
                offset: 0,
                level: Number::Given(level),
            };
            through.take(device, &rows, &to, part, row, [2.0, -1.0])?;
            through.give(device, (&rows, &from), &out, part, row, [1, 2])?;
            for (what, found, wanted) in [
                ("rows: taken", device.download(&to)?, oracle::take(&x, dim, n, c_in, [2.0, -1.0])),
                ("rows: given", device.download(&out)?, oracle::give(&x, &value, dim, n, [c_x, c_f])),
            ] {
                for (k, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                    verdict.compare(what, level, (0, k), *found, *wanted, 4.0 * EPS * wanted.abs().max(1.0));
                }
            }
        }
    }
    Ok(verdict)
}
