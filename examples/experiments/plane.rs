//! Forty modes in the plane, annealed to a whole power, whose exact law is again a mixture.

use std::path::Path;

use feynkac::kernels::device::Device;
use feynkac::target::{Mixture, Scales};
use feynkac::{
    Error, Method, Model, Options, Outcome, Policy, Result, Schedule, Scheme, Sde, Target, sample,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Size, mean_and_error, normalised};

/// Noise of the closed form and of the network, from 60 to 0.05.
pub const SCHEDULE: Schedule = Schedule::Ve { sigma_min: 0.05, sigma_max: 60.0 };

/// Points of an exact law.
const POINTS: usize = 200_000;
/// Components of less weight than this are left out.
const NEGLIGIBLE: f64 = 1.0e-12;

/// The mixture of a file, in the plane and of round components.
pub fn open(path: &Path) -> Result<Mixture> {
    match Target::open(path)?.0 {
        Target::Mixture(m) if m.mean(0).len() == 2 && matches!(m.scales, Scales::Isotropic(_)) => Ok(m),
        other => {
            let found = format!("{} dimensions", other.dim());
            Err(Error::input(path.display().to_string(), found, "round Gaussians in the plane"))
        }
    }
}

/// The same modes with weights as 1 to 2.
pub fn unequal(mut q: Mixture) -> Mixture {
    let n = q.components() as f64;
    q.weights = (0..q.components()).map(|k| (1.0 + k as f64 / (n - 1.0)) / (1.5 * n)).collect();
    q
}

/// The options of a run to the power `beta`, resampled at every step.
pub fn options(beta: usize, size: Size) -> Options {
    let mut options = Options::new(Method::FkcAnneal, SCHEDULE);
    (options.beta, options.resample) = (beta as f64, Policy::Every);
    (options.particles, options.steps, options.groups) = (size.particles, size.steps, size.runs);
    options.seed = size.seed;
    options
}

/// What a sampler should find.
pub struct Truth {
    /// The mixture at the last noise level.
    diffused: Mixture,
    /// (weights up to and with this one, mean, standard deviation) of the power's components.
    components: Vec<(f64, [f64; 2], f64)>,
    exact: Placed,
}

impl Truth {
    /// The power `beta`, at least 1, of `q` at noise `sigma`.
    pub fn new(q: &Mixture, beta: usize, sigma: f64) -> Self {
        let mut diffused = q.clone();
        if let Scales::Isotropic(scales) = &mut diffused.scales {
            scales.iter_mut().for_each(|s| *s = s.hypot(sigma));
        }
        let components = cumulated(power(&diffused, beta));
        let mut truth = Self { diffused, components, exact: Placed::default() };
        truth.exact = truth.place(truth.cover().into_iter().map(|x| (x, 1.0 / POINTS as f64)));
        truth
    }

    /// An even cover of the law: radius by quantiles, angle by the golden section.
    fn cover(&self) -> Vec<[f64; 2]> {
        let (mut points, mut before) = (Vec::with_capacity(POINTS), 0);
        for (through, mean, scale) in &self.components {
            let until = (through * POINTS as f64).round() as usize;
            let count = (until - before) as f64;
            points.extend((0..until - before).map(|i| {
                let radius = scale * (-2.0 * ((i as f64 + 0.5) / count).ln()).sqrt();
                let angle = i as f64 * 2.399_963_229_728_653;
                [mean[0] + radius * angle.cos(), mean[1] + radius * angle.sin()]
            }));
            before = until;
        }
        points
    }

    /// Independent draws of the law.
    fn draws(&self, count: usize, rng: &mut StdRng) -> Vec<[f64; 2]> {
        (0..count)
            .map(|_| {
                let (u, v): (f64, f64) = (rng.random_range(f64::MIN_POSITIVE..1.0), rng.random());
                let (pick, turn): (f64, f64) = (rng.random(), std::f64::consts::TAU * v);
                let at = self.components.partition_point(|(through, ..)| *through <= pick);
                let (_, mean, scale) = self.components[at.min(self.components.len() - 1)];
                let radius = scale * (-2.0 * u.ln()).sqrt();
                [mean[0] + radius * turn.cos(), mean[1] + radius * turn.sin()]
            })
            .collect()
    }

