//! What stands around the network of an energy, against its oracle.

use feynkac::kernels::device::Device;
use feynkac::kernels::passes::Number;
use feynkac::kernels::passes::energy::oracle::{direct, seed, value};
use feynkac::kernels::passes::energy::{Energies, Energy, EnergyLevel};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::layers::wide;

on_every_device! { energies_and_gradients }

/// Factors of a Laplacian.
const LAPLACIAN: [f64; 4] = [0.5, -2.0, 1.5, 0.25];

/// Every energy, odd sizes, two conditions, a level of two, cells apart.
pub fn energies_and_gradients(device: &Device) {
    let mut rng = StdRng::seed_from_u64(3);
    let mut some = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.5..1.5)).collect() };
    let levels = [(0.5, 3.0, 0.1, 2.0), (1.25, -0.5, 7.0, -0.75)].map(|(input, factor, offset, gradient)| {
        EnergyLevel { input, told: (factor, offset), gradient, laplacian: LAPLACIAN }
    });
    for (_, energy) in Energy::NAMES {
        for (count, dim) in [(1, 1), (3, 2), (17, 5), (300, 13)] {
            let cells = 2 * count * dim;
            let (x, f, came) = (some(count * dim), some(cells), some(cells));
            let energies = Energies::new(device, energy, dim, 2, &levels).expect("energies");
            let up = |what, data: &[f32]| device.upload(what, data).expect("an upload");
            let (rows, said, slopes) = (up("rows", &x), up("said", &f), up("came", &came));
            let (back, told) = (up("back", &vec![7.0; cells]), up("told", &vec![7.0; 1 + 4 * count]));
            let out = up("out", &vec![7.0; 3 + cells]);
            let level = Number::Given(1);
            energies.seed(device, &rows, &said, &back, Some((&told, 1, 2)), count, level).expect("a launch");
            energies.gradient(device, &rows, [&said, &slopes], &out, 3, count, level).expect("a launch");
            // gradients from element 2 on, pairs behind them
            let (scores, pairs) = (some(cells), some(4 * count));
            let all = up("all", &[&[7.0, 7.0], &scores[..], &pairs[..]].concat());
            let cells_of = [2, 2 + cells];
            energies
                .laplacian(device, &rows, [&said, &slopes], &all, cells_of, count, level)
                .expect("a launch");
            let all = device.download(&all).expect("numbers");
            for row in 0..2 * count {
                let of = |v: &[f32], at: usize| wide(&v[at * dim..][..dim]);
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                let s = of(&scores, row);
                let lnq = f64::from(pairs[2 * row]);
                let wanted = LAPLACIAN[0] * dot(&of(&f, row), &of(&came, row))
                    + LAPLACIAN[1] * lnq
                    + LAPLACIAN[2] * dot(&of(&x, row % count), &s)
                    + LAPLACIAN[3]
                    - dot(&s, &s);
                let found = f64::from(all[2 + cells + 2 * row + 1]);
                let allowed = 8.0 * f64::from(f32::EPSILON) * (7.0 * dim as f64 + 4.0);
                assert!((found - wanted).abs() <= allowed, "{energy}: {found} for {wanted}");
                assert_eq!(all[2 + cells + 2 * row], pairs[2 * row], "what was told stays");
            }
            let [back, told, out] = [back, told, out].map(|b| device.download(&b).expect("numbers"));
            assert_eq!(out[..3], [7.0; 3], "nothing before the first element is touched");
            for row in 0..2 * count {
                let own = row * dim..(row + 1) * dim;
                let shown: Vec<f64> =
                    x[row % count * dim..][..dim].iter().map(|x| 1.25 * f64::from(*x)).collect();
                let f = wide(&f[own.clone()]);
                // A product and a sum a coordinate, numbers of up to 2 x 3.4: four roundings of each.
                let allowed = |size: f64| 8.0 * f64::from(f32::EPSILON) * size;
                let wanted = -0.5 * value(energy, &shown, &f) + 7.0;
                let told_of = f64::from(told[1 + 2 * row]);
                assert!((told_of - wanted).abs() <= allowed(dim as f64 * 12.0 + 7.0), "{energy}: {told_of}");
                assert!(
                    2 + 2 * row >= told.len() || told[2 + 2 * row] == 7.0,
                    "cells between are not touched"
                );
                let seeds = seed(energy, &shown, &f);
                let own_part = direct(energy, &shown, &f);
                for (k, cell) in own.enumerate() {
                    assert!((f64::from(back[cell]) - seeds[k]).abs() <= allowed(8.0), "{energy}: {cell}");
                    let wanted = -0.75 * (f64::from(came[cell]) + 1.25 * own_part[k]);
                    let found = f64::from(out[3 + cell]);
                    assert!((found - wanted).abs() <= allowed(8.0), "{energy}: {found} for {wanted}");
                }
            }
            assert!(energies.seed(device, &rows, &said, &said, None, count, Number::Given(2)).is_err());
            assert!(energies.gradient(device, &rows, [&said, &slopes], &said, 1, count, level).is_err());
        }
    }
}
