//! A network that is an energy, in f64: docs/maths.md (9.3).

use feynkac_kernels::passes::energy::oracle::{direct, seed, value};

use super::Layered;
use crate::error::{Error, Result};

pub use feynkac_kernels::passes::energy::Energy;

impl Layered {
    /// The energy at `x` and its gradient, in one pass forwards and one back; refuses a network that is none.
    pub fn energy(&self, x: &[f64], time: f64, class: Option<usize>) -> Result<(f64, Vec<f64>)> {
        let Some(energy) = self.energy else {
            return Err(Error::input("energy", "a network whose output is no energy's", "an energy network"));
        };
        let f = self.forward(x, time, class)?;
        let (_, mut gradient) = self.vjp(x, time, class, &seed(energy, x, &f))?;
        gradient.iter_mut().zip(direct(energy, x, &f)).for_each(|(g, d)| *g += d);
        Ok((value(energy, x, &f), gradient))
    }

    /// The rate at which the energy at `x` changes with the time that the network counts in, and its value.
    pub fn energy_rate(&self, x: &[f64], time: f64, class: Option<usize>) -> Result<(f64, f64)> {
        let Some(energy) = self.energy else {
            return Err(Error::input("energy", "a network whose output is no energy's", "an energy network"));
        };
        let (f, moved) = self.jvp(x, time, class, &vec![0.0; x.len()], 1.0)?;
        let rate = seed(energy, x, &f).iter().zip(&moved).map(|(u, d)| u * d).sum();
        Ok((rate, value(energy, x, &f)))
    }

    /// What the network stands for: its output, or the gradient of its energy.
    pub fn field(&self, x: &[f64], time: f64, class: Option<usize>) -> Result<Vec<f64>> {
        match self.energy {
            None => self.forward(x, time, class),
            Some(_) => Ok(self.energy(x, time, class)?.1),
        }
    }
}
