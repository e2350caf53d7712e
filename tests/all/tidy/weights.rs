//! Shipped weights: small, and the files that weights/README.md says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::none;

/// Bytes that all files together must stay below.
const MOST: u64 = 10_000_000;

/// (path, sha256) of the lines that are a sum and a path.
fn listed(text: &str) -> BTreeMap<String, String> {
    let sum = |s: &str| s.len() == 64 && s.chars().all(|c| c.is_ascii_hexdigit());
    let lines = text.lines().filter_map(|line| line.split_once("  ")).filter(|(first, _)| sum(first));
    lines.map(|(sum, path)| (path.trim().to_owned(), sum.to_owned())).collect()
}

fn sha256(path: &Path) -> Result<String, String> {
    let run = Command::new("sha256sum").arg(path).output().map_err(|e| format!("sha256sum: {e}"))?;
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    match said.split_whitespace().next() {
        Some(sum) if run.status.success() => Ok(sum.to_owned()),
        _ => Err(String::from_utf8_lossy(&run.stderr).trim().to_owned()),
    }
}

/// The files of a weights folder, those of `train` aside.
fn shipped(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for item in fs::read_dir(folder).expect("the weights folder") {
        let path = item.expect("an entry").path();
        if path.is_file() {
            found.push(path);
        } else if path.file_name().is_some_and(|name| name != "train") {
            found.extend(shipped(&path));
        }
    }
    found.sort();
    found
}

fn faults(folder: &Path, most: u64) -> Vec<String> {
    let text = fs::read_to_string(folder.join("README.md")).expect("weights/README.md");
    let listed = listed(&text);
    let mut faults = Vec::new();
    for (path, wanted) in &listed {
        match sha256(&folder.join(path)) {
            Ok(found) if found == *wanted => {}
            Ok(found) => faults.push(format!("{path}: sha256 is {found}, README.md says {wanted}")),
            Err(why) => faults.push(why),
        }
    }
    let shipped = shipped(folder);
    let bytes: u64 = shipped.iter().map(|path| fs::metadata(path).expect("a file").len()).sum();
    if bytes >= most {
        let count = shipped.len();
        faults.push(format!("{count} shipped files: {bytes} bytes, fewer than {most} wanted"));
    }
    for path in shipped {
        let name = path.strip_prefix(folder).expect("a path of the folder").to_string_lossy().into_owned();
        if name.ends_with("model.safetensors") && !listed.contains_key(&name) {
            faults.push(format!("{name}: README.md has no sha256"));
        }
    }
    faults
}

#[test]
fn weights_are_what_the_readme_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights");
    assert!(shipped(&folder).len() > 5, "the weights were looked for");
    none(&faults(&folder, MOST));
}

#[test]
fn other_weights_are_noticed() {
    let folder = std::env::temp_dir().join(format!("feynkac-tidy-{}", std::process::id()));
    fs::create_dir_all(folder.join("net")).expect("a temporary folder");
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a temporary file");
    // The sum of the three letters `abc`: FIPS 180-2, appendix B.
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let readme = format!("text\n{sum}  net/model.safetensors\n");
    write("README.md", &readme);
    write("net/model.safetensors", "abc");
    let both = readme.len() as u64 + 3;
    let sound = faults(&folder, both + 1);
    let large = faults(&folder, both);
    write("net/model.safetensors", "abd");
    let changed = faults(&folder, 1000);
    write("net/other-model.safetensors", "abc");
    let unlisted = faults(&folder, 1000);
    fs::remove_file(folder.join("net/model.safetensors")).expect("a temporary file");
    let missing = faults(&folder, 1000);
    fs::remove_dir_all(&folder).expect("a temporary folder");
    none(&sound);
    assert_eq!((large.len(), changed.len(), unlisted.len(), missing.len()), (1, 1, 2, 2));
}
