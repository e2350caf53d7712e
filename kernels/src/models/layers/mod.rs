//! A network as a list of layers: docs/maths.md (9.1).
//!
//! Each layer reads what earlier ones wrote and writes one value `[channels, height, width]`, row-major; a vector
//! is a value of one pixel, and a linear map a convolution of one tap. The last layer's value is the output. The
//! list is made on the host, where every extent is checked as the layer is put in; [`oracle`] runs it in f64:
//! forwards, a cotangent back to the state, and a tangent of the state and the time along.

pub mod oracle;
mod oracle_frames;
mod oracle_layers;
mod oracle_ops;
mod oracle_pairs;

pub use oracle_pairs::pairs as each_pair;

use crate::error::{Result, argument};
pub use crate::prims::activation::Activation;

/// Numbers of a frame: a quaternion (w, x, y, z), then a position.
pub(crate) const FRAME: usize = 7;
/// What is seen of a frame from another: where it is, and its three axes.
pub(crate) const SEEN: usize = 12;

/// The extent of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Channels, at least 1.
    pub channels: usize,
    /// Rows of pixels, at least 1.
    pub height: usize,
    /// Columns of pixels, at least 1.
    pub width: usize,
}

impl Extent {
    /// Of a vector.
    pub fn vector(channels: usize) -> Self {
        Extent { channels, height: 1, width: 1 }
    }

    /// Pixels.
    pub fn pixels(self) -> usize {
        self.height * self.width
    }

    /// Numbers.
    pub fn numbers(self) -> usize {
        self.channels * self.pixels()
    }

    /// Every row of pixels for a channel.
    pub fn rows(self) -> Self {
        Extent { channels: self.channels * self.height, height: 1, width: self.width }
    }
}

impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}, {}, {}]", self.channels, self.height, self.width)
    }
}

/// The features that a network is shown its time in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Features {
    /// sin and cos of t period^(-i / (count/2 - shift)), i below count/2.
    Positional {
        /// Numbers, even.
        count: usize,
        /// 1: the last frequency is 1/period itself.
        shift: f64,
        /// One over the lowest frequency, of shift 1; above 1.
        period: f64,
        /// Whether cosines come before sines.
        cosines_first: bool,
    },
    /// sin and cos of 2 pi f_i t, or of 2 pi f_i ln t; weights: f, half as long.
    Fourier {
        /// Numbers, even.
        count: usize,
        /// Whether it is ln t, of t above 0.
        log: bool,
        /// Whether cosines come before sines.
        cosines_first: bool,
    },
}

