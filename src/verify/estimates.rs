//! Log-densities that are carried as estimates, docs/maths.md (7.9).

use feynkac_kernels::methods::StepCoeffs;
use feynkac_kernels::passes::step::oracle::{Particle, Point, estimate};

use super::{EPS, Verdict};
use crate::run::Run;

/// What the models say, with log-densities that the device estimated: those are judged by themselves.
pub fn estimated(run: &Run, point: Point, found: &Particle) -> Point {
    let own = |(m, exact): (usize, &f64)| {
        if run.plan.keeps.estimated >> m & 1 == 1 { found.log_q[m] } else { *exact }
    };
    Point { log_q: point.log_q.iter().enumerate().map(own).collect(), ..point }
}

/// Log-densities that are estimated, from the device's own parent and its own x'.
pub fn compare_estimates(
    step: usize,
    at: (usize, usize),
    (from, found): (&Particle, &Particle),
    c: &StepCoeffs,
    verdict: &mut Verdict,
) {
    for (m, wanted) in estimate(from, c, &found.x).iter().enumerate() {
        let rounding = |k: usize| {
            let (old, new, s) = (from.x[k].abs(), found.x[k].abs(), from.scores[1 + m][k].abs());
            let (pull, by) = (s + old * c.lean_old, (found.x[k] - c.shrink * from.x[k]).abs());
            let parts = pull * (old + new + by + c.noise * c.noise * pull);
            parts + old * old * c.lean_old + new * new * c.lean_new
        };
        let parts: f64 = (0..found.x.len()).map(rounding).sum();
        let allowed = 16.0 * EPS * (parts + wanted.abs() + from.log_q[m].abs() + c.stretch.abs() + 1.0);
        verdict.compare("step: log-density", step, at, found.log_q[m] as f32, *wanted, allowed);
    }
}
