//! Mixtures on the line: annealing, guidance, the geometric average, a product and a negation, whose moments are known
//! by quadrature.

use feynkac::kernels::device::Device;
use feynkac::run::Outcome;
use feynkac::{Method, Model, Options, Result, Rule, Schedule, Target, sample};

use super::{Size, mean_and_error, normalised};

/// A target from its TOML text.
pub fn target(toml: &str) -> Target {
    Target::parse("line.toml".as_ref(), toml).expect("a target").0
}

/// The same, as a model.
pub fn model(toml: &str) -> Model {
    Model::Analytic(target(toml))
}

/// A mixture on the line; variances, not standard deviations.
pub fn mixture(weights: &[f64], means: &[f64], variances: &[f64]) -> String {
    let means: Vec<[f64; 1]> = means.iter().map(|&m| [m]).collect();
    let scales: Vec<f64> = variances.iter().map(|v| v.sqrt()).collect();
    format!("kind = 'mixture'\nweights = {weights:?}\nmeans = {means:?}\nscales = {scales:?}\n")
}

/// .4 N(-1, .5) + .6 N(1.2, .6).
pub fn q1() -> String {
    mixture(&[0.4, 0.6], &[-1.0, 1.2], &[0.5, 0.6])
}

/// .7 N(.2, .9) + .3 N(1.8, .7).
pub fn q2() -> String {
    mixture(&[0.7, 0.3], &[0.2, 1.8], &[0.9, 0.7])
}

/// N(.3, 3).
pub fn gaussian() -> String {
    "kind = 'gaussian'\nmean = [0.3]\ncovariance = [[3.0]]\n".to_owned()
}

/// Mean, variance and log-integral of an unnormalised density on the line.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    pub mean: f64,
    pub variance: f64,
    pub log_z: f64,
}

/// Moments of prod q_i^beta_i at a noise level, by the trapezoid rule. For an analytic integrand that has
/// died away at both ends its error falls exponentially in the number of points: none is left here.
pub fn product(models: &[(&Target, f64)], alpha: f64, sigma: f64) -> Moments {
    quadrature(sigma, |x| models.iter().map(|(q, b)| b * q.log_density(&[x], alpha, sigma)).sum())
}

/// The same of any log-density on the line, at noise `sigma`.
pub fn quadrature(sigma: f64, log_p: impl Fn(f64) -> f64) -> Moments {
    const POINTS: usize = 20_001;
    let half = 25.0 + 25.0 * sigma;
    let h = 2.0 * half / (POINTS - 1) as f64;
    let grid: Vec<(f64, f64)> = (0..POINTS)
        .map(|i| {
            let x = -half + h * i as f64;
            (x, log_p(x))
        })
        .collect();
    let top = grid.iter().map(|(_, l)| *l).fold(f64::NEG_INFINITY, f64::max);
    assert!(grid[0].1 < top - 30.0 && grid[POINTS - 1].1 < top - 30.0, "the grid holds all of the density");
    let moment = |f: &dyn Fn(f64) -> f64| grid.iter().map(|(x, l)| f(*x) * (l - top).exp()).sum::<f64>();
    let mass = moment(&|_| 1.0);
    let mean = moment(&|x| x) / mass;
    let variance = moment(&|x| (x - mean).powi(2)) / mass;
    Moments { mean, variance, log_z: top + (mass * h).ln() }
}

/// Weighted mean and variance of the first coordinate of group `group`, and its log-evidence.
pub fn estimate(out: &Outcome, group: usize, groups: usize) -> Moments {
    let k = out.log_w.len() / groups;
    let own = group * k..(group + 1) * k;
    let weights = normalised(&out.log_w[own.clone()]);
    let x = || own.clone().map(|i| f64::from(out.x[i * out.dim])).zip(&weights);
    let mean = x().map(|(x, w)| w * x).sum::<f64>();
    let variance = x().map(|(x, w)| w * (x - mean).powi(2)).sum();
    Moments { mean, variance, log_z: out.log_z[group] }
}

