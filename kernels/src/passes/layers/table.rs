//! Numbers that hold for all particles of a launch: made on the host, in f64, once for each level and condition.

use super::ask::Level;
use super::graph::{Entry, Graph};
use crate::models::layers::Layers;
use crate::models::layers::oracle::{Question, conditioning};

/// The tables of a network, and where its entries stand in a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    /// The first number of each entry: in the one row of constants, or in the row of a level and condition.
    pub offsets: Vec<usize>,
    /// The row of constants.
    pub constant: Vec<f32>,
    /// `[levels, conditions, width]`.
    pub levels: Vec<f32>,
    /// The same, how it changes with the time.
    pub moving: Vec<f32>,
    /// Numbers of such a row.
    pub width: usize,
}

impl Tables {
    /// Of a graph at `levels`.
    pub fn new(layers: &Layers, graph: &Graph, tensors: &[Vec<f32>], levels: &[Level]) -> Self {
        let mut tables = Tables::default();
        for entry in &graph.entries {
            let numbers = numbers(*entry, layers);
            if entry.constant() {
                tables.offsets.push(tables.constant.len());
                let made = made(*entry, layers, tensors, &[], 0.0, 0.0).0;
                tables.constant.extend(made.into_iter().map(|v| v as f32));
            } else {
                tables.offsets.push(tables.width);
                tables.width += numbers;
            }
        }
        for level in levels {
            let asked = Question { x: &[], time: level.time, class: level.class };
            let (values, moves) = conditioning(layers, tensors, asked, level.rate);
            let both: Vec<(Vec<f64>, Vec<f64>)> = values.into_iter().zip(moves).collect();
            for entry in graph.entries.iter().filter(|entry| !entry.constant()) {
                let (value, change) = made(*entry, layers, tensors, &both, level.time, level.rate);
                tables.levels.extend(value.into_iter().map(|v| v as f32));
                tables.moving.extend(change.into_iter().map(|v| v as f32));
            }
        }
        tables
    }
}

fn numbers(entry: Entry, layers: &Layers) -> usize {
    match entry {
        Entry::Bias { conv, .. } => layers.extent(conv).channels,
        Entry::Affine { norm, .. } => 2 * layers.extent(norm).channels,
        Entry::Shift(vector) => 2 * layers.extent(vector).numbers(),
        Entry::Modulate(vector) => layers.extent(vector).numbers(),
        Entry::OverTime(channels) => 2 * channels,
        Entry::Value(layer) => 2 * layers.extent(layer).numbers(),
    }
}

/// The numbers of an entry and how they change; `host` holds what the layers make.
fn made(
    entry: Entry,
    layers: &Layers,
    tensors: &[Vec<f32>],
    host: &[(Vec<f64>, Vec<f64>)],
    time: f64,
    rate: f64,
) -> (Vec<f64>, Vec<f64>) {
    let weight = |layer: usize, i: usize| -> Vec<f64> {
        tensors[layers.all()[layer].weights[i]].iter().map(|w| f64::from(*w)).collect()
    };
    let constant = |values: Vec<f64>| {
        let zeros = vec![0.0; values.len()];
        (values, zeros)
    };
    let after = |many: Vec<f64>, (value, change): &(Vec<f64>, Vec<f64>)| {
        let zeros = vec![0.0; many.len()];
        ([many, value.clone()].concat(), [zeros, change.clone()].concat())
    };
    match entry {
        Entry::Bias { conv, shift } => {
            let (v, dv) = &host[shift];
            (weight(conv, 1).iter().zip(v).map(|(b, v)| b + v).collect(), dv.clone())
        }
        Entry::Affine { norm, by: None } => constant([weight(norm, 0), weight(norm, 1)].concat()),
        Entry::Affine { norm, by: Some(vector) } => {
            let (gain, shift) = (weight(norm, 0), weight(norm, 1));
            let ((v, dv), n) = (&host[vector], gain.len());
            let scaled = |of: &[f64], by: &[f64], one: f64| -> Vec<f64> {
                of.iter().zip(by).map(|(a, s)| a * (one + s)).collect()
            };
            let shifted =
                |of: Vec<f64>, b: &[f64]| -> Vec<f64> { of.iter().zip(b).map(|(a, b)| a + b).collect() };
            (
                [scaled(&gain, v, 1.0), shifted(scaled(&shift, v, 1.0), &v[n..])].concat(),
                [scaled(&gain, dv, 0.0), shifted(scaled(&shift, dv, 0.0), &dv[n..])].concat(),
            )
        }
        Entry::Shift(vector) => after(vec![1.0; host[vector].0.len()], &host[vector]),
        Entry::Value(layer) => after(vec![0.0; host[layer].0.len()], &host[layer]),
        Entry::Modulate(vector) => {
            let (mut v, dv) = host[vector].clone();
            let half = v.len() / 2;
            v[..half].iter_mut().for_each(|s| *s += 1.0);
            (v, dv)
        }
        Entry::OverTime(channels) => {
            let row = |scale: f64| [vec![scale; channels], vec![0.0; channels]].concat();
            (row(1.0 / time), row(-rate / (time * time)))
        }
    }
}
