//! No kernel reads or writes where it should not. The suite runs a second time in a process of its
//! own, in which every buffer starts as NaN bits between guard zones that are read back after each
//! launch, and in which cubecl is asked to validate every index and to print what is out of bounds.
//!
//! cubecl 0.11.3 reads that setting and never acts on it (`cubecl_does_not_validate_yet`), so the
//! guard zones, the NaN bits and the oracles stand alone; a print would fail the suite all the same.

use std::process::{Command, Output};

use cubecl::prelude::*;
use feynkac::kernels::device::{Device, Request};
use feynkac::kernels::passes::Work;
use feynkac::{Method, Model, Options, Policy, Rule, Schedule, Target, verify};

use crate::passes::{mlp, resample, scan, weights};

/// Runs test `name` of this binary with the validating check on, and returns what it printed.
fn child(name: &str) -> Output {
    let folder = std::env::temp_dir().join(format!(
        "feynkac-memory-{}-{}",
        name.replace(':', "-"),
        std::process::id()
    ));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("cubecl.toml"), "[compilation]\ncheck_mode = \"validate\"\n").expect("a file");
    let binary = std::env::current_exe().expect("this binary");
    let out = Command::new(binary)
        .args(["--exact", name, "--ignored", "--nocapture", "--test-threads", "1"])
        .current_dir(&folder)
        .output()
        .expect("a child process");
    std::fs::remove_dir_all(&folder).expect("the folder goes");
    out
}

fn complaints(out: &Output) -> Vec<String> {
    let all = [String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)].concat();
    all.lines().filter(|l| l.contains("[VALIDATION")).map(str::to_owned).collect()
}

fn holds(name: &str) {
    let out = child(name);
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{name}: {}\n{text}", String::from_utf8_lossy(&out.stdout));
    assert!(String::from_utf8_lossy(&out.stdout).contains("1 passed"), "{name} ran");
    let complaints = complaints(&out);
    assert!(complaints.is_empty(), "{name}: {} out of bounds, first {}", complaints.len(), complaints[0]);
}

#[test]
fn cpu() {
    holds("memory::suite_cpu");
}

#[test]
fn wgpu() {
    holds("memory::suite_wgpu");
}

/// A known limit, as a test that ends with it: once the planted access is reported, this fails, and
/// should become "a planted access is reported".
#[test]
fn cubecl_does_not_validate_yet() {
    let out = child("memory::planted");
    assert!(out.status.success(), "the planted access is clamped, not fatal");
    assert!(complaints(&out).is_empty(), "cubecl validates now: turn this test around");
}

#[test]
fn a_touched_zone_is_reported() {
    for name in ["cpu", "wgpu"] {
        let device = guarded(name);
        let buffer = device.upload("victim", &[1_u32; 8]).expect("an upload");
        // The same memory bound 8 elements too long: a write behind the buffer, within its zone.
        let long = buffer.arg_longer(8);
        planted_kernel::launch(device.client(), CubeCount::Static(1, 1, 1), CubeDim::new_1d(1), long, 12);
        let fault = device.launched(Work::default()).expect_err("a touched zone");
        assert!(fault.to_string().contains("victim"), "{fault}");
    }
}

#[cube(launch)]
fn planted_kernel(buffer: &mut [u32], at: u32) {
    if UNIT_POS == 0u32 {
        buffer[at as usize] = 5u32;
    }
}

/// A kernel that a backend cannot compile is lost on the runtime's own thread: the next read must say so.
#[test]
fn a_lost_launch_is_reported() {
    let out = child("memory::lost");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    assert!(String::from_utf8_lossy(&out.stdout).contains("1 passed"), "it ran");
}

/// WGSL cannot look at a buffer of numbers as one of vectors.
#[cube(launch)]
fn paired_kernel<N: Size>(from: &[f32], to: &mut [f32]) {
    let pairs = from.as_vectorized().with_vector_size::<N>()[0usize];
    to[0usize] = pairs.extract(1usize);
}

