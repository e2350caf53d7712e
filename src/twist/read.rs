//! A task from a safetensors file.

use std::fmt::Display;
use std::path::Path;

use super::{CLASSIFIER, TASKS, Task};
use crate::error::{Error, Result};
use crate::operator::Filter;
use crate::weights::Weights;

impl Task {
    /// Reads the task `name` for a model of `dim` coordinates. `noise` is a standard deviation: 0 where none is given of what
    /// may be put in its place.
    pub fn open(path: &Path, name: &str, noise: Option<f64>, dim: usize) -> Result<Self> {
        let file = Weights::open(path)?;
        let row = |name: &str| -> Result<Vec<f64>> {
            let shape = file.shape(name)?.to_vec();
            let flat: usize = shape.iter().product();
            if shape.len() != 1 {
                let wanted = "one dimension";
                return Err(Error::weights(path, format!("tensor {name}"), format!("{shape:?}"), wanted));
            }
            Ok(file.f32(name, &[flat])?.into_iter().map(f64::from).collect())
        };
        let each = |name: &str| -> Result<Vec<f64>> {
            Ok(file.f32(name, &[dim])?.into_iter().map(f64::from).collect())
        };
        let table = |rows: usize| -> Result<Vec<f64>> {
            Ok(file.f32("A", &[rows, dim])?.into_iter().map(f64::from).collect())
        };
        let needed = || {
            noise.ok_or_else(|| Error::input("--noise", "none", "the standard deviation of what is known"))
        };
        let none = |task: Task| unwanted("--noise", noise, name).map(|()| task);
        let task = match name {
            "linear" => {
                let measured = row("y")?;
                let noise = match (file.has("noise"), noise) {
                    (true, Some(noise)) => {
                        let wanted = "none, where the file has a noise of each component";
                        return Err(Error::input("--noise", noise, wanted));
                    }
                    (true, None) => row("noise")?,
                    (false, _) => vec![needed()?; measured.len()],
                };
                match filter(&file, dim)? {
                    Some(filter) => Task::measured(&filter, measured, noise)?,
                    None => Task::Linear { operator: table(measured.len())?, measured, noise },
                }
            }
            "inpaint" => {
                let mask = file.nonzero("mask", &[dim])?;
                Task::Inpaint { mask, known: each("y")?, noise: noise.unwrap_or(0.0) }
            }
            "placement" => {
                let place = |at: i32| {
                    let wanted = "numbers of coordinates, at least 0";
                    usize::try_from(at).map_err(|_| Error::weights(path, "tensor offsets", at, wanted))
                };
                let offsets = file.i32("offsets")?.into_iter().map(place).collect::<Result<_>>()?;
                Task::Placement { motif: row("motif")?, offsets, noise: noise.unwrap_or(0.0) }
            }
            "inequalities" => {
                let bounds = row("b")?;
                none(Task::Inequalities { operator: table(bounds.len())?, bounds })?
            }
            "bounds" => {
                if !file.has("lower") && !file.has("upper") {
                    let wanted = "tensor lower, upper or both";
                    return Err(Error::weights(path, "bounds", "neither lower nor upper", wanted));
                }
                let each = |name: &str, none: f64| -> Result<Vec<f64>> {
                    if file.has(name) {
                        Ok(file.plain_f32(name)?.into_iter().map(f64::from).collect())
                    } else {
                        Ok(vec![none; dim])
                    }
                };
                none(Task::Bounds {
                    lower: each("lower", f64::NEG_INFINITY)?,
                    upper: each("upper", f64::INFINITY)?,
                })?
            }
            "reward" => {
                if !file.has("slope") && !file.has("curvature") {
                    let wanted = "tensor slope, curvature or both";
                    return Err(Error::weights(path, "reward", "neither slope nor curvature", wanted));
                }
                let zeros = |name: &str| if file.has(name) { each(name) } else { Ok(vec![0.0; dim]) };
                none(Task::Reward {
                    slope: zeros("slope")?,
                    curvature: zeros("curvature")?,
                    centre: zeros("centre")?,
                })?
            }
            CLASSIFIER => {
                let wanted = "none: the classifier (--classifier) says it all";
                return Err(Error::input("--operator", path.display(), wanted));
            }
            other => {
                let names: Vec<&str> = TASKS.iter().map(|row| row.0).collect();
                return Err(Error::input("--task", other, format!("one of {}", names.join(", "))));
            }
        };
        task.check(dim)?;
        Ok(task)
    }
}

/// The filter of a file, of images of `dim` pixels in all: tensors kernel `[KH, KW]`, image, the sizes C, H and W, and
/// stride, 1 where it is not there. None of a file that has A instead.
fn filter(file: &Weights, dim: usize) -> Result<Option<Filter>> {
    let bad = |name: &str, found: &dyn Display, wanted: &str| {
        Error::weights(file.path(), format!("tensor {name}"), found, wanted)
    };
    match (file.has("A"), file.has("kernel")) {
        (true, false) => return Ok(None),
        (true, true) => return Err(bad("kernel", &"it beside A", "one of the two")),
        (false, false) => return Err(bad("A", &"neither it nor a kernel", "one of the two")),
        (false, true) => {}
    }
    let [kh, kw] = *file.shape("kernel")? else {
        return Err(bad("kernel", &format!("{:?}", file.shape("kernel")?), "two dimensions, KH and KW"));
    };
    let kernel = file.f32("kernel", &[kh, kw])?.into_iter().map(f64::from).collect();
    let whole = |name: &str| -> Result<Vec<usize>> {
        let size = |v: i32| usize::try_from(v).map_err(|_| bad(name, &v, "numbers of at least 1"));
        file.i32(name)?.into_iter().map(size).collect()
    };
    let sizes = whole("image")?;
    let image = <[usize; 3]>::try_from(sizes).map_err(|sizes| {
        bad("image", &format!("{} numbers", sizes.len()), "three: channels, height and width")
    })?;
    let stride = if file.has("stride") { whole("stride")? } else { vec![1] };
    let [stride] = stride[..] else {
        return Err(bad("stride", &format!("{} numbers", stride.len()), "one"));
    };
    if image.iter().try_fold(1_usize, |all, n| all.checked_mul(*n)) != Some(dim) {
        let wanted = format!("sizes whose product is {dim}, the coordinates of the model");
        return Err(bad("image", &format!("{image:?}"), &wanted));
    }
    Filter::new(image, kernel, [kh, kw], stride).map(Some).map_err(|error| error.in_file(file.path()))
}

/// Refuses a flag that the task `name` does not know.
pub(crate) fn unwanted(flag: &str, found: Option<impl Display>, name: &str) -> Result<()> {
    match found {
        Some(found) => Err(Error::input(flag, found, format!("none with --task {name}"))),
        None => Ok(()),
    }
}
