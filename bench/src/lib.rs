//! The harness: a benchmark checks its result against the oracle, and only then is it timed.
//!
//! The device is the one that `FEYNKAC_BENCH_DEVICE` names, `cpu` where it is not set. Elements and
//! bytes are those of the problem, whatever a run moves beside them, so that two ways to solve it
//! compare. Times are wall-clock times up to the end of the last kernel; kernels are compiled before.

pub mod gpu;
pub mod peers;
pub mod problem;
pub mod questions;
pub mod worker;

use std::env;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput};
use feynkac::kernels::device::{Device, Request};

/// What a measurement does, in numbers of the problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Particles, or particle-steps.
    pub elements: u64,
    /// Bytes that have to be read or written once.
    pub bytes: u64,
}

/// The device to measure on.
pub fn device() -> Device {
    let name = env::var("FEYNKAC_BENCH_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
    let opened = name.parse::<Request>().and_then(Device::open);
    opened.unwrap_or_else(|error| panic!("FEYNKAC_BENCH_DEVICE={name}: {error}"))
}

/// Short measurements: the kernels take milliseconds and vary by less than a tenth.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
}

/// Asks one question, with the arguments of criterion's command line.
pub fn answer(ask: impl FnOnce(&mut Criterion)) {
    let mut criterion = criterion().configure_from_args();
    ask(&mut criterion);
    criterion.final_summary();
}

/// A group of measurements called `question` on `device`.
pub fn group<'a>(
    criterion: &'a mut Criterion,
    device: &Device,
    question: &str,
) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(format!("{question}/{}", device.backend()));
    group.sampling_mode(SamplingMode::Flat);
    group
}

/// Times `routine` after `prepare`, which is not timed, at one size; but first runs `check`. A
/// result that is not right ends the benchmark.
pub fn measure(
    group: &mut BenchmarkGroup<WallTime>,
    (name, size): (&str, usize),
    work: Work,
    check: impl FnOnce() -> Result<(), String>,
    mut prepare: impl FnMut(),
    mut routine: impl FnMut(),
) {
    if let Err(why) = check() {
        panic!("{name}/{size} is not right and is not timed: {why}");
    }
    group.throughput(Throughput::ElementsAndBytes { elements: work.elements, bytes: work.bytes });
    group.bench_function(BenchmarkId::new(name, size), |bencher| {
        bencher.iter_batched(&mut prepare, |()| routine(), criterion::BatchSize::PerIteration);
    });
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_wrong_result_is_not_timed() {
        let timed = Cell::new(false);
        let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut criterion = Criterion::default();
            let mut group = criterion.benchmark_group("control");
            let work = Work { elements: 1, bytes: 1 };
            let wrong = || Err("on purpose".to_owned());
            measure(&mut group, ("wrong", 1), work, wrong, || {}, || timed.set(true));
        }));
        assert!(attempt.is_err() && !timed.get());
    }
}
