//! The dense network in f16 and bf16: its tiles against plain loops, and the error against f32 that the
//! documentation states.

use std::path::Path;

use feynkac::kernels::device::Device;
use feynkac::kernels::passes::Number;
use feynkac::kernels::passes::mlp::oracle::{forward, forward_rounded};
use feynkac::kernels::passes::mlp::{
    Activation, Compute, Dense, Half, MAX_WIDTH, MlpShape, Network, Numbers,
};
use feynkac::model::{shape, with_numbers};
use feynkac::netconfig;
use feynkac::weights::Weights;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

on_every_device! { tiles_are_multiplied_as_the_oracle_does, what_a_device_lacks_is_said }

const BASE: MlpShape = MlpShape {
    dim: 2,
    hidden: 32,
    layers: 2,
    outputs: 2,
    activation: Activation::Silu,
    norm: false,
    skip: true,
};

/// A network of one's own, with numbers of size about 1.
struct Own {
    shape: MlpShape,
    input: Dense,
    hidden: Vec<Vec<f32>>,
    norms: Vec<(Vec<f32>, Vec<f32>)>,
    output: Dense,
    cond: Vec<Vec<f32>>,
    levels: Vec<[f32; 3]>,
}

impl Own {
    fn new(shape: MlpShape, rng: &mut StdRng) -> Self {
        let mut some =
            |n: usize, size: f32| -> Vec<f32> { (0..n).map(|_| rng.random_range(-size..size)).collect() };
        let (h, fan) = (shape.hidden, (3.0 / shape.hidden as f32).sqrt());
        let norms = if shape.norm { shape.layers } else { 0 };
        // c_x only where input and output have one shape.
        let c_x = if shape.dim == shape.outputs { -0.7 } else { 0.0 };
        Self {
            shape,
            input: Dense { weight: some(h * shape.dim, (3.0 / shape.dim as f32).sqrt()), bias: some(h, 0.5) },
            hidden: (0..shape.layers).map(|_| some(h * h, fan)).collect(),
            norms: (0..norms).map(|_| (some(h, 1.0), some(h, 0.5))).collect(),
            output: Dense { weight: some(shape.outputs * h, fan), bias: some(shape.outputs, 0.5) },
            cond: (0..2).map(|_| some(shape.layers * h, 0.5)).collect(),
            levels: vec![[0.0; 3], [0.8, c_x, 1.3]],
        }
    }

    fn numbers(&self) -> Numbers<'_> {
        Numbers {
            input: &self.input,
            hidden: &self.hidden,
            norms: &self.norms,
            output: &self.output,
            cond: &self.cond,
            levels: &self.levels,
        }
    }
}

/// Root mean square and largest absolute value of a - b, over the root mean square of b.
fn relative(pairs: &[(f64, f64)]) -> (f64, f64) {
    let n = pairs.len() as f64;
    assert!(pairs.iter().all(|(a, b)| a.is_finite() && b.is_finite()));
    let size = (pairs.iter().map(|(_, b)| b * b).sum::<f64>() / n).sqrt();
    let rms = (pairs.iter().map(|(a, b)| (a - b).powi(2)).sum::<f64>() / n).sqrt();
    let most = pairs.iter().map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    (rms / size, most / size)
}

/// Odd widths and counts, norms, skips, several tiles of inputs and outputs, one and two tiles of particles.
fn tiles_are_multiplied_as_the_oracle_does(device: &Device) {
    let shapes = [
        BASE,
        MlpShape {
            activation: Activation::Gelu,
            norm: true,
            skip: false,
            dim: 19,
            hidden: 20,
            layers: 1,
            outputs: 19,
        },
        MlpShape { activation: Activation::Tanh, hidden: 48, layers: 1, dim: 16, ..BASE },
        MlpShape { activation: Activation::Relu, norm: true, hidden: 45, dim: 3, outputs: 33, ..BASE },
        MlpShape { norm: true, hidden: 66, layers: 1, outputs: 1, ..BASE },
        MlpShape { hidden: 16, layers: 0, dim: 33, outputs: 33, ..BASE },
    ];
    let mut rng = StdRng::seed_from_u64(11);
    for (i, shape) in shapes.into_iter().enumerate() {
        let own = Own::new(shape, &mut rng);
        // In turn: drivers take seconds to compile each.
        for half in [Half::ALL[i % 2]] {
            let numbers = own.numbers();
            let cores = Network::new(device, shape, &numbers, Compute::Tensor(half));
            let networks = [cores, Network::without_cores(device, shape, &numbers, half)];
            for network in networks.into_iter().flatten() {
                for count in [1, 31, 65, 150] {
                    let x: Vec<f32> = (0..count * shape.dim).map(|_| rng.random_range(-2.0..2.0)).collect();
                    // The kernel of the units themselves needs two planes of 32, which a processor has not.
                    if device.units() >= 64 {
                        check(device, &own, half, &network, &x);
                    } else {
                        let rows = device.upload("rows", &x).expect("an upload");
                        let out =
                            device.upload("out", &vec![0.0_f32; count * shape.outputs]).expect("an upload");
                        let error = network.launch(device, &rows, &out, 0, count, 1).expect_err("two units");
                        assert!(error.to_string().contains("wanted at least 64"), "{error}");
                    }
                }
            }
        }
    }
}

