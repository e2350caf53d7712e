//! What the bundle does on a machine: every pass beside its oracle, then the figures that goals are set for, one part
//! for each device and code generator; and the record of all parts.

mod figures;
pub mod goals;
pub mod record;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use feynkac::kernels::device::{Device, Request, list};
use feynkac::measure::{Spread, copy_rate};
use feynkac::verify::passes::PASSES;
use serde::{Deserialize, Serialize};

/// Quartiles: lower, median, upper.
pub type Quartiles = [f64; 3];

fn quartiles(s: Spread) -> Quartiles {
    [s.lower, s.median, s.upper]
}

/// A pass beside its oracle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// The pass.
    pub pass: String,
    /// What was found.
    pub said: String,
    /// Whether every number is explained by rounding.
    pub agrees: bool,
}

/// Something timed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Its name in [`goals`].
    pub key: String,
    /// What it is.
    pub what: String,
    /// Particles.
    pub particles: usize,
    /// Seconds, or why there are none.
    pub seconds: Result<Quartiles, String>,
    /// Bytes that had to be read and written in that time.
    pub bytes: f64,
}

/// One device, by one code generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// As `--device` names it.
    pub device: String,
    /// What makes code of kernels.
    pub generator: String,
    /// Why it was not run.
    pub not_run: Option<String>,
    /// The device as it names itself.
    pub name: String,
    /// What it compiles for, or its driver.
    pub driver: String,
    /// No GPU: software does its work.
    pub software: bool,
    /// Every pass.
    pub passes: Vec<Checked>,
    /// Bytes a second of a copy, read and written.
    pub copy: Option<Quartiles>,
    /// What was timed, each compared with its own oracle first.
    pub figures: Vec<Figure>,
}

impl Part {
    /// A part that is not run.
    pub fn missing(device: &str, generator: &str, why: impl Into<String>) -> Self {
        Self {
            device: device.to_owned(),
            generator: generator.to_owned(),
            not_run: Some(why.into()),
            name: String::new(),
            driver: String::new(),
            software: false,
            passes: Vec::new(),
            copy: None,
            figures: Vec::new(),
        }
    }

    /// Whether it was run and every pass agrees.
    pub fn right(&self) -> bool {
        self.not_run.is_none() && !self.passes.is_empty() && self.passes.iter().all(|pass| pass.agrees)
    }

    /// Whether it was run on a GPU.
    pub fn on_gpu(&self) -> bool {
        self.not_run.is_none() && !self.software
    }

    /// Runs the part of `name`, a device; `tell` hears of every step.
    pub fn of(name: &str, timed: bool, mut tell: impl FnMut(&str)) -> Self {
        let device = match name.parse::<Request>().and_then(Device::open) {
            Ok(device) => device,
            Err(error) => {
                let by = match name.parse::<Request>() {
                    Ok(Request::Exactly(backend)) => backend.generator(),
                    _ => "",
                };
                return Self::missing(name, by, error.to_string());
            }
        };
        let software = list().iter().any(|row| row.backend == device.backend() && row.software);
        let mut part = Self {
            not_run: None,
            name: device.name().to_owned(),
            driver: device.driver().to_owned(),
            software: software || device.is_cpu(),
            ..Self::missing(name, device.backend().generator(), "")
        };
        for (pass, check) in PASSES {
            let verdict = caught(|| check(&device).map_err(|error| error.to_string()));
            let agrees = verdict.as_ref().is_ok_and(|verdict| verdict.agrees());
            let said = verdict.map_or_else(|why| why, |verdict| verdict.to_string());
            tell(&format!("{pass}: {}{said}", if agrees { "" } else { "WRONG: " }));
            part.passes.push(Checked { pass: (*pass).to_owned(), said, agrees });
        }
        if !timed {
            return part;
        }
        match caught(|| copy_rate(&device, figures::ROUNDS).map_err(|error| error.to_string())) {
            Ok(rate) => part.copy = Some(quartiles(rate)),
            Err(why) => tell(&format!("copy: {why}")),
        }
        for figure in figures::all(&device, part.software) {
            let seconds =
                caught(|| (figure.time)(&device, figure.particles).map_err(|error| error.to_string()));
            let bytes = seconds.as_ref().map_or(0.0, |(_, bytes)| *bytes);
            let seconds = seconds.map(|(seconds, _)| quartiles(seconds));
            let shown = seconds.as_ref().map_or_else(Clone::clone, |s| format!("{:.1} us", 1e6 * s[1]));
            tell(&format!("{}, N = {}: {shown}", figure.what, figure.particles));
            part.figures.push(Figure {
                key: figure.key.to_owned(),
                what: figure.what.to_owned(),
                particles: figure.particles,
                seconds,
                bytes,
            });
        }
        part
    }
}

/// A panic of a runtime is what went wrong, not the end.
fn caught<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|cause| Err(format!("panicked: {}", message(&*cause))))
}

fn message(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().cloned();
    text.or_else(|| cause.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_is_reported() {
        assert_eq!(caught(|| Ok(3)), Ok(3));
        assert_eq!(
            caught(|| -> Result<(), String> { panic!("on {}", "purpose") }),
            Err("panicked: on purpose".into())
        );
    }

    #[test]
    fn a_device_that_is_not_there_is_a_part_that_was_not_run() {
        let part = Part::of("cpu:4095", true, |_| ());
        assert!(part.not_run.as_ref().is_some_and(|why| why.contains("cores")), "{part:?}");
        assert!(!part.right() && !part.on_gpu());
    }
}
