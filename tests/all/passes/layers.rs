//! Networks as lists of layers against plain loops: what they say, their ways back and along.

use feynkac::kernels::device::Device;
use feynkac::kernels::models::layers::oracle::{Question, forward, jvp, vjp};
use feynkac::kernels::models::layers::{Activation, Extent, Features, Layers, Op};
use feynkac::kernels::passes::Number;
use feynkac::kernels::passes::layers::{Along, At, Back, Level, Network, Settings};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

on_every_device! { every_layer_three_ways, micro_batches_and_recomputed_values_change_no_bit, what_is_not_there_is_refused, a_recorded_network_says_the_same }

/// A network in the making, with weights at random.
pub struct Making {
    pub layers: Layers,
    pub tensors: Vec<Vec<f32>>,
    rng: StdRng,
}

impl Making {
    pub fn new(seed: u64) -> Self {
        Making { layers: Layers::default(), tensors: Vec::new(), rng: StdRng::seed_from_u64(seed) }
    }

    pub fn some(&mut self, n: usize, around: f32, size: f32) -> Vec<f32> {
        (0..n).map(|_| around + self.rng.random_range(-size..size)).collect()
    }

    pub fn tensor(&mut self, n: usize, around: f32, size: f32) -> usize {
        let some = self.some(n, around, size);
        self.tensors.push(some);
        self.tensors.len() - 1
    }

    pub fn put(&mut self, op: Op, from: &[usize]) -> usize {
        self.layers.push(op, from, &[]).expect("a layer")
    }

    pub fn conv(&mut self, x: usize, out: usize, taps: usize, stride: usize, before: usize) -> usize {
        let fan = self.layers.extent(x).channels * taps * taps;
        let weight = self.tensor(out * fan, 0.0, (3.0 / fan as f32).sqrt());
        let bias = self.tensor(out, 0.0, 0.3);
        self.layers
            .push(Op::Conv { out, taps, stride, before }, &[x], &[weight, bias])
            .expect("a convolution")
    }

    pub fn norm(&mut self, x: usize, groups: usize) -> usize {
        let channels = self.layers.extent(x).channels;
        let [scale, shift] = [1.0, 0.0].map(|around| self.tensor(channels, around, 0.3));
        self.layers.push(Op::Norm { groups, eps: 1e-5 }, &[x], &[scale, shift]).expect("a norm")
    }

    pub fn act(&mut self, x: usize, kind: Activation) -> usize {
        self.put(Op::Act(kind), &[x])
    }

    /// The embedded time plus a class of three.
    fn time(&mut self, numbers: usize) -> usize {
        let features = Features::Positional { count: 8, shift: 0.0, period: 1e4, cosines_first: true };
        let t = self.put(Op::Time(features), &[]);
        let t = self.conv(t, numbers, 1, 1, 0);
        let table = self.tensor(3 * numbers, 0.0, 0.5);
        let class = self.layers.push(Op::Class { count: numbers }, &[], &[table]).expect("a class");
        let t = self.put(Op::Add, &[t, class]);
        self.act(t, Activation::Silu)
    }
}

/// Every layer there is, joined to its neighbours where it can be and not.
pub fn everything(seed: u64) -> Making {
    let mut m = Making::new(seed);
    let t = m.time(10);
    let state = m.put(Op::State(Extent { channels: 3, height: 6, width: 4 }), &[]);
    let x = m.put(Op::Affine { scale: 0.5, shift: -0.25 }, &[state]);
    let first = m.conv(x, 12, 3, 1, 1);
    // a residual block, shifted by the time
    let y = m.norm(first, 4);
    let y = m.act(y, Activation::Silu);
    let y = m.conv(y, 12, 3, 1, 1);
    let v = m.conv(t, 12, 1, 1, 0);
    let y = m.put(Op::Shift, &[y, v]);
    let y = m.norm(y, 3);
    let y = m.act(y, Activation::Gelu);
    let y = m.conv(y, 12, 3, 1, 1);
    let sum = m.put(Op::Add, &[first, y]);
    let x = m.put(Op::Affine { scale: 0.75, shift: 0.1 }, &[sum]);
    // down, attention, modulated by the time
    let small = m.conv(x, 10, 3, 2, 1);
    let y = m.norm(small, 5);
    let [q, k, v] = [0; 3].map(|_| m.conv(y, 10, 1, 1, 0));
    let looked = m.put(Op::Attention { heads: 2 }, &[q, k, v]);
    let y = m.conv(looked, 10, 1, 1, 0);
    let small = m.put(Op::Add, &[small, y]);
    let y = m.norm(small, 2);
    let v = m.conv(t, 20, 1, 1, 0);
    let y = m.put(Op::Modulate, &[y, v]);
    let small = m.act(y, Activation::Tanh);
    // a vector of the state, which shifts and modulates
    let y = m.conv(small, 6, 3, 2, 1);
    let y = m.act(y, Activation::Relu);
    let vector = m.conv(y, 30, 3, 2, 1);
    let means = m.put(Op::Pool, &[y]);
    let means = m.conv(means, 30, 1, 1, 0);
    let vector = m.put(Op::Add, &[vector, means]);
    let shift = m.conv(vector, 10, 1, 1, 0);
    let scales = m.conv(vector, 20, 1, 1, 0);
    let small = m.put(Op::Shift, &[small, shift]);
    let small = m.put(Op::Modulate, &[small, scales]);
    // what the time does alone
    let v = m.conv(t, 10, 1, 1, 0);
    let small = m.put(Op::Shift, &[small, v]);
    let v = m.conv(t, 20, 1, 1, 0);
    let small = m.put(Op::Modulate, &[small, v]);
    // up, once into a convolution and once not
    let up = m.put(Op::Upsample, &[small]);
    let mixed = m.conv(up, 5, 3, 1, 1);
    let both = m.put(Op::Concat, &[mixed, up]);
    let both = m.put(Op::Concat, &[both, x]);
    let again = m.put(Op::Upsample, &[small]);
    let again = m.conv(again, 27, 3, 1, 1);
    let both = m.put(Op::Add, &[both, again]);
    let y = m.conv(both, 3, 1, 1, 0);
    m.put(Op::OverTime, &[y]);
    m
}

