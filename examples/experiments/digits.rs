//! Handwritten digits by guidance of growing exponent, with weights and without: whether a judge recognises them, and
//! how far their mean and spread are from those of the class.

use std::path::{Path, PathBuf};

use feynkac::classifier::Classifier;
use feynkac::eval::{Memory, Points, evaluate};
use feynkac::kernels::device::Device;
use feynkac::layered::{self, Loaded};
use feynkac::weights::Weights;
use feynkac::{Method, Model, Outcome, Result, sample};

use super::{Size, last_ess, mean_and_error, pages, shares, trained};

/// Columns of the table.
pub const HEADER: [&str; 6] =
    ["exponent", "sampler", "judge agrees", "mean image off", "spread", "ESS at the end, of"];

/// Which digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Set {
    /// Images of 8x8, by a dense network.
    Digits8,
    /// Images of 28x28, by a convolutional one.
    Mnist,
}

/// Reads digits.
pub enum Judge {
    /// A dense one.
    Dense(Box<Classifier>),
    /// One of convolutions.
    Images(Box<Loaded>),
}

impl Judge {
    /// The judge of a set, from the folder of all weights.
    pub fn open(device: &Device, weights: &Path, set: Set) -> Result<Self> {
        match set {
            Set::Digits8 => {
                Ok(Judge::Dense(Box::new(Classifier::open(device, &weights.join("digits8-classifier"))?.0)))
            }
            Set::Mnist => Self::image(&weights.join("mnist-judge")),
        }
    }

    /// A classifier of images.
    pub fn image(folder: &Path) -> Result<Self> {
        Ok(Judge::Images(Box::new(layered::open(folder)?.0)))
    }

    /// The likeliest class of each image.
    pub fn classes(&self, device: &Device, x: &[f32]) -> Result<Vec<usize>> {
        let net = match self {
            Judge::Dense(judge) => return judge.classes(device, x),
            Judge::Images(judge) => judge,
        };
        let count = x.len() / net.net.input().numbers();
        let points =
            Points { rows: x.to_vec(), times: vec![0.0; count], classes: vec![None; count], cotangent: None };
        let logits = evaluate(device, net, &points, Memory::default())?.output;
        let best = |l: &[f32]| (0..l.len()).max_by(|&a, &b| l[a].total_cmp(&l[b])).unwrap_or(0);
        Ok(logits.chunks(net.net.output().numbers()).map(best).collect())
    }
}

/// What there is of the digits.
pub struct Digits {
    network: PathBuf,
    judge: Judge,
    /// Of an image.
    pixels: usize,
    /// Mean and standard deviation of each pixel, class by class.
    mean: Vec<f32>,
    std: Vec<f32>,
    classes: usize,
}

impl Digits {
    /// The network, the judge and the classes' statistics of a folder.
    pub fn open(device: &Device, weights: &Path, set: Set) -> Result<Self> {
        let (name, network, pixels) = match set {
            Set::Digits8 => ("digits8", "digits8-mlp", 64),
            Set::Mnist => ("mnist", "mnist-ddpm", 784),
        };
        let statistics = Weights::open(&weights.join(format!("{name}-statistics.safetensors")))?;
        let classes = statistics.plain_f32("count")?.len();
        let of = |name| statistics.f32(name, &[classes, pixels]);
        Ok(Self {
            network: weights.join(network),
            judge: Judge::open(device, weights, set)?,
            pixels,
            mean: of("mean")?,
            std: of("std")?,
            classes,
        })
    }

    /// Images of `class` from unconditional^(1 - exponent) conditional^exponent.
    fn draw(
        &self,
        device: &Device,
        class: usize,
        exponent: f64,
        weights: bool,
        size: Size,
    ) -> Result<Outcome> {
        let models = [Model::open(&self.network, None)?.0, Model::open(&self.network, Some(class))?.0];
        let size = Size { seed: size.seed + class as u64, ..size };
        let mut options = trained(&models[0], &self.network, Method::FkcGuidance, size)?;
        (options.beta, options.weights) = (exponent, weights);
        sample(device, &models, &options, None)
    }

