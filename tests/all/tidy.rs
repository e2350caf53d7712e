//! The house in order: sizes, names, which way things point, where `unsafe` is, licences, checksums.
//! Every check is a function of texts, and a text that it must refuse stands beside it.

use std::fs;
use std::path::Path;

mod code;
mod packages;
mod weights;

use code::{code, paths, tokens};

/// Lines that a file, and a kernel, must stay below.
const FILE: usize = 400;
const KERNEL: usize = 80;
/// Names that say nothing.
const EMPTY_NAMES: [&str; 5] = ["base", "utils", "common", "helpers", "misc"];
/// The only files that may say `unsafe`.
const UNSAFE: [&str; 2] = ["kernels/src/device.rs", "src/weights.rs"];
/// A file by its path from the root of the repository.
struct Source {
    path: String,
    text: String,
}

/// The files with this extension below these folders, in order.
fn sources(folders: &[&str], extension: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open: Vec<String> = folders.iter().map(|f| (*f).to_owned()).collect();
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        let whole = root.join(&path);
        if whole.is_dir() {
            let items = fs::read_dir(&whole).expect("a folder of the repository");
            let names = items.map(|i| i.expect("an entry").file_name().to_string_lossy().into_owned());
            open.extend(names.filter(|n| n != "target").map(|name| format!("{path}/{name}")));
        } else if whole.extension().is_some_and(|e| e == extension) {
            let text = fs::read_to_string(&whole).unwrap_or_else(|e| panic!("{path}: {e}"));
            found.push(Source { path, text });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn rust() -> Vec<Source> {
    sources(&["src", "kernels", "tests", "bench", "examples", "fuzz"], "rs")
}

fn planted(path: &str, text: &str) -> Vec<Source> {
    vec![Source { path: path.to_owned(), text: text.to_owned() }]
}

fn none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn long_files(sources: &[Source]) -> Vec<String> {
    let long = sources.iter().filter(|s| s.text.lines().count() >= FILE);
    long.map(|s| format!("{}: {} lines, fewer than {FILE} wanted", s.path, s.text.lines().count())).collect()
}

#[test]
fn files_are_short() {
    let python = sources(&["weights/train"], "py");
    assert!(python.len() > 5 && rust().len() > 60, "the sources were looked for");
    none(&long_files(&rust()));
    none(&long_files(&python.into_iter().filter(|s| s.path.matches('/').count() == 2).collect::<Vec<_>>()));
    assert_eq!(long_files(&planted("src/a.rs", &"\n".repeat(FILE))).len(), 1);
    assert!(long_files(&planted("src/a.rs", &"\n".repeat(FILE - 1))).is_empty());
}

/// (name, lines) of the functions that are launched.
fn kernels(source: &Source) -> Vec<(String, usize)> {
    let code = code(&source.text);
    let each = code.split("#[cube(launch").skip(1).filter_map(|after| {
        let function = &after[after.find("fn ")?..];
        let mut depth = 0;
        let end = function.find(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == '}' && depth == 0
        });
        let name = tokens(&function[3..]).first().copied().unwrap_or_default().to_owned();
        Some((name, function[..end.map_or(function.len(), |e| e + 1)].lines().count()))
    });
    each.collect()
}

fn long_kernels(sources: &[Source]) -> Vec<String> {
    let long = |s: &Source| {
        let kernels = kernels(s).into_iter().filter(|k| k.1 >= KERNEL);
        kernels.map(|(k, n)| format!("{}: {k} has {n} lines, fewer than {KERNEL} wanted", s.path)).collect()
    };
    sources.iter().flat_map(|s| -> Vec<String> { long(s) }).collect()
}

#[test]
fn kernels_are_short() {
    let all = sources(&["kernels/src"], "rs");
    assert!(all.iter().flat_map(kernels).any(|k| k.0 == "step_kernel"), "the kernels were looked for");
    none(&long_kernels(&all));
    let kernel = |n| format!("#[cube(launch)]\nfn k() {{\n{}}}\nfn after() {{}}", "f();\n".repeat(n));
    assert_eq!(long_kernels(&planted("kernels/src/a.rs", &kernel(KERNEL - 2))).len(), 1);
    assert!(long_kernels(&planted("kernels/src/a.rs", &kernel(KERNEL - 3))).is_empty());
}

/// Why this file must not use this path; `None` where it may.
fn against(file: &str, path: &str) -> Option<&'static str> {
    let parts: Vec<&str> = path.split("::").collect();
    let Some(inside) = file.strip_prefix("kernels/src/") else {
        let host = file.starts_with("src/") && parts.contains(&"cubecl");
        return host.then_some("the host reaches cubecl only through feynkac_kernels");
    };
    let outside = ["rand", "clap", "safetensors", "serde", "serde_json", "feynkac"];
    if outside.contains(&parts[0]) && parts.len() > 1 {
        return Some("the kernels know no files, no command line and no host");
    }
    if parts[0] == "std" && parts.get(1).is_some_and(|p| ["env", "fs", "time", "process", "net"].contains(p))
    {
        return Some("the kernels know no files, no environment and no clock");
    }
    let mut tiers = parts.iter().skip_while(|p| ["crate", "self", "super"].contains(p));
    let to = if ["crate", "super"].contains(&parts[0]) { *tiers.next()? } else { return None };
    match inside.split('/').next()? {
        "prims" if ["models", "methods", "passes"].contains(&to) => {
            Some("prims stand below every other tier")
        }
        "models" | "methods" if to == "passes" => Some("models and methods stand below passes"),
        _ => None,
    }
}

