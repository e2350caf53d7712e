//! `feynkac eval`: a network at points of one's own, for checking it against another framework.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use feynkac_kernels::device::{Device, Request};
use feynkac_kernels::models::layers::Extent;

use super::names::{device, whole};
use super::{print, warn};
use crate::error::{Error, Result};
use crate::eval::{Answers, Memory, Points, evaluate, oracle};
use crate::layered::{self, Loaded};
use crate::weights::{Data, Tensor, Weights, save};

/// Flags of the subcommand.
#[derive(Args, Debug)]
#[command(after_help = MEANING)]
pub struct Eval {
    /// A diffusers pipeline, its unet/ folder, a safetensors file with its config.json, or a folder of this project
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Safetensors file with sample, timestep, class_labels and cotangent
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The class of every point, where the input has no class_labels
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    class: Option<usize>,
    /// Points at once; 0 is as many as fit
    #[arg(long, value_name = "N", default_value = "0", value_parser = whole::<usize>)]
    micro_batch: usize,
    /// Keep few values for the way back and compute the others again: the same bits in less memory
    #[arg(long)]
    recompute: bool,
    /// auto, cpu[:threads], wgpu[:index] or cuda[:index]: see `feynkac devices`
    #[arg(long, default_value = "auto", value_parser = device)]
    device: String,
    /// In f64, by plain loops on the host instead of a device
    #[arg(long)]
    oracle: bool,
    /// Safetensors file to write: output, vjp beside a cotangent, energy of an energy network
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
}

const MEANING: &str = "\
Tensors of the input, B points:
  sample        [B, C, H, W] or [B, D], F32: what the network itself is shown, c_in x
  timestep      [B], F32: of a diffusers network the number that it is called with (a training step, or
                sigma); of a dense network t of its own schedule, of one of particles or frames sigma/alpha; not
                needed where no time is shown
  class_labels  [B], I32 or I64, where there are classes; without it the null class, or --class
  cotangent     shaped like the output, F32; not needed
and of the file that is written, F32:
  output        what the network itself gives: F, logits, or of an energy network the gradient of E
  vjp           shaped like sample: the gradient of <cotangent, output>
  energy        [B]: E, of an energy network";

/// The input, by name.
struct Input {
    file: Weights,
}

impl Input {
    fn bad(&self, name: &str, found: impl ToString, wanted: impl ToString) -> Error {
        let what = format!("tensor {name}");
        Error::weights(self.file.path(), what, found.to_string(), wanted.to_string())
    }

    /// An F32 tensor of finite numbers.
    fn numbers(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.file.f32(name, shape)
    }

    /// The states and their shape.
    fn sample(&self, extent: Extent) -> Result<(Vec<f32>, Vec<usize>)> {
        let shape = self.file.shape("sample")?.to_vec();
        let fit = shapes(extent);
        if shape.first() == Some(&0) || !fit.iter().any(|rest| shape.get(1..) == Some(&rest[..])) {
            let forms: Vec<String> = fit.iter().map(|rest| shape_of(rest)).collect();
            let wanted = format!("shape {}, B at least 1", forms.join(" or "));
            return Err(self.bad("sample", format!("shape {shape:?}"), wanted));
        }
        Ok((self.numbers("sample", &shape)?, shape))
    }

    /// The class of each point.
    fn classes(&self, net: &Loaded, count: usize, all: Option<usize>) -> Result<Vec<Option<usize>>> {
        let name = "class_labels";
        if !self.file.has(name) {
            let without = net.net.classes.is_some() && net.net.null.or(all).is_none();
            return match without {
                true => Err(self.bad(name, "no such tensor", "one: the network has no null class")),
                false => Ok(vec![all; count]),
            };
        }
        if all.is_some() {
            return Err(self.bad(name, "one", "none beside --class"));
        }
        if net.net.classes.is_none() {
            return Err(self.bad(name, "one", "none: the network knows no classes"));
        }
        if self.file.shape(name)? != [count] {
            let found = format!("shape {:?}", self.file.shape(name)?);
            return Err(self.bad(name, found, format!("shape [{count}], one a point")));
        }
        let one = |(i, label): (usize, &i32)| match usize::try_from(*label) {
            Ok(label) => Ok(Some(label)),
            Err(_) => Err(self.bad(name, format!("{label} at index {i}"), "classes, from 0 on")),
        };
        self.file.i32(name)?.iter().enumerate().map(one).collect()
    }
}

