//! The record of a machine: what was run and what was not, every pass, every figure, every goal.

use feynkac::measure::{COMMIT, CUBECL, FEYNKAC};

use super::goals::{GOALS, WGPU_OVER_CUDA};
use super::{Figure, Part, Quartiles};

/// The first words of the record of a machine on which no part ran on a GPU.
pub const NOT_ON_A_GPU: &str = "not yet run on a GPU";

fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "/").replace('\n', " ")).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn table(titles: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let titles: Vec<String> = titles.iter().map(ToString::to_string).collect();
    let rows: String = rows.into_iter().map(|row| line(&row)).collect();
    format!("{}|{}\n{rows}", line(&titles), "---|".repeat(titles.len()))
}

fn title(part: &Part) -> String {
    format!("{}, {}", part.device, part.generator)
}

fn quartiles(factor: f64, [lower, median, upper]: Quartiles) -> String {
    let [lower, median, upper] = [lower, median, upper].map(|v| feynkac::cli::short(factor * v));
    format!("{median} ({lower} to {upper})")
}

/// Markdown of all parts; `machine` are lines of what is known of it, "key: value".
pub fn record(parts: &[Part], machine: &str) -> String {
    let on_gpu = parts.iter().any(|part| part.on_gpu() && part.right());
    let mut text = "# feynkac on this machine\n\n".to_owned();
    if !on_gpu {
        text.push_str(&format!("**{NOT_ON_A_GPU}**\n\n"));
    }
    let known = [format!("feynkac: {FEYNKAC}, commit {COMMIT}"), format!("cubecl: {CUBECL}")];
    let lines = known.iter().map(String::as_str).chain(machine.lines().filter(|line| line.contains(": ")));
    let cells = lines.map(|line| line.split_once(": ").unwrap_or((line, "")));
    text.push_str(&table(&["", ""], cells.map(|(key, value)| vec![key.to_owned(), value.to_owned()])));
    text.push_str("\n## What ran\n\n");
    text.push_str(&table(
        &["device, code by", "device", "driver", "every pass beside its oracle"],
        parts.iter().map(ran),
    ));
    for part in parts.iter().filter(|part| part.not_run.is_none()) {
        text.push_str(&format!("\n## {}\n\n", title(part)));
        let passes = part.passes.iter().map(|p| {
            vec![p.pass.clone(), if p.agrees { "agrees" } else { "WRONG" }.to_owned(), p.said.clone()]
        });
        text.push_str(&table(&["pass", "", "said"], passes));
        if !part.figures.is_empty() {
            text.push_str(&format!("\n{}", figures(part)));
        }
    }
    text.push_str("\n## Goals, of an H100\n\n");
    text.push_str(&goals(parts));
    text
}

fn ran(part: &Part) -> Vec<String> {
    let wrong: Vec<&str> = part.passes.iter().filter(|p| !p.agrees).map(|p| p.pass.as_str()).collect();
    let verdict = match (&part.not_run, wrong.is_empty()) {
        (Some(why), _) => format!("not run ({why})"),
        (None, true) => format!("{} passes agree", part.passes.len()),
        (None, false) => format!("WRONG: {}; nothing is timed", wrong.join(", ")),
    };
    let software = if part.software { " (software, no GPU)" } else { "" };
    vec![title(part), format!("{}{software}", part.name), part.driver.clone(), verdict]
}

fn figures(part: &Part) -> String {
    let copy = part.copy.map(|[_, median, _]| median);
    let row = |figure: &Figure| {
        let rate = figure.seconds.as_ref().map(|[_, median, _]| figure.bytes / median).ok();
        vec![
            figure.what.clone(),
            figure.particles.to_string(),
            figure.seconds.as_ref().map_or_else(Clone::clone, |s| quartiles(1e6, *s)),
            rate.map_or(String::new(), |rate| format!("{:.1}", 1e-9 * rate)),
            rate.zip(copy).map_or(String::new(), |(rate, copy)| format!("{:.0}", 100.0 * rate / copy)),
        ]
    };
    let titles = ["", "N", "us", "GB/s", "% of the copy"];
    let copied = part
        .copy
        .map_or(String::new(), |copy| format!("copy: {} GB/s, read and written\n\n", quartiles(1e-9, copy)));
    copied + &table(&titles, part.figures.iter().map(row))
}

