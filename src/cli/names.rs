//! The names of options on the command line and in run files: what is displayed can be parsed again.

use std::fmt;
use std::str::FromStr;

use feynkac_kernels::passes::mlp::Compute;

use crate::aim::{Densities, Divergence, Growth};
use crate::error::{Error, Result};
use crate::options::{Final, Policy, Rule, Sde, State};
use crate::registry::{JUMPS, METHODS, Method, SCHEMES, Scheme};

/// A value that is not one of `wanted`, quoted as [`wanted`] expects it.
fn unknown<T>(what: &str, text: &str, wanted: &str) -> Result<T> {
    Err(Error::input(what, format!("{text:?}"), wanted))
}

/// (name, rule, doc) of every weight rule.
pub const RULES: &[(&str, Rule, &str)] = &[
    ("left", Rule::Left, "rate at the old state; bias O(h)"),
    ("right", Rule::Right, "rate at the new state; bias O(h)"),
    ("trap", Rule::Trap, "mean of the rates at both states; the default"),
    ("exact", Rule::Exact, "from log-densities, unbiased at any step size; closed forms and energies only"),
];

/// (name, state, doc) of every way to keep positions and carried scores.
pub const STATES: &[(&str, State, &str)] = &[
    ("f32", State::F32, "32 bits; the default"),
    ("f16", State::F16, "16 bits, half the traffic, where the device can"),
];

/// (name, choice, doc) of what can be done at the end.
pub const FINALS: &[(&str, Final, &str)] = &[
    ("weighted", Final::Weighted, "particles with their log-weights; the default"),
    ("resample", Final::Resample, "one more resampling, all weights equal"),
];

/// (name, where from, doc) of every source of log-densities.
pub const DENSITIES: &[(&str, Densities, &str)] = &[
    ("exact", Densities::Exact, "closed forms where there are; of networks estimated; the default"),
    ("ito", Densities::Ito, "estimated along the particles, by Ito's formula"),
];

/// (spelling, doc) of every way to take the divergence of a transport's network.
pub const DIVERGENCES: &[(&str, &str)] = &[
    ("exact", "along every axis, as many passes as coordinates; the default"),
    ("hutchinson:K", "along K vectors of random signs; unbiased"),
];

/// (spelling, doc) of every way the weight of a reward grows.
pub const GROWTHS: &[(&str, &str)] = &[
    ("signal", "with the share of the signal, alpha^2/(alpha^2 + sigma^2); the default"),
    ("linear", "in equal parts of log(sigma/alpha)"),
    (
        "ess:F",
        "as signal, after each step no further than the ESS stays above F N, F in (0, 1); biased by O(1/N)",
    ),
];

/// (spelling, doc) of every time to resample.
pub const POLICIES: &[(&str, &str)] = &[
    ("never", "importance sampling"),
    ("every", "after every step"),
    ("ess:F", "when the ESS falls below F N, F in (0, 1]; the default is ess:0.5"),
    ("interval:N", "every N steps"),
    ("window:A:B", "every step in noise times [A, B], weights accrue only there: another target"),
];

/// (spelling, doc) of every noise of the sampler.
pub const SDES: &[(&str, &str)] = &[
    ("target-score", "zeta = 1: the SDE of the target's score; the default"),
    ("tempered-noise", "zeta = 1/sqrt(beta)"),
    ("ode", "zeta = 0: no noise, so no resampling"),
    ("zeta:F", "any zeta of at least 0"),
];

fn spellings(rows: &[(&str, &str)]) -> String {
    rows.iter().map(|row| row.0).collect::<Vec<_>>().join(", ")
}

named!(Rule, "rule", RULES);
named!(State, "state", STATES);
named!(Final, "final", FINALS);
named!(Densities, "densities", DENSITIES);
named!(Method, "method", METHODS.iter().map(|row| (row.name, row.method)).collect::<Vec<_>>());

/// The name of a scheme, without its number of steps.
fn first_part(spelling: &str) -> &str {
    spelling.split(':').next().unwrap_or(spelling)
}

impl FromStr for Scheme {
    type Err = Error;

