//! What a step is told of the models.

use crate::device::Buf;
use crate::models::Kind;

/// The numbers of the models, see [`crate::models::Models`].
#[derive(Debug, Clone)]
pub struct Feed {
    /// Families of the models; empty where the scores come from outside.
    pub kinds: Vec<Kind>,
    /// Models combined.
    pub count: usize,
    /// Static numbers, or the rows a model outside wrote.
    pub params: Buf<f32>,
    /// A row a level.
    pub levels: Buf<f32>,
    /// Offsets.
    pub map: Buf<u32>,
    /// The method asks for the Laplacians of log-densities too.
    pub laplacians: bool,
    /// Turns of the loops of one evaluation of all models at one particle.
    pub turns: u64,
}

impl Feed {
    /// Models whose scores come from outside.
    pub(crate) fn outside(&self) -> usize {
        let rows =
            self.kinds.iter().filter(|kind| matches!(kind, Kind::Rows | Kind::Halves | Kind::Told)).count();
        if self.kinds.is_empty() { self.count } else { rows }
    }

    /// Models of which no log-density is known.
    pub(super) fn silent(&self) -> usize {
        let rows = self.kinds.iter().filter(|kind| matches!(kind, Kind::Rows | Kind::Halves)).count();
        if self.kinds.is_empty() { self.count } else { rows }
    }

    /// Models that look at the point.
    pub(super) fn looking(&self) -> usize {
        self.count - self.outside()
    }
}
