//! Plain loops.

/// Row `ancestors[i]` of one group's `rows` for each i.
pub fn gather(rows: &[f32], dim: usize, ancestors: &[u32]) -> Vec<f32> {
    ancestors.iter().flat_map(|&a| rows[a as usize * dim..(a as usize + 1) * dim].iter().copied()).collect()
}
