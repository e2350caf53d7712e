//! A configuration laid out as layers, and with them the names and shapes of the tensors that a file must hold.

use feynkac_kernels::models::layers::Op;

use super::FrameConfig;
use crate::error::Result;
use crate::layered::{Builder, Layout};

/// The layers of a network: docs/maths.md (9ah) to (9aj).
pub(super) fn layout(config: &FrameConfig) -> Result<Layout> {
    let mut b = Builder::new(config.activation);
    let noise = b.noise(config.time_features, config.cond)?;
    let state = b.put(Op::State(config.extent()), &[], &[])?;
    let places = b.tensor("places", &[config.places, config.frames, config.frames]);
    let views = b.put(Op::FrameViews { places: config.places }, &[state], &[places])?;
    let mut pairs = modulated(&mut b, config.hidden, "pairs", views, noise)?;
    for at in 1..config.layers {
        pairs = b.linear(&format!("pairs.{at}"), pairs, config.hidden)?;
        pairs = b.act(pairs)?;
    }
    let means = b.put(Op::RowMeans, &[pairs], &[])?;
    let mut frames = modulated(&mut b, config.hidden, "frames", means, noise)?;
    for at in 1..config.layers {
        let more = b.linear(&format!("frames.{at}"), frames, config.hidden)?;
        let more = b.act(more)?;
        frames = b.put(Op::Add, &[frames, more], &[])?;
    }
    let six = b.linear("out", frames, 6)?;
    b.put(Op::FrameTurn, &[state, six], &[])?;
    Ok(b.layout)
}

/// act((1 + a) W x + b), (a, b) = A e
fn modulated(b: &mut Builder, hidden: usize, part: &str, x: usize, noise: usize) -> Result<usize> {
    let by = b.linear(&format!("{part}.time"), noise, 2 * hidden)?;
    let x = b.linear(&format!("{part}.0"), x, hidden)?;
    let x = b.put(Op::Modulate, &[x, by], &[])?;
    b.act(x)
}
