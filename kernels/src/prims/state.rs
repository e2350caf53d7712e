//! How particles lie in memory; the one place that knows.
//!
//! Slot `i` of group `g` is at position `g * padded + i`: groups side by side, each padded to whole
//! vectors. Where row `k` of a position lies, [`Layout`] says. Sums are taken over blocks of
//! [`Shape::block`] slots of one group, then over the blocks in order, so no result depends on
//! how many cubes or threads ran.

use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::*;

use crate::prims::fixed::weight_bits;

/// How the rows of a matrix of coordinates (rows by positions) lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Row after row: neighbours in memory are neighbouring particles. For units side by side.
    Columns,
    /// Tiles of one vector of positions, in a tile row after row: a particle's coordinates stay
    /// close together. For units that take a vector at a time.
    Tiles,
}

/// How a coordinate or a carried score is kept in memory; in registers it is an f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// 32 bits.
    F32,
    /// 16 bits: 11 of precision, up to 65,504. The nearest is kept.
    F16,
}

impl Element {
    /// Bytes of one.
    pub fn bytes(self) -> usize {
        match self {
            Element::F32 => 4,
            Element::F16 => 2,
        }
    }

    /// Its name in the compiler.
    pub fn kind(self) -> ElemType {
        ElemType::Float(match self {
            Element::F32 => FloatKind::F32,
            Element::F16 => FloatKind::F16,
        })
    }
}

impl std::fmt::Display for Element {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Element::F32 => "f32",
            Element::F16 => "f16",
        })
    }
}

/// A matrix of coordinates.
#[derive(CubeType, Clone, Copy)]
pub struct Grid {
    /// Rows.
    pub rows: usize,
    /// Positions.
    pub stride: usize,
}

/// Sizes of a population, as every kernel sees them.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub struct Shape {
    /// Independent groups.
    pub groups: u32,
    /// Particles of a group.
    pub slots: u32,
    /// Slots reserved for a group: `slots` rounded up to whole vectors.
    pub padded: u32,
    /// Coordinates of a particle.
    pub dim: u32,
    /// Slots of a block, a multiple of the vector width.
    pub block: u32,
    /// Blocks of a group.
    pub blocks: u32,
    /// What a block's largest weight is in units of its integers, but for a factor in [0.7, 2).
    pub unit: f32,
    /// Bits by which the integers of a group's blocks are shifted, so that their sum fits.
    pub spare: u32,
}

/// The same sizes on the host, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Population {
    /// Independent groups, at least 1.
    pub groups: usize,
    /// Particles of a group, at least 1.
    pub slots: usize,
    /// Coordinates of a particle, at least 1.
    pub dim: usize,
    /// Particles side by side in one vector.
    pub lanes: usize,
    /// Largest block; the blocks of smaller groups are smaller, those of groups of more than
    /// [`MAX_BLOCKS`] times as many slots larger.
    pub max_block: usize,
}

/// Blocks of one group at most: the records of all fit in the shared memory of a cube.
pub const MAX_BLOCKS: usize = 1024;

/// Blocks of a group at least, where they are not smaller than [`SMALL_BLOCK`] for it.
const SHARES: usize = 8;
/// Slots of a block, for all that.
const SMALL_BLOCK: usize = 128;

/// Slots in a block where nothing else is asked for, in groups that are not small.
pub const BLOCK: usize = 1024;

impl Population {
    /// Slots reserved for one group.
    pub fn padded(&self) -> usize {
        self.slots.next_multiple_of(self.lanes)
    }

    /// Slots of all groups with their padding: the distance between two coordinates.
    pub fn stride(&self) -> usize {
        self.groups * self.padded()
    }

    /// Slots of one block: fewer in small groups, so that there is work for several workers.
    pub fn block(&self) -> usize {
        let shared = self.padded().div_ceil(SHARES).max(SMALL_BLOCK);
        let least = self.padded().div_ceil(MAX_BLOCKS).next_power_of_two();
        self.padded().min(self.max_block.min(shared).max(least).next_multiple_of(self.lanes))
    }

    /// Bits lost when the blocks of a group are added up.
    pub fn spare_bits(&self) -> u32 {
        self.blocks().next_power_of_two().trailing_zeros()
    }

    /// Where row `row` of `rows` lies at position `at`.
    pub fn cell(&self, layout: Layout, rows: usize, row: usize, at: usize) -> usize {
        match layout {
            Layout::Columns => row * self.stride() + at,
            Layout::Tiles => (at / self.lanes * rows + row) * self.lanes + at % self.lanes,
        }
    }

    /// Blocks of one group.
    pub fn blocks(&self) -> usize {
        self.padded().div_ceil(self.block())
    }

    /// Particles without padding.
    pub fn particles(&self) -> usize {
        self.groups * self.slots
    }

    /// The launch argument.
    pub fn arg(&self) -> ShapeLaunch {
        ShapeLaunch::new(
            self.groups as u32,
            self.slots as u32,
            self.padded() as u32,
            self.dim as u32,
            self.block() as u32,
            self.blocks() as u32,
            f64::from(weight_bits(self.block())).exp2() as f32,
            self.spare_bits(),
        )
    }
}

#[cube]
impl Shape {
    /// Slots between two coordinates.
    pub fn stride(&self) -> usize {
        (self.groups * self.padded) as usize
    }

    /// Blocks of all groups.
    pub fn total_blocks(&self) -> u32 {
        self.groups * self.blocks
    }
}

