//! `feynkac profile`: where the time of a run goes, pass by pass, and how much of the device's copy rate each pass
//! reaches; and of networks that are lists of layers, launch by launch.
//!
//! No backend alone can say how long a kernel took, so the device's time is the host's: each pass is enqueued and
//! waited for. That keeps passes apart, and costs a wait each that a run does not pay.

mod layers;
mod trace;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use feynkac_kernels::device::Device;

use super::prepare::Job;
use super::settings::Flags;
use super::table::{bytes, columns, short};
use super::{print, warn};
use crate::error::{Error, Result};
use crate::measure::{COMMIT, CUBECL, FEYNKAC, Measured, Spread, copy_rate};
use crate::plan::{Pass, Plan};
use crate::run::Run;
use crate::weights::write_atomically;

/// Rounds over which the copy rate is taken.
const ROUNDS: usize = 7;

/// Flags of the subcommand.
#[derive(Args, Debug)]
pub struct Profile {
    #[command(flatten)]
    flags: Flags,
    /// Chrome trace to write: every pass of every step, for Perfetto
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// A pass of the plan, by the name that the table and the trace give it.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    name: String,
    what: &'static str,
}

/// A pass that was launched and waited for; times in seconds from the first.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// Which [`Line`].
    line: usize,
    step: usize,
    enqueued: f64,
    /// When the last launch of the pass was in the queue.
    queued: f64,
    /// When the device had nothing left to do.
    done: f64,
    work: Measured,
}

/// Runs the subcommand.
pub fn run(arguments: Profile) -> Result<()> {
    let (settings, _) = arguments.flags.resolve()?;
    let job = Job::new(&settings)?;
    warn(&job.warnings);
    if let Some(path) = &arguments.trace {
        try_file(path)?;
    }
    let device = Device::open(job.device)?;
    let copy = copy_rate(&device, ROUNDS)?;
    let run = Run::new(&device, &job.models, &job.options)?;
    // Compiles the kernels.
    run.begin()?;
    run.advance(0)?;
    device.sync()?;
    let lines = lines(&run.plan);
    let spans = walk(&run)?;
    // A launch does not say that it failed; a read does.
    run.records()?;
    let mut text = format!("{}\n{}", header(&job, &device, copy), table(&lines, &spans, copy.median));
    text.push_str(&layers::tables(&run, &job.models)?);
    if let Some(path) = &arguments.trace {
        write_atomically(path, trace::chrome(&lines, &spans).as_bytes())?;
        text.push_str(&format!("\nwritten {}: open it with https://ui.perfetto.dev\n", path.display()));
    }
    print(&text);
    Ok(())
}

/// What cannot be written is learned before the run.
fn try_file(path: &Path) -> Result<()> {
    let bad = |found: &str, wanted: &str| {
        Err(Error::input("--trace", format!("{} ({found})", path.display()), wanted))
    };
    if path.file_name().is_none() || path.is_dir() {
        return bad("a folder", "a file");
    }
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) if !folder.is_dir() => {
            bad("its folder is not there", "a file in a folder that is there")
        }
        _ => Ok(()),
    }
}

/// The passes of a plan, in order; those of one name are numbered.
fn lines(plan: &Plan) -> Vec<Line> {
    let names = |passes: &[Pass]| -> Vec<Line> {
        let all: Vec<_> = passes.iter().map(|pass| pass.describe()).collect();
        let number = |i: usize, name: &str| {
            let same = |upto: usize| all[..upto].iter().filter(|other| other.0 == name).count();
            if same(all.len()) > 1 { format!("{name} {}", same(i + 1)) } else { name.to_string() }
        };
        all.iter().enumerate().map(|(i, &(name, what))| Line { name: number(i, name), what }).collect()
    };
    [names(&plan.start), names(&plan.step)].concat()
}

/// Runs all of it, each pass to its end before the next.
fn walk(run: &Run) -> Result<Vec<Span>> {
    run.device.sync()?;
    let origin = Instant::now();
    let now = || origin.elapsed().as_secs_f64();
    let one = |line: usize, pass: Pass, step: usize, level: usize| -> Result<Span> {
        let (before, enqueued) = (run.device.counts(), now());
        run.pass(pass, step, level)?;
        let queued = now();
        run.device.sync()?;
        let done = now();
        let work = Measured::between(&before, &run.device.counts(), done - enqueued);
        Ok(Span { line, step, enqueued, queued, done, work })
    };
    let mut spans = Vec::new();
    for (line, &pass) in run.plan.start.iter().enumerate() {
        spans.push(one(line, pass, 0, 0)?);
    }
    for step in 0..run.coeffs.len() {
        for (line, &pass) in (run.plan.start.len()..).zip(&run.plan.step) {
            spans.push(one(line, pass, step, step + 1)?);
        }
    }
    Ok(spans)
}

