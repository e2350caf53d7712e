//! Reading a configuration: every key is looked for by name, checked for type and range, and the keys that
//! nobody looked for are collected as warnings.

use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Activation, ClassifierConfig, DataMoments, Embedding, NetConfig, Norm, TimeConfig, TrunkConfig};
use crate::error::Result;
use crate::keys::{Keys, read_object, size_in, whole};
use crate::layered::Energy;
use crate::schedule::{Preconditioning, Prediction, Schedule, TimeFeature};

/// Every activation with its name in a configuration.
pub(crate) const ACTIVATIONS: [(&str, Activation); 4] = [
    ("silu", Activation::Silu),
    ("gelu", Activation::Gelu),
    ("tanh", Activation::Tanh),
    ("relu", Activation::Relu),
];

/// The object that `text` says, of the class `class`.
fn object(file: &Path, text: &str, class: &str) -> Result<Map<String, Value>> {
    let map = read_object(file, text)?;
    match map.get("class") {
        Some(Value::String(found)) if found == class => Ok(map),
        found => Err(Keys::new(file, &map).bad("class", found, format!("{class:?}"))),
    }
}

fn trunk(keys: &mut Keys, hidden: RangeInclusive<usize>) -> Result<TrunkConfig> {
    Ok(TrunkConfig {
        dim: keys.size("dim", 1..=4096)?,
        hidden: keys.size("hidden", hidden)?,
        layers: keys.size("layers", 1..=16)?,
        activation: keys.choice("activation", &ACTIVATIONS)?,
        norm: keys.choice("norm", &Norm::NAMES)?,
        skip: keys.get("skip", "true or false", Value::as_bool)?,
    })
}

fn time(mut keys: Keys, warnings: &mut Vec<String>) -> Result<TimeConfig> {
    let fourier = keys.choice("embedding", &[("fourier", true), ("sinusoidal", false)])?;
    let (max_period, scale) =
        (keys.number("max_period", Some(10000.0))?, keys.number("scale", Some(1000.0))?);
    let embedding = if fourier {
        Embedding::Fourier
    } else {
        let range = |ok: bool, key: &str, wanted: &str| match ok {
            true => Ok(()),
            false => Err(keys.bad(key, keys.map.get(key), wanted)),
        };
        range(max_period > 1.0 && max_period <= 1e9, "max_period", "above 1, at most 1e9")?;
        range(scale > 0.0 && scale <= 1e9, "scale", "above 0, at most 1e9")?;
        Embedding::Sinusoidal { max_period, scale }
    };
    let time = TimeConfig {
        embedding,
        dim: keys
            .get("dim", "an even number in 2 to 4096", |v| size_in(v, &(2..=4096)).filter(|n| n % 2 == 0))?,
        feature: keys.choice("feature", &TimeFeature::NAMES)?,
    };
    keys.done(warnings);
    Ok(time)
}

/// The schedule with its range (t_max, t_min).
pub(crate) fn schedule(mut keys: Keys, warnings: &mut Vec<String>) -> Result<(Schedule, f64, f64)> {
    let kinds = Schedule::NAMES.map(|name| (name, name));
    let schedule = match keys.choice("kind", &kinds)? {
        "ve" => Schedule::Ve {
            sigma_min: keys.number("sigma_min", None)?,
            sigma_max: keys.number("sigma_max", None)?,
        },
        "edm" => Schedule::Edm,
        "vp-linear" => {
            Schedule::VpLinear { b0: keys.number("b0", Some(0.1))?, b1: keys.number("b1", Some(20.0))? }
        }
        "vp-cosine" => Schedule::VpCosine { c: keys.number("c", Some(0.008))? },
        _ => Schedule::RectifiedFlow,
    };
    let (t_max, t_min) = schedule.default_range();
    let t_max = keys.number("t_max", Some(t_max))?;
    let t_min = keys.number("t_min", Some(t_min))?;
    schedule.check_range(t_max, t_min).map_err(|e| e.in_file(keys.file))?;
    keys.done(warnings);
    Ok((schedule, t_max, t_min))
}

