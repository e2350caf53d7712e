//! What measurements share: medians and quartiles, the work between two looks at a device's counters, and the rate
//! at which a device copies memory, which is the roof over every other rate.

use std::ops::AddAssign;
use std::time::Instant;

use feynkac_kernels::device::{Buf, Counts, Device};
use feynkac_kernels::error::KernelError;
use feynkac_kernels::passes::copy::copy;
use serde::Serialize;

use crate::error::Result;

/// The version of this crate.
pub const FEYNKAC: &str = env!("CARGO_PKG_VERSION");
/// The version of cubecl that the kernels are written for.
pub const CUBECL: &str = "0.11.3";
/// The commit this was built from: `FEYNKAC_COMMIT` as it was set at the build.
pub const COMMIT: &str = match option_env!("FEYNKAC_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Bytes of each of the two buffers of the copy, where the device binds as many: more than its caches hold.
pub const COPY_BYTES: u64 = 256 << 20;
/// Elements are rounded down to a multiple of this, which every vector width divides.
const COPY_UNIT: u64 = 1024;
/// Elements of the copy that is checked.
const CHECKED: u16 = 4096;
/// Seconds that a timed round of copies takes at least, so that its start and end count for little.
const ROUND_S: f64 = 0.02;
/// Copies of a round at most.
const MOST_COPIES: f64 = 64.0;
/// The shortest time that is told from none.
const SHORTEST_S: f64 = 1e-9;

/// The middle half of some values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The first quartile.
    pub lower: f64,
    /// The median.
    pub median: f64,
    /// The third quartile.
    pub upper: f64,
}

impl Spread {
    /// Of values in any order; NaN where there are none. The p-quantile of n sorted values stands at place
    /// p (n - 1), counted from 0; between two values, on the straight line from one to the other.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let quantile = |p: f64| {
            let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
            let place = p * last as f64;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            below + place.fract() * (above - below)
        };
        Self { lower: quantile(0.25), median: quantile(0.5), upper: quantile(0.75) }
    }

    /// All three times `factor`, which is above zero.
    pub fn scaled(self, factor: f64) -> Self {
        let Self { lower, median, upper } = self;
        Self { lower: factor * lower, median: factor * median, upper: factor * upper }
    }
}

/// What a device did, and how long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// Kernel launches.
    pub launches: u64,
    /// Bytes they had to read and write, as the device layer counts them.
    pub bytes: u64,
    /// Wall-clock seconds.
    pub seconds: f64,
}

impl Measured {
    /// Between two looks at the counters of one device, `seconds` apart.
    pub fn between(before: &Counts, after: &Counts, seconds: f64) -> Self {
        let moved = |counts: &Counts| counts.bytes_read + counts.bytes_written;
        Self { launches: after.launches - before.launches, bytes: moved(after) - moved(before), seconds }
    }

    /// Something of this many a second.
    pub fn per_s(&self, count: f64) -> f64 {
        count / self.seconds.max(SHORTEST_S)
    }

    /// Bytes a second.
    pub fn bytes_per_s(&self) -> f64 {
        self.per_s(self.bytes as f64)
    }
}

impl AddAssign for Measured {
    fn add_assign(&mut self, other: Self) {
        self.launches += other.launches;
        self.bytes += other.bytes;
        self.seconds += other.seconds;
    }
}

/// Runs `work`, from a device that has nothing left to do until it has nothing left to do again.
pub fn timed(device: &Device, work: impl FnOnce() -> Result<()>) -> Result<Measured> {
    device.sync()?;
    let (before, began) = (device.counts(), Instant::now());
    work()?;
    device.sync()?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Measured::between(&before, &device.counts(), seconds))
}

/// Bytes a second, read and written, of a kernel that copies one buffer to another: quartiles over `rounds`
/// rounds, at least one. A copy that is not right is an error.
pub fn copy_rate(device: &Device, rounds: usize) -> Result<Spread> {
    check_copy(device)?;
    let len = copy_len(device.max_binding());
    let from: Buf<f32> = device.empty("copy: from", len)?;
    let to: Buf<f32> = device.empty("copy: to", len)?;
    // There and back, because memory that nobody has written yet need not be there at all.
    copy(device, &from, &to, 0)?;
    copy(device, &to, &from, 0)?;
    let once = || -> Result<()> { Ok(copy(device, &from, &to, 0)?) };
    let copies = copies_of_a_round(timed(device, once)?.seconds);
    let bytes = 2.0 * from.bytes() as f64 * copies as f64;
    let round = |_: usize| -> Result<f64> {
        Ok(timed(device, || (0..copies).try_for_each(|_| once()))?.per_s(bytes))
    };
    let rates = (0..rounds.max(1)).map(round).collect::<Result<Vec<f64>>>()?;
    Ok(Spread::of(&rates))
}

