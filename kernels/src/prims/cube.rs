//! Reduce and scan inside one cube, over any [`Monoid`], in shared memory: any plane width, any
//! number of units.

use cubecl::prelude::*;

use crate::prims::monoid::Monoid;

/// The product of the lanes, in their order.
#[cube]
pub fn across<M: Monoid<Item = f32>, N: Size>(lanes: Vector<f32, N>) -> f32 {
    let mut all = lanes.extract(0usize);
    #[unroll]
    for lane in 1..N::value() {
        all = M::combine(&all, &lanes.extract(lane));
    }
    all
}

/// The product of every unit's item, in unit order; every unit gets it. `memory` holds an element
/// a unit. Must be reached by all units of the cube.
#[cube]
pub fn reduce<M: Monoid>(item: M::Item, memory: &mut [u32], #[comptime] units: u32) -> M::Item {
    M::store(memory, UNIT_POS as usize, &item);
    sync_cube();
    let mut reach = comptime!(units.next_power_of_two() / 2).runtime();
    while reach > 0u32 {
        if UNIT_POS < reach && UNIT_POS + reach < units {
            let here = M::load(&*memory, UNIT_POS as usize);
            let there = M::load(&*memory, (UNIT_POS + reach) as usize);
            M::store(memory, UNIT_POS as usize, &M::combine(&here, &there));
        }
        sync_cube();
        reach /= 2u32;
    }
    let all = M::load(&*memory, 0usize);
    sync_cube();
    all
}

/// The product of the items of units 0 to this one. Must be reached by all units of the cube.
#[cube]
pub fn scan<M: Monoid>(item: M::Item, memory: &mut [u32], #[comptime] units: u32) -> M::Item {
    M::store(memory, UNIT_POS as usize, &item);
    sync_cube();
    let mut reach = 1u32.runtime();
    while reach < units {
        let before = UNIT_POS >= reach;
        let from = select(before, UNIT_POS - reach, UNIT_POS);
        let earlier = M::load(&*memory, from as usize);
        let here = M::load(&*memory, UNIT_POS as usize);
        sync_cube();
        if before {
            M::store(memory, UNIT_POS as usize, &M::combine(&earlier, &here));
        }
        sync_cube();
        reach *= 2u32;
    }
    let through = M::load(&*memory, UNIT_POS as usize);
    sync_cube();
    through
}
