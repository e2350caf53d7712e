//! Digits as one draws them from the command line: `feynkac sample` with the shipped network, judged by `feynkac eval` with
//! the shipped judge, a network of another architecture and other images.

use std::collections::BTreeMap;

use feynkac::weights::{Data, Tensor, Weights, save};

use super::{Scratch, root};

/// The share of images of `class` that the judge takes for what they are meant to be.
fn accepted(scratch: &Scratch, method: &str, class: usize) -> f64 {
    let weights = root().join("weights");
    let line = format!(
        "sample --model {}/mnist-ddpm --method {method} --class {class} --groups 8 --steps 40 --final resample \
         --device cpu -o out --no-picture",
        weights.display()
    );
    scratch.run(&line).fine();
    let drawn = Weights::open(&scratch.path("out/samples.safetensors")).expect("samples");
    let (x, count) = (drawn.plain_f32("x").expect("images"), drawn.shape("x").expect("images")[0]);
    let images = Tensor { shape: vec![count, 1, 28, 28], data: Data::F32(&x) };
    save(&scratch.path("in"), &[("sample".to_string(), images)], &BTreeMap::new()).expect("a file");
    let judge = weights.join("mnist-judge");
    scratch.run(&format!("eval --model {} --input in --device cpu -o said", judge.display())).fine();
    let said = Weights::open(&scratch.path("said")).expect("logits").plain_f32("output").expect("logits");
    let best = |l: &[f32]| (0..l.len()).max_by(|&a, &b| l[a].total_cmp(&l[b])).expect("classes");
    said.chunks(10).filter(|logits| best(logits) == class).count() as f64 / count as f64
}

/// Of what is guided at least nine in ten.
#[test]
fn guided_digits_are_accepted() {
    let scratch = Scratch::new("drawn");
    let guided: Vec<f64> =
        [2, 7].map(|class| accepted(&scratch, "fkc-guidance --beta 2 --particles 3", class)).to_vec();
    let own = accepted(&scratch, "plain --particles 3", 7);
    println!("mnist-judge accepts {guided:?} of guided digits, {own} of the class's own");
    assert!(guided.iter().all(|share| *share >= 0.9) && own >= 0.75, "{guided:?}, {own}");
}
