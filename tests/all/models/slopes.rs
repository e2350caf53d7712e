//! How the shipped networks change, along a tangent and with their noise, and their divergences, as JAX has them in f64
//! (`weights/train/common.py`): the oracle up to the rounding of what is stored, and every device.

use feynkac::divergence;
use feynkac::kernels::device::Device;
use feynkac::kernels::passes::divergence::{Along as Probing, Probes, Tally};
use feynkac::kernels::passes::energy::oracle::seed;
use feynkac::kernels::passes::layers::{Along, Back, Level, Network, Settings};
use feynkac::layered::Kind;

use crate::passes::layers::{dot, wide};

use super::golden::{DENSE, ENERGIES, PARTICLES, Shipped, Table, WITHIN, fault, hold};

on_every_device! { along_a_tangent, back_from_a_tangent, with_the_noise, divergences }

/// Golden values are stored in f32.
const ROUNDING: f32 = 2e-7;
/// Of as many points a divergence is taken on a device, of each by as many ways back as it has numbers.
const PROBED: usize = 8;

fn all() -> impl Iterator<Item = (&'static str, Shipped)> {
    let tables: [&Table; 3] = [DENSE, ENERGIES, PARTICLES];
    tables.into_iter().flatten().map(|(name, _)| (*name, Shipped::open(name)))
}

/// A point of a golden file, in f64: the state as the network itself is shown it, time, its rate with ln(sigma/alpha), and
/// class.
struct Point {
    x: Vec<f64>,
    time: f64,
    rate: f64,
    class: Option<usize>,
}

fn points(of: &Shipped) -> Vec<Point> {
    let scheduler = of.net.scheduler.as_ref().expect("a scheduler");
    // Not by `Scheduler::time_at`, which refuses what rounding and a step put beyond the end of a range.
    let time = |log: f64| match of.net.kind {
        Kind::Particles(_) => log.exp(),
        _ => scheduler.time_of(scheduler.schedule.time_at(log)),
    };
    let point = |((x, t), class): ((&[f32], f64), &Option<usize>)| {
        let (log, step) = (scheduler.schedule.log_noise_ratio(t), 1e-5);
        let rate = (time(log + step) - time(log - step)) / (2.0 * step);
        Point { x: wide(x), time: time(log), rate, class: *class }
    };
    of.rows().zip(&of.classes).map(point).collect()
}

fn narrow(x: impl IntoIterator<Item = f64>) -> Vec<f32> {
    x.into_iter().map(|x| x as f32).collect()
}

#[test]
fn the_oracle_changes_as_jax_says() {
    for (name, of) in all() {
        let (net, tangents) = (&of.net.net, wide(&of.tensor("tangent")));
        let held = |tensor: &str, found: Vec<f32>, width: usize| {
            let off = fault(&found, &of.tensor(tensor), width);
            println!("{name}: {tensor} of the oracle is off by {off:.1e}");
            assert!(off <= ROUNDING, "{name}: {tensor} of the oracle is off by {off}");
        };
        let (dim, points) = (of.dim(), points(&of));
        let rows = || points.iter().zip(tangents.chunks(dim));
        let moved = |p: &Point, v: &[f64], rate: f64| {
            let (_, moved) = net.jvp(&p.x, p.time, p.class, v, rate).expect("a tangent");
            moved
        };
        held("jvp", narrow(rows().flat_map(|(p, v)| moved(p, v, 0.0))), dim);
        held("rate", narrow(rows().flat_map(|(p, v)| moved(p, &vec![0.0; v.len()], p.rate))), dim);
        if net.energy.is_some() {
            let rate = |p: &Point| p.rate * net.energy_rate(&p.x, p.time, p.class).expect("an energy").0;
            held("energy_rate", narrow(points.iter().map(rate)), 1);
        } else {
            let exact = |p: &Point| divergence::exact(net, &p.x, p.time, p.class).expect("a divergence");
            held("divergence", narrow(points.iter().map(exact)), 1);
        }
    }
}

/// The network of a folder on a device at the levels of `points`, which are conditions of one launch: it answers for every
/// point at the level of every other.
fn upload(device: &Device, of: &Shipped, points: &[Point]) -> Network {
    let net = &of.net.net;
    let level = |p: &Point| {
        let class = net.row(p.class).expect("a class");
        Level { time: p.time, rate: p.rate, class, c: [1.0, 0.0, 1.0] }
    };
    let levels: Vec<Level> = points.iter().map(level).collect();
    let settings = Settings { back: true, along: true, most: points.len(), ..Settings::default() };
    Network::new(device, &net.layers, &net.tensors, &levels, levels.len(), settings).expect("a network")
}

/// Of what was answered, each point at its own level.
fn own(rows: &[f32], count: usize) -> Vec<f32> {
    let width = rows.len() / (count * count);
    (0..count).flat_map(|i| rows[i * (count + 1) * width..][..width].to_vec()).collect()
}