    /// `systematic`, `metropolis`, `metropolis:64`.
    fn from_str(text: &str) -> Result<Self> {
        let (name, steps) = match text.trim().split_once(':') {
            Some((name, steps)) => (name, Some(steps)),
            None => (text.trim(), None),
        };
        let row = SCHEMES.iter().chain(JUMPS).find(|row| first_part(row.1) == name);
        let found = match (row, steps) {
            (Some(row), None) => Some(row.0),
            (Some(row), Some(steps)) => steps.parse().ok().and_then(|steps| row.0.with_steps(steps)),
            (None, _) => None,
        };
        let names = || SCHEMES.iter().chain(JUMPS).map(|row| row.1).collect::<Vec<_>>().join(", ");
        found.map_or_else(|| unknown("scheme", text, &format!("one of {}", names())), Ok)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let same = |row: &Scheme| std::mem::discriminant(row) == std::mem::discriminant(self);
        let name = SCHEMES.iter().chain(JUMPS).find(|row| same(&row.0)).map_or("", |row| first_part(row.1));
        match self {
            Scheme::Metropolis(steps) | Scheme::Megopolis(steps) => write!(f, "{name}:{steps}"),
            _ => f.write_str(name),
        }
    }
}

impl FromStr for Policy {
    type Err = Error;

    /// `never`, `every`, `ess:0.5`, `interval:10`, `window:0.1:0.8`.
    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.trim().split(':').collect();
        let found = match parts[..] {
            ["never"] => Some(Policy::Never),
            ["every"] => Some(Policy::Every),
            ["ess", share] => share.parse().ok().map(Policy::Ess),
            ["interval", steps] => steps.parse().ok().map(Policy::Interval),
            ["window", a, b] => a.parse().ok().zip(b.parse().ok()).map(|(a, b)| Policy::Window(a, b)),
            _ => None,
        };
        found.map_or_else(|| unknown("resample", text, &format!("one of {}", spellings(POLICIES))), Ok)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Policy::Never => f.write_str("never"),
            Policy::Every => f.write_str("every"),
            Policy::Ess(share) => write!(f, "ess:{share}"),
            Policy::Interval(steps) => write!(f, "interval:{steps}"),
            Policy::Window(a, b) => write!(f, "window:{a}:{b}"),
        }
    }
}

impl FromStr for Growth {
    type Err = Error;

    /// `signal`, `linear`, `ess:0.5`.
    fn from_str(text: &str) -> Result<Self> {
        let found = match text.trim() {
            "signal" => Some(Growth::Signal),
            "linear" => Some(Growth::Linear),
            other => other.strip_prefix("ess:").and_then(|share| share.parse().ok()).map(Growth::Ess),
        };
        found.map_or_else(|| unknown("reward-growth", text, &format!("one of {}", spellings(GROWTHS))), Ok)
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Growth::Signal => f.write_str("signal"),
            Growth::Linear => f.write_str("linear"),
            Growth::Ess(share) => write!(f, "ess:{share}"),
        }
    }
}

impl FromStr for Divergence {
    type Err = Error;

    /// `exact`, `hutchinson:8`.
    fn from_str(text: &str) -> Result<Self> {
        let found = match text.trim() {
            "exact" => Some(Divergence::Exact),
            other => {
                other.strip_prefix("hutchinson:").and_then(|k| k.parse().ok()).map(Divergence::Hutchinson)
            }
        };
        found.map_or_else(|| unknown("divergence", text, &format!("one of {}", spellings(DIVERGENCES))), Ok)
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Divergence::Exact => f.write_str("exact"),
            Divergence::Hutchinson(probes) => write!(f, "hutchinson:{probes}"),
        }
    }
}

impl FromStr for Sde {
    type Err = Error;

    /// `target-score`, `tempered-noise`, `ode`, `zeta:0.7`.
    fn from_str(text: &str) -> Result<Self> {
        let found = match text.trim() {
            "target-score" => Some(Sde::TargetScore),
            "tempered-noise" => Some(Sde::TemperedNoise),
            "ode" => Some(Sde::Ode),
            other => other.strip_prefix("zeta:").and_then(|zeta| zeta.parse().ok()).map(Sde::Zeta),
        };
        found.map_or_else(|| unknown("sde", text, &format!("one of {}", spellings(SDES))), Ok)
    }
}

impl fmt::Display for Sde {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sde::TargetScore => f.write_str("target-score"),
            Sde::TemperedNoise => f.write_str("tempered-noise"),
            Sde::Ode => f.write_str("ode"),
            Sde::Zeta(zeta) => write!(f, "zeta:{zeta}"),
        }
    }
}

/// A named value of a flag, for clap: the message says what was wanted, clap the flag and what was
/// found.
pub fn named<T: FromStr<Err = Error>>(text: &str) -> std::result::Result<T, String> {
    text.parse().map_err(|error| match error {
        Error::Input { found, wanted, .. } if found == format!("{text:?}") => format!("wanted {wanted}"),
        other => other.to_string(),
    })
}

