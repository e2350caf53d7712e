//! Philox words bit for bit, normals to their stated error.

use feynkac::kernels::device::Device;
use feynkac::kernels::passes::draws::{draws, normals};
use feynkac::kernels::prims::philox::oracle::{self, Stream, words};

on_every_device! { words_are_the_oracles, normals_are_close, normals_alone_are_the_same, moments_are_standard }

const SEED: u64 = 0x0123_4567_89ab_cdef;

fn stream(slot: usize) -> Stream {
    Stream { seed: SEED, slot: slot as u32, step: 7, tag: 0x0100_0003 }
}

fn words_are_the_oracles(device: &Device) {
    for n in [1, 17, 1000] {
        let out = draws(device, SEED, n, 7, 0x0100_0003, 5).expect("a launch");
        let found = device.download(&out.words).expect("words");
        let uniforms = device.download(&out.uniforms).expect("uniforms");
        for slot in 0..n {
            let wanted = words(stream(slot), 5);
            assert_eq!(found[4 * slot..4 * slot + 4], wanted, "slot {slot} of {n}");
            for i in 0..4 {
                // (k + 1/2) 2^-23 needs 24 bits: exact in f32.
                assert_eq!(f64::from(uniforms[4 * slot + i]), oracle::uniform(wanted[i]));
            }
        }
    }
}

fn normals_are_close(device: &Device) {
    let n = 200_000;
    let out = draws(device, SEED, n, 7, 0x0100_0003, 5).expect("a launch");
    let found = device.download(&out.normals).expect("normals");
    let mut worst = 0.0_f64;
    for slot in 0..n {
        for i in 0..4 {
            let wanted = oracle::normal(stream(slot), 20 + i, 64);
            let error = (f64::from(found[4 * slot + i]) - wanted).abs();
            assert!(error.is_finite());
            worst = worst.max(error);
        }
    }
    // docs/maths.md (2): 4e-6 absolute, the angle's 2 pi u in f32 times a radius of at most 6.8.
    assert!(worst < 4.0e-6, "worst {worst:e}");
}

/// Tile by tile: `lanes` slots, four coordinates.
fn normals_alone_are_the_same(device: &Device) {
    let lanes = device.lanes();
    for tiles in [1, 3, 1000] {
        let seed = device.upload("seed", &[SEED as u32, (SEED >> 32) as u32]).expect("an upload");
        let out = device.empty("normals", tiles * 4 * lanes).expect("a buffer");
        normals(device, &seed, &out, 7, 0x0100_0003).expect("a launch");
        let found = device.download(&out).expect("normals");
        for (at, found) in found.iter().enumerate() {
            let (tile, within) = (at / (4 * lanes), at % (4 * lanes));
            let wanted = oracle::normal(stream(tile * lanes + within % lanes), within / lanes, 64);
            assert!((f64::from(*found) - wanted).abs() < 4.0e-6, "number {at} of {tiles} tiles");
        }
    }
}

fn moments_are_standard(device: &Device) {
    let n = 1 << 18;
    let out = draws(device, 3, n, 0, 0, 0).expect("a launch");
    let z = device.download(&out.normals).expect("normals");
    let count = z.len() as f64;
    let moment = |p: i32| z.iter().map(|&z| f64::from(z).powi(p)).sum::<f64>() / count;
    // Five standard errors of each moment of N(0, 1): sqrt(E z^2p - (E z^p)^2).
    for (p, wanted, sd) in
        [(1, 0.0, 1.0), (2, 1.0, 2f64.sqrt()), (3, 0.0, 15f64.sqrt()), (4, 3.0, 96f64.sqrt())]
    {
        let error = (moment(p) - wanted).abs();
        assert!(error < 5.0 * sd / count.sqrt(), "moment {p}: off by {error}");
    }
}