/// What a layer does to the values it reads, in this order, with its weights, in this order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// The state; reads nothing.
    State(Extent),
    /// Features of the time; reads nothing.
    Time(Features),
    /// The class's row of a table; reads nothing; weights: `[classes, count]`.
    Class {
        /// Numbers of a row.
        count: usize,
    },
    /// A correlation with zeros around: weights `[out, in, taps, taps]` and `[out]`.
    Conv {
        /// Channels written.
        out: usize,
        /// 1 or 3.
        taps: usize,
        /// 1 or 2: pixels between two of those written.
        stride: usize,
        /// Rows of zeros above, and columns left; below and right there is one where there are 3 taps.
        before: usize,
    },
    /// Mean 0 and variance 1 over each group of channels and all pixels, then an affine map of each channel:
    /// weights `[channels]` and `[channels]`.
    Norm {
        /// Groups, which divide the channels.
        groups: usize,
        /// Added to the variance.
        eps: f64,
    },
    /// The nonlinearity of every number.
    Act(Activation),
    /// scale x + shift, with two constants.
    Affine {
        /// Multiplies.
        scale: f64,
        /// Is added.
        shift: f64,
    },
    /// The sum of two values.
    Add,
    /// A value, and a vector whose numbers are added to its channels.
    Shift,
    /// A value, and a vector (s, b) of twice its channels: (1 + s) x + b in each channel.
    Modulate,
    /// The channels of two values.
    Concat,
    /// Each pixel four times.
    Upsample,
    /// The mean of each channel over its pixels: a vector.
    Pool,
    /// Queries, keys and values of pixels: softmax(q k / sqrt(channels of a head)) v in each head.
    Attention {
        /// Heads, which divide the channels.
        heads: usize,
    },
    /// x / t.
    OverTime,
    /// A state of atoms, `[1, atoms, space]`: exp(-s_k (ln(1 + |x_i - x_j|^2) - c_k)^2) of every pair, i < j,
    /// `[count, pairs, 1]`; weights: c and s, `[count]` each.
    PairRadial {
        /// Numbers of a pair.
        count: usize,
    },
    /// Vectors of pairs, and of atoms, `[channels, atoms, 1]`: y_ij + v_i + v_j.
    PairAdd,
    /// Vectors of pairs: the sum over all pairs of each atom.
    PairSum {
        /// Atoms.
        atoms: usize,
    },
    /// A state of atoms, and a number of every pair: sum over j of w_ij (x_i - x_j).
    PairMove,
    /// A state of frames, `[1, frames, 7]`: at (i, j) frame j in the axes of frame i, which is R_i^T (x_j - x_i) and the
    /// columns of R_i^T R_j, and numbers of the place: `[12 + places, frames, frames]`; weights: `[places, frames, frames]`.
    FrameViews {
        /// Numbers of a place, at least 1.
        places: usize,
    },
    /// A state of frames, and six numbers of each, `[6, frames, 1]`: `[1, frames, 6]`, the first three as they are, the
    /// others turned by the frame.
    FrameTurn,
    /// The mean of each row of pixels: `[channels, height, 1]`.
    RowMeans,
}

/// One layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// What it does.
    pub op: Op,
    /// The layers that it reads.
    pub from: Vec<usize>,
    /// Which of the network's tensors are its weights.
    pub weights: Vec<usize>,
    /// What it writes.
    pub extent: Extent,
}

/// The layers of a network, each after those that it reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layers(Vec<Layer>);

impl Layers {
    /// The layers in their order.
    pub fn all(&self) -> &[Layer] {
        &self.0
    }

    /// Coordinates of an atom, where the output is a move of atoms by each other, which has no mean; else 0. As a score it
    /// belongs to states whose mean is of no account: docs/maths.md (9.5).
    pub fn space(&self) -> usize {
        self.0.last().filter(|layer| layer.op == Op::PairMove).map_or(0, |layer| layer.extent.width)
    }

    /// The extent of what layer `at` writes.
    pub fn extent(&self, at: usize) -> Extent {
        self.0[at].extent
    }

    /// Which layers depend on the state.
    pub fn of_state(&self) -> Vec<bool> {
        let mut of: Vec<bool> = Vec::with_capacity(self.0.len());
        for layer in &self.0 {
            of.push(matches!(layer.op, Op::State(_)) || layer.from.iter().any(|f| of[*f]));
        }
        of
    }

    /// How many layers read each, one that reads it twice counted twice.
    pub fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.0.len()];
        self.0.iter().flat_map(|layer| &layer.from).for_each(|f| uses[*f] += 1);
        uses
    }

    /// Puts a layer in that reads the layers `from`, if their extents fit, and says which it is.
    pub fn push(&mut self, op: Op, from: &[usize], weights: &[usize]) -> Result<usize> {
        if let Some(late) = from.iter().find(|f| **f >= self.0.len()) {
            return Err(argument("layer read", late, format!("one of the {} before", self.0.len())));
        }
        let read: Vec<Extent> = from.iter().map(|f| self.0[*f].extent).collect();
        let extent = written(op, &read)?;
        self.0.push(Layer { op, from: from.to_vec(), weights: weights.to_vec(), extent });
        Ok(self.0.len() - 1)
    }
}

