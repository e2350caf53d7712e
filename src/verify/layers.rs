//! A network as a list of layers beside plain loops: its output, its way back and its way along.

use feynkac_kernels::device::Device;
use feynkac_kernels::error::KernelError;
use feynkac_kernels::models::layers::oracle::{Question, jvp, vjp};
use feynkac_kernels::models::layers::{Activation, Extent, Features, Layers, Op};
use feynkac_kernels::passes::layers::{Along, Back, Level, Network, Settings};

use super::passes::fraction;
use super::{EPS, Verdict};
use crate::error::Result;

const STATE: Extent = Extent { channels: 2, height: 4, width: 6 };

/// Numbers in (-1, 1), in no order.
fn some(first: usize, len: usize) -> Vec<f32> {
    (first..first + len).map(|i| (2.0 * fraction(i) - 1.0) as f32).collect()
}

/// A residual block, half the pixels, attention among them, and back up beside what was there.
fn network() -> std::result::Result<(Layers, Vec<Vec<f32>>), KernelError> {
    let (mut layers, mut tensors) = (Layers::default(), Vec::new());
    let mut tensor = |n: usize, size: f32| {
        tensors.push(some(tensors.len(), n).into_iter().map(|v| size * v).collect());
        tensors.len() - 1
    };
    let mut put = |op: Op, from: &[usize], weights: &[usize]| layers.push(op, from, weights);
    let conv = |out, taps, stride| Op::Conv { out, taps, stride, before: usize::from(taps == 3) };
    let (norm, silu) = (Op::Norm { groups: 2, eps: 1e-5 }, Op::Act(Activation::Silu));
    let features = Features::Positional { count: 8, shift: 0.0, period: 1e4, cosines_first: true };
    let t = put(Op::Time(features), &[], &[])?;
    let t = put(conv(8, 1, 1), &[t], &[tensor(64, 0.5), tensor(8, 0.3)])?;
    let x = put(Op::State(STATE), &[], &[])?;
    let x = put(conv(8, 3, 1), &[x], &[tensor(144, 0.4), tensor(8, 0.3)])?;
    let y = put(norm, &[x], &[tensor(8, 1.0), tensor(8, 0.3)])?;
    let y = put(silu, &[y], &[])?;
    let y = put(conv(8, 3, 1), &[y], &[tensor(576, 0.2), tensor(8, 0.3)])?;
    let y = put(Op::Shift, &[y, t], &[])?;
    let x = put(Op::Add, &[x, y], &[])?;
    let half = put(conv(8, 3, 2), &[x], &[tensor(576, 0.2), tensor(8, 0.3)])?;
    let mut of = |size| put(conv(8, 1, 1), &[half], &[tensor(64, size), tensor(8, 0.3)]);
    let (q, k, v) = (of(0.6)?, of(0.5)?, of(0.4)?);
    let looked = put(Op::Attention { heads: 2 }, &[q, k, v], &[])?;
    let up = put(Op::Upsample, &[looked], &[])?;
    let up = put(conv(8, 3, 1), &[up], &[tensor(576, 0.2), tensor(8, 0.3)])?;
    let both = put(Op::Concat, &[up, x], &[])?;
    let y = put(norm, &[both], &[tensor(16, 1.0), tensor(16, 0.3)])?;
    let y = put(silu, &[y], &[])?;
    put(conv(2, 3, 1), &[y], &[tensor(288, 0.2), tensor(2, 0.3)])?;
    Ok((layers, tensors))
}

/// Output, gradient and tangent, values kept and computed again, at a vector of particles and around.
pub(super) fn asked(device: &Device) -> Result<Verdict> {
    let (layers, tensors) = network()?;
    let level = Level { time: 2.5, rate: 1.0, class: 0, c: [0.5, -0.75, 1.5] };
    let [c_in, c_x, c_f] = level.c;
    let dim = STATE.numbers();
    let mut verdict = Verdict::default();
    for (count, recompute) in [(1, false), (17, false), (70, true)] {
        let settings = Settings { back: true, along: true, recompute, ..Settings::default() };
        let network = Network::new(device, &layers, &tensors, &[level], 1, settings)?;
        let [x, u, v] = [3, 5, 7].map(|first| some(first, count * dim));
        let [rows, cotangent, tangent] = [&x, &u, &v].map(|data| device.upload("rows", data));
        let (rows, cotangent, tangent) = (rows?, cotangent?, tangent?);
        let blank = || device.empty("answers", count * dim);
        let (out, slopes, moved) = (blank()?, blank()?, blank()?);
        let at = |buf| feynkac_kernels::passes::layers::At::from(buf);
        let back = Back { rows: at(&rows), cotangent: at(&cotangent), out: at(&out), slopes: at(&slopes) };
        network.vjp(device, back, count, 0)?;
        let along =
            Along { rows: at(&rows), tangent: at(&tangent), out: at(&out), moved: at(&moved), time: true };
        network.jvp(device, along, count, 0)?;
        let found = [device.download(&out)?, device.download(&slopes)?, device.download(&moved)?];
        for i in [0, count / 2, count - 1] {
            let of = |all: &[f32], by: f64| -> Vec<f64> {
                all[i * dim..(i + 1) * dim].iter().map(|x| by * f64::from(*x)).collect()
            };
            let plus = |a: Vec<f64>, by: f64, direct: &[f32]| -> Vec<f64> {
                a.iter().zip(of(direct, c_x)).map(|(a, d)| by * a + d).collect()
            };
            let scaled = of(&x, c_in);
            let asked = Question { x: &scaled, time: level.time, class: 0 };
            let (f, back) = vjp(&layers, &tensors, asked, &of(&u, c_f));
            let (_, along) = jvp(&layers, &tensors, asked, &of(&v, c_in), level.rate);
            let wanted = [plus(f, c_f, &x), plus(back, c_in, &u), plus(along, c_f, &v)];
            for ((what, found), wanted) in
                ["layers", "layers: back", "layers: along"].into_iter().zip(&found).zip(&wanted)
            {
                // Ten layers of sums of up to 144 products, and norms that divide by deviations below 1.
                let largest = wanted.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
                for (k, wanted) in wanted.iter().enumerate() {
                    verdict.compare(what, 0, (i, k), found[i * dim + k], *wanted, 200.0 * EPS * largest);
                }
            }
        }
    }
    Ok(verdict)
}
