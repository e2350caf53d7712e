//! Where particles live. A method speaks in tangent coordinates, the space does the moving.

use cubecl::prelude::*;

/// A space in which one element has [`Space::ambient`] stored numbers and [`Space::tangent`]
/// tangent coordinates.
#[cube]
pub trait Space: 'static + Send + Sync {
    /// Stored numbers of one element.
    fn ambient() -> comptime_type!(usize);
    /// Tangent coordinates of one element.
    fn tangent() -> comptime_type!(usize);
    /// Moves `point` (of `ambient` numbers) by `step` (of `tangent` numbers), after scaling it by
    /// `shrink`, the linear drift that only a vector space has.
    fn retract<N: Size>(
        point: &mut Array<Vector<f32, N>>,
        step: &Array<Vector<f32, N>>,
        shrink: Vector<f32, N>,
    );
}

/// Euclidean space, one coordinate an element.
pub struct Euclid;

#[cube]
impl Space for Euclid {
    fn ambient() -> comptime_type!(usize) {
        1usize
    }

    fn tangent() -> comptime_type!(usize) {
        1usize
    }

    fn retract<N: Size>(
        point: &mut Array<Vector<f32, N>>,
        step: &Array<Vector<f32, N>>,
        shrink: Vector<f32, N>,
    ) {
        point[0] = fma(shrink, point[0], step[0]);
    }
}
