//! What a twist needs outside of the step: a likelihood that judges denoised states, and the way back through a network.
//! docs/maths.md (13.5).

use feynkac_kernels::device::{Buf, Device};
use feynkac_kernels::passes::classes::{Class, likelihood};
use feynkac_kernels::passes::layers::{At, Back, Level, Network, Settings};
use feynkac_kernels::passes::step::{Carried, Stage};
use feynkac_kernels::passes::{Number, Work};
use feynkac_kernels::prims::state::Population;

use super::Run;
use crate::error::{Error, Result};
use crate::model::{self, ClassifierNet, Likelihood, Model, Seen, Uploaded};
use crate::options::Options;
use crate::plan::{Pass, Plan};
use crate::twist::{self, Task};

/// Who judges denoised states.
enum By<'a> {
    /// Nobody outside.
    Nobody,
    /// A classifier.
    Classifier(Box<Classes>),
    /// The caller.
    Own(&'a dyn Likelihood),
}

/// A classifier on a device.
struct Classes {
    network: Network,
    of: Class,
    /// The gradient is wanted too.
    leans: bool,
    /// `[count, classes]`: what it says of the states, and what goes back through it.
    logits: Buf<f32>,
    back: Buf<f32>,
}

/// What stands between the scores and the weights of a twisted run.
pub(super) struct Judge<'a> {
    by: By<'a>,
    /// Rows `[count, dim]` that the twist left: denoised states, or what goes back through the model. One cell where
    /// none are left.
    pub seen: Buf<f32>,
}

impl<'a> Judge<'a> {
    pub fn new(
        device: &Device,
        options: &Options,
        plan: &Plan,
        behind: Option<&'a Model>,
        of: &Population,
    ) -> Result<Self> {
        let looks = plan.step.contains(&Pass::Look);
        let seen = device.empty("rows that a twist sees", if looks { of.particles() * of.dim } else { 1 })?;
        let leans = options.leans();
        let task = options.twisting.as_ref().map(|twisting| &twisting.task);
        let by = match (behind, task) {
            (Some(Model::Classifier(net)), Some(Task::Classifier { class, scale })) => {
                let of_class = Class { class: *class, classes: net.classes(), factor: *scale };
                let settings = Settings {
                    back: leans,
                    most: of.particles(),
                    recompute: options.recompute,
                    ..Settings::default()
                };
                By::Classifier(Box::new(Classes::new(device, net, of_class, settings)?))
            }
            (Some(Model::Likelihood(own)), _) => By::Own(&**own),
            _ => By::Nobody,
        };
        Ok(Self { by, seen })
    }

    /// Whether the host tells it each level.
    pub fn is_told(&self) -> bool {
        matches!(self.by, By::Own(_))
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        match &self.by {
            By::Classifier(own) => own.network.bytes() + own.logits.bytes() + own.back.bytes(),
            _ => 0,
        }
    }

    /// What it has to move; nothing is known of the caller's own.
    pub fn work(&self, count: usize) -> Work {
        match &self.by {
            By::Classifier(own) => {
                let cells = 4 * (count * own.network.dims()[0]) as u64;
                Work { read: cells, written: cells + 4 * count as u64 }
            }
            _ => Work::default(),
        }
    }
}

impl Classes {
    fn new(device: &Device, net: &ClassifierNet, of: Class, settings: Settings) -> Result<Self> {
        let (count, leans) = (settings.most, settings.back);
        let only = Level { time: 0.0, rate: 0.0, class: 0, c: [1.0, 0.0, 1.0] };
        let values = |what| device.empty(what, count * of.classes);
        Ok(Self {
            network: Network::new(device, &net.net.layers, &net.net.tensors, &[only], 1, settings)?,
            of,
            leans,
            logits: values("logits")?,
            back: values("gradients of logits")?,
        })
    }