fn check(device: &Device, own: &Own, half: Half, network: &Network, x: &[f32]) {
    let (s, first) = (own.shape, 5);
    let count = x.len() / s.dim;
    let rows = device.upload("rows", x).expect("an upload");
    let out = device.upload("out", &vec![7.0_f32; first + count * s.outputs + 3]).expect("an upload");
    network.launch(device, &rows, &out, first, count, 1).expect("a launch");
    let found = device.download(&out).expect("outputs");
    assert_eq!(found[..first], [7.0; 5], "nothing before the first element is touched");
    assert_eq!(found[found.len() - 3..], [7.0; 3], "nor behind the last");
    let level = device.upload("level", &[1_u32]).expect("an upload");
    network.launch(device, &rows, &out, 0, count, Number::Kept(&level)).expect("a launch");
    let kept = device.download(&out).expect("outputs");
    assert_eq!(
        kept[..count * s.outputs],
        found[first..first + count * s.outputs],
        "the level that a cell holds"
    );
    let (mut to_exact, mut to_rounded, mut to_other) = (Vec::new(), Vec::new(), Vec::new());
    let other = if half == Half::F16 { Half::Bf16 } else { Half::F16 };
    for (row, x) in x.chunks(s.dim).enumerate() {
        let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let exact = forward(&s, &own.numbers(), 1, &x);
        let rounded = forward_rounded(half, &s, &own.numbers(), 1, &x);
        let otherwise = forward_rounded(other, &s, &own.numbers(), 1, &x);
        for k in 0..s.outputs {
            let f = f64::from(found[first + row * s.outputs + k]);
            // A wrong weight or activation changes an output by about 1/sqrt(H) of its size, 6 % at least.
            let unit = if half == Half::F16 { 2.0_f64.powi(-11) } else { 2.0_f64.powi(-8) };
            let allowed = 5.0 * unit * rounded[k].abs().max(1.0);
            assert!(
                (f - rounded[k]).abs() <= allowed,
                "{s:?}, {half}, {count}: row {row}, {k}: {f} for {}",
                rounded[k]
            );
            to_exact.push((rounded[k], exact[k]));
            to_rounded.push((f, rounded[k]));
            to_other.push((f, otherwise[k]));
        }
    }
    if count > 100 {
        let (rounding, _) = relative(&to_exact);
        let (off, _) = relative(&to_rounded);
        let (control, _) = relative(&to_other);
        println!(
            "{s:?}, {half}: {off:.1e} off the rounded oracle, which is {rounding:.1e} off the exact one"
        );
        // The kernel rounds where the oracle does: what differs are numbers that the error of the sigmoid,
        // up to 2^-16, takes across the middle between two neighbours: in f16 at most one in 32, and
        // sqrt(12/32) of the rounding error that it comes to stands for the worst case.
        assert!(off < 0.6 * rounding, "{off} and {rounding}");
        if half == Half::F16 {
            assert!(control > 2.0 * rounding, "bf16 instead of f16 is seen: {control} and {rounding}");
        }
    }
}

/// By name refused, with the device; by `auto` f32, even of weights that are numbers of 16 bits.
fn what_a_device_lacks_is_said(device: &Device) {
    let mut own = Own::new(BASE, &mut StdRng::seed_from_u64(3));
    let build = |own: &Own, compute| Network::new(device, own.shape, &own.numbers(), compute);
    for half in Half::ALL {
        match build(&own, Compute::Tensor(half)) {
            Ok(network) => assert_eq!(network.compute(), Compute::Tensor(half)),
            Err(error) => {
                let named = format!(
                    "compute: found {half} on {} '{}', wanted auto, f32",
                    device.backend(),
                    device.name()
                );
                assert!(error.to_string().starts_with(&named), "{error}");
            }
        }
    }
    assert_eq!(build(&own, Compute::Auto).expect("f32").compute(), Compute::F32, "weights are f32");
    let has = build(&own, Compute::Tensor(Half::F16)).is_ok();
    let matrices = [&mut own.input.weight, &mut own.output.weight].into_iter().chain(&mut own.hidden);
    matrices.flatten().for_each(|w| *w = Half::F16.round(*w));
    let wanted = if has { Compute::Tensor(Half::F16) } else { Compute::F32 };
    assert_eq!(build(&own, Compute::Auto).expect("a network").compute(), wanted);
    let wide = Own::new(MlpShape { hidden: MAX_WIDTH + 1, layers: 0, ..BASE }, &mut StdRng::seed_from_u64(4));
    assert!(build(&wide, Compute::Tensor(Half::Bf16)).is_err());
    let error =
        Network::without_cores(device, wide.shape, &wide.numbers(), Half::Bf16).expect_err("too wide");
    assert!(error.to_string().starts_with("hidden units: found 257, wanted at most 256"), "{error}");
    own.hidden[0][5] = 1.0e5;
    let error =
        Network::without_cores(device, own.shape, &own.numbers(), Half::F16).expect_err("an infinity");
    assert!(error.to_string().starts_with("compute: found f16 with a weight of 100000"), "{error}");
}

