//! Systems of identical particles, learnt at a temperature and annealed to a lower one: four in a plane whose pairs have
//! two wells (DW-4), thirteen Lennard-Jones particles in a harmonic well (LJ-13). Energies, and what samples of them are
//! judged by: the distances of pairs and the energies, against quantiles of long runs of parallel-tempered MALA.

use std::path::{Path, PathBuf};

use feynkac::kernels::device::Device;
use feynkac::weights::Weights;
use feynkac::{Error, Method, Model, Outcome, Policy, Result, Sde, sample};

use super::{Size, mean_and_error, normalised, trained};

/// The temperature that the networks have learnt.
pub const LEARNT: f64 = 2.0;

/// Distance below which a pair of Lennard-Jones has its second-order expansion.
const CUT: f64 = 0.65;

/// A system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Four particles in the plane.
    Dw4,
    /// Thirteen in space.
    Lj13,
}

impl System {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            System::Dw4 => "DW-4",
            System::Lj13 => "LJ-13",
        }
    }

    /// Where its network is.
    pub fn folder(self, weights: &Path) -> PathBuf {
        weights.join(match self {
            System::Dw4 => "dw4-egnn",
            System::Lj13 => "lj13-egnn",
        })
    }

    /// Coordinates of a particle.
    pub fn space(self) -> usize {
        match self {
            System::Dw4 => 2,
            System::Lj13 => 3,
        }
    }

    /// The energy of a pair at distance r.
    fn pair(self, r: f64) -> f64 {
        match self {
            System::Dw4 => 0.9 * (r - 4.0).powi(4) - 4.0 * (r - 4.0).powi(2),
            System::Lj13 => {
                let (s, y) = (r.max(CUT).powi(-6), r.min(CUT) - CUT);
                let (first, second) = (24.0 * (s - s * s) / CUT, 2.0 * (156.0 * s - 84.0) * s / (CUT * CUT));
                // y is 0 beyond the cut
                2.0 * (s * s - 2.0 * s) + first * y + 0.5 * second * y * y
            }
        }
    }

    /// The energy of a configuration `[particles, space]`; its mean is of no account.
    pub fn energy(self, x: &[f64]) -> f64 {
        let pairs: f64 = self.distances(x).into_iter().map(|r| self.pair(r)).sum();
        match self {
            System::Dw4 => pairs,
            System::Lj13 => pairs + 0.5 * self.spread(x),
        }
    }

    /// Squared distances from the centre of mass, summed.
    fn spread(self, x: &[f64]) -> f64 {
        let count = (x.len() / self.space()) as f64;
        let of = |k: usize| {
            let line = || x.iter().skip(k).step_by(self.space());
            let mean = line().sum::<f64>() / count;
            line().map(|x| (x - mean).powi(2)).sum::<f64>()
        };
        (0..self.space()).map(of).sum()
    }

    /// The distances of all pairs.
    pub fn distances(self, x: &[f64]) -> Vec<f64> {
        let atoms: Vec<&[f64]> = x.chunks_exact(self.space()).collect();
        let far = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        let after = |i: usize| atoms[i + 1..].iter().map(move |b| (i, b));
        (0..atoms.len()).flat_map(after).map(|(i, b)| far(atoms[i], b)).collect()
    }
}

/// The p-Wasserstein distance of weighted points (position, weight) on a line; weights of each side sum to one. The area
/// between the quantile functions, where `power` is 1.
pub fn wasserstein(a: &[(f64, f64)], b: &[(f64, f64)], power: i32) -> f64 {
    let sorted = |of: &[(f64, f64)]| {
        let mut all: Vec<(f64, f64)> = of.iter().copied().filter(|(_, w)| *w > 0.0).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        all
    };
    let (a, b) = (sorted(a), sorted(b));
    let (mut i, mut j, mut cost) = (0, 0, 0.0);
    let (mut left, mut right) = (a.first().map_or(0.0, |x| x.1), b.first().map_or(0.0, |x| x.1));
    while i < a.len() && j < b.len() {
        let mass = left.min(right);
        cost += mass * (a[i].0 - b[j].0).abs().powi(power);
        (left, right) = (left - mass, right - mass);
        if left <= 0.0 {
            i += 1;
            left = a.get(i).map_or(0.0, |x| x.1);
        }
        if right <= 0.0 {
            j += 1;
            right = b.get(j).map_or(0.0, |x| x.1);
        }
    }
    cost.powf(1.0 / f64::from(power))
}

fn even(points: &[f32]) -> Vec<(f64, f64)> {
    points.iter().map(|x| (f64::from(*x), 1.0 / points.len() as f64)).collect()
}

/// What a system is like at a temperature: evenly weighted quantiles.
pub struct Reference {
    pub system: System,
    pub energies: Vec<(f64, f64)>,
    pub distances: Vec<(f64, f64)>,
}

