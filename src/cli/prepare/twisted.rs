//! From flags to a twisted run, and back.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::settings::{Settings, Twist};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::options::Options;
use crate::registry::Method;
use crate::twist::{CLASSIFIER, Potential, Proposal, TASKS, Task, Twisting, unwanted};

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
    let dim = models.first().map_or(0, Model::dim);
    let task = match &flags.operator {
        Some(file) => {
            unwanted("--operator", (name == CLASSIFIER).then_some(file.display()), name)?;
            unwanted("--classifier", flags.classifier.as_deref().map(Path::display), name)?;
            unwanted("--classifier-scale", flags.classifier_scale, name)?;
            Task::open(file, name, flags.noise, dim)?
        }
        None if name == CLASSIFIER => {
            unwanted("--noise", flags.noise, name)?;
            let [class] = settings.class[..] else {
                let wanted = "1, that of --task classifier";
                return Err(Error::input("number of classes (--class)", settings.class.len(), wanted));
            };
            Task::Classifier { class, scale: flags.classifier_scale.unwrap_or(1.0) }
        }
        None => {
            let wanted = "a safetensors file with the numbers of the task";
            return Err(Error::input("--operator", "none", wanted));
        }
    };
    let usual = Twisting::new(task);
    Ok(Some(Twisting {
        spread: flags.twist_variance.unwrap_or(usual.spread),
        scale: flags.twist_scale.unwrap_or(usual.scale),
        lean: flags.twist_lean.unwrap_or(usual.lean),
        proposal_variance: flags.proposal_variance.unwrap_or(usual.proposal_variance),
        chain: flags.chain.unwrap_or(usual.chain),
        potential: flags.potential.unwrap_or(usual.potential),
        range: flags.twist_range.as_deref().map(range).transpose()?,
        proposal: flags.proposal.unwrap_or(usual.proposal),
        task: usual.task,
    }))
}

/// `LOW:HIGH`.
fn range(text: &str) -> Result<(f64, f64)> {
    let ends = text.split_once(':').and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
    ends.ok_or_else(|| Error::input("--twist-range", format!("{text:?}"), "LOW:HIGH, two numbers"))
}

/// The classifier that stands behind the model, if the task wants one. Gives warnings too.
pub fn judge(settings: &Settings, method: Method) -> Result<Option<(Model, Vec<String>)>> {
    let flags = &settings.twist;
    if method != Method::Tds || flags.task.as_deref() != Some(CLASSIFIER) {
        return Ok(None);
    }
    match &flags.classifier {
        Some(path) => Model::classifier(path).map(Some),
        None => {
            Err(Error::input("--classifier", "none", "the folder of a classifier, for --task classifier"))
        }
    }
}

/// The first of the flags that is there.
fn given(flags: &Twist) -> Option<&'static str> {
    [
        ("--task", flags.task.is_some()),
        ("--operator", flags.operator.is_some()),
        ("--classifier", flags.classifier.is_some()),
        ("--classifier-scale", flags.classifier_scale.is_some()),
        ("--noise", flags.noise.is_some()),
        ("--twist-variance", flags.twist_variance.is_some()),
        ("--twist-scale", flags.twist_scale.is_some()),
        ("--twist-lean", flags.twist_lean.is_some()),
        ("--proposal-variance", flags.proposal_variance.is_some()),
        ("--chain", flags.chain.is_some()),
        ("--twist-range", flags.twist_range.is_some()),
        ("--proposal", flags.proposal.is_some()),
        ("--potential", flags.potential.is_some()),
    ]
    .into_iter()
    .find_map(|(flag, given)| given.then_some(flag))
}

/// The keys of a run file that say the same.
pub fn config(options: &Options, settings: &Settings) -> Vec<(&'static str, Value)> {
    let Some(twisting) = &options.twisting else { return Vec::new() };
    let mut all = vec![
        ("task", json!(twisting.task.name())),
        ("twist-variance", json!(twisting.spread.to_string())),
        ("twist-scale", json!(twisting.scale)),
        ("twist-lean", json!(twisting.lean)),
        ("proposal-variance", json!(twisting.proposal_variance)),
        ("chain", json!(twisting.chain.to_string())),
    ];
    if twisting.potential != Potential::Difference {
        all.push(("potential", json!(twisting.potential.to_string())));
    }
    if twisting.proposal != Proposal::Twisted {
        all.push(("proposal", json!(twisting.proposal.to_string())));
    }
    all.extend(twisting.range.map(|(low, high)| ("twist-range", json!(format!("{low}:{high}")))));
    let path = |key: &'static str, path: &Option<PathBuf>| {
        path.as_ref().map(|path| (key, json!(path.display().to_string())))
    };
    all.extend(path("operator", &settings.twist.operator));
    all.extend(path("classifier", &settings.twist.classifier));
    if let Task::Classifier { scale, .. } = twisting.task {
        all.push(("classifier-scale", json!(scale)));
    }
    all.extend(settings.twist.noise.map(|noise| ("noise", json!(noise))));
    all
}
