//! From flags to a twisted run, and back.

use serde_json::{Value, json};

use super::super::settings::{Settings, Twist};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::options::Options;
use crate::registry::Method;
use crate::twist::{TASKS, Task, Twisting};

/// What tds is told; the flags of it mean nothing to others.
pub fn twisting(settings: &Settings, method: Method, models: &[Model]) -> Result<Option<Twisting>> {
    let flags = &settings.twist;
    if method != Method::Tds {
        return match given(flags) {
            Some(flag) => Err(Error::input(flag, method, "--method tds beside it")),
            None => Ok(None),
        };
    }
    let Some(name) = &flags.task else {
        let names: Vec<&str> = TASKS.iter().map(|row| row.0).collect();
        return Err(Error::input("--task", "none", format!("one of {}, for tds", names.join(", "))));
    };
    let Some(file) = &flags.operator else {
        let wanted = "a safetensors file with the numbers of the task";
        return Err(Error::input("--operator", "none", wanted));
    };
    let dim = models.first().map_or(0, Model::dim);
    let usual = Twisting::new(Task::open(file, name, flags.noise, dim)?);
    Ok(Some(Twisting {
        spread: flags.twist_variance.unwrap_or(usual.spread),
        scale: flags.twist_scale.unwrap_or(usual.scale),
        lean: flags.twist_lean.unwrap_or(usual.lean),
        proposal_variance: flags.proposal_variance.unwrap_or(usual.proposal_variance),
        chain: flags.chain.unwrap_or(usual.chain),
        task: usual.task,
    }))
}

/// The first of the flags that is there.
fn given(flags: &Twist) -> Option<&'static str> {
    [
        ("--task", flags.task.is_some()),
        ("--operator", flags.operator.is_some()),
        ("--noise", flags.noise.is_some()),
        ("--twist-variance", flags.twist_variance.is_some()),
        ("--twist-scale", flags.twist_scale.is_some()),
        ("--twist-lean", flags.twist_lean.is_some()),
        ("--proposal-variance", flags.proposal_variance.is_some()),
        ("--chain", flags.chain.is_some()),
    ]
    .into_iter()
    .find_map(|(flag, given)| given.then_some(flag))
}

/// The keys of a run file that say the same.
pub fn config(options: &Options, settings: &Settings) -> Vec<(&'static str, Value)> {
    let (Some(twisting), Some(file)) = (&options.twisting, &settings.twist.operator) else {
        return Vec::new();
    };
    let mut all = vec![
        ("task", json!(twisting.task.name())),
        ("operator", json!(file.display().to_string())),
        ("twist-variance", json!(twisting.spread.to_string())),
        ("twist-scale", json!(twisting.scale)),
        ("twist-lean", json!(twisting.lean)),
        ("proposal-variance", json!(twisting.proposal_variance)),
        ("chain", json!(twisting.chain.to_string())),
    ];
    all.extend(settings.twist.noise.map(|noise| ("noise", json!(noise))));
    all
}
