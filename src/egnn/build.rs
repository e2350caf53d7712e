//! A configuration laid out as layers, and with them the names and shapes of the tensors that a file must hold.

use feynkac_kernels::models::layers::Op;

use super::EgnnConfig;
use crate::error::Result;
use crate::layered::{Builder, Layout};

/// The layers of a network: docs/maths.md (9aa) to (9ac).
pub(super) fn layout(config: &EgnnConfig) -> Result<Layout> {
    let mut b = Builder::new(config.activation);
    let noise = b.noise(config.time_features, config.cond)?;
    let state = b.put(Op::State(config.extent()), &[], &[])?;
    let bumps =
        [b.tensor("radial.centres", &[config.radial]), b.tensor("radial.sharpness", &[config.radial])];
    let distances = b.put(Op::PairRadial { count: config.radial }, &[state], &bumps)?;
    let mut atoms = None;
    for at in 0..config.layers {
        let pairs = pairs_of(&mut b, config, at, [distances, noise], atoms)?;
        atoms = Some(atoms_of(&mut b, config, at, pairs, atoms)?);
    }
    let pairs = pairs_of(&mut b, config, config.layers, [distances, noise], atoms)?;
    let strengths = b.linear("out", pairs, 1)?;
    b.put(Op::PairMove, &[state, strengths], &[])?;
    Ok(b.layout)
}

/// act(W act(A r + T e + B (h_i + h_j)))
fn pairs_of(
    b: &mut Builder,
    config: &EgnnConfig,
    at: usize,
    [distances, noise]: [usize; 2],
    atoms: Option<usize>,
) -> Result<usize> {
    let (name, hidden) = (|part: &str| format!("pairs.{at}.{part}"), config.hidden);
    let mut m = b.linear(&name("radial"), distances, hidden)?;
    let time = b.linear(&name("time"), noise, hidden)?;
    m = b.put(Op::Shift, &[m, time], &[])?;
    if let Some(atoms) = atoms {
        let atoms = b.linear(&name("atoms"), atoms, hidden)?;
        m = b.put(Op::PairAdd, &[m, atoms], &[])?;
    }
    m = b.act(m)?;
    m = b.linear(&name("mix"), m, hidden)?;
    b.act(m)
}

/// h + O act(I sum of m + K h)
fn atoms_of(
    b: &mut Builder,
    config: &EgnnConfig,
    at: usize,
    pairs: usize,
    atoms: Option<usize>,
) -> Result<usize> {
    let (name, hidden) = (|part: &str| format!("atoms.{at}.{part}"), config.hidden);
    let sum = b.put(Op::PairSum { atoms: config.atoms }, &[pairs], &[])?;
    let mut g = b.linear(&name("sum"), sum, hidden)?;
    if let Some(atoms) = atoms {
        let kept = b.linear(&name("keep"), atoms, hidden)?;
        g = b.put(Op::Add, &[g, kept], &[])?;
    }
    g = b.act(g)?;
    g = b.linear(&name("out"), g, hidden)?;
    match atoms {
        Some(atoms) => b.put(Op::Add, &[atoms, g], &[]),
        None => Ok(g),
    }
}
