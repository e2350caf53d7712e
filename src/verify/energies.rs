//! What stands around networks: energies and their gradients, probes of divergences, beside plain loops.

use feynkac_kernels::device::Device;
use feynkac_kernels::passes::Number;
use feynkac_kernels::passes::classes::oracle as class_oracle;
use feynkac_kernels::passes::classes::{Class, likelihood};
use feynkac_kernels::passes::divergence::{Along, Probes, Tally, oracle as probing};
use feynkac_kernels::passes::energy::oracle::{direct, seed, value};
use feynkac_kernels::passes::energy::{Energies, Energy, EnergyLevel};

use super::passes::fraction;
use super::{EPS, Verdict};
use crate::error::Result;

/// Numbers in (-1, 1), in no order.
fn some(first: usize, len: usize) -> Vec<f32> {
    (first..first + len).map(|i| (2.0 * fraction(i) - 1.0) as f32).collect()
}

fn wide(of: &[f32], by: f64) -> Vec<f64> {
    of.iter().map(|v| by * f64::from(*v)).collect()
}

/// Every energy at odd sizes.
pub(super) fn energies(device: &Device) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let (input, told, gradient) = (1.25, (-0.5, 3.0), 0.75);
    for (_, energy) in Energy::NAMES {
        for (count, dim) in [(3, 2), (70, 13)] {
            let cells = count * dim;
            let [x, f, came] = [3, 5, 7].map(|first| some(first, cells));
            let level = EnergyLevel { input, told, gradient, laplacian: [0.5, -2.0, 1.5, 0.25] };
            let around = Energies::new(device, energy, dim, 1, &[level])?;
            let (rows, said) = (device.upload("rows", &x)?, device.upload("said", &f)?);
            let slopes = device.upload("came", &came)?;
            let (back, out) = (device.empty("back", cells)?, device.empty("out", cells)?);
            let values = device.empty("values", count)?;
            let number = Number::Given(0);
            around.seed(device, &rows, &said, &back, Some((&values, 0, 1)), count, number)?;
            around.gradient(device, &rows, [&said, &slopes], &out, 0, count, number)?;
            let (back, out, values) =
                (device.download(&back)?, device.download(&out)?, device.download(&values)?);
            let all = device.upload("all", &[&x[..], &vec![0.5; 2 * count]].concat())?;
            around.laplacian(device, &rows, [&said, &slopes], &all, [0, cells], count, number)?;
            let all = device.download(&all)?;
            for i in 0..count {
                let own = i * dim..(i + 1) * dim;
                let (plain, f, came) =
                    (wide(&x[own.clone()], 1.0), wide(&f[own.clone()], 1.0), wide(&came[own.clone()], 1.0));
                let square: f64 = plain.iter().map(|x| x * x).sum();
                let rate: f64 = f.iter().zip(&came).map(|(f, c)| f * c).sum();
                let wanted = 0.5 * rate - 1.0 + 1.5 * square + 0.25 - square;
                let slack = 8.0 * EPS * (4.0 * dim as f64 + 2.0);
                verdict.compare("energy: Laplacian", 0, (i, 0), all[cells + 2 * i + 1], wanted, slack);
            }
            for (i, energy_of) in values.iter().enumerate() {
                let own = i * dim..(i + 1) * dim;
                let (shown, f) = (wide(&x[own.clone()], input), wide(&f[own.clone()], 1.0));
                let wanted = told.0 * value(energy, &shown, &f) + told.1;
                let slack = 8.0 * EPS * (dim as f64 * 6.0 + 3.0);
                verdict.compare("energy", 0, (i, 0), *energy_of, wanted, slack);
                let (seeds, own_part) = (seed(energy, &shown, &f), direct(energy, &shown, &f));
                for (k, cell) in own.enumerate() {
                    verdict.compare("energy: back", 0, (i, k), back[cell], seeds[k], 32.0 * EPS);
                    let wanted = gradient * (f64::from(came[cell]) + input * own_part[k]);
                    verdict.compare("energy: gradient", 0, (i, k), out[cell], wanted, 32.0 * EPS);
                }
            }
        }
    }
    Ok(verdict)
}

/// Likelihoods of a class, at odd sizes and with logits far apart.
pub(super) fn classes(device: &Device) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for (count, classes, size, factor) in [(1, 2, 1.0, 1.0), (70, 10, 8.0, 2.5), (257, 3, 60.0, 0.5)] {
        let logits: Vec<f32> = some(count, count * classes).iter().map(|l| size * l).collect();
        let of = Class { class: classes - 1, classes, factor };
        let (said, back) = (device.upload("logits", &logits)?, device.empty("back", count * classes)?);
        let told = device.empty("told", 3 + count)?;
        likelihood(device, &said, &back, (&told, 3), of, count)?;
        let (back, told) = (device.download(&back)?, device.download(&told)?);
        for (i, logits) in logits.chunks(classes).enumerate() {
            let (value, slopes) = class_oracle::likelihood(&wide(logits, 1.0), of.class, factor);
            let slack = 8.0 * EPS * factor * (1.0 + f64::from(size));
            verdict.compare("classes: log-likelihood", 0, (i, 0), told[3 + i], value, slack);
            for (k, wanted) in slopes.iter().enumerate() {
                verdict.compare("classes: gradient", 0, (i, k), back[i * classes + k], *wanted, slack);
            }
        }
    }
    Ok(verdict)
}

/// Both kinds of probes, of a field whose way back doubles what goes in.
pub(super) fn divergences(device: &Device) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let (seed, count, dim) = (77_u64, 20, 7);
    let seeds = device.upload("seeds", &[seed as u32, (seed >> 32) as u32])?;
    for along in [Along::Axes, Along::Signs(3)] {
        let probes = Probes::new(device, along, count, dim, count)?;
        let told = device.empty("told", count)?;
        let mut found = vec![Vec::new(); count];
        for at in 0..probes.count() {
            probes.probe(device, &seeds, at, count, Number::Given(4))?;
            let vectors = device.download(probes.vectors())?;
            let factor = |k: usize| 0.5 * (k % 7) as f32 - 1.0;
            let came: Vec<f32> = vectors.iter().enumerate().map(|(k, v)| factor(k) * v).collect();
            for (i, v) in vectors.chunks(dim).enumerate() {
                let wanted = probing::probe(along, seed, (i as u32, 4, at), dim);
                for (k, (v, wanted)) in v.iter().zip(&wanted).enumerate() {
                    verdict.compare("divergence: probe", 4, (i, k), *v, *wanted, 0.0);
                }
                let product = |(k, v): (usize, &f64)| f64::from(factor(i * dim + k)) * v * v;
                found[i].push(wanted.iter().enumerate().map(product).sum());
            }
            let came = device.upload("came", &came)?;
            probes.tally(device, Tally { came: &came, told: &told, first: 0, apart: 1 }, at, count)?;
        }
        for (i, (told, found)) in device.download(&told)?.iter().zip(&found).enumerate() {
            let (wanted, _) = probing::tally(along, found);
            verdict.compare("divergence", 4, (i, 0), *told, wanted, 16.0 * EPS * (1.0 + wanted.abs()));
        }
    }
    Ok(verdict)
}
