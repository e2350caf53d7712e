//! What a walk is told, and the numbers that a launch takes of it.

use super::{PRIOR, STEP};
use crate::error::{Result, argument};

/// The law of one clean frame, independent of the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// Mean of the rotation, a unit quaternion (w, x, y, z).
    pub rotation: [f64; 4],
    /// Variance of the rotation's IGSO(3), per tangent coordinate.
    pub spread: f64,
    /// Mean of the position.
    pub position: [f64; 3],
    /// Variance of each of its coordinates.
    pub variance: f64,
}

/// How much noise there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Variance of the rotations' noise, per tangent coordinate.
    pub rotation: f64,
    /// What clean positions are multiplied by.
    pub alpha: f64,
    /// Standard deviation of the positions' noise.
    pub sigma: f64,
}

/// How the rotations of a walk begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum First {
    /// As the prior says at the first level.
    Exact,
    /// Uniformly over all rotations, which is where large variances lead.
    Uniform,
}

/// Below this a variance of rotations cannot be told from none in f32.
pub(crate) const LEAST: f64 = 1.0e-6;

impl Prior {
    /// The numbers of all frames, or what is wrong with one.
    pub(super) fn table(priors: &[Prior]) -> Result<Vec<f32>> {
        let mut table = Vec::with_capacity(PRIOR * priors.len());
        for (frame, prior) in priors.iter().enumerate() {
            let length = prior.rotation.iter().map(|q| q * q).sum::<f64>().sqrt();
            if length.is_nan() || (length - 1.0).abs() >= 1.0e-5 {
                let found = format!("{:?} of length {length} for frame {frame}", prior.rotation);
                return Err(argument("mean rotation", found, "a quaternion (w, x, y, z) of length 1"));
            }
            for (what, variance) in
                [("variance of rotations", prior.spread), ("variance of positions", prior.variance)]
            {
                if !(variance >= 0.0 && variance.is_finite()) {
                    return Err(argument(
                        what,
                        format!("{variance} for frame {frame}"),
                        "a number from 0 on",
                    ));
                }
            }
            if prior.position.iter().any(|x| !x.is_finite()) {
                let found = format!("{:?} for frame {frame}", prior.position);
                return Err(argument("mean position", found, "three finite numbers"));
            }
            table.extend(prior.rotation.map(|q| (q / length) as f32));
            table.push(prior.spread as f32);
            table.extend(prior.position.map(|x| x as f32));
            table.push(prior.variance as f32);
        }
        Ok(table)
    }
}

impl Level {
    /// Variance of a rotation's law at this level.
    pub fn spread(&self, prior: &Prior) -> f64 {
        prior.spread + self.rotation
    }

    /// Refuses levels along which noise does not fall, or at which a score would not be finite.
    pub(super) fn check(levels: &[Level], priors: &[Prior]) -> Result<()> {
        Level::falling(levels)?;
        let position = |l: &Level, p: &Prior| l.alpha * l.alpha * p.variance + l.sigma * l.sigma;
        let scored = &levels[..levels.len() - 1];
        for (i, level) in scored.iter().enumerate() {
            if priors.iter().any(|p| level.spread(p) < LEAST || position(level, p) <= 0.0) {
                let wanted = format!("noise that with the prior's variance is at least {LEAST:e}");
                return Err(argument("level", format!("{level:?} at {i}"), wanted));
            }
        }
        Ok(())
    }

    /// Refuses levels along which noise does not fall.
    pub(crate) fn falling(levels: &[Level]) -> Result<()> {
        let falling = "at least two levels, each with less noise than the one before";
        if levels.len() < 2 {
            return Err(argument("levels", levels.len(), falling));
        }
        for (i, level) in levels.iter().enumerate() {
            let Level { rotation, alpha, sigma } = *level;
            if !(rotation >= 0.0
                && rotation.is_finite()
                && alpha > 0.0
                && alpha.is_finite()
                && sigma >= 0.0
                && sigma.is_finite())
            {
                let wanted = "finite variances from 0 on, and alpha above 0";
                return Err(argument("level", format!("{level:?} at {i}"), wanted));
            }
        }
        for (i, pair) in levels.windows(2).enumerate() {
            let ratio = |l: &Level| l.sigma / l.alpha;
            if pair[1].rotation > pair[0].rotation || ratio(&pair[1]) > ratio(&pair[0]) {
                return Err(argument("levels", format!("more noise at {} than at {i}", i + 1), falling));
            }
        }
        Ok(())
    }
}

/// What the step from one level to the next does, with noise `zeta` times that of the reverse diffusion: docs/maths.md
/// (14i). Order of the numbers: see [`STEP`].
pub fn step_numbers(from: &Level, to: &Level, zeta: f64) -> [f64; STEP] {
    let turned = from.rotation - to.rotation;
    let (near, far) = ((to.sigma / to.alpha).powi(2), (from.sigma / from.alpha).powi(2));
    let moved = far - near;
    [
        from.rotation,
        turned,
        zeta * turned.sqrt(),
        from.alpha,
        from.sigma * from.sigma,
        to.alpha / from.alpha,
        to.alpha * from.alpha * moved,
        to.alpha * zeta * moved.sqrt(),
    ]
}
