//! What a run leaves behind: the report, the table for people, and the files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use feynkac_kernels::device::Device;
use feynkac_kernels::passes::mlp::Compute;
use serde::Serialize;
use serde_json::Value;

use super::table::{columns, short};
use super::{picture, prepare::Job};
use crate::error::{Error, Result};
use crate::langevin::Langevin;
use crate::run::{Climbed, Counters, Ladder, Outcome, Refined, Timings};
use crate::trust::{OverGroups, Trust, Verdict};
use crate::weights::{Data, Tensor, save, write_atomically};

/// The version of the report's fields.
const SCHEMA_VERSION: u32 = 1;

/// One of a kind, or one of each group.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Each<T> {
    One(T),
    Groups(Vec<T>),
}

impl<T: Clone> Each<T> {
    fn of(groups: &[T]) -> Self {
        match groups {
            [one] => Each::One(one.clone()),
            many => Each::Groups(many.to_vec()),
        }
    }
}

#[derive(Clone, Debug, Serialize)]
struct On {
    backend: String,
    name: String,
    driver: Option<String>,
}

/// Sweeps of particle Gibbs, in the report.
#[derive(Clone, Debug, Serialize)]
struct Sweeps {
    sweeps: usize,
    renewed: Vec<f64>,
}

impl Sweeps {
    fn of(refined: &Refined) -> Self {
        Self { sweeps: refined.sweeps, renewed: refined.renewed.clone() }
    }
}

/// `report.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    schema_version: u32,
    config: Value,
    device: On,
    compute: Vec<String>,
    log_z: Each<f64>,
    ess: Each<Vec<f64>>,
    resampled_at: Each<Vec<usize>>,
    distinct_roots: Each<usize>,
    verdict: Verdict,
    trust: Each<Trust>,
    over_groups: Option<OverGroups>,
    refined: Option<Sweeps>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ladder: Option<Climbed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    divergence_error: Option<f64>,
    steady_state: String,
    counters: Counters,
    timings: Timings,
}

impl Report {
    /// Of a run.
    pub fn new(job: &Job, device: &Device, outcome: &Outcome) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            config: job.config.clone(),
            device: On {
                backend: device.backend().to_string(),
                name: device.name().to_string(),
                driver: Some(device.driver().to_owned()),
            },
            compute: outcome.compute.iter().map(Compute::to_string).collect(),
            log_z: Each::of(&outcome.log_z),
            ess: Each::of(&outcome.ess),
            resampled_at: Each::of(&outcome.resampled_at),
            distinct_roots: Each::of(&outcome.distinct_roots),
            verdict: verdict(outcome),
            trust: Each::of(&outcome.trust),
            over_groups: outcome.over_groups(),
            refined: outcome.refined.as_ref().map(Sweeps::of),
            ladder: outcome.ladder.as_ref().map(Ladder::climbed),
            divergence_error: outcome.divergence_error,
            steady_state: outcome.steady.to_string(),
            counters: outcome.counters,
            timings: outcome.timings,
        }
    }

    /// JSON on many lines, for the file; on one, for standard output. A number that is not finite is null.
    pub fn json(&self, pretty: bool) -> String {
        let text = if pretty { serde_json::to_string_pretty(self) } else { serde_json::to_string(self) };
        text.expect("a report has text keys only") + "\n"
    }
}

/// The worst of all groups.
fn verdict(outcome: &Outcome) -> Verdict {
    outcome.trust.iter().map(|trust| trust.verdict).max().unwrap_or(Verdict::Reliable)
}

/// The least, the mean and the most.
fn spread(values: &[f64]) -> [f64; 3] {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    [least, mean, values.iter().copied().fold(f64::NEG_INFINITY, f64::max)]
}

/// One value; or of several groups the mean and the range.
fn of_groups(values: &[f64], show: impl Fn(f64) -> String) -> String {
    match values {
        [one] => show(*one),
        many => {
            let [least, mean, most] = spread(many).map(show);
            format!("{mean} on average, {least} to {most}")
        }
    }
}