impl Reference {
    /// From the folder of the system's network.
    pub fn open(system: System, weights: &Path, temperature: f64) -> Result<Self> {
        let file = Weights::open(&system.folder(weights).join("reference.safetensors"))?;
        let of = |what: &str| Ok::<_, Error>(even(&file.plain_f32(&format!("{what}.{temperature:?}"))?));
        Ok(Self { system, energies: of("energy")?, distances: of("distance")? })
    }

    /// How far weighted configurations are from it.
    pub fn errors(&self, rows: &[f32], dim: usize, weights: &[f64]) -> Errors {
        let (mut energies, mut distances, mut near) = (Vec::new(), Vec::new(), Vec::new());
        let most = self.far();
        for (row, w) in rows.chunks_exact(dim).zip(weights) {
            let x: Vec<f64> = row.iter().map(|v| f64::from(*v)).collect();
            energies.push((self.system.energy(&x), *w));
            near.extend(energies.last().filter(|at| at.0 <= most).copied());
            let all = self.system.distances(&x);
            let each = w / all.len() as f64;
            distances.extend(all.into_iter().map(|r| (r, each)));
        }
        let kept: f64 = near.iter().map(|(_, w)| w).sum();
        near.iter_mut().for_each(|at| at.1 /= kept);
        Errors {
            distance_w2: wasserstein(&distances, &self.distances, 2),
            energy_w1: wasserstein(&energies, &self.energies, 1),
            energy_w2: wasserstein(&energies, &self.energies, 2),
            energy: energies.iter().map(|(e, w)| e * w).sum(),
            far: (1.0 - kept).max(0.0),
            near_w1: wasserstein(&near, &self.energies, 1),
        }
    }

    /// The energy from which a configuration is far from all of the reference's: above the highest by as much as that is
    /// above the lowest.
    fn far(&self) -> f64 {
        let of = |pick: fn(f64, f64) -> f64, from| self.energies.iter().map(|(e, _)| *e).fold(from, pick);
        2.0 * of(f64::max, f64::NEG_INFINITY) - of(f64::min, f64::INFINITY)
    }

    /// Mean energy.
    pub fn energy(&self) -> f64 {
        self.energies.iter().map(|(e, w)| e * w).sum()
    }
}

/// How far one run is from the reference.
#[derive(Clone, Copy, Debug)]
pub struct Errors {
    /// 2-Wasserstein distance of the distances of pairs.
    pub distance_w2: f64,
    /// 1-Wasserstein distance of the energies.
    pub energy_w1: f64,
    /// The same, 2.
    pub energy_w2: f64,
    /// Weighted mean energy.
    pub energy: f64,
    /// Weight of configurations whose energy is far above all of the reference's: of particles that collide.
    pub far: f64,
    /// [`Errors::energy_w1`] of the others.
    pub near_w1: f64,
}

/// How a system is sampled.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    /// Drift and noise.
    pub sde: Sde,
    /// Whether weights accrue.
    pub weights: bool,
    /// [`Options::quantile`](feynkac::Options): cuts what a step adds to them.
    pub cut: Option<f64>,
}

/// Runs of a system at a temperature.
pub fn run(
    device: &Device,
    system: System,
    weights: &Path,
    temperature: f64,
    sampler: Sampler,
    size: Size,
) -> Result<Outcome> {
    let path = system.folder(weights);
    let (model, _) = Model::open(&path, None)?;
    let beta = LEARNT / temperature;
    let method = if beta == 1.0 { Method::Plain } else { Method::FkcAnneal };
    let mut options = trained(&model, &path, method, size)?;
    options.beta = beta;
    (options.sde, options.weights, options.resample) = (sampler.sde, sampler.weights, Policy::Ess(0.5));
    options.quantile = sampler.cut;
    sample(device, &[model], &options, None)
}

/// Errors of each of the groups.
pub fn judged(reference: &Reference, drawn: &Outcome, groups: usize) -> Vec<Errors> {
    let count = drawn.log_w.len() / groups;
    let group = |g: usize| {
        let rows = &drawn.x[g * count * drawn.dim..(g + 1) * count * drawn.dim];
        reference.errors(rows, drawn.dim, &normalised(&drawn.log_w[g * count..(g + 1) * count]))
    };
    (0..groups).map(group).collect()
}

/// The columns of [`row`].
pub const HEADER: [&str; 11] = [
    "system",
    "T",
    "noise",
    "FKC",
    "distance W2",
    "energy W1",
    "energy W2",
    "mean energy",
    "far, %",
    "energy W1 of the others",
    "in the paper",
];

/// What one sampler found.
pub struct Found {
    pub system: System,
    pub temperature: f64,
    pub sampler: Sampler,
    pub errors: Vec<Errors>,
    pub wanted: f64,
    /// Mean over the runs of the smallest ESS between resamplings, by the particles.
    pub least_ess: f64,
}

