//! The folders that diffusers made (tests/data/diffusers), against what diffusers says of them in f64.

use std::path::{Path, PathBuf};

use super::*;
use crate::schedule::Prediction;
use crate::weights::Weights;

pub(super) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/diffusers").join(name)
}

fn wide(file: &Weights, name: &str) -> Vec<f64> {
    let shape = file.shape(name).expect("the golden file holds it").to_vec();
    file.f32(name, &shape).expect("golden values are finite").into_iter().map(f64::from).collect()
}

/// The largest difference over the largest number wanted.
fn relative(got: &[f64], wanted: &[f64]) -> f64 {
    assert_eq!(got.len(), wanted.len());
    let largest = wanted.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    got.iter().zip(wanted).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs())) / largest
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Golden values are rounded to f32 once (6e-8), but diffusers takes the angles of positional features in f32: at
/// t of 17.5 that is up to 1e-6 in the first features, and what the network makes of it.
fn check(name: &str, tolerance: f64) {
    check_states(&folder(name), &[0, 1], tolerance);
}

fn check_states(folder: &Path, states: &[usize], tolerance: f64) {
    let name = folder.file_name().unwrap().to_string_lossy();
    let (net, warnings) = load(folder).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(warnings, [""; 0]);
    let golden = Weights::open(&folder.join("golden.safetensors")).unwrap();
    let numbers = net.config.extent(net.config.inputs).numbers();
    let classes: Vec<Option<usize>> = match net.config.classes {
        None => vec![None; states.len()],
        Some(_) => golden.i32("class_labels").unwrap().iter().map(|c| usize::try_from(*c).ok()).collect(),
    };
    let [x, cotangent, output, slopes] =
        ["sample", "cotangent", "output", "vjp"].map(|name| wide(&golden, name));
    let time = wide(&golden, "timestep");
    for &i in states {
        let part = |of: &[f64]| {
            let each = of.len() / time.len();
            of[i * each..(i + 1) * each].to_vec()
        };
        let (x, u) = (part(&x), part(&cotangent));
        let (got, back) = net.vjp(&x, time[i], classes[i], &u).unwrap();
        assert_eq!(net.forward(&x, time[i], classes[i]).unwrap(), got);
        let faults = [relative(&got, &part(&output)), relative(&back, &part(&slopes))];
        // <J' u, v> is the slope of <u, output> along v: by central differences, of step h
        let v: Vec<f64> = (0..numbers).map(|k| (k as f64 * 0.7 + i as f64).sin()).collect();
        let h = 1e-5;
        let at = |s: f64| {
            let moved: Vec<f64> = x.iter().zip(&v).map(|(x, v)| x + s * h * v).collect();
            dot(&u, &net.forward(&moved, time[i], classes[i]).unwrap())
        };
        let (along, slope) = ((at(1.0) - at(-1.0)) / (2.0 * h), dot(&back, &v));
        let size = dot(&back, &back).sqrt() * dot(&v, &v).sqrt();
        let by_differences = (along - slope).abs() / size;
        println!(
            "{name}, state {i}: output {:.1e}, vjp {:.1e}, differences {by_differences:.1e}",
            faults[0], faults[1]
        );
        assert!(faults.iter().all(|f| *f <= tolerance), "{name}, state {i}: {faults:?}");
        assert!(by_differences <= 1e-7, "{name}, state {i}: {along}, {slope}");
        // ... and a network of another time is another one
        let later = net.forward(&x, time[i] + 1.0, classes[i]).unwrap();
        assert!(relative(&later, &part(&output)) > 10.0 * tolerance, "{name} does not look at its time");
    }
}

#[test]
fn the_shipped_network_of_digits() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/mnist-ddpm");
    // Of eleven states the least noisy, one between, and the noisiest, which is of the null class; in f64 throughout.
    check_states(&shipped, &[0, 6, 10], 1.2e-7);
    let (net, _) = load(&shipped).unwrap();
    assert_eq!((net.net.classes, net.net.null), (Some(11), Some(10)));
    assert_eq!(net.scheduler.unwrap().prediction, Prediction::V);
    assert!(net.data.is_some_and(|data| data.std > 0.5 && data.std < 0.7));
}

#[test]
fn a_pipeline_with_attention_in_its_deepest_level() {
    check("pipeline", 1e-6);
    let (net, _) = load(&folder("pipeline")).unwrap();
    let scheduler = net.scheduler.expect("the pipeline has one");
    assert_eq!(scheduler.prediction, Prediction::Eps);
    assert_eq!(scheduler.schedule, crate::Schedule::VpLinear { b0: 0.1, b1: 20.0 });
}

