//! From weights to rows in one launch, against its three passes in one launch each.

use feynkac::kernels::device::Device;
use feynkac::kernels::methods::{ESS_SHARE, ROW};
use feynkac::kernels::passes::gather;
use feynkac::kernels::passes::resample::{Resampling, Scheme};
use feynkac::kernels::passes::survivors::{self, Rows};
use feynkac::kernels::passes::weights::{RECORD, Weights};
use feynkac::kernels::prims::state::{BLOCK, Population};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::resample::resampled;

on_every_device! { rows_are_those_of_three_launches, what_does_not_fit_is_refused }

const STEP: usize = 3;

fn rows_are_those_of_three_launches(device: &Device) {
    // (groups, slots, dim, launches): around the sizes at which crews and pieces of rows change.
    let mut cases =
        vec![(1, 1, 1), (1, 5, 3), (3, 100, 2), (40, 130, 5), (1, 4096, 64), (2, 4097, 2), (1, 70_001, 1)];
    cases.push((700, 3, 4));
    for (groups, slots, dim) in cases {
        for share in [2.0, 0.4] {
            one_case(device, groups, slots, dim, share);
        }
    }
}

fn one_case(device: &Device, groups: usize, slots: usize, dim: usize, share: f32) {
    let what = format!("{groups} groups of {slots}, {dim} numbers, share {share}");
    let of = Population { groups, slots, dim, lanes: device.lanes_for(slots, dim), max_block: BLOCK };
    let mut rng = StdRng::seed_from_u64((slots + dim) as u64);
    // Every other group is nearly even, and stays as it is at the smaller share.
    let spread = |group: usize| if group.is_multiple_of(2) { 2.5_f32 } else { 0.1 };
    let values: Vec<f32> =
        (0..of.stride()).map(|i| spread(i / of.padded()) * rng.random_range(-1.0..1.0_f32)).collect();
    let rows: Vec<f32> = (0..of.particles() * dim).map(|i| i as f32).collect();
    let seeds: Vec<u64> = (0..groups as u64).map(|g| 77 + g).collect();
    let apart = resampled(device, (Weights::Log, &values), &of, &seeds, share, 0);

    let mut table = vec![0.0_f32; (STEP + 1) * ROW];
    table[STEP * ROW + ESS_SHARE] = share;
    let words: Vec<u32> = seeds.iter().flat_map(|s| [*s as u32, (*s >> 32) as u32]).collect();
    let values = device.upload("weights", &values).expect("an upload");
    let records = device.empty("records", RECORD * groups * of.blocks()).expect("a buffer");
    let coeffs = device.upload("coefficients", &table).expect("an upload");
    let norms = device.empty("norms", RECORD * groups).expect("a buffer");
    let history = device.upload("history", &vec![0.0_f32; RECORD * groups * (STEP + 1)]).expect("an upload");
    let seeds = device.upload("seeds", &words).expect("an upload");
    let ancestors = device.upload("ancestors", &vec![0_u32; of.stride()]).expect("an upload");
    let input = device.upload("rows", &rows).expect("an upload");
    let out = device.empty("gathered rows", rows.len()).expect("a buffer");
    let resampling = Resampling {
        scheme: Scheme::Systematic,
        parts: &records,
        kind: Weights::Log,
        values: &values,
        records: &records,
        coeffs: &coeffs,
        norms: &norms,
        history: &history,
        seeds: &seeds,
        ancestors: &ancestors,
        of: &of,
    };
    device.sync().expect("sync");
    let before = device.counts().launches;
    survivors::launch(device, &resampling, &Rows { rows: &input, out: &out }, STEP).expect("a launch");
    let launches = device.counts().launches - before;
    assert_eq!(launches, if device.is_cpu() || slots <= 4096 { 1 } else { 3 }, "{what}");

    let found = device.download(&ancestors).expect("ancestors");
    assert_eq!(device.download(&norms).expect("norms"), apart.norms, "{what}");
    assert_eq!(device.download(&history).expect("history"), apart.history, "{what}");
    let copied = device.download(&out).expect("rows");
    for group in 0..groups {
        let own = &found[group * of.padded()..][..slots];
        assert_eq!(own, &apart.ancestors[group * of.padded()..][..slots], "{what}");
        let range = group * slots * dim..(group + 1) * slots * dim;
        assert_eq!(copied[range.clone()], gather::oracle::gather(&rows[range], dim, own)[..], "{what}");
    }
    let kept = apart.norms.chunks_exact(RECORD).filter(|r| r[3] == 0.0).count();
    if groups > 1 && slots > 3 {
        assert_eq!(kept > 0, share < 1.0, "{what}: {kept} groups kept");
    }
}

fn what_does_not_fit_is_refused(device: &Device) {
    let of = Population { groups: 1, slots: 64, dim: 2, lanes: device.lanes_for(64, 2), max_block: BLOCK };
    let floats = |n: usize| device.empty::<f32>("numbers", n).expect("a buffer");
    let words = |n: usize| device.empty::<u32>("words", n).expect("a buffer");
    let (values, records, ancestors) = (floats(of.stride()), words(RECORD), words(of.stride()));
    let (coeffs, norms, history, seeds) = (floats(ROW), floats(RECORD), floats(RECORD), words(2));
    let (rows, short) = (floats(128), floats(127));
    let resampling = Resampling {
        scheme: Scheme::Systematic,
        parts: &records,
        kind: Weights::Log,
        values: &values,
        records: &records,
        coeffs: &coeffs,
        norms: &norms,
        history: &history,
        seeds: &seeds,
        ancestors: &ancestors,
        of: &of,
    };
    let refused = |rows, out| {
        let error = survivors::launch(device, &resampling, &Rows { rows, out }, 0);
        error.expect_err("a refusal").to_string()
    };
    assert!(refused(&short, &rows).contains("127"), "{}", refused(&short, &rows));
    assert!(refused(&rows, &short).contains("gathered rows"), "{}", refused(&rows, &short));
}
