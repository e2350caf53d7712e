//! The dense network against plain loops.

use feynkac::kernels::device::Device;
use feynkac::kernels::passes::mlp::oracle::forward;
use feynkac::kernels::passes::mlp::{Activation, Compute, Dense, MlpShape, Network, Numbers};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

on_every_device! { every_shape_and_option }

/// Activations, norms, skips, odd widths and counts.
pub fn every_shape_and_option(device: &Device) {
    let base = MlpShape {
        dim: 2,
        hidden: 64,
        layers: 2,
        outputs: 2,
        activation: Activation::Silu,
        norm: false,
        skip: true,
    };
    let shapes = [
        base,
        MlpShape { activation: Activation::Gelu, norm: true, ..base },
        MlpShape { activation: Activation::Tanh, skip: false, norm: true, hidden: 70, ..base },
        MlpShape { activation: Activation::Relu, dim: 13, outputs: 10, hidden: 17, layers: 3, ..base },
        MlpShape { dim: 64, outputs: 64, hidden: 128, layers: 1, ..base },
        MlpShape { dim: 784, outputs: 784, hidden: 96, layers: 1, ..base },
        MlpShape { hidden: 512, layers: 1, ..base },
        MlpShape { layers: 0, dim: 3, outputs: 1, ..base },
    ];
    for (i, shape) in shapes.into_iter().enumerate() {
        for count in [1, 3, 47, 49, 200] {
            check(device, shape, count, i as u64);
        }
    }
}

fn check(device: &Device, s: MlpShape, count: usize, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut some =
        |n: usize, size: f32| -> Vec<f32> { (0..n).map(|_| rng.random_range(-size..size)).collect() };
    let (h, fan) = (s.hidden, (3.0 / s.hidden as f32).sqrt());
    let input = Dense { weight: some(h * s.dim, (3.0 / s.dim as f32).sqrt()), bias: some(h, 0.5) };
    let hidden: Vec<Vec<f32>> = (0..s.layers).map(|_| some(h * h, fan)).collect();
    let norms: Vec<_> =
        (0..if s.norm { s.layers } else { 0 }).map(|_| (some(h, 1.0), some(h, 0.5))).collect();
    let output = Dense { weight: some(s.outputs * h, fan), bias: some(s.outputs, 0.5) };
    let cond: Vec<Vec<f32>> = (0..2).map(|_| some(s.layers * h, 0.5)).collect();
    // c_x only where input and output have one shape.
    let c_x = if s.dim == s.outputs { -0.7 } else { 0.0 };
    let levels = [[0.6, 0.5 * c_x, 0.9], [0.8, c_x, 1.3]];
    let x = some(count * s.dim, 2.0);
    let numbers = Numbers {
        input: &input,
        hidden: &hidden,
        norms: &norms,
        output: &output,
        cond: &cond,
        levels: &levels,
    };
    let network = Network::new(device, s, &numbers, Compute::F32).expect("an upload");
    let rows = device.upload("rows", &x).expect("an upload");
    let first = 5;
    let out = device.upload("out", &vec![7.0_f32; first + count * s.outputs]).expect("an upload");
    network.launch(device, &rows, &out, first, count, 1).expect("a launch");
    let found = device.download(&out).expect("outputs");
    // Both rows of the tables as conditions of one level: the same bits as of a launch each.
    let both = device.upload("both", &vec![7.0_f32; first + 2 * count * s.outputs]).expect("an upload");
    let together = network.clone().under(2).expect("two conditions of a level");
    together.launch(device, &rows, &both, first, count, 0).expect("a launch");
    let both = device.download(&both).expect("outputs");
    assert_eq!(both[..first], [7.0; 5], "nothing before the first element is touched");
    assert_eq!(both[first + count * s.outputs..], found[first..], "{s:?}, {count}: the second condition");
    network.launch(device, &rows, &out, first, count, 0).expect("a launch");
    let other = device.download(&out).expect("outputs");
    assert_eq!(both[first..first + count * s.outputs], other[first..], "{s:?}, {count}: the first condition");
    assert!(together.launch(device, &rows, &out, first, count, 0).is_err(), "no room for two");
    assert_eq!(found[..first], [7.0; 5], "nothing before the first element is touched");
    for (row, x) in x.chunks(s.dim).enumerate() {
        let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let wanted = forward(&s, &numbers, 1, &x);
        for (k, wanted) in wanted.iter().enumerate() {
            let f = f64::from(found[first + row * s.outputs + k]);
            // Each layer sums up to `hidden` products of numbers of size about 1, rounded each time.
            let allowed = 4.0 * f64::from(f32::EPSILON) * ((s.layers + 2) * s.hidden.max(s.dim)) as f64;
            assert!((f - wanted).abs() <= allowed, "{s:?}, {count}: row {row}, {k}: {f} for {wanted}");
        }
    }
}
