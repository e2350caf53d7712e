//! `feynkac resample`: ancestors for weights of any origin.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use feynkac_kernels::device::{Device, Request};

use super::names::{device, named, whole};
use super::print;
use crate::error::{Error, Result};
use crate::registry::Scheme;
use crate::resample::{Given, resample};
use crate::weights::{Data, Tensor, Weights, save};

/// Flags of the subcommand.
#[derive(Args, Debug)]
pub struct Resample {
    /// Safetensors file with a tensor w (weights) or log_w (their logarithms), F32, [N] or [groups, N]
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// systematic, stratified, multinomial, residual, metropolis:B, megopolis:B or rejection
    #[arg(long, default_value = "systematic", value_parser = named::<Scheme>)]
    scheme: Scheme,
    /// Seed
    #[arg(long, value_name = "N", default_value = "0", allow_negative_numbers = true, value_parser = whole::<u64>)]
    seed: u64,
    /// auto, cpu[:threads], wgpu[:index] or cuda[:index]: see `feynkac devices`
    #[arg(long, default_value = "auto", value_parser = device)]
    device: String,
    /// Safetensors file to write: a tensor ancestors, U32, of the shape of the weights
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
}

/// The tensor of weights: its name and its shape.
fn tensor(file: &Weights) -> Result<(&'static str, Vec<usize>)> {
    let bad = |found: &str| Error::weights(file.path(), "tensors", found, "one of w and log_w");
    let name = match (file.has("w"), file.has("log_w")) {
        (true, false) => "w",
        (false, true) => "log_w",
        (true, true) => return Err(bad("both w and log_w")),
        (false, false) => return Err(bad("neither w nor log_w")),
    };
    let shape = file.shape(name)?.to_vec();
    if shape.is_empty() || shape.len() > 2 {
        let what = format!("tensor {name}");
        return Err(Error::weights(
            file.path(),
            what,
            format!("shape {shape:?}"),
            "shape [N] or [groups, N]",
        ));
    }
    Ok((name, shape))
}

/// Runs the subcommand.
pub fn run(arguments: Resample) -> Result<()> {
    let file = Weights::open(&arguments.weights)?;
    let (name, shape) = tensor(&file)?;
    let values = file.plain_f32(name)?;
    let given = if name == "w" { Given::Weights(&values) } else { Given::LogWeights(&values) };
    let groups = if shape.len() == 2 { shape[0] } else { 1 };
    arguments.scheme.check()?;
    let device = Device::open(arguments.device.parse::<Request>()?)?;
    let told = |error| match error {
        Error::Input { what, found, wanted } => {
            Error::weights(file.path(), format!("tensor {name}: {what}"), found, wanted)
        }
        other => other,
    };
    let ancestors = resample(&device, given, groups, arguments.scheme, arguments.seed).map_err(told)?;
    let metadata = BTreeMap::from([
        ("scheme".to_owned(), arguments.scheme.to_string()),
        ("seed".to_owned(), arguments.seed.to_string()),
    ]);
    let out = Tensor { shape, data: Data::U32(&ancestors) };
    save(&arguments.output, &[("ancestors".to_owned(), out)], &metadata)?;
    let slots = ancestors.len() / groups;
    let distinct: usize =
        ancestors.chunks_exact(slots).map(|group| group.iter().collect::<BTreeSet<_>>().len()).sum();
    print(&format!(
        "{}: {} ancestors by {}, {distinct} of them different\n",
        arguments.output.display(),
        ancestors.len(),
        arguments.scheme
    ));
    Ok(())
}
