//! From a graph to the launches that compute it: every node forwards.

use super::graph::{Do, Graph};
use super::kernel_point::{By, Form};
use super::plan::{Frames, Given, OfFrames, OfPairs, Pairs, Plan, Point, Rows, Step, Value, Wanted, What};
use crate::models::layers::{Extent, FRAME, SEEN};

/// A plan in the making.
pub(super) struct Emit<'a> {
    pub graph: &'a Graph,
    pub plan: Plan,
}

/// A point launch that does nothing yet.
pub(super) fn same(extent: Extent) -> Point {
    let (form, by) = (Form::Same, By::Constants);
    Point { extent, form, by, rows: None, scale: 1.0, shift: 0.0, other: false }
}

impl<'a> Emit<'a> {
    pub fn new(graph: &'a Graph) -> Self {
        Emit { graph, plan: Plan::default() }
    }

    /// A launch that writes one value.
    pub fn step(&mut self, what: What, reads: Vec<Value>, numbers: usize) -> Value {
        self.step_of(what, reads, &[numbers])[0]
    }

    /// A launch that writes as many values as `numbers` has.
    pub fn step_of(&mut self, what: What, reads: Vec<Value>, numbers: &[usize]) -> Vec<Value> {
        let first = self.plan.numbers.len();
        self.plan.numbers.extend(numbers);
        let writes: Vec<Value> = (first..first + numbers.len()).collect();
        self.plan.steps.push(Step { what, reads, writes: writes.clone() });
        writes
    }

    pub fn take(&mut self, given: Given, numbers: usize) -> Value {
        self.step(What::Take(given), Vec::new(), numbers)
    }

    pub fn give(&mut self, wanted: Wanted, value: Value) {
        self.step_of(What::Give(wanted), vec![value], &[]);
    }

    pub fn point(&mut self, point: Point, reads: Vec<Value>) -> Value {
        self.step(What::Point(point), reads, point.extent.numbers())
    }

    /// The sum of two values.
    pub fn sum(&mut self, x: Value, y: Value) -> Value {
        let extent = Extent::vector(self.plan.numbers[x]);
        self.point(Point { other: true, ..same(extent) }, vec![x, y])
    }

    /// Node `at`, of the values of those it reads.
    pub fn forward(&mut self, at: usize, values: &[Option<Value>]) -> Value {
        let graph = self.graph;
        let node = &graph.nodes[at];
        let reads: Vec<Value> =
            node.from.iter().map(|f| values[*f].expect("a value before it is read")).collect();
        let (numbers, extent) = (node.extent.numbers(), node.extent);
        let rows = |entry| Some(Rows { entry, moving: false });
        match node.what {
            Do::State => self.take(Given::State, numbers),
            Do::Conv { .. } => {
                self.step(What::Conv { node: at, moves: None, tangent: false }, reads, numbers)
            }
            Do::Norm { .. } => self.step(What::Norm(at), reads, numbers),
            Do::Act(kind) => self.point(Point { form: Form::Act(kind), ..same(extent) }, reads),
            Do::Affine(scale, shift) => self.point(Point { scale, shift, ..same(extent) }, reads),
            Do::Rows(entry) => self.point(Point { by: By::Row, rows: rows(entry), ..same(extent) }, reads),
            Do::Fill(entry) => self.fill(numbers, Rows { entry, moving: false }),
            Do::Add => self.sum(reads[0], reads[1]),
            Do::Shift => self.point(Point { by: By::Shift, ..same(extent) }, reads),
            Do::Modulate => self.point(Point { by: By::Both, ..same(extent) }, reads),
            Do::Concat => self.step(What::Join, reads, numbers),
            Do::Upsample => {
                let from = graph.nodes[node.from[0]].extent;
                self.step(What::Upsample { from }, reads, numbers)
            }
            Do::Pool => self.pool(self.pooled(at), reads),
            Do::Attention(_) => self.step(What::Attend(at), reads, numbers),
            Do::Radial(bumps) => self.pairs(OfPairs::Radial(bumps), at, reads, None),
            Do::PairAdd => self.pairs(OfPairs::Both, at, vec![reads[1]], Some(reads[0])),
            Do::PairSum => self.pairs(OfPairs::Sums, at, reads, None),
            Do::PairMove => self.pairs(OfPairs::Move, at, reads, None),
            Do::FrameViews(places) => self.frames(OfFrames::Views(places), at, reads)[0],
            Do::FrameTurn => self.frames(OfFrames::Turn, at, reads)[0],
        }
    }

