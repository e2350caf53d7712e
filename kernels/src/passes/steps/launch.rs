//! Check, configure, launch.

use std::ops::Range;

use super::kernel::steps_kernel;
use crate::device::{Buf, Device};
use crate::error::{Result, argument, enough};
use crate::methods::{Compose, Method, Mixture, Plain, ROW, Tilted, Transport};
use crate::models::{Analytic, ModelsLaunch};
use crate::passes::crew::Crew;
use crate::passes::step::key::TablesLaunch;
use crate::passes::step::{Named, Stage, Step};
use crate::passes::weights::RECORD;
use crate::prims::space::Euclid;

/// Launches `steps` of `of`, a [`Stage::Fused`] step of closed-form models whose `before` is the state in
/// front of the first; each of them is resampled as [`crate::passes::resample`] does it.
pub fn launch(
    device: &Device,
    of: &Step,
    method: Named,
    history: &Buf<f32>,
    steps: Range<usize>,
) -> Result<()> {
    match method {
        Named::Plain => go::<Plain>(device, of, history, steps),
        Named::Compose => go::<Compose>(device, of, history, steps),
        Named::Mixture => go::<Mixture>(device, of, history, steps),
        Named::Tilted => go::<Tilted>(device, of, history, steps),
        Named::Transport => go::<Transport>(device, of, history, steps),
    }
}

fn go<M: Method>(device: &Device, of: &Step, history: &Buf<f32>, steps: Range<usize>) -> Result<()> {
    let key = of.checked(device, steps.len() as u64 * of.turns_together(device))?;
    if of.stage != Stage::Fused || of.feed.outside() > 0 {
        return Err(argument("several steps in a launch", "a score from outside", "closed forms, fused"));
    }
    let groups = of.of.groups;
    enough(&[
        ("coefficient table", of.coeffs.len(), ROW * steps.end),
        ("history", history.len(), RECORD * groups * steps.end),
    ])?;
    let crew = Crew::of(device, groups, key.sharing.together);
    steps_kernel::launch::<Analytic, M, Euclid>(
        device.client(),
        crew.cubes(device, groups, key.sharing.units),
        key.sharing.dim(),
        of.of.lanes,
        (of.of.lanes / 2).max(1),
        of.before.arg(),
        of.after.arg(),
        of.common(),
        history.arg(),
        of.scratch.arg(),
        ModelsLaunch::new(of.feed.params.arg(), of.feed.levels.arg(), of.feed.map.arg()),
        TablesLaunch::new(of.coeffs.arg(), of.seeds.arg(), of.rungs.arg()),
        of.of.arg(),
        steps.start as u32,
        steps.end as u32,
        crew,
        key,
        of.keeps.element.kind(),
    );
    let mut work = of.work(device);
    if of.keeps.weighed {
        let resampled = crate::passes::resample::work(of.of);
        work.read += resampled.read;
        work.written += resampled.written;
    }
    work.read *= steps.len() as u64;
    work.written *= steps.len() as u64;
    device.launched(work)
}
