//! `feynkac bench`: how fast runs of closed-form targets go, beside the rate at which their device copies memory.
//!
//! Nothing is timed before it is right: each case is first walked beside its f64 oracles, at a small size, and then
//! drawn at its own size, which also compiles its kernels.

mod lists;
mod shown;

use clap::Args;
use feynkac_kernels::device::{Device, Request};
use feynkac_kernels::error::KernelError;
use indicatif::ProgressBar;

use super::names::{device, named, whole};
use super::print;
use crate::error::Result;
use crate::measure::{Measured, Spread, copy_rate, timed};
use crate::model::Model;
use crate::options::{Options, Policy, Rule};
use crate::plan::Plan;
use crate::registry::Method;
use crate::run::{Run, sample};
use crate::schedule::Schedule;
use crate::target::{Mixture, Scales, Target};
use crate::verify::verify;
use lists::{counts, list, within};
use shown::{Format, Head, On, Row};

/// The noise of every run, from the most to the least.
const SIGMA: [f64; 2] = [30.0, 0.01];
/// The means of the mixtures lie in [-40, 40]^D.
const REACH: f64 = 40.0;
/// Particles and steps of the run that is compared with its oracles, at most.
const CHECKED: (usize, usize) = (70, 20);
/// What a run can have at most.
const MOST_PARTICLES: usize = 1 << 28;
const MOST_COORDINATES: usize = 4096;
const MOST_COMPONENTS: usize = 65_536;
const MOST_REPEATS: usize = 10_000;

/// Flags of the subcommand. Those that take lists time every combination.
#[derive(Args, Debug)]
pub struct Bench {
    /// Particles, a list
    #[arg(long, value_name = "N,...", default_value = "1024,16384,262144", allow_negative_numbers = true)]
    particles: String,
    /// Coordinates of a particle, a list
    #[arg(long, value_name = "D,...", default_value = "2,64", allow_negative_numbers = true)]
    dim: String,
    /// Samplers, a list: see `feynkac list`
    #[arg(long, value_name = "METHOD,...", default_value = "fkc-anneal,fkc-guidance")]
    method: String,
    /// Devices, a list of auto, cpu[:threads], wgpu[:index], cuda[:index]
    #[arg(long, value_name = "DEVICE,...", default_value = "auto")]
    device: String,
    /// Weight rules, a list of left, trap, exact
    #[arg(long, value_name = "RULE,...", default_value = "trap")]
    rule: String,
    /// When to resample, a list of never, every, ess:F, interval:N, window:A:B
    #[arg(long, value_name = "WHEN,...", default_value = "ess:0.5")]
    resample: String,
    /// Steps of a run
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(allow_negative_numbers = true, value_parser = whole::<usize>)]
    steps: usize,
    /// Runs that are timed
    #[arg(long, value_name = "N", default_value_t = 7)]
    #[arg(allow_negative_numbers = true, value_parser = whole::<usize>)]
    repeats: usize,
    /// Runs before them
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(allow_negative_numbers = true, value_parser = whole::<usize>)]
    warmup: usize,
    /// Gaussians of each mixture
    #[arg(long, value_name = "K", default_value_t = 40)]
    #[arg(allow_negative_numbers = true, value_parser = whole::<usize>)]
    components: usize,
    /// md, json or csv
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "md", value_parser = named::<Format>)]
    format: Format,
}

/// A run to time.
struct Case {
    options: Options,
    models: Vec<Model>,
}

