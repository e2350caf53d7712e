//! Layers of frames on a device against the oracle, forwards, back and along.

use feynkac::kernels::device::{Buf, Device};
use feynkac::kernels::models::layers::oracle::{self, Question};
use feynkac::kernels::models::layers::{Activation, Extent, Op};
use feynkac::kernels::passes::layers::{Along, At, Back, Level, Network, Settings};

use super::layers::{Making, allowed, relative, wide};

on_every_device! { layers_of_frames_are_those_of_the_oracle }

/// What frames see of each other twice, the means of it, and six numbers turned twice: the state is read four times.
fn network(frames: usize, places: usize) -> Making {
    let mut m = Making::new(frames as u64);
    let x = m.put(Op::State(Extent { channels: 1, height: frames, width: 7 }), &[]);
    let views = |m: &mut Making| {
        let table = m.tensor(places * frames * frames, 0.0, 1.0);
        m.layers.push(Op::FrameViews { places }, &[x], &[table]).expect("views")
    };
    let (first, second) = (views(&mut m), views(&mut m));
    let all = m.put(Op::Concat, &[first, second]);
    let y = m.conv(all, 5, 1, 1, 0);
    let y = m.act(y, Activation::Silu);
    let means = m.put(Op::RowMeans, &[y]);
    let six = m.conv(means, 6, 1, 1, 0);
    let bent = m.act(six, Activation::Tanh);
    let one = m.put(Op::FrameTurn, &[x, six]);
    let two = m.put(Op::FrameTurn, &[x, bent]);
    m.put(Op::Add, &[one, two]);
    m
}

fn layers_of_frames_are_those_of_the_oracle(device: &Device) {
    for (frames, places, count) in [(1, 1, 1), (2, 3, 37), (5, 2, 70)] {
        let mut m = network(frames, places);
        let (state, six) = (7 * frames, 6 * frames);
        // Quaternions of any length: slopes are by all their numbers.
        let [x, v] = [0, 1].map(|_| m.some(count * state, 0.0, 1.0));
        let u = m.some(count * six, 0.0, 1.0);
        let level = Level { time: 1.0, rate: 0.0, class: 0, c: [1.0, 0.0, 1.0] };
        let settings = Settings { back: true, along: true, ..Settings::default() };
        let net = Network::new(device, &m.layers, &m.tensors, &[level], 1, settings).expect("an upload");
        let upload = |what, rows: &[f32]| device.upload(what, rows).expect("an upload");
        let [x_in, u_in, v_in] = [upload("x", &x), upload("u", &u), upload("v", &v)];
        let fresh = |each: usize| upload("out", &vec![f32::MAX; count * each]);
        let [out, alone, moved, slopes] = [fresh(six), fresh(six), fresh(six), fresh(state)];
        net.launch(device, &x_in, &alone, 0, count, 0).expect("forwards");
        let (rows, out_at) = (At::from(&x_in), At::from(&out));
        let back = Back { rows, cotangent: At::from(&u_in), out: out_at, slopes: At::from(&slopes) };
        net.vjp(device, back, count, 0).expect("back");
        let tangent = At::from(&v_in);
        let along = Along { rows, tangent, out: out_at, moved: At::from(&moved), time: false };
        net.jvp(device, along, count, 0).expect("along");
        let (mut outputs, mut gradients, mut tangents) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..count {
            let row = |of: &[f32], each: usize| wide(&of[i * each..][..each]);
            let (x, u, v) = (row(&x, state), row(&u, six), row(&v, state));
            let asked = Question { x: &x, time: 1.0, class: 0 };
            let (f, back) = oracle::vjp(&m.layers, &m.tensors, asked, &u);
            let (_, along) = oracle::jvp(&m.layers, &m.tensors, asked, &v, 0.0);
            outputs.extend(f);
            gradients.extend(back);
            tangents.extend(along);
        }
        let within = allowed(&m.layers);
        let close = |what: &str, got: &Buf<f32>, wanted: &[f64]| {
            let off = relative(&device.download(got).expect("a read"), wanted);
            assert!(off < within, "{what} of {frames} frames: {off:e}, allowed {within:e}");
        };
        close("output", &alone, &outputs);
        close("output with its tangent", &out, &outputs);
        close("slopes", &slopes, &gradients);
        close("tangents", &moved, &tangents);
    }
}
