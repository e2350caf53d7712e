//! What was measured, as Markdown, JSON or CSV.

use std::str::FromStr;

use feynkac_kernels::device::Device;
use serde::Serialize;
use serde_json::json;

use super::Bench;
use crate::cli::table::short;
use crate::error::{Error, Result};
use crate::measure::{COMMIT, CUBECL, FEYNKAC, Spread};

/// The version of the fields of the JSON.
const SCHEMA_VERSION: u32 = 1;

/// How it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Md,
    /// One object.
    Json,
    /// A line a combination.
    Csv,
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim() {
            "md" => Ok(Format::Md),
            "json" => Ok(Format::Json),
            "csv" => Ok(Format::Csv),
            _ => Err(Error::input("--output", format!("{text:?}"), "one of md, json, csv")),
        }
    }
}

impl Format {
    /// The whole text.
    pub fn text(self, head: &Head, rows: &[Row]) -> String {
        match self {
            Format::Md => markdown(head, rows),
            Format::Json => json!({ "head": head, "rows": rows }).to_string() + "\n",
            Format::Csv => csv(head, rows),
        }
    }
}

/// A device that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct On {
    /// As `--device` names it.
    pub device: String,
    /// As it names itself.
    pub name: String,
    /// What it compiles for, or its driver.
    pub driver: String,
    /// The rate of a copy, read and written.
    pub copy_gb_per_s: Spread,
}

impl On {
    /// `copy` in bytes a second.
    pub fn new(device: &Device, copy: Spread) -> Self {
        Self {
            device: device.backend().to_string(),
            name: device.name().to_string(),
            driver: device.driver().to_string(),
            copy_gb_per_s: copy.scaled(1e-9),
        }
    }
}

/// What is the same in all rows.
#[derive(Clone, Debug, Serialize)]
pub struct Head {
    schema_version: u32,
    feynkac: &'static str,
    #[serde(rename = "cubecl")]
    language: &'static str,
    commit: &'static str,
    steps: usize,
    repeats: usize,
    warmup: usize,
    components: usize,
    sigma_max: f64,
    sigma_min: f64,
    devices: Vec<On>,
}

impl Head {
    /// Of what was asked, and the devices it was measured on.
    pub fn new(asked: &Bench, [sigma_max, sigma_min]: [f64; 2], devices: Vec<On>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            feynkac: FEYNKAC,
            language: CUBECL,
            commit: COMMIT,
            steps: asked.steps,
            repeats: asked.repeats,
            warmup: asked.warmup,
            components: asked.components,
            sigma_max,
            sigma_min,
            devices,
        }
    }
}

/// A combination that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The device, as its [`On`] has it.
    pub device: String,
    /// The sampler.
    pub method: String,
    /// Its exponent.
    pub beta: f64,
    /// Its weight rule.
    pub rule: String,
    /// When it resampled.
    pub resample: String,
    /// Coordinates.
    pub dim: usize,
    /// Particles.
    pub particles: usize,
    /// Speed.
    pub particle_steps_per_s: Spread,
    /// Its inverse.
    pub ns_per_particle_step: Spread,
    /// Bytes that its launches had to read and write.
    pub gb_per_s: Spread,
    /// The same over the rate of the copy.
    pub share_of_copy: Spread,
    /// Launches over steps.
    pub launches_per_step: Spread,
}

impl Row {
    /// The figures by name.
    fn figures(&self) -> [(&'static str, Spread); 5] {
        [
            ("particle_steps_per_s", self.particle_steps_per_s),
            ("ns_per_particle_step", self.ns_per_particle_step),
            ("gb_per_s", self.gb_per_s),
            ("share_of_copy", self.share_of_copy),
            ("launches_per_step", self.launches_per_step),
        ]
    }
}

/// The median, and the quartiles behind it.
fn spread(s: Spread) -> String {
    format!("{} ({} to {})", short(s.median), short(s.lower), short(s.upper))
}

/// A row of a Markdown table.
fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "/")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// A Markdown table.
fn table(titles: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let titles: Vec<String> = titles.iter().copied().map(str::to_string).collect();
    let rule = format!("|{}\n", "---|".repeat(titles.len()));
    let rows: String = rows.map(|cells| line(&cells)).collect();
    format!("{}{rule}{rows}", line(&titles))
}

fn markdown(head: &Head, rows: &[Row]) -> String {
    let Head { feynkac, language, commit, steps, repeats, warmup, components, .. } = head;
    let (noisy, clean) = (short(head.sigma_max), short(head.sigma_min));
    let devices = head
        .devices
        .iter()
        .map(|on| vec![on.device.clone(), on.name.clone(), on.driver.clone(), spread(on.copy_gb_per_s)]);
    let devices = table(&["device", "name", "driver", "copy, GB/s"], devices);
    let cells = |row: &Row| {
        vec![
            row.device.clone(),
            row.method.clone(),
            short(row.beta),
            row.rule.clone(),
            row.resample.clone(),
            row.dim.to_string(),
            row.particles.to_string(),
            spread(row.particle_steps_per_s),
            spread(row.ns_per_particle_step),
            spread(row.gb_per_s),
            spread(row.share_of_copy.scaled(100.0)),
            short(row.launches_per_step.median),
        ]
    };
    let titles = [
        "device",
        "method",
        "beta",
        "rule",
        "resample",
        "dim",
        "particles",
        "particle-steps/s",
        "ns a particle-step",
        "GB/s",
        "% of the copy",
        "launches a step",
    ];
    let measured = table(&titles, rows.iter().map(cells));
    format!(
        "# feynkac bench\n\n\
         feynkac {feynkac}, cubecl {language}, commit {commit}\n\n\
         Mixtures of {components} Gaussians, {steps} steps from sigma {noisy} to {clean}.\n\
         Medians (and quartiles) of {repeats} runs after {warmup} to warm up, in wall-clock time.\n\
         Bytes are those that the launches had to read and write; the copy is of a buffer that no cache holds.\n\n\
         {devices}\n{measured}"
    )
}

