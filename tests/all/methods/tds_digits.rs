//! The twisted sampler on a mixture of all 1,797 images of 8x8 digits, whose posterior is a sum over them (S9 of the
//! experiments): which digit it is, and the unknown pixels, given three noisy rows of an image.

use std::path::Path;

use feynkac::kernels::device::Device;
use feynkac::target::{Mixture, Scales};
use feynkac::weights::Weights;
use feynkac::{Filter, Method, Model, Operator, Options, Schedule, Target, Task, Twisting, sample};

use super::chain::{Law, posterior};
use super::s1::{seed, slow};
use crate::reference::normalised;

on_every_device! { classes_and_pixels_are_the_posterior, filtered_images }

const PIXELS: usize = 64;
/// Pixels that are known, in three rows.
const KNOWN: usize = 24;
/// Of each component.
const SCALE: f64 = 0.15;

struct Digits {
    images: Vec<f64>,
    labels: Vec<usize>,
}

fn digits() -> Digits {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/digits8/digits8.safetensors");
    let file = Weights::open(&path).expect("the digits");
    let images = file.f32("image", &[1797, PIXELS]).expect("images").into_iter().map(f64::from).collect();
    let labels = file.i32("label").expect("labels").into_iter().map(|l| l as usize).collect();
    Digits { images, labels }
}

impl Digits {
    fn each(&self) -> impl Iterator<Item = (&[f64], usize)> {
        self.images.chunks(PIXELS).zip(self.labels.iter().copied())
    }

    fn mixture(&self) -> Target {
        let count = self.labels.len();
        Target::Mixture(Mixture {
            dim: PIXELS,
            weights: vec![1.0 / count as f64; count],
            means: self.images.clone(),
            scales: Scales::Isotropic(vec![SCALE; count]),
        })
    }

    /// log p(y), the classes' posterior, and the posterior mean of the unknown pixels.
    fn posterior(&self, y: &[f64], noise: f64) -> (f64, [f64; 10], Vec<f64>) {
        let variance = SCALE * SCALE + noise * noise;
        let fit = |image: &[f64]| -> f64 {
            image.iter().zip(y).map(|(m, y)| -0.5 * (y - m).powi(2) / variance).sum()
        };
        let fits: Vec<f64> = self.each().map(|(image, _)| fit(image)).collect();
        let most = fits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = fits.iter().map(|fit| (fit - most).exp()).sum();
        let (mut classes, mut mean) = ([0.0; 10], vec![0.0; PIXELS - KNOWN]);
        for ((image, class), fit) in self.each().zip(&fits) {
            let share = (fit - most).exp() / total;
            classes[class] += share;
            mean.iter_mut().zip(&image[KNOWN..]).for_each(|(mean, pixel)| *mean += share * pixel);
        }
        let constant = -0.5 * KNOWN as f64 * (std::f64::consts::TAU * variance).ln();
        (most + (total / fits.len() as f64).ln() + constant, classes, mean)
    }

    /// The classes' posterior and the posterior mean of all pixels, given a measurement, component by component.
    fn measured(&self, task: &Task) -> ([f64; 10], Vec<f64>) {
        let apart = |at: usize| if at / PIXELS == at % PIXELS { SCALE * SCALE } else { 0.0 };
        let covariance: Vec<f64> = (0..PIXELS * PIXELS).map(apart).collect();
        let one =
            |image: &[f64]| posterior(&Law { mean: image.to_vec(), covariance: covariance.clone() }, task);
        let all: Vec<(f64, Vec<f64>)> = self.each().map(|(image, _)| one(image)).collect();
        let most = all.iter().map(|(fit, _)| *fit).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = all.iter().map(|(fit, _)| (fit - most).exp()).sum();
        let (mut classes, mut mean) = ([0.0; 10], vec![0.0; PIXELS]);
        for ((fit, own), class) in all.iter().zip(&self.labels) {
            let share = (fit - most).exp() / total;
            classes[*class] += share;
            mean.iter_mut().zip(own).for_each(|(mean, own)| *mean += share * own);
        }
        (classes, mean)
    }

    /// The class of the image nearest to `x`.
    fn class(&self, x: &[f32]) -> usize {
        let off =
            |image: &[f64]| -> f64 { image.iter().zip(x).map(|(m, x)| (f64::from(*x) - m).powi(2)).sum() };
        let nearest = self.each().min_by(|(a, _), (b, _)| off(a).total_cmp(&off(b)));
        nearest.map_or(0, |(_, class)| class)
    }
}

/// What runs of `particles` find: log Z, the classes, and the root mean square error of the mean of the unknown pixels,
/// of each run.
fn found(
    device: &Device,
    digits: &Digits,
    (y, noise): (&[f64], f64),
    (particles, groups): (usize, usize),
) -> (Vec<f64>, [f64; 10], f64) {
    let mut options = Options::new(Method::Tds, Schedule::Ve { sigma_min: 0.05, sigma_max: 8.0 });
    (options.particles, options.groups, options.steps, options.seed) = (particles, groups, 50, seed(7100));
    let known = y.iter().copied().chain(vec![0.0; PIXELS - KNOWN]).collect();
    let task = Task::Inpaint { mask: (0..PIXELS).map(|k| k < KNOWN).collect(), known, noise };
    options.twisting = Some(Twisting::new(task));
    let out = sample(device, &[Model::Analytic(digits.mixture())], &options, None).expect("a run");
    let (_, _, wanted) = digits.posterior(y, noise);
    let (mut classes, mut square) = ([0.0; 10], 0.0);
    for (x, log_w) in out.x.chunks(particles * PIXELS).zip(out.log_w.chunks(particles)) {
        let mut mean = vec![0.0; PIXELS - KNOWN];
        for (x, w) in x.chunks(PIXELS).zip(normalised(log_w)) {
            classes[digits.class(x)] += w / groups as f64;
            mean.iter_mut().zip(&x[KNOWN..]).for_each(|(mean, x)| *mean += w * f64::from(*x));
        }
        let off: f64 = mean.iter().zip(&wanted).map(|(a, b)| (a - b).powi(2)).sum();
        square += off / ((PIXELS - KNOWN) * groups) as f64;
    }
    (out.log_z, classes, square.sqrt())
}