fn wrong_arrows(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        let code = code(&source.text);
        for path in paths(&code) {
            let fault = against(&source.path, &path).map(|why| format!("{}: {path}: {why}", source.path));
            faults.extend(fault);
        }
        if source.path.starts_with("src/") && code.contains("#[cube") {
            faults.push(format!("{}: #[cube] code belongs into kernels/", source.path));
        }
    }
    faults
}

#[test]
fn arrows_point_one_way() {
    none(&wrong_arrows(&rust()));
    for (path, text) in [
        ("kernels/src/prims/a.rs", "use crate::{device::Buf, passes::Sharing};"),
        ("kernels/src/prims/a.rs", "fn f() { super::super::models::g() }"),
        ("kernels/src/methods/a.rs", "use crate::passes::step;"),
        ("kernels/src/models/mod.rs", "use super::passes::Sharing;"),
        ("kernels/src/device.rs", "use std::{fmt, fs::{self, File}};"),
        ("kernels/src/device.rs", "let now = std::time::Instant::now();"),
        ("kernels/src/passes/scan/launch.rs", "use rand::Rng;"),
        ("kernels/src/error.rs", "#[derive(serde::Serialize)] struct A;"),
        ("src/run.rs", "use cubecl::prelude::*;"),
        ("src/run.rs", "#[cube(launch)] fn k() {}"),
    ] {
        assert!(!wrong_arrows(&planted(path, text)).is_empty(), "{path}: {text}");
    }
    none(&wrong_arrows(&planted("kernels/src/passes/a.rs", "use crate::{methods::Move, models, prims};")));
    none(&wrong_arrows(&planted("src/run.rs", "// cubecl\nuse feynkac_kernels::passes::step;")));
}

fn wrong_names(sources: &[Source]) -> Vec<String> {
    let empty = |s: &&Source| s.path.split(['/', '.']).any(|part| EMPTY_NAMES.contains(&part));
    sources.iter().filter(empty).map(|s| format!("{}: a name that says nothing", s.path)).collect()
}

#[test]
fn names_say_something() {
    none(&wrong_names(&rust()));
    assert_eq!(wrong_names(&planted("src/cli/utils.rs", "")).len(), 1);
    assert_eq!(wrong_names(&planted("tests/all/common/mod.rs", "")).len(), 1);
}

fn dangers(sources: &[Source]) -> Vec<String> {
    let strangers = sources.iter().filter(|s| !UNSAFE.contains(&s.path.as_str()));
    let found = strangers.filter(|s| tokens(&code(&s.text)).contains(&"unsafe"));
    found.map(|s| format!("{}: unsafe is allowed only in {}", s.path, UNSAFE.join(" and "))).collect()
}

#[test]
fn danger_has_two_places() {
    none(&dangers(&rust()));
    assert_eq!(dangers(&planted("src/run.rs", "fn f() { unsafe { g() } }")).len(), 1);
    none(&dangers(&planted("src/run.rs", "#![deny(unsafe_code)] // unsafe")));
}
