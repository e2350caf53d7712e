//! The launches that answer a question, as data: what each reads and writes, and in which slots values live.

use super::graph::Graph;
use super::kernel_point::{By, Form};
use crate::models::layers::Extent;

/// A value of a plan, written by one launch.
pub type Value = usize;

/// What is asked of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Asked {
    /// Its output.
    Output,
    /// And the gradient of <cotangent, output> with respect to the state.
    Back,
    /// And how the output changes along a tangent of the state.
    Along,
    /// The same, with the time moving too.
    AlongTime,
}

impl Asked {
    /// All of them.
    pub const ALL: [Asked; 4] = [Asked::Output, Asked::Back, Asked::Along, Asked::AlongTime];
}

/// Rows that come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// The state, times c_in.
    State,
    /// The cotangent of the output, times c_f.
    Cotangent,
    /// The tangent of the state, times c_in.
    Tangent,
}

/// Rows that go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// c_x x + c_f F.
    Output,
    /// c_x u + c_in J' (c_f u).
    Slope,
    /// c_x v + c_f J (c_in v).
    Tangent,
}

/// Where a table row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Which entry.
    pub entry: usize,
    /// How it changes with the time, in place of itself.
    pub moving: bool,
}

/// One number at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Of the value.
    pub extent: Extent,
    /// What is made of a number.
    pub form: Form,
    /// What scales and shifts it.
    pub by: By,
    /// The row, where it is one.
    pub rows: Option<Rows>,
    /// The constant scale.
    pub scale: f64,
    /// The constant shift.
    pub shift: f64,
    /// A value is added; it comes last of those read.
    pub other: bool,
}

/// What is done with pairs of atoms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfPairs {
    /// State: these bumps of all distances.
    Radial(usize),
    /// State, slope of the bumps: numbers of pairs by which [`OfPairs::Move`] makes the state's slope.
    RadialBack(usize),
    /// State, its tangent: the tangents of the bumps.
    RadialAlong(usize),
    /// State, numbers of pairs: sum of w (x_i - x_j).
    Move,
    /// Two states: <x_i - x_j, y_i - y_j>.
    Gaps,
    /// Vectors of atoms: those of both atoms of a pair.
    Both,
    /// Vectors of pairs: the sums by atoms.
    Sums,
}

/// A launch over atoms or pairs of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pairs {
    /// What.
    pub what: OfPairs,
    /// Atoms.
    pub atoms: usize,
    /// Coordinates of an atom, in a state.
    pub space: usize,
    /// Numbers of a pair or an atom.
    pub channels: usize,
    /// A value is added; it comes last of those read.
    pub other: bool,
}

/// What is done with frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfFrames {
    /// State: what every frame sees of every other, and this table of places.
    Views(usize),
    /// State, its tangent: how that changes.
    ViewsAlong(usize),
    /// State, slope of what is seen: the slope of the state.
    ViewsBack,
    /// State, six numbers of each: the last three turned.
    Turn,
    /// State, six numbers of each, their tangents.
    TurnAlong,
    /// State, six numbers of each, slope: the slopes of both.
    TurnBack,
}

/// A launch over frames or pairs of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// What.
    pub what: OfFrames,
    /// Frames.
    pub frames: usize,
    /// Numbers of a place.
    pub places: usize,
}

/// What a launch does with the values it reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// Rows into a value.
    Take(Given),
    /// A value into rows.
    Give(Wanted),
    /// Node `node`, a convolution: forwards, or with `moves` along tangents.
    Conv {
        /// Which.
        node: usize,
        /// Of tangents: no bias but one that changes with the time, and no shift.
        moves: Option<Rows>,
        /// Of tangents.
        tangent: bool,
    },
    /// Its transpose.
    ConvBack {
        /// Which.
        node: usize,
        /// A value is added.
        other: bool,
    },
    /// Node `node`, a norm.
    Norm(usize),
    /// x, slope, and perhaps what is added.
    NormBack {
        /// Which.
        node: usize,
        /// A value is added.
        other: bool,
    },
    /// x, its tangent.
    NormAlong {
        /// Which.
        node: usize,
        /// How its affine map changes.
        moves: bool,
    },
    /// One number at a time.
    Point(Point),
    /// The numbers of one value, then of another.
    Join,
    /// Some numbers of a value.
    Part {
        /// The first.
        first: usize,
        /// A value is added.
        other: bool,
    },
    /// Each pixel of `from` four times.
    Upsample {
        /// The smaller value.
        from: Extent,
    },
    /// The sums of four pixels.
    UpsampleBack {
        /// The smaller value.
        to: Extent,
        /// A value is added.
        other: bool,
    },
    /// The sums of the channels of a value, times `scale`; with `both`, of its product with another before them.
    Sums {
        /// Of what is summed.
        extent: Extent,
        /// Multiplies.
        scale: f64,
        /// See above.
        both: bool,
    },
    /// Attention: q, k, v.
    Attend(usize),
    /// q, k, v, slope.
    AttendSums(usize),
    /// q, k, v, slope, sums: the slope of q.
    AttendQueries(usize),
    /// q, k, v, slope, sums: the slopes of k and v.
    AttendKeys(usize),
    /// q, k, v, their tangents, the value.
    AttendAlong(usize),
    /// Pairs of atoms.
    Pairs(Pairs),
    /// Frames.
    Frames(Frames),
}

