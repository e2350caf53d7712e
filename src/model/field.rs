//! A network of layers on a device as a field of scores, at every level of a run and under several classes, and what a run
//! may ask beside its scores: docs/maths.md (9.3), (9.4), (7.10).

use feynkac_kernels::device::{Buf, Device};
use feynkac_kernels::passes::copy::widen;
use feynkac_kernels::passes::divergence::{Probes, Tally};
use feynkac_kernels::passes::energy::{Energies, EnergyLevel};
use feynkac_kernels::passes::layers::{Along, At, Back, Each, Level, Network, Settings};
use feynkac_kernels::passes::{Number, Work};
use feynkac_kernels::prims::state::Population;

use super::{Asked, Noise};
use crate::aim::Says;
use crate::error::Result;
use crate::options::Options;

/// Ready to be asked.
#[derive(Debug)]
pub struct Field {
    network: Network,
    says: Says,
    /// Around an energy.
    gradient: Option<Gradient>,
    /// Around a field of which the divergence is wanted.
    probing: Option<Probing>,
    /// What goes back through a network that also says how broad a step is, `[count, 2, dim]`.
    widened: Option<Buf<f32>>,
}

/// What stands around the network of an energy.
#[derive(Debug)]
struct Gradient {
    energies: Energies,
    /// What the network says, what goes back through it, and what comes out there, `[conditions, count, dim]`.
    said: Buf<f32>,
    back: Buf<f32>,
    came: Buf<f32>,
    /// A tangent of no state, where the time moves.
    still: Buf<f32>,
}

/// What takes a divergence.
#[derive(Debug)]
struct Probing {
    probes: Probes,
    /// What the network says again, and what comes back, `[count, dim]`.
    said: Buf<f32>,
    came: Buf<f32>,
}

/// Where else a launch looks and writes.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// Where what is said beside the scores begins.
    pub told: usize,
    /// Two words a group, for probes.
    pub seeds: &'a Buf<u32>,
}

impl Field {
    /// Uploads `asked` for the particles of `of` at `levels`, under each of `classes`, to say what `says` is.
    pub fn new(
        device: &Device,
        asked: &Asked,
        levels: &[Noise],
        classes: &[Option<usize>],
        options: &Options,
        (says, of): (Says, &Population),
    ) -> Result<Self> {
        asked.covers(levels)?;
        let wide = asked.wide.as_deref().filter(|_| options.learns());
        let (net, dim, count) = (wide.unwrap_or(&asked.loaded.net), asked.dim(), of.particles());
        let (mut all, mut around) = (Vec::with_capacity(levels.len() * classes.len()), Vec::new());
        for noise in levels {
            let (time, [input, own, out]) = asked.shown(*noise)?;
            let mut level =
                EnergyLevel { input, told: (0.0, 0.0), gradient: out / input, laplacian: [0.0; 4] };
            let mut rate = 0.0;
            if matches!(says, Says::Density | Says::Rate) {
                (level, rate) = asked.around(&options.schedule, *noise)?;
            }
            around.push(level);
            // An energy's network is asked for what it says alone; the factors come around it.
            let c = if net.energy.is_some() { [input, 0.0, 1.0] } else { [input, own, out] };
            for class in classes {
                all.push(Level { time, rate, class: net.row(*class)?, c });
            }
        }
        let settings = Settings {
            back: net.energy.is_some() || says == Says::Divergence || options.leans(),
            along: says == Says::Rate,
            most: count,
            recompute: options.recompute,
            ..Settings::default()
        };
        let network = Network::new(device, &net.layers, &net.tensors, &all, classes.len(), settings)?;
        let cells = classes.len() * count * dim;
        let rows = |what| device.empty(what, cells);
        let gradient = match net.energy {
            None => None,
            Some(energy) => Some(Gradient {
                energies: Energies::new(device, energy, dim, classes.len(), &around)?,
                said: rows("outputs of energies")?,
                back: rows("cotangents of energies")?,
                came: rows("slopes of energies")?,
                still: device
                    .upload("no tangent", &vec![0.0_f32; if settings.along { count * dim } else { 1 }])?,
            }),
        };
        let probing = match says {
            Says::Divergence => Some(Probing {
                probes: Probes::new(device, options.divergence.along(), count, dim, of.slots)?,
                said: rows("outputs of probes")?,
                came: rows("slopes of probes")?,
            }),
            _ => None,
        };
        let cells = if options.leans() { 2 * count * dim } else { 1 };
        let widened = wide.map(|_| device.empty("what goes back through a network", cells)).transpose()?;
        Ok(Self { network, says, gradient, probing, widened })
    }