/// What may stand behind B in the shape of a value.
fn shapes(extent: Extent) -> Vec<Vec<usize>> {
    let Extent { channels, height, width } = extent;
    let mut all = vec![vec![channels, height, width], vec![extent.numbers()]];
    if channels == 1 && height * width > 1 {
        all.insert(1, vec![height, width]);
    }
    if extent.pixels() == 1 {
        all.swap(0, 1);
    }
    all
}

fn shape_of(rest: &[usize]) -> String {
    let sizes: Vec<String> = rest.iter().map(usize::to_string).collect();
    format!("[B, {}]", sizes.join(", "))
}

/// The shape of the output: that of the states where it is of the same extent, else a vector, rows or an image.
fn written(net: &Loaded, states: &[usize]) -> Vec<usize> {
    let (read, output) = (net.net.input(), net.net.output());
    let flat = output.pixels() == 1 || states.len() == 2;
    let rest = match (output == read, flat) {
        (true, _) => states[1..].to_vec(),
        (false, true) => vec![output.numbers()],
        (false, false) if states.len() == 3 && output.channels == 1 => vec![output.height, output.width],
        (false, false) => vec![output.channels, output.height, output.width],
    };
    [states[0]].into_iter().chain(rest).collect()
}

/// The points of a file, and the shape of their states.
fn points(file: Weights, net: &Loaded, class: Option<usize>) -> Result<(Points, Vec<usize>)> {
    let input = Input { file };
    let (rows, shape) = input.sample(net.net.input())?;
    let count = shape[0];
    let times = match input.file.has("timestep") || net.net.timed() {
        true => input.numbers("timestep", &[count])?,
        false => vec![0.0; count],
    };
    let cotangent = match input.file.has("cotangent") {
        true => Some(input.numbers("cotangent", &written(net, &shape))?),
        false => None,
    };
    let known = ["sample", "timestep", "class_labels", "cotangent", "output", "vjp", "energy"];
    if let Some(name) = input.file.names().iter().find(|name| !known.contains(&name.as_str())) {
        return Err(input.bad(
            &name.escape_debug().to_string(),
            "one",
            format!("none but {}", known.join(", ")),
        ));
    }
    let classes = input.classes(net, count, class)?;
    let times = times.into_iter().map(f64::from).collect();
    let points = Points { rows, times, classes, cotangent };
    points.check(net).map_err(|error| told(error, input.file.path()))?;
    Ok((points, shape))
}

/// What is wrong with points, told of their file.
fn told(error: Error, file: &Path) -> Error {
    match error {
        Error::Input { what, found, wanted } => Error::weights(file, format!("tensor {what}"), found, wanted),
        other => other,
    }
}

/// Runs the subcommand.
pub fn run(arguments: Eval) -> Result<()> {
    let request: Request = arguments.device.parse()?;
    let (net, warnings) = layered::open(&arguments.model)?;
    warn(&warnings);
    let (points, shape) = points(Weights::open(&arguments.input)?, &net, arguments.class)?;
    let (answers, by) = if arguments.oracle {
        (oracle(&net, &points), "f64".to_string())
    } else {
        let device = Device::open(request)?;
        let memory = Memory { micro_batch: arguments.micro_batch, recompute: arguments.recompute };
        (evaluate(&device, &net, &points, memory), device.backend().to_string())
    };
    let answers = answers.map_err(|error| told(error, &arguments.input))?;
    let written = write(&arguments, &net, &answers, &shape, &by)?;
    print(&format!("{}: {written} of {} points by {by}\n", arguments.output.display(), shape[0]));
    Ok(())
}

/// Writes the answers; says what was written.
fn write(arguments: &Eval, net: &Loaded, answers: &Answers, states: &[usize], by: &str) -> Result<String> {
    let mut tensors = Vec::new();
    let mut put = |name: &str, shape: Vec<usize>, values| {
        tensors.push((name.to_string(), Tensor { shape, data: Data::F32(values) }));
    };
    put("output", written(net, states), &answers.output);
    if let Some(values) = &answers.vjp {
        put("vjp", states.to_vec(), values);
    }
    if let Some(values) = &answers.energy {
        put("energy", vec![states[0]], values);
    }
    let metadata = BTreeMap::from([
        ("model".to_string(), net.name.clone()),
        ("kind".to_string(), net.kind.name().to_string()),
        ("device".to_string(), by.to_string()),
    ]);
    save(&arguments.output, &tensors, &metadata)?;
    Ok(tensors.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" and "))
}
