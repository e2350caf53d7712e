//! Layers of pairs of atoms on a device against the oracle, forwards, back and along.

use feynkac::kernels::device::{Buf, Device};
use feynkac::kernels::models::layers::oracle::{self, Question};
use feynkac::kernels::models::layers::{Activation, Extent, Features, Layers, Op};
use feynkac::kernels::passes::layers::{Along, At, Back, Level, Network, Settings};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

on_every_device! { pairs_of_atoms_are_those_of_the_oracle }

/// A small network of particles: pairs twice, atoms once between them, the state read four times.
fn network(atoms: usize, space: usize, hidden: usize, rng: &mut StdRng) -> (Layers, Vec<Vec<f32>>) {
    let (mut layers, mut tensors) = (Layers::default(), Vec::new());
    let mut random =
        |count: usize, low: f32| -> Vec<f32> { (0..count).map(|_| rng.random_range(low..1.0)).collect() };
    let mut tensor = |values: Vec<f32>| {
        tensors.push(values);
        tensors.len() - 1
    };
    let time = [tensor(random(3, -0.5))];
    let time = layers
        .push(Op::Time(Features::Fourier { count: 6, log: true, cosines_first: false }), &[], &time)
        .unwrap();
    let state =
        layers.push(Op::State(Extent { channels: 1, height: atoms, width: space }), &[], &[]).unwrap();
    let bumps = [tensor(random(5, 0.0)), tensor(random(5, 0.2))];
    let radial = layers.push(Op::PairRadial { count: 5 }, &[state], &bumps).unwrap();
    let mut linear = |layers: &mut Layers, x: usize, out: usize| {
        let weights = [tensor(random(out * layers.extent(x).channels, -1.0)), tensor(random(out, -1.0))];
        layers.push(Op::Conv { out, taps: 1, stride: 1, before: 0 }, &[x], &weights).unwrap()
    };
    let mut pairs = |layers: &mut Layers, x: usize, vector: Option<usize>| {
        let mut m = linear(layers, x, hidden);
        let t = linear(layers, time, hidden);
        m = layers.push(Op::Shift, &[m, t], &[]).unwrap();
        if let Some(atoms) = vector {
            let atoms = linear(layers, atoms, hidden);
            m = layers.push(Op::PairAdd, &[m, atoms], &[]).unwrap();
        }
        layers.push(Op::Act(Activation::Silu), &[m], &[]).unwrap()
    };
    let m = pairs(&mut layers, radial, None);
    let sum = layers.push(Op::PairSum { atoms }, &[m], &[]).unwrap();
    let first = pairs(&mut layers, radial, Some(sum));
    let second = pairs(&mut layers, first, Some(sum));
    let w = linear(&mut layers, second, 1);
    let moved = layers.push(Op::PairMove, &[state, w], &[]).unwrap();
    let again = layers.push(Op::PairMove, &[moved, w], &[]).unwrap();
    let sum = layers.push(Op::Add, &[again, state], &[]).unwrap();
    let scale = 1.0 / (atoms * atoms) as f64;
    layers.push(Op::Affine { scale, shift: 0.0 }, &[sum], &[]).unwrap();
    (layers, tensors)
}

fn close(device: &Device, what: &str, got: &Buf<f32>, wanted: &[f64]) {
    let got = device.download(got).expect("a read");
    let largest = wanted.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (at, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        // some hundred products and sums of f32 one after the other
        let off = (f64::from(*got) - wanted).abs() / largest;
        assert!(off < 2e-5, "{what}[{at}]: {got}, wanted {wanted}, largest {largest}");
    }
}

fn pairs_of_atoms_are_those_of_the_oracle(device: &Device) {
    let mut rng = StdRng::seed_from_u64(11);
    for (atoms, space, hidden, count) in [(2, 1, 3, 1), (4, 2, 8, 37), (13, 3, 5, 70)] {
        let (layers, tensors) = network(atoms, space, hidden, &mut rng);
        let dim = atoms * space;
        let mut rows = || -> Vec<f32> { (0..count * dim).map(|_| rng.random_range(-1.5..1.5)).collect() };
        let [x, u, v] = [rows(), rows(), rows()];
        let c = [0.8, -0.3, 1.2];
        let level = Level { time: 0.7, rate: 0.5, class: 0, c };
        let settings = Settings { back: true, along: true, ..Settings::default() };
        let net =
            Network::new(device, &layers, &tensors, &[level], 1, settings).unwrap_or_else(|e| panic!("{e}"));
        let upload = |what, rows: &[f32]| device.upload(what, rows).expect("an upload");
        let [x_in, u_in, v_in] = [upload("x", &x), upload("u", &u), upload("v", &v)];
        let fresh = || upload("out", &vec![f32::MAX; count * dim]);
        let [out, slopes, moved, alone] = [fresh(), fresh(), fresh(), fresh()];
        net.launch(device, &x_in, &alone, 0, count, 0).expect("forwards");
        let back = Back {
            rows: At::from(&x_in),
            cotangent: At::from(&u_in),
            out: At::from(&out),
            slopes: At::from(&slopes),
        };
        net.vjp(device, back, count, 0).expect("back");
        let along = Along {
            rows: At::from(&x_in),
            tangent: At::from(&v_in),
            out: At::from(&out),
            moved: At::from(&moved),
            time: true,
        };
        net.jvp(device, along, count, 0).expect("along");
        let (mut outputs, mut gradients, mut tangents) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..count {
            let row =
                |of: &[f32]| -> Vec<f64> { of[i * dim..][..dim].iter().map(|v| f64::from(*v)).collect() };
            let scaled = |of: &[f64], by: f64| -> Vec<f64> { of.iter().map(|v| v * by).collect() };
            let sum = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
            let (x, u, v) = (row(&x), row(&u), row(&v));
            let shown = scaled(&x, c[0]);
            let asked = Question { x: &shown, time: level.time, class: 0 };
            let (f, back) = oracle::vjp(&layers, &tensors, asked, &scaled(&u, c[2]));
            let (_, along) = oracle::jvp(&layers, &tensors, asked, &scaled(&v, c[0]), level.rate);
            outputs.extend(sum(&scaled(&x, c[1]), &scaled(&f, c[2])));
            gradients.extend(sum(&scaled(&u, c[1]), &scaled(&back, c[0])));
            tangents.extend(sum(&scaled(&v, c[1]), &scaled(&along, c[2])));
        }
        close(device, "output", &alone, &outputs);
        close(device, "output with its tangent", &out, &outputs);
        close(device, "slopes", &slopes, &gradients);
        close(device, "tangents", &moved, &tangents);
    }
}
