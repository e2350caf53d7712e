//! A configuration laid out as layers, and with them the names and shapes of the tensors that a file must hold.

use feynkac_kernels::models::layers::{Features, Layers, Op};

use super::EgnnConfig;
use crate::error::Result;

/// A network without its numbers.
#[derive(Debug)]
pub(super) struct Layout {
    pub layers: Layers,
    /// Name and shape of each tensor.
    pub tensors: Vec<(String, Vec<usize>)>,
}

struct Builder<'a> {
    config: &'a EgnnConfig,
    layers: Layers,
    tensors: Vec<(String, Vec<usize>)>,
}

/// The layers of a network: docs/maths.md (9aa) to (9ac).
pub(super) fn layout(config: &EgnnConfig) -> Result<Layout> {
    let mut b = Builder { config, layers: Layers::default(), tensors: Vec::new() };
    let noise = b.noise()?;
    let state = b.put(Op::State(config.extent()), &[], &[])?;
    let bumps =
        [b.tensor("radial.centres", &[config.radial]), b.tensor("radial.sharpness", &[config.radial])];
    let distances = b.put(Op::PairRadial { count: config.radial }, &[state], &bumps)?;
    let mut atoms = None;
    for at in 0..config.layers {
        let pairs = b.pairs(at, distances, noise, atoms)?;
        atoms = Some(b.atoms(at, pairs, atoms)?);
    }
    let pairs = b.pairs(config.layers, distances, noise, atoms)?;
    let strengths = b.linear("out", pairs, 1)?;
    b.put(Op::PairMove, &[state, strengths], &[])?;
    Ok(Layout { layers: b.layers, tensors: b.tensors })
}

impl Builder<'_> {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> usize {
        self.tensors.push((name.to_string(), shape.to_vec()));
        self.tensors.len() - 1
    }

    fn put(&mut self, op: Op, from: &[usize], weights: &[usize]) -> Result<usize> {
        Ok(self.layers.push(op, from, weights)?)
    }

    /// A linear map of every pair, or every particle.
    fn linear(&mut self, name: &str, x: usize, out: usize) -> Result<usize> {
        let weight = self.tensor(&format!("{name}.weight"), &[out, self.layers.extent(x).channels]);
        let bias = self.tensor(&format!("{name}.bias"), &[out]);
        self.put(Op::Conv { out, taps: 1, stride: 1, before: 0 }, &[x], &[weight, bias])
    }

    fn act(&mut self, x: usize) -> Result<usize> {
        self.put(Op::Act(self.config.activation), &[x], &[])
    }

    fn noise(&mut self) -> Result<usize> {
        let (count, cond) = (self.config.time_features, self.config.cond);
        let frequencies = self.tensor("time.freqs", &[count / 2]);
        let mut e = self.put(
            Op::Time(Features::Fourier { count, log: true, cosines_first: false }),
            &[],
            &[frequencies],
        )?;
        for name in ["time.0", "time.2"] {
            e = self.linear(name, e, cond)?;
            e = self.act(e)?;
        }
        Ok(e)
    }

    /// act(W act(A r + T e + B (h_i + h_j)))
    fn pairs(&mut self, at: usize, distances: usize, noise: usize, atoms: Option<usize>) -> Result<usize> {
        let (name, hidden) = (|part: &str| format!("pairs.{at}.{part}"), self.config.hidden);
        let mut m = self.linear(&name("radial"), distances, hidden)?;
        let time = self.linear(&name("time"), noise, hidden)?;
        m = self.put(Op::Shift, &[m, time], &[])?;
        if let Some(atoms) = atoms {
            let atoms = self.linear(&name("atoms"), atoms, hidden)?;
            m = self.put(Op::PairAdd, &[m, atoms], &[])?;
        }
        m = self.act(m)?;
        m = self.linear(&name("mix"), m, hidden)?;
        self.act(m)
    }

    /// h + O act(I sum of m + K h)
    fn atoms(&mut self, at: usize, pairs: usize, atoms: Option<usize>) -> Result<usize> {
        let (name, hidden) = (|part: &str| format!("atoms.{at}.{part}"), self.config.hidden);
        let sum = self.put(Op::PairSum { atoms: self.config.atoms }, &[pairs], &[])?;
        let mut g = self.linear(&name("sum"), sum, hidden)?;
        if let Some(atoms) = atoms {
            let kept = self.linear(&name("keep"), atoms, hidden)?;
            g = self.put(Op::Add, &[g, kept], &[])?;
        }
        g = self.act(g)?;
        g = self.linear(&name("out"), g, hidden)?;
        match atoms {
            Some(atoms) => self.put(Op::Add, &[atoms, g], &[]),
            None => Ok(g),
        }
    }
}
