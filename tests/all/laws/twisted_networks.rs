//! Twisted runs with networks: of scores, of images, with learned variances, and classifiers behind them.

use std::path::Path;

use feynkac::kernels::device::Device;
use feynkac::verify::verify;
use feynkac::{Chain, Model, Options, Policy, Spread, Task, sample};

use crate::methods::s1::slow;
use crate::methods::tds::{VE, tiny};
use crate::reference::target;

on_every_device! {
    networks_agree,
    image_networks_agree,
    recomputed_values_change_nothing,
    learned_variances_agree,
    classifiers_agree,
    nothing_is_downloaded,
}

/// A shipped network.
pub fn network(name: &str) -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights").join(name);
    Model::open(&path, None).expect("a network").0
}

pub fn shipped_classifier(name: &str) -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights").join(name);
    Model::classifier(&path).expect("a classifier").0
}

/// A short run over what `model` was trained on.
pub fn short(model: &Model, task: Task) -> Options {
    let (schedule, t_max, t_min) = model.schedule().expect("a network");
    let mut options = tiny(task, schedule);
    (options.t_max, options.t_min) = (t_max, t_min);
    options
}

fn agrees(device: &Device, name: &str, models: &[Model], options: &Options) {
    let verdict = verify(device, models, options).expect("a walk");
    println!("{} {name}: {verdict}", device.backend());
    assert!(verdict.agrees(), "{name}: {verdict}");
    assert_eq!(verdict.steps, options.steps);
}

/// Tasks of a step with a network of scores, whose way back has its own launches.
fn networks_agree(device: &Device) {
    let tasks = [
        Task::Linear { operator: vec![1.0, -0.5], measured: vec![3.0], noise: vec![2.0] },
        Task::Inpaint { mask: vec![false, true], known: vec![0.0, -7.0], noise: 0.0 },
        Task::Placement { motif: vec![5.0], offsets: vec![0, 1], noise: 1.0 },
    ];
    for (at, task) in tasks.into_iter().enumerate().take(if slow(device) { 2 } else { 3 }) {
        let model = network("gmm40-mlp");
        let mut options = short(&model, task);
        (options.particles, options.groups) = [(17, 2), (70, 1), (3, 3)][at];
        options.steps = 6;
        options.resample = [Policy::Every, Policy::Ess(0.7), Policy::Never][at];
        let twisting = options.twisting.as_mut().expect("a twist");
        (twisting.lean, twisting.proposal_variance) = [(1.0, 1.0), (0.7, 1.2), (1.0, 1.1)][at];
        twisting.chain = if at == 0 { Chain::Posterior } else { Chain::Forward };
        agrees(device, &format!("network, task {at}"), &[model], &options);
    }
}

/// A U-Net, half of whose pixels are known.
fn image_networks_agree(device: &Device) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/diffusers/pipeline");
    let (model, _) = Model::open(&path, None).expect("a pipeline");
    let dim = model.dim();
    let mask = (0..dim).map(|k| k < dim / 2).collect();
    let known = (0..dim).map(|k| (0.7 * k as f64).sin()).collect();
    let mut options = short(&model, Task::Inpaint { mask, known, noise: 0.2 });
    (options.particles, options.steps) = (1, 2);
    // A gradient along every axis bounds what rounding can do: few states are enough of them.
    options.twisting.as_mut().expect("a twist").spread = Spread::Noise;
    agrees(device, "U-Net", &[model], &options);
}

/// Values of a network that are computed again on the way back are the same to the bit, and so are particles.
fn recomputed_values_change_nothing(device: &Device) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/diffusers/pipeline");
    let (model, _) = Model::open(&path, None).expect("a pipeline");
    let mask = (0..model.dim()).map(|k| k % 2 == 0).collect();
    let known = vec![0.3; model.dim()];
    let mut options = short(&model, Task::Inpaint { mask, known, noise: 0.2 });
    (options.particles, options.steps) = (3, 2);
    options.twisting.as_mut().expect("a twist").spread = Spread::Noise;
    let [kept, again] = [false, true].map(|recompute| {
        let options = Options { recompute, ..options.clone() };
        sample(device, std::slice::from_ref(&model), &options, None).expect("a run")
    });
    assert!(kept.x == again.x && kept.log_w == again.log_w && kept.log_z == again.log_z);
    assert!(again.x.iter().all(|x| x.is_finite()));
}

