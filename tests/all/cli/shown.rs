//! What is only shown.

use super::weights::network;
use super::{Scratch, golden, root, run};

#[test]
fn the_list() {
    golden("list", &run(root(), "list").fine());
}

#[test]
fn help() {
    golden("help", &run(root(), "--help").fine());
    let nothing = run(root(), "");
    assert_eq!((nothing.code, nothing.stdout.as_str()), (Some(2), ""), "{nothing:?}");
    assert!(nothing.stderr.contains("Usage: feynkac"), "{}", nothing.stderr);
    assert!(run(root(), "--version").fine().starts_with("feynkac "));
}

#[test]
fn plans() {
    let scratch = Scratch::new("plans");
    network(&scratch, "net", |_| ());
    let mut text = String::new();
    for line in [
        "plan --model two.toml --method plain --device cpu:1",
        "plan --model two.toml --method fkc-anneal --beta 2 --device cpu:1",
        "plan --model two.toml --method fkc-anneal --beta 2 --no-weights --device cpu:1",
        "plan --model two.toml --method fkc-anneal --beta 2 --unfused --device cpu:1",
        "plan --model two.toml --method fkc-anneal --beta 2 --langevin 3 --device cpu:1",
        "plan --model two.toml --method fkc-anneal --beta 2 --temper 0.5 --centre --device cpu:1",
        "plan --model two.toml --method fkc-anneal --beta 2 --scheme clock --device cpu:1",
        "plan --model two.toml --method fkc-anneal --beta 2 --groups 10 --micro-batch 4 --device cpu:1",
        "plan --model two.toml --method fkc-anneal --beta 2 --rule left --state f16 --device cpu:1",
        "plan --model net --method fkc-anneal --beta 2 --device cpu:1",
        "plan --model net --model net --method fkc-guidance --beta 2 --device cpu:1",
    ] {
        let shown = scratch.run(line).fine();
        text.push_str(&format!("$ feynkac {line}\n{shown}\n"));
    }
    golden("plans", &text);
}

#[test]
fn what_is_inspected() {
    golden("inspect-digits8-mlp", &run(root(), "inspect weights/digits8-mlp").fine());
    golden("inspect-digits8-classifier", &run(root(), "inspect weights/digits8-classifier").fine());
    golden("inspect-gmm40", &run(root(), "inspect weights/gmm40.toml").fine());
    let scratch = Scratch::new("inspect");
    let line = "sample --model two.toml --method plain --particles 5 --steps 2 --device cpu:1 --no-picture";
    scratch.run(&format!("{line} -o out")).fine();
    golden("inspect-samples", &scratch.run("inspect out/samples.safetensors").fine().replace('\\', "/"));
    let ran = scratch.run("inspect nowhere");
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

#[test]
fn verification_agrees() {
    let scratch = Scratch::new("verify");
    network(&scratch, "net", |_| ());
    for line in [
        "--model two.toml --method plain",
        "--model two.toml --method fkc-anneal --beta 1.5",
        "--model two.toml --method fkc-anneal --beta 1.5 --unfused --groups 3 --rule left",
        "--model two.toml --method fkc-anneal --beta 0.5 --rule exact",
        "--model two.toml --model two.toml --method fkc-guidance --beta 2",
        "--model net --method fkc-anneal --beta 1.5",
    ] {
        let text = scratch.run(&format!("verify {line} --particles 70 --steps 10 --device cpu:1")).fine();
        assert!(text.contains("all agree"), "{line}: {text}");
    }
}

#[test]
fn devices_are_listed_with_or_without_a_gpu() {
    let ran = run(root(), "devices");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for name in ["cpu", "wgpu:0", "cuda:0"] {
        assert!(ran.stdout.lines().any(|line| line.starts_with(name)), "{name}: {}", ran.stdout);
    }
    assert!(ran.stdout.lines().last().is_some_and(|line| line.starts_with("--device auto takes ")));
}