/// Runs the subcommand.
pub fn run(asked: Bench) -> Result<()> {
    let cases = cases(&asked)?;
    let names = list("--device", &asked.device, device)?;
    let open = |name: &String| -> Result<Device> { Ok(Device::open(name.parse::<Request>()?)?) };
    let devices = names.iter().map(open).collect::<Result<Vec<Device>>>()?;
    // It hides itself where nobody watches.
    let bar = ProgressBar::new((devices.len() * cases.len()) as u64);
    let (mut on, mut rows) = (Vec::new(), Vec::new());
    for device in &devices {
        let copy = copy_rate(device, asked.repeats)?;
        on.push(On::new(device, copy));
        for case in &cases {
            rows.push(measure(device, case, (asked.warmup, asked.repeats), copy.median)?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let head = Head::new(&asked, SIGMA, on);
    print(&asked.format.text(&head, &rows));
    Ok(())
}

/// Every combination, checked.
fn cases(asked: &Bench) -> Result<Vec<Case>> {
    let particles = counts("--particles", &asked.particles, MOST_PARTICLES)?;
    let dims = counts("--dim", &asked.dim, MOST_COORDINATES)?;
    let methods = list("--method", &asked.method, named::<Method>)?;
    let rules = list("--rule", &asked.rule, named::<Rule>)?;
    let policies = list("--resample", &asked.resample, named::<Policy>)?;
    within("--components", asked.components, MOST_COMPONENTS)?;
    within("--repeats", asked.repeats, MOST_REPEATS)?;
    within("--warmup", asked.warmup, MOST_REPEATS)?;
    let mut cases = Vec::new();
    for &method in &methods {
        for &rule in &rules {
            for &policy in &policies {
                let usual = Options { rule, steps: asked.steps, ..options(method, policy) };
                for &dim in &dims {
                    for &particles in &particles {
                        let options = Options { particles, ..usual.clone() };
                        cases.push(case(options, dim, asked.components)?);
                    }
                }
            }
        }
    }
    Ok(cases)
}

/// A power of 2 of one model, the mean of two; what is not weighed is not resampled.
fn options(method: Method, policy: Policy) -> Options {
    let needs = method.row().needs;
    let usual = Options::new(method, Schedule::Ve { sigma_min: SIGMA[1], sigma_max: SIGMA[0] });
    let beta = match (needs.weights, needs.models.0) {
        (false, _) => usual.beta,
        (true, 1) => 2.0,
        (true, _) => 0.5,
    };
    Options { beta, resample: if needs.weights { policy } else { Policy::Never }, ..usual }
}

/// With its models: as many mixtures, each with means of its own, as the method needs.
fn case(options: Options, dim: usize, components: usize) -> Result<Case> {
    let seeds = 0..options.models as u64;
    let models: Vec<Model> = seeds.map(|seed| Model::Analytic(mixture(dim, components, seed))).collect();
    Plan::of(&options, &models)?;
    Ok(Case { options, models })
}

/// Gaussians of unit scale and equal weight, means uniform in [-40, 40]^dim by SplitMix64 (Steele, Lea and Flood
/// 2014): the same for the same arguments, on every machine.
fn mixture(dim: usize, components: usize, seed: u64) -> Target {
    let mut state = seed << 32;
    let mut uniform = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let means = (0..components * dim).map(|_| REACH * (2.0 * uniform() - 1.0)).collect();
    let weights = vec![1.0 / components as f64; components];
    Target::Mixture(Mixture { dim, weights, means, scales: Scales::Isotropic(vec![1.0; components]) })
}

/// Times one case, `(warm-up, timed)` runs; `copy` is the device's rate in bytes a second.
fn measure(device: &Device, case: &Case, times: (usize, usize), copy: f64) -> Result<Row> {
    confirm(device, case)?;
    for _ in 0..times.0 {
        sample(device, &case.models, &case.options, None)?;
    }
    let run = Run::new(device, &case.models, &case.options)?;
    let steps = run.coeffs.len();
    let particle_steps = (run.of.particles() * steps) as f64;
    run.open()?;
    let mut measured = Vec::new();
    for _ in 0..times.1 {
        run.begin()?;
        measured.push(timed(device, || run.advance_through(0..steps))?);
    }
    let spread =
        |figure: &dyn Fn(&Measured) -> f64| Spread::of(&measured.iter().map(figure).collect::<Vec<f64>>());
    let speed = |m: &Measured| m.per_s(particle_steps);
    let options = &case.options;
    Ok(Row {
        device: device.backend().to_string(),
        method: options.method.to_string(),
        beta: options.beta,
        rule: options.rule.to_string(),
        resample: options.resample.to_string(),
        dim: run.of.dim,
        particles: options.particles,
        particle_steps_per_s: spread(&speed),
        ns_per_particle_step: spread(&|m| 1e9 / speed(m)),
        gb_per_s: spread(&|m| 1e-9 * m.bytes_per_s()),
        share_of_copy: spread(&|m| m.bytes_per_s() / copy),
        launches_per_step: spread(&|m| m.launches as f64 / steps as f64),
    })
}

/// Compares a short run of a few particles with its oracles.
fn confirm(device: &Device, case: &Case) -> Result<()> {
    let few = Options {
        particles: case.options.particles.min(CHECKED.0),
        steps: case.options.steps.min(CHECKED.1),
        ..case.options.clone()
    };
    let verdict = verify(device, &case.models, &few)?;
    if verdict.agrees() {
        return Ok(());
    }
    let message = format!("{} is not right and is not timed: {verdict}", case.options.method);
    Err(KernelError::Device { during: "walking beside its oracles", message }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(target: &Target) -> Vec<f64> {
        match target {
            Target::Mixture(mixture) => mixture.means.clone(),
            Target::Gaussian(_) => Vec::new(),
        }
    }

    #[test]
    fn mixtures_are_spread_out_and_always_the_same() {
        let means = |seed| means(&mixture(3, 500, seed));
        let (one, two) = (means(0), means(1));
        assert_eq!(one, means(0));
        assert_eq!((one.len(), two.len()), (1500, 1500));
        // SplitMix64 from state 0 begins with 0xe220a8397b1dcdaf: 0.883311 of its range.
        assert!((one[0] - 40.0 * (2.0 * 0.883_311 - 1.0)).abs() < 1e-3, "{}", one[0]);
        assert!(one.iter().zip(&two).all(|(a, b)| a != b));
        for means in [one, two] {
            assert!(means.iter().all(|m| m.abs() <= 40.0));
            // Five standard errors of the mean of 1500 uniform numbers: 5 * 80 / sqrt(12 * 1500).
            assert!((means.iter().sum::<f64>() / 1500.0).abs() < 2.99);
            assert!(means.iter().any(|m| *m > 36.0) && means.iter().any(|m| *m < -36.0));
        }
    }

    #[test]
    fn methods_get_the_exponents_and_models_they_need() {
        for (method, beta, policy, models) in [
            (Method::Plain, 1.0, Policy::Never, 1),
            (Method::FkcAnneal, 2.0, Policy::Every, 1),
            (Method::FkcGuidance, 0.5, Policy::Every, 2),
        ] {
            let options = options(method, Policy::Every);
            assert_eq!((options.beta, options.resample), (beta, policy));
            let case = case(options, 3, 4).unwrap();
            assert_eq!(case.models.len(), models);
            assert!(case.models.iter().all(|model| model.dim() == 3));
        }
    }
}
