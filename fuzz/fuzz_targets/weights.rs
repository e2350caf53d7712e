//! Any bytes as a safetensors file: an answer or an error, no panic, no number that is not finite.
#![no_main]

use std::path::Path;

use feynkac::weights::Weights;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(weights) = Weights::from_bytes(Path::new("fuzz.safetensors"), bytes.to_vec()) else { return };
    let mut all = Vec::new();
    for name in weights.names() {
        let shape = weights.shape(&name).expect("a name has a shape").to_vec();
        if let Ok(values) = weights.f32(&name, &shape) {
            assert_eq!(values.len(), shape.iter().product::<usize>());
            assert!(values.iter().all(|v| v.is_finite()));
        }
        let _ = (weights.i32(&name), weights.i64(&name), weights.dtype(&name));
        all.push((name, shape));
    }
    assert!(weights.expect_exactly(&all).is_ok());
    let _ = weights.metadata();
});
