//! Check, configure, launch.

use super::kernel::{keep_kernel, trace_kernel};
use crate::device::{Buf, Device};
use crate::error::{Result, argument, enough};
use crate::passes::step::{Carried, Cells, Keeps};
use crate::passes::{Number, Sharing, Work};
use crate::prims::state::{Element, Population};

/// Copies the positions of a level into row `level` of `rows` `[levels, dim * stride]`.
pub fn keep(
    device: &Device,
    from: &Carried,
    rows: &Cells,
    keeps: &Keeps,
    of: &Population,
    level: Number,
) -> Result<()> {
    let length = of.dim * of.stride();
    let levels = level.rows();
    enough(&[("positions", from.x.len(), length), ("positions of all steps", rows.len(), length * levels)])?;
    let sharing = Sharing::apart(device);
    keep_kernel::launch(
        device.client(),
        sharing.cubes(device, length / of.lanes),
        sharing.dim(),
        of.lanes,
        from.x.arg(),
        rows.arg(),
        length as u32,
        level.word(),
        level.cell(&from.clock).arg(),
        device.is_cpu(),
        keeps.element.kind(),
    );
    device.launched(work(of, keeps))
}

/// Copies the log-weights of step `step` into row `step` of `rows` `[steps, stride]`.
pub fn keep_weights(
    device: &Device,
    log_w: &Buf<f32>,
    rows: &Buf<f32>,
    clock: &Buf<u32>,
    of: &Population,
    step: Number,
) -> Result<()> {
    let (length, steps) = (of.stride(), step.rows());
    enough(&[
        ("log-weights", log_w.len(), length),
        ("log-weights of all steps", rows.len(), length * steps),
    ])?;
    let sharing = Sharing::apart(device);
    keep_kernel::launch(
        device.client(),
        sharing.cubes(device, length / of.lanes),
        sharing.dim(),
        of.lanes,
        log_w.arg(),
        rows.arg(),
        length as u32,
        step.word(),
        step.cell(clock).arg(),
        device.is_cpu(),
        Element::F32.kind(),
    );
    device.launched(work_weights(of))
}

/// Bytes of [`keep_weights`].
pub fn work_weights(of: &Population) -> Work {
    let bytes = 4 * of.stride() as u64;
    Work { read: bytes, written: bytes }
}

/// Bytes of [`keep`].
pub fn work(of: &Population, keeps: &Keeps) -> Work {
    let bytes = (keeps.element.bytes() * of.dim * of.stride()) as u64;
    Work { read: bytes, written: bytes }
}

/// Positions `[steps + 1, ends, dim]` along the paths that end in the slots `ends`, as many of each group, group after
/// group; `rows` are the positions of all levels, `parents` the genealogy.
pub fn trace(
    device: &Device,
    rows: &Cells,
    parents: &Buf<u32>,
    ends: &[u32],
    keeps: &Keeps,
    of: &Population,
    steps: usize,
) -> Result<Buf<f32>> {
    let paths = ends.len() / of.groups.max(1);
    if ends.is_empty() || !ends.len().is_multiple_of(of.groups) {
        return Err(argument(
            "ends of paths",
            ends.len(),
            format!("as many of each of {} groups", of.groups),
        ));
    }
    if let Some(end) = ends.iter().find(|end| **end as usize >= of.slots) {
        return Err(argument("end of a path", end, format!("a slot below {}", of.slots)));
    }
    enough(&[
        ("positions of all steps", rows.len(), (steps + 1) * of.dim * of.stride()),
        ("genealogy", parents.len(), steps * of.stride()),
    ])?;
    let out = device.empty("paths", (steps + 1) * ends.len() * of.dim)?;
    let sharing = Sharing::apart(device);
    trace_kernel::launch(
        device.client(),
        sharing.cubes(device, ends.len()),
        sharing.dim(),
        of.lanes,
        rows.arg(),
        parents.arg(),
        device.upload("ends of paths", ends)?.arg(),
        out.arg(),
        of.arg(),
        paths as u32,
        steps as u32,
        device.layout(),
        keeps.element.kind(),
    );
    let cells = ((steps + 1) * ends.len()) as u64;
    let read = cells * (4 + (of.dim * keeps.element.bytes()) as u64);
    device.launched(Work { read, written: out.bytes() })?;
    Ok(out)
}