/// A block of slots of one group, as a unit or a cube works on it.
#[derive(CubeType, Clone, Copy)]
pub struct Block {
    /// The group.
    pub group: u32,
    /// First slot within the group.
    pub first: u32,
    /// Vectors in the block (the last block of a group may be shorter).
    pub vectors: u32,
}

/// Block number `index` of all.
#[cube]
pub fn block_at<N: Size>(shape: &Shape, index: u32) -> Block {
    let group = index / shape.blocks;
    let first = (index - group * shape.blocks) * shape.block;
    let left = shape.padded - first;
    let length = if left < shape.block { left } else { shape.block };
    Block { group, first, vectors: length / N::value() as u32 }
}

/// True for the lanes that hold a particle, false in the padding.
#[cube]
pub fn occupied<N: Size>(shape: &Shape, slots: Vector<u32, N>) -> Vector<bool, N> {
    slots.less_than(&Vector::new(shape.slots))
}

/// `N` consecutive numbers starting at `at`, a multiple of `N`.
#[cube]
pub fn load<T: Scalar, N: Size>(buffer: &[T], at: usize) -> Vector<T, N> {
    buffer.as_vectorized().with_vector_size::<N>()[at / N::value()]
}

/// Stores `N` consecutive numbers starting at `at`, a multiple of `N`.
#[cube]
pub fn store<T: Scalar, N: Size>(buffer: &mut [T], at: usize, value: Vector<T, N>) {
    buffer.as_vectorized_mut().with_vector_size_mut::<N>()[at / N::value()] = value;
}

/// Row `row` of the particles at the positions from `at` on, a multiple of `N`.
#[cube]
pub fn load_row<E: Float, N: Size>(
    buffer: &[E],
    grid: &Grid,
    row: usize,
    at: usize,
    #[comptime] layout: Layout,
) -> Vector<f32, N> {
    Vector::<f32, N>::cast_from(load::<E, N>(buffer, cell::<N>(grid, row, at, layout)))
}

/// `value` as it comes back once it has been stored.
#[cube]
pub fn rounded<E: Float, N: Size>(value: Vector<f32, N>) -> Vector<f32, N> {
    Vector::<f32, N>::cast_from(Vector::<E, N>::cast_from(value))
}

/// Stores what [`load_row()`] loads.
#[cube]
pub fn store_row<E: Float, N: Size>(
    buffer: &mut [E],
    grid: &Grid,
    row: usize,
    at: usize,
    value: Vector<f32, N>,
    #[comptime] layout: Layout,
) {
    store::<E, N>(buffer, cell::<N>(grid, row, at, layout), Vector::<E, N>::cast_from(value));
}

#[cube]
fn cell<N: Size>(grid: &Grid, row: usize, at: usize, #[comptime] layout: Layout) -> usize {
    if comptime!(layout == Layout::Tiles) {
        at * grid.rows + row * N::value()
    } else {
        row * grid.stride + at
    }
}

/// Lane by lane, the number at `base` + `index`.
#[cube]
pub fn gather<T: Scalar, N: Size>(buffer: &[T], base: usize, index: Vector<u32, N>) -> Vector<T, N> {
    let mut out = Vector::<T, N>::new(buffer[base + index.extract(0usize) as usize]);
    #[unroll]
    for lane in 1..N::value() {
        out.insert(lane, buffer[base + index.extract(lane) as usize]);
    }
    out
}

/// Coordinate `k` of the particles from slot `slot` of `group` on, into rows `[particles, dim]`
/// without padding: the layout in which a model outside sees them.
#[cube]
pub fn scatter<N: Size>(
    rows: &mut [f32],
    shape: &Shape,
    group: u32,
    slot: u32,
    k: usize,
    value: Vector<f32, N>,
) {
    #[unroll]
    for lane in 0..N::value() {
        let own = slot + (lane as u32);
        if own < shape.slots {
            let row = (group * shape.slots + own) as usize;
            rows[row * shape.dim as usize + k] = value.extract(lane);
        }
    }
}

/// Where a vector of particles reads its past: at its own slots, or at its ancestors.
#[derive(CubeType, Clone, Copy)]
pub struct Past<N: Size> {
    /// Its own first position.
    pub at: usize,
    /// The group was resampled.
    pub resampled: bool,
    /// Positions of the parents, where it was.
    pub parents: Vector<u32, N>,
}

/// One number a particle, of the past.
#[cube]
pub fn recall<T: Scalar, N: Size>(buffer: &[T], past: &Past<N>) -> Vector<T, N> {
    if past.resampled { gather::<T, N>(buffer, 0usize, past.parents) } else { load::<T, N>(buffer, past.at) }
}

/// Row `row` of the past.
#[cube]
pub fn recall_row<E: Float, N: Size>(
    buffer: &[E],
    grid: &Grid,
    row: usize,
    past: &Past<N>,
    #[comptime] layout: Layout,
) -> Vector<f32, N> {
    if past.resampled {
        if comptime!(layout == Layout::Tiles) {
            // The tile of position p starts at rows * (p - p % N).
            let width = N::value() as u32;
            let within = past.parents % Vector::new(width);
            let index = (past.parents - within) * Vector::new(grid.rows as u32) + within;
            Vector::<f32, N>::cast_from(gather::<E, N>(buffer, row * N::value(), index))
        } else {
            Vector::<f32, N>::cast_from(gather::<E, N>(buffer, row * grid.stride, past.parents))
        }
    } else {
        load_row::<E, N>(buffer, grid, row, past.at, layout)
    }
}
