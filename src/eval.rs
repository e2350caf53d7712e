//! A network evaluated at given points, and derivatives of it there: for checking it against another framework.

use feynkac_kernels::device::Device;
use feynkac_kernels::passes::Number;
use feynkac_kernels::passes::energy::{Energies, EnergyLevel};
use feynkac_kernels::passes::layers::{Back, Level, Network, Settings};

use crate::error::{Error, Result};
use crate::layered::Loaded;

/// Points, each with a time and a class of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    /// States `[count, numbers]`, row-major.
    pub rows: Vec<f32>,
    /// The time of each, as its folder counts it: [`Loaded::time`]; zeros where the network is shown none.
    pub times: Vec<f64>,
    /// The class of each; `None` is the null class, or a network without classes.
    pub classes: Vec<Option<usize>>,
    /// What goes back through the network, `[count, numbers of the output]`.
    pub cotangent: Option<Vec<f32>>,
}

/// What a network says of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    /// What it stands for, `[count, numbers of the output]`: its output, or of an energy the gradient.
    pub output: Vec<f32>,
    /// J' cotangent, shaped like the states, where there is a cotangent.
    pub vjp: Option<Vec<f32>>,
    /// `[count]`, of an energy.
    pub energy: Option<Vec<f32>>,
}

/// Points of one time and one class, which one launch answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Alike {
    /// The time that the network counts in.
    pub time: f64,
    /// The row of its class table.
    pub class: usize,
    /// Which points.
    pub at: Vec<usize>,
}

/// Puts points together that are of one time and class, in the order of the first of each.
pub(crate) fn alike(net: &Loaded, points: &Points) -> Result<Vec<Alike>> {
    let mut all: Vec<Alike> = Vec::new();
    let mut index = std::collections::BTreeMap::new();
    for (i, (time, class)) in points.times.iter().zip(&points.classes).enumerate() {
        let told = |what: &str, error| match error {
            Error::Input { found, wanted, .. } => Error::input(format!("{what} {i}"), found, wanted),
            other => other,
        };
        let time = net.time(*time).map_err(|e| told("timestep", e))?;
        let class = net.net.row(*class).map_err(|e| told("class_labels", e))?;
        let at = *index.entry((time.to_bits(), class)).or_insert(all.len());
        if at == all.len() {
            all.push(Alike { time, class, at: Vec::new() });
        }
        all[at].at.push(i);
    }
    Ok(all)
}

impl Points {
    /// Refuses lengths that do not fit each other or the network.
    pub fn check(&self, net: &Loaded) -> Result<()> {
        let count = self.times.len();
        let (read, written) = (net.net.input().numbers(), net.net.output().numbers());
        let cotangent = self.cotangent.as_ref().map_or(count * written, Vec::len);
        for (what, found, wanted) in [
            ("numbers of the states", self.rows.len(), count * read),
            ("classes", self.classes.len(), count),
            ("numbers of the cotangent", cotangent, count * written),
        ] {
            if found != wanted || count == 0 {
                return Err(Error::input(what, found, format!("{wanted}, of {count} points, at least 1")));
            }
        }
        if net.net.energy.is_some() && self.cotangent.is_some() {
            let wanted = "none: what an energy network gives is a gradient already";
            return Err(Error::input("cotangent", "one", wanted));
        }
        Ok(())
    }
}

/// Answers in f64 on the host, by the oracle of the layers.
pub fn oracle(net: &Loaded, points: &Points) -> Result<Answers> {
    points.check(net)?;
    let (read, written) = (net.net.input().numbers(), net.net.output().numbers());
    let wide = |of: &[f32]| -> Vec<f64> { of.iter().map(|v| f64::from(*v)).collect() };
    let count = points.times.len();
    let mut answers = Answers {
        output: vec![0.0; count * written],
        vjp: points.cotangent.as_ref().map(|_| vec![0.0; count * read]),
        energy: net.net.energy.map(|_| vec![0.0; count]),
    };
    let put = |to: &mut [f32], i: usize, each: usize, what: &[f64]| {
        let slots = to[i * each..(i + 1) * each].iter_mut();
        slots.zip(what).for_each(|(to, v)| *to = *v as f32);
    };
    for group in alike(net, points)? {
        for i in group.at {
            let x = wide(&points.rows[i * read..(i + 1) * read]);
            let class = net.net.classes.map(|_| group.class);
            if let Some(energies) = &mut answers.energy {
                let (energy, gradient) = net.net.energy(&x, group.time, class)?;
                energies[i] = energy as f32;
                put(&mut answers.output, i, written, &gradient);
            } else if let (Some(u), Some(slopes)) = (&points.cotangent, &mut answers.vjp) {
                let u = wide(&u[i * written..(i + 1) * written]);
                let (output, back) = net.net.vjp(&x, group.time, class, &u)?;
                put(&mut answers.output, i, written, &output);
                put(slopes, i, read, &back);
            } else {
                put(&mut answers.output, i, written, &net.net.forward(&x, group.time, class)?);
            }
        }
    }
    Ok(answers)
}

