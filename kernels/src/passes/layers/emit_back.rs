//! The way back: slopes from the output to the state, each node's from what it read, which is kept or computed again.

use super::emit::{Emit, same};
use super::graph::{Do, Graph};
use super::kernel_point::{By, Form};
use super::plan::{Given, OfFrames, OfPairs, Plan, Point, Rows, Value, Wanted, What};

impl Emit<'_> {
    /// Adds what `make` launches to the slope of node `to`; it is handed what is there already.
    fn contribute(
        &mut self,
        slopes: &mut [Option<Value>],
        to: usize,
        make: impl FnOnce(&mut Self, Option<Value>) -> Value,
    ) {
        if let Do::Fill(_) = self.graph.nodes[to].what {
            return;
        }
        let there = slopes[to].take();
        slopes[to] = Some(make(self, there));
    }

    /// Adds a slope that is there.
    fn pass(&mut self, slopes: &mut [Option<Value>], to: usize, slope: Value) {
        self.contribute(slopes, to, |emit, there| match there {
            Some(there) => emit.sum(slope, there),
            None => slope,
        });
    }

    /// A point launch that adds to a slope.
    fn contribute_point(
        &mut self,
        slopes: &mut [Option<Value>],
        to: usize,
        point: Point,
        mut reads: Vec<Value>,
    ) {
        self.contribute(slopes, to, |emit, there| {
            reads.extend(there);
            emit.point(Point { other: there.is_some(), ..point }, reads)
        });
    }

    /// What the slope of node `at` makes of the slopes of those it reads; `values` holds what [`needs`] names.
    pub fn back(&mut self, at: usize, values: &[Option<Value>], slope: Value, slopes: &mut [Option<Value>]) {
        let graph = self.graph;
        let node = &graph.nodes[at];
        let from = node.from.as_slice();
        let value = |f: usize| values[from[f]].expect("a value that the way back needs");
        let extent = node.extent;
        match node.what {
            Do::State | Do::Fill(_) => {}
            Do::Conv { other, scale, .. } => {
                let scaled = match scale == 1.0 {
                    true => slope,
                    false => self.point(Point { scale, ..same(extent) }, vec![slope]),
                };
                let numbers = graph.nodes[from[0]].extent.numbers();
                self.contribute(slopes, from[0], |emit, there| {
                    let reads = [Some(scaled), there].into_iter().flatten().collect();
                    emit.step(What::ConvBack { node: at, other: there.is_some() }, reads, numbers)
                });
                if other {
                    self.pass(slopes, from[1], scaled);
                }
            }
            Do::Norm { .. } => {
                let x = value(0);
                self.contribute(slopes, from[0], |emit, there| {
                    let reads = [Some(x), Some(slope), there].into_iter().flatten().collect();
                    emit.step(What::NormBack { node: at, other: there.is_some() }, reads, extent.numbers())
                });
            }
            Do::Act(kind) => {
                let point = Point { form: Form::Slope(kind), ..same(extent) };
                self.contribute_point(slopes, from[0], point, vec![value(0), slope]);
            }
            Do::Affine(scale, _) => {
                self.contribute_point(slopes, from[0], Point { scale, ..same(extent) }, vec![slope]);
            }
            Do::Rows(entry) => {
                let rows = Some(Rows { entry, moving: false });
                let point = Point { by: By::RowScale, rows, ..same(extent) };
                self.contribute_point(slopes, from[0], point, vec![slope]);
            }
            Do::Add => {
                self.pass(slopes, from[0], slope);
                self.pass(slopes, from[1], slope);
            }
            Do::Shift => {
                self.pass(slopes, from[0], slope);
                let sums =
                    self.step(What::Sums { extent, scale: 1.0, both: false }, vec![slope], extent.channels);
                self.pass(slopes, from[1], sums);
            }
            Do::Modulate => {
                let (x, v) = (value(0), value(1));
                self.contribute_point(
                    slopes,
                    from[0],
                    Point { by: By::Scale, ..same(extent) },
                    vec![slope, v],
                );
                let sums = self.step(
                    What::Sums { extent, scale: 1.0, both: true },
                    vec![slope, x],
                    2 * extent.channels,
                );
                self.pass(slopes, from[1], sums);
            }
            Do::Concat => {
                let mut first = 0;
                for f in from {
                    let numbers = graph.nodes[*f].extent.numbers();
                    self.contribute(slopes, *f, |emit, there| {
                        let reads = [Some(slope), there].into_iter().flatten().collect();
                        emit.step(What::Part { first, other: there.is_some() }, reads, numbers)
                    });
                    first += numbers;
                }
            }
            Do::Upsample => {
                let to = graph.nodes[from[0]].extent;
                self.contribute(slopes, from[0], |emit, there| {
                    let reads = [Some(slope), there].into_iter().flatten().collect();
                    emit.step(What::UpsampleBack { to, other: there.is_some() }, reads, to.numbers())
                });
            }
            Do::Pool => {
                let to = self.pooled(at);
                let scale = 1.0 / to.pixels() as f64;
                let each = self.point(Point { scale, ..same(extent) }, vec![slope]);
                // Every pixel of a channel is given the same, which stands where a vector that shifts does.
                let spread = Point { form: Form::Nothing, by: By::Shift, ..same(to) };
                self.contribute_point(slopes, from[0], spread, vec![each, each]);
            }
            Do::Attention(heads) => {
                let mut reads = vec![value(0), value(1), value(2), slope];
                let (n, rows) = (extent.numbers(), 2 * heads * extent.pixels());
                reads.push(self.step(What::AttendSums(at), reads.clone(), rows));
                let q = self.step(What::AttendQueries(at), reads.clone(), n);
                let others = self.step_of(What::AttendKeys(at), reads, &[n, n]);
                for (f, slope) in from.iter().zip([q, others[0], others[1]]) {
                    self.pass(slopes, *f, slope);
                }
            }
            Do::Radial(bumps) => {
                let x = value(0);
                let by = self.pairs(OfPairs::RadialBack(bumps), at, vec![x, slope], None);
                self.contribute(slopes, from[0], |emit, there| {
                    emit.pairs(OfPairs::Move, at, vec![x, by], there)
                });
            }
            Do::PairAdd => {
                self.pass(slopes, from[0], slope);
                self.contribute(slopes, from[1], |emit, there| {
                    emit.pairs(OfPairs::Sums, at, vec![slope], there)
                });
            }
            Do::PairSum => self
                .contribute(slopes, from[0], |emit, there| emit.pairs(OfPairs::Both, at, vec![slope], there)),
            Do::PairMove => {
                let (x, w) = (value(0), value(1));
                self.contribute(slopes, from[0], |emit, there| {
                    emit.pairs(OfPairs::Move, at, vec![slope, w], there)
                });
                self.contribute(slopes, from[1], |emit, there| {
                    emit.pairs(OfPairs::Gaps, at, vec![x, slope], there)
                });
            }
            Do::FrameViews(_) => {
                let back = self.frames(OfFrames::ViewsBack, at, vec![value(0), slope]);
                self.pass(slopes, from[0], back[0]);
            }
            Do::FrameTurn => {
                let back = self.frames(OfFrames::TurnBack, at, vec![value(0), value(1), slope]);
                from.iter().zip(back).for_each(|(f, slope)| self.pass(slopes, *f, slope));
            }
        }
    }
}

