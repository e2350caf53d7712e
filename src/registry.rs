//! THE table of what can be named: methods, resampling schemes, targets. The command line, `list`
//! and the law tests walk it.

use serde::{Deserialize, Serialize};

use feynkac_kernels::methods::oracle::Law;
use feynkac_kernels::methods::{
    Compose, Mixture, Needs, Plain, Transport, compose, mixture, plain, transport, twisted,
};
use feynkac_kernels::passes::resample::{self, CHAIN_STEPS, MOST_CHAIN_STEPS};
use feynkac_kernels::passes::step::Named;

use crate::error::{Error, Result};

/// A sampler by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The model itself.
    Plain,
    /// q^beta.
    FkcAnneal,
    /// q0^(1 - M beta) (q1 ... qM)^beta.
    FkcGuidance,
    /// (q1 ... qM)^beta.
    FkcProduct,
    /// q1^beta1 ... qM^betaM.
    FkcCompose,
    /// w1 q1 + ... + wM qM.
    FkcMixture,
    /// q1^beta, carried by the score of q2.
    FkcTransport,
    /// q given a measurement, or what else is wanted of a sample.
    Tds,
}

/// A row of the table of methods.
#[derive(Clone, Copy, Debug)]
pub struct MethodRow {
    /// The method.
    pub method: Method,
    /// Its name.
    pub name: &'static str,
    /// What it samples.
    pub doc: &'static str,
    /// The paper.
    pub paper: &'static str,
    /// What it needs.
    pub needs: Needs,
    /// Its kernel.
    pub kernel: Named,
    /// Its oracle.
    pub oracle: Law,
}

/// Every method.
pub const METHODS: &[MethodRow] = &[
    MethodRow {
        method: Method::Plain,
        name: "plain",
        doc: "the model itself by its reverse SDE, no weights",
        paper: "Song et al. 2021, arXiv 2011.13456",
        needs: Plain::NEEDS,
        kernel: Named::Plain,
        oracle: plain::oracle::LAW,
    },
    MethodRow {
        method: Method::FkcAnneal,
        name: "fkc-anneal",
        doc: "the model to the power beta, exact weights",
        paper: "Skreta et al. 2025, arXiv 2503.02819",
        needs: Compose::ONE,
        kernel: Named::Compose,
        oracle: compose::oracle::LAW,
    },
    MethodRow {
        method: Method::FkcGuidance,
        name: "fkc-guidance",
        doc: "first^(1 - beta) second^beta: classifier-free guidance, geometric average; more conditions, each to the power beta, where there are more models; exact weights",
        paper: "Skreta et al. 2025, arXiv 2503.02819; Ho and Salimans 2022, arXiv 2207.12598",
        needs: Compose::SEVERAL,
        kernel: Named::Compose,
        oracle: compose::oracle::LAW,
    },
    MethodRow {
        method: Method::FkcProduct,
        name: "fkc-product",
        doc: "the product of all models to the power beta, exact weights",
        paper: "Skreta et al. 2025, arXiv 2503.02819",
        needs: Compose::SEVERAL,
        kernel: Named::Compose,
        oracle: compose::oracle::LAW,
    },
    MethodRow {
        method: Method::FkcCompose,
        name: "fkc-compose",
        doc: "each model to an exponent of its own, negative ones too; exact weights",
        paper: "Skreta et al. 2025, arXiv 2503.02819",
        needs: Compose::ANY,
        kernel: Named::Compose,
        oracle: compose::oracle::LAW,
    },
    MethodRow {
        method: Method::FkcMixture,
        name: "fkc-mixture",
        doc: "the mixture of all models, each with a weight of its own, by its exact score",
        paper: "Skreta et al. 2025, arXiv 2503.02819; Du et al. 2023, arXiv 2302.11552",
        needs: Mixture::NEEDS,
        kernel: Named::Mixture,
        oracle: mixture::oracle::LAW,
    },
    MethodRow {
        method: Method::FkcTransport,
        name: "fkc-transport",
        doc: "the first model to the power beta, carried by the score of the second; exact weights; closed forms, or an energy network and a score network",
        paper: "Skreta et al. 2025, arXiv 2503.02819; Akhound-Sadegh et al. 2025, arXiv 2506.16471",
        needs: Transport::NEEDS,
        kernel: Named::Transport,
        oracle: transport::oracle::LAW,
    },
    MethodRow {
        method: Method::Tds,
        name: "tds",
        doc: "the model given a measurement, known coordinates, a motif, inequalities or a reward, by twisted steps; exact weights for its own chain; closed forms",
        paper: "Wu et al. 2023, arXiv 2306.17775",
        needs: twisted::NEEDS,
        kernel: Named::Plain,
        oracle: plain::oracle::LAW,
    },
];

