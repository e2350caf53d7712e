//! The names of schedules, grids and predictions on the command line: `name`, or
//! `name:key=number,key=number` where there are constants. What is displayed can be parsed again.

use std::fmt;
use std::str::FromStr;

use super::{Grid, Preconditioning, Prediction, Schedule, TimeFeature};
use crate::error::{Error, Result};

/// A parsed `name:key=number,…`: takes the constants by name, and complains of what is left.
struct Named<'a> {
    what: &'static str,
    name: &'a str,
    constants: Vec<(&'a str, f64)>,
}

impl<'a> Named<'a> {
    fn parse(what: &'static str, text: &'a str) -> Result<Self> {
        let (name, rest) = match text.split_once(':') {
            Some((name, rest)) => (name, Some(rest)),
            None => (text, None),
        };
        let mut constants: Vec<(&str, f64)> = Vec::new();
        for part in rest.into_iter().flat_map(|rest| rest.split(',')) {
            let bad = |wanted: &str| {
                Error::input(format!("constants of the {what} {text:?}"), format!("{part:?}"), wanted)
            };
            let (key, number) = part.split_once('=').ok_or_else(|| bad("key=number"))?;
            let number: f64 = number.trim().parse().map_err(|_| bad("key=number, with a decimal number"))?;
            let key = key.trim();
            if constants.iter().any(|(k, _)| *k == key) {
                return Err(bad("each key once"));
            }
            constants.push((key, number));
        }
        Ok(Named { what, name: name.trim(), constants })
    }

    fn take(&mut self, key: &str, usual: f64) -> f64 {
        match self.constants.iter().position(|(k, _)| *k == key) {
            Some(i) => self.constants.swap_remove(i).1,
            None => usual,
        }
    }

    /// `value`, if every constant was taken.
    fn done<T>(self, value: T) -> Result<T> {
        match self.constants.first() {
            None => Ok(value),
            Some((key, _)) => Err(Error::input(
                format!("constants of the {} {}", self.what, self.name),
                format!("{key:?}"),
                "only constants that it has",
            )),
        }
    }

    fn unknown<T>(&self, wanted: &str) -> Result<T> {
        Err(Error::input(self.what, format!("{:?}", self.name), format!("one of {wanted}")))
    }
}

impl Schedule {
    /// The names that can be parsed.
    pub const NAMES: [&str; 5] = ["ve", "edm", "vp-linear", "vp-cosine", "rectified-flow"];

    /// The name, without the constants.
    pub fn name(&self) -> &'static str {
        match self {
            Schedule::Ve { .. } => "ve",
            Schedule::Edm => "edm",
            Schedule::VpLinear { .. } => "vp-linear",
            Schedule::VpCosine { .. } => "vp-cosine",
            Schedule::RectifiedFlow => "rectified-flow",
        }
    }
}

impl FromStr for Schedule {
    type Err = Error;

    /// `ve:sigma_min=0.01,sigma_max=50`, `edm`, `vp-linear:b0=0.1,b1=20`, `vp-cosine:c=0.008`,
    /// `rectified-flow`; constants left out take these values. The result is validated.
    fn from_str(text: &str) -> Result<Self> {
        let mut named = Named::parse("schedule", text)?;
        let schedule = match named.name {
            "ve" => Schedule::Ve {
                sigma_min: named.take("sigma_min", 0.01),
                sigma_max: named.take("sigma_max", 50.0),
            },
            "edm" => Schedule::Edm,
            "vp-linear" => Schedule::VpLinear {
                b0: named.take("b0", super::usual_b0()),
                b1: named.take("b1", super::usual_b1()),
            },
            "vp-cosine" => Schedule::VpCosine { c: named.take("c", super::usual_c()) },
            "rectified-flow" => Schedule::RectifiedFlow,
            _ => return named.unknown(&Schedule::NAMES.join(", ")),
        };
        schedule.validate()?;
        named.done(schedule)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Schedule::Ve { sigma_min, sigma_max } => {
                write!(f, ":sigma_min={sigma_min},sigma_max={sigma_max}")
            }
            Schedule::VpLinear { b0, b1 } => write!(f, ":b0={b0},b1={b1}"),
            Schedule::VpCosine { c } => write!(f, ":c={c}"),
            Schedule::Edm | Schedule::RectifiedFlow => Ok(()),
        }
    }
}

impl Grid {
    /// The names that can be parsed.
    pub const NAMES: [&str; 3] = ["uniform", "edm-rho", "log-snr"];
}

impl FromStr for Grid {
    type Err = Error;

