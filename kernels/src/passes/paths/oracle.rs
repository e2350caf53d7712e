//! The same, plainly.

/// Slots through which the particle came that is in slot `end` after the last step, from the start on. `parents[s]` are
/// those that step s chose.
pub fn slots(parents: &[Vec<u32>], end: usize) -> Vec<usize> {
    let mut slots = vec![end];
    // The choice of the last step concerns nobody who is there.
    for row in parents[..parents.len() - 1].iter().rev() {
        slots.push(row[slots[slots.len() - 1]] as usize);
    }
    slots.push(slots[slots.len() - 1]);
    slots.reverse();
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Two steps: who is in slot 0 after the second came from slot 2, which step 0 chose, and started there.
        assert_eq!(slots(&[vec![2, 1, 1], vec![1, 1, 1]], 0), [2, 2, 0]);
        assert_eq!(slots(&[vec![0, 0, 0]], 1), [1, 1]);
    }
}