/// A dense network: norms over all channels, skips, no pixels.
fn dense(seed: u64, activation: Activation) -> Making {
    let mut m = Making::new(seed);
    let t = m.time(6);
    let state = m.put(Op::State(Extent::vector(5)), &[]);
    let x = m.conv(state, 24, 1, 1, 0);
    let mut x = m.act(x, activation);
    for _ in 0..2 {
        let y = m.conv(x, 24, 1, 1, 0);
        let v = m.conv(t, 24, 1, 1, 0);
        let y = m.put(Op::Add, &[y, v]);
        let y = m.norm(y, 1);
        let y = m.act(y, activation);
        x = m.put(Op::Add, &[x, y]);
    }
    m.conv(x, 2, 1, 1, 0);
    m
}

/// Rounding of f32, in parts of the largest number: every layer rounds each of the products it sums once, errors that
/// add up at random, and what it writes; norms and activations a few times.
pub fn allowed(layers: &Layers) -> f64 {
    let one = |layer: &feynkac::kernels::models::layers::Layer| match layer.op {
        Op::Conv { taps, .. } => ((taps * taps * layers.extent(layer.from[0]).channels) as f64).sqrt(),
        Op::Attention { .. } => 4.0 + (layer.extent.numbers() as f64).sqrt(),
        _ => 4.0,
    };
    f64::from(f32::EPSILON) * layers.all().iter().map(one).sum::<f64>()
}

pub fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Largest difference over the largest number wanted.
pub fn relative(found: &[f32], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    assert!(found.iter().all(|v| v.is_finite()), "numbers");
    let largest = wanted.iter().fold(1e-30, |m: f64, v| m.max(v.abs()));
    found.iter().zip(wanted).fold(0.0, |m: f64, (a, b)| m.max((f64::from(*a) - b).abs())) / largest
}

/// Two levels under two conditions; c_x only where it can be.
fn levels(direct: f64) -> Vec<Level> {
    let level = |time, class, c_in, c_f| Level { time, rate: 0.5, class, c: [c_in, direct, c_f] };
    vec![
        level(3.5, 0, 1.0, 0.75),
        level(3.5, 2, 0.5, 1.5),
        level(1.25, 1, 0.75, -0.5),
        level(1.25, 0, 1.25, 2.0),
    ]
}

/// What a device answers: output, gradient, tangent.
struct Answers {
    out: Vec<f32>,
    slopes: Vec<f32>,
    moved: Vec<f32>,
}

/// Asks everything, at the second level.
fn ask(device: &Device, network: &Network, x: &[f32], u: &[f32], v: &[f32], count: usize) -> Answers {
    let [dim, outputs] = network.dims();
    let conditions = network.conditions();
    let up = |what, data: &[f32]| device.upload(what, data).expect("an upload");
    let [x, u, v] = [up("x", x), up("u", u), up("v", v)];
    let first = 3;
    let blank = |n: usize| up("blank", &vec![7.0; first + conditions * count * n]);
    let (out, also, slopes, moved) = (blank(outputs), blank(outputs), blank(dim), blank(outputs));
    let cell = device.upload("level", &[1_u32]).expect("an upload");
    network.launch(device, &x, &out, first, count, Number::Kept(&cell)).expect("a launch");
    let at = |rows| At { rows, first };
    let back = Back { rows: (&x).into(), cotangent: (&u).into(), out: at(&also), slopes: at(&slopes) };
    network.vjp(device, back, count, 1).expect("a way back");
    let read = |buf| {
        let all: Vec<f32> = device.download(buf).expect("answers");
        assert_eq!(all[..first], [7.0; 3], "nothing before the first element is touched");
        all[first..].to_vec()
    };
    let answer = read(&out);
    assert_eq!(answer, read(&also), "the way back says the same");
    let along =
        Along { rows: (&x).into(), tangent: (&v).into(), out: at(&also), moved: at(&moved), time: true };
    network.jvp(device, along, count, Number::Kept(&cell)).expect("a way along");
    assert_eq!(answer, read(&also), "the way along says the same");
    Answers { out: answer, slopes: read(&slopes), moved: read(&moved) }
}

