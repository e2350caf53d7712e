//! Slots for the values of a plan: a value has one from the launch that writes it to the last that reads it.

use super::plan::{Plan, Value};

/// The last step that reads, or writes, each value.
pub fn last_uses(plan: &Plan) -> Vec<usize> {
    let mut last = vec![0; plan.numbers.len()];
    for (at, step) in plan.steps.iter().enumerate() {
        step.reads.iter().chain(&step.writes).for_each(|v| last[*v] = at);
    }
    last
}

/// Gives every value a slot: the smallest free one that holds it, else the largest free one, which grows, else a new one.
/// A launch never writes a slot that it reads.
pub fn assign(plan: &mut Plan) {
    let last = last_uses(plan);
    let mut slots: Vec<usize> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut at = vec![0; plan.numbers.len()];
    for (now, step) in plan.steps.iter().enumerate() {
        for value in &step.writes {
            let numbers = plan.numbers[*value];
            let fits = (0..free.len()).filter(|i| slots[free[*i]] >= numbers).min_by_key(|i| slots[free[*i]]);
            let chosen = fits.or_else(|| (0..free.len()).max_by_key(|i| slots[free[*i]]));
            let slot = match chosen {
                Some(i) => free.swap_remove(i),
                None => {
                    slots.push(0);
                    slots.len() - 1
                }
            };
            slots[slot] = slots[slot].max(numbers);
            at[*value] = slot;
        }
        let mut ends: Vec<Value> = step.reads.iter().chain(&step.writes).copied().collect();
        ends.sort_unstable();
        ends.dedup();
        free.extend(ends.into_iter().filter(|v| last[*v] == now).map(|v| at[v]));
    }
    let mut order: Vec<usize> = (0..slots.len()).collect();
    order.sort_by_key(|slot| std::cmp::Reverse(slots[*slot]));
    let mut place = vec![0; slots.len()];
    order.iter().enumerate().for_each(|(new, old)| place[*old] = new);
    plan.at = at.into_iter().map(|slot| place[slot]).collect();
    plan.slots = order.into_iter().map(|slot| slots[slot]).collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::layers::plan::{Step, What};

    #[test]
    fn slots_are_reused_once_nobody_reads_them() {
        let step = |reads: &[usize], writes: &[usize]| Step {
            what: What::Join,
            reads: reads.to_vec(),
            writes: writes.to_vec(),
        };
        let mut plan = Plan {
            // 0 -> 1 -> 2 -> 3, and 0 again at the end
            steps: vec![step(&[], &[0]), step(&[0], &[1]), step(&[1], &[2]), step(&[2, 0], &[3])],
            numbers: vec![4, 10, 6, 7],
            ..Plan::default()
        };
        assign(&mut plan);
        // 3 may not stand where 2 or 0 are: it takes the slot of 1.
        assert_eq!(plan.slots, [10, 6, 4]);
        assert_eq!(plan.at, [2, 0, 1, 0]);
        assert_eq!((plan.held(), plan.needed()), (20, 20));
        for step in &plan.steps {
            assert!(step.writes.iter().all(|w| step.reads.iter().all(|r| plan.at[*r] != plan.at[*w])));
        }
    }
}
