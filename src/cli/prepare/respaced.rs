//! Levels that a network was trained at.

use serde_json::{Value, json};

use super::super::settings::Settings;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::options::Options;
use crate::registry::Method;

/// The levels that the first model was trained at, in the place of a grid.
pub fn respace(options: &mut Options, settings: &Settings, models: &[Model]) -> Result<()> {
    let grid = settings.grid.map(|grid| ("--grid", grid.to_string()));
    let ends = [("--t-max", settings.t_max), ("--t-min", settings.t_min)];
    let ends = ends.into_iter().find_map(|(flag, t)| t.map(|t| (flag, t.to_string())));
    if let Some((flag, found)) = grid.or(ends) {
        return Err(Error::input(flag, found, "none with --respaced: the network says where the steps lie"));
    }
    let count = options.steps + usize::from(options.method != Method::Tds);
    let times = models.first().map_or(Ok(Vec::new()), |model| model.respaced(&options.schedule, count))?;
    if let [first, .., last] = times[..] {
        (options.t_max, options.t_min) = (first, last);
    }
    options.times = Some(times);
    Ok(())
}

/// The keys of a run file that say where the levels are.
pub fn config(options: &Options) -> Vec<(&'static str, Value)> {
    if options.times.is_some() {
        return vec![("respaced", json!(true))];
    }
    let grid = options.grid.to_string();
    vec![("t-max", json!(options.t_max)), ("t-min", json!(options.t_min)), ("grid", json!(grid))]
}