/// What the network says of every point, and how that changes along `tangent`, or with the noise where there is none.
fn changes(device: &Device, of: &Shipped, tangent: Option<&[f32]>) -> [Vec<f32>; 2] {
    let (points, count) = (points(of), of.times.len());
    let network = upload(device, of, &points);
    let still = vec![0.0; of.states.len()];
    let up = |what, rows: &[f32]| device.upload(what, rows).expect("an upload");
    let [rows, tangents] = [up("rows", &of.states), up("tangents", tangent.unwrap_or(&still))];
    let fresh = |what| device.empty(what, count * of.states.len()).expect("a buffer");
    let [out, moved] = [fresh("out"), fresh("moved")];
    let along = Along {
        rows: (&rows).into(),
        tangent: (&tangents).into(),
        out: (&out).into(),
        moved: (&moved).into(),
        time: tangent.is_none(),
    };
    network.jvp(device, along, count, 0).expect("a way along");
    [out, moved].map(|rows| own(&device.download(&rows).expect("answers"), count))
}

fn along_a_tangent(device: &Device) {
    for (name, of) in all() {
        let [_, moved] = changes(device, &of, Some(&of.tensor("tangent")));
        let what = format!("{name} on {}: jvp", device.backend());
        hold(&what, &moved, &of.tensor("jvp"), of.times.len(), WITHIN);
    }
}

fn with_the_noise(device: &Device) {
    for (name, of) in all() {
        let [out, moved] = changes(device, &of, None);
        let what = |tensor| format!("{name} on {}: {tensor}", device.backend());
        hold(&what("rate"), &moved, &of.tensor("rate"), of.times.len(), WITHIN);
        let Some(energy) = of.net.net.energy else { continue };
        let rows = of.states.chunks(of.dim()).zip(out.chunks(of.dim())).zip(moved.chunks(of.dim()));
        let rate = |((x, f), moved): ((&[f32], &[f32]), &[f32])| {
            dot(&seed(energy, &wide(x), &wide(f)), &wide(moved))
        };
        let rates = narrow(rows.map(rate));
        hold(&what("energy_rate"), &rates, &of.tensor("energy_rate"), of.times.len(), WITHIN);
    }
}

/// A probe of signs v: v' J v by the way back is that of JAX by the way along.
fn back_from_a_tangent(device: &Device) {
    for (name, of) in all() {
        let (points, dim, count) = (points(&of), of.dim(), of.times.len());
        let network = upload(device, &of, &points);
        let signs = of.tensor("tangent");
        let up = |what, rows: &[f32]| device.upload(what, rows).expect("an upload");
        let [rows, cotangent] = [up("rows", &of.states), up("cotangents", &signs.repeat(count))];
        let fresh = |what| device.empty(what, count * count * dim).expect("a buffer");
        let [out, slopes] = [fresh("out"), fresh("slopes")];
        let (cotangent, out) = ((&cotangent).into(), (&out).into());
        let back = Back { rows: (&rows).into(), cotangent, out, slopes: (&slopes).into() };
        network.vjp(device, back, count, 0).expect("a way back");
        let slopes = own(&device.download(&slopes).expect("slopes"), count);
        let probed = |all: &[f32]| {
            let rows = all.chunks(dim).zip(signs.chunks(dim));
            narrow(rows.map(|(row, v)| dot(&wide(row), &wide(v))))
        };
        let what = format!("{name} on {}: a probe of its divergence", device.backend());
        hold(&what, &probed(&slopes), &probed(&of.tensor("jvp")), count, WITHIN);
    }
}

/// Tallies of what comes back through the network from its probes, each point at its own level.
fn tallied(device: &Device, of: &Shipped, points: &[Point]) -> Vec<f32> {
    let (count, dim) = (points.len(), of.dim());
    let all = count * count;
    let network = upload(device, of, points);
    let states = narrow(points.iter().flat_map(|p| p.x.clone()));
    let rows = device.upload("rows", &states).expect("an upload");
    let seeds = device.upload("seeds", &[7_u32, 0]).expect("an upload");
    let fresh = |what, numbers| device.empty(what, numbers).expect("a buffer");
    let [said, came, told] = [fresh("said", all * dim), fresh("came", all * dim), fresh("told", all)];
    let probes = Probes::new(device, Probing::Axes, all, dim, all).expect("probes");
    for at in 0..probes.count() {
        probes.probe(device, &seeds, at, all, 0.into()).expect("a probe");
        let cotangent = probes.vectors().into();
        let back = Back { rows: (&rows).into(), cotangent, out: (&said).into(), slopes: (&came).into() };
        network.vjp(device, back, count, 0).expect("a way back");
        let to = Tally { came: &came, told: &told, first: 0, apart: 1 };
        probes.tally(device, to, at, all).expect("a tally");
    }
    let told = device.download(&told).expect("divergences");
    own(&told, count)
}

fn divergences(device: &Device) {
    for (name, of) in all().filter(|(_, of)| of.net.net.energy.is_none()) {
        let apart = of.times.len() / PROBED;
        let wanted: Vec<f32> = of.tensor("divergence").into_iter().step_by(apart).collect();
        let points: Vec<Point> = points(&of).into_iter().step_by(apart).collect();
        let found = tallied(device, &of, &points);
        let what = format!("{name} on {}: divergence", device.backend());
        hold(&what, &found, &wanted, PROBED, WITHIN);
    }
}
