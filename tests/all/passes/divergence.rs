//! Probes of divergences, against their oracle: a field of which the network is a matrix.

use feynkac::kernels::device::Device;
use feynkac::kernels::passes::Number;
use feynkac::kernels::passes::divergence::oracle::{probe, tally};
use feynkac::kernels::passes::divergence::{Along, Probes, Tally};

on_every_device! { vectors_and_their_tallies }

/// Groups, odd sizes, both kinds, cells apart.
pub fn vectors_and_their_tallies(device: &Device) {
    let seeds: Vec<u64> = vec![11, 1 << 40, u64::MAX - 5];
    let keys: Vec<u32> = seeds.iter().flat_map(|s| [*s as u32, (s >> 32) as u32]).collect();
    let keys = device.upload("seeds", &keys).expect("an upload");
    for (slots, dim) in [(1, 1), (5, 3), (130, 6)] {
        let count = 3 * slots;
        let matrix = |i: usize, j: usize| ((3 * i + 7 * j) % 5) as f64 - 1.5;
        for along in [Along::Axes, Along::Signs(1), Along::Signs(4)] {
            let probes = Probes::new(device, along, count, dim, slots).expect("probes");
            let told = device.upload("told", &vec![7.0; 2 * count + 1]).expect("an upload");
            let mut found = vec![Vec::new(); count];
            for at in 0..probes.count() {
                probes.probe(device, &keys, at, count, Number::Given(9)).expect("a launch");
                let vectors = device.download(probes.vectors()).expect("vectors");
                let mut came = Vec::new();
                for (i, v) in vectors.chunks(dim).enumerate() {
                    let wanted = probe(along, seeds[i / slots], ((i % slots) as u32, 9, at), dim);
                    assert!(v.iter().zip(&wanted).all(|(v, w)| f64::from(*v) == *w), "{v:?}, {wanted:?}");
                    let back: Vec<f64> =
                        (0..dim).map(|j| (0..dim).map(|i| matrix(i, j) * wanted[i]).sum()).collect();
                    found[i].push(back.iter().zip(&wanted).map(|(b, v)| b * v).sum::<f64>());
                    came.extend(back.iter().map(|b| *b as f32));
                }
                let came = device.upload("came", &came).expect("an upload");
                let to = Tally { came: &came, told: &told, first: 1, apart: 2 };
                probes.tally(device, to, at, count).expect("a launch");
            }
            let (told, sums) =
                (device.download(&told).expect("told"), device.download(probes.sums()).expect("sums"));
            for (i, found) in found.iter().enumerate() {
                let (mean, variance) = tally(along, found);
                // small halves throughout: exact in f32 but for the divisions
                let spread = if variance.is_nan() { 0.0 } else { variance };
                let slack = 4.0 * f64::from(f32::EPSILON) * (1.0 + mean.abs() + spread);
                assert!((f64::from(told[1 + 2 * i]) - mean).abs() <= slack, "{along:?}: {i}");
                assert_eq!(told[2 * i], 7.0, "cells between are not touched");
                let own = f64::from(sums[2 * i + 1]);
                assert!(
                    variance.is_nan() && own == 0.0 || (own - variance).abs() <= slack,
                    "{along:?}: {own}, {variance}"
                );
            }
            assert!(probes.probe(device, &keys, probes.count(), count, Number::Given(0)).is_err());
            assert!(probes.probe(device, &keys, 0, 3 * count, Number::Given(0)).is_err());
        }
    }
}
