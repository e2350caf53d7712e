//! Plain loops.

/// Rows `[count, dim]` as `[dim][n]`: scale c x + shift, zeros beyond the last particle.
pub fn take(rows: &[f32], dim: usize, n: usize, c: f64, [scale, shift]: [f64; 2]) -> Vec<f64> {
    let mut out = vec![0.0; dim * n];
    for (i, row) in rows.chunks(dim).enumerate() {
        for (k, x) in row.iter().enumerate() {
            out[k * n + i] = scale * c * f64::from(*x) + shift;
        }
    }
    out
}

/// Rows of atoms with `space` coordinates each, less their mean.
pub fn centred(rows: &[f32], dim: usize, space: usize) -> Vec<f64> {
    let one = |(at, x): (usize, &f32)| {
        let row = &rows[at / dim * dim..][..dim];
        let line = row.iter().skip(at % dim % space).step_by(space).map(|x| f64::from(*x));
        f64::from(*x) - line.sum::<f64>() / (dim / space) as f64
    };
    rows.iter().enumerate().map(one).collect()
}

/// d x + f F of rows x `[count, dim]` and a value F `[dim][n]`.
pub fn give(rows: &[f32], value: &[f32], dim: usize, n: usize, [d, f]: [f64; 2]) -> Vec<f64> {
    let one = |(at, x): (usize, &f32)| d * f64::from(*x) + f * f64::from(value[at % dim * n + at / dim]);
    rows.iter().enumerate().map(one).collect()
}
