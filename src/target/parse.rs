//! Reading a target file: every number is checked where it stands, and named by key and index.

use std::path::Path;

use toml::{Table, Value};

use super::{Gaussian, Mixture, Scales, Target};
use crate::eigen::{self, NoEigen};
use crate::error::{Error, Result};
use crate::weights::read_text;

/// The most bytes a target file may have.
const LIMIT: u64 = 256 << 20;
/// The most components of a mixture.
const MAX_COMPONENTS: usize = 65_536;
/// The most coordinates of a mixture.
const MAX_DIM: usize = 4096;
/// The most coordinates of a Gaussian with a full covariance.
const MAX_GAUSSIAN_DIM: usize = 1024;
/// The largest number in a target, and one over the smallest scale.
const LARGEST: f64 = 1e9;

/// A file being read.
struct Source<'a> {
    file: &'a Path,
    table: &'a Table,
}

/// A value, short enough for a message.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Table(_) => "a table".to_string(),
        Value::String(text) => {
            let short: String = text.chars().take(40).flat_map(char::escape_debug).collect();
            format!("\"{short}\"")
        }
        other => other.to_string(),
    }
}

impl<'a> Source<'a> {
    fn bad(&self, what: impl ToString, found: impl ToString, wanted: impl ToString) -> Error {
        let (what, found, wanted) = (what.to_string(), found.to_string(), wanted.to_string());
        Error::file(self.file, what, found, wanted)
    }

    /// The list under a key.
    fn list(&self, key: &str, wanted: &str) -> Result<&'a [Value]> {
        match self.table.get(key) {
            Some(Value::Array(list)) if !list.is_empty() => Ok(list),
            Some(other) => Err(self.bad(key, shown(other), wanted)),
            None => Err(self.bad(key, "no such key", wanted)),
        }
    }

    fn number(&self, value: &Value, name: impl Fn() -> String) -> Result<f64> {
        let number = match value {
            Value::Float(x) => Some(*x),
            Value::Integer(i) => Some(*i as f64),
            _ => None,
        };
        number
            .filter(|x| x.abs() <= LARGEST)
            .ok_or_else(|| self.bad(name(), shown(value), "a number in -1e9 to 1e9"))
    }

    fn numbers(&self, list: &[Value], name: &str) -> Result<Vec<f64>> {
        list.iter().enumerate().map(|(i, value)| self.number(value, || format!("{name}[{i}]"))).collect()
    }

    /// A list of lists of `dim` numbers each, joined.
    fn rows(&self, list: &[Value], name: &str, dim: usize) -> Result<Vec<f64>> {
        let mut joined = Vec::with_capacity(list.len().saturating_mul(dim));
        for (k, row) in list.iter().enumerate() {
            let name = format!("{name}[{k}]");
            match row {
                Value::Array(row) if row.len() == dim => {
                    joined.extend(self.numbers(row, &name)?);
                }
                other => {
                    let wanted = format!("a list of {dim} numbers");
                    return Err(self.bad(name, shown(other), wanted));
                }
            }
        }
        Ok(joined)
    }

    /// Refuses the first number below `least`, by its index in a list of numbers or of rows of `dim`.
    fn at_least(&self, values: &[f64], least: f64, key: &str, dim: Option<usize>) -> Result<()> {
        match values.iter().position(|v| *v < least) {
            None => Ok(()),
            Some(i) => {
                let name = match dim {
                    None => format!("{key}[{i}]"),
                    Some(dim) => format!("{key}[{}][{}]", i / dim, i % dim),
                };
                let wanted = format!("a number in {least:e} to {LARGEST:e}");
                Err(self.bad(name, values[i], wanted))
            }
        }
    }

    fn length(&self, what: &str, found: usize, wanted: usize, of: &str) -> Result<()> {
        match found == wanted {
            true => Ok(()),
            false => Err(self.bad(what, format!("a list of {found}"), format!("one of {wanted}, {of}"))),
        }
    }

    fn at_most(&self, what: &str, found: usize, most: usize) -> Result<()> {
        match found <= most {
            true => Ok(()),
            false => Err(self.bad(what, found, format!("at most {most}"))),
        }
    }

    fn mixture(&self, warnings: &mut Vec<String>) -> Result<Mixture> {
        let weights = self.list("weights", "a list of K numbers above zero")?;
        self.at_most("number of components", weights.len(), MAX_COMPONENTS)?;
        let mut weights = self.numbers(weights, "weights")?;
        self.at_least(&weights, 1.0 / LARGEST, "weights", None)?;

        let means = self.list("means", "a list of K lists of D numbers")?;
        self.length("means", means.len(), weights.len(), "as there are weights")?;
        let dim = means[0].as_array().map_or(0, Vec::len);
        if dim == 0 {
            return Err(self.bad("means[0]", shown(&means[0]), "a list of D numbers"));
        }
        self.at_most("length of means[0]", dim, MAX_DIM)?;
        let means = self.rows(means, "means", dim)?;

        let scales = self.list("scales", "a list of K numbers or of K lists of D numbers")?;
        self.length("scales", scales.len(), weights.len(), "as there are weights")?;
        let least = 1.0 / LARGEST;
        let scales = if scales[0].is_array() {
            let scales = self.rows(scales, "scales", dim)?;
            self.at_least(&scales, least, "scales", Some(dim))?;
            Scales::Diagonal(scales)
        } else {
            let scales = self.numbers(scales, "scales")?;
            self.at_least(&scales, least, "scales", None)?;
            Scales::Isotropic(scales)
        };

        let sum: f64 = weights.iter().sum();
        if (sum - 1.0).abs() > 1e-6 {
            let file = self.file.display();
            warnings.push(format!("{file}: weights: their sum is {sum}, and they were divided by it"));
        }
        for w in &mut weights {
            *w /= sum;
        }
        Ok(Mixture { dim, weights, means, scales })
    }

    fn gaussian(&self) -> Result<Gaussian> {
        let mean = self.list("mean", "a list of D numbers")?;
        let dim = mean.len();
        self.at_most("length of mean", dim, MAX_GAUSSIAN_DIM)?;
        let mean = self.numbers(mean, "mean")?;
        let rows = self.list("covariance", "a list of D lists of D numbers")?;
        self.length("covariance", rows.len(), dim, "as long as mean")?;
        let mut c = self.rows(rows, "covariance", dim)?;
        for i in 0..dim {
            for j in 0..i {
                let (lower, upper) = (c[i * dim + j], c[j * dim + i]);
                let size = (c[i * dim + i].abs() * c[j * dim + j].abs()).sqrt();
                if (lower - upper).abs() > 1e-6 * size {
                    let wanted = format!("{upper}, the same as covariance[{j}][{i}]");
                    return Err(self.bad(format!("covariance[{i}][{j}]"), lower, wanted));
                }
                c[i * dim + j] = 0.5 * (lower + upper);
            }
        }
        let covariance = eigen::positive_definite(&c, dim).map_err(|e| match e {
            NoEigen::NotPositive { row, left } => self.bad(
                format!("covariance[{row}][{row}]"),
                format!("{}, of which {left} is left after the rows above", c[row * dim + row]),
                "a positive definite matrix",
            ),
            NoEigen::NotAMatrix | NoEigen::Unfinished => self.bad(
                "covariance",
                "a matrix whose eigenvalues cannot be found",
                "a positive definite matrix",
            ),
        })?;
        Ok(Gaussian { mean, covariance })
    }
}