#[test]
fn shards_with_classes_and_time_as_scale_and_shift() {
    check("shards", 1e-6);
}

#[test]
fn half_precision_with_padding_on_one_side() {
    check("half", 1e-6);
}

#[test]
fn fourier_features_and_the_old_names_of_attention() {
    check("old-names", 2e-7);
}

/// A step by diffusers' own scheduler is that of the chain `learned`, given the noise that it drew.
#[test]
fn a_network_that_says_how_broad_a_step_is() {
    check("learned", 1e-6);
    let (asked, _) = crate::model::Asked::open(&folder("learned"), None).unwrap();
    let golden = Weights::open(&folder("learned").join("golden.safetensors")).unwrap();
    let [x, wanted, noise, said] = ["sample", "step", "step.noise", "output"].map(|name| wide(&golden, name));
    let (schedule, dim) = (asked.scheduler.schedule, asked.dim());
    let times = asked.scheduler.noise_times(&schedule, 20).unwrap();
    // Falling from training step 19; diffusers stepped from 12 to 11.
    let at = |i: usize| crate::twist::noise(&schedule, times[19 - i]);
    let task =
        crate::Task::Reward { slope: vec![0.0; dim], curvature: vec![0.0; dim], centre: vec![0.0; dim] };
    let twisting = crate::Twisting { chain: crate::Chain::Learned, ..crate::Twisting::new(task) };
    let options = crate::Options::new(crate::Method::Plain, schedule);
    let level = crate::coeffs::steps(&options, &[at(12), at(11)], dim).unwrap()[0];
    let c = crate::twist::row(&twisting, (&[at(12), at(11)], 0), dim, level);
    assert_eq!((asked.loaded.net.output(), said.len()), (asked.loaded.net.input(), 4 * dim));
    for i in 0..2 {
        let (own, sigma) = (i * dim..(i + 1) * dim, at(12).sigma);
        let (eps, f) = said[2 * i * dim..2 * (i + 1) * dim].split_at(dim);
        let moved = |k: usize| {
            let broad = (c.width[0] - c.width[1] * f[k] / sigma).exp();
            c.shrink * x[own.start + k] - c.drift * eps[k] / sigma + c.noise * broad * noise[own.start + k]
        };
        let found: Vec<f64> = (0..dim).map(moved).collect();
        let fault = relative(&found, &wanted[own.clone()]);
        println!("learned, state {i}: a step of diffusers is missed by {fault:.1e}");
        assert!(fault < 1e-6, "{fault}");
        // The control: by the largest variance alone.
        let still: Vec<f64> = (0..dim)
            .map(|k| c.shrink * x[own.start + k] - c.drift * eps[k] / sigma + c.noise * noise[own.start + k])
            .collect();
        assert!(relative(&still, &wanted[own]) > 1e-3);
    }
}

#[test]
fn schedulers_keep_the_signal_that_diffusers_keeps() {
    let golden = Weights::open(&folder("schedulers.safetensors")).unwrap();
    let parse = |text: &str| Scheduler::parse(Path::new("s.json"), text).unwrap().0;
    for name in ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"] {
        let scheduler = parse(&format!(
            r#"{{"_class_name": "DDPMScheduler", "beta_schedule": "{name}", "beta_start": 0.001, "beta_end": 0.05,
                "num_train_timesteps": 50}}"#
        ));
        let Timestep::Table(table) = &scheduler.timestep else { panic!("a table") };
        let kept: Vec<f64> = table.iter().map(|l| 1.0 / (1.0 + (2.0 * l).exp())).collect();
        let wanted = wide(&golden, name);
        // products of 50 numbers in f32
        let worst = kept.iter().zip(&wanted).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f64::max);
        println!("{name}: {worst:.1e}");
        // in the last step of the cosine 1 - beta is 1e-3, known to 6e-8 only
        assert!(worst < if name == "squaredcos_cap_v2" { 2e-4 } else { 50.0 * 1.2e-7 }, "{name}: {worst}");
        for i in [0, 17, 49] {
            assert!((scheduler.time_at(table[i]).unwrap() - i as f64).abs() < 1e-9);
            // the frame's alpha and sigma are the table's
            let c = scheduler.score_coeffs(table[i]);
            let sigma = (1.0 - kept[i]).sqrt();
            assert!((c.out * sigma + 1.0).abs() < 1e-9 && c.x == 0.0 && c.input == 1.0, "{name}: {c:?}");
        }
        let between = scheduler.time_at(0.25 * table[3] + 0.75 * table[4]).unwrap();
        assert!((between - 3.75).abs() < 1e-9, "{between}");
        assert!(scheduler.time_at(table[49] + 0.1).is_err() && scheduler.time_at(f64::NAN).is_err());
    }
    for spacing in ["leading", "trailing", "linspace"] {
        let scheduler = parse(&format!(
            r#"{{"_class_name": "DDPMScheduler", "timestep_spacing": "{spacing}", "steps_offset": 1}}"#
        ));
        for steps in [7, 50] {
            let wanted: Vec<usize> =
                wide(&golden, &format!("{spacing}.{steps}")).into_iter().map(|t| t as usize).collect();
            assert_eq!(scheduler.timesteps(steps).unwrap(), wanted, "{spacing}");
        }
    }
}