/// A device of a flag, for clap; the value stays text, because the report shows it.
pub fn device(text: &str) -> std::result::Result<String, String> {
    match text.parse::<feynkac_kernels::device::Request>() {
        Ok(_) => Ok(text.to_string()),
        Err(_) => Err("wanted auto, cpu[:threads], wgpu[:index] or cuda[:index]".to_string()),
    }
}

/// What networks are multiplied in, for clap.
pub fn compute(text: &str) -> std::result::Result<Compute, String> {
    text.parse().map_err(|_| {
        let names = Compute::NAMES.map(|(name, _)| name).join(", ");
        format!("wanted one of {names}")
    })
}

/// A whole number of a flag, for clap.
pub fn whole<T: FromStr>(text: &str) -> std::result::Result<T, String> {
    text.trim().parse().map_err(|_| "wanted a whole number, at least 0".to_string())
}

/// A number of a flag, for clap; its range is checked with the other options.
pub fn number(text: &str) -> std::result::Result<f64, String> {
    text.trim().parse().map_err(|_| "wanted a number".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Schedule;

    #[test]
    fn names_come_back() {
        let policies =
            [Policy::Never, Policy::Every, Policy::Ess(0.25), Policy::Interval(7), Policy::Window(0.1, 0.8)];
        for policy in policies {
            assert_eq!(policy.to_string().parse::<Policy>().unwrap(), policy);
        }
        for sde in [Sde::TargetScore, Sde::TemperedNoise, Sde::Ode, Sde::Zeta(0.3)] {
            assert_eq!(sde.to_string().parse::<Sde>().unwrap(), sde);
        }
        for row in RULES {
            assert_eq!(row.0.parse::<Rule>().unwrap(), row.1);
            assert_eq!(row.1.to_string(), row.0);
            assert_eq!(serde_json::to_value(row.1).unwrap(), row.0);
        }
        for row in FINALS {
            assert_eq!(row.0.parse::<Final>().unwrap(), row.1);
            assert_eq!(serde_json::to_value(row.1).unwrap(), row.0);
        }
        for row in METHODS {
            assert_eq!(row.name.parse::<Method>().unwrap(), row.method);
            assert_eq!(row.method.to_string(), row.name);
        }
        for row in SCHEMES.iter().chain(JUMPS) {
            assert_eq!(first_part(row.1).parse::<Scheme>().unwrap(), row.0);
            assert_eq!(row.0.to_string().parse::<Scheme>().unwrap(), row.0);
        }
    }

    #[test]
    fn what_is_refused_says_what_was_wanted() {
        for bad in
            ["", "ess", "ess:", "ess:x", "interval:-1", "interval:1.5", "window:1", "window:1:2:3", "Never"]
        {
            let message = bad.parse::<Policy>().unwrap_err().to_string();
            let wanted = "wanted one of never, every, ess:F, interval:N, window:A:B";
            assert_eq!(message, format!("resample: found {bad:?}, {wanted}"));
            assert_eq!(named::<Policy>(bad).unwrap_err(), wanted);
        }
        for bad in ["", "zeta", "zeta:", "zeta:x", "sde"] {
            let wanted = "wanted one of target-score, tempered-noise, ode, zeta:F";
            assert_eq!(named::<Sde>(bad).unwrap_err(), wanted);
        }
        assert_eq!(
            named::<Method>("fkc").unwrap_err(),
            "wanted one of plain, fkc-anneal, fkc-guidance, fkc-product, fkc-compose, fkc-mixture, fkc-transport, tds"
        );
        for bad in ["", "roulette", "systematic:3", "metropolis:", "metropolis:x", "metropolis:1:2"] {
            let wanted = "wanted one of systematic, stratified, multinomial, residual, metropolis:B, \
                megopolis:B, rejection, birth-death, clock";
            assert_eq!(named::<Scheme>(bad).unwrap_err(), wanted);
        }
        assert_eq!("metropolis:64".parse::<Scheme>().unwrap(), Scheme::Metropolis(64));
        let constants = named::<Schedule>("edm:c=1").unwrap_err();
        assert_eq!(
            constants,
            "constants of the schedule edm: found \"c\", wanted only constants that it has"
        );
        assert_eq!(whole::<usize>("-5").unwrap_err(), "wanted a whole number, at least 0");
        assert_eq!(whole::<u64>(" 18446744073709551615 "), Ok(u64::MAX));
        assert_eq!(number("x").unwrap_err(), "wanted a number");
        assert!(number("nan").is_ok_and(f64::is_nan), "refused with the other options, by name");
        assert!(device("tpu").unwrap_err().starts_with("wanted auto, cpu"));
        assert_eq!(device("cpu:2").unwrap(), "cpu:2");
    }
}