/// Errors of F in f16 and bf16 against f32's weights in f64: a row a network, (rms, largest) over the rms of F.
#[test]
fn the_error_of_16_bits_is_as_documented() {
    let mut table = Vec::new();
    for name in ["gmm40-mlp", "digits8-mlp"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights").join(name);
        let (config, weights, _) = netconfig::load(&folder).expect("a network");
        let golden = Weights::open(&folder.join("golden.safetensors")).expect("golden values");
        let (count, dim) = (golden.shape("x").expect("x")[0], config.trunk.dim);
        let x = golden.f32("x", &[count, dim]).expect("x");
        let times = golden.f32("t", &[count]).expect("t");
        let (mut cond, mut levels) = (Vec::new(), Vec::new());
        for &t in &times {
            cond.push(weights.conditioning(&config, f64::from(t), None).expect("conditioning"));
            let c = config.preconditioning.denoiser_coeffs(config.prediction, &config.schedule, f64::from(t));
            levels.push([c.input as f32, 0.0, 1.0]);
        }
        let shape = shape(&config.trunk, dim);
        with_numbers(&weights.trunk, &cond, &levels, |numbers| {
            let points: Vec<Vec<f64>> =
                x.chunks(dim).map(|x| x.iter().map(|x| f64::from(*x)).collect()).collect();
            table.push((
                name,
                Half::ALL.map(|half| {
                    let all: Vec<(f64, f64)> = points
                        .iter()
                        .enumerate()
                        .flat_map(|(level, x)| {
                            let rounded = forward_rounded(half, &shape, numbers, level, x);
                            rounded.into_iter().zip(forward(&shape, numbers, level, x)).collect::<Vec<_>>()
                        })
                        .collect();
                    relative(&all)
                }),
            ));
        });
    }
    let mut rng = StdRng::seed_from_u64(5);
    let large = MlpShape { hidden: 128, layers: 4, ..BASE };
    for (name, shape) in
        [("random 4 x 128", large), ("random 4 x 128, norm", MlpShape { norm: true, ..large })]
    {
        let mut all = [Vec::new(), Vec::new()];
        for _ in 0..8 {
            let mut own = Own::new(shape, &mut rng);
            own.levels[1] = [1.0, 0.0, 1.0];
            for _ in 0..32 {
                let x: Vec<f64> = (0..2).map(|_| f64::from(rng.random_range(-2.0_f32..2.0))).collect();
                let exact = forward(&shape, &own.numbers(), 1, &x);
                for (half, all) in Half::ALL.into_iter().zip(&mut all) {
                    all.extend(
                        forward_rounded(half, &shape, &own.numbers(), 1, &x).into_iter().zip(exact.clone()),
                    );
                }
            }
        }
        table.push((name, all.map(|all| relative(&all))));
    }
    for (name, [f16, bf16]) in &table {
        println!(
            "{name}: f16 rms {:.1e}, largest {:.1e}; bf16 rms {:.1e}, largest {:.1e}",
            f16.0, f16.1, bf16.0, bf16.1
        );
    }
    for (name, [f16, bf16]) in table {
        // Half a unit in the last place, u, is 2^-12 or 2^-9 of a number at most, u/sqrt(3) on average over
        // numbers; weights and activations of up to six matrices, each rounded on its own: sqrt(12/3) u = 2 u.
        // A network that was trained to be sharp grows what it is given; the mixture's does so tenfold.
        let grows = if name == "gmm40-mlp" { 12.5 } else { 2.5 };
        for ((rms, most), u) in [(f16, 2.0_f64.powi(-12)), (bf16, 2.0_f64.powi(-9))] {
            assert!(rms > 0.1 * u, "{name}: nothing was rounded: {rms}");
            assert!(rms < 2.0 * u * grows && most < 12.0 * u * grows, "{name}: {rms}, {most}");
        }
    }
}