/// The nodes whose values the way back of node `at` reads.
fn needs(graph: &Graph, at: usize) -> &[usize] {
    let node = &graph.nodes[at];
    match node.what {
        Do::Norm { .. } | Do::Act(_) | Do::Modulate | Do::Attention(_) => &node.from,
        Do::Radial(_) | Do::PairMove | Do::FrameViews(_) | Do::FrameTurn => &node.from,
        _ => &[],
    }
}

/// The launches of output and gradient. Of the values, those are kept that are read beyond the border behind them
/// (`borders`: how many nodes are before each, ascending); on the way back the others are computed again, from border to
/// border, by the same launches. Without borders all are kept that the way back reads.
pub(super) fn back(graph: &Graph, borders: &[usize]) -> Plan {
    let count = graph.nodes.len();
    let mut emit = Emit::new(graph);
    let mut values = vec![None; count];
    for at in 0..count {
        values[at] = Some(emit.forward(at, &values));
    }
    let output = count - 1;
    emit.give(Wanted::Output, values[output].expect("the output"));
    let mut slopes = vec![None; count];
    slopes[output] = Some(emit.take(Given::Cotangent, graph.nodes[output].extent.numbers()));
    let part = |node: usize| borders.iter().filter(|border| **border <= node).count();
    let parts = part(output);
    let mut crosses = vec![false; count];
    for (at, node) in graph.nodes.iter().enumerate() {
        node.from.iter().filter(|f| part(**f) < part(at)).for_each(|f| crosses[*f] = true);
    }
    for segment in (0..=parts).rev() {
        let own: Vec<usize> = (0..count).filter(|at| part(*at) == segment).collect();
        if segment < parts {
            let mut wanted = vec![false; count];
            own.iter().flat_map(|at| needs(graph, *at)).for_each(|f| wanted[*f] = true);
            for at in own.iter().rev().filter(|at| !crosses[**at]) {
                if wanted[*at] {
                    graph.nodes[*at].from.iter().for_each(|f| wanted[*f] = true);
                }
            }
            for at in own.iter().filter(|at| wanted[**at] && !crosses[**at]) {
                values[*at] = Some(emit.forward(*at, &values));
            }
        }
        for at in own.into_iter().rev() {
            if let Some(slope) = slopes[at] {
                emit.back(at, &values, slope, &mut slopes);
            }
        }
    }
    let state = graph.nodes.iter().position(|node| node.what == Do::State);
    if let Some(slope) = state.and_then(|state| slopes[state]) {
        emit.give(Wanted::Slope, slope);
    }
    emit.done()
}

/// Borders for [`back`]: those of the plan that holds the fewest numbers, of every, every second ... place where few
/// numbers pass from the nodes before to those behind.
pub(super) fn borders(graph: &Graph) -> Vec<usize> {
    let count = graph.nodes.len();
    let passing = |border: usize| -> usize {
        let read_behind = |f: usize| graph.nodes[border..].iter().any(|node| node.from.contains(&f));
        (0..border).filter(|f| read_behind(*f)).map(|f| graph.nodes[f].extent.numbers()).sum()
    };
    let all: Vec<usize> =
        (0..=count).map(|border| if border == 0 { usize::MAX } else { passing(border) }).collect();
    let narrow = |at: &usize| all[*at] <= all[at - 1] && all[*at] <= all[at + 1];
    let places: Vec<usize> = (2..count).filter(narrow).collect();
    let every = |step: usize| -> Vec<usize> { places.iter().copied().skip(step - 1).step_by(step).collect() };
    let choices = [Vec::new()].into_iter().chain((1..=8).map(every));
    choices.min_by_key(|borders| (back(graph, borders).held(), borders.len())).unwrap_or_default()
}
