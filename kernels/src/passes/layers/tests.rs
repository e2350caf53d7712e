//! Plans as data.

use super::graph::Do;
use super::plan::{Plan, What};
use super::{Asked, Graph, Printed, plan_of};
use crate::models::layers::{Activation, Extent, Features, Layers, Op};

const SILU: Op = Op::Act(Activation::Silu);

fn conv(out: usize, taps: usize) -> Op {
    Op::Conv { out, taps, stride: 1, before: usize::from(taps == 3) }
}

/// Residual blocks on 4 channels of `side` x `side` pixels, shifted by the time, the last of them behind a pixel four
/// times as large.
fn blocks(count: usize, side: usize) -> Layers {
    let mut layers = Layers::default();
    let features = Features::Positional { count: 4, shift: 0.0, period: 1e4, cosines_first: true };
    let t = layers.push(Op::Time(features), &[], &[]).unwrap();
    let mut x = layers.push(Op::State(Extent { channels: 4, height: side, width: side }), &[], &[]).unwrap();
    let mut put = |op, from: &[usize]| layers.push(op, from, &[0, 0]).unwrap();
    let norm = Op::Norm { groups: 2, eps: 1e-5 };
    let first = x;
    for _ in 0..count {
        let y = put(norm, &[x]);
        let y = put(SILU, &[y]);
        let y = put(conv(4, 3), &[y]);
        let v = put(conv(4, 1), &[t]);
        let y = put(Op::Shift, &[y, v]);
        let y = put(norm, &[y]);
        let y = put(SILU, &[y]);
        let y = put(conv(4, 3), &[y]);
        let sum = put(Op::Add, &[x, y]);
        x = put(Op::Affine { scale: 0.5, shift: 0.0 }, &[sum]);
    }
    let up = put(Op::Upsample, &[x]);
    let up = put(conv(4, 3), &[up]);
    let again = put(Op::Upsample, &[first]);
    put(Op::Concat, &[up, again]);
    layers
}

/// Whether every launch finds in each slot the value that it reads, and writes none that it reads.
fn sound(plan: &Plan) {
    let mut held = vec![usize::MAX; plan.slots.len()];
    for step in &plan.steps {
        for read in &step.reads {
            assert_eq!(held[plan.at[*read]], *read, "{step:?}");
        }
        for write in &step.writes {
            assert!(step.reads.iter().all(|read| plan.at[*read] != plan.at[*write]), "{step:?}");
            assert!(plan.slots[plan.at[*write]] >= plan.numbers[*write], "{step:?}");
            held[plan.at[*write]] = *write;
        }
    }
    assert!(plan.needed() <= plan.held());
    assert!(plan.slots.is_sorted_by(|a, b| a >= b), "{:?}", plan.slots);
}

#[test]
fn every_value_stays_until_it_is_read() {
    for layers in [blocks(1, 4), blocks(3, 4), blocks(7, 2)] {
        for fused in [true, false] {
            let graph = Graph::new(&layers, fused).unwrap();
            for asked in Asked::ALL {
                for recompute in [false, true] {
                    sound(&plan_of(&graph, asked, recompute));
                }
            }
        }
    }
}

#[test]
fn neighbours_become_one_launch() {
    let layers = blocks(1, 4);
    let of = |fused| {
        let graph = Graph::new(&layers, fused).unwrap();
        (plan_of(&graph, Asked::Output, false), graph)
    };
    let (plan, graph) = of(true);
    let wanted = "\
take state                                                    -> 2
norm [4, 4, 4]                                              2 -> 3
conv [4, 4, 4] -> [4, 4, 4]                                 3 -> 4
norm [4, 4, 4]                                              4 -> 3
conv [4, 4, 4] -> [4, 4, 4] + other                       3 2 -> 4
conv upsampled [4, 4, 4] -> [4, 8, 8]                       4 -> 1
upsample [4, 4, 4]                                          2 -> 0
join                                                      1 0 -> 2
give output                                                 2 -> ";
    let printed = Printed(&plan, &graph).to_string();
    let steps = printed.lines().take(plan.steps.len());
    // What is launched, in which order; slots may change with the way they are chosen.
    for (found, wanted) in steps.zip(wanted.lines()) {
        assert_eq!(found[..52].trim_end(), wanted[..52].trim_end(), "{printed}");
    }
    assert!(printed.lines().last().unwrap().starts_with("9 launches, "), "{printed}");
    let what = graph.nodes[4].what;
    assert!(matches!(what, Do::Conv { bias: None, other: true, scale: 0.5, .. }), "{what:?}");
    let (apart, other) = of(false);
    assert_eq!(other.entries.len(), graph.entries.len(), "a vector is a row either way");
    assert!(apart.steps.len() > plan.steps.len(), "{}", apart.steps.len());
    // Of pixels that are read four times 4 of 9 taps differ.
    assert!(apart.products(&other) > plan.products(&graph));
}

#[test]
fn values_computed_again_need_less_memory_and_the_same_launches() {
    let graph = Graph::new(&blocks(12, 4), true).unwrap();
    let [kept, again] = [false, true].map(|recompute| plan_of(&graph, Asked::Back, recompute));
    println!("{} numbers a particle kept, {} computed again", kept.held(), again.held());
    // 24 norms keep what they read; of 12 blocks few are held at once.
    assert!(again.held() < kept.held() * 2 / 3, "{} of {}", again.held(), kept.held());
    let backwards = |plan: &Plan| -> Vec<What> {
        let back = |what: &What| matches!(what, What::ConvBack { .. } | What::NormBack { .. });
        plan.steps.iter().map(|step| step.what).filter(back).collect()
    };
    assert_eq!(backwards(&kept), backwards(&again));
    assert!(again.steps.len() > kept.steps.len());
}

#[test]
fn a_network_that_does_not_look_at_its_state_is_refused() {
    let mut layers = Layers::default();
    layers.push(Op::State(Extent::vector(3)), &[], &[]).unwrap();
    layers.push(Op::Class { count: 3 }, &[], &[0]).unwrap();
    let error = Graph::new(&layers, true).unwrap_err().to_string();
    assert!(error.starts_with("output of a network: found none that depends on the state"), "{error}");
    layers.push(Op::Add, &[0, 1], &[]).unwrap();
    let graph = Graph::new(&layers, true).unwrap();
    assert_eq!(graph.nodes.len(), 2, "the class is a row: {:?}", graph.nodes);
    layers.push(Op::State(Extent::vector(4)), &[], &[]).unwrap();
    let error = Graph::new(&layers, true).unwrap_err().to_string();
    assert!(error.starts_with("second state of a network"), "{error}");
}
