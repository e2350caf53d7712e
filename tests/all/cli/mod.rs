//! The program as a user meets it: what it refuses, what it writes, what it shows.
//!
//! Texts are compared with `tests/golden/`; after a wanted change write them anew with `UPDATE_GOLDEN=1`.

mod defaults;
mod drawn;
mod eval_energy;
mod evaluated;
mod folders;
mod measured;
mod refused;
mod resampled;
mod shown;
mod twisted;
mod weights;
mod written;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder of its own for one test, in which the program runs; gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    /// With `two.toml`, a mixture in the plane, and `line.toml`, one on the line.
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("feynkac-cli-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path); // of an earlier process of this number
        fs::create_dir_all(&path).expect("the temporary folder can be written");
        let scratch = Self(path);
        scratch.put(
            "two.toml",
            "kind = \"mixture\"\nweights = [0.4, 0.6]\nmeans = [[-1.0, 0.0], [1.2, 0.5]]\nscales = [0.7, 0.8]\n",
        );
        scratch.put(
            "line.toml",
            "kind = \"mixture\"\nweights = [0.5, 0.5]\nmeans = [[-1.0], [1.0]]\nscales = [0.5, 0.5]\n",
        );
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn put(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        fs::write(path, contents).expect("a file");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// What a folder holds, sorted; nothing where there is none.
    fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else { return Vec::new() };
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.expect("an entry").file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }

    /// Runs the program here, on arguments apart by blanks.
    fn run(&self, arguments: &str) -> Ran {
        run(&self.0, arguments)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a run of the program came to.
#[derive(Debug)]
struct Ran {
    line: String,
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    /// The output of a run that must have gone well and said nothing on stderr.
    fn fine(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}\n{}", self.line, self.stdout);
        self.stdout
    }
}

fn run(folder: &Path, arguments: &str) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_feynkac"))
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .env_remove("RUST_BACKTRACE")
        .env_remove("COLUMNS")
        .output()
        .expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran {
        line: format!("feynkac {arguments}"),
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Compares `found` with `tests/golden/NAME.txt`, or writes it there.
fn golden(name: &str, found: &str) {
    let path = root().join("tests/golden").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, found).expect("the golden file can be written");
        return;
    }
    let wanted = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if found == wanted {
        return;
    }
    let lines = found.lines().map(Some).chain(std::iter::repeat(None));
    let pairs = lines.zip(wanted.lines().map(Some).chain(std::iter::repeat(None)));
    let (at, (found, wanted)) =
        pairs.enumerate().find(|(_, (found, wanted))| found != wanted || found.is_none()).expect("an end");
    panic!(
        "{}, line {}: found\n{}\nwanted\n{}\nUPDATE_GOLDEN=1 writes it anew",
        path.display(),
        at + 1,
        found.unwrap_or("the end"),
        wanted.unwrap_or("the end"),
    );
}