    /// Energy -log q of each point, and its weight to the nearest mode.
    fn place(&self, points: impl Iterator<Item = ([f64; 2], f64)>) -> Placed {
        let q = &self.diffused;
        let mut out = Placed { energies: Vec::new(), modes: vec![0.0; q.components()], hit: 0 };
        let mut hit = vec![false; q.components()];
        for (x, w) in points {
            let far = |k: usize| q.mean(k).iter().zip(&x).map(|(m, x)| (m - x).powi(2)).sum::<f64>();
            let mode = (0..q.components()).min_by(|&a, &b| far(a).total_cmp(&far(b))).unwrap_or(0);
            out.energies.push((-q.log_density(&x, 1.0, 0.0), w));
            out.modes[mode] += w;
            hit[mode] |= w > 0.0;
        }
        out.hit = hit.iter().filter(|hit| **hit).count();
        out
    }

    /// Errors of a weighted set of points.
    fn errors(&self, points: impl Iterator<Item = ([f64; 2], f64)>) -> Errors {
        let found = self.place(points);
        Errors { tv: found.tv(&self.exact), w1: found.w1(&self.exact), hit: found.hit as f64 }
    }

    /// Errors of each of the groups.
    pub fn of_groups(&self, out: &Outcome, groups: usize) -> Vec<Errors> {
        let k = out.log_w.len() / groups;
        let group = |g: usize| {
            let weights = normalised(&out.log_w[g * k..(g + 1) * k]);
            let rows = out.x[2 * g * k..2 * (g + 1) * k].chunks_exact(2);
            self.errors(rows.map(|x| [f64::from(x[0]), f64::from(x[1])]).zip(weights))
        };
        (0..groups).map(group).collect()
    }

    /// Mean energy.
    pub fn energy(&self) -> f64 {
        self.exact.energies.iter().map(|(energy, w)| energy * w).sum()
    }

    /// Errors that `count` independent draws of the law itself have, `runs` times.
    pub fn floor(&self, count: usize, runs: usize) -> Vec<Errors> {
        let mut rng = StdRng::seed_from_u64(98);
        let even = 1.0 / count as f64;
        (0..runs).map(|_| self.errors(self.draws(count, &mut rng).into_iter().map(|x| (x, even)))).collect()
    }
}

/// (weight, mean, variance) of the components of a power: pairs of components, of weight
/// w_k w_l N(m_k; m_l, v_k + v_l), once for each factor.
fn power(q: &Mixture, beta: usize) -> Vec<(f64, [f64; 2], f64)> {
    let own =
        (0..q.components()).map(|k| (q.weights[k], [q.mean(k)[0], q.mean(k)[1]], q.scale(k, 0).powi(2)));
    let own: Vec<(f64, [f64; 2], f64)> = own.collect();
    (1..beta).fold(own.clone(), |factor, _| {
        let pairs = factor.iter().flat_map(|(w, a, u)| {
            own.iter().map(move |(x, b, v)| {
                let apart = (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
                let joint = u * v / (u + v);
                let mean = [0, 1].map(|d| joint * (a[d] / u + b[d] / v));
                (w * x * (-0.5 * apart / (u + v)).exp() / (u + v), mean, joint)
            })
        });
        let pairs: Vec<_> = pairs.collect();
        let total: f64 = pairs.iter().map(|pair| pair.0).sum();
        let kept = pairs.into_iter().filter(|pair| pair.0 > NEGLIGIBLE * total);
        kept.map(|(w, mean, v)| (w / total, mean, v)).collect()
    })
}

/// Weights summed up from the first on, variances to standard deviations.
fn cumulated(components: Vec<(f64, [f64; 2], f64)>) -> Vec<(f64, [f64; 2], f64)> {
    let total: f64 = components.iter().map(|c| c.0).sum();
    let mut through = 0.0;
    let sums = components.into_iter().map(|(w, mean, v)| {
        through += w / total;
        (through, mean, v.sqrt())
    });
    sums.collect()
}

/// A weighted set of energies, the weight of each mode, and how many modes have a particle.
#[derive(Clone, Debug, Default)]
struct Placed {
    energies: Vec<(f64, f64)>,
    modes: Vec<f64>,
    hit: usize,
}

impl Placed {
    /// Wasserstein-1 distance of the energies: the area between the distribution functions.
    fn w1(&self, other: &Self) -> f64 {
        let mut all: Vec<(f64, f64)> = self.energies.clone();
        all.extend(other.energies.iter().map(|(e, w)| (*e, -w)));
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut gap = 0.0;
        all.windows(2)
            .map(|pair| {
                gap += pair[0].1;
                gap.abs() * (pair[1].0 - pair[0].0)
            })
            .sum()
    }

    /// Total variation of the mode occupancies.
    fn tv(&self, other: &Self) -> f64 {
        0.5 * self.modes.iter().zip(&other.modes).map(|(a, b)| (a - b).abs()).sum::<f64>()
    }
}

/// How far a run is from the exact law.
#[derive(Clone, Copy, Debug)]
pub struct Errors {
    /// Total variation of the mode occupancies.
    pub tv: f64,
    /// Wasserstein-1 distance of the energies -log q.
    pub w1: f64,
    /// Modes that have a particle.
    pub hit: f64,
}

/// Mean over runs of the occupancy error, the energy distance, and the modes that are hit, each with its error.
pub fn averages(errors: &[Errors]) -> [(f64, f64); 3] {
    [|e: &Errors| e.tv, |e: &Errors| e.w1, |e: &Errors| e.hit].map(|f| mean_and_error(errors.iter().map(f)))
}

/// How the law is sampled.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    /// Name in tables and of pictures.
    pub name: &'static str,
    /// Whether weights accrue.
    pub weights: bool,
    /// When to resample.
    pub resample: Policy,
    /// How.
    pub scheme: Scheme,
}

