//! A hundred thousand damaged files, from a fixed seed.

use super::tests::{open, raw};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Two sound files: one with several types and free text, one with a single small tensor.
fn sound() -> [Vec<u8>; 2] {
    let header = r#"{"__metadata__":{"config":"{\"dim\":2}"},
        "in.weight":{"dtype":"F32","shape":[4,2],"data_offsets":[0,32]},
        "half":{"dtype":"F16","shape":[3],"data_offsets":[32,38]},
        "class":{"dtype":"I32","shape":[2],"data_offsets":[38,46]},
        "wide":{"dtype":"F64","shape":[1,1],"data_offsets":[46,54]}}"#;
    let data: Vec<u8> = (0..54).collect();
    [raw(header, &data), raw(r#"{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}"#, &[0, 60, 0, 62])]
}

fn mutate(rng: &mut StdRng, bytes: &mut Vec<u8>) {
    match rng.random_range(0..6) {
        // bits anywhere, or bits of the tensors only
        0 | 1 => {
            let header = u64::from_le_bytes(*bytes.first_chunk().expect("eight bytes")) as usize;
            let from = if rng.random() { 8 + header } else { 0 };
            for _ in 0..rng.random_range(1..8) {
                let at = rng.random_range(from..bytes.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
        }
        // shorter or longer
        2 => {
            let length = rng.random_range(0..bytes.len() + 16);
            bytes.resize(length, rng.random());
        }
        // another header length
        3 => {
            let length: u64 = match rng.random_range(0..4) {
                0 => rng.random(),
                1 => rng.random_range(0..bytes.len() as u64 + 8),
                2 => u64::MAX - rng.random_range(0..16),
                _ => 100_000_000 - rng.random_range(0..2),
            };
            bytes[..8].copy_from_slice(&length.to_le_bytes());
        }
        // characters of the header for others that mean something there
        4 => {
            let end = bytes.len().min(300);
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(8..end);
                let other = b"0123456789{}[]\",:-e.\\F";
                bytes[at] = other[rng.random_range(0..other.len())];
            }
        }
        // text put in, with the length put right
        _ => {
            let pieces = [
                "0",
                "9999999999",
                "[0],",
                "-1",
                "{",
                "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},",
                "[[[[",
            ];
            let header = u64::from_le_bytes(*bytes.first_chunk().expect("eight bytes")) as usize;
            let piece = pieces[rng.random_range(0..pieces.len())].as_bytes();
            let at = rng.random_range(8..=8 + header);
            bytes.splice(at..at, piece.iter().copied());
            bytes[..8].copy_from_slice(&((header + piece.len()) as u64).to_le_bytes());
        }
    }
}

#[test]
fn a_hundred_thousand_damaged_files_give_answers_not_panics() {
    let mut rng = StdRng::seed_from_u64(0x5eed);
    let sound = sound();
    let (mut opened, mut refused) = (0, 0);
    for i in 0..100_000 {
        let mut bytes = sound[i % 2].clone();
        mutate(&mut rng, &mut bytes);
        let length = bytes.len();
        match open(bytes) {
            Ok(w) => {
                opened += 1;
                let mut wanted = Vec::new();
                for name in w.names() {
                    let shape = w.shape(&name).expect("a name has a shape").to_vec();
                    if let Ok(values) = w.f32(&name, &shape) {
                        assert_eq!(values.len(), shape.iter().product::<usize>());
                        assert!(values.len() <= length && values.iter().all(|v| v.is_finite()));
                    }
                    let _ = (w.i32(&name), w.i64(&name), w.dtype(&name));
                    wanted.push((name, shape));
                }
                assert!(w.expect_exactly(&wanted).is_ok());
                let _ = w.metadata();
            }
            Err(e) => {
                refused += 1;
                let m = e.to_string();
                assert!(
                    m.starts_with("w.safetensors: ") && m.contains(": found ") && m.contains(", wanted "),
                    "{m}"
                );
                assert!(m.len() < 600, "{m}");
            }
        }
    }
    // both ways are walked, or the test would show nothing
    assert!(opened > 10_000 && refused > 10_000, "{opened} opened, {refused} refused");
}
