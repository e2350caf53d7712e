//! The command line: one file for each subcommand, the settings they share, and what is shown.

mod bench;
pub mod canvas;
mod devices;
mod eval;
mod inspect;
mod list;
mod names;
pub mod picture;
mod plan;
mod prepare;
mod profile;
mod report;
mod resample;
mod sample;
mod settings;
mod table;
mod verify;

use std::ffi::OsString;
use std::fmt;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

use crate::error::Error;

pub use table::short;

/// Exact steering of diffusion and flow models
#[derive(Parser, Debug)]
#[command(name = "feynkac", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Draw samples
    Sample(Box<sample::Sample>),
    /// Resample weights of your own: a tensor in, ancestors out
    Resample(resample::Resample),
    /// Evaluate a network at given points, and its derivatives, to check it against another framework
    Eval(eval::Eval),
    /// Show the passes of a run, its buffers and what it moves, without running it
    Plan(Box<plan::PlanFlags>),
    /// Check every pass of a run on a device against its f64 oracle
    Verify(Box<settings::Flags>),
    /// Time runs of closed-form targets, every combination of the lists given
    Bench(Box<bench::Bench>),
    /// Time every pass of a run, beside the rate at which its device copies memory
    Profile(Box<profile::Profile>),
    /// Show what a weights folder or a TOML target holds and what would be used
    Inspect {
        /// Weights folder, safetensors file or TOML target
        path: PathBuf,
    },
    /// List the devices of this machine and what they can do
    Devices,
    /// List methods, models, schedules, grids, rules and resampling schemes
    List,
}

/// The program. Exit codes: 0, 1 when the run failed or a check disagrees, 2 when the input must change.
pub fn main() -> ExitCode {
    main_of(std::env::args_os())
}

/// The same of a command line, the name of the program first.
pub fn main_of(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    quiet_threads();
    let cli = match Cli::try_parse_from(line) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print(); // nowhere else to tell
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let done = match cli.command {
        Command::Sample(arguments) => sample::run(*arguments).map(|()| true),
        Command::Resample(arguments) => resample::run(arguments).map(|()| true),
        Command::Eval(arguments) => eval::run(arguments).map(|()| true),
        Command::Plan(flags) => plan::run(*flags).map(|()| true),
        Command::Verify(flags) => verify::run(*flags),
        Command::Bench(arguments) => bench::run(*arguments).map(|()| true),
        Command::Profile(arguments) => profile::run(*arguments).map(|()| true),
        Command::Inspect { path } => inspect::run(&path).map(|()| true),
        Command::Devices => {
            devices::run();
            Ok(true)
        }
        Command::List => {
            list::run();
            Ok(true)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let code = error.exit_code();
            let _ = write!(stderr(), "{}", told(&Told(error), stderr().is_terminal())); // nowhere else to tell
            ExitCode::from(code)
        }
    }
}

/// A panic on a thread of a runtime (a kernel it cannot compile) comes back as an error at the next read: its
/// message is printed there, once, and not here a thousand times. With `RUST_BACKTRACE` it is printed here too.
fn quiet_threads() {
    let usual = std::panic::take_hook();
    let wanted = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    std::panic::set_hook(Box::new(move |panic| {
        if wanted || std::thread::current().name() == Some("main") {
            usual(panic);
        }
    }));
}

/// Writes to standard output; a reader that has gone away is no trouble.
fn print(text: &str) {
    let mut out = stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Warnings, one a line.
fn warn(warnings: &[String]) {
    for warning in warnings {
        let _ = writeln!(stderr(), "warning: {warning}");
    }
}

/// An error as miette wants it.
#[derive(Debug)]
struct Told(Error);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Told {}

impl Diagnostic for Told {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
}

/// An error as it is shown: coloured and wrapped on a terminal, in plain letters and whole lines elsewhere.
fn told(error: &Told, terminal: bool) -> String {
    let mut text = String::new();
    if terminal && std::env::var_os("NO_COLOR").is_none() {
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode());
        let _ = handler.render_report(&mut text, error); // writing to a text does not fail
        return text;
    }
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::none()).with_wrap_lines(false);
    let _ = handler.render_report(&mut text, error);
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_line_of_the_manual_is_understood() {
        let line = "feynkac sample --model m.toml --method fkc-anneal --beta 2 --particles 65536 --steps 400 \
            --schedule ve --sigma-min 0.01 --sigma-max 50 --grid log-snr --rule trap --resample ess:0.5 \
            --scheme systematic --groups 1 --final weighted --seed 0 --device auto -o OUT";
        assert!(Cli::try_parse_from(line.split_whitespace()).is_ok());
    }

    #[test]
    fn a_wrong_value_names_the_flag_what_was_found_and_what_was_wanted() {
        for (flags, message) in [
            ("--steps -5", "invalid value '-5' for '--steps <N>': wanted a whole number, at least 0"),
            ("--beta x", "invalid value 'x' for '--beta <F>': wanted a number"),
            (
                "--resample ess",
                "invalid value 'ess' for '--resample <WHEN>': wanted one of never, every, ess:F",
            ),
            ("--method fkc", "invalid value 'fkc' for '--method <METHOD>': wanted one of plain, fkc-anneal"),
            ("--device tpu", "invalid value 'tpu' for '--device <DEVICE>': wanted auto, cpu[:threads]"),
            ("--particles", "a value is required for '--particles <N>' but none was supplied"),
            ("--partikles 5", "unexpected argument '--partikles' found"),
        ] {
            let line = format!("feynkac sample {flags}");
            let error = Cli::try_parse_from(line.split_whitespace()).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
            assert!(error.use_stderr());
        }
    }

    #[test]
    fn errors_are_plain_where_nobody_reads_them_in_colour() {
        let error = Told(Error::read("a/b.toml".as_ref(), std::io::ErrorKind::NotFound.into()));
        let text = told(&error, false);
        assert!(text.is_ascii() && !text.contains('\x1b'), "{text:?}");
        assert!(text.contains("a/b.toml: cannot read it: entity not found"), "{text:?}");
        assert!(text.contains("help: there is no a/b.toml"), "{text:?}");
    }
}
