//! The program of the bundle for GPU machines: one binary, several commands, by its first word.

use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;

use feynkac_bench::criterion;
use feynkac_bench::gpu::Part;
use feynkac_bench::gpu::record::record;
use feynkac_bench::questions::QUESTIONS;

const USAGE: &str = "\
bundle feynkac ARGUMENTS           the command line
bundle peer_worker                 a worker of bench/peers
bundle verify DEVICE               every pass beside its oracle
bundle part DEVICE FILE            the same, then the figures; into a JSON file
bundle missing DEVICE BY WHY FILE  a part that cannot be run, by a code generator, and why; into a JSON file
bundle record MACHINE FILE...      the record of these parts; MACHINE is a file of lines, key: value
bundle bench [QUESTION...]         the benchmarks, on the device that FEYNKAC_BENCH_DEVICE names
";

fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<&str> = line.iter().filter_map(|word| word.to_str()).collect();
    match words[..] {
        ["feynkac", ..] => return feynkac::cli::main_of(line),
        ["peer_worker"] => feynkac_bench::worker::main(),
        ["verify", device] => {
            let part = Part::of(device, false, |said| println!("{said}"));
            if let Some(why) = &part.not_run {
                eprintln!("{device}: not run ({why})");
            }
            return ExitCode::from(u8::from(!part.right()));
        }
        ["part", device, file] => {
            let part = Part::of(device, true, |said| println!("  {said}"));
            if let Some(why) = &part.not_run {
                println!("  not run ({why})");
            }
            return written(file, &part);
        }
        ["missing", device, by, why, file] => return written(file, &Part::missing(device, by, why)),
        ["record", machine, ref files @ ..] => return told(machine, files),
        ["bench", ref names @ ..] => {
            let mut criterion = criterion();
            for (name, ask) in QUESTIONS {
                if names.is_empty() || names.contains(name) {
                    ask(&mut criterion);
                }
            }
            criterion.final_summary();
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Code 1 where a pass is wrong; a part that cannot be run is no fault.
fn written(file: &str, part: &Part) -> ExitCode {
    let text = serde_json::to_string(part).expect("a part has text keys only");
    if let Err(error) = fs::write(file, text) {
        eprintln!("{file}: {error}");
        return ExitCode::from(2);
    }
    ExitCode::from(u8::from(part.not_run.is_none() && !part.right()))
}

fn told(machine: &str, files: &[&str]) -> ExitCode {
    let read = |file: &str| -> Result<Part, String> {
        let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))
    };
    let parts = files.iter().map(|file| read(file)).collect::<Result<Vec<Part>, String>>();
    let lines = fs::read_to_string(machine).map_err(|error| format!("{machine}: {error}"));
    match parts.and_then(|parts| Ok((parts, lines?))) {
        Ok((parts, lines)) => {
            print!("{}", record(&parts, &lines));
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}