    /// What one class says of a sampler.
    fn judged(&self, device: &Device, class: usize, drawn: &Outcome, groups: usize) -> Result<Figures> {
        let shares = shares(&drawn.log_w, groups);
        let read = self.judge.classes(device, &drawn.x)?;
        let agrees = read.iter().zip(&shares).filter(|(c, _)| **c == class).map(|(_, w)| w).sum();
        let pixels = self.pixels;
        let own = class * pixels..(class + 1) * pixels;
        let (mut off, mut variance, mut wanted) = (0.0, 0.0, 0.0);
        for (k, (mean, std)) in self.mean[own.clone()].iter().zip(&self.std[own]).enumerate() {
            let pixel = || drawn.x.chunks(pixels).zip(&shares).map(|(x, w)| (f64::from(x[k]), w));
            let found: f64 = pixel().map(|(x, w)| w * x).sum();
            variance += pixel().map(|(x, w)| w * (x - found).powi(2)).sum::<f64>();
            off += (found - f64::from(*mean)).powi(2);
            wanted += f64::from(*std).powi(2);
        }
        let ess = last_ess(drawn, shares.len() / groups);
        Ok(Figures { agrees, off: (off / pixels as f64).sqrt(), spread: (variance / wanted).sqrt(), ess })
    }
}

/// Of one class.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Share of the weight that the judge reads as the class.
    pub agrees: f64,
    /// Root mean square over the pixels of the mean image less the data's; a pixel goes from -1 to 1.
    pub off: f64,
    /// Root of the pixels' variances, summed, by the data's.
    pub spread: f64,
    /// Effective sample size at the end.
    pub ess: f64,
}

/// What one sampler does.
#[derive(Clone, Debug)]
pub struct Found {
    /// The guidance exponent.
    pub exponent: f64,
    /// With weights.
    pub weighted: bool,
    /// A row a class.
    pub classes: Vec<Figures>,
}

impl Found {
    /// Mean of a figure over the classes, and its standard error.
    pub fn average(&self, figure: impl Fn(&Figures) -> f64 + Clone) -> (f64, f64) {
        mean_and_error(self.classes.iter().map(figure))
    }

    fn row(&self, size: Size) -> Vec<String> {
        let told = |(mean, error): (f64, f64), digits: usize| format!("{mean:.digits$} +- {error:.digits$}");
        let (agrees, error) = self.average(|f| 100.0 * f.agrees);
        let sampler = match (self.exponent == 1.0, self.weighted) {
            (true, _) => "the class alone",
            (_, true) => "corrected",
            (_, false) => "guidance alone",
        };
        vec![
            self.exponent.to_string(),
            sampler.to_owned(),
            format!("{agrees:.1} +- {error:.1} %"),
            told(self.average(|f| f.off), 3),
            told(self.average(|f| f.spread), 3),
            format!("{:.1} of {}", self.average(|f| f.ess).0, size.particles),
        ]
    }
}

/// Walks `exponents` with and without weights, `size.runs` groups of each class; writes digits-sweep.md and a picture
/// of each sampler, classes in their order. With exponent 1 every weight is one.
pub fn write(
    device: &Device,
    digits: &Digits,
    exponents: &[f64],
    classes: usize,
    size: Size,
    output: &Path,
) -> Result<Vec<Found>> {
    pages::folder(output)?;
    let mut all = Vec::new();
    for &exponent in exponents {
        for weighted in [false, true] {
            if exponent == 1.0 && weighted {
                continue;
            }
            let (mut figures, mut images) = (Vec::new(), Vec::new());
            for class in 0..classes.min(digits.classes) {
                let drawn = digits.draw(device, class, exponent, weighted, size)?;
                figures.push(digits.judged(device, class, &drawn, size.runs)?);
                images.extend(heaviest(&drawn, size.runs, 8));
            }
            let name = format!("digits {exponent} {}", if weighted { "corrected" } else { "guidance alone" });
            pages::images(output, &name, &images, digits.pixels)?;
            all.push(Found { exponent, weighted, classes: figures });
        }
    }
    let rows: Vec<Vec<String>> = all.iter().map(|found| found.row(size)).collect();
    pages::write(output, "digits-sweep.md", &pages::table(&HEADER, &rows))?;
    Ok(all)
}

/// The heaviest image of each of the first `count` groups.
pub fn heaviest(drawn: &Outcome, groups: usize, count: usize) -> Vec<f32> {
    let (each, pixels) = (drawn.log_w.len() / groups, drawn.x.len() / drawn.log_w.len());
    let best = |g: usize| {
        let own = g * each..(g + 1) * each;
        own.max_by(|&a, &b| drawn.log_w[a].total_cmp(&drawn.log_w[b])).unwrap_or(g * each)
    };
    (0..count.min(groups)).flat_map(|g| drawn.x[best(g) * pixels..(best(g) + 1) * pixels].to_vec()).collect()
}