    /// Writes the scores of `count` particles of `rows` into `out`, under each condition, from element `first` on, and what
    /// is said beside them.
    #[allow(clippy::too_many_arguments)]
    pub fn launch(
        &self,
        device: &Device,
        rows: &Buf<f32>,
        out: &Buf<f32>,
        first: usize,
        count: usize,
        level: Number,
        beside: Beside,
    ) -> Result<()> {
        if let Some(gradient) = &self.gradient {
            return self.descend(device, gradient, (rows, out), [first, beside.told], count, level);
        }
        self.network.launch(device, rows, out, first, count, level)?;
        let Some(Probing { probes, said, came }) = &self.probing else { return Ok(()) };
        for probe in 0..probes.count() {
            probes.probe(device, beside.seeds, probe, count, level)?;
            let cotangent = probes.vectors().into();
            let of = Back { rows: rows.into(), cotangent, out: said.into(), slopes: came.into() };
            self.network.vjp(device, of, count, level)?;
            // The divergence is the second of a pair.
            let to = Tally { came, told: out, first: beside.told + 1, apart: 2 };
            probes.tally(device, to, probe, count)?;
        }
        Ok(())
    }

    /// The gradient of <`cotangent`, score> with respect to `count` particles of `rows`, into `out` from element `slopes` on;
    /// the scores, which come on the way, again from `first` on.
    #[allow(clippy::too_many_arguments)]
    pub fn back(
        &self,
        device: &Device,
        rows: &Buf<f32>,
        cotangent: At,
        out: &Buf<f32>,
        [first, slopes]: [usize; 2],
        count: usize,
        level: Number,
    ) -> Result<()> {
        let at = |first: usize| At { rows: out, first };
        let cotangent = match &self.widened {
            Some(widened) => {
                let [dim, _] = self.network.dims();
                widen(device, (cotangent.rows, cotangent.first), widened, count, dim)?;
                widened.into()
            }
            None => cotangent,
        };
        let of = Back { rows: rows.into(), cotangent, out: at(first), slopes: at(slopes) };
        Ok(self.network.vjp(device, of, count, level)?)
    }

    /// What of the network one [`Field::launch`] asks for at least once, and back through it where it goes back: `each` is
    /// handed every launch, to measure it. `out` is as there, and is written from its beginning.
    pub fn launch_by_steps(
        &self,
        device: &Device,
        rows: &Buf<f32>,
        out: &Buf<f32>,
        count: usize,
        level: usize,
        each: Each,
    ) -> Result<()> {
        let (said, cotangent, slopes) = match (&self.gradient, &self.probing) {
            (Some(Gradient { said, back, came, .. }), _) => (said, back, came),
            (None, Some(Probing { probes, said, came })) => (said, probes.vectors(), came),
            (None, None) => {
                return Ok(self.network.launch_by_steps(device, rows, out, count, level, each)?);
            }
        };
        let of =
            Back { rows: rows.into(), cotangent: cotangent.into(), out: said.into(), slopes: slopes.into() };
        Ok(self.network.vjp_by_steps(device, of, count, level, each)?)
    }

    /// The network itself.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The same of an energy.
    fn descend(
        &self,
        device: &Device,
        gradient: &Gradient,
        (rows, out): (&Buf<f32>, &Buf<f32>),
        [first, told]: [usize; 2],
        count: usize,
        level: Number,
    ) -> Result<()> {
        let Gradient { energies, said, back, came, still } = gradient;
        let pairs = (self.says != Says::Score).then_some((out, told, 2));
        self.network.launch(device, rows, said, 0, count, level)?;
        energies.seed(device, rows, said, back, pairs, count, level)?;
        let of = Back { rows: rows.into(), cotangent: back.into(), out: said.into(), slopes: came.into() };
        self.network.vjp(device, of, count, level)?;
        energies.gradient(device, rows, [said, came], out, first, count, level)?;
        if self.says == Says::Rate {
            let (tangent, moved) = (still.into(), came.into());
            let of = Along { rows: rows.into(), tangent, out: said.into(), moved, time: true };
            self.network.jvp(device, of, count, level)?;
            energies.laplacian(device, rows, [back, came], out, [first, told], count, level)?;
        }
        Ok(())
    }

    /// See [`Probes::sums`].
    pub fn divergences(&self) -> Option<&Buf<f32>> {
        self.probing.as_ref().map(|probing| probing.probes.sums())
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        let around = self.gradient.as_ref().map_or(0, |g| {
            g.energies.bytes() + [&g.said, &g.back, &g.came, &g.still].map(Buf::bytes).iter().sum::<u64>()
        });
        let probing = self.probing.as_ref().map_or(0, |p| p.probes.bytes() + p.said.bytes() + p.came.bytes());
        let widened = self.widened.as_ref().map_or(0, Buf::bytes);
        self.network.bytes() + around + probing + widened
    }

    /// What `count` particles have to move: rows in, rows out. What goes on within depends on caches.
    pub fn work(&self, count: usize) -> Work {
        let [dim, outputs] = self.network.dims();
        let written = 4 * (self.network.conditions() * count * outputs) as u64;
        Work { read: 4 * (count * dim) as u64, written }
    }
}