/// Total variation of the classes below 0.03, and errors of the mean that fall with the particles: of an image of a 0 which
/// may be an 8, and, where there is time, of a 4 which may be a 6.
fn classes_and_pixels_are_the_posterior(device: &Device) {
    if slow(device) {
        return;
    }
    let digits = digits();
    let whole = std::env::var_os("FEYNKAC_EXPERIMENTS").is_some();
    for (image, noise, runs) in [(0, 0.4, 2), (4, 0.6, 8)].into_iter().take(if whole { 2 } else { 1 }) {
        let y = &digits.images[image * PIXELS..image * PIXELS + KNOWN];
        let (log_p, wanted, _) = digits.posterior(y, noise);
        let mut errors = Vec::new();
        for size in [(16, 8 * runs), (128, 2 * runs), (1024, runs)] {
            let (log_z, classes, error) = found(device, &digits, (y, noise), size);
            let off = 0.5 * classes.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).sum::<f64>();
            let z = log_z.iter().map(|z| (z - log_p).exp()).sum::<f64>() / log_z.len() as f64;
            println!(
                "S9 {} image {image}, K = {:<4} TV {off:.4}, pixels {error:.4}, mean Z / p(y) {z:.3}",
                device.backend(),
                size.0
            );
            println!("   {classes:.3?}\n   {wanted:.3?}");
            errors.push(error);
            if size.0 == 1024 {
                assert!(off < 0.03, "classes {classes:?}, wanted {wanted:?}");
            }
        }
        assert!(errors.windows(2).all(|pair| pair[1] < 0.8 * pair[0]), "{errors:?}");
    }
}

/// An image that is blurred, and one that is seen at half its size, both with noise: the classes are those of the exact
/// posterior within 0.1, and the mean of all pixels within five standard errors, measured from the runs.
fn filtered_images(device: &Device) {
    if slow(device) {
        return;
    }
    const RUNS: usize = 8;
    let digits = digits();
    let bell = [1.0, 2.0, 1.0, 2.0, 4.0, 2.0, 1.0, 2.0, 1.0].map(|v| v / 16.0).to_vec();
    let blur = Filter::new([1, 8, 8], bell, [3, 3], 1).expect("a filter");
    let half = Filter::smaller([1, 8, 8], 2).expect("a filter");
    let square = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let average = |all: &[Vec<f64>]| -> Vec<f64> {
        (0..PIXELS).map(|k| all.iter().map(|own| own[k]).sum::<f64>() / all.len() as f64).collect()
    };
    let images: Vec<Vec<f64>> = digits.images.chunks(PIXELS).map(<[f64]>::to_vec).collect();
    for (name, filter, noise, image) in [("blurred", blur, 0.5, 4), ("half as large", half, 0.25, 9)] {
        let y = filter.apply(&images[image]);
        let noise = vec![noise; y.len()];
        let task = Task::measured(&filter, y, noise).expect("a task");
        let (classes, wanted) = digits.measured(&task);
        let mut options = Options::new(Method::Tds, Schedule::Ve { sigma_min: 0.05, sigma_max: 8.0 });
        (options.particles, options.groups, options.steps, options.seed) = (128, RUNS, 50, seed(7200));
        options.twisting = Some(Twisting::new(task));
        let out = sample(device, &[Model::Analytic(digits.mixture())], &options, None).expect("a run");
        let (mut means, mut seen) = (Vec::new(), [0.0; 10]);
        for (x, log_w) in out.x.chunks(128 * PIXELS).zip(out.log_w.chunks(128)) {
            let mut mean = vec![0.0; PIXELS];
            for (x, w) in x.chunks(PIXELS).zip(normalised(log_w)) {
                seen[digits.class(x)] += w / RUNS as f64;
                mean.iter_mut().zip(x).for_each(|(mean, x)| *mean += w * f64::from(*x));
            }
            means.push(mean);
        }
        let mean = average(&means);
        let apart: f64 = means.iter().map(|own| square(own, &mean)).sum();
        let error = (apart / (RUNS * (RUNS - 1)) as f64).sqrt();
        let off = |wanted: &[f64]| square(&mean, wanted).sqrt() / error;
        let (pixels, control) = (off(&wanted), off(&average(&images)));
        let apart = 0.5 * seen.iter().zip(&classes).map(|(a, b)| (a - b).abs()).sum::<f64>();
        println!(
            "S9 {} {name}: TV {apart:.4}, pixels {pixels:.2} errors off, without y {control:.1}",
            device.backend()
        );
        println!("   {seen:.3?}\n   {classes:.3?}");
        assert!(apart < 0.1, "{name}: classes {seen:?}, wanted {classes:?}");
        assert!(pixels < 5.0, "{name}: {pixels} standard errors");
        assert!(control > 10.0, "{name}: the control must fail: {control}");
    }
}