impl Method {
    /// Its row.
    pub fn row(self) -> &'static MethodRow {
        METHODS.iter().find(|row| row.method == self).expect("every method has a row")
    }
}

/// A resampling scheme by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// One uniform offset, evenly spaced points.
    Systematic,
    /// A uniform point in each of N equal strata.
    Stratified,
    /// N independent points.
    Multinomial,
    /// The whole parts of N W, independent points for what is left.
    Residual,
    /// So many Metropolis steps a slot.
    Metropolis(u32),
    /// So many Metropolis steps a slot, with shared proposals.
    Megopolis(u32),
    /// Trials until one is accepted.
    Rejection,
    /// Birth and death by log-weights about their mean; runs only.
    BirthDeath,
    /// The same, each slot dying when a clock of its own runs out; runs only.
    Clock,
}

impl Scheme {
    /// Its kernels.
    pub fn kernel(self) -> resample::Scheme {
        match self {
            Scheme::Systematic => resample::Scheme::Systematic,
            Scheme::Stratified => resample::Scheme::Stratified,
            Scheme::Multinomial => resample::Scheme::Multinomial,
            Scheme::Residual => resample::Scheme::Residual,
            Scheme::Metropolis(steps) => resample::Scheme::Metropolis(steps),
            Scheme::Megopolis(steps) => resample::Scheme::Megopolis(steps),
            // Candidates of those that die are drawn by rejection.
            Scheme::Rejection | Scheme::BirthDeath | Scheme::Clock => resample::Scheme::Rejection,
        }
    }

    /// Birth and death, which a run alone can do.
    pub fn jumps(self) -> bool {
        matches!(self, Scheme::BirthDeath | Scheme::Clock)
    }

    /// Its kernels given that slot 0 keeps its particle; `None` where there are none.
    pub fn conditional(self) -> Option<resample::Scheme> {
        match self {
            Scheme::Systematic => Some(resample::Scheme::ConditionalSystematic),
            Scheme::Multinomial => Some(resample::Scheme::ConditionalMultinomial),
            _ => None,
        }
    }

    /// The same with this many steps a slot, where it counts them.
    pub fn with_steps(self, steps: u32) -> Option<Self> {
        match self {
            Scheme::Metropolis(_) => Some(Scheme::Metropolis(steps)),
            Scheme::Megopolis(_) => Some(Scheme::Megopolis(steps)),
            _ => None,
        }
    }

    /// Refuses what cannot run, naming it.
    pub fn check(self) -> Result<()> {
        match self {
            Scheme::Metropolis(steps) | Scheme::Megopolis(steps)
                if steps == 0 || steps > MOST_CHAIN_STEPS =>
            {
                Err(Error::input("steps of the scheme", steps, format!("1 to {MOST_CHAIN_STEPS}")))
            }
            _ => Ok(()),
        }
    }
}

/// (scheme, spelling, doc) of every resampling scheme.
pub const SCHEMES: &[(Scheme, &str, &str)] = &[
    (
        Scheme::Systematic,
        "systematic",
        "one offset, even spacing; offspring are floor or ceil of N W; the default",
    ),
    (Scheme::Stratified, "stratified", "a point in each of N equal strata; offspring within 2 of N W"),
    (Scheme::Multinomial, "multinomial", "N independent points"),
    (Scheme::Residual, "residual", "floor of N W copies, independent points for the rest; one launch more"),
    (
        Scheme::Metropolis(CHAIN_STEPS),
        "metropolis:B",
        "B Metropolis steps a slot, 32 unless said; no sums, bias (1 - mean w/max w)^B",
    ),
    (
        Scheme::Megopolis(CHAIN_STEPS),
        "megopolis:B",
        "the same with proposals at shared distances, whose memory is read in order",
    ),
    (Scheme::Rejection, "rejection", "own particle or uniform ones until one is accepted; no bias"),
];

/// (scheme, spelling, doc) of every scheme that takes the place of resampling in a run.
pub const JUMPS: &[(Scheme, &str, &str)] = &[
    (
        Scheme::BirthDeath,
        "birth-death",
        "runs only: dies with probability 1 - exp(-max(0, -g)), is replaced in proportion to max(0, g), g = ln w less its mean; biased, O(g^2) a step",
    ),
    (
        Scheme::Clock,
        "clock",
        "runs only: the same, each slot dying when an exponential clock of its own runs out",
    ),
];

/// (name, doc) of every kind of model.
pub const TARGETS: &[(&str, &str)] = &[
    ("mixture", "TOML: Gaussians, isotropic or diagonal; weights, means, scales"),
    ("gaussian", "TOML: mean and full covariance"),
    (
        "network",
        "folder: config.json and model.safetensors; of diffusers: a UNet2DModel, its pipeline or its file",
    ),
];
