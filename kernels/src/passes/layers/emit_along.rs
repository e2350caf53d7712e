//! Along: tangents beside values, from the state, and from the time where it moves, to the output.

use super::emit::{Emit, same};
use super::graph::{Do, Graph};
use super::kernel_point::{By, Form};
use super::plan::{Given, OfFrames, OfPairs, Plan, Point, Rows, Value, Wanted, What};
use crate::models::layers::Extent;

impl Emit<'_> {
    /// The tangent of node `at`, of values and tangents.
    fn along(
        &mut self,
        at: usize,
        values: &[Option<Value>],
        tangents: &[Option<Value>],
        with_time: bool,
    ) -> Value {
        let graph = self.graph;
        let node = &graph.nodes[at];
        let from = node.from.as_slice();
        let value = |f: usize| values[from[f]].expect("a value before its tangent");
        let moved: Vec<Value> =
            from.iter().map(|f| tangents[*f].expect("a tangent before it is read")).collect();
        let (extent, numbers) = (node.extent, node.extent.numbers());
        let moving = |entry: usize| {
            let moves = with_time && !graph.entries[entry].constant();
            moves.then_some(Rows { entry, moving: true })
        };
        match node.what {
            Do::State => self.take(Given::Tangent, numbers),
            Do::Conv { bias, .. } => self.step(
                What::Conv { node: at, moves: bias.and_then(moving), tangent: true },
                moved,
                numbers,
            ),
            Do::Norm { affine, .. } => {
                let moves = moving(affine).is_some();
                self.step(What::NormAlong { node: at, moves }, vec![value(0), moved[0]], numbers)
            }
            Do::Act(kind) => {
                self.point(Point { form: Form::Slope(kind), ..same(extent) }, vec![value(0), moved[0]])
            }
            Do::Affine(scale, _) => self.point(Point { scale, ..same(extent) }, moved),
            Do::Rows(entry) => {
                let scaled =
                    Point { by: By::RowScale, rows: Some(Rows { entry, moving: false }), ..same(extent) };
                match moving(entry) {
                    None => self.point(scaled, moved),
                    rows => {
                        let more = self.point(Point { by: By::Row, rows, ..same(extent) }, vec![value(0)]);
                        self.point(Point { other: true, ..scaled }, vec![moved[0], more])
                    }
                }
            }
            Do::Fill(entry) => match moving(entry) {
                Some(rows) => self.fill(numbers, rows),
                None => {
                    let nothing = Point { form: Form::Nothing, ..same(Extent::vector(numbers)) };
                    self.point(nothing, Vec::new())
                }
            },
            Do::Add => self.sum(moved[0], moved[1]),
            Do::Shift => self.point(Point { by: By::Shift, ..same(extent) }, moved),
            Do::Modulate => {
                let by = Point { by: By::Both, scale: 0.0, ..same(extent) };
                let more = self.point(by, vec![value(0), moved[1]]);
                let scaled = Point { by: By::Scale, other: true, ..same(extent) };
                self.point(scaled, vec![moved[0], value(1), more])
            }
            Do::Concat => self.step(What::Join, moved, numbers),
            Do::Upsample => {
                let from = graph.nodes[from[0]].extent;
                self.step(What::Upsample { from }, moved, numbers)
            }
            Do::Pool => self.pool(self.pooled(at), moved),
            Do::Attention(_) => {
                let mut reads = vec![value(0), value(1), value(2)];
                reads.extend(moved);
                reads.push(values[at].expect("the value before its tangent"));
                self.step(What::AttendAlong(at), reads, numbers)
            }
            Do::Radial(bumps) => self.pairs(OfPairs::RadialAlong(bumps), at, vec![value(0), moved[0]], None),
            Do::PairAdd => self.pairs(OfPairs::Both, at, vec![moved[1]], Some(moved[0])),
            Do::PairSum => self.pairs(OfPairs::Sums, at, moved, None),
            Do::FrameViews(places) => {
                self.frames(OfFrames::ViewsAlong(places), at, vec![value(0), moved[0]])[0]
            }
            Do::FrameTurn => {
                self.frames(OfFrames::TurnAlong, at, vec![value(0), value(1), moved[0], moved[1]])[0]
            }
            Do::PairMove => {
                let first = self.pairs(OfPairs::Move, at, vec![moved[0], value(1)], None);
                self.pairs(OfPairs::Move, at, vec![value(0), moved[1]], Some(first))
            }
        }
    }
}

/// The launches of the output and its tangent.
pub(super) fn along(graph: &Graph, with_time: bool) -> Plan {
    let mut emit = Emit::new(graph);
    let mut values = vec![None; graph.nodes.len()];
    let mut tangents = vec![None; graph.nodes.len()];
    for at in 0..graph.nodes.len() {
        values[at] = Some(emit.forward(at, &values));
        tangents[at] = Some(emit.along(at, &values, &tangents, with_time));
    }
    if let (Some(Some(value)), Some(Some(tangent))) = (values.last(), tangents.last()) {
        emit.give(Wanted::Output, *value);
        emit.give(Wanted::Tangent, *tangent);
    }
    emit.done()
}
