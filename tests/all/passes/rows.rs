//! Passes that only move rows: exact.

use feynkac::kernels::device::Device;
use feynkac::kernels::passes::copy::copy;
use feynkac::kernels::passes::gather::{gather, oracle};
use feynkac::kernels::prims::state::{BLOCK, Population};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

on_every_device! { copies_are_copies, gathered_rows_are_those_of_their_parents }

fn copies_are_copies(device: &Device) {
    for n in [64, 4096, 100_032] {
        let numbers: Vec<f32> = (0..n).map(|i| i as f32).collect();
        let from = device.upload("numbers", &numbers).expect("an upload");
        let to = device.upload("copy", &vec![-1.0_f32; n]).expect("an upload");
        copy(device, &from, &to, 0).expect("a launch");
        assert_eq!(device.download(&to).expect("a read"), numbers, "{n} numbers");
    }
    // Into the middle, at odd places.
    for (n, first, len) in [(1, 0, 1), (65, 3, 70), (64, 64, 192), (64, 1, 128)] {
        let numbers: Vec<f32> = (0..n).map(|i| i as f32).collect();
        let from = device.upload("numbers", &numbers).expect("an upload");
        let to = device.upload("copy", &vec![-1.0_f32; len]).expect("an upload");
        copy(device, &from, &to, first).expect("a launch");
        let mut wanted = vec![-1.0; len];
        wanted[first..first + n].copy_from_slice(&numbers);
        assert_eq!(device.download(&to).expect("a read"), wanted, "{n} numbers from {first} on");
    }
    let [few, more] = [64, 65].map(|n| device.empty::<f32>("numbers", n).expect("a buffer"));
    for (from, first) in [(&more, 0), (&few, 1)] {
        assert!(
            copy(device, from, &few, first).expect_err("a refusal").to_string().starts_with("copy: found 64")
        );
    }
}

fn gathered_rows_are_those_of_their_parents(device: &Device) {
    let mut rng = StdRng::seed_from_u64(3);
    for (groups, slots) in [(1, 1), (1, 70), (3, 7), (2, 5000)] {
        for dim in [1, 2, 3, 4, 6, 8, 16, 24, 64] {
            let of = Population { groups, slots, dim, lanes: device.lanes_for(slots, dim), max_block: BLOCK };
            let rows: Vec<f32> = (0..of.particles() * dim).map(|i| i as f32).collect();
            let parents: Vec<u32> = (0..of.stride()).map(|_| rng.random_range(0..slots as u32)).collect();
            let input = device.upload("rows", &rows).expect("an upload");
            let ancestors = device.upload("ancestors", &parents).expect("an upload");
            let out = device.upload("gathered rows", &vec![-1.0_f32; rows.len()]).expect("an upload");
            gather(device, &input, &ancestors, &out, &of).expect("a launch");
            let found = device.download(&out).expect("rows");
            for group in 0..groups {
                let range = group * slots * dim..(group + 1) * slots * dim;
                let wanted =
                    oracle::gather(&rows[range.clone()], dim, &parents[group * of.padded()..][..slots]);
                assert_eq!(found[range], wanted[..], "{groups} groups of {slots}, {dim} numbers a row");
            }
        }
    }
}
