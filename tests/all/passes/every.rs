//! The list of every pass: each folder of the kernels is in it, and each agrees with its oracle.

use std::fs;
use std::path::Path;

use feynkac::kernels::device::Device;
use feynkac::verify::passes::PASSES;

on_every_device! { every_pass_agrees }

/// Runs are walked in `laws/verify.rs`, more of them; many steps in one launch are compared in `laws/counts.rs`.
fn every_pass_agrees(device: &Device) {
    for (name, check) in PASSES.iter().filter(|(name, _)| !["init", "step", "steps"].contains(name)) {
        let verdict = check(device).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(verdict.agrees() && verdict.compared > 50, "{name}: {verdict}");
    }
}

#[test]
fn no_folder_is_left_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels/src/passes");
    let entries = fs::read_dir(folder).expect("the passes").map(|entry| entry.expect("an entry"));
    let mut folders: Vec<String> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().expect("a name"))
        .collect();
    folders.sort();
    assert_eq!(folders, PASSES.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<String>>());
}
