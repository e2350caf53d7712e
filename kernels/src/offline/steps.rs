//! The step kernels, by method, model, dimension, part and weight rule.

use std::sync::Arc;

use cubecl::prelude::*;

use super::{APART, Blank, LANES, Offline, SHARED, TOGETHER, UNITS, properties};
use crate::methods::{Compose, Method, Mixture, Plain, Tilted, Transport};
use crate::models::twist::{Potential, SLOTS};
use crate::models::{Analytic, Buffer, FEW, Kind, MAX_MODELS, ModelKey, Score, Twist, TwistKey};
use crate::passes::Sharing;
use crate::passes::crew::Crew;
use crate::passes::step::carried::shared_units;
use crate::passes::step::kernel::step_kernel;
use crate::passes::step::{Scratch, Stage, StepKey};
use crate::passes::steps::kernel::steps_kernel;
use crate::prims::space::Euclid;
use crate::prims::state::{Element, Layout};

/// All of them.
pub fn all(list: &mut Vec<Offline>) {
    each::<Plain>(list, "plain", 1);
    each::<Compose>(list, "compose 1", 1);
    each::<Compose>(list, "compose 2", 2);
    each::<Compose>(list, "compose 4", 4);
    following::<Compose>(list, "compose 2, exponents that change", 2, false);
    following::<Mixture>(list, "mixture 2", 2, false);
    following::<Tilted>(list, "tilted 2", 2, false);
    following::<Tilted>(list, "tilted 2, drift of its own", 2, true);
    following::<Transport>(list, "transport", 2, true);
    climbing(list);
    estimating::<Compose>(list, "compose 2");
    estimating::<Mixture>(list, "mixture 2");
    twisted(list);
    for (stage, dim) in [(Stage::Start, 2), (Stage::Move, 2), (Stage::Weigh, 2), (Stage::Weigh, 784)] {
        let mut key = key(2, stage, Rule::Trap, Kind::IsotropicMixture, dim, TOGETHER);
        key.models.kinds[0] = Kind::Rows;
        key.follows = true;
        list.push(one::<Analytic, Tilted>(format!("tilted, rows and a reward, D={dim}, {stage:?}"), key));
    }
}

/// A model that every family of likelihoods leans: whole steps and their parts, in registers, in shared memory, beyond.
fn twisted(list: &mut Vec<Offline>) {
    let (fused, mixture) = (Stage::Fused, Kind::IsotropicMixture);
    for (twist, pins) in [
        (Twist::Linear, false),
        (Twist::Separable, true),
        (Twist::Residual, true),
        (Twist::Placement, true),
        (Twist::Inequalities, false),
        (Twist::Bounds, false),
        (Twist::Replaced, true),
        (Twist::Outside, false),
    ] {
        for (stage, kind, dim) in [
            (Stage::Start, Kind::Gaussian, 3),
            (fused, mixture, 2),
            (fused, Kind::DiagonalMixture, FEW),
            (fused, Kind::Gaussian, 64),
            (fused, mixture, 784),
            (Stage::Move, mixture, 2),
            (Stage::Weigh, mixture, 2),
            (Stage::LookFirst, Kind::Rows, 2),
            (Stage::Look, mixture, 2),
            (Stage::Look, Kind::Rows, 64),
            (Stage::Weigh, Kind::Rows, 784),
            (Stage::Start, Kind::Halves, 64),
            (Stage::Move, Kind::Halves, 784),
            (Stage::Weigh, Kind::Halves, 784),
        ] {
            // Outside of a step nothing is fused; two families stand for those that look.
            let outside = twist == Twist::Outside;
            let looks =
                matches!(stage, Stage::Look | Stage::LookFirst) || matches!(kind, Kind::Rows | Kind::Halves);
            if outside && stage == fused || looks && !outside && twist != Twist::Separable {
                continue;
            }
            let sharing = if dim == 64 { shared(1 + SLOTS) } else { TOGETHER };
            let steers = match twist {
                Twist::Outside => Some(Potential::Max),
                Twist::Replaced => Some(Potential::Difference),
                _ => None,
            };
            let ranged = twist == Twist::Separable;
            let own = key(1, stage, Rule::Trap, kind, dim, sharing);
            let scratch = match own.scratch {
                Scratch::Shared(_) => Scratch::Shared((2 + SLOTS) * dim * sharing.units as usize),
                other => other,
            };
            let twisted = TwistKey { twist, pins, steers, ranged, broad: kind == Kind::Halves };
            let own = StepKey { twist: Some(twisted), rows: own.shows(), scratch, ..own };
            let weighted_start = stage == Stage::Start;
            let own = StepKey { weighted_start, ..own };
            list.push(one::<Analytic, Plain>(
                format!("twisted, {twist:?}, {kind:?}, D={dim}, {stage:?}"),
                own,
            ));
        }
    }
    let twist =
        Some(TwistKey { twist: Twist::Placement, pins: true, steers: None, ranged: true, broad: false });
    let key = StepKey { twist, ..key(1, fused, Rule::Trap, mixture, 2, TOGETHER) };
    let variant = format!("twisted, Placement, D=2, {:?}", Crew::Cube);
    list.push(entry!(variant, steps_kernel::StepsKernel<Analytic, Plain, Euclid>(
        a b common history scratch models tables shape first last; LANES, LANES, Crew::Cube, key, Element::F32.kind()
    )));
}

