//! The weight of a reward, raised as far as the ESS allows.

use feynkac::kernels::device::Device;
use feynkac::kernels::methods::{ROW, SCHEDULED};
use feynkac::kernels::passes::ladder::{Ladder, RUNG, oracle};
use feynkac::kernels::passes::weights::RECORD;
use feynkac::kernels::prims::state::{BLOCK, Population};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::SIZES;
use super::layers::wide;
use super::resample::population;
use crate::methods::s1::slow;

on_every_device! { as_far_as_the_oracle, dead_particles_do_not_count, what_cannot_be_is_refused }

/// Two groups, each from a weight of its own, at step 1 of `steps`: (weight, ESS before) of each, and all log-weights.
fn raised(
    device: &Device,
    of: &Population,
    (log_w, rewards): (&[f32], &[f32]),
    old: [f32; 2],
    (scheduled, share, steps): (f32, f32, usize),
) -> ([[f32; 2]; 2], Vec<f32>) {
    let mut rungs = vec![-7.0_f32; 2 * RUNG * (steps + 1)];
    (rungs[2 * RUNG], rungs[3 * RUNG]) = (old[0], old[1]);
    let mut table = vec![f32::NAN; 3 * ROW];
    table[2 * ROW + SCHEDULED] = scheduled;
    let values = device.upload("log-weights", log_w).expect("room");
    let rungs = device.upload("rungs", &rungs).expect("room");
    let ladder = Ladder {
        share,
        steps,
        log_w: &values,
        rewards: &device.upload("rewards", rewards).expect("room"),
        coeffs: &device.upload("coefficients", &table).expect("room"),
        records: &device.empty("records", RECORD * of.groups * of.blocks()).expect("room"),
        rungs: &rungs,
        of,
    };
    ladder.launch(device, 1).expect("a launch");
    let found = device.download(&rungs).expect("weights");
    let at = |g: usize| [found[2 * RUNG * 2 + RUNG * g], found[2 * RUNG * 2 + RUNG * g + 1]];
    ([at(0), at(1)], device.download(&values).expect("log-weights"))
}

fn as_far_as_the_oracle(device: &Device) {
    let mut rng = StdRng::seed_from_u64(31);
    let (mut all_the_way, mut some, mut none) = (0, 0, 0);
    for (at, n) in SIZES.into_iter().enumerate().filter(|(_, n)| !slow(device) || *n < 2000) {
        let of = population(device, 2, n, BLOCK);
        for (spread, share, steps) in [(0.1, 0.9, 9), (1.5, 0.5, 9), (1.5, 0.5, 2), (3.0, 0.7, 9)] {
            let log_w: Vec<f32> =
                (0..of.stride()).map(|_| spread * rng.random_range(-1.0_f32..1.0)).collect();
            let rewards: Vec<f32> = (0..of.stride()).map(|_| rng.random_range(-4.0_f32..1.0)).collect();
            let (old, scale) = ([0.25_f32, 0.5], [1.5_f32, -2.0, 0.26][at % 3]);
            let (found, after) = raised(device, &of, (&log_w, &rewards), old, (scale, share, steps));
            for g in 0..2 {
                let own = g * of.padded()..g * of.padded() + n;
                let (l, r) = (wide(&log_w[own.clone()]), wide(&rewards[own.clone()]));
                let least = f64::from(share) * n as f64;
                let wanted = match steps {
                    2 => f64::from(scale),
                    _ => oracle::next(&l, &r, f64::from(old[g]), f64::from(scale), least),
                };
                let [weight, before] = found[g].map(f64::from);
                // Sums of n numbers in f32, and the slope of the ESS by the weight, which is about the ESS.
                let allowed = 1.0e-5 + f64::from(f32::EPSILON) * n as f64 / 8.0;
                assert!((weight - wanted).abs() < 10.0 * allowed, "{n}, {share}: {weight} for {wanted}");
                let ess = oracle::ess(&l, &r, 0.0);
                assert!((before / ess - 1.0).abs() < allowed, "{n}: ESS {before} for {ess}");
                let gained = f64::from(found[g][0] - old[g]);
                for (i, slot) in own.enumerate() {
                    let wanted = l[i] + gained * r[i];
                    assert!((f64::from(after[slot]) - wanted).abs() < 4.0e-6, "{n}, {i}: log-weight");
                }
                all_the_way += u32::from(weight == f64::from(scale) && steps > 2);
                none += u32::from(weight == f64::from(old[g]));
                some += u32::from(weight != f64::from(scale) && weight != f64::from(old[g]));
            }
        }
    }
    println!("{}: {all_the_way} all the way, {some} in part, {none} not at all", device.backend());
    assert!(all_the_way > 5 && some > 5 && none > 5);
}

/// A weight of zero stays zero whatever is said of its reward, and a group of them does not move.
fn dead_particles_do_not_count(device: &Device) {
    let n = 300;
    let of = population(device, 2, n, BLOCK);
    let mut log_w = vec![-1.0e30_f32; of.stride()];
    let mut rewards = vec![f32::NAN; of.stride()];
    for i in (0..n).step_by(2) {
        (log_w[i], rewards[i]) = (0.0, -(i as f32) / 50.0);
    }
    let (found, after) = raised(device, &of, (&log_w, &rewards), [0.0, 0.1], (1.0, 0.3, 9));
    let alive = |all: &[f32]| wide(&all.iter().take(n).step_by(2).copied().collect::<Vec<f32>>());
    let wanted = oracle::next(&alive(&log_w), &alive(&rewards), 0.0, 1.0, 0.3 * n as f64);
    assert!(wanted > 0.1 && wanted < 0.9, "in part: {wanted}");
    assert!((f64::from(found[0][0]) - wanted).abs() < 1.0e-4, "{} for {wanted}", found[0][0]);
    assert!((found[0][1] - 150.0).abs() < 1.0e-3, "{}", found[0][1]);
    assert_eq!(found[1], [0.1, 0.0]);
    assert!((0..n).all(|i| (after[i] < -1.0e29) == (i % 2 == 1)), "who was dead stays dead");
}

fn what_cannot_be_is_refused(device: &Device) {
    let of = population(device, 2, 5, BLOCK);
    let some = device.upload("numbers", &vec![0.0_f32; of.stride()]).expect("room");
    let records = device.empty("records", RECORD * of.groups * of.blocks()).expect("room");
    let (share, steps, of) = (0.5, 3, &of);
    let table = device.upload("coefficients", &vec![0.0_f32; 5 * ROW]).expect("room");
    let (log_w, rewards, coeffs, records, rungs) = (&some, &some, &table, &records, &some);
    let ladder = Ladder { share, steps, log_w, rewards, coeffs, records, rungs, of };
    let refused = |ladder: Ladder, step: usize| ladder.launch(device, step).expect_err("refused").to_string();
    let message = refused(Ladder { share: 1.0, ..ladder }, 0);
    assert_eq!(message, "share of the ESS: found 1, wanted a number above 0 and below 1");
    assert!(refused(Ladder { coeffs: &some, ..ladder }, 3).starts_with("coefficient table: found"));
    let cell = device.upload("a cell", &[0.0_f32]).expect("room");
    assert!(refused(Ladder { rungs: &cell, ..ladder }, 3).starts_with("weights of the reward: found 1"));
}
