//! A score that was evaluated elsewhere: by a network, or by a foreign model.

use cubecl::prelude::*;

use super::{Here, ModelKey, Models, Score, extent, put_score};

/// Reads rows `[particles, dim]`, row-major, of `params`.
pub struct Buffer;

/// What stands beside the rows of a model that says more than its score: the log-density of each particle (`which` 0), or
/// the Laplacian of that (1), pairs behind all rows.
#[cube]
pub fn told<N: Size>(
    here: &Here<N>,
    models: &Models,
    #[comptime] index: usize,
    #[comptime] which: usize,
) -> Vector<f32, N> {
    let first = models.map[comptime!(2 + 3 * index)] as usize;
    let mut all = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for lane in 0..N::value() {
        if here.occupied.extract(lane) {
            let row = (here.particle + comptime!(lane as u32)) as usize;
            all.insert(lane, models.params[first + 2 * row + which]);
        }
    }
    all
}

/// Puts the rows `[particles, dim]` of `from`, from element `first` on, in the place of score number `to`.
#[cube]
pub fn put_rows<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    from: &[f32],
    first: usize,
    #[comptime] to: usize,
    #[comptime] key: ModelKey,
) {
    put_rows_apart::<N>(here, scratch, from, first, 1usize, to, key)
}

/// The same of rows of which each begins `apart` rows after the one before it.
#[cube]
pub fn put_rows_apart<N: Size>(
    here: &mut Here<N>,
    scratch: &mut [f32],
    from: &[f32],
    first: usize,
    #[comptime] apart: usize,
    #[comptime] to: usize,
    #[comptime] key: ModelKey,
) {
    let dim = extent(here.dim, key.registers);
    #[unroll(key.registers > 0)]
    for k in 0..dim {
        let mut row = Vector::<f32, N>::new(0.0f32);
        #[unroll]
        for lane in 0..N::value() {
            if here.occupied.extract(lane) {
                let particle = (here.particle + comptime!(lane as u32)) as usize;
                row.insert(lane, from[first + particle * apart * dim + k]);
            }
        }
        put_score::<N>(here, scratch, to, k, row, key);
    }
}

#[cube]
impl Score for Buffer {
    fn evaluate<N: Size>(
        here: &mut Here<N>,
        scratch: &mut [f32],
        models: &Models,
        #[comptime] index: usize,
        #[comptime] key: ModelKey,
    ) -> Vector<f32, N> {
        let first = models.map[comptime!(1 + 3 * index)] as usize;
        put_rows::<N>(here, scratch, &models.params, first, index, key);
        Vector::new(0.0f32)
    }

    fn laplacian<N: Size>(
        _here: &mut Here<N>,
        _scratch: &[f32],
        _models: &Models,
        #[comptime] _index: usize,
        #[comptime] _key: ModelKey,
    ) -> Vector<f32, N> {
        Vector::new(0.0f32)
    }

    /// What came back through the network from that vector: rows that the last number of the map leads to.
    fn bend<N: Size>(
        here: &mut Here<N>,
        scratch: &mut [f32],
        models: &Models,
        #[comptime] index: usize,
        #[comptime] _from: usize,
        #[comptime] to: usize,
        #[comptime] key: ModelKey,
    ) {
        let first = models.map[comptime!(3 + 3 * index)] as usize;
        put_rows::<N>(here, scratch, &models.params, first, to, key);
    }
}
