//! `feynkac list`: everything that can be named, from the registry.

use feynkac_kernels::passes::mlp::{Compute, Half};

use super::names::{DENSITIES, DIVERGENCES, FINALS, GROWTHS, POLICIES, RULES, SDES, STATES};
use super::print;
use super::table::columns;
use crate::registry::{JUMPS, METHODS, SCHEMES, TARGETS};
use crate::schedule::{Grid, Schedule};
use crate::twist::{CHAINS, POTENTIALS, PROPOSALS, SPREADS, TASKS};

/// One line for each schedule.
fn schedule_doc(name: &str) -> &'static str {
    match name {
        "ve" => "variance exploding: sigma geometric from sigma_min to sigma_max, t in [0, 1]",
        "edm" => "Karras et al. 2022: sigma = t",
        "vp-linear" => "variance preserving, rate from b0 to b1, t in (0, 1]",
        "vp-cosine" => "variance preserving, alpha a cosine with offset c, t in (0, 1)",
        "rectified-flow" => "the straight path of flow matching: alpha = 1 - t, sigma = t",
        _ => "",
    }
}

/// One line for each grid.
fn grid_doc(name: &str) -> &'static str {
    match name {
        "uniform" => "equal steps in t",
        "edm-rho" => "equal steps in (sigma/alpha)^(1/rho), rho 7 unless said: edm-rho:rho=5",
        "log-snr" => "equal steps in log(sigma/alpha); the default, and the one to use with weights",
        _ => "",
    }
}

/// One line for each type that networks are multiplied in.
fn compute_doc(compute: Compute) -> &'static str {
    match compute {
        Compute::Auto => "f32 unless all weights were stored in a type that the device's tensor cores take",
        Compute::F32 => "f32 throughout",
        Compute::Tensor(Half::F16) => "by tensor cores, sums in f32; activations below 65,504",
        Compute::Tensor(Half::Bf16) => {
            "by tensor cores, sums in f32; the range of f32, eight times coarser than f16"
        }
    }
}

/// The whole list.
fn text() -> String {
    let schedule = |name: &str| match name.parse::<Schedule>() {
        Ok(schedule) => vec![schedule.to_string(), schedule_doc(name).to_string()],
        Err(_) => vec![name.to_string(), schedule_doc(name).to_string()],
    };
    let two = |(name, doc): (&str, &str)| vec![name.to_string(), doc.to_string()];
    let methods =
        METHODS.iter().map(|row| vec![row.name.into(), format!("{} [{}]", row.doc, row.paper)]).collect();
    let sections: [(&str, Vec<Vec<String>>); 19] = [
        ("methods (--method)", methods),
        ("models (--model)", TARGETS.iter().copied().map(two).collect()),
        ("noises (--sde)", SDES.iter().copied().map(two).collect()),
        ("schedules (--schedule)", Schedule::NAMES.into_iter().map(schedule).collect()),
        ("grids (--grid)", Grid::NAMES.into_iter().map(|name| two((name, grid_doc(name)))).collect()),
        ("weight rules (--rule)", RULES.iter().map(|row| two((row.0, row.2))).collect()),
        ("times to resample (--resample)", POLICIES.iter().copied().map(two).collect()),
        (
            "resampling schemes (--scheme)",
            SCHEMES.iter().chain(JUMPS).map(|row| two((row.1, row.2))).collect(),
        ),
        (
            "networks (--compute)",
            Compute::NAMES.into_iter().map(|(name, compute)| two((name, compute_doc(compute)))).collect(),
        ),
        ("divergences (--divergence)", DIVERGENCES.iter().copied().map(two).collect()),
        ("log-densities (--densities)", DENSITIES.iter().map(|row| two((row.0, row.2))).collect()),
        ("weight of a reward (--reward-growth)", GROWTHS.iter().copied().map(two).collect()),
        (
            "tasks of tds (--task)",
            TASKS.iter().map(|row| vec![row.0.to_string(), format!("{}: {}", row.1, row.2)]).collect(),
        ),
        ("variance of a denoised state (--twist-variance)", SPREADS.iter().copied().map(two).collect()),
        ("chains of tds (--chain)", CHAINS.iter().map(|row| two((row.0, row.2))).collect()),
        ("proposals of tds (--proposal)", PROPOSALS.iter().map(|row| two((row.0, row.2))).collect()),
        ("potentials of tds (--potential)", POTENTIALS.iter().map(|row| two((row.0, row.2))).collect()),
        ("at the end (--final)", FINALS.iter().map(|row| two((row.0, row.2))).collect()),
        ("positions are kept as (--state)", STATES.iter().map(|row| two((row.0, row.2))).collect()),
    ];
    let mut all = Vec::new();
    for (title, rows) in sections {
        let indented =
            rows.into_iter().map(|row| vec![format!("  {}", row[0]), row[1].clone()]).collect::<Vec<_>>();
        all.push(format!("{title}\n{}", columns(&indented)));
    }
    all.join("\n")
}

/// Runs the subcommand.
pub fn run() {
    print(&text());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_with_a_name_is_listed_with_a_line() {
        let text = text();
        let names = METHODS.iter().map(|row| row.name).chain(TARGETS.iter().map(|row| row.0));
        let names = names
            .chain(SCHEMES.iter().chain(JUMPS).map(|row| row.1))
            .chain(Schedule::NAMES)
            .chain(Grid::NAMES);
        for name in names {
            let line = text.lines().find(|line| line.trim_start().starts_with(name)).expect(name);
            assert!(line.trim_start().len() > name.len() + 12, "{line}");
        }
        for row in METHODS {
            assert!(text.contains(row.paper));
        }
        assert!(Schedule::NAMES.iter().all(|name| !schedule_doc(name).is_empty()));
        assert!(Grid::NAMES.iter().all(|name| !grid_doc(name).is_empty()));
    }
}
