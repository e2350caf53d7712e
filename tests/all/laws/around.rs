//! What comes around resampling leaves groups to themselves and can be replayed: the same bits in batches of one group,
//! by launches and by a graph.

use feynkac::kernels::device::Device;
use feynkac::{Langevin, Method, Options, Outcome, Policy, Schedule, Scheme, sample};

use crate::methods::s1::models;

on_every_device! { groups_stand_alone_and_replays_are_launches, many_steps_in_a_launch_give_way }

/// An option by name, and how to ask for it.
type Change = (&'static str, fn(&mut Options));

/// Every option by itself, and several together.
const CHANGES: [Change; 7] = [
    ("langevin", |o| o.langevin = Langevin { moves: 2, size: 0.2 }),
    ("temper", |o| o.temper = 0.5),
    ("partial", |o| o.partial = 0.3),
    ("increments", |o| (o.quantile, o.centre, o.clamp) = (Some(0.9), true, Some(1.0))),
    ("birth and death", |o| o.scheme = Scheme::BirthDeath),
    ("clock", |o| (o.scheme, o.langevin.moves) = (Scheme::Clock, 1)),
    ("together", |o| (o.temper, o.scheme, o.centre, o.langevin.moves) = (0.7, Scheme::Residual, true, 1)),
];

fn options(change: fn(&mut Options)) -> Options {
    let mut options = Options::new(Method::FkcAnneal, Schedule::Ve { sigma_min: 0.1, sigma_max: 10.0 });
    (options.beta, options.resample, options.genealogy) = (1.4, Policy::Every, true);
    (options.particles, options.groups, options.steps) = (150, 3, 8);
    change(&mut options);
    options
}

fn bits(out: &Outcome) -> (Vec<u32>, Vec<u64>, Vec<u32>) {
    let x = out.x.iter().chain(&out.log_w).map(|x| x.to_bits()).collect();
    let log_z = out.log_z.iter().map(|z| z.to_bits()).collect();
    (x, log_z, out.genealogy.as_ref().expect("parents").parents.clone())
}

fn groups_stand_alone_and_replays_are_launches(device: &Device) {
    for (what, change) in CHANGES {
        let mut options = options(change);
        let run = |options: &Options| sample(device, &models(options), options, None).expect("a run");
        let wanted = run(&options);
        options.graph = false;
        assert_eq!(bits(&run(&options)), bits(&wanted), "{what}: launches");
        options.micro_batch = 1;
        assert_eq!(bits(&run(&options)), bits(&wanted), "{what}: a group at a time");
        assert!(wanted.resampled_at.iter().all(|steps| !steps.is_empty()), "{what}: it must resample");
        // The control: another seed is another run.
        options.seed += 1;
        assert_ne!(bits(&run(&options)).0, bits(&wanted).0, "{what}");
    }
}

/// The kernel of many steps knows the usual passes alone: Langevin moves it can do, nothing else of these.
fn many_steps_in_a_launch_give_way(device: &Device) {
    for (what, change) in &CHANGES[..3] {
        let mut options = options(*change);
        (options.genealogy, options.resample) = (false, Policy::Ess(0.9));
        let apart = sample(device, &models(&options), &options, None).expect("a run");
        options.at_once = 4;
        let together = sample(device, &models(&options), &options, None).expect("a run");
        assert_eq!((&together.x, &together.log_w), (&apart.x, &apart.log_w), "{what}");
        let fewer = together.counters.launches < apart.counters.launches;
        assert_eq!(fewer, *what == "langevin", "{what}: {} launches", together.counters.launches);
    }
}
