//! The examples' experiments on a small scale: the same code, its tables and its pictures.

use std::fs;
use std::path::{Path, PathBuf};

use feynkac::kernels::device::Device;

use super::s1::slow;
use crate::experiments::line::{self, CASES, SCHEDULES};
use crate::experiments::{Size, conditioned, digits, plane};

on_every_device! { the_line, the_plane, the_digits, digits_that_are_asked_for }

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, device: &Device) -> Self {
        let backend = device.backend().to_string().replace(':', "-");
        Self(std::env::temp_dir().join(format!("feynkac-{name}-{backend}-{}", std::process::id())))
    }

    /// Lines of the table, and how many pictures lie beside it.
    fn read(&self, table: &str) -> (Vec<String>, usize) {
        let text = fs::read_to_string(self.0.join(table)).expect("the table");
        let files = fs::read_dir(&self.0).expect("the folder").map(|f| f.expect("a file").path());
        (
            text.lines().map(str::to_owned).collect(),
            files.filter(|f| f.extension().is_some_and(|e| e == "png")).count(),
        )
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Weights bring annealing and the product to the right variance, which the same particles without weights miss.
fn the_line(device: &Device) {
    if slow(device) {
        return eprintln!("skipped: S1 runs there");
    }
    let folder = Folder::new("line", device);
    let size = Size { particles: 4000, steps: 60, runs: 4, seed: 40 };
    let all = line::write(device, &SCHEDULES[..1], size, &folder.0).expect("the experiment");
    let (lines, pictures) = folder.read("fkc-toy.md");
    assert_eq!((lines.len(), pictures), (2 + CASES.len(), 4 * CASES.len()));
    assert!(lines.iter().all(|line| line.matches('|').count() == line::HEADER.len() + 1), "{lines:?}");
    for found in all.iter().filter(|f| f.case.starts_with("anneal") || f.case.starts_with("product")) {
        let off = found.figures.map(|[_, variance, _]| (variance.0 / found.wanted.variance - 1.0).abs());
        assert!(off[0] < 0.4 * off[2] && off[1] < 0.4 * off[2], "{}: {off:?}", found.case);
    }
}

/// Correction brings the energies nearer than the score alone, nobody comes nearer than independent draws.
fn the_plane(device: &Device) {
    if slow(device) {
        return eprintln!("skipped: S3 runs there");
    }
    let folder = Folder::new("plane", device);
    let q =
        plane::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/gmm40.toml")).expect("the mixture");
    let size = Size { particles: 1000, steps: 100, runs: 3, seed: 8 };
    let all = plane::write(device, &q, &[2], size, &folder.0).expect("the experiment");
    let (lines, pictures) = folder.read("forty-modes.md");
    assert_eq!((lines.len(), pictures), (2 + 2 * 11, 10));
    for noise in ["target score", "tempered"] {
        let w1 = |sampler: &str| {
            let own = |f: &&plane::Found| (f.noise.is_empty() || f.noise == noise) && f.sampler == sampler;
            let each = all.iter().filter(own).map(|f| plane::averages(&f.errors)[1].0);
            each.sum::<f64>()
        };
        let (alone, corrected, floor) = (w1("no weights"), w1("FKC, every step"), w1("independent draws"));
        assert!(floor < corrected && corrected < 0.7 * alone, "{noise}: {floor}, {corrected}, {alone}");
    }
}

/// The class alone has the digits' mean and spread, which guidance leaves.
fn the_digits(device: &Device) {
    let folder = Folder::new("digits", device);
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights");
    let digits = digits::Digits::open(device, &weights, digits::Set::Digits8).expect("the digits");
    let size = Size { particles: 8, steps: 30, runs: if slow(device) { 2 } else { 8 }, seed: 3 };
    let all = digits::write(device, &digits, &[1.0, 3.0], 3, size, &folder.0).expect("the experiment");
    let (lines, pictures) = folder.read("digits-sweep.md");
    assert_eq!((lines.len(), pictures), (2 + 3, 3));
    let [alone, guided, corrected] = &all[..] else { panic!("{} samplers", all.len()) };
    for found in [alone, guided, corrected] {
        let (agrees, _) = found.average(|f| f.agrees);
        assert!(agrees > 0.9, "{found:?}");
    }
    let off = |found: &digits::Found| found.average(|f| f.off).0;
    let spread = alone.average(|f| f.spread).0;
    assert!(off(alone) < 0.15 && (0.75..1.1).contains(&spread), "{alone:?}");
    assert!(off(guided) > 1.1 * off(alone) && off(corrected) > 1.3 * off(alone), "{guided:?} {corrected:?}");
    assert!(corrected.classes.iter().all(|f| (1.0..=8.0).contains(&f.ess)), "{corrected:?}");
}

/// The cover of a power, its draws and the power itself by quadrature have the same energies and modes.
#[test]
fn a_power_is_covered() {
    let text =
        "kind = 'mixture'\nweights = [0.3, 0.7]\nmeans = [[-1.0, 0.0], [1.2, 0.5]]\nscales = [0.7, 0.8]\n";
    let feynkac::Target::Mixture(q) = line::target(text) else { panic!("a mixture") };
    let (beta, sigma) = (3, 0.1);
    let truth = plane::Truth::new(&q, beta, sigma);
    let (mut mass, mut energy) = (0.0, 0.0);
    for i in 0..600 {
        for j in 0..600 {
            let x = [-6.0 + 0.02 * f64::from(i), -6.0 + 0.02 * f64::from(j)];
            let log_q = q.log_density(&x, 1.0, sigma);
            let p = (beta as f64 * log_q).exp();
            (mass, energy) = (mass + p, energy - p * log_q);
        }
    }
    let (found, wanted) = (truth.energy(), energy / mass);
    assert!((found - wanted).abs() < 2.0e-4, "mean energy {found} for {wanted}");
    // Draws are as far from the cover as draws are: their distance falls with their number as 1/sqrt.
    let [few, many] = [200, 20_000].map(|count| plane::averages(&truth.floor(count, 10)));
    println!("energy W1 of 200 and 20,000 draws: {:.4}, {:.4}", few[1].0, many[1].0);
    assert!(few[1].0 > 5.0 * many[1].0 && few[1].0 < 20.0 * many[1].0);
}

/// Four particles an image, and the classifier reads most of what the network drew as what was asked; the weights alone of as
/// many do less.
fn digits_that_are_asked_for(device: &Device) {
    if slow(device) {
        return eprintln!("skipped: networks of images run there in the laws");
    }
    let folder = Folder::new("asked", device);
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights");
    let digits = conditioned::Digits::open(device, &weights).expect("the networks");
    let size = Size { particles: 0, steps: 20, runs: 4, seed: 3 };
    let all = conditioned::by_class(device, &digits, 4, &[4], size, &folder.0).expect("the experiment");
    let (lines, pictures) = folder.read("classes.md");
    assert_eq!((lines.len(), pictures), (2 + 3, 3));
    println!("{}", lines.join("\n"));
    let [own, alone, twisted] = [0, 1, 2].map(|row: usize| all[row].agrees[1]);
    assert!(own >= 0.75 && twisted >= 0.75 && twisted > alone, "{own}, {alone}, {twisted}");
}
