//! The same, plainly.

/// Parents of one group's `slots` slots, `ancestors` being there if it was `resampled`.
pub fn record(ancestors: &[u32], slots: usize, resampled: bool) -> Vec<u32> {
    (0..slots).map(|slot| if resampled { ancestors[slot] } else { slot as u32 }).collect()
}