/// A field of a CSV line (RFC 4180).
fn field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}

fn csv(head: &Head, rows: &[Row]) -> String {
    let ends = |s: Spread| [("lower", s.lower), ("median", s.median), ("upper", s.upper)];
    let fields = |row: &Row| {
        let on = head.devices.iter().find(|on| on.device == row.device);
        let of_device = |what: fn(&On) -> String| on.map_or(String::new(), what);
        let mut fields = vec![
            ("feynkac".to_string(), head.feynkac.to_string()),
            ("cubecl".to_string(), head.language.to_string()),
            ("commit".to_string(), head.commit.to_string()),
            ("device".to_string(), row.device.clone()),
            ("name".to_string(), of_device(|on| on.name.clone())),
            ("driver".to_string(), of_device(|on| on.driver.clone())),
            ("copy_gb_per_s".to_string(), of_device(|on| on.copy_gb_per_s.median.to_string())),
            ("method".to_string(), row.method.clone()),
            ("beta".to_string(), row.beta.to_string()),
            ("rule".to_string(), row.rule.clone()),
            ("resample".to_string(), row.resample.clone()),
            ("components".to_string(), head.components.to_string()),
            ("steps".to_string(), head.steps.to_string()),
            ("repeats".to_string(), head.repeats.to_string()),
            ("dim".to_string(), row.dim.to_string()),
            ("particles".to_string(), row.particles.to_string()),
        ];
        for (name, spread) in row.figures() {
            fields.extend(ends(spread).map(|(end, value)| (format!("{name}_{end}"), value.to_string())));
        }
        fields
    };
    let joined =
        |cells: Vec<String>| cells.iter().map(|cell| field(cell)).collect::<Vec<_>>().join(",") + "\n";
    let title =
        rows.first().map_or(String::new(), |row| joined(fields(row).into_iter().map(|f| f.0).collect()));
    let lines = rows.iter().map(|row| joined(fields(row).into_iter().map(|f| f.1).collect()));
    title + &lines.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(median: f64) -> Spread {
        Spread { lower: 0.5 * median, median, upper: 2.0 * median }
    }

    fn example() -> (Head, Vec<Row>) {
        let on = On {
            device: "cpu".into(),
            name: "A, \"B\" | C".into(),
            driver: "d".into(),
            copy_gb_per_s: at(10.0),
        };
        let head = Head {
            schema_version: SCHEMA_VERSION,
            feynkac: "1.2.3",
            language: "4.5.6",
            commit: "abc",
            steps: 100,
            repeats: 7,
            warmup: 1,
            components: 40,
            sigma_max: 30.0,
            sigma_min: 0.01,
            devices: vec![on],
        };
        let row = |particles| Row {
            device: "cpu".into(),
            method: "fkc-anneal".into(),
            beta: 2.0,
            rule: "trap".into(),
            resample: "ess:0.5".into(),
            dim: 2,
            particles,
            particle_steps_per_s: at(2e7),
            ns_per_particle_step: at(50.0),
            gb_per_s: at(4.0),
            share_of_copy: at(0.4),
            launches_per_step: at(6.0),
        };
        (head, vec![row(1024), row(16384)])
    }

    #[test]
    fn markdown_has_a_row_a_combination() {
        let (head, rows) = example();
        let text = Format::Md.text(&head, &rows);
        assert!(text.starts_with("# feynkac bench\n\nfeynkac 1.2.3, cubecl 4.5.6, commit abc\n"), "{text}");
        assert!(text.contains("| cpu | A, \"B\" / C | d | 10 (5 to 20) |\n"), "{text}");
        let row = "| cpu | fkc-anneal | 2 | trap | ess:0.5 | 2 | 1024 | 2.000e7 (1.000e7 to 4.000e7) \
                   | 50 (25 to 100) | 4 (2 to 8) | 40 (20 to 80) | 6 |\n";
        assert!(text.contains(row), "{text}");
        assert_eq!(text.matches("| fkc-anneal |").count(), 2);
    }

    #[test]
    fn json_and_csv_say_the_same() {
        let (head, rows) = example();
        let value: serde_json::Value = serde_json::from_str(&Format::Json.text(&head, &rows)).unwrap();
        assert_eq!(value["head"]["devices"][0]["copy_gb_per_s"]["median"], 10.0);
        assert_eq!(value["rows"][1]["particles"], 16384);
        assert_eq!(value["rows"][0]["gb_per_s"]["upper"], 8.0);
        let text = Format::Csv.text(&head, &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("feynkac,cubecl,commit,device,name,driver,copy_gb_per_s,method,beta,"));
        assert!(
            lines[0].ends_with(",launches_per_step_lower,launches_per_step_median,launches_per_step_upper")
        );
        assert!(
            lines[1]
                .starts_with("1.2.3,4.5.6,abc,cpu,\"A, \"\"B\"\" | C\",d,10,fkc-anneal,2,trap,ess:0.5,40,")
        );
        assert!(
            lines[2]
                .ends_with(",100,7,2,16384,10000000,20000000,40000000,25,50,100,2,4,8,0.2,0.4,0.8,3,6,12")
        );
    }

    #[test]
    fn formats_have_names() {
        for (name, format) in [("md", Format::Md), ("json", Format::Json), ("csv", Format::Csv)] {
            assert_eq!(name.parse::<Format>().unwrap(), format);
        }
        let message = crate::cli::names::named::<Format>("yaml").unwrap_err();
        assert_eq!(message, "wanted one of md, json, csv");
    }
}
