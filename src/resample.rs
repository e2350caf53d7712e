//! Resampling on its own, of weights from anywhere: docs/maths.md (6).

use feynkac_kernels::device::Device;
use feynkac_kernels::passes::resample::Alone;
use feynkac_kernels::passes::weights::{LARGEST_LOG_WEIGHT, RECORD, Weights};
use feynkac_kernels::prims::state::{BLOCK, Population};

use crate::error::{Error, Result};
use crate::registry::Scheme;
use crate::run::group_seed;

/// What is known of particles, `[groups, K]` row-major.
#[derive(Clone, Copy, Debug)]
pub enum Given<'a> {
    /// Weights of any scale: finite, not negative. Below 2^-126 they count as zero.
    Weights(&'a [f32]),
    /// Logarithms of weights, at most 9e7; minus infinity, and all below -9e7, is a weight of zero.
    LogWeights(&'a [f32]),
}

impl Given<'_> {
    fn values(&self) -> &[f32] {
        match self {
            Given::Weights(w) | Given::LogWeights(w) => w,
        }
    }

    /// What is wrong with a value.
    fn refused(&self, value: f32) -> bool {
        match self {
            Given::Weights(_) => !(value.is_finite() && value >= 0.0),
            Given::LogWeights(_) => value.is_nan() || value > LARGEST_LOG_WEIGHT,
        }
    }

    fn is_zero(&self, value: f32) -> bool {
        match self {
            Given::Weights(_) => value < f32::MIN_POSITIVE,
            Given::LogWeights(_) => value < -LARGEST_LOG_WEIGHT,
        }
    }

    fn check(&self, groups: usize) -> Result<usize> {
        let values = self.values();
        let (one, wanted) = match self {
            Given::Weights(_) => ("weight", "finite numbers, at least 0"),
            Given::LogWeights(_) => {
                ("log-weight", "numbers of at most 9e7; minus infinity is a weight of zero")
            }
        };
        if groups == 0 {
            return Err(Error::input("groups", 0, "at least 1"));
        }
        if values.is_empty() || !values.len().is_multiple_of(groups) {
            let wanted =
                if groups == 1 { "at least 1".to_owned() } else { format!("as many for each of {groups}") };
            return Err(Error::input(format!("{one}s"), values.len(), wanted));
        }
        let slots = values.len() / groups;
        if slots > 1 << 28 {
            return Err(Error::input(format!("{one}s of a group"), slots, "1 to 2^28"));
        }
        if let Some(at) = values.iter().position(|&w| self.refused(w)) {
            return Err(Error::input(format!("{one} {at}"), values[at], wanted));
        }
        let dead = values.chunks_exact(slots).position(|group| group.iter().all(|&w| self.is_zero(w)));
        if let Some(group) = dead {
            let what = if groups == 1 { format!("{one}s") } else { format!("{one}s of group {group}") };
            return Err(Error::input(what, "zero for every particle", "one that is not"));
        }
        Ok(slots)
    }
}

/// Ancestors of every slot, `[groups, K]`, each a place 0 to K - 1 within its group, drawn by `scheme` with
/// probabilities in proportion to the weights. Group g of several draws with a seed of its own derived from
/// `seed`, so that it does not depend on the groups beside it. The same arguments give the same ancestors on
/// every device, where weights and not logarithms are given; logarithms to rounding.
///
/// # Errors
///
/// [`Error::Input`] names what cannot be resampled: no groups, no weights, a number of them that the groups do
/// not divide, a weight that is negative, infinite or not a number, a group of zeros, a number of steps out of
/// range. [`Error::Device`] where the device fails, or binds smaller buffers.
///
/// ```
/// use feynkac::kernels::device::{Device, Request};
/// use feynkac::{Given, Scheme, resample};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let device = Device::open("cpu".parse::<Request>()?)?;
/// let parents = resample(&device, Given::Weights(&[0.0, 3.0, 1.0, 0.0]), 1, Scheme::Systematic, 7)?;
/// assert_eq!(parents, [1, 1, 1, 2]);
/// # Ok(())
/// # }
/// ```
pub fn resample(
    device: &Device,
    given: Given<'_>,
    groups: usize,
    scheme: Scheme,
    seed: u64,
) -> Result<Vec<u32>> {
    scheme.check()?;
    if scheme.jumps() {
        return Err(Error::input(
            "scheme",
            format!("{scheme:?}"),
            "one that resamples: this one is for runs",
        ));
    }
    let slots = given.check(groups)?;
    let (kind, none) = match given {
        Given::Weights(_) => (Weights::Linear, 0.0),
        Given::LogWeights(_) => (Weights::Log, f32::NEG_INFINITY),
    };
    let of = Population {
        groups,
        slots,
        dim: 1,
        lanes: device.lanes_for(slots, 1),
        max_block: device.block_for(BLOCK, slots),
    };
    let mut padded = Vec::with_capacity(of.stride());
    for group in given.values().chunks_exact(slots) {
        padded.extend_from_slice(group);
        padded.resize(padded.len().next_multiple_of(of.padded()), none);
    }
    let seeds: Vec<u64> = (0..groups).map(|g| group_seed(seed, g)).collect();
    // Every group is resampled: no ESS is as large as twice the particles.
    let alone = Alone::new(device, scheme.kernel(), (kind, &padded), of, &seeds, 2.0)?;
    alone.launch(device)?;
    let found = device.download(&alone.ancestors)?;
    let decisions = device.download(&alone.norms)?;
    if let Some(group) = decisions.chunks_exact(RECORD).position(|record| record[3] < 0.5) {
        let what = format!("weights of group {group}");
        return Err(Error::input(what, "none that counts", "one above zero, and no NaN"));
    }
    Ok(found.chunks_exact(of.padded()).flat_map(|group| group[..slots].iter().copied()).collect())
}
