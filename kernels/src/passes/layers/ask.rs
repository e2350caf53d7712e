//! What is asked of a network, and what it is uploaded for.

use crate::device::Buf;
use crate::passes::Number;

/// A level of a run under a condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// The time as the network counts it.
    pub time: f64,
    /// How that changes where a tangent moves the time: for [`super::Network::jvp`].
    pub rate: f64,
    /// The row of the class table, in a network that has one.
    pub class: usize,
    /// (c_in, c_x, c_f).
    pub c: [f64; 3],
}

/// What a network is uploaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// [`super::Network::vjp`] will be asked.
    pub back: bool,
    /// [`super::Network::jvp`] will be asked.
    pub along: bool,
    /// Keep few values for the way back and compute the others again: the same bits in less memory.
    pub recompute: bool,
    /// Join layers where one launch does both.
    pub fused: bool,
    /// Particles of a micro-batch; else as many as suit the device.
    pub micro_batch: Option<usize>,
    /// The most particles that a launch is asked about.
    pub most: usize,
}

impl Default for Settings {
    /// The output alone.
    fn default() -> Self {
        Settings {
            back: false,
            along: false,
            recompute: false,
            fused: true,
            micro_batch: None,
            most: usize::MAX,
        }
    }
}

/// Rows in a buffer, from element `first` on.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// The buffer.
    pub rows: &'a Buf<f32>,
    /// The first element.
    pub first: usize,
}

impl<'a> From<&'a Buf<f32>> for At<'a> {
    fn from(rows: &'a Buf<f32>) -> Self {
        At { rows, first: 0 }
    }
}

/// What [`super::Network::vjp`] reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct Back<'a> {
    /// The state x, `[count, dim]`.
    pub rows: At<'a>,
    /// The cotangent u, `[conditions, count, outputs]`.
    pub cotangent: At<'a>,
    /// Becomes s = c_x x + c_f F(c_in x), `[conditions, count, outputs]`.
    pub out: At<'a>,
    /// Becomes the gradient of <u, s>, `[conditions, count, dim]`.
    pub slopes: At<'a>,
}

/// What [`super::Network::jvp`] reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct Along<'a> {
    /// The state x, `[count, dim]`.
    pub rows: At<'a>,
    /// Its tangent v, `[count, dim]`.
    pub tangent: At<'a>,
    /// Becomes s = c_x x + c_f F(c_in x), `[conditions, count, outputs]`.
    pub out: At<'a>,
    /// Becomes c_x v + c_f dF, where dF is how F changes along c_in v, and where `time` is set, as its time moves at the
    /// rate of the level; `[conditions, count, outputs]`.
    pub moved: At<'a>,
    /// The time moves.
    pub time: bool,
}

/// Rows of a question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Io<'a> {
    pub rows: At<'a>,
    /// The cotangent or the tangent.
    pub second: At<'a>,
    pub out: At<'a>,
    /// The slopes or the tangent of the output.
    pub result: At<'a>,
}

/// Particles that go through a plan at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch<'a> {
    pub level: Number<'a>,
    pub condition: usize,
    /// The first particle, of `all`.
    pub start: usize,
    pub all: usize,
    /// Particles, and lanes.
    pub count: usize,
    pub n: usize,
}
