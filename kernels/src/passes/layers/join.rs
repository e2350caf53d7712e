//! Neighbouring layers joined where one launch does both.

use super::graph::{ConvOf, Do, Entry, Graph, Node};
use crate::error::{Result, argument};
use crate::models::layers::{Activation, Extent, Layers, Op};

/// The graph of `layers`; where not `fused`, a launch does what one layer does.
pub(super) fn joined(layers: &Layers, fused: bool) -> Result<Graph> {
    let mut join = Join {
        layers,
        fused,
        device: layers.of_state(),
        uses: layers.uses(),
        at: vec![None; layers.all().len()],
        nodes: Vec::new(),
        graph: Graph::default(),
    };
    for layer in 0..layers.all().len() {
        if join.device[layer] {
            let node = join.layer(layer)?;
            join.at[layer] = Some(node);
        }
    }
    if !join.device.last().copied().unwrap_or(false) {
        return Err(argument("output of a network", "none that depends on the state", "one that does"));
    }
    Ok(join.graph())
}

struct Join<'a> {
    layers: &'a Layers,
    fused: bool,
    /// Whether a layer reads the state.
    device: Vec<bool>,
    /// How many layers read a layer.
    uses: Vec<usize>,
    /// The node that ends with a layer.
    at: Vec<Option<usize>>,
    /// None: has become part of a later one.
    nodes: Vec<Option<Node>>,
    graph: Graph,
}

