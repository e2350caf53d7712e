//! How many groups run at once. No group knows of the others, so that many are the same in several batches, one after
//! another, to the bit.

use std::fs;
use std::ops::Range;

use feynkac_kernels::device::Device;
use feynkac_kernels::error::KernelError;

use super::Run;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::options::Options;

/// What a run takes of the memory that is free, at most: a driver and the results need some, too.
const SHARE: f64 = 0.9;

/// The batches of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batches {
    /// Groups in all.
    pub groups: usize,
    /// Groups at once.
    pub at_once: usize,
    /// Bytes of the buffers of a batch.
    pub bytes: u64,
    /// Bytes that a run may have, where that is known.
    pub available: Option<u64>,
}

impl Batches {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.groups.div_ceil(self.at_once)
    }

    /// The groups of each.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let Self { groups, at_once, .. } = *self;
        (0..groups).step_by(at_once).map(move |first| first..(first + at_once).min(groups))
    }
}

/// As [`Options::micro_batch`] says; where it says 0, as many groups as fit. Refuses what has no room.
pub fn batches(device: &Device, models: &[Model], options: &Options) -> Result<Batches> {
    let planning = device.planning();
    let needed = |groups: usize| -> Result<u64> {
        let held = |run: Run| run.buffers().iter().map(|(_, bytes)| bytes).sum::<u64>();
        let all = held(Run::of_groups(&planning, models, options, 0..groups)?);
        if options.refine == 0 {
            return Ok(all);
        }
        // One after the other, with the path that goes from one to the next.
        let path = planning.empty("path", (options.steps + 1) * groups * models[0].dim())?;
        let bytes = path.bytes();
        Ok(bytes + all.max(held(Run::retaining(&planning, models, options, 0..groups, 1, path)?)))
    };
    within(needed, options.groups, options.micro_batch, available(device), &device.backend().to_string())
}

/// The most of `groups` groups, `asked` at most unless that is 0, for which `needed` bytes are `available`.
fn within(
    needed: impl Fn(usize) -> Result<u64>,
    groups: usize,
    asked: usize,
    available: Option<u64>,
    device: &str,
) -> Result<Batches> {
    // Bytes, or that a buffer is too large to be one.
    let fits = |groups: usize| match needed(groups) {
        Ok(bytes) => Ok((bytes <= available.unwrap_or(u64::MAX)).then_some(bytes)),
        Err(Error::Device(KernelError::TooLarge { .. })) if groups > 1 && asked == 0 => Ok(None),
        Err(error) => Err(error),
    };
    let most = if asked == 0 { groups } else { asked.min(groups) };
    if let Some(bytes) = fits(most)? {
        return Ok(Batches { groups, at_once: most, bytes, available });
    }
    let least = if asked == 0 { 1 } else { most };
    let Some(mut bytes) = fits(least)? else {
        let found = format!("{} bytes free", available.unwrap_or_default());
        let which = if least == 1 { "a group".to_owned() } else { format!("{least} groups at once") };
        let wanted =
            format!("{} for {which}: use fewer particles, or a device with more memory", needed(least)?);
        return Err(Error::input(format!("memory of {device}"), found, wanted));
    };
    // `low` fits, `high` does not.
    let (mut low, mut high) = (least, most);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match fits(middle)? {
            Some(found) => (low, bytes) = (middle, found),
            None => high = middle,
        }
    }
    Ok(Batches { groups, at_once: low, bytes, available })
}

/// What a run may have of `device`: of what its runtime says it has, less what this process holds; on the processor of
/// what the system says is free.
fn available(device: &Device) -> Option<u64> {
    let own = device.capacity().map(|all| all.saturating_sub(device.memory().0));
    let free = if device.is_cpu() { free_memory() } else { None };
    let least = own.into_iter().chain(free).min()?;
    Some((SHARE * least as f64) as u64)
}

/// Bytes that Linux could give to a new process.
fn free_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 bytes for all and 10 for each group; above `limit` groups a buffer is too large.
    fn needed(limit: usize) -> impl Fn(usize) -> Result<u64> {
        move |groups| {
            let too_large = KernelError::TooLarge { what: "positions", needed: 9, limit: 8, hint: "" };
            if groups > limit { Err(too_large.into()) } else { Ok(100 + 10 * groups as u64) }
        }
    }

    #[test]
    fn as_many_groups_as_fit() {
        for (groups, asked, available, limit, at_once) in [
            (7, 0, None, 99, 7),
            (7, 0, Some(170), 99, 7),
            (7, 0, Some(169), 99, 6),
            (1000, 0, Some(110), 9999, 1),
            (1000, 0, Some(5000), 9999, 490),
            (1000, 0, None, 13, 13),
            (7, 3, Some(130), 99, 3),
            (7, 30, None, 99, 7),
        ] {
            let found = within(needed(limit), groups, asked, available, "cpu").expect("room");
            assert_eq!(
                (found.at_once, found.bytes),
                (at_once, 100 + 10 * at_once as u64),
                "{groups} {asked}"
            );
            assert_eq!(found.ranges().flatten().collect::<Vec<usize>>(), (0..groups).collect::<Vec<usize>>());
            assert_eq!(found.ranges().count(), found.count());
        }
    }

    #[test]
    fn what_has_no_room_is_refused() {
        let error = within(needed(99), 7, 0, Some(109), "cpu").expect_err("one group is too much");
        assert!(
            error.to_string().starts_with("memory of cpu: found 109 bytes free, wanted 110 for a group"),
            "{error}"
        );
        let error = within(needed(99), 7, 3, Some(129), "cpu").expect_err("three are asked for");
        assert!(error.to_string().contains("wanted 130 for 3 groups at once"), "{error}");
        assert!(within(needed(0), 7, 0, None, "cpu").is_err());
        assert!(within(needed(2), 7, 3, None, "cpu").is_err());
    }
}