fn all_ways() -> Settings {
    Settings { back: true, along: true, ..Settings::default() }
}

fn every_layer_three_ways(device: &Device) {
    for (name, mut m) in [
        ("everything", everything(1)),
        ("dense, silu", dense(2, Activation::Silu)),
        ("dense, gelu", dense(3, Activation::Gelu)),
    ] {
        let [dim, outputs] =
            [m.layers.all().iter().find(|l| matches!(l.op, Op::State(_))), m.layers.all().last()]
                .map(|layer| layer.expect("a layer").extent.numbers());
        let levels = levels(if dim == outputs { -0.75 } else { 0.0 });
        let count = 19;
        let [x, v] = [1.5, 1.0].map(|size| m.some(count * dim, 0.0, size));
        let u = m.some(2 * count * outputs, 0.0, 1.0);
        for fused in [true, false] {
            let settings = Settings { fused, ..all_ways() };
            let network =
                Network::new(device, &m.layers, &m.tensors, &levels, 2, settings).expect("a network");
            let found = ask(device, &network, &x, &u, &v, count);
            let allowed = allowed(&m.layers);
            let mut worst = [0.0_f64; 4];
            for i in 0..2 * count {
                let (level, particle) = (levels[2 + i / count], i % count);
                let row = |of: &[f32], n: usize, at: usize| of[at * n..(at + 1) * n].to_vec();
                let [c_in, c_x, c_f] = level.c;
                let own = wide(&row(&x, dim, particle));
                let times = |c: f64, of: &[f64]| -> Vec<f64> { of.iter().map(|v| c * v).collect() };
                let scaled = times(c_in, &own);
                let asked = Question { x: &scaled, time: level.time, class: level.class };
                let (u, v) = (wide(&row(&u, outputs, i)), wide(&row(&v, dim, particle)));
                let plus = |a: Vec<f64>, direct: &[f64]| -> Vec<f64> {
                    match c_x == 0.0 {
                        true => a,
                        false => a.iter().zip(direct).map(|(a, d)| a + c_x * d).collect(),
                    }
                };
                let f = forward(&m.layers, &m.tensors, asked).pop().expect("an output");
                let (_, slopes) = vjp(&m.layers, &m.tensors, asked, &times(c_f, &u));
                let (_, moved) = jvp(&m.layers, &m.tensors, asked, &times(c_in, &v), level.rate);
                let faults = [
                    relative(&row(&found.out, outputs, i), &plus(times(c_f, &f), &own)),
                    relative(&row(&found.slopes, dim, i), &plus(times(c_in, &slopes), &u)),
                    relative(&row(&found.moved, outputs, i), &plus(times(c_f, &moved), &v)),
                ];
                // <u, J v> = <J' u, v>, of the device's numbers, the time at rest: by the oracle's share of the time
                let (_, by_time) = jvp(&m.layers, &m.tensors, asked, &vec![0.0; dim], level.rate);
                let along = dot(&u, &wide(&row(&found.moved, outputs, i))) - c_f * dot(&u, &by_time);
                let back = dot(&wide(&row(&found.slopes, dim, i)), &v);
                let size = dot(&u, &u).sqrt()
                    * dot(&wide(&row(&found.moved, outputs, i)), &wide(&row(&found.moved, outputs, i)))
                        .sqrt()
                    + dot(&v, &v).sqrt()
                        * dot(&wide(&row(&found.slopes, dim, i)), &wide(&row(&found.slopes, dim, i))).sqrt();
                let faults = [faults[0], faults[1], faults[2], (along - back).abs() / size];
                worst.iter_mut().zip(faults).for_each(|(w, f)| *w = w.max(f));
            }
            let shown = worst.map(|w| format!("{w:.1e}"));
            println!("{name}, fused {fused}: {shown:?} of {allowed:.1e}");
            assert!(worst.iter().all(|w| *w <= allowed), "{name}, fused {fused}: {worst:?}, {allowed}");
        }
    }
}