/// Elements of each buffer on a device that binds at most `limit` bytes.
fn copy_len(limit: u64) -> usize {
    let elements = COPY_BYTES.min(limit) / size_of::<f32>() as u64;
    (elements / COPY_UNIT * COPY_UNIT).max(COPY_UNIT) as usize
}

/// How many copies of `seconds` each make a round.
fn copies_of_a_round(seconds: f64) -> usize {
    (ROUND_S / seconds.max(SHORTEST_S)).ceil().clamp(1.0, MOST_COPIES) as usize
}

/// Copies a few numbers and reads them back: a launch would not say that it failed.
fn check_copy(device: &Device) -> Result<()> {
    let wanted: Vec<f32> = (1..=CHECKED).map(f32::from).collect();
    let from = device.upload("copy: checked", &wanted)?;
    let to = device.upload("copy: checked", &vec![0.0_f32; wanted.len()])?;
    copy(device, &from, &to, 0)?;
    if device.download(&to)? == wanted {
        return Ok(());
    }
    let message = "what arrived is not what was sent".to_string();
    Err(KernelError::Device { during: "copying", message }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_by_hand() {
        for (values, lower, median, upper) in [
            (vec![7.0], 7.0, 7.0, 7.0),
            (vec![3.0, 1.0], 1.5, 2.0, 2.5),
            (vec![4.0, 1.0, 3.0, 2.0], 1.75, 2.5, 3.25),
            (vec![5.0, 1.0, 4.0, 2.0, 3.0], 2.0, 3.0, 4.0),
            (vec![10.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 0.0, 0.0, 0.0),
            (vec![-8.0, 8.0, 0.0], -4.0, 0.0, 4.0),
        ] {
            assert_eq!(Spread::of(&values), Spread { lower, median, upper }, "{values:?}");
        }
        assert!(Spread::of(&[]).median.is_nan());
        let halved = Spread { lower: 1.0, median: 2.0, upper: 5.0 }.scaled(0.5);
        assert_eq!(halved, Spread { lower: 0.5, median: 1.0, upper: 2.5 });
    }

    #[test]
    fn work_is_what_was_counted_in_between() {
        let before = Counts { launches: 3, bytes_read: 100, bytes_written: 10, ..Counts::default() };
        let after = Counts { launches: 8, bytes_read: 160, bytes_written: 50, ..Counts::default() };
        let mut sum = Measured::between(&before, &after, 0.5);
        assert_eq!(sum, Measured { launches: 5, bytes: 100, seconds: 0.5 });
        assert_eq!((sum.bytes_per_s(), sum.per_s(3.0)), (200.0, 6.0));
        sum += Measured { launches: 1, bytes: 20, seconds: 0.25 };
        assert_eq!(sum, Measured { launches: 6, bytes: 120, seconds: 0.75 });
        assert!(Measured::default().per_s(1.0).is_finite());
    }

    #[test]
    fn a_copy_fits_and_a_round_is_long_enough() {
        assert_eq!(copy_len(u64::MAX), 64 << 20);
        assert_eq!(copy_len(1 << 20), 1 << 18);
        assert_eq!(copy_len(10_000), 2048);
        assert_eq!(copy_len(0), 1024);
        for (seconds, copies) in [(1.0, 1), (0.02, 1), (0.015, 2), (0.005, 4), (1e-6, 64), (0.0, 64)] {
            assert_eq!(copies_of_a_round(seconds), copies, "{seconds}");
        }
    }

    #[test]
    fn the_version_of_cubecl_is_the_one_that_is_pinned() {
        let manifest = include_str!("../Cargo.toml");
        assert!(manifest.contains(&format!("\ncubecl = {{ version = \"={CUBECL}\"")), "{CUBECL}");
        assert!(!COMMIT.is_empty() && !FEYNKAC.is_empty());
    }
}