/// The table for people.
pub fn summary(job: &Job, device: &Device, outcome: &Outcome, written: &[String]) -> String {
    let options = &job.options;
    let row = options.method.row();
    let share = |ess: f64| format!("{} ({:.1} %)", short(ess), 100.0 * ess / options.particles as f64);
    let mut rows = Vec::new();
    let mut put = |name: &str, text: String| rows.push(vec![name.to_string(), text]);
    let beta = if options.exponents().len() > 1 || row.needs.weights {
        format!(", beta {}", options.beta)
    } else {
        String::new()
    };
    put("method", format!("{}{beta}, {} (zeta {})", row.name, options.sde, short(options.zeta())));
    // One path serves both models of a guidance by class.
    let paths = job.config["model"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (i, model) in job.models.iter().enumerate() {
        let path = paths.get(i).or(paths.last()).and_then(Value::as_str).unwrap_or_default();
        let compute = outcome.compute.get(i).map_or(String::new(), |compute| format!(", in {compute}"));
        put("model", format!("{path}: {}{compute}", model.describe()));
    }
    put("device", format!("{}  {}", device.backend(), device.name()));
    let groups = if options.groups > 1 { format!(" x {} groups", options.groups) } else { String::new() };
    put("particles", format!("{}{groups} x {} steps", options.particles, options.steps));
    if options.langevin.moves > 0 {
        let Langevin { moves, size } = options.langevin;
        put("langevin", format!("{moves} moves of size {size} after each step that may resample"));
    }
    if options.temper < 1.0 {
        put("tempered", format!("resampled by the weights to the power {}", options.temper));
    }
    if options.partial < 1.0 {
        put("partial", format!("resampled {} of the particles at a time", options.partial));
    }
    if options.milder() {
        let cut = options.quantile.map(|share| format!("cut at their {share} quantile"));
        let centred = options.centre.then(|| "centred".to_string());
        let clamped = options.clamp.map(|most| format!("cut to {most} around zero"));
        let done: Vec<String> = cut.into_iter().chain(centred).chain(clamped).collect();
        let biased = if options.quantile.is_some() || options.clamp.is_some() { ": biased" } else { "" };
        put("increments", format!("{}{biased}", done.join(", ")));
    }
    if let Some(ladder) = &outcome.ladder {
        put("reward", ladder.climbed().to_string());
    }
    let steps = options.times.as_ref().map_or(format!("{} grid", options.grid), |_| "respaced".into());
    let range = format!("{}, t {} to {}, {steps}", options.schedule, options.t_max, options.t_min);
    put("schedule", range);
    if outcome.log_z.iter().any(|z| !z.is_nan()) {
        put("log Z", of_groups(&outcome.log_z, |z| format!("{z:.4}")));
        let errors: Vec<f64> = outcome.trust.iter().filter_map(|trust| trust.log_z_se).collect();
        if !errors.is_empty() {
            put("its error in one run", of_groups(&errors, |se| format!("{se:.4}")));
        }
        if let Some(all) = outcome.over_groups() {
            put("log Z of all groups", format!("{:.4} +- {:.4}, by their spread", all.log_z, all.log_z_se));
        }
        let last: Vec<f64> = outcome.ess.iter().filter_map(|ess| ess.last().copied()).collect();
        let least: Vec<f64> = outcome.ess.iter().map(|ess| spread(ess)[0]).collect();
        put("ESS at the end", of_groups(&last, share));
        put("ESS at its least", of_groups(&least, share));
        let times: Vec<f64> = outcome.resampled_at.iter().map(|steps| steps.len() as f64).collect();
        put("resamplings", of_groups(&times, short));
    }
    let heaviest = outcome.trust.iter().filter_map(|trust| trust.increments_tail);
    if let Some(worst) = heaviest.max_by(|a, b| a.tail.k.total_cmp(&b.tail.k)) {
        put(
            "heaviest tail",
            format!("k {:.2}, of the weights resampled after step {}", worst.tail.k, worst.step),
        );
    }
    let roots: Vec<f64> = outcome.distinct_roots.iter().map(|n| *n as f64).collect();
    put("distinct roots", of_groups(&roots, |n| format!("{n:.0}")));
    if let Some(means) = means(outcome) {
        put("means", means);
    }
    if let Some(refined) = &outcome.refined {
        let share = |level: Option<&f64>| format!("{:.0} %", 100.0 * level.copied().unwrap_or(0.0));
        let (first, last) = (share(refined.renewed.first()), share(refined.renewed.last()));
        put(
            "refined",
            format!("{} sweeps: {last} changed the end of a path, {first} its start", refined.sweeps),
        );
    }
    let (worst, reasons) = told(outcome);
    put("verdict", worst);
    for reason in reasons {
        put("", reason);
    }
    let Timings { compile_s, loop_s, total_s, particle_steps_per_s } = outcome.timings;
    put("steps", outcome.steady.to_string());
    put("speed", format!("{particle_steps_per_s:.3e} particle-steps/s"));
    put(
        "time",
        format!("{} s: the first {} s, the others {} s", short(total_s), short(compile_s), short(loop_s)),
    );
    for (i, file) in written.iter().enumerate() {
        put(if i == 0 { "written" } else { "" }, file.clone());
    }
    columns(&rows)
}

/// The first means, with standard errors: over groups where there are several, by the genealogy of the run else.
fn means(outcome: &Outcome) -> Option<String> {
    const SHOWN: usize = 3;
    let (mean, se) = match (outcome.over_groups(), outcome.trust.first()) {
        (Some(all), _) => (all.mean, all.mean_se),
        (None, Some(trust)) => (trust.mean.clone(), trust.mean_se.clone()?),
        _ => return None,
    };
    let each: Vec<String> =
        mean.iter().zip(&se).take(SHOWN).map(|(mean, se)| format!("{mean:.4} +- {se:.4}")).collect();
    let more = if mean.len() > SHOWN { format!(", and {} more", mean.len() - SHOWN) } else { String::new() };
    Some(each.join(", ") + &more)
}

/// The verdict, of several groups with how many are worse than reliable, and the reasons of the worst.
fn told(outcome: &Outcome) -> (String, Vec<String>) {
    let worst = verdict(outcome);
    let groups = outcome.trust.len();
    let of = |wanted: Verdict| outcome.trust.iter().filter(|trust| trust.verdict == wanted).count();
    let text = if groups > 1 && worst != Verdict::Reliable {
        let (broken, doubtful) = (of(Verdict::Broken), of(Verdict::Doubtful));
        format!("{worst}: of {groups} groups {broken} broken, {doubtful} doubtful")
    } else {
        worst.to_string()
    };
    let reasons = outcome.trust.iter().find(|trust| trust.verdict == worst);
    (text, reasons.map_or_else(Vec::new, |trust| trust.reasons.clone()))
}

/// The files of a run.
const OUTPUTS: [&str; 4] = ["samples.safetensors", "samples.png", "samples.svg", "report.json"];

/// Makes the output folder and tries it: what cannot be written is learned before the run.
pub fn try_folder(folder: &Path) -> Result<()> {
    let refused = |error: std::io::Error| {
        let what = format!("output folder {}", folder.display());
        Error::input(what, error, "a folder that can be made and written to")
    };
    if folder.as_os_str().is_empty() {
        return Err(Error::input("output folder", "an empty name", "a folder"));
    }
    if folder.exists() && !folder.is_dir() {
        return Err(Error::input(
            format!("output folder {}", folder.display()),
            "a file of that name",
            "a folder",
        ));
    }
    fs::create_dir_all(folder).map_err(refused)?;
    for name in OUTPUTS {
        if folder.join(name).is_dir() {
            let what = format!("output file {}", folder.join(name).display());
            return Err(Error::input(what, "a folder of that name", "a file, or nothing"));
        }
    }
    let trial = folder.join(format!(".feynkac-{}.trial", std::process::id()));
    fs::write(&trial, b"").and_then(|()| fs::remove_file(&trial)).map_err(refused)
}

/// Writes `samples.safetensors`, the pictures, and last `report.json`. Returns the files, and a line for a
/// picture that there is not.
pub fn write(
    folder: &Path,
    job: &Job,
    report: &Report,
    outcome: &Outcome,
    pictures: bool,
) -> Result<Vec<String>> {
    let mut files: Vec<PathBuf> = vec![folder.join("samples.safetensors")];
    let mut remarks = Vec::new();
    let n = outcome.log_w.len();
    // Parents of all steps in place of the last ones.
    let (shape, parents) = match &outcome.genealogy {
        Some(all) => (vec![all.steps(), all.groups, all.slots], &all.parents),
        None => (vec![n], &outcome.ancestors),
    };
    let mut tensors = vec![
        ("x".to_string(), Tensor { shape: vec![n, outcome.dim], data: Data::F32(&outcome.x) }),
        ("log_w".to_string(), Tensor { shape: vec![n], data: Data::F32(&outcome.log_w) }),
        ("ancestors".to_string(), Tensor { shape, data: Data::U32(parents) }),
    ];
    if let Some(paths) = &outcome.paths {
        let shape = vec![paths.len() / (n * outcome.dim), n, outcome.dim];
        tensors.push(("paths".to_string(), Tensor { shape, data: Data::F32(paths) }));
    }
    if let Some(refined) = &outcome.refined {
        let shape = vec![refined.sweeps + 1, refined.groups, refined.dim];
        tensors.push(("refined".to_string(), Tensor { shape, data: Data::F32(&refined.x) }));
    }
    let metadata = BTreeMap::from([("config".to_string(), job.recipe().to_string())]);
    save(&files[0], &tensors, &metadata)?;
    if pictures {
        let samples = picture::Samples {
            x: &outcome.x,
            dim: outcome.dim,
            log_w: &outcome.log_w,
            groups: job.options.groups,
        };
        match picture::draw(samples) {
            Ok(canvas) => {
                let drawn = |why: String| Error::input("picture", why, "one that can be drawn");
                let all = [
                    ("samples.png", canvas.png().map_err(drawn)?),
                    ("samples.svg", canvas.svg().map_err(drawn)?.into_bytes()),
                ];
                for (name, bytes) in all {
                    let path = folder.join(name);
                    write_atomically(&path, &bytes)?;
                    files.push(path);
                }
            }
            Err(why) => remarks.push(why),
        }
    }
    let path = folder.join("report.json");
    write_atomically(&path, report.json(true).as_bytes())?;
    files.push(path);
    Ok(files.iter().map(|path| path.display().to_string()).chain(remarks).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::tests::Folder;

    #[test]
    fn one_group_is_a_number_and_several_are_a_list() {
        fn json<T: Serialize>(value: T) -> String {
            serde_json::to_string(&value).unwrap()
        }
        assert_eq!(json(Each::of(&[1.5])), "1.5");
        assert_eq!(json(Each::of(&[1.5, f64::NAN])), "[1.5,null]");
        assert_eq!(json(Each::of(&[vec![1, 2]])), "[1,2]");
        assert_eq!(json(Each::of(&[vec![1, 2], vec![]])), "[[1,2],[]]");
    }

    #[test]
    fn groups_are_summed_up() {
        assert_eq!(of_groups(&[2.0], short), "2");
        assert_eq!(of_groups(&[2.0, 4.0], short), "3 on average, 2 to 4");
    }

    #[test]
    fn a_folder_is_made_and_a_file_in_its_place_is_named() {
        let folder = Folder::new("report");
        try_folder(&folder.0.join("a/b")).unwrap();
        assert!(folder.0.join("a/b").is_dir());
        assert_eq!(std::fs::read_dir(folder.0.join("a/b")).unwrap().count(), 0);
        let file = folder.0.join("file");
        std::fs::write(&file, "x").unwrap();
        let error = try_folder(&file).unwrap_err();
        assert!(error.to_string().ends_with("file: found a file of that name, wanted a folder"), "{error}");
        assert_eq!(error.exit_code(), 2);
        assert_eq!(try_folder(&file.join("below")).unwrap_err().exit_code(), 2);
        assert!(try_folder(Path::new("")).is_err());
    }
}
