//! Positions that are kept, and paths through them.

use feynkac::kernels::device::Device;
use feynkac::kernels::passes::Number;
use feynkac::kernels::passes::paths::{self, oracle};
use feynkac::kernels::passes::step::{Carried, Cells, Keeps};
use feynkac::kernels::prims::state::{Element, Population};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

on_every_device! { paths_are_those_of_the_oracle, bad_arguments }

const KEEPS: Keeps = Keeps {
    models: 1,
    carried: false,
    follows: false,
    ladder: false,
    estimated: 0,
    twist: None,
    handed: false,
    weighed: true,
    exact: false,
    roots: false,
    element: Element::F32,
};

fn population(device: &Device, groups: usize, slots: usize, dim: usize) -> Population {
    Population { groups, slots, dim, lanes: device.lanes_for(slots, dim), max_block: 1024 }
}

/// What every cell holds: its level, group, slot and coordinate.
fn cell(level: usize, group: usize, slot: usize, k: usize) -> f32 {
    (1000 * level + 100 * group) as f32 + slot as f32 / 64.0 + (k * 7) as f32
}

fn paths_are_those_of_the_oracle(device: &Device) {
    for (groups, slots, dim, steps) in [(1, 1, 1, 1), (2, 5, 3, 4), (3, 33, 1, 7), (1, 1500, 2, 3)] {
        let of = population(device, groups, slots, dim);
        let rows = Cells::new(device, "rows", (steps + 1) * dim * of.stride(), Element::F32).expect("rows");
        for level in 0..=steps {
            let mut x = vec![-1.0_f32; dim * of.stride()];
            for (g, slot) in (0..groups).flat_map(|g| (0..slots).map(move |slot| (g, slot))) {
                for k in 0..dim {
                    x[of.cell(device.layout(), dim, k, g * of.padded() + slot)] = cell(level, g, slot, k);
                }
            }
            let blank = Carried::new(device, &of, &KEEPS).expect("buffers");
            // Every other level is told by a cell.
            let from = Carried {
                x: Cells::F32(device.upload("x", &x).expect("positions")),
                clock: device.upload("level", &[level as u32]).expect("a cell"),
                ..blank
            };
            let number = if level % 2 == 0 { Number::Given(level) } else { Number::Kept(&from.clock) };
            paths::keep(device, &from, &rows, &KEEPS, &of, number).expect("a launch");
        }
        let mut rng = StdRng::seed_from_u64(slots as u64);
        let parents: Vec<Vec<Vec<u32>>> = (0..steps)
            .map(|_| {
                (0..groups).map(|_| (0..slots).map(|_| rng.random_range(0..slots as u32)).collect()).collect()
            })
            .collect();
        let flat: Vec<u32> = parents
            .iter()
            .flatten()
            .flat_map(|row| row.iter().copied().chain(vec![0; of.padded() - slots]))
            .collect();
        let genealogy = device.upload("parents", &flat).expect("an upload");
        for each in [1, 3] {
            let ends: Vec<u32> = (0..groups * each).map(|_| rng.random_range(0..slots as u32)).collect();
            let out = paths::trace(device, &rows, &genealogy, &ends, &KEEPS, &of, steps).expect("a launch");
            let out = device.download(&out).expect("paths");
            for (path, &end) in ends.iter().enumerate() {
                let g = path / each;
                let own: Vec<Vec<u32>> = parents.iter().map(|step| step[g].clone()).collect();
                for (level, slot) in oracle::slots(&own, end as usize).into_iter().enumerate() {
                    for k in 0..dim {
                        let found = out[(level * ends.len() + path) * dim + k];
                        assert_eq!(found, cell(level, g, slot, k), "path {path} at level {level}");
                    }
                }
            }
        }
    }
}

fn bad_arguments(device: &Device) {
    let of = population(device, 2, 5, 1);
    let from = Carried::new(device, &of, &KEEPS).expect("buffers");
    let rows = Cells::new(device, "rows", 2 * of.stride(), Element::F32).expect("rows");
    let parents = device.upload("parents", &vec![0_u32; of.stride()]).expect("parents");
    let error = paths::keep(device, &from, &rows, &KEEPS, &of, Number::Given(2)).expect_err("too short");
    assert!(error.to_string().contains("positions of all steps"), "{error}");
    for (ends, word) in
        [(&[][..], "ends of paths"), (&[1, 2, 3][..], "ends of paths"), (&[1, 5][..], "end of a path")]
    {
        let error = paths::trace(device, &rows, &parents, ends, &KEEPS, &of, 1).expect_err("bad ends");
        assert!(error.to_string().contains(word), "{error}");
    }
    let error = paths::trace(device, &rows, &parents, &[1, 2], &KEEPS, &of, 2).expect_err("too many steps");
    assert!(error.to_string().contains("positions of all steps"), "{error}");
}