/// What a question may hold of a device's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Points at once; 0 is as many as suit the device.
    pub micro_batch: usize,
    /// Keep few values for the way back and compute the others again: the same bits in less memory.
    pub recompute: bool,
}

/// Answers of a device.
pub fn evaluate(device: &Device, net: &Loaded, points: &Points, memory: Memory) -> Result<Answers> {
    points.check(net)?;
    let groups = alike(net, points)?;
    let level = |group: &Alike| Level { time: group.time, rate: 0.0, class: group.class, c: [1.0, 0.0, 1.0] };
    let levels: Vec<Level> = groups.iter().map(level).collect();
    let settings = Settings {
        back: points.cotangent.is_some() || net.net.energy.is_some(),
        micro_batch: (memory.micro_batch > 0).then_some(memory.micro_batch),
        recompute: memory.recompute,
        most: groups.iter().map(|group| group.at.len()).max().unwrap_or(1),
        ..Settings::default()
    };
    let network = Network::new(device, &net.net.layers, &net.net.tensors, &levels, 1, settings)?;
    let each = EnergyLevel { input: 1.0, told: (1.0, 0.0), gradient: 1.0, laplacian: [0.0; 4] };
    let dim = net.net.input().numbers();
    let energies = match net.net.energy {
        Some(energy) => Some(Energies::new(device, energy, dim, 1, &vec![each; levels.len()])?),
        None => None,
    };
    let ask = Ask { device, network: &network, energies: energies.as_ref() };
    let count = points.times.len();
    let written = net.net.output().numbers();
    let mut answers = Answers {
        output: vec![0.0; count * written],
        vjp: points.cotangent.as_ref().map(|_| vec![0.0; count * dim]),
        energy: net.net.energy.map(|_| vec![0.0; count]),
    };
    for (level, group) in groups.iter().enumerate() {
        let cotangent = points.cotangent.as_ref().map(|u| taken(u, written, &group.at));
        let found =
            ask.of(level, &taken(&points.rows, dim, &group.at), cotangent.as_deref(), group.at.len())?;
        put_back(&mut answers.output, &found.output, written, &group.at);
        for (to, from, each) in [(&mut answers.vjp, &found.vjp, dim), (&mut answers.energy, &found.energy, 1)]
        {
            if let (Some(to), Some(from)) = (to, from) {
                put_back(to, from, each, &group.at);
            }
        }
    }
    Ok(answers)
}

/// Rows `at` of `all`.
fn taken(all: &[f32], each: usize, at: &[usize]) -> Vec<f32> {
    at.iter().flat_map(|i| &all[i * each..(i + 1) * each]).copied().collect()
}

/// Puts `rows` where they came from.
fn put_back(all: &mut [f32], rows: &[f32], each: usize, at: &[usize]) {
    for (i, row) in at.iter().zip(rows.chunks(each)) {
        all[i * each..(i + 1) * each].copy_from_slice(row);
    }
}

/// A network on a device that is asked about points of a level.
struct Ask<'a> {
    device: &'a Device,
    network: &'a Network,
    energies: Option<&'a Energies>,
}

impl Ask<'_> {
    fn of(&self, level: usize, rows: &[f32], cotangent: Option<&[f32]>, count: usize) -> Result<Answers> {
        let (device, [dim, outputs]) = (self.device, self.network.dims());
        let rows = device.upload("points", rows)?;
        let out = device.empty("outputs", count * outputs)?;
        let blank = |what| device.empty(what, count * dim);
        if let Some(energies) = self.energies {
            let (back, came, energy) =
                (blank("cotangents")?, blank("slopes")?, device.empty("energies", count)?);
            let number = Number::Given(level);
            self.network.launch(device, &rows, &out, 0, count, level)?;
            energies.seed(device, &rows, &out, &back, Some((&energy, 0, 1)), count, number)?;
            let of = Back {
                rows: (&rows).into(),
                cotangent: (&back).into(),
                out: (&out).into(),
                slopes: (&came).into(),
            };
            self.network.vjp(device, of, count, level)?;
            energies.gradient(device, &rows, [&out, &came], &back, 0, count, number)?;
            let (output, energy) = (device.download(&back)?, Some(device.download(&energy)?));
            return Ok(Answers { output, vjp: None, energy });
        }
        let Some(cotangent) = cotangent else {
            self.network.launch(device, &rows, &out, 0, count, level)?;
            return Ok(Answers { output: device.download(&out)?, vjp: None, energy: None });
        };
        let (cotangent, slopes) = (device.upload("cotangents", cotangent)?, blank("slopes")?);
        let of = Back {
            rows: (&rows).into(),
            cotangent: (&cotangent).into(),
            out: (&out).into(),
            slopes: (&slopes).into(),
        };
        self.network.vjp(device, of, count, level)?;
        let vjp = Some(device.download(&slopes)?);
        Ok(Answers { output: device.download(&out)?, vjp, energy: None })
    }
}
