//! What is wanted of a sample, for the method tds.

use std::path::PathBuf;

use clap::Args;

use super::{named, number};
use crate::twist::{Chain, Potential, Proposal, Spread};

/// A task, and how a twisted run goes about it.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct Twist {
    /// What tds wants of a sample: linear, inpaint, placement, inequalities, bounds, reward or classifier
    #[arg(long, value_name = "WHAT")]
    pub task: Option<String>,
    /// safetensors file with the numbers of the task: see `feynkac list`
    #[arg(long, value_name = "FILE")]
    pub operator: Option<PathBuf>,
    /// Folder of a classifier, which --task classifier asks for the class --class
    #[arg(long, value_name = "DIR")]
    pub classifier: Option<PathBuf>,
    /// Power of what the classifier says, above 0 [default: 1]
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = number)]
    pub classifier_scale: Option<f64>,
    /// Standard deviation of what is known of the sample; 0, the default of inpaint and placement, puts it in its place
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = number)]
    pub noise: Option<f64>,
    /// Variance of a denoised state about its sample: data, noise, tau:F, step or residual [default: data]
    #[arg(long, value_name = "WHAT", value_parser = named::<Spread>)]
    pub twist_variance: Option<Spread>,
    /// Factor of that variance, above 0 [default: 1]
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = number)]
    pub twist_scale: Option<f64>,
    /// How far the steps lean towards the task; 0 proposes from the model alone [default: 1]
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = number)]
    pub twist_lean: Option<f64>,
    /// Variance of the steps over that of the model's own, at least 1 [default: 1]
    #[arg(long, value_name = "F", allow_negative_numbers = true, value_parser = number)]
    pub proposal_variance: Option<f64>,
    /// What steers with --twist-lean 0: difference, max or sum, of log psi on the way [default: difference]
    #[arg(long, value_parser = named::<Potential>)]
    pub potential: Option<Potential>,
    /// Least and greatest value of a denoised state as it is leant, which it is cut off at; weights stay exact [default: none]
    #[arg(long, value_name = "LOW:HIGH", allow_hyphen_values = true)]
    pub twist_range: Option<String>,
    /// Where steps come from: twisted or replacement [default: twisted]
    #[arg(long, value_parser = named::<Proposal>)]
    pub proposal: Option<Proposal>,
    /// The model's own steps, by their variance: forward, posterior, clipped, learned or truncated [default: forward]
    #[arg(long, value_parser = named::<Chain>)]
    pub chain: Option<Chain>,
}

impl Twist {
    /// These, and `below` where these say nothing.
    pub fn over(self, below: Self) -> Self {
        Self {
            task: self.task.or(below.task),
            operator: self.operator.or(below.operator),
            classifier: self.classifier.or(below.classifier),
            classifier_scale: self.classifier_scale.or(below.classifier_scale),
            noise: self.noise.or(below.noise),
            twist_variance: self.twist_variance.or(below.twist_variance),
            twist_scale: self.twist_scale.or(below.twist_scale),
            twist_lean: self.twist_lean.or(below.twist_lean),
            proposal_variance: self.proposal_variance.or(below.proposal_variance),
            potential: self.potential.or(below.potential),
            twist_range: self.twist_range.or(below.twist_range),
            proposal: self.proposal.or(below.proposal),
            chain: self.chain.or(below.chain),
        }
    }
}
