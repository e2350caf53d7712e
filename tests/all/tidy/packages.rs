//! Licences of all packages, and what the kernels may depend on, from `cargo metadata`.

use std::collections::BTreeSet;
use std::env;
use std::process::Command;

use serde_json::{Value, json};

use super::none;

/// What the kernels may depend on.
const KERNELS_USE: [&str; 5] = ["bytemuck", "cubecl", "cubecl-llvm", "half", "thiserror"];
/// Licences that ask for no more than to be named, or (MPL-2.0) only for changes to the package itself.
const LICENCES: [&str; 16] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];
/// Packages whose manifest names no licence, with the one that their LICENSE file is.
const UNNAMED: [(&str, &str); 1] = [("cfg_block", "Apache-2.0")];

/// Whether a licence expression can be met by licences of the list alone: OR, AND, WITH, brackets, and
/// the stroke of old manifests for OR.
fn allowed(expression: &str) -> bool {
    fn any(tokens: &mut &[&str]) -> bool {
        let mut sum = all(tokens);
        while tokens.first() == Some(&"OR") {
            *tokens = &tokens[1..];
            sum |= all(tokens);
        }
        sum
    }
    fn all(tokens: &mut &[&str]) -> bool {
        let mut product = one(tokens);
        while tokens.first() == Some(&"AND") {
            *tokens = &tokens[1..];
            product &= one(tokens);
        }
        product
    }
    fn one(tokens: &mut &[&str]) -> bool {
        let Some((&first, rest)) = tokens.split_first() else { return false };
        *tokens = rest;
        if first == "(" {
            let inner = any(tokens);
            let closed = tokens.first() == Some(&")");
            *tokens = tokens.get(1..).unwrap_or_default();
            return inner && closed;
        }
        if let ["WITH", exception, rest @ ..] = *tokens {
            *tokens = rest;
            return LICENCES.contains(&format!("{first} WITH {exception}").as_str());
        }
        LICENCES.contains(&first)
    }
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &tokens[..];
    any(&mut rest) && rest.is_empty()
}

#[test]
fn expressions_are_understood() {
    for good in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/GPL-3.0",
        "(MIT OR GPL-3.0) AND ISC",
        "Zlib AND Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(allowed(good), "{good}");
    }
    for bad in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR GPL-3.0) AND SSPL-1.0",
        "MIT MIT",
        "(MIT",
        "MIT WITH GPL-3.0",
        "OR",
    ] {
        assert!(!allowed(bad), "{bad}");
    }
}

/// What cargo says of the workspace and of every package that it needs on this machine.
fn metadata() -> Value {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let run = |arguments: &[&str]| {
        let run = Command::new(&cargo).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        let run = run.unwrap_or_else(|e| panic!("{cargo}: {e}"));
        assert!(run.status.success(), "{cargo} {arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
        run.stdout
    };
    let version = String::from_utf8(run(&["-vV"])).expect("text");
    let host = version.lines().find_map(|l| l.strip_prefix("host: ")).expect("cargo names its host");
    let flags = ["--format-version", "1", "--offline", "--locked", "--filter-platform", host];
    serde_json::from_slice(&run(&[&["metadata"], &flags[..]].concat())).expect("cargo writes JSON")
}

fn packages(metadata: &Value) -> &[Value] {
    metadata["packages"].as_array().map_or(&[], Vec::as_slice)
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap_or("?")
}

fn unlicensed(metadata: &Value) -> Vec<String> {
    let fault = |package: &Value| {
        let known = UNNAMED.iter().find(|known| known.0 == name(package)).map(|known| known.1);
        let found = package["license"].as_str().or(known);
        let (name, version) = (name(package), &package["version"]);
        match found {
            None => Some(format!("{name} {version} names no licence")),
            Some(licence) if !allowed(licence) => Some(format!("{name} {version}: {licence}")),
            Some(_) => None,
        }
    };
    packages(metadata).iter().filter_map(fault).collect()
}

#[test]
fn licences_are_allowed() {
    let metadata = metadata();
    assert!(packages(&metadata).len() > 200, "the packages were looked for");
    none(&unlicensed(&metadata));
    let planted = json!({"packages": [
        {"name": "free", "version": "1.0.0", "license": "MIT"},
        {"name": "mute", "version": "1.0.0", "license": null},
        {"name": "viral", "version": "1.0.0", "license": "MIT AND AGPL-3.0"},
    ]});
    assert_eq!(unlicensed(&planted).len(), 2);
}

/// Packages that another one builds with, tests aside.
fn needs<'a>(metadata: &'a Value, package: &str) -> BTreeSet<&'a str> {
    let own = packages(metadata).iter().filter(|p| name(p) == package);
    let all = own.flat_map(|p| p["dependencies"].as_array().into_iter().flatten());
    all.filter(|d| d["kind"] != "dev").map(name).collect()
}

fn wrong_needs(metadata: &Value) -> Vec<String> {
    let strangers = needs(metadata, "feynkac-kernels");
    let strangers = strangers.iter().filter(|n| !KERNELS_USE.contains(n));
    let mut faults: Vec<_> = strangers.map(|n| format!("feynkac-kernels must not depend on {n}")).collect();
    if needs(metadata, "feynkac").iter().any(|n| n.starts_with("cubecl")) {
        faults.push("feynkac must reach cubecl through feynkac-kernels".to_owned());
    }
    faults
}

#[test]
fn manifests_follow_the_arrows() {
    let metadata = metadata();
    assert!(needs(&metadata, "feynkac").contains("feynkac-kernels"), "the packages were looked for");
    none(&wrong_needs(&metadata));
    let planted = json!({"packages": [
        {"name": "feynkac-kernels", "dependencies": [{"name": "rand", "kind": null}, {"name": "cubecl", "kind": null}]},
        {"name": "feynkac", "dependencies": [{"name": "cubecl", "kind": null}, {"name": "rand", "kind": null}]},
    ]});
    assert_eq!(wrong_needs(&planted).len(), 2);
    let tests =
        json!({"packages": [{"name": "feynkac", "dependencies": [{"name": "cubecl", "kind": "dev"}]}]});
    none(&wrong_needs(&tests));
}