/// `set_timesteps` of diffusers 0.42.1 with `steps_offset` 1; of PNDM the steps between which it goes, and of Euler,
/// Heun and LMS 832.5, 499.5 and 166.5 to the nearest, of two the even one.
#[test]
fn steps_are_spread_as_the_class_of_diffusers_spreads_them() {
    let scheduler = |class: &str, spacing: &str| {
        let text = format!(
            r#"{{"_class_name": "{class}Scheduler", "timestep_spacing": "{spacing}", "steps_offset": 1}}"#
        );
        Scheduler::parse(Path::new("s.json"), &text).unwrap().0
    };
    let trailing = ("trailing", [999, 856, 713, 570, 428, 285, 142]);
    let all = [
        ("leading", [853, 711, 569, 427, 285, 143, 1]),
        trailing,
        ("linspace", [999, 832, 666, 500, 333, 166, 0]),
    ];
    let inner = [999, 856, 714, 571, 428, 285, 143];
    let open = [("leading", [876, 751, 626, 501, 376, 251, 126]), trailing, ("linspace", inner)];
    let classes = ["DDPM", "DDIM", "DDPMParallel", "PNDM"].into_iter();
    let classes = classes.chain(["EulerDiscrete", "EulerAncestralDiscrete", "HeunDiscrete", "LMSDiscrete"]);
    let solvers = ["DPMSolverMultistep", "DEISMultistep", "UniPCMultistep"];
    for (class, wanted) in classes.map(|class| (class, all)).chain(solvers.map(|class| (class, open))) {
        for (spacing, wanted) in wanted {
            assert_eq!(scheduler(class, spacing).timesteps(7).unwrap(), wanted, "{class}, {spacing}");
        }
    }
    for spacing in ["leading", "trailing", "linspace"] {
        assert_eq!(scheduler("DPMSolverSinglestep", spacing).timesteps(7).unwrap(), inner, "{spacing}");
    }
    // One step; 48, of which the fourth, 937.5 less 1, is 1e-13 below the tie; one too many to be all different.
    let multistep = |spacing: &str| scheduler("DPMSolverMultistep", spacing);
    assert_eq!(multistep("leading").timesteps(1).unwrap(), [501]);
    assert_eq!(multistep("linspace").timesteps(1).unwrap(), [999]);
    assert_eq!(multistep("trailing").timesteps(48).unwrap()[..4], [999, 978, 957, 936]);
    let full = multistep("linspace");
    assert!(full.noise_times(&full.schedule, 999).is_ok());
    assert!(full.noise_times(&full.schedule, 1000).is_err());
    let spacing = |class: &str| {
        let text = format!(r#"{{"_class_name": "{class}Scheduler"}}"#);
        Scheduler::parse(Path::new("s.json"), &text).unwrap().0.spacing
    };
    assert_eq!(["PNDM", "DEISMultistep"].map(spacing), [Spacing::Leading, Spacing::LinspaceOpen]);
}

#[test]
fn the_preconditioning_of_edm_is_that_of_diffusers() {
    let golden = Weights::open(&folder("schedulers.safetensors")).unwrap();
    for (tensor, said) in [("edm", ""), ("edm.v", r#", "prediction_type": "v_prediction""#)] {
        let golden = wide(&golden, tensor);
        let text = format!(r#"{{"_class_name": "EDMEulerScheduler"{said}}}"#);
        let (edm, _) = Scheduler::parse(Path::new("s.json"), &text).unwrap();
        let (x, f, lambda) = (0.7, -1.3, 2.5f64.ln());
        let t = edm.schedule.time_at(lambda);
        let c = edm.preconditioning.denoiser_coeffs(edm.prediction, &edm.schedule, t);
        let got = [c.input * x, edm.time_at(lambda).unwrap(), c.x * x + c.out * f];
        assert!(relative(&got, &golden) < 3e-7, "{got:?}, {golden:?}");
        // the score that belongs to that denoiser
        let s = edm.score_coeffs(lambda);
        let score = (got[2] - x) / 2.5f64.powi(2);
        assert!((s.x * x + s.out * f - score).abs() < 1e-12, "{score}");
    }
}