/// The samplers that are compared.
pub const SAMPLERS: [Sampler; 5] = {
    let usual = Sampler { name: "", weights: true, resample: Policy::Every, scheme: Scheme::Systematic };
    [
        Sampler { name: "no weights", weights: false, ..usual },
        Sampler { name: "FKC, every step", ..usual },
        Sampler { name: "FKC, ESS", resample: Policy::Ess(0.5), ..usual },
        Sampler { name: "FKC, birth-death", scheme: Scheme::BirthDeath, ..usual },
        Sampler { name: "FKC, clock", scheme: Scheme::Clock, ..usual },
    ]
};

/// Runs of `q` to the power `beta` by one sampler.
pub fn run(
    device: &Device,
    q: &Mixture,
    beta: usize,
    sde: Sde,
    sampler: Sampler,
    size: Size,
) -> Result<Outcome> {
    let Sampler { weights, resample, scheme, .. } = sampler;
    let options = Options { sde, weights, resample, scheme, ..options(beta, size) };
    sample(device, &[Model::Analytic(Target::Mixture(q.clone()))], &options, None)
}

/// The columns of [`row`].
pub const HEADER: [&str; 7] = ["modes", "beta", "noise", "sampler", "occupancy TV", "energy W1", "modes hit"];

/// A row of the table.
pub fn row(modes: &str, beta: usize, noise: &str, sampler: &str, errors: &[Errors]) -> Vec<String> {
    let [tv, w1, hit] = averages(errors);
    let [tv, w1] = [tv, w1].map(|(mean, error)| format!("{mean:.3} +- {error:.3}"));
    let hit = format!("{:.1}", hit.0);
    vec![modes.to_owned(), beta.to_string(), noise.to_owned(), sampler.to_owned(), tv, w1, hit]
}

/// What one sampler found.
pub struct Found {
    pub modes: &'static str,
    pub beta: usize,
    pub noise: &'static str,
    pub sampler: &'static str,
    pub errors: Vec<Errors>,
}

/// Every sampler at each power, with both noises, on equal and unequal modes: the table, and a picture of each sampler on
/// equal modes.
#[cfg(feature = "cli")]
pub fn write(
    device: &Device,
    q: &Mixture,
    powers: &[usize],
    size: Size,
    folder: &Path,
) -> Result<Vec<Found>> {
    use super::pages;
    use feynkac::cli::picture::Samples;

    pages::folder(folder)?;
    let mut all = Vec::new();
    for (modes, q) in [("equal", q.clone()), ("unequal", unequal(q.clone()))] {
        for &beta in powers {
            let truth = Truth::new(&q, beta, SCHEDULE.sigma(0.0));
            let mut found = |noise, sampler, errors| all.push(Found { modes, beta, noise, sampler, errors });
            found("", "independent draws", truth.floor(size.particles, size.runs));
            for (noise, sde) in [("target score", Sde::TargetScore), ("tempered", Sde::TemperedNoise)] {
                for sampler in SAMPLERS {
                    let out = run(device, &q, beta, sde, sampler, size)?;
                    found(noise, sampler.name, truth.of_groups(&out, size.runs));
                    if modes == "equal" {
                        let samples = Samples { x: &out.x, dim: 2, log_w: &out.log_w, groups: size.runs };
                        pages::picture(folder, &format!("beta {beta} {noise} {}", sampler.name), samples)?;
                    }
                }
            }
        }
    }
    let rows: Vec<Vec<String>> =
        all.iter().map(|f| row(f.modes, f.beta, f.noise, f.sampler, &f.errors)).collect();
    pages::write(folder, "forty-modes.md", &pages::table(&HEADER, &rows))?;
    Ok(all)
}