#[test]
#[ignore = "run by a_lost_launch_is_reported in a process of its own"]
fn lost() {
    let device = Device::open("wgpu".parse::<Request>().expect("a name")).expect("a device");
    let (from, to) =
        (device.upload("a", &[1.0_f32; 8]).expect("a"), device.upload("b", &[2.0_f32; 8]).expect("b"));
    assert_eq!(device.download(&to).expect("a read"), [2.0; 8]);
    let one = (CubeCount::Static(1, 1, 1), CubeDim::new_1d(1));
    paired_kernel::launch(device.client(), one.0, one.1, 2, from.arg(), to.arg());
    let fault = device.download(&to).expect_err("the launch was lost").to_string();
    assert!(fault.contains("compiling or launching a kernel"), "{fault}");
    assert!(device.sync().is_err(), "and it stays so");
}

#[test]
#[ignore = "run by cubecl_does_not_validate_yet in a process of its own"]
fn planted() {
    let device = guarded("cpu");
    let buffer = device.upload("victim", &[1_u32; 8]).expect("an upload");
    planted_kernel::launch(device.client(), CubeCount::Static(1, 1, 1), CubeDim::new_1d(1), buffer.arg(), 9);
    device.download(&buffer).expect("a read");
}

#[test]
#[ignore = "run by cpu in a process of its own"]
fn suite_cpu() {
    suite(&guarded("cpu"));
}

#[test]
#[ignore = "run by wgpu in a process of its own"]
fn suite_wgpu() {
    suite(&guarded("wgpu"));
}

fn guarded(name: &str) -> Device {
    Device::open_guarded(name.parse::<Request>().expect("a name")).expect("a device")
}

fn sizes() -> Vec<usize> {
    let around = [127, 129, 509, 511, 513, 2047, 2049, 4095, 4097];
    (1..=70).chain(255..=257).chain(1023..=1025).chain(around).chain([997, 3001]).collect()
}

fn suite(device: &Device) {
    for n in sizes() {
        scan::all_monoids(device, n);
        weights::spread(device, n);
        resample::random_weights(device, n);
    }
    mlp::every_shape_and_option(device);
    for n in [1, 2, 15, 16, 17, 70, 257, 1023, 1025] {
        steps(device, n);
    }
}

/// Two steps of every kind of kernel, each checked against the oracles.
fn steps(device: &Device, particles: usize) {
    let mixture = |dim: usize, diagonal: bool| {
        let mean = |v: f64| vec![v; dim];
        let scale = |v: f64| if diagonal { format!("{:?}", mean(v)) } else { format!("{v:?}") };
        let text = format!(
            "kind = 'mixture'\nweights = [0.4, 0.6]\nmeans = [{:?}, {:?}]\nscales = [{}, {}]",
            mean(-1.0),
            mean(1.2),
            scale(0.7),
            scale(0.8)
        );
        Model::Analytic(Target::parse("memory.toml".as_ref(), &text).expect("a target").0)
    };
    for (dim, groups) in [(1, 1), (2, 3), (3, 1), (5, 2)] {
        for (method, rule, unfused) in [
            (Method::Plain, Rule::Trap, false),
            (Method::FkcAnneal, Rule::Exact, false),
            (Method::FkcGuidance, Rule::Trap, true),
        ] {
            let mut options = Options::new(method, Schedule::Ve { sigma_min: 0.1, sigma_max: 10.0 });
            (options.beta, options.rule, options.unfused) = (1.5, rule, unfused);
            (options.particles, options.groups, options.steps) = (particles, groups, 2);
            options.resample = Policy::Every;
            let second = if method == Method::FkcGuidance { vec![mixture(dim, true)] } else { vec![] };
            let models: Vec<Model> = [mixture(dim, false)].into_iter().chain(second).collect();
            let verdict = verify::verify(device, &models, &options).expect("a walk");
            assert!(verdict.agrees(), "{particles} particles, dimension {dim}, {method:?}: {verdict}");
        }
    }
}
