//! Folders that diffusers made, on a device, beside what diffusers says of them and beside the f64 oracle.

use std::path::Path;

use feynkac::kernels::device::Device;
use feynkac::kernels::passes::layers::{Asked, Back, Level, Network, Printed, Settings};
use feynkac::unet;
use feynkac::weights::Weights;

use super::layers::{allowed, relative, wide};

on_every_device! { what_diffusers_says }

fn what_diffusers_says(device: &Device) {
    for name in ["pipeline", "shards", "half", "old-names"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/diffusers").join(name);
        let (net, _) = unet::load(&folder).expect("a folder");
        let golden = Weights::open(&folder.join("golden.safetensors")).expect("golden values");
        let [x, cotangent, output, slopes, time] =
            ["sample", "cotangent", "output", "vjp", "timestep"].map(|name| {
                let shape = golden.shape(name).expect("golden values").to_vec();
                golden.f32(name, &shape).expect("golden values")
            });
        let classes = match net.config.classes {
            None => vec![0; 2],
            Some(_) => golden.i32("class_labels").expect("classes"),
        };
        // A level for each of the two states, which has a time and a class of its own.
        let level = |i: usize| Level {
            time: f64::from(time[i]),
            rate: 0.0,
            class: classes[i] as usize,
            c: [1.0, 0.0, 1.0],
        };
        let levels = [level(0), level(1)];
        for recompute in [false, true] {
            let settings = Settings { back: true, recompute, ..Settings::default() };
            let network = Network::new(device, &net.net.layers, &net.net.tensors, &levels, 1, settings)
                .expect("a network");
            let [dim, _] = network.dims();
            let plan = network.plan(Asked::Back).expect("a plan");
            if device.is_cpu() {
                println!("{name}, recompute {recompute}:\n{}", Printed(plan, network.graph()));
            }
            for i in 0..2 {
                let part = |of: &[f32]| of[i * dim..(i + 1) * dim].to_vec();
                let [x, u] = [&x, &cotangent].map(|of| device.upload("rows", &part(of)).expect("rows"));
                let blank = || device.upload("answers", &vec![0.0_f32; dim]).expect("rows");
                let (out, back) = (blank(), blank());
                let of = Back {
                    rows: (&x).into(),
                    cotangent: (&u).into(),
                    out: (&out).into(),
                    slopes: (&back).into(),
                };
                network.vjp(device, of, 1, i).expect("a way back");
                let [out, back] = [&out, &back].map(|of| device.download(of).expect("answers"));
                let faults = [relative(&out, &wide(&part(&output))), relative(&back, &wide(&part(&slopes)))];
                // Golden positional features were taken in f32, which is worth 1e-6.
                let allowed = 1e-6 + allowed(&net.net.layers);
                println!(
                    "{name}, state {i}: output {:.1e}, vjp {:.1e} of {allowed:.1e}",
                    faults[0], faults[1]
                );
                assert!(faults.iter().all(|f| *f <= allowed), "{name}: {faults:?}, {allowed}");
            }
        }
    }
}
