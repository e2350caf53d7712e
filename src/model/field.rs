//! A network of layers on a device as a field of scores, at every level of a run and under several classes:
//! docs/maths.md (9.3).

use feynkac_kernels::device::{Buf, Device};
use feynkac_kernels::passes::energy::{Energies, EnergyLevel};
use feynkac_kernels::passes::layers::{Back, Level, Network, Settings};
use feynkac_kernels::passes::{Number, Work};

use super::{Asked, Noise};
use crate::error::Result;

/// Ready to be asked.
#[derive(Debug)]
pub struct Field {
    network: Network,
    energy: Option<Gradient>,
}

/// What stands around the network of an energy.
#[derive(Debug)]
struct Gradient {
    energies: Energies,
    /// What the network says, what goes back through it, and what comes out there, `[conditions, count, dim]`.
    said: Buf<f32>,
    back: Buf<f32>,
    came: Buf<f32>,
}

impl Field {
    /// Uploads `asked` for `count` particles at `levels`, under each of `classes`.
    pub fn new(
        device: &Device,
        asked: &Asked,
        levels: &[Noise],
        classes: &[Option<usize>],
        count: usize,
    ) -> Result<Self> {
        asked.covers(levels)?;
        let net = &asked.loaded.net;
        let (mut all, mut around) = (Vec::with_capacity(levels.len() * classes.len()), Vec::new());
        for noise in levels {
            let (time, c) = asked.shown(*noise)?;
            let [input, own, out] = c;
            around.push(EnergyLevel { input, told: (0.0, 0.0), gradient: out / input });
            // An energy's network is asked for what it says alone; the factors come around it.
            let c = if net.energy.is_some() { [input, 0.0, 1.0] } else { [input, own, out] };
            for class in classes {
                all.push(Level { time, rate: 0.0, class: net.row(*class)?, c });
            }
        }
        let settings = Settings { back: net.energy.is_some(), most: count, ..Settings::default() };
        let network = Network::new(device, &net.layers, &net.tensors, &all, classes.len(), settings)?;
        let cells = classes.len() * count * asked.dim();
        let energy = match net.energy {
            None => None,
            Some(energy) => Some(Gradient {
                energies: Energies::new(device, energy, asked.dim(), classes.len(), &around)?,
                said: device.empty("outputs of energies", cells)?,
                back: device.empty("cotangents of energies", cells)?,
                came: device.empty("slopes of energies", cells)?,
            }),
        };
        Ok(Self { network, energy })
    }

    /// Writes the scores of `count` particles of `rows` into `out`, under each condition, from element `first` on.
    pub fn launch(
        &self,
        device: &Device,
        rows: &Buf<f32>,
        out: &Buf<f32>,
        first: usize,
        count: usize,
        level: Number,
    ) -> Result<()> {
        let Some(around) = &self.energy else {
            return Ok(self.network.launch(device, rows, out, first, count, level)?);
        };
        let Gradient { energies, said, back, came } = around;
        self.network.launch(device, rows, said, 0, count, level)?;
        energies.seed(device, rows, said, back, None, count, level)?;
        let of = Back { rows: rows.into(), cotangent: back.into(), out: said.into(), slopes: came.into() };
        self.network.vjp(device, of, count, level)?;
        Ok(energies.gradient(device, rows, [said, came], out, first, count, level)?)
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        let around = self.energy.as_ref().map_or(0, |g| {
            g.energies.bytes() + [&g.said, &g.back, &g.came].map(Buf::bytes).iter().sum::<u64>()
        });
        self.network.bytes() + around
    }

    /// What `count` particles have to move: rows in, rows out. What goes on within depends on caches.
    pub fn work(&self, count: usize) -> Work {
        let [dim, outputs] = self.network.dims();
        let written = 4 * (self.network.conditions() * count * outputs) as u64;
        Work { read: 4 * (count * dim) as u64, written }
    }
}
