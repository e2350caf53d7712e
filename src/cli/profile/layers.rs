//! Where the time of a network goes, launch by launch.

use std::time::Instant;

use feynkac_kernels::passes::layers::{Asked, Step};

use super::super::table::{columns, short};
use crate::error::Result;
use crate::model::{Field, Model};
use crate::run::Run;

/// Rounds that are timed, after one that warms up.
const ROUNDS: usize = 3;

/// Launches of one name.
#[derive(Clone, Debug, PartialEq)]
struct Layer {
    name: String,
    launches: usize,
    seconds: f64,
    /// Multiplications and additions.
    flops: f64,
}

/// A table for each network of layers; nothing where there is none.
pub fn tables(run: &Run, models: &[Model]) -> Result<String> {
    let mut text = String::new();
    for (model, field) in run.layered() {
        let layers = measured(run, field)?;
        let name = models[model].asked().map_or("", |asked| asked.loaded.name.as_str());
        let back = if field.network().plan(Asked::Back).is_some() { ", forwards and back" } else { "" };
        text.push_str(&format!(
            "\nlaunches of {name} at the last level{back}, {} particles in micro-batches of {}, a sync after each:\n{}",
            run.of.particles(),
            field.network().micro_batch(),
            table(&layers)
        ));
    }
    Ok(text)
}

fn measured(run: &Run, field: &Field) -> Result<Vec<Layer>> {
    let particles = run.of.particles() as f64;
    let network = field.network();
    let batches = run.of.particles().div_ceil(network.micro_batch()) as f64;
    let mut layers: Vec<Layer> = Vec::new();
    for round in 0..=ROUNDS {
        let timed = round > 0;
        run.by_steps(field, &mut |step: &Step, launch| {
            let began = Instant::now();
            launch()?;
            run.device.sync()?;
            if timed {
                let flops = 2.0 * step.products(network.graph()) as f64 * particles / batches;
                add(&mut layers, step.name(network.graph()), began.elapsed().as_secs_f64(), flops);
            }
            Ok(())
        })?;
    }
    for layer in &mut layers {
        layer.launches /= ROUNDS;
        layer.seconds /= ROUNDS as f64;
        layer.flops /= ROUNDS as f64;
    }
    Ok(layers)
}

fn add(layers: &mut Vec<Layer>, name: String, seconds: f64, flops: f64) {
    match layers.iter_mut().find(|layer| layer.name == name) {
        Some(layer) => {
            layer.launches += 1;
            layer.seconds += seconds;
            layer.flops += flops;
        }
        None => layers.push(Layer { name, launches: 1, seconds, flops }),
    }
}

/// A row for launches of one name, the slowest first, and their sum.
fn table(layers: &[Layer]) -> String {
    let sum = |of: fn(&Layer) -> f64| layers.iter().map(of).sum::<f64>();
    let all = Layer {
        name: "all".to_string(),
        launches: layers.iter().map(|layer| layer.launches).sum(),
        seconds: sum(|layer| layer.seconds),
        flops: sum(|layer| layer.flops),
    };
    let mut sorted: Vec<&Layer> = layers.iter().collect();
    sorted.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let mut rows = vec![["launches", "ms", "% of time", "GFLOP/s", "what"].map(String::from).to_vec()];
    for layer in sorted.into_iter().chain([&all]) {
        let rate =
            if layer.flops > 0.0 { short(1e-9 * layer.flops / layer.seconds) } else { "-".to_string() };
        rows.push(vec![
            layer.launches.to_string(),
            short(1e3 * layer.seconds),
            format!("{:.1}", 100.0 * layer.seconds / all.seconds),
            rate,
            layer.name.clone(),
        ]);
    }
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_of_one_name_are_one_row_and_the_slowest_comes_first() {
        let mut layers = Vec::new();
        for (name, seconds, flops) in [("norm", 0.25, 0.0), ("conv", 0.5, 2e9), ("conv", 1.25, 5e9)] {
            add(&mut layers, name.to_string(), seconds, flops);
        }
        let text = table(&layers);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["2", "1750", "87.5", "4", "conv"]);
        assert_eq!(rows[2], ["1", "250", "12.5", "-", "norm"]);
        assert_eq!(rows[3], ["3", "2000", "100.0", "3.5", "all"]);
    }
}
