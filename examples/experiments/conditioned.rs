//! Handwritten digits of an unconditional network, conditioned by the twisted sampler: on a class, as a classifier says,
//! and on some of their pixels.

use std::path::{Path, PathBuf};
use std::time::Instant;

use feynkac::kernels::device::Device;
use feynkac::{
    Chain, Method, Model, Options, Outcome, Policy, Proposal, Result, Spread, Task, Twisting, sample,
};

use super::digits::{Judge, Set};
use super::{Size, last_ess, mean_and_error, pages, trained};

/// Pixels of an image, and of a row of them.
const PIXELS: usize = 784;
const ROW: usize = 28;

/// Columns of the table of classes.
pub const CLASSES: [&str; 6] =
    ["sampler", "particles", "judge agrees", "classifier agrees", "ESS at the end, of", "seconds an image"];
/// And of that of pixels.
pub const KNOWN: [&str; 6] =
    ["known", "sampler", "particles", "error of the mean", "error of one sample", "resampled, steps"];

/// The networks.
pub struct Digits {
    network: PathBuf,
    classifier: PathBuf,
    judge: Judge,
    second: Judge,
}

impl Digits {
    /// From the folder of all weights.
    pub fn open(device: &Device, weights: &Path) -> Result<Self> {
        Ok(Self {
            network: weights.join("mnist-ddpm"),
            classifier: weights.join("mnist-classifier"),
            judge: Judge::open(device, weights, Set::Mnist)?,
            second: Judge::image(&weights.join("mnist-classifier"))?,
        })
    }

    fn options(&self, method: Method, particles: usize, size: Size) -> Result<(Model, Options)> {
        let (model, _) = Model::open(&self.network, None)?;
        let options = trained(&model, &self.network, method, Size { particles, ..size })?;
        Ok((model, options))
    }

    /// A run of each image under `task`, stepping by `proposal`. The paper's choices: psi as broad as data of variance 0.12 make
    /// it, noise of the posterior chain; where pixels are put in their place, on the last step too.
    fn twisted(
        &self,
        device: &Device,
        (task, proposal): (Task, Proposal),
        particles: usize,
        size: Size,
    ) -> Result<Outcome> {
        let (model, mut options) = self.options(Method::Tds, particles, size)?;
        let classifier = match &task {
            Task::Classifier { .. } => Some(Model::classifier(&self.classifier)?.0),
            _ => None,
        };
        let chain = if classifier.is_some() { Chain::Posterior } else { Chain::Clipped };
        let mut twisting = Twisting { chain, proposal, ..Twisting::new(task) };
        if proposal == Proposal::Twisted {
            twisting.spread = Spread::Tau(0.12);
        }
        options.twisting = Some(twisting);
        let models: Vec<Model> = [model].into_iter().chain(classifier).collect();
        sample(device, &models, &options, None)
    }
}

/// One image of each group, drawn by the weights.
fn one_each(drawn: &Outcome, groups: usize, seed: u64) -> Vec<f32> {
    let each = drawn.log_w.len() / groups;
    let shares = super::shares(&drawn.log_w, groups);
    let mut images = Vec::with_capacity(groups * PIXELS);
    for g in 0..groups {
        // Numbers of a sequence that fills (0, 1) evenly.
        let point = ((g as f64 + seed as f64 + 0.5) * 0.618_033_988_749_895).fract() / groups as f64;
        let mut sum = 0.0;
        let reached = |i: &usize| {
            sum += shares[*i];
            sum >= point
        };
        let own = (g * each..(g + 1) * each).find(reached).unwrap_or((g + 1) * each - 1);
        images.extend_from_slice(&drawn.x[own * PIXELS..(own + 1) * PIXELS]);
    }
    images
}

/// A row of the table of classes.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    /// Particles of an image.
    pub particles: usize,
    /// Share of the images that the judge, and that the classifier, reads as their class.
    pub agrees: [f64; 2],
    /// Effective sample size at the end.
    pub ess: f64,
}

/// `size.runs` images of the first `classes` in turn, by the twisted sampler with each number of particles, by the model's own
/// classes, and by weights alone at the largest number; writes classes.md and a picture a row.
pub fn by_class(
    device: &Device,
    digits: &Digits,
    classes: usize,
    particles: &[usize],
    size: Size,
    output: &Path,
) -> Result<Vec<Class>> {
    pages::folder(output)?;
    let (mut rows, mut all) = (Vec::new(), Vec::new());
    let each = Size { runs: size.runs.div_ceil(classes), ..size };
    let most = particles.iter().copied().max().unwrap_or(1);
    let own = std::iter::once(("the model's own classes", 1)).chain(std::iter::once(("weights alone", most)));
    for (name, k) in own.chain(particles.iter().map(|k| ("twisted", *k))) {
        let (start, mut images, mut ess) = (Instant::now(), Vec::new(), 0.0);
        for class in 0..classes {
            let size = Size { seed: size.seed + 100 * class as u64, ..each };
            let task = Task::Classifier { class, scale: 1.0 };
            let drawn = match name {
                "twisted" => digits.twisted(device, (task, Proposal::Twisted), k, size)?,
                "weights alone" => digits.by_weights(device, task, k, size)?,
                _ => digits.own_class(device, class, size)?,
            };
            ess += last_ess(&drawn, k) / classes as f64;
            images.extend(one_each(&drawn, each.runs, size.seed));
        }
        let seconds = start.elapsed().as_secs_f64() / (classes * each.runs) as f64;
        let share = |judge: &Judge| -> Result<f64> {
            let read = judge.classes(device, &images)?;
            let right = read.iter().enumerate().filter(|(i, class)| i / each.runs == **class).count();
            Ok(right as f64 / read.len() as f64)
        };
        let agrees = [share(&digits.judge)?, share(&digits.second)?];
        let [judge, classifier] = agrees.map(|share| {
            let error = (share * (1.0 - share) / (classes * each.runs) as f64).sqrt();
            format!("{:.1} +- {:.1} %", 100.0 * share, 100.0 * error)
        });
        pages::images(output, &format!("{name} {k}"), &images, PIXELS)?;
        let ess_of = format!("{ess:.1} of {k}");
        rows.push(vec![name.to_owned(), k.to_string(), judge, classifier, ess_of, format!("{seconds:.2}")]);
        pages::write(output, "classes.md", &pages::table(&CLASSES, &rows))?;
        all.push(Class { particles: k, agrees, ess });
    }
    Ok(all)
}

