//! Particles a second of systematic resampling alone: prefix sums in integers and the search for
//! ancestors, of one group of 2^10 to 2^20.

use criterion::Criterion;
use feynkac::kernels::device::{Buf, Device};
use feynkac::kernels::passes::resample::oracle::{integers, offspring, record, systematic, word};
use feynkac::kernels::passes::resample::{Resampler, Weights};
use feynkac::kernels::prims::state::{BLOCK, Population};
use feynkac_bench::{Work, criterion, device, group, measure};

const SEED: u64 = 11;
const STEP: usize = 3;

fn main() {
    let mut criterion = criterion();
    resample(&mut criterion);
    criterion.final_summary();
}

fn resample(criterion: &mut Criterion) {
    let device = device();
    let mut group = group(criterion, &device, "resample");
    for power in (10..=20).step_by(2) {
        let particles = 1 << power;
        let problem = Problem::new(&device, particles);
        let launch = || {
            problem.launch(&device);
            device.sync().expect("a resampling that ends");
        };
        let work = Work { elements: particles as u64, bytes: 8 * particles as u64 };
        measure(&mut group, ("systematic", particles), work, || problem.check(&device), || {}, launch);
    }
    group.finish();
}

/// One group and its weights, on the host and on the device.
struct Problem {
    weights: Vec<f32>,
    of: Population,
    input: Buf<f32>,
    norms: Buf<f32>,
    seeds: Buf<u32>,
    ancestors: Buf<u32>,
    resampler: Resampler,
}

impl Problem {
    /// Weights of a spread of e^8, in no order.
    fn new(device: &Device, particles: usize) -> Self {
        let fraction = |i: usize| (i as f64 * 0.618_033_988_749_895).fract();
        let weights: Vec<f32> = (0..particles).map(|i| (-8.0 * fraction(i)).exp() as f32).collect();
        let of = Population { groups: 1, slots: particles, dim: 1, lanes: device.lanes(), max_block: BLOCK };
        let mut padded = weights.clone();
        padded.resize(of.stride(), 0.0);
        let (factor, sum) = record(&weights).expect("weights above zero");
        Self {
            input: device.upload("weights", &padded).expect("an upload"),
            norms: device.upload("norms", &[factor, sum, 0.0, 1.0]).expect("an upload"),
            seeds: device.upload("seeds", &[SEED as u32, (SEED >> 32) as u32]).expect("an upload"),
            ancestors: device.upload("ancestors", &vec![u32::MAX; of.stride()]).expect("an upload"),
            resampler: Resampler::new(device, &of).expect("buffers"),
            weights,
            of,
        }
    }

    fn launch(&self, device: &Device) {
        let (input, norms, seeds) = (&self.input, &self.norms, &self.seeds);
        self.resampler
            .systematic(device, Weights::Linear, input, norms, seeds, &self.ancestors, &self.of, STEP)
            .expect("a launch");
    }

    /// Offspring counts as the oracle has them, all of them.
    fn check(&self, device: &Device) -> Result<(), String> {
        self.launch(device);
        let found = device.download(&self.ancestors).map_err(|error| error.to_string())?;
        let count = self.of.slots;
        if let Some(stray) = found[..count].iter().find(|&&a| a as usize >= count) {
            return Err(format!("ancestor {stray} of {count} particles"));
        }
        let sound = record(&self.weights).ok_or("weights without a sum")?;
        let wanted = offspring(&systematic(&integers(&self.weights, sound), word(SEED, STEP)), count);
        let found = offspring(&found[..count], count);
        match found.iter().zip(&wanted).position(|(a, b)| a != b) {
            None => Ok(()),
            Some(i) => Err(format!("particle {i} has {} offspring, wanted {}", found[i], wanted[i])),
        }
    }
}