    /// `uniform`, `edm-rho` (rho 7) or `edm-rho:rho=5`, `log-snr`.
    fn from_str(text: &str) -> Result<Self> {
        let mut named = Named::parse("grid", text)?;
        let grid = match named.name {
            "uniform" => Grid::Uniform,
            "edm-rho" => Grid::EdmRho { rho: named.take("rho", 7.0) },
            "log-snr" => Grid::LogSnr,
            _ => return named.unknown(&Grid::NAMES.join(", ")),
        };
        grid.validate()?;
        named.done(grid)
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Grid::Uniform => f.write_str("uniform"),
            Grid::EdmRho { rho } => write!(f, "edm-rho:rho={rho}"),
            Grid::LogSnr => f.write_str("log-snr"),
        }
    }
}

impl Prediction {
    /// Every prediction with its name.
    pub const NAMES: [(&str, Prediction); 5] = [
        ("eps", Prediction::Eps),
        ("x0", Prediction::X0),
        ("v", Prediction::V),
        ("velocity", Prediction::Velocity),
        ("score", Prediction::Score),
    ];
}

impl TimeFeature {
    /// Every time feature with its name.
    pub const NAMES: [(&str, TimeFeature); 2] = [("log_snr", TimeFeature::LogSnr), ("t", TimeFeature::T)];
}

named!(Prediction, "prediction", Prediction::NAMES);
named!(TimeFeature, "time feature", TimeFeature::NAMES);

impl FromStr for Preconditioning {
    type Err = Error;

    /// `none`, or `edm` (sigma_data 0.5) or `edm:sigma_data=1.2`.
    fn from_str(text: &str) -> Result<Self> {
        let mut named = Named::parse("preconditioning", text)?;
        let found = match named.name {
            "none" => Preconditioning::None,
            "edm" => Preconditioning::Edm { sigma_data: named.take("sigma_data", 0.5) },
            _ => return named.unknown("none, edm"),
        };
        found.validate()?;
        named.done(found)
    }
}

impl fmt::Display for Preconditioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Preconditioning::None => f.write_str("none"),
            Preconditioning::Edm { sigma_data } => write!(f, "edm:sigma_data={sigma_data}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::schedules;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_come_back() {
        for schedule in schedules() {
            assert_eq!(schedule.to_string().parse::<Schedule>().unwrap(), schedule);
            let json = serde_json::to_string(&schedule).unwrap();
            assert_eq!(serde_json::from_str::<Schedule>(&json).unwrap(), schedule);
            assert!(Schedule::NAMES.contains(&schedule.name()));
            assert!(json.contains(&format!("\"kind\":\"{}\"", schedule.name())));
        }
        for grid in [Grid::Uniform, Grid::EdmRho { rho: 3.5 }, Grid::LogSnr] {
            assert_eq!(grid.to_string().parse::<Grid>().unwrap(), grid);
        }
        for prediction in Prediction::NAMES.map(|(_, p)| p) {
            assert_eq!(prediction.to_string().parse::<Prediction>().unwrap(), prediction);
            assert_eq!(serde_json::to_value(prediction).unwrap(), prediction.to_string());
        }
        for (name, feature) in TimeFeature::NAMES {
            assert_eq!(name.parse::<TimeFeature>().unwrap(), feature);
            assert_eq!(serde_json::to_value(feature).unwrap(), name);
        }
        for p in [Preconditioning::None, Preconditioning::Edm { sigma_data: 1.25 }] {
            assert_eq!(p.to_string().parse::<Preconditioning>().unwrap(), p);
        }
        assert_eq!(Grid::EdmRho { rho: 7.0 }, "edm-rho".parse().unwrap());
        assert_eq!(Schedule::VpLinear { b0: 0.1, b1: 5.0 }, "vp-linear:b1=5".parse().unwrap());
        assert_eq!(
            "cosine".parse::<Schedule>().unwrap_err().to_string(),
            "schedule: found \"cosine\", wanted one of ve, edm, vp-linear, vp-cosine, rectified-flow"
        );
        for bad in [
            "",
            "ve:",
            "ve:sigma_min",
            "ve:sigma_min=x",
            "ve:sigma_min=-1",
            "ve:c=1",
            "edm:c=1",
            "ve:sigma_min=1,sigma_min=2",
        ] {
            assert!(bad.parse::<Schedule>().is_err(), "{bad:?}");
        }
        assert!("x1".parse::<Prediction>().is_err());
        assert!("edm-rho:rho=0".parse::<Grid>().is_err());
    }

    proptest! {
    #[test]
    fn any_text_is_an_answer_not_a_panic(text in "[a-z0-9:=,. -]{0,30}") {
        let _ = text.parse::<Schedule>();
        let _ = text.parse::<Grid>();
        let _ = text.parse::<Prediction>();
        let _ = text.parse::<Preconditioning>();
    }
    }
}