fn goals(parts: &[Part]) -> String {
    let cuda: Vec<&Part> = parts.iter().filter(|part| part.device.starts_with("cuda")).collect();
    let mut titles = vec!["goal", "N", "wanted"];
    let names: Vec<String> = cuda.iter().map(|part| title(part)).collect();
    titles.extend(names.iter().map(String::as_str));
    let mut rows: Vec<Vec<String>> = Vec::new();
    for goal in GOALS {
        let mut row = vec![goal.what.to_owned(), goal.particles.to_string(), goal.wanted()];
        row.extend(cuda.iter().map(|part| {
            let outcome = goal.judge(part);
            match outcome.met {
                Some(met) => format!("{}: {}", outcome.found, if met { "met" } else { "missed" }),
                None => outcome.found,
            }
        }));
        rows.push(row);
    }
    table(&titles, rows) + "\n" + &beside(parts)
}

/// Times of wgpu over those of the faster CUDA.
fn beside(parts: &[Part]) -> String {
    let wanted = format!("wgpu over the faster CUDA, wanted <= {WGPU_OVER_CUDA}");
    let median = |figure: &Figure| figure.seconds.as_ref().ok().map(|[_, median, _]| *median);
    let gpu =
        |name: &'static str| parts.iter().filter(move |part| part.device.starts_with(name) && part.on_gpu());
    let mut rows = Vec::new();
    for part in gpu("wgpu") {
        for figure in &part.figures {
            let same = |other: &&Figure| other.key == figure.key && other.particles == figure.particles;
            let others = gpu("cuda").flat_map(|part| part.figures.iter().filter(same)).filter_map(median);
            let (Some(own), Some(best)) = (median(figure), others.reduce(f64::min)) else { continue };
            let verdict = if own <= WGPU_OVER_CUDA * best { "met" } else { "missed" };
            let ratio = format!("{:.2}: {verdict}", own / best);
            rows.push(vec![title(part), figure.what.clone(), figure.particles.to_string(), ratio]);
        }
    }
    if rows.is_empty() { format!("{wanted}: not measured\n") } else { table(&["", "", "N", &wanted], rows) }
}

#[cfg(test)]
mod tests {
    use super::super::Checked;
    use super::*;

    fn part(device: &str, software: bool, seconds: f64) -> Part {
        let figure = Figure {
            key: "gmm".into(),
            what: "GMM-40 annealed, a whole step".into(),
            particles: 1 << 20,
            seconds: Ok([seconds; 3]),
            bytes: 32e6,
        };
        let passes = vec![Checked { pass: "copy".into(), said: "all agree".into(), agrees: true }];
        Part { not_run: None, software, passes, figures: vec![figure], ..Part::missing(device, "X", "") }
    }

    #[test]
    fn a_machine_without_a_gpu_says_so() {
        let parts = [Part::missing("cuda", "LLVM-PTX", "no driver"), part("wgpu", true, 1e-3)];
        let text = record(&parts, "kernel: Linux 6");
        for wanted in
            [NOT_ON_A_GPU, "not run (no driver)", "| kernel | Linux 6 |", "software", "not measured"]
        {
            assert!(text.contains(wanted), "{wanted}\n{text}");
        }
    }

    #[test]
    fn goals_stand_beside_figures() {
        let text = record(&[part("cuda", false, 20e-6), part("wgpu", false, 60e-6)], "");
        assert!(!text.contains(NOT_ON_A_GPU), "{text}");
        assert!(text.contains("| <= 25 us | 20.0 us: met |"), "{text}");
        assert!(text.contains("3.00: missed"), "{text}");
        let mut bad = part("cuda", false, 20e-6);
        bad.passes[0].agrees = false;
        let text = record(&[bad], "");
        assert!(text.contains(NOT_ON_A_GPU) && text.contains("WRONG: copy"), "{text}");
    }
}
