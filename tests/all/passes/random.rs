//! Scans and resampling on random sizes and weights, always the same ones.

use feynkac::kernels::device::Device;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::resample::descends;
use super::scan::{integer_prefixes, sum_prefixes};

on_every_device! { scans, resamplings }

/// Cases a device and property.
const CASES: u32 = 48;

/// What weights can look like.
#[derive(Clone, Copy, Debug)]
enum Form {
    Uniform,
    Equal,
    OneHot,
    /// Nine of ten are zero.
    Sparse,
    /// A run of zeros, then the rest; or the other way round.
    Zeros {
        leading: bool,
    },
    /// e^-160 to 1: most are lost in the largest.
    Spread,
    /// Each half the one before.
    Halving,
    /// One that is heavier than all the rest.
    Heavy,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    n: usize,
    max_block: usize,
    form: Form,
    seed: u64,
}

impl Case {
    /// Weights in [0, 1], the largest of them 1.
    fn weights(&self) -> Vec<f32> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let n = self.n;
        let cut = rng.random_range(0..n);
        let mut weights: Vec<f32> = (0..n)
            .map(|i| {
                let u: f32 = rng.random_range(0.0..1.0);
                match self.form {
                    Form::Uniform => u,
                    Form::Equal => 1.0,
                    Form::OneHot => 0.0,
                    Form::Sparse => (u - 0.9).max(0.0) * 10.0,
                    Form::Zeros { leading } => u * f32::from(u8::from((i >= cut) == leading)),
                    Form::Spread => (160.0 * (u - 1.0)).exp(),
                    Form::Halving => (-(i as f32)).exp2(),
                    Form::Heavy => u * 1.0e-9,
                }
            })
            .collect();
        let top = match self.form {
            Form::Halving => 0,
            Form::Zeros { leading: false } => 0,
            Form::Zeros { leading: true } => n - 1,
            _ => cut,
        };
        weights[top] = 1.0;
        weights
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let form = prop_oneof![
        Just(Form::Uniform),
        Just(Form::Equal),
        Just(Form::OneHot),
        Just(Form::Sparse),
        Just(Form::Zeros { leading: true }),
        Just(Form::Zeros { leading: false }),
        Just(Form::Spread),
        Just(Form::Halving),
        Just(Form::Heavy),
    ];
    // Few, several blocks of the usual size, many.
    let n = prop_oneof![1_usize..100, 100_usize..5_000, 5_000_usize..=100_000];
    let max_block = prop_oneof![Just(64_usize), Just(1024_usize), 1_usize..3_000];
    (n, max_block, form, any::<u64>()).prop_map(|(n, max_block, form, seed)| Case {
        n,
        max_block,
        form,
        seed,
    })
}

/// Tries the same cases on every machine; what fails is made as small as it can be.
fn try_cases(check: impl Fn(&Case)) {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, rng)
        .run(&cases(), |case| {
            check(&case);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

fn scans(device: &Device) {
    try_cases(|case| {
        let weights = case.weights();
        sum_prefixes(device, &weights, case.max_block);
        integer_prefixes(device, &weights, case.max_block);
    });
}

fn resamplings(device: &Device) {
    try_cases(|case| {
        // Weights need not sum to 1, nor be near it.
        let size = (case.seed % 121) as f32 - 60.0;
        let weights: Vec<f32> = case.weights().iter().map(|w| w * size.exp2()).collect();
        descends(device, "random", &weights, case.max_block, case.seed);
    });
}