/// The extent that `op` writes where it reads `read`.
fn written(op: Op, read: &[Extent]) -> Result<Extent> {
    let divides = |what, parts: usize, x: Extent| match parts > 0 && x.channels.is_multiple_of(parts) {
        true => Ok(x),
        false => Err(argument(what, parts, format!("a divisor of {} channels", x.channels))),
    };
    let alike = |what, found: Extent, wanted: Extent| match found == wanted {
        true => Ok(wanted),
        false => Err(argument(what, found, wanted)),
    };
    match (op, read) {
        (Op::State(extent), []) => Ok(extent),
        (Op::Class { count }, []) => Ok(Extent::vector(count)),
        (Op::Time(features), []) => time_extent(features),
        (Op::Conv { out, taps, stride, before }, [x]) => {
            let after = usize::from(taps == 3);
            let sound = matches!((taps, stride, before), (1, 1, 0) | (3, 1 | 2, 0 | 1));
            if !sound || x.height + before + after < taps || x.width + before + after < taps {
                let found = format!("{taps} taps, stride {stride}, {before} before, on {x}");
                return Err(argument("convolution", found, "1 tap, or 3 with stride 1 or 2"));
            }
            let size = |n: usize| (n + before + after - taps) / stride + 1;
            Ok(Extent { channels: out, height: size(x.height), width: size(x.width) })
        }
        (Op::Norm { groups, .. }, [x]) => divides("groups of a norm", groups, *x),
        (Op::Act(_) | Op::Affine { .. } | Op::OverTime, [x]) => Ok(*x),
        (Op::Add, [x, y]) => alike("second term", *y, *x),
        (Op::Shift, [x, v]) => alike("shift", *v, Extent::vector(x.channels)).map(|_| *x),
        (Op::Modulate, [x, v]) => alike("scale and shift", *v, Extent::vector(2 * x.channels)).map(|_| *x),
        (Op::Concat, [x, y]) => {
            alike("second part", Extent { channels: x.channels, ..*y }, *x)?;
            Ok(Extent { channels: x.channels + y.channels, ..*x })
        }
        (Op::Upsample, [x]) => Ok(Extent { height: 2 * x.height, width: 2 * x.width, ..*x }),
        (Op::Pool, [x]) => Ok(Extent::vector(x.channels)),
        (Op::Attention { heads }, [q, k, v]) => {
            alike("keys", *k, *q)?;
            alike("values", *v, *q)?;
            divides("heads", heads, *q)
        }
        (Op::PairRadial { count }, [x]) => of_atoms(*x).map(|atoms| of_pairs(count, atoms)),
        (Op::PairAdd, [y, v]) => {
            let atoms = Extent { channels: y.channels, height: v.height, width: 1 };
            alike("vectors of atoms", *v, atoms)?;
            alike("vectors of pairs", *y, of_pairs(y.channels, v.height))
        }
        (Op::PairSum { atoms }, [y]) => {
            alike("vectors of pairs", *y, of_pairs(y.channels, atoms))?;
            Ok(Extent { channels: y.channels, height: atoms, width: 1 })
        }
        (Op::PairMove, [x, w]) => {
            let atoms = of_atoms(*x)?;
            alike("numbers of pairs", *w, of_pairs(1, atoms)).map(|_| *x)
        }
        (Op::FrameViews { places }, [x]) => {
            let frames = of_frames(*x)?;
            match places {
                0 => Err(argument("numbers of a place", 0, "at least 1")),
                _ => Ok(Extent { channels: SEEN + places, height: frames, width: frames }),
            }
        }
        (Op::FrameTurn, [x, v]) => {
            let frames = of_frames(*x)?;
            alike("numbers of frames", *v, Extent { channels: 6, height: frames, width: 1 })?;
            Ok(Extent { channels: 1, height: frames, width: 6 })
        }
        (Op::RowMeans, [x]) => Ok(Extent { width: 1, ..*x }),
        _ => Err(argument("layers read", read.len(), format!("as many as {op:?} reads"))),
    }
}

/// How many atoms a state has.
fn of_atoms(state: Extent) -> Result<usize> {
    match state.channels == 1 && state.height >= 2 {
        true => Ok(state.height),
        false => Err(argument("state of atoms", state, "one channel of two atoms or more")),
    }
}