/// What is sampled: a name, the method, its exponent.
pub const CASES: [(&str, Method, f64); 6] = [
    ("anneal 1.5", Method::FkcAnneal, 1.5),
    ("anneal 0.5", Method::FkcAnneal, 0.5),
    ("CFG 2", Method::FkcGuidance, 2.0),
    ("geometric 0.5", Method::FkcGuidance, 0.5),
    ("product 1", Method::FkcProduct, 1.0),
    ("negation 1.3", Method::FkcCompose, 1.3),
];

/// On these schedules.
pub const SCHEDULES: [Schedule; 4] = [
    Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 },
    Schedule::VpLinear { b0: 0.1, b1: 20.0 },
    Schedule::VpCosine { c: 0.008 },
    Schedule::RectifiedFlow,
];

/// A case on a schedule; a negation takes away what its exponent has above one.
pub fn options((_, method, beta): (&str, Method, f64), schedule: Schedule) -> Options {
    let mut options = Options::new(method, schedule);
    if method == Method::FkcCompose {
        (options.models, options.powers) = (2, vec![beta, 1.0 - beta]);
    } else {
        options.beta = beta;
    }
    options
}

/// What is combined: guidance leads from the broad Gaussian to the first mixture, the negation away from it; the
/// average and the product are of the mixtures.
fn tomls(options: &Options) -> Vec<String> {
    match options.method {
        Method::FkcGuidance if options.beta > 1.0 => vec![gaussian(), q1()],
        Method::FkcGuidance | Method::FkcProduct => vec![q1(), q2()],
        Method::FkcCompose => vec![q1(), gaussian()],
        _ => vec![q1()],
    }
}

/// The models of a run.
pub fn models(options: &Options) -> Vec<Model> {
    tomls(options).iter().map(|toml| model(toml)).collect()
}

/// The targets of a run, each with its exponent, and the noise at the end.
fn powers(options: &Options) -> (Vec<(Target, f64)>, f64, f64) {
    let targets = tomls(options).into_iter().map(|toml| target(&toml));
    let (alpha, sigma) = (options.schedule.alpha(options.t_min), options.schedule.sigma(options.t_min));
    (targets.zip(options.exponents()).collect(), alpha, sigma)
}

/// Exact moments of what `options` samples, at its last noise level.
pub fn exact(options: &Options) -> Moments {
    let (powers, alpha, sigma) = powers(options);
    product(&powers.iter().map(|(q, beta)| (q, *beta)).collect::<Vec<_>>(), alpha, sigma)
}

/// Points of a grid and the exact log-density there: as particles with their log-weights.
pub fn exact_points(options: &Options) -> (Vec<f32>, Vec<f32>) {
    let (powers, alpha, sigma) = powers(options);
    let density =
        |x: f64| -> f64 { powers.iter().map(|(q, beta)| beta * q.log_density(&[x], alpha, sigma)).sum() };
    let grid = (0..20_000).map(|i| -10.0 + 1.0e-3 * f64::from(i));
    grid.map(|x| (x as f32, density(x) as f32)).unzip()
}

/// Mean, variance and log-evidence over the groups of a run, each with its standard error.
pub fn averaged(device: &Device, models: &[Model], options: &Options) -> Result<[(f64, f64); 3]> {
    Ok(averages(&sample(device, models, options, None)?, options.groups))
}

fn averages(out: &Outcome, groups: usize) -> [(f64, f64); 3] {
    let runs: Vec<Moments> = (0..groups).map(|g| estimate(out, g, groups)).collect();
    [|m: &Moments| m.mean, |m: &Moments| m.variance, |m: &Moments| m.log_z]
        .map(|figure| mean_and_error(runs.iter().map(figure)))
}

/// How a case is sampled: a name, the rule, whether weights accrue.
pub const SAMPLERS: [(&str, Rule, bool); 3] = [
    ("weights, trap", Rule::Trap, true),
    ("weights, exact", Rule::Exact, true),
    ("no weights", Rule::Trap, false),
];

