//! The schemes, and the numbers that are part of their definition.

/// How ancestors are drawn: docs/maths.md (6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// One offset, evenly spaced points.
    Systematic,
    /// A point of its own in each of K equal strata.
    Stratified,
    /// K independent points.
    Multinomial,
    /// The whole parts of K W, then independent points on what is left.
    Residual,
    /// So many Metropolis steps from the slot's own particle; biased.
    Metropolis(u32),
    /// Metropolis steps whose proposals share an offset; biased.
    Megopolis(u32),
    /// Own particle or uniform ones until one is accepted.
    Rejection,
    /// K - 1 independent points for the other slots, given that slot 0 keeps its particle.
    ConditionalMultinomial,
    /// A comb whose slots begin at a random tooth, given that slot 0 keeps its particle.
    ConditionalSystematic,
}

/// Steps of the Metropolis schemes where nothing else is asked for.
pub const CHAIN_STEPS: u32 = 32;
/// And at most.
pub const MOST_CHAIN_STEPS: u32 = 1 << 16;
/// Trials of rejection; then one independent point ends it, which has the same law.
pub const TRIALS: u32 = 64;
/// Proposals of Megopolis move segments of so many slots, where they divide the group.
pub const SEGMENT: u32 = 32;
/// Independent points of a leaf at most, on average.
const LEAF: usize = 512;

/// Halvings of a group of `slots`, so that a leaf has at most 512 points on average.
pub fn depth(slots: usize) -> u32 {
    slots.div_ceil(LEAF).next_power_of_two().trailing_zeros()
}

/// What the random words of a resampling are for: iterations below RESAMPLE, docs/maths.md (2).
pub(crate) mod iteration {
    /// The offset of a slot; slot 0 has that of systematic resampling.
    pub const OFFSET: u32 = 0;
    /// Bits of the binomial tree.
    pub const TREE: u32 = 1;
    /// Proposals and tests of a slot.
    pub const CHAIN: u32 = 2;
    /// Offsets that all slots share.
    pub const SHARED: u32 = 3;
    /// Who dies of birth and death.
    pub const DEATH: u32 = 4;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_small() {
        for (slots, halvings) in [(1, 0), (512, 0), (513, 1), (1024, 1), (1025, 2), (1 << 20, 11)] {
            assert_eq!(depth(slots), halvings, "{slots}");
            assert!(slots <= LEAF << depth(slots));
        }
    }
}