/// What was run, on what, and how to read the table.
fn header(job: &Job, device: &Device, copy: Spread) -> String {
    let options = &job.options;
    let dim = job.models.first().map_or(0, |model| model.dim());
    let groups = if options.groups > 1 { format!(" x {} groups", options.groups) } else { String::new() };
    let [lower, median, upper] = [copy.lower, copy.median, copy.upper].map(|rate| short(1e-9 * rate));
    let rows = [
        (
            "run",
            format!(
                "{}, dimension {dim}, {}{groups} particles x {} steps",
                options.method, options.particles, options.steps
            ),
        ),
        ("device", format!("{}  {}, driver {}", device.backend(), device.name(), device.driver())),
        ("versions", format!("feynkac {FEYNKAC}, cubecl {CUBECL}, commit {COMMIT}")),
        ("copy", format!("{median} GB/s ({lower} to {upper}), read and written: the roofline")),
        (
            "times",
            "wall clock, from enqueueing a pass to a sync after it, which a run does not do".to_string(),
        ),
    ];
    columns(&rows.map(|(name, text)| vec![name.to_string(), text]))
}

/// A row a pass, and their sum. `copy` is in bytes a second.
fn table(lines: &[Line], spans: &[Span], copy: f64) -> String {
    let mut sums = vec![Measured::default(); lines.len()];
    let mut all = Measured::default();
    for span in spans {
        sums[span.line] += span.work;
        all += span.work;
    }
    let titles = ["pass", "launches", "ms", "us a launch", "% of time", "bytes", "GB/s", "% of copy", "what"];
    let mut rows = vec![titles.map(String::from).to_vec()];
    let everything = Line { name: "all".to_string(), what: "the run, with a sync after each pass" };
    for (line, work) in lines.iter().zip(sums).chain([(&everything, all)]) {
        rows.push(vec![
            line.name.clone(),
            work.launches.to_string(),
            short(1e3 * work.seconds),
            if work.launches > 0 {
                short(1e6 * work.seconds / work.launches as f64)
            } else {
                "-".to_string()
            },
            format!("{:.1}", 100.0 * work.seconds / all.seconds),
            bytes(work.bytes),
            short(1e-9 * work.bytes_per_s()),
            format!("{:.1}", 100.0 * work.bytes_per_s() / copy),
            line.what.to_string(),
        ]);
    }
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use feynkac_kernels::passes::step::Keeps;
    use feynkac_kernels::prims::state::Element;

    use super::*;

    #[test]
    fn passes_of_one_name_are_numbered() {
        let plan = Plan {
            start: vec![Pass::Init, Pass::Evaluate(0), Pass::Start],
            step: vec![Pass::Move, Pass::Evaluate(0), Pass::Evaluate(1), Pass::Weigh],
            outside: true,
            keeps: Keeps {
                models: 2,
                carried: true,
                follows: false,
                estimated: 0,
                twist: None,
                weighed: true,
                exact: false,
                ladder: false,
                handed: false,
                roots: true,
                element: Element::F32,
            },
            moves: 0,
        };
        let names: Vec<String> = lines(&plan).into_iter().map(|line| line.name).collect();
        assert_eq!(names, ["init", "evaluate", "start", "move", "evaluate 1", "evaluate 2", "weigh"]);
    }

    #[test]
    fn the_table_sums_by_pass() {
        let lines = ["a", "b"].map(|name| Line { name: name.to_string(), what: "does this" });
        let span = |line, seconds, bytes, launches| {
            let work = Measured { launches, bytes, seconds };
            Span { line, step: 0, enqueued: 0.0, queued: 0.0, done: seconds, work }
        };
        let spans = [span(0, 0.25, 1_000_000_000, 2), span(1, 0.5, 0, 0), span(0, 0.25, 0, 2)];
        let text = table(&lines, &spans, 4e9);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows.len(), 4, "{text}");
        assert_eq!(rows[1], ["a", "4", "500", "125000", "50.0", "954", "MiB", "2", "50.0", "does", "this"]);
        assert_eq!(rows[2][..8], ["b", "0", "500", "-", "50.0", "0", "B", "0"]);
        assert_eq!(rows[3][..9], ["all", "4", "1000", "250000", "100.0", "954", "MiB", "1", "25.0"]);
    }

    #[test]
    fn a_trace_that_cannot_be_written_is_refused() {
        let folder = crate::weights::tests::Folder::new("profile");
        assert!(try_file(&folder.0.join("trace.json")).is_ok() && try_file(Path::new("trace.json")).is_ok());
        for (path, wanted) in [
            (folder.0.clone(), "(a folder), wanted a file"),
            (
                folder.0.join("no/trace.json"),
                "(its folder is not there), wanted a file in a folder that is there",
            ),
            (PathBuf::new(), "(a folder), wanted a file"),
        ] {
            let error = try_file(&path).unwrap_err();
            assert!(error.to_string().starts_with("--trace: found ") && error.to_string().ends_with(wanted));
            assert_eq!(error.exit_code(), 2);
        }
    }
}