fn micro_batches_and_recomputed_values_change_no_bit(device: &Device) {
    let mut m = everything(5);
    let levels = levels(-0.75);
    let count = 75;
    let dim = 72;
    let [x, v] = [1.5, 1.0].map(|size| m.some(count * dim, 0.0, size));
    let u = m.some(2 * count * dim, 0.0, 1.0);
    let of = |settings| {
        let network = Network::new(device, &m.layers, &m.tensors, &levels, 2, settings).expect("a network");
        (ask(device, &network, &x, &u, &v, count), network)
    };
    let (one, whole) = of(Settings { micro_batch: Some(count), ..all_ways() });
    let (two, small) = of(Settings { micro_batch: Some(32), ..all_ways() });
    let (again, few) = of(Settings { recompute: true, ..all_ways() });
    assert!(whole.micro_batch() >= count && small.micro_batch() == 32);
    for (what, other) in [("micro-batches", two), ("recomputed", again)] {
        assert_eq!(one.out, other.out, "{what}");
        assert_eq!(one.slopes, other.slopes, "{what}");
        assert_eq!(one.moved, other.moved, "{what}");
    }
    let back = feynkac::kernels::passes::layers::Asked::Back;
    let [kept, recomputed] = [&small, &few].map(|n| n.plan(back).expect("a plan").held());
    println!("values of the way back, numbers a particle: {kept} kept, {recomputed} recomputed");
    assert!(recomputed < kept, "{recomputed} of {kept}");
    assert!(small.bytes() < whole.bytes());
}

fn what_is_not_there_is_refused(device: &Device) {
    let m = everything(1);
    let levels = levels(-0.75);
    let network = |settings| Network::new(device, &m.layers, &m.tensors, &levels, 2, settings);
    let plain = network(Settings::default()).expect("a network");
    let rows = device.upload("rows", &vec![0.5_f32; 720]).expect("rows");
    let said =
        |result: Result<(), feynkac::kernels::error::KernelError>| result.expect_err("refused").to_string();
    let back =
        Back { rows: (&rows).into(), cotangent: (&rows).into(), out: (&rows).into(), slopes: (&rows).into() };
    assert!(said(plain.vjp(device, back, 1, 0)).contains("uploaded for it"));
    assert!(said(plain.launch(device, &rows, &rows, 0, 1, 2)).starts_with("level: found 2"));
    assert!(
        said(plain.launch(device, &rows, &rows, 0, 6, 0))
            .starts_with("network outputs: found 720, wanted 864")
    );
    let error =
        network(Settings { micro_batch: Some(1 << 40), ..Settings::default() }).expect_err("too many");
    let message = error.to_string();
    assert!(
        message.contains("values of a network need") && message.contains("bytes, the device has"),
        "{message}"
    );
    let error =
        Network::new(device, &m.layers, &m.tensors, &levels, 3, Settings::default()).expect_err("levels");
    assert!(error.to_string().starts_with("levels of a network: found 4 for 3 conditions"), "{error}");
}

/// Where launches can be recorded: nothing is reserved, uploaded or read between them, and the level is the device's.
fn a_recorded_network_says_the_same(device: &Device) {
    if device.captures().is_err() {
        return;
    }
    let mut m = everything(9);
    let (count, dim) = (37, 72);
    let [x, u] = [1.5, 1.0].map(|size| m.some(count * dim, 0.0, size));
    let levels: Vec<Level> = levels(-0.75).into_iter().step_by(2).collect();
    let settings = Settings { micro_batch: Some(16), ..all_ways() };
    let network = Network::new(device, &m.layers, &m.tensors, &levels, 1, settings).expect("a network");
    let up = |data: &[f32]| device.upload("rows", data).expect("an upload");
    let (x, u) = (up(&x), up(&u));
    let [out, slopes, out_again, slopes_again] = [(); 4].map(|()| up(&vec![7.0; count * dim]));
    let cell = device.upload("level", &[1_u32]).expect("a level");
    let ask = |out, slopes, level| {
        let back =
            Back { rows: (&x).into(), cotangent: (&u).into(), out: At::from(out), slopes: At::from(slopes) };
        network.vjp(device, back, count, level)
    };
    ask(&out, &slopes, Number::Given(1)).expect("a way back");
    let record = || ask(&out_again, &slopes_again, Number::Kept(&cell));
    let before = device.counts();
    let graph = device.capture(record, record).expect("a recording");
    device.replay(&graph).expect("a replay");
    let after = device.counts();
    assert_eq!((after.allocations, after.downloads), (before.allocations, before.downloads));
    for (one, other) in [(&out, &out_again), (&slopes, &slopes_again)] {
        let [one, other]: [Vec<f32>; 2] = [one, other].map(|of| device.download(of).expect("answers"));
        assert_eq!(one, other);
    }
}