/// A U-Net that says how broad its steps are, and three of its steps.
pub fn learned(task: Task) -> (Model, Options) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/diffusers/learned");
    let model = Model::open(&path, None).expect("a folder").0;
    let mut options = short(&model, task);
    options.steps = 3;
    // The noisiest training step is beyond the end of the schedule beside the table.
    let all = model.respaced(&options.schedule, 20).expect("training steps");
    let times = vec![all[0], all[7], all[19]];
    assert!(times[0] > 1.0);
    (options.t_max, options.t_min, options.times) = (times[0], times[2], Some(times));
    options.resample = Policy::Every;
    let twisting = options.twisting.as_mut().expect("a twist");
    (twisting.spread, twisting.chain) = (Spread::Noise, Chain::Learned);
    (model, options)
}

/// Leant, leant within a range and not leant.
fn learned_variances_agree(device: &Device) {
    let dim = learned(Task::Own).0.dim();
    let task = || Task::Inpaint {
        mask: (0..dim).map(|k| k % 2 == 0).collect(),
        known: (0..dim).map(|k| (0.7 * k as f64).sin()).collect(),
        noise: 0.2,
    };
    for (lean, range) in
        [(1.0, None), (1.0, Some((-0.5, 0.5))), (0.0, None)].into_iter().skip(usize::from(slow(device)))
    {
        let (model, mut options) = learned(task());
        (options.particles, options.groups) = if lean > 0.0 { (2, 1) } else { (5, 2) };
        let twisting = options.twisting.as_mut().expect("a twist");
        (twisting.lean, twisting.range) = (lean, range);
        agrees(device, &format!("learned variances, lean {lean}, range {range:?}"), &[model], &options);
    }
}

/// Of a closed form and of a network.
fn classifiers_agree(device: &Device) {
    let task = || Task::Classifier { class: 3, scale: 1.5 };
    let row = |v: f64| format!("{:?}", (0..64).map(|k| v * (k as f64).cos()).collect::<Vec<f64>>());
    let mixture = target(&format!(
        "kind = 'mixture'\nweights = [0.4, 0.6]\nmeans = [{}, {}]\nscales = [0.4, 0.3]\n",
        row(-0.7),
        row(0.6)
    ));
    let mut options = tiny(task(), VE);
    (options.particles, options.steps) = (3, 3);
    agrees(
        device,
        "closed form",
        &[Model::Analytic(mixture), shipped_classifier("digits8-classifier")],
        &options,
    );
    let model = network("digits8-mlp");
    let mut options = short(&model, task());
    (options.particles, options.steps) = (1, 3);
    agrees(device, "network", &[model, shipped_classifier("digits8-classifier")], &options);
}

/// Move, evaluate, look, judge, back, weigh, resample: nothing comes back to the host on the way.
fn nothing_is_downloaded(device: &Device) {
    let model = network("digits8-mlp");
    let mut options = short(&model, Task::Classifier { class: 1, scale: 1.0 });
    (options.particles, options.steps) = (40, 9);
    let out =
        sample(device, &[model, shipped_classifier("digits8-classifier")], &options, None).expect("a run");
    let launches = out.counters.launches_per_step;
    println!("{}: {launches} launches a step", device.backend());
    assert_eq!(launches, 83.0, "of the network, of its way back, of the classifier and of the step");
    assert_eq!((out.counters.downloads_in_loop, out.counters.allocations_in_loop), (0, 0));
    assert!(out.log_z[0].is_finite() && out.x.iter().all(|x| x.is_finite()));
}
