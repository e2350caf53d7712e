//! feynkac as a worker of `bench/peers`: one JSON request a line in, one JSON answer a line out. The protocol is in
//! `bench/peers/README.md`, the problem in `bench/peers/problem.py`.
//!
//! The device is the one that `FEYNKAC_BENCH_DEVICE` names, `cpu` with `OMP_NUM_THREADS` threads where it is not set.

use std::io::{BufRead, Write};
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::peers::{Prepared, Request, prepare};

/// Answers until the input ends or says `quit`.
pub fn main() {
    let mut kept: Option<(Request, Prepared, f64)> = None;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        if line.trim() == "quit" {
            return;
        }
        if line.trim().is_empty() {
            continue;
        }
        let answer = match serde_json::from_str(&line) {
            Ok(request) => answer(request, &mut kept),
            Err(error) => json!({ "error": format!("a request that is not of the protocol: {error}") }),
        };
        if writeln!(out, "{answer}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

/// Seconds of the wall clock, or of this process's processors where `PEERS_CLOCK` is `cpu`.
fn now(began: Instant) -> f64 {
    if std::env::var("PEERS_CLOCK").is_ok_and(|clock| clock == "cpu") {
        processors()
    } else {
        began.elapsed().as_secs_f64()
    }
}

/// Seconds that all threads of this process have run, from the scheduler.
fn processors() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let run = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    run.filter_map(|text| text.split_whitespace().next()?.parse::<f64>().ok()).sum::<f64>() * 1.0e-9
}

fn answer(request: Request, kept: &mut Option<(Request, Prepared, f64)>) -> Value {
    let began = Instant::now();
    let mut answer = Map::new();
    answer.insert("op".into(), json!(request.op));
    answer.insert("variant".into(), json!(request.variant));
    let reps = request.reps;
    let same = kept.as_ref().is_some_and(|(before, ..)| before.same(&request));
    if !same {
        *kept = None;
        let made = prepare(&request).and_then(|mut prepared| {
            (prepared.call)()?;
            let warmup = began.elapsed().as_secs_f64();
            (prepared.call)()?;
            Ok((prepared, warmup))
        });
        match made {
            Ok((prepared, warmup)) => *kept = Some((request, prepared, warmup)),
            Err(why) => {
                let (key, why) = why.told();
                answer.insert(key.into(), json!(why));
                return Value::Object(answer);
            }
        }
    }
    let Some((_, prepared, warmup)) = kept else { return Value::Object(answer) };
    let mut times = Vec::with_capacity(reps);
    for _ in 0..reps {
        let start = now(began);
        if let Err(why) = (prepared.call)() {
            let (key, why) = why.told();
            answer.insert(key.into(), json!(why));
            return Value::Object(answer);
        }
        times.push(now(began) - start);
    }
    match (prepared.check)() {
        Ok(check) => {
            answer.insert("times".into(), json!(times));
            answer.insert("warmup_s".into(), json!(warmup));
            answer.insert("check".into(), check);
        }
        Err(why) => {
            let (key, why) = why.told();
            answer.insert(key.into(), json!(why));
        }
    }
    Value::Object(answer)
}
