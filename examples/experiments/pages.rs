//! What the experiments leave behind: tables and pictures.

use std::path::Path;

use feynkac::cli::picture::{Samples, draw};
use feynkac::weights::write_atomically;
use feynkac::{Error, Result};

/// A table in markdown.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let rule = format!("|{}\n", "---|".repeat(header.len()));
    [line(&header), rule].into_iter().chain(rows.iter().map(|row| line(row))).collect()
}

/// Makes a folder and those above it.
pub fn folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|error| Error::write(path, error))
}

/// Writes `text` and shows it.
pub fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    write_atomically(&folder.join(name), text.as_bytes())?;
    println!("{text}");
    Ok(())
}

/// Writes a picture, its name in small letters and without blanks.
pub fn picture(folder: &Path, name: &str, samples: Samples) -> Result<()> {
    let failed = |why: String| Error::input("picture", why, "samples that can be drawn");
    let name: String = name.chars().map(|c| if c.is_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let path = folder.join(format!("{}.png", name.to_lowercase().replace("--", "-")));
    write_atomically(&path, &draw(samples).map_err(failed)?.png().map_err(failed)?)
}

/// A picture of images that count alike, `pixels` each.
pub fn images(folder: &Path, name: &str, x: &[f32], pixels: usize) -> Result<()> {
    let log_w = vec![0.0; x.len() / pixels];
    picture(folder, name, Samples { x, dim: pixels, log_w: &log_w, groups: 1 })
}

/// What `main` returns; an error is told.
pub fn exit(result: Result<()>) -> std::process::ExitCode {
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::from(error.exit_code())
        }
    }
}
