//! Check, configure, launch.

use super::kernel::{ExtentsLaunch, classes_kernel};
use crate::device::{Buf, Device};
use crate::error::{Result, argument, enough};
use crate::passes::{Sharing, Work};

/// The class that is wanted, of how many, and the power of its likelihood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Class {
    /// Which, from 0 on.
    pub class: usize,
    /// Of so many.
    pub classes: usize,
    /// f, finite.
    pub factor: f64,
}

/// From `logits` `[count, classes]`: f log p(class) of state i in element `first` + i of `told`, and the gradient with
/// respect to the logits in `back`, as long as `logits`.
pub fn likelihood(
    device: &Device,
    logits: &Buf<f32>,
    back: &Buf<f32>,
    (told, first): (&Buf<f32>, usize),
    of: Class,
    count: usize,
) -> Result<()> {
    if of.class >= of.classes {
        return Err(argument("class", of.class, format!("below {}", of.classes)));
    }
    if count == 0 {
        return Err(argument("states of a classifier", 0, "at least 1"));
    }
    if !(of.factor as f32).is_finite() {
        return Err(argument("power of a likelihood", of.factor, "a finite number"));
    }
    let cells = count * of.classes;
    enough(&[
        ("logits", logits.len(), cells),
        ("gradients of logits", back.len(), cells),
        ("log-likelihoods", told.len(), first + count),
    ])?;
    let sharing = Sharing::apart(device);
    classes_kernel::launch(
        device.client(),
        sharing.cubes(device, count),
        sharing.dim(),
        logits.arg(),
        back.arg(),
        told.arg(),
        ExtentsLaunch::new(count as u32, of.classes as u32, of.class as u32, first as u32),
        of.factor as f32,
        device.is_cpu(),
    );
    device.launched(Work { read: 4 * cells as u64, written: 4 * (cells + count) as u64 })
}
