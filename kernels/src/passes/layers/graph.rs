//! What a device computes of a list of layers: those that read the state.

use super::join;
use crate::error::Result;
use crate::models::layers::{Activation, Extent, Layers};

/// A convolution and what it reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvOf {
    /// The layer.
    pub layer: usize,
    /// What it reads, before it is upsampled.
    pub from: Extent,
    /// Taps of a row.
    pub taps: usize,
    /// Each pixel is read four times.
    pub upsampled: bool,
}

/// Numbers of a table that hold for all particles, made on the host in f64 of layers that do not read the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The bias of a convolution plus a vector.
    Bias {
        /// The convolution.
        conv: usize,
        /// The layer that makes the vector.
        shift: usize,
    },
    /// Scale and shift of the channels of a norm, modulated by a vector.
    Affine {
        /// The norm.
        norm: usize,
        /// The layer that makes the vector.
        by: Option<usize>,
    },
    /// Scale 1, and a vector to shift by.
    Shift(usize),
    /// Scale and shift by a vector (s, b): 1 + s and b.
    Modulate(usize),
    /// Scale 1/t, shift 0, of so many channels.
    OverTime(usize),
    /// No scale, and what a layer makes.
    Value(usize),
}

impl Entry {
    /// Whether it is the same at every level.
    pub fn constant(self) -> bool {
        matches!(self, Entry::Affine { by: None, .. })
    }
}

/// What a node does to the values that it reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Do {
    /// Is the state; reads nothing.
    State,
    /// scale (W x + bias + other) + shift.
    Conv {
        /// Which of the convolutions.
        conv: usize,
        /// The entry that is its bias, if it is not its own.
        bias: Option<usize>,
        /// A second value is added.
        other: bool,
        /// Multiplies.
        scale: f64,
        /// Is added.
        shift: f64,
    },
    /// Norm, affine map, activation.
    Norm {
        /// Groups.
        groups: usize,
        /// Added to the variance.
        eps: f64,
        /// The entry of scales and shifts.
        affine: usize,
        /// What follows.
        act: Option<Activation>,
    },
    /// An activation.
    Act(Activation),
    /// scale x + shift.
    Affine(f64, f64),
    /// Scale and shift of an entry.
    Rows(usize),
    /// An entry itself; reads nothing.
    Fill(usize),
    /// x + y.
    Add,
    /// A vector added to the channels.
    Shift,
    /// (1 + s) x + b.
    Modulate,
    /// Channels of x, then of y.
    Concat,
    /// Each pixel four times.
    Upsample,
    /// The mean of each channel, or of each row of pixels.
    Pool,
    /// Attention of so many heads.
    Attention(usize),
    /// Which of the bumps, of the distances of all pairs.
    Radial(usize),
    /// Vectors of pairs and of their atoms.
    PairAdd,
    /// Vectors of pairs, summed by atoms.
    PairSum,
    /// sum of w (x_i - x_j).
    PairMove,
    /// What frames see of each other, and which of the tables of places.
    FrameViews(usize),
    /// Numbers of frames, turned by them.
    FrameTurn,
}

/// What one launch computes.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What.
    pub what: Do,
    /// Nodes read.
    pub from: Vec<usize>,
    /// What is written.
    pub extent: Extent,
}

/// What a device computes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// In order; the last one is the output.
    pub nodes: Vec<Node>,
    /// The convolutions.
    pub convs: Vec<ConvOf>,
    /// The layers that make bumps of distances.
    pub radials: Vec<usize>,
    /// The layers that show frames to each other.
    pub views: Vec<usize>,
    /// The numbers from the host.
    pub entries: Vec<Entry>,
}

impl Graph {
    /// Of `layers`; where not `fused`, a launch does what one layer does.
    pub fn new(layers: &Layers, fused: bool) -> Result<Self> {
        join::joined(layers, fused)
    }

    /// Multiplications of a particle in node `at`, if it is a convolution.
    pub fn products(&self, at: usize) -> u64 {
        match self.nodes[at].what {
            Do::Conv { conv, .. } => {
                let of = &self.convs[conv];
                // Of an upsampled value 4 taps of 9 differ.
                let taps = if of.upsampled { 4 } else { of.taps * of.taps };
                (self.nodes[at].extent.numbers() * of.from.channels * taps) as u64
            }
            _ => 0,
        }
    }

    /// The extent of the state.
    pub fn state(&self) -> Option<Extent> {
        self.nodes.iter().find(|node| node.what == Do::State).map(|node| node.extent)
    }
}