/// One launch.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What it does.
    pub what: What,
    /// The values it reads.
    pub reads: Vec<Value>,
    /// The values it writes.
    pub writes: Vec<Value>,
}

/// The launches of a micro-batch under one condition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In order.
    pub steps: Vec<Step>,
    /// Numbers of each value.
    pub numbers: Vec<usize>,
    /// The slot of each value.
    pub at: Vec<usize>,
    /// Numbers that each slot holds, the largest first.
    pub slots: Vec<usize>,
}

impl Plan {
    /// Numbers of a particle that are held at once.
    pub fn held(&self) -> usize {
        self.slots.iter().sum()
    }

    /// The largest sum of the numbers of values that are needed at once: no choice of slots holds fewer.
    pub fn needed(&self) -> usize {
        let last = super::slots::last_uses(self);
        let mut live = 0;
        let mut most = 0;
        for (at, step) in self.steps.iter().enumerate() {
            live += step.writes.iter().map(|v| self.numbers[*v]).sum::<usize>();
            most = most.max(live);
            let mut ends: Vec<Value> = step.reads.iter().chain(&step.writes).copied().collect();
            ends.sort_unstable();
            ends.dedup();
            live -= ends.iter().filter(|v| last[**v] == at).map(|v| self.numbers[*v]).sum::<usize>();
        }
        most
    }

    /// Multiplications of a particle in products: of convolutions and of attention.
    pub fn products(&self, graph: &Graph) -> u64 {
        self.steps.iter().map(|step| step.products(graph)).sum()
    }
}

impl Step {
    /// A name: what it does, to which extent.
    pub fn name(&self, graph: &Graph) -> String {
        let node = |node: usize, what: &str| {
            let node = &graph.nodes[node];
            format!("{what} {}", node.extent)
        };
        let conv = |at: usize, what: &str| match graph.nodes[at].what {
            super::graph::Do::Conv { conv, other, .. } => {
                let of = &graph.convs[conv];
                let after = if other { " + other" } else { "" };
                let larger = if of.upsampled { "upsampled " } else { "" };
                format!("{what} {larger}{} -> {}{after}", of.from, graph.nodes[at].extent)
            }
            _ => node(at, what),
        };
        match self.what {
            What::Take(given) => format!("take {given:?}").to_lowercase(),
            What::Give(wanted) => format!("give {wanted:?}").to_lowercase(),
            What::Conv { node, tangent: false, .. } => conv(node, "conv"),
            What::Conv { node, tangent: true, .. } => conv(node, "conv along"),
            What::ConvBack { node, .. } => conv(node, "conv back"),
            What::Norm(at) => node(at, "norm"),
            What::NormBack { node: at, .. } => node(at, "norm back"),
            What::NormAlong { node: at, .. } => node(at, "norm along"),
            What::Point(point) => {
                format!("{:?} by {:?} {}", point.form, point.by, point.extent).to_lowercase()
            }
            What::Join => "join".into(),
            What::Part { .. } => "part".into(),
            What::Upsample { from } => format!("upsample {from}"),
            What::UpsampleBack { to, .. } => format!("upsample back {to}"),
            What::Sums { extent, .. } => format!("sums {extent}"),
            What::Attend(at) => node(at, "attend"),
            What::AttendSums(at) => node(at, "attend sums"),
            What::AttendQueries(at) => node(at, "attend back, queries"),
            What::AttendKeys(at) => node(at, "attend back, keys"),
            What::AttendAlong(at) => node(at, "attend along"),
            What::Pairs(pairs) => {
                let other = if pairs.other { " + other" } else { "" };
                format!("pairs of {}, {}: {:?}{other}", pairs.atoms, pairs.channels, pairs.what)
                    .to_lowercase()
            }
            What::Frames(of) => format!("{} frames: {:?}", of.frames, of.what).to_lowercase(),
        }
    }

    /// Multiplications of a particle in products.
    pub fn products(&self, graph: &Graph) -> u64 {
        let attention = |node: usize, times: u64| {
            let extent = graph.nodes[node].extent;
            times * (extent.channels * extent.pixels() * extent.pixels()) as u64
        };
        match self.what {
            What::Conv { node, .. } | What::ConvBack { node, .. } => graph.products(node),
            What::Attend(node) => attention(node, 2),
            What::AttendSums(node) => attention(node, 2),
            What::AttendQueries(node) => attention(node, 3),
            What::AttendKeys(node) => attention(node, 4),
            What::AttendAlong(node) => attention(node, 4),
            _ => 0,
        }
    }
}

/// A plan of a graph, to be printed: a launch a line, with the slots it reads and writes.
pub struct Printed<'a>(pub &'a Plan, pub &'a Graph);

impl std::fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Printed(plan, graph) = self;
        let slots = |values: &[Value]| {
            let all: Vec<String> = values.iter().map(|v| plan.at[*v].to_string()).collect();
            all.join(" ")
        };
        for step in &plan.steps {
            writeln!(f, "{:<52} {:>8} -> {}", step.name(graph), slots(&step.reads), slots(&step.writes))?;
        }
        write!(
            f,
            "{} launches, {} numbers a particle in {} slots, {} at once",
            plan.steps.len(),
            plan.held(),
            plan.slots.len(),
            plan.needed()
        )
    }
}