impl Join<'_> {
    fn put(&mut self, what: Do, from: Vec<usize>, extent: Extent) -> usize {
        self.nodes.push(Some(Node { what, from, extent }));
        self.nodes.len() - 1
    }

    fn entry(&mut self, entry: Entry) -> usize {
        self.graph.entries.push(entry);
        self.graph.entries.len() - 1
    }

    /// The node of a layer; where the host computes it, one that writes it.
    fn node(&mut self, layer: usize) -> usize {
        if let Some(node) = self.at[layer] {
            return node;
        }
        let entry = self.entry(Entry::Value(layer));
        let node = self.put(Do::Fill(entry), vec![], self.layers.extent(layer));
        self.at[layer] = Some(node);
        node
    }

    /// Takes the node of a layer out if only one layer reads it and it is as wanted, to become part of that one.
    fn open(&mut self, layer: usize, wanted: impl Fn(&Do) -> bool) -> Option<Node> {
        let at = self.at[layer]?;
        let alone = self.fused && self.uses[layer] == 1 && self.device[layer];
        match alone && self.nodes[at].as_ref().is_some_and(|node| wanted(&node.what)) {
            true => self.nodes[at].take(),
            false => None,
        }
    }

    fn layer(&mut self, at: usize) -> Result<usize> {
        let layer = &self.layers.all()[at];
        let (extent, from) = (layer.extent, layer.from.as_slice());
        Ok(match layer.op {
            Op::State(_) => return self.state(extent),
            Op::Time(_) | Op::Class { .. } => self.node(at),
            Op::Conv { taps, stride, before, .. } => {
                let repeated = match (taps, stride, before) {
                    (3, 1, 1) => self.open(from[0], |what| *what == Do::Upsample),
                    _ => None,
                };
                let upsampled = repeated.is_some();
                let x = match repeated {
                    Some(node) => node.from[0],
                    None => self.node(from[0]),
                };
                let read = self.nodes[x].as_ref().map_or(extent, |node| node.extent);
                self.graph.convs.push(ConvOf { layer: at, from: read, taps, upsampled });
                let conv = self.graph.convs.len() - 1;
                self.put(Do::Conv { conv, bias: None, other: false, scale: 1.0, shift: 0.0 }, vec![x], extent)
            }
            Op::Norm { groups, eps } => {
                let affine = self.entry(Entry::Affine { norm: at, by: None });
                let x = self.node(from[0]);
                self.put(Do::Norm { groups, eps, affine, act: None }, vec![x], extent)
            }
            Op::Act(kind) => self.act(kind, from[0], extent),
            Op::Affine { scale, shift } => self.affine(scale, shift, from[0], extent),
            Op::OverTime => {
                let entry = self.entry(Entry::OverTime(extent.channels));
                let x = self.node(from[0]);
                self.put(Do::Rows(entry), vec![x], extent)
            }
            Op::Shift => self.shift(from[0], from[1], extent),
            Op::Modulate => self.modulate(from[0], from[1], extent),
            Op::Add => self.add(from[0], from[1], extent),
            Op::Concat => self.plain(Do::Concat, from, extent),
            Op::Upsample => self.plain(Do::Upsample, from, extent),
            Op::Pool | Op::RowMeans => self.plain(Do::Pool, from, extent),
            Op::Attention { heads } => self.plain(Do::Attention(heads), from, extent),
            Op::PairRadial { .. } => {
                self.graph.radials.push(at);
                self.plain(Do::Radial(self.graph.radials.len() - 1), from, extent)
            }
            Op::PairAdd => self.plain(Do::PairAdd, from, extent),
            Op::PairSum { .. } => self.plain(Do::PairSum, from, extent),
            Op::PairMove => self.plain(Do::PairMove, from, extent),
            Op::FrameViews { .. } => {
                self.graph.views.push(at);
                self.plain(Do::FrameViews(self.graph.views.len() - 1), from, extent)
            }
            Op::FrameTurn => self.plain(Do::FrameTurn, from, extent),
        })
    }

    fn state(&mut self, extent: Extent) -> Result<usize> {
        let is_state = |node: &Option<Node>| node.as_ref().is_some_and(|node| node.what == Do::State);
        let Some(at) = self.nodes.iter().position(is_state) else {
            return Ok(self.put(Do::State, vec![], extent));
        };
        match self.nodes[at].as_ref().map(|node| node.extent) {
            Some(other) if other != extent => Err(argument("second state of a network", extent, other)),
            _ => Ok(at),
        }
    }

    fn plain(&mut self, what: Do, from: &[usize], extent: Extent) -> usize {
        let from = from.iter().map(|f| self.node(*f)).collect();
        self.put(what, from, extent)
    }

    fn act(&mut self, kind: Activation, x: usize, extent: Extent) -> usize {
        let norm = self.open(x, |what| matches!(what, Do::Norm { act: None, .. }));
        match norm {
            Some(Node { what: Do::Norm { groups, eps, affine, .. }, from, .. }) => {
                self.put(Do::Norm { groups, eps, affine, act: Some(kind) }, from, extent)
            }
            _ => self.plain(Do::Act(kind), &[x], extent),
        }
    }

    fn affine(&mut self, by: f64, and: f64, x: usize, extent: Extent) -> usize {
        match self.open(x, |what| matches!(what, Do::Conv { .. })) {
            Some(Node { what: Do::Conv { conv, bias, other, scale, shift }, from, .. }) => {
                let (scale, shift) = (scale * by, shift * by + and);
                self.put(Do::Conv { conv, bias, other, scale, shift }, from, extent)
            }
            _ => self.plain(Do::Affine(by, and), &[x], extent),
        }
    }

    /// A convolution whose sums are final: nothing was done to them but a bias.
    fn bare(what: &Do) -> bool {
        matches!(what, Do::Conv { other: false, scale: 1.0, shift: 0.0, .. })
    }

    fn shift(&mut self, x: usize, v: usize, extent: Extent) -> usize {
        if self.device[v] {
            return self.plain(Do::Shift, &[x, v], extent);
        }
        match self.open(x, |what| Self::bare(what) && matches!(what, Do::Conv { bias: None, .. })) {
            Some(Node { what: Do::Conv { conv, scale, shift, .. }, from, .. }) => {
                let layer = self.graph.convs[conv].layer;
                let bias = Some(self.entry(Entry::Bias { conv: layer, shift: v }));
                self.put(Do::Conv { conv, bias, other: false, scale, shift }, from, extent)
            }
            _ => {
                let entry = self.entry(Entry::Shift(v));
                self.plain(Do::Rows(entry), &[x], extent)
            }
        }
    }

    fn modulate(&mut self, x: usize, v: usize, extent: Extent) -> usize {
        if self.device[v] {
            return self.plain(Do::Modulate, &[x, v], extent);
        }
        let mut plain_norm = None;
        if let Some(at) = self.at[x]
            && let Some(Node { what: Do::Norm { affine, act: None, .. }, .. }) = &self.nodes[at]
            && let Entry::Affine { norm, by: None } = self.graph.entries[*affine]
        {
            plain_norm = Some(norm);
        }
        let norm = plain_norm.and_then(|norm| Some((norm, self.open(x, |_| true)?)));
        match norm {
            Some((norm, Node { what: Do::Norm { groups, eps, .. }, from, .. })) => {
                let affine = self.entry(Entry::Affine { norm, by: Some(v) });
                self.put(Do::Norm { groups, eps, affine, act: None }, from, extent)
            }
            _ => {
                let entry = self.entry(Entry::Modulate(v));
                self.plain(Do::Rows(entry), &[x], extent)
            }
        }
    }

    fn add(&mut self, x: usize, y: usize, extent: Extent) -> usize {
        if extent.pixels() == 1 && self.device[x] != self.device[y] {
            let (x, v) = if self.device[x] { (x, y) } else { (y, x) };
            return self.shift(x, v, extent);
        }
        for (conv, other) in [(y, x), (x, y)] {
            if let Some(Node { what: Do::Conv { conv, bias, scale, shift, .. }, mut from, .. }) =
                self.open(conv, Self::bare)
            {
                from.push(self.node(other));
                return self.put(Do::Conv { conv, bias, other: true, scale, shift }, from, extent);
            }
        }
        self.plain(Do::Add, &[x, y], extent)
    }

    /// Without the nodes that have become parts of others, or that are no longer read.
    fn graph(mut self) -> Graph {
        let output = self.at.last().copied().flatten().unwrap_or_default();
        let mut read = vec![false; self.nodes.len()];
        read[output] = true;
        for at in (0..self.nodes.len()).rev() {
            if let (true, Some(node)) = (read[at], &self.nodes[at]) {
                node.from.iter().for_each(|f| read[*f] = true);
            }
        }
        let mut places = vec![0; self.nodes.len()];
        for (at, node) in self.nodes.into_iter().enumerate() {
            if let (true, Some(mut node)) = (read[at], node) {
                node.from.iter_mut().for_each(|f| *f = places[*f]);
                places[at] = self.graph.nodes.len();
                self.graph.nodes.push(node);
            }
        }
        self.graph
    }
}