/// A case on a schedule.
pub struct Found {
    pub case: &'static str,
    pub options: Options,
    pub wanted: Moments,
    /// Mean, variance and log-evidence by each of [`SAMPLERS`].
    pub figures: [[(f64, f64); 3]; 3],
    /// The particles of each.
    pub outcomes: [Outcome; 3],
}

/// Samples a case in each way, on the same draws.
pub fn compare(
    device: &Device,
    case: (&'static str, Method, f64),
    schedule: Schedule,
    size: Size,
) -> Result<Found> {
    let mut options = options(case, schedule);
    (options.particles, options.steps, options.groups) = (size.particles, size.steps, size.runs);
    options.seed = size.seed;
    let models = models(&options);
    let run = |(_, rule, weights)| -> Result<Outcome> {
        sample(device, &models, &Options { rule, weights, ..options.clone() }, None)
    };
    let outcomes = [run(SAMPLERS[0])?, run(SAMPLERS[1])?, run(SAMPLERS[2])?];
    let figures = [0, 1, 2].map(|i| averages(&outcomes[i], size.runs));
    Ok(Found { case: case.0, wanted: exact(&options), options, figures, outcomes })
}

/// The columns of [`row`].
pub const HEADER: [&str; 14] = [
    "schedule",
    "case",
    "mean",
    "weighted",
    "error",
    "no weights",
    "variance",
    "weighted",
    "error",
    "no weights",
    "error",
    "log Z",
    "`trap`, error",
    "`exact`, error",
];

/// A row of the table; the weighted moments are those of the trapezoid rule.
pub fn row(found: &Found) -> Vec<String> {
    let (wanted, [trap, exact, none]) = (&found.wanted, &found.figures);
    let with_error = |(figure, error): (f64, f64)| format!("{figure:.3} +- {error:.3}");
    let percent = |(figure, _): (f64, f64)| format!("{:+.1} %", 100.0 * (figure / wanted.variance - 1.0));
    let off =
        |(figure, error): (f64, f64)| format!("{figure:.4} +- {error:.4}, {:+.4}", figure - wanted.log_z);
    vec![
        found.options.schedule.name().to_owned(),
        found.case.to_owned(),
        format!("{:.3}", wanted.mean),
        with_error(trap[0]),
        format!("{:+.3}", trap[0].0 - wanted.mean),
        with_error(none[0]),
        format!("{:.3}", wanted.variance),
        with_error(trap[1]),
        percent(trap[1]),
        with_error(none[1]),
        percent(none[1]),
        format!("{:.4}", wanted.log_z),
        off(trap[2]),
        off(exact[2]),
    ]
}

/// Every case on these schedules: the table, and histograms of the cases of the first one.
#[cfg(feature = "cli")]
pub fn write(
    device: &Device,
    schedules: &[Schedule],
    size: Size,
    folder: &std::path::Path,
) -> Result<Vec<Found>> {
    use super::pages;
    use feynkac::cli::picture::Samples;

    pages::folder(folder)?;
    let mut all = Vec::new();
    for (i, &schedule) in schedules.iter().enumerate() {
        for (number, case) in (0..).zip(CASES) {
            let found = compare(device, case, schedule, Size { seed: size.seed + number, ..size })?;
            if i == 0 {
                let (x, log_w) = exact_points(&found.options);
                let picture =
                    |name: &str, samples| pages::picture(folder, &format!("{}-{name}", found.case), samples);
                picture("exact law", Samples { x: &x, dim: 1, log_w: &log_w, groups: 1 })?;
                for ((name, ..), out) in SAMPLERS.iter().zip(&found.outcomes) {
                    picture(name, Samples { x: &out.x, dim: 1, log_w: &out.log_w, groups: size.runs })?;
                }
            }
            all.push(found);
        }
    }
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    pages::write(folder, "fkc-toy.md", &pages::table(&HEADER, &rows))?;
    Ok(all)
}