/// Distance-W2, energy-W1 and energy-W2 of LJ-13 in Table 3 of Skreta et al. 2025, three seeds: the same potential, a
/// network of theirs, trained at the same temperature.
fn published(found: &Found) -> Option<&'static str> {
    let (tempered, weights) = (found.sampler.sde == Sde::TemperedNoise, found.sampler.weights);
    if found.sampler.cut.is_some() {
        return None;
    }
    let at = |t: f64| found.system == System::Lj13 && found.temperature == t;
    Some(match (at(0.8), at(1.5), tempered, weights) {
        (true, _, false, false) => "0.189, 14.73, 15.56",
        (true, _, false, true) => "0.048, 6.25, 6.36",
        (true, _, true, false) => "0.108, 6.49, 8.50",
        (true, _, true, true) => "0.047, 7.02, 7.11",
        (_, true, false, false) => "0.168, 5.34, 6.21",
        (_, true, false, true) => "0.083, 3.37, 3.39",
        (_, true, true, false) => "0.095, 2.15, 3.92",
        (_, true, true, true) => "0.066, 0.77, 0.94",
        _ => return None,
    })
}

/// A row of the table.
pub fn row(found: &Found) -> Vec<String> {
    let of = |f: fn(&Errors) -> f64| mean_and_error(found.errors.iter().map(f));
    let shown = |f: fn(&Errors) -> f64| {
        let (mean, error) = of(f);
        format!("{mean:.3} +- {error:.3}")
    };
    let (energy, error) = of(|e| e.energy);
    vec![
        found.system.name().to_string(),
        format!("{}", found.temperature),
        if found.temperature == LEARNT { "" } else { noise(found.sampler.sde) }.to_string(),
        weighing(found.sampler),
        shown(|e| e.distance_w2),
        shown(|e| e.energy_w1),
        shown(|e| e.energy_w2),
        format!("{energy:.2} +- {error:.2} of {:.2}", found.wanted),
        format!("{:.1} +- {:.1}", 100.0 * of(|e| e.far).0, 100.0 * of(|e| e.far).1),
        shown(|e| e.near_w1),
        published(found).unwrap_or_default().to_string(),
    ]
}

fn noise(sde: Sde) -> &'static str {
    if sde == Sde::TemperedNoise { "tempered" } else { "target score" }
}

fn weighing(sampler: Sampler) -> String {
    match (sampler.weights, sampler.cut) {
        (false, _) => "no".into(),
        (true, None) => "yes".into(),
        (true, Some(share)) => format!("cut at {share}"),
    }
}

/// Both noises, without weights, with them, and with what a step adds cut at a quantile where one is given, of each
/// temperature; of the learnt one, the network's own samples.
pub fn all(
    device: &Device,
    weights: &Path,
    what: &[(System, f64)],
    cut: Option<f64>,
    size: Size,
    mut tell: impl FnMut(&Found),
) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for &(system, temperature) in what {
        let reference = Reference::open(system, weights, temperature)?;
        for sampler in samplers(temperature, cut) {
            let drawn = run(device, system, weights, temperature, sampler, size)?;
            let least = |ess: &Vec<f64>| ess.iter().copied().fold(size.particles as f64, f64::min);
            let least_ess = drawn.ess.iter().map(least).sum::<f64>() / size.runs as f64;
            let errors = judged(&reference, &drawn, size.runs);
            let wanted = reference.energy();
            found.push(Found { system, temperature, sampler, errors, wanted, least_ess });
            tell(&found[found.len() - 1]);
        }
    }
    Ok(found)
}

fn samplers(temperature: f64, cut: Option<f64>) -> Vec<Sampler> {
    let of = |sde, weights, cut| Sampler { sde, weights, cut };
    if temperature == LEARNT {
        return vec![of(Sde::TargetScore, false, None)];
    }
    let cut = cut.map(Some);
    let each = |sde| {
        [of(sde, false, None), of(sde, true, None)].into_iter().chain(cut.map(|cut| of(sde, true, cut)))
    };
    [Sde::TargetScore, Sde::TemperedNoise].into_iter().flat_map(each).collect()
}

/// The table, as it grows shown and at the end written.
#[cfg(feature = "cli")]
pub fn write(
    device: &Device,
    weights: &Path,
    what: &[(System, f64)],
    cut: Option<f64>,
    size: Size,
    folder: &Path,
) -> Result<Vec<Found>> {
    use super::pages;

    pages::folder(folder)?;
    let found = all(device, weights, what, cut, size, |found| eprintln!("{}", row(found).join(", ")))?;
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    pages::write(folder, "particles.md", &pages::table(&HEADER, &rows))?;
    Ok(found)
}