/// A reward whose weight is raised by the ESS.
fn climbing(list: &mut Vec<Offline>) {
    for (stage, rule) in [
        (Stage::Start, Rule::Trap),
        (Stage::Fused, Rule::Trap),
        (Stage::Fused, Rule::Exact),
        (Stage::Weigh, Rule::Trap),
        (Stage::Aim, Rule::Trap),
        (Stage::Aim, Rule::Exact),
    ] {
        let own = key(2, stage, rule, Kind::IsotropicMixture, 2, TOGETHER);
        let own = StepKey { follows: true, ladder: true, ..own };
        list.push(one::<Analytic, Tilted>(format!("tilted 2, a ladder, {stage:?}, {rule:?}"), own));
    }
}

/// The steps of one method, in registers (D = 2, 4), in shared memory (D = 64), and beyond (D = 784).
fn each<M: Method>(list: &mut Vec<Offline>, method: &str, count: usize) {
    let shared = shared(count);
    let key =
        |stage, rule: Rule, kind, dim: usize, sharing: Sharing| key(count, stage, rule, kind, dim, sharing);
    for kind in [Kind::IsotropicMixture, Kind::DiagonalMixture, Kind::Gaussian] {
        for (dim, sharing) in [(2, TOGETHER), (64, shared), (784, TOGETHER)] {
            for (stage, rule) in [
                (Stage::Start, Rule::Exact),
                (Stage::Fused, Rule::Left),
                (Stage::Fused, Rule::Trap),
                (Stage::Fused, Rule::Exact),
            ] {
                let variant = format!("{method}, {kind:?}, D={dim}, {stage:?}, {rule:?}");
                list.push(one::<Analytic, M>(variant, key(stage, rule, kind, dim, sharing)));
            }
        }
    }
    for dim in [2, 64] {
        for stage in [Stage::Start, Stage::Move, Stage::Weigh] {
            let variant = format!("{method}, Buffer, D={dim}, {stage:?}");
            let sharing = if dim > FEW { shared } else { TOGETHER };
            let key = StepKey { looks: false, ..key(stage, Rule::Trap, Kind::Gaussian, dim, sharing) };
            list.push(one::<Buffer, M>(variant, key));
        }
    }
    let mixture = Kind::IsotropicMixture;
    let widest = key(Stage::Fused, Rule::Exact, mixture, FEW, TOGETHER);
    list.push(one::<Analytic, M>(format!("{method}, {mixture:?}, D=4, Fused, Exact"), widest));
    for (dim, sharing) in [(2, TOGETHER), (64, shared), (784, TOGETHER)] {
        for rule in [Rule::Left, Rule::Trap] {
            let variant = format!("{method}, {mixture:?}, D={dim}, Fused, {rule:?}, f16");
            list.push(of::<Analytic, M>(
                variant,
                key(Stage::Fused, rule, mixture, dim, sharing),
                Element::F16,
            ));
        }
    }
    for (rule, crew, sharing) in [
        (Rule::Left, Crew::Cube, TOGETHER),
        (Rule::Exact, Crew::Cube, TOGETHER),
        (Rule::Trap, Crew::One, APART),
    ] {
        let key = key(Stage::Fused, rule, mixture, 2, sharing);
        let variant = format!("{method}, {mixture:?}, D=2, {rule:?}, {crew:?}");
        list.push(entry!(variant, steps_kernel::StepsKernel<Analytic, M, Euclid>(
            a b common history scratch models tables shape first last; LANES, LANES, crew, key, Element::F32.kind()
        )));
    }
    let small = key(Stage::Fused, Rule::Trap, mixture, 2, APART);
    list.push(one::<Analytic, M>(format!("{method}, {mixture:?}, D=2, Fused, a block a unit"), small));
    let handed = StepKey { handed: true, ..key(Stage::Fused, Rule::Trap, mixture, 2, TOGETHER) };
    list.push(one::<Analytic, M>(format!("{method}, {mixture:?}, D=2, Fused, weights handed on"), handed));
}