/// The line and column, from 1, of a byte in a text.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}")
}

impl Target {
    /// Reads a target file. Gives warnings too: weights that had to be normalised, keys that are not known.
    pub fn open(path: &Path) -> Result<(Self, Vec<String>)> {
        Self::parse(path, &read_text(path, LIMIT)?)
    }

    /// The same for a text; `file` names it in messages.
    pub fn parse(file: &Path, text: &str) -> Result<(Self, Vec<String>)> {
        let table: Table = text.parse().map_err(|e: toml::de::Error| {
            let what = place(text, e.span().map_or(0, |span| span.start));
            let found = e.message().replace('\n', " ");
            Error::file(file, what, found, "TOML")
        })?;
        let source = Source { file, table: &table };
        let mut warnings = Vec::new();
        let (target, known) = match table.get("kind") {
            Some(Value::String(kind)) if kind == "mixture" => {
                let mixture = source.mixture(&mut warnings)?;
                let known = ["weights", "means", "scales"].as_slice();
                (Target::Mixture(mixture), known)
            }
            Some(Value::String(kind)) if kind == "gaussian" => {
                let known = ["mean", "covariance"].as_slice();
                (Target::Gaussian(source.gaussian()?), known)
            }
            other => {
                let found = other.map_or("no such key".to_string(), shown);
                return Err(source.bad("kind", found, "\"mixture\" or \"gaussian\""));
            }
        };
        for key in table.keys() {
            if key != "kind" && !known.contains(&key.as_str()) {
                let (file, key) = (file.display(), key.escape_debug());
                warnings.push(format!("{file}: the key {key} is not known, and ignored"));
            }
        }
        Ok((target, warnings))
    }
}
