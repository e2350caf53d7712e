//! Exact steering of diffusion and flow models: annealed and guided targets by Feynman-Kac
//! correctors, with weights, effective sample size and log-evidence, on CUDA, wgpu and the CPU.
//!
//! ```
//! use feynkac::kernels::device::{Device, Request};
//! use feynkac::{Method, Model, Options, Schedule, Target, sample};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let toml = r#"
//!     kind = "mixture"
//!     weights = [0.4, 0.6]
//!     means = [[-1.0], [1.2]]
//!     scales = [0.7, 0.8]
//! "#;
//! let (target, _) = Target::parse("two.toml".as_ref(), toml)?;
//! let mut options = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 0.01, sigma_max: 50.0 });
//! options.beta = 1.5;
//! options.particles = 1000;
//! let device = Device::open("cpu".parse::<Request>()?)?;
//! let drawn = sample(&device, &[Model::Analytic(target)], &options, None)?;
//! println!("log Z = {:.3}, ESS {:.0}", drawn.log_z[0], drawn.ess[0].last().unwrap_or(&0.0));
//! # assert_eq!(drawn.x.len(), 1000);
//! # Ok(())
//! # }
//! ```
#![deny(unsafe_code)]
#![warn(missing_docs)]

#[macro_use]
mod named;

pub mod aim;
mod around;
pub mod classifier;
#[cfg(feature = "cli")]
pub mod cli;
pub mod coeffs;
pub mod divergence;
pub mod egnn;
pub mod eigen;
pub mod error;
pub mod eval;
pub mod framenet;
pub mod frames;
mod keys;
pub mod langevin;
pub mod layered;
pub mod measure;
pub mod model;
pub mod netconfig;
pub mod operator;
pub mod options;
pub mod plan;
pub mod registry;
pub mod resample;
pub mod run;
pub mod schedule;
pub mod target;
pub mod trust;
pub mod twist;
pub mod unet;
pub mod verify;
pub mod weights;

pub use aim::{Densities, Divergence, Growth, Reward};
pub use error::{Error, Result};
pub use feynkac_kernels as kernels;
pub use langevin::Langevin;
pub use layered::Layered;
pub use model::{Foreign, Model, Noise};
pub use operator::{Filter, Operator, Subset};
pub use options::{Final, Options, Policy, Rule, Sde, State};
pub use registry::{Method, Scheme};
pub use resample::{Given, resample};
pub use run::{Outcome, sample};
pub use schedule::{Grid, Schedule};
pub use target::Target;
pub use twist::{Chain, Doubt, Potential, Proposal, Spread, Task, Twisting};