/// How many frames a state has.
fn of_frames(state: Extent) -> Result<usize> {
    match (state.channels, state.width) {
        (1, FRAME) => Ok(state.height),
        _ => Err(argument("state of frames", state, format!("[1, frames, {FRAME}]"))),
    }
}

/// Vectors of pairs.
fn of_pairs(channels: usize, atoms: usize) -> Extent {
    Extent { channels, height: atoms * atoms.saturating_sub(1) / 2, width: 1 }
}

fn time_extent(features: Features) -> Result<Extent> {
    let (count, shift) = match features {
        Features::Positional { count, shift, .. } => (count, shift),
        Features::Fourier { count, .. } => (count, 0.0),
    };
    if count < 2 || !count.is_multiple_of(2) || (count / 2) as f64 <= shift {
        return Err(argument("features of the time", count, format!("an even number above {}", 2.0 * shift)));
    }
    Ok(Extent::vector(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILU: Op = Op::Act(Activation::Silu);

    #[test]
    fn layers_that_do_not_fit_are_refused() {
        let state = Extent { channels: 4, height: 2, width: 3 };
        let mut layers = Layers::default();
        let x = layers.push(Op::State(state), &[], &[]).unwrap();
        let v = layers.push(Op::Class { count: 4 }, &[], &[0]).unwrap();
        let conv = |taps, stride, before| Op::Conv { out: 6, taps, stride, before };
        for (op, from, message) in [
            (Op::Add, vec![x, v], "second term: found [4, 1, 1], wanted [4, 2, 3]"),
            (Op::Modulate, vec![x, v], "scale and shift: found [4, 1, 1], wanted [8, 1, 1]"),
            (Op::Concat, vec![x, v], "second part: found [4, 1, 1], wanted [4, 2, 3]"),
            (Op::Norm { groups: 3, eps: 0.0 }, vec![x], "groups of a norm: found 3, wanted a divisor of 4"),
            (Op::Attention { heads: 0 }, vec![x, x, x], "heads: found 0, wanted a divisor of 4 channels"),
            (Op::Attention { heads: 1 }, vec![x, v, x], "keys: found"),
            (SILU, vec![2], "layer read: found 2, wanted one of the 2 before"),
            (SILU, vec![], "layers read: found 0, wanted as many as Act(Silu) reads"),
            (conv(5, 1, 2), vec![x], "convolution: found 5 taps"),
            (Op::PairRadial { count: 3 }, vec![x], "state of atoms: found [4, 2, 3], wanted one channel"),
            (Op::PairSum { atoms: 3 }, vec![x], "vectors of pairs: found [4, 2, 3], wanted [4, 3, 1]"),
            (Op::PairSum { atoms: 1 }, vec![v], "vectors of pairs: found [4, 1, 1], wanted [4, 0, 1]"),
            (Op::PairAdd, vec![v, x], "vectors of atoms: found [4, 2, 3], wanted [4, 2, 1]"),
            (Op::PairMove, vec![x, v], "state of atoms: found"),
            (
                Op::FrameViews { places: 1 },
                vec![x],
                "state of frames: found [4, 2, 3], wanted [1, frames, 7]",
            ),
            (Op::FrameTurn, vec![v, x], "state of frames: found [4, 1, 1]"),
            (
                Op::Time(Features::Positional { count: 2, shift: 1.0, period: 1e4, cosines_first: true }),
                vec![],
                "features of the time: found 2, wanted an even number above 2",
            ),
        ] {
            let error = layers.push(op, &from, &[]).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        assert_eq!(layers.all().len(), 2);
        let halved = layers.push(conv(3, 2, 0), &[x], &[1, 2]).unwrap();
        assert_eq!(layers.extent(halved), Extent { channels: 6, height: 1, width: 1 });
        let shifted = layers.push(Op::Shift, &[x, v], &[]).unwrap();
        assert_eq!(layers.extent(shifted), state);
    }
}