impl Digits {
    fn own_class(&self, device: &Device, class: usize, size: Size) -> Result<Outcome> {
        let (_, options) = self.options(Method::Plain, 1, size)?;
        sample(device, &[Model::open(&self.network, Some(class))?.0], &options, None)
    }

    /// The model's own chain, weighed by the likelihood.
    fn by_weights(&self, device: &Device, task: Task, particles: usize, size: Size) -> Result<Outcome> {
        let (model, mut options) = self.options(Method::Tds, particles, size)?;
        options.twisting = Some(Twisting { lean: 0.0, chain: Chain::Posterior, ..Twisting::new(task) });
        options.resample = Policy::Never;
        sample(device, &[model, Model::classifier(&self.classifier)?.0], &options, None)
    }
}

/// A row of the table of pixels.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Particles of an image.
    pub particles: usize,
    /// Root mean square over unknown pixels of the weighted mean less the image, and standard error.
    pub mean_error: (f64, f64),
    /// The same of one sample.
    pub sample_error: (f64, f64),
}

/// Images that the model draws, of which the upper half or a quarter is known, by each number of particles, and by replacement at
/// the largest; writes known.md and a picture a row.
pub fn by_pixels(
    device: &Device,
    digits: &Digits,
    particles: &[usize],
    size: Size,
    output: &Path,
) -> Result<Vec<Known>> {
    pages::folder(output)?;
    let (model, mut options) = digits.options(Method::Plain, 1, size)?;
    options.seed = size.seed + 7;
    let truth = sample(device, &[model], &options, None)?.x;
    let (mut rows, mut all) = (Vec::new(), Vec::new());
    for (name, shown) in [("the upper half", half as fn(usize) -> bool), ("a quarter", quarter)] {
        let most = particles.iter().copied().max().unwrap_or(1);
        let twisted = particles.iter().map(|k| (Proposal::Twisted, *k));
        for (proposal, k) in twisted.chain([(Proposal::Replacement, most)]) {
            let (mut samples, mut errors, mut ones, mut resampled) = (Vec::new(), Vec::new(), Vec::new(), 0);
            for (at, image) in truth.chunks(PIXELS).enumerate() {
                let mask = (0..PIXELS).map(shown).collect();
                let known = image.iter().map(|x| f64::from(*x)).collect();
                let size = Size { runs: 1, seed: size.seed + 1000 + at as u64, ..size };
                let task = Task::Inpaint { mask, known, noise: 0.0 };
                let drawn = digits.twisted(device, (task, proposal), k, size)?;
                let shares = super::shares(&drawn.log_w, 1);
                let mean: Vec<f64> = (0..PIXELS)
                    .map(|p| {
                        shares.iter().enumerate().map(|(i, w)| w * f64::from(drawn.x[i * PIXELS + p])).sum()
                    })
                    .collect();
                let one = one_each(&drawn, 1, size.seed);
                errors.push(error(&mean, image, shown));
                ones.push(error(&one.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>(), image, shown));
                samples.extend(one);
                resampled += drawn.resampled_at[0].len();
            }
            pages::images(output, &format!("{name} {proposal} {k}"), &samples, PIXELS)?;
            let (mean_error, sample_error) =
                (mean_and_error(errors.iter().copied()), mean_and_error(ones.iter().copied()));
            let told = |(mean, error): (f64, f64)| format!("{mean:.3} +- {error:.3}");
            let images = truth.len() / PIXELS;
            let resampled = format!("{:.1} of {}", resampled as f64 / images as f64, size.steps);
            let row = [name, &proposal.to_string(), &k.to_string()].map(str::to_owned).into_iter();
            rows.push(row.chain([told(mean_error), told(sample_error), resampled]).collect());
            pages::write(output, "known.md", &pages::table(&KNOWN, &rows))?;
            all.push(Known { particles: k, mean_error, sample_error });
        }
    }
    pages::images(output, "the images", &truth, PIXELS)?;
    Ok(all)
}

/// The upper half.
fn half(pixel: usize) -> bool {
    pixel < PIXELS / 2
}

/// The upper left quarter.
fn quarter(pixel: usize) -> bool {
    half(pixel) && pixel % ROW < ROW / 2
}

/// Root mean square over the pixels that are not `shown`.
fn error(found: &[f64], image: &[f32], shown: fn(usize) -> bool) -> f64 {
    let unknown = || (0..PIXELS).filter(|p| !shown(*p));
    let sum: f64 = unknown().map(|p| (found[p] - f64::from(image[p])).powi(2)).sum();
    (sum / unknown().count() as f64).sqrt()
}