/// Cubes for D = 64: as many units as have room for their scratch.
fn shared(count: usize) -> Sharing {
    match shared_units(SHARED, (1 + count) * 64) {
        0 => TOGETHER,
        units => Sharing { together: true, units },
    }
}

/// The key of a launch.
fn key(count: usize, stage: Stage, rule: Rule, kind: Kind, dim: usize, sharing: Sharing) -> StepKey {
    StepKey {
        stage,
        weighed: true,
        exact: rule == Rule::Exact,
        weighted_start: stage == Stage::Start && rule == Rule::Exact,
        carried: rule != Rule::Left,
        follows: false,
        estimated: 0,
        twist: None,
        laplacians: false,
        ladder: false,
        handed: false,
        roots: rule != Rule::Left,
        models: ModelKey {
            count,
            kinds: [kind; MAX_MODELS],
            registers: if dim <= FEW { dim } else { 0 },
            layout: Layout::Columns,
            own_exp: true,
        },
        paired: dim <= 2,
        rows: stage == Stage::Move,
        wide: false,
        looks: true,
        scratch: match dim {
            0..=FEW => Scratch::Registers,
            64 if sharing.units < UNITS => Scratch::Shared((1 + count) * dim * sharing.units as usize),
            _ => Scratch::Particles,
        },
        sharing,
    }
}

/// The same of a method that follows.
fn following<M: Method>(list: &mut Vec<Offline>, method: &str, count: usize, laplacians: bool) {
    let key = |stage, rule, kind, dim, sharing| StepKey {
        follows: true,
        laplacians,
        ..key(count, stage, rule, kind, dim, sharing)
    };
    let mixture = Kind::IsotropicMixture;
    let few = [
        (Stage::Start, Rule::Exact),
        (Stage::Fused, Rule::Left),
        (Stage::Fused, Rule::Trap),
        (Stage::Fused, Rule::Exact),
        (Stage::Weigh, Rule::Trap),
    ];
    let few = few.map(|(stage, rule)| (stage, rule, 2, TOGETHER));
    let many = [(Stage::Fused, Rule::Left, 64, shared(count)), (Stage::Fused, Rule::Trap, 784, TOGETHER)];
    for (stage, rule, dim, sharing) in few.into_iter().chain(many) {
        let variant = format!("{method}, {mixture:?}, D={dim}, {stage:?}, {rule:?}");
        list.push(one::<Analytic, M>(variant, key(stage, rule, mixture, dim, sharing)));
    }
    for kind in [Kind::DiagonalMixture, Kind::Gaussian] {
        let variant = format!("{method}, {kind:?}, D=2, Fused, Trap");
        list.push(one::<Analytic, M>(variant, key(Stage::Fused, Rule::Trap, kind, 2, TOGETHER)));
    }
    let key = key(Stage::Fused, Rule::Trap, Kind::IsotropicMixture, 2, TOGETHER);
    let variant = format!("{method}, D=2, Trap, {:?}", Crew::Cube);
    list.push(entry!(variant, steps_kernel::StepsKernel<Analytic, M, Euclid>(
        a b common history scratch models tables shape first last; LANES, LANES, Crew::Cube, key, Element::F32.kind()
    )));
}

/// The same of two networks whose log-densities are estimated, and of closed forms.
fn estimating<M: Method>(list: &mut Vec<Offline>, method: &str) {
    let key = |stage, dim, sharing| StepKey {
        follows: true,
        estimated: 3,
        ..key(2, stage, Rule::Trap, Kind::IsotropicMixture, dim, sharing)
    };
    for (stage, dim) in
        [(Stage::Start, 2), (Stage::Move, 2), (Stage::Weigh, 2), (Stage::Move, 64), (Stage::Weigh, 64)]
    {
        let key = StepKey { looks: false, ..key(stage, dim, if dim > FEW { shared(2) } else { TOGETHER }) };
        list.push(one::<Buffer, M>(format!("{method}, estimates, D={dim}, {stage:?}"), key));
    }
    let key = key(Stage::Fused, 2, TOGETHER);
    list.push(one::<Analytic, M>(format!("{method}, estimates, D=2, Fused"), key));
}

/// What a weight rule keeps; the host's rules by the same names.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    Left,
    Trap,
    Exact,
}

fn one<S: Score, M: Method>(variant: String, key: StepKey) -> Offline {
    of::<S, M>(variant, key, Element::F32)
}

fn of<S: Score, M: Method>(variant: String, key: StepKey, element: Element) -> Offline {
    entry!(cubes of key.sharing.units, variant, step_kernel::StepKernel<S, M, Euclid>(before after common scratch models tables shape step; LANES, LANES, key, element.kind()))
}