    /// What node `at` takes means of the channels of: rows of pixels stand for channels where it leaves rows.
    pub fn pooled(&self, at: usize) -> Extent {
        let node = &self.graph.nodes[at];
        let from = self.graph.nodes[node.from[0]].extent;
        if node.extent.pixels() == 1 { from } else { from.rows() }
    }

    /// The means of the channels of a value of this extent.
    pub fn pool(&mut self, extent: Extent, reads: Vec<Value>) -> Value {
        let scale = 1.0 / extent.pixels() as f64;
        self.step(What::Sums { extent, scale, both: false }, reads, extent.channels)
    }

    /// A launch over the pairs of node `at`, with a value added.
    pub fn pairs(&mut self, what: OfPairs, at: usize, mut reads: Vec<Value>, added: Option<Value>) -> Value {
        let node = &self.graph.nodes[at];
        let read = |i: usize| self.graph.nodes[node.from[i]].extent;
        // The state where there is one; else the vectors of atoms are as long as there are atoms.
        let (state, channels) = match node.what {
            Do::Radial(_) => (read(0), node.extent.channels),
            Do::PairMove => (node.extent, 1),
            Do::PairAdd => (Extent { width: 1, ..read(1) }, node.extent.channels),
            _ => (Extent { width: 1, ..node.extent }, node.extent.channels),
        };
        let (atoms, space) = (state.height, state.width);
        let numbers = match what {
            OfPairs::Move => atoms * space,
            OfPairs::Sums => channels * atoms,
            OfPairs::RadialBack(_) | OfPairs::Gaps => atoms * (atoms - 1) / 2,
            OfPairs::Radial(_) | OfPairs::RadialAlong(_) | OfPairs::Both => {
                channels * (atoms * (atoms - 1) / 2)
            }
        };
        reads.extend(added);
        self.step(What::Pairs(Pairs { what, atoms, space, channels, other: added.is_some() }), reads, numbers)
    }

    /// A launch over the frames of node `at`.
    pub fn frames(&mut self, what: OfFrames, at: usize, reads: Vec<Value>) -> Vec<Value> {
        let extent = self.graph.nodes[at].extent;
        let frames = extent.height;
        let places = extent.channels.saturating_sub(SEEN);
        let numbers = match what {
            OfFrames::ViewsBack => vec![FRAME * frames],
            OfFrames::TurnBack => vec![FRAME * frames, 6 * frames],
            _ => vec![extent.numbers()],
        };
        self.step_of(What::Frames(Frames { what, frames, places }), reads, &numbers)
    }

    /// The numbers of an entry as a value.
    pub fn fill(&mut self, numbers: usize, rows: Rows) -> Value {
        let point = same(Extent::vector(numbers));
        self.point(Point { form: Form::Nothing, by: By::Row, rows: Some(rows), ..point }, Vec::new())
    }

    /// The plan with slots.
    pub fn done(mut self) -> Plan {
        super::slots::assign(&mut self.plan);
        self.plan
    }
}

/// The launches of the output.
pub(super) fn output(graph: &Graph) -> Plan {
    let mut emit = Emit::new(graph);
    let mut values = vec![None; graph.nodes.len()];
    for at in 0..graph.nodes.len() {
        values[at] = Some(emit.forward(at, &values));
    }
    if let Some(Some(last)) = values.last() {
        emit.give(Wanted::Output, *last);
    }
    emit.done()
}