    /// log p(class | D), and its gradient.
    fn launch(&self, device: &Device, seen: &Buf<f32>, count: usize, out: [At; 2]) -> Result<()> {
        let ([slope, value], level) = (out, Number::Given(0));
        self.network.launch(device, seen, &self.logits, 0, count, level)?;
        likelihood(device, &self.logits, &self.back, (value.rows, value.first), self.of, count)?;
        if !self.leans {
            return Ok(());
        }
        let (rows, cotangent) = (seen.into(), (&self.back).into());
        let of = Back { rows, cotangent, out: (&self.logits).into(), slopes: slope };
        Ok(self.network.vjp(device, of, count, level)?)
    }
}

impl Run<'_> {
    /// Launches what comes between the scores and the weights.
    pub(super) fn between(
        &self,
        pass: Pass,
        before: &Carried,
        after: &Carried,
        (step, level): (Option<usize>, Option<usize>),
    ) -> Result<()> {
        match pass {
            Pass::LookFirst => self.look(Stage::LookFirst, after, before, step),
            Pass::Look => self.look(Stage::Look, before, after, step),
            Pass::Judge => self.judge(level),
            Pass::Back(model) => self.back(model, level.map_or(Number::Kept(&after.clock), Number::Given)),
            _ => Ok(()),
        }
    }

    fn look(&self, stage: Stage, before: &Carried, after: &Carried, step: Option<usize>) -> Result<()> {
        let mut launch = self.launch_of(stage, before, after);
        launch.rows = &self.judge.seen;
        Ok(launch.launch_named(self.device, self.options.kernel(), step)?)
    }

    /// Cells of all coordinates, and where a likelihood outside writes its gradients: it is the last to write.
    fn slopes(&self) -> (usize, usize) {
        let cells = self.of.particles() * self.of.dim;
        (cells, self.feed.params.len().saturating_sub(cells + self.of.particles()))
    }

    /// The likelihood outside judges the states that the twist left.
    fn judge(&self, level: Option<usize>) -> Result<()> {
        let (cells, slope) = self.slopes();
        let (seen, out, count) = (&self.judge.seen, &self.feed.params, self.of.particles());
        let at = |first: usize| At { rows: out, first };
        match (&self.judge.by, level) {
            (By::Nobody, _) => Ok(()),
            (By::Classifier(own), _) => own.launch(self.device, seen, count, [at(slope), at(slope + cells)]),
            (By::Own(own), Some(level)) => {
                let noise = self.levels[level];
                let variance = twist::of(self.options, self.models)
                    .map_or(0.0, |(twisting, data)| twisting.doubt(&self.levels, level, data).variance);
                let seen = Seen { denoised: seen, count, noise, variance };
                own.log_psi(self.device, seen, out, slope + cells, slope)
            }
            (By::Own(_), None) => Err(Error::input("likelihood", "a level on the device", "one on the host")),
        }
    }

    /// The gradient of log psi with respect to the denoised states goes back through network `model`.
    fn back(&self, model: usize, level: Number) -> Result<()> {
        let (cells, slope) = self.slopes();
        let cotangent = match self.judge.by {
            By::Nobody => At::from(&self.judge.seen),
            _ => At { rows: &self.feed.params, first: slope },
        };
        let (rows, out, count) = (&self.rows, &self.feed.params, self.of.particles());
        match (&self.models[model], self.networks.get(&model), level) {
            (Model::Foreign(own), _, Number::Given(level)) => {
                let w = (cotangent.rows, cotangent.first);
                own.back(self.device, rows, count, self.levels[level], w, (out, cells))
            }
            (_, Some(Uploaded::Layers(field)), level) => {
                let slopes = model::told_cell(self.models, self.options, self.models.len(), cells);
                field.back(self.device, rows, cotangent, out, [0, slopes], count, level)
            }
            (model, ..) => {
                Err(Error::input("model of tds", model.describe(), "one with a way back, told its level"))
            }
        }
    }
}