pub(crate) fn preconditioning(mut keys: Keys, warnings: &mut Vec<String>) -> Result<Preconditioning> {
    let edm = keys.choice("kind", &[("none", false), ("edm", true)])?;
    let found = match edm {
        false => Preconditioning::None,
        true => Preconditioning::Edm { sigma_data: keys.number("sigma_data", None)? },
    };
    found.validate().map_err(|e| e.in_file(keys.file))?;
    keys.done(warnings);
    Ok(found)
}

/// `mean` and `std`.
pub(crate) fn data_moments(mut keys: Keys, warnings: &mut Vec<String>) -> Result<DataMoments> {
    let finite = |v: &Value| v.as_f64().filter(|x| x.abs() <= 1e9);
    let found = DataMoments {
        mean: keys.get("mean", "a number in -1e9 to 1e9", finite)?,
        std: keys.get("std", "a number in 0 to 1e9", |v| finite(v).filter(|x| *x >= 0.0))?,
    };
    keys.done(warnings);
    Ok(found)
}

/// The energy that the network is one of, if it is.
fn energy(keys: &mut Keys) -> Result<Option<Energy>> {
    let mut names = vec![("direct", None)];
    names.extend(Energy::NAMES.map(|(name, energy)| (name, Some(energy))));
    match keys.map.contains_key("parameterisation") {
        true => keys.choice("parameterisation", &names),
        false => Ok(None),
    }
}

impl NetConfig {
    /// Reads a denoiser's configuration from JSON text; `file` names it in messages. Gives warnings too, one
    /// for each key that is not known.
    pub fn parse(file: &Path, text: &str) -> Result<(Self, Vec<String>)> {
        let map = object(file, text, "mlp")?;
        let mut warnings = Vec::new();
        let mut keys = Keys::new(file, &map);
        keys.pass("class");
        let classes = 1..=100_000;
        let schedule_keys = keys.object("schedule")?;
        let (schedule, t_max, t_min) = schedule(schedule_keys, &mut warnings)?;
        let config = NetConfig {
            trunk: trunk(&mut keys, 64..=512)?,
            cond: keys.size("cond", 1..=4096)?,
            time: time(keys.object("time")?, &mut warnings)?,
            classes: keys
                .maybe("classes", format!("{} or null", whole(&classes)), |v| size_in(v, &classes))?,
            schedule,
            t_max,
            t_min,
            prediction: keys.choice("prediction", &Prediction::NAMES)?,
            preconditioning: match keys.maybe("preconditioning", "an object", Value::as_object)? {
                None => Preconditioning::None,
                Some(map) => preconditioning(keys.under("preconditioning", map), &mut warnings)?,
            },
            energy: energy(&mut keys)?,
            data: match keys.maybe("data", "an object", Value::as_object)? {
                None => None,
                Some(map) => Some(data_moments(keys.under("data", map), &mut warnings)?),
            },
        };
        if config.preconditioning != Preconditioning::None && config.prediction != Prediction::X0 {
            warnings.push(format!(
                "{}: prediction {} is not used, because edm preconditioning fixes what the output stands for",
                file.display(),
                config.prediction
            ));
        }
        config.check_energy(&keys)?;
        keys.done(&mut warnings);
        Ok((config, warnings))
    }

    /// An energy's gradient is the noise, as it stands.
    fn check_energy(&self, keys: &Keys) -> Result<()> {
        let sound = (self.prediction, self.preconditioning) == (Prediction::Eps, Preconditioning::None);
        if self.energy.is_none() || sound {
            return Ok(());
        }
        let found = keys.map.get("parameterisation");
        Err(keys.bad("parameterisation", found, "direct, unless prediction is eps without preconditioning"))
    }
}

impl ClassifierConfig {
    /// Reads a classifier's configuration from JSON text; `file` names it in messages. Gives warnings too, one
    /// for each key that is not known.
    pub fn parse(file: &Path, text: &str) -> Result<(Self, Vec<String>)> {
        let map = object(file, text, "classifier")?;
        let mut warnings = Vec::new();
        let mut keys = Keys::new(file, &map);
        keys.pass("class");
        let config = ClassifierConfig {
            trunk: trunk(&mut keys, 16..=512)?,
            outputs: keys.size("outputs", 1..=100_000)?,
        };
        keys.done(&mut warnings);
        Ok((config, warnings))
    }
}
