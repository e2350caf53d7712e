//! Multiplications and additions a second of convolutions, by their channels and the side of the image; forwards, and of
//! 3 taps also backwards. Elements are those operations, of the taps that meet a pixel or not.

use criterion::Criterion;
use feynkac::kernels::device::{Buf, Device};
use feynkac::kernels::models::layers::Extent;
use feynkac::kernels::passes::conv::oracle::Taps;
use feynkac::kernels::passes::conv::{After, Conv, Shape};

use crate::{Work, device, group, measure};

/// Particles.
const PARTICLES: usize = 64;
/// Channels read and written, side of the image.
const SHAPES: [(usize, usize); 5] = [(32, 28), (64, 28), (64, 14), (128, 14), (64, 7)];

/// Values in no order, of unit size.
fn some(count: usize) -> Vec<f32> {
    (0..count).map(|i| (2.0 * (i as f64 * 0.618_033_988_749_895).fract() - 1.0) as f32).collect()
}

struct Question {
    device: Device,
    conv: Conv,
    weights: Vec<f32>,
    read: (Vec<f32>, Buf<f32>),
    to: Buf<f32>,
}

impl Question {
    fn new(device: &Device, shape: Shape) -> Self {
        let weights = some(shape.weights());
        let conv = Conv::new(device, shape, &weights, None, true).expect("a convolution");
        let x = some(shape.from.numbers() * PARTICLES);
        let read = device.upload("x", &x).expect("an upload");
        let to = device.empty("y", conv.to().numbers() * PARTICLES).expect("a buffer");
        Question { device: device.clone(), conv, weights, read: (x, read), to }
    }

    fn run(&self, back: bool) {
        let (from, after) = (&self.read.1, After::default());
        let launched = match back {
            false => self.conv.launch(&self.device, from, &self.to, PARTICLES, &after),
            true => self.conv.back(&self.device, from, &self.to, PARTICLES, &after),
        };
        launched.expect("a launch");
    }

    /// The first particle beside plain loops.
    fn check(&self, back: bool) -> Result<(), String> {
        self.run(back);
        let found = self.device.download(&self.to).map_err(|error| error.to_string())?;
        let Shape { from, taps, stride, before, .. } = self.conv.shape();
        let extent = |e: Extent| [e.channels, e.height, e.width];
        let plain = Taps { from: extent(from), to: extent(self.conv.to()), taps, stride, before };
        let x: Vec<f64> = self.read.0.iter().step_by(PARTICLES).map(|x| f64::from(*x)).collect();
        let wanted = if back { plain.back(&self.weights, &x) } else { plain.conv(&self.weights, &x) };
        let allowed = f64::from(f32::EPSILON) * (taps * taps * from.channels) as f64;
        for (k, wanted) in wanted.iter().enumerate() {
            let found = f64::from(found[k * PARTICLES]);
            if (found - wanted).abs() > allowed * wanted.abs().max(1.0) {
                return Err(format!("number {k}: {found} for {wanted}"));
            }
        }
        Ok(())
    }
}

/// Asks.
pub fn ask(criterion: &mut Criterion) {
    let device = device();
    let mut group = group(criterion, &device, "convolutions");
    for (channels, side) in SHAPES {
        for (name, taps, back) in [("3x3", 3, false), ("3x3-back", 3, true), ("1x1", 1, false)] {
            let from = Extent { channels, height: side, width: side };
            let before = usize::from(taps == 3);
            let shape = Shape { from, out: channels, taps, stride: 1, before, upsampled: false };
            let question = Question::new(&device, shape);
            let products = shape.weights() * from.pixels() * PARTICLES;
            let bytes = 8 * (from.numbers() * PARTICLES) as u64;
            let work = Work { elements: 2 * products as u64, bytes };
            // Several at a time, as layers follow each other: a wait for the device costs what it costs.
            let many = 4;
            let work = Work { elements: many * work.elements, bytes: many * work.bytes };
            measure(
                &mut group,
                (&format!("{name}/{channels}-channels"), side),
                work,
                || question.check(back),
                || (),
                || {
                    (0..many).for_each(|_| question.run(back));
                    device.sync().expect("launches that end");
                },
            );
        }
    }
    group.finish();
}
